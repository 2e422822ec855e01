"""What a lab file asks for and what is wrong with it, as pure functions of a dict."""

import copy
import shlex
from pathlib import Path

import pytest
import yaml

from preference.bandits import cells
from workflow.config import lab_validation, labs

ROOT = Path(__file__).parents[1]

LAB = """
lab: bandit_tiny
seeds: [1, 2, 3]
tuning_seeds: [101, 102]
defaults: {policy: categorical, samples: 4, states: 4, record_every: 2}
methods:
  best_of_n: {algorithm: best_of_n, learning_rate: [1.0e-3, 1.0e-2]}
  dpo: {algorithm: dpo, learning_rate: 1.0e-2, beta: [0.1, 1.0], record_every: 1}
  ppo: {algorithm: ppo, learning_rate: 1.0e-2, clip_range: 0.2}
experiments:
  sampling:
    title: On-policy samples
    cell: {reward: 4, epochs: 2}
    axes:
      method: [best_of_n, dpo]
      source:
        offline: {source: offline, rounds: 1}
        on_policy: {source: on_policy, rounds: 4, fresh_states: true, epochs: 1}
    figure: {kind: curves, metric: reward, x: step, panels: [source], lines: [method]}
  clipping:
    title: PPO
    cell: {reward: 5, source: on_policy, rounds: 2, epochs: 1}
    axes: {run: {long: ppo, short: {algorithm: ppo, learning_rate: 0.1, clip_range: 0.1}}}
    figure: {kind: axis, metric: [reward, change_margin], x: run}
claims:
  - id: sampling
    claim: DPO gains more on-policy.
    source: takeaway 1
    statistic: {experiment: sampling, value: final reward, of: dpo.on_policy - dpo.offline}
    passes: {above: 0}
"""


@pytest.fixture
def lab():
    return yaml.safe_load(LAB)


def test_a_cell_is_a_level_of_each_axis_in_the_order_of_the_file(lab):
    found = ["best_of_n.offline", "best_of_n.on_policy", "dpo.offline", "dpo.on_policy"]
    assert list(labs.cells(lab, "sampling")) == found
    assert list(labs.cells(lab, "clipping")) == ["long", "short"]


def test_later_parts_win_levels_over_methods_over_the_cell_over_the_defaults_and_switches_that_are_off_go(lab):
    lab["defaults"] |= {"diagnose": False}
    flags = labs.flags(lab, "sampling", ("dpo", "on_policy"))
    assert flags == {
        **{"algorithm": "dpo", "beta": [0.1, 1.0], "epochs": 1, "fresh_states": True, "learning_rate": 0.01},
        **{"policy": "categorical", "record_every": 1, "reward": 4, "rounds": 4, "samples": 4, "states": 4},
        **{"seeds": [1, 2, 3], "source": "on_policy", "tuning_seeds": [101, 102]},
    }
    assert list(flags) == sorted(flags)
    assert labs.flags(lab, "clipping", ("long",))["clip_range"] == 0.2


def test_flags_are_typed_as_the_script_reads_them(lab):
    typed = shlex.split(labs.as_flags(labs.flags(lab, "sampling", ("dpo", "on_policy"))))
    assert typed[typed.index("--fresh_states") + 1] == "--learning_rate"
    assert typed[typed.index("--beta") : typed.index("--epochs")] == ["--beta", "0.1", "1.0"]


def test_a_figure_is_a_script_and_its_flags_a_measure_alone_is_its_last_value(lab):
    curves = {
        "lines": ["method"],
        "metric": ["reward"],
        "panels": ["source"],
        "title": "On-policy samples",
        "x": "step",
    }
    assert labs.figure(lab, "sampling") == ("plot_curves", curves)
    axis = {"metric": ["final_reward", "change_margin"], "title": "PPO", "x": "run"}
    assert labs.figure(lab, "clipping") == ("plot_axis", axis)


def test_levels_that_are_one_number_each_stand_there(lab):
    lab["experiments"]["clipping"]["axes"] = {"run": {"few": {"states": 2}, "many": {"states": 20}}}
    assert labs.figure(lab, "clipping")[1]["numbers"] == [2, 20]
    lab["experiments"]["clipping"]["axes"]["run"]["many"] |= {"samples": 3}
    assert "numbers" not in labs.figure(lab, "clipping")[1]


def test_a_target_makes_an_experiments_tables_and_figure_and_the_labs_own_all_of_them_and_the_claims(lab):
    found = labs.targets(lab)
    assert list(found) == ["bandit_tiny", "bandit_tiny_sampling", "bandit_tiny_clipping"]
    assert found["bandit_tiny_clipping"] == [
        *("results/bandit_tiny/tables/clipping.csv", "results/bandit_tiny/tables/curves_clipping.csv"),
        *("results/bandit_tiny/figures/clipping.svg", "results/bandit_tiny/figures/clipping.png"),
    ]
    tables = {f"results/bandit_tiny/tables/{name}" for name in ("seconds.csv", "claims.csv", "claims.txt")}
    assert set(found["bandit_tiny"]) == {*found["bandit_tiny_sampling"], *found["bandit_tiny_clipping"], *tables}


def test_points_of_the_kl_directions_are_typed_as_distributions(lab):
    lab["kl_directions"] = directions(forward=[0.4, 0.6], reverse=[0.3, 0.7])
    assert labs.kl_flags(lab) == {
        **{"draws": 5, "learning_rate": 1.0, "points": ["published=0.5,0.5:0.25,0.75"]},
        **{"published": "published=0.4,0.6:0.3,0.7", "seed": 1, "steps": 10},
    }
    assert "results/bandit_tiny/tables/kl_directions_checks.csv" in labs.targets(lab)["bandit_tiny_kl_directions"]


def test_claims_read_the_cells_that_they_are_about(lab):
    about = ["sampling/dpo.on_policy", "sampling/dpo.offline"]
    assert labs.files_of_claims(lab) == {cell: f"results/bandit_tiny/{cell}/history.parquet" for cell in about}


FOUND = ["bandit", "bandit_quick", "bandit_mine"]
TARGETS = {
    "bandit": "bandit",
    "bandit_sampling": "bandit",
    "bandit_quick": "bandit_quick",
    "bandit_quick_sampling": "bandit_quick",
    "results/bandit/tables/claims.csv": "bandit",
    "results/bandit_quick/sampling/dpo/history.parquet": "bandit_quick",
    "all": None,
    "bandits": None,
    "results/min_length/report.html": None,
    "results/bandit_other/tables/claims.csv": None,
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_of_the_lab_whose_name_it_begins_with_the_longest_that_fits(target):
    assert labs.asked(target, FOUND) == TARGETS[target]


def change(lab: dict, path: str, value) -> None:
    """Set a key named with dots; None takes it away."""
    *parents, last = path.split(".")
    for key in parents:
        lab = lab.setdefault(key, {})
    lab.pop(last, None) if value is None else lab.update({last: value})


def claimed(**changes) -> list[dict]:
    """The lab's claims with another statistic."""
    (claim,) = yaml.safe_load(LAB)["claims"]
    return [{**claim, "statistic": claim["statistic"] | changes}]


def directions(**point) -> dict:
    start = {"start": [0.5, 0.5], "target": [0.25, 0.75]}
    whole = {"points": {"published": start | point}, "learning_rate": 1.0, "steps": 10, "draws": 5, "seed": 1}
    return whole | {"figure": {"steps": 3}}


FIGURE = {"kind": "curves", "metric": "reward", "x": "step", "lines": ["method"]}
OTHER = {"title": "x", "axes": {"method": ["ppo"]}, "figure": FIGURE}
E, SAMPLING = "experiments.sampling", "experiments.sampling.cell"
BAD = {  # changes of the lab -> the lines that say what is wrong with it
    "a figure's axes": (
        {f"{E}.figure.panels": ["sauce"], "experiments.clipping.figure.x": "states"},
        [
            f"{E}.figure.panels: sauce is not one of the axes method, source",
            f"{E}.figure.lines: the axis source is 0 times in panels, lines and x, not once",
            "experiments.clipping.figure.x: states is not one of run",
            "experiments.clipping.figure.lines: the axis run is 0 times in panels, lines and x, not once",
        ],
    ),
    "a figure's metric": (
        {"experiments.clipping": None, f"{E}.figure.metric": ["reward", "rewards"]},
        [
            f"{E}.figure.metric: rewards is not one of reward, reward_se, entropy, entropy_se, kl, kl_se, "
            "reverse_kl, reverse_kl_se, loss, gradient_norm, chosen_logratio, rejected_logratio, margin, "
            "gradient_product, gradient_cosine"
        ],
    ),
    "what curves are drawn against": (
        {f"{E}.figure.x": "source"},
        [f"{E}.figure.x: source is not one of step, queries, kl"],
    ),
    "numbers of curves": (
        {f"{E}.figure.numbers": [1, 2]},
        [f"{E}.figure.numbers: is of figures of the kind axis only"],
    ),
    "no figure": ({f"{E}.figure": None}, [f"{E}.figure: is missing"]),
    "an axis called like a column": (
        {f"{E}.axes.seeds": {"few": {}}, f"{E}.figure.lines": ["method", "seeds"]},
        [f"{E}.axes.seeds: is another column of the tables; give the axis another name"],
    ),
    "a claim of no experiment": (
        {"claims": claimed(experiment="sampled")},
        ["claims: claim 'sampling': statistic: there is no experiment 'sampled'"],
    ),
    "a claim of no cell": (
        {"claims": claimed(of="dpo.on_policy - ipo.offline")},
        ["claims: claim 'sampling': statistic.of: experiment 'sampling' has no cell 'ipo.offline'"],
    ),
    "a claim of no measure": (
        {"claims": claimed(value="final rewards")},
        [
            "claims: claim 'sampling': statistic.value: 'final rewards' is not one of final, area, change, steps_to, a "
            "measure, and for steps_to a number"
        ],
    ),
    "two claims, one without an id, one without a rule": (
        {"claims": [{"claim": "x"}, {key: value for key, value in claimed()[0].items() if key != "passes"}]},
        ["claims.0: has no 'id'", "claims.1: has no 'passes'"],
    ),
    "two claims of one id": ({"claims": claimed() * 2}, ["claims: the id 'sampling' occurs twice"]),
    "distributions that are none": (
        {
            "kl_directions": directions(target=[0.5, 0.6]),
            "kl_directions.points.inside": {"start": [0.5, 0.5], "target": [1.0]},
        },
        [
            "kl_directions.points.published.target: sums to 1.1, not to 1",
            "kl_directions.points.inside.target: has 1 categories, and start has 2",
        ],
    ),
    "half of a figure's bars": (
        {"kl_directions": directions(forward=[0.5, 0.5])},
        ["kl_directions.points.published.forward: bars of a figure are forward and reverse, of one point"],
    ),
    "bars after the last step": (
        {"kl_directions": directions(), "kl_directions.figure.steps": 11},
        ["kl_directions.figure.steps: 11 is more than steps, which is 10"],
    ),
    "nothing of a category": (
        {"kl_directions": directions(target=[0, 1])},
        ["kl_directions.points.published.target.0: 0 must be more than 0"],
    ),
    "a name": ({"lab": "bandit_other"}, ["lab: bandit_other is not the name of the file; write bandit_tiny"]),
    "a misspelt key": ({"default": {}}, ["default: unknown key; did you mean defaults?"]),
    "a misspelt flag": (
        {"methods.dpo.betta": 1.0},
        ["methods.dpo.betta: unknown key; did you mean beta?"],
    ),
    "a misspelt flag of a level": (
        {f"{E}.axes.source.offline.round": 1},
        [f"{E}.axes.source.offline.round: unknown key; did you mean rounds?"],
    ),
    "a word": (
        {f"{SAMPLING}.policy": "categoric"},
        [
            f"{SAMPLING}.policy: 'categoric' is not one of categorical, gaussian, tanh_gaussian, cauchy, tanh_cauchy, "
            "tokens; did you mean categorical?"
        ],
    ),
    "a level's name": (
        {f"{E}.axes.source.Off-line": {}},
        [
            f"{E}.axes.source: 'Off-line' is not a name: use lower-case letters, digits and _, starting with a letter, "
            "80 at most"
        ],
    ),
    "no levels": ({f"{E}.axes.method": []}, [f"{E}.axes.method: is empty"]),
    "a method twice": (
        {f"{E}.axes.method": ["dpo", "dpo"]},
        [f"{E}.axes.method: ['dpo', 'dpo'] names one of its entries twice"],
    ),
    "an unknown method": (
        {f"{E}.axes.method": ["dpo", "ipo"], "experiments.clipping.axes.run.long": "trpo"},
        [
            f"{E}.axes.method: there is no method ipo; there are best_of_n, dpo, ppo",
            "experiments.clipping.axes.run.long: there is no method trpo; there are best_of_n, dpo, ppo",
        ],
    ),
    "a grid without values": ({"methods.dpo.beta": []}, ["methods.dpo.beta: is empty"]),
    "a negative value in a grid": (
        {"methods.dpo.beta": [0.1, -1.0]},
        ["methods.dpo.beta.1: -1.0 must be more than 0"],
    ),
    "text for a number": (
        {"methods.ppo.learning_rate": "1e-4"},
        ["methods.ppo.learning_rate: '1e-4' is text to YAML; write a number with a dot and no quotes, such as 0.0001"],
    ),
    "a switch that is none": ({f"{SAMPLING}.diagnose": 1}, [f"{SAMPLING}.diagnose: 1 is not true or false"]),
    "a negative count": ({f"{SAMPLING}.states": -3}, [f"{SAMPLING}.states: -3 must be at least 1"]),
    "no rounds": (
        {f"{E}.axes.source.on_policy.rounds": 0},
        [f"{E}.axes.source.on_policy.rounds: 0 must be at least 1"],
    ),
    "a taken name": (
        {"experiments.tables": OTHER},
        ["experiments.tables: the name is taken by the results' own"],
    ),
    "a target that is another lab": (
        {"experiments.mine": OTHER},
        ["experiments.mine: its target bandit_tiny_mine is the lab of another file; rename one of the two"],
    ),
    "tuned on what is reported": (
        {"tuning_seeds": [101, 3]},
        ["tuning_seeds: seed 3 is one of seeds, too; what is tuned on a seed is not reported of it"],
    ),
    "no seeds to tune on": (
        {"tuning_seeds": None, "experiments.clipping": None},
        ["tuning_seeds: is missing; one of the 2 points of the grid is chosen on them"],
    ),
    "a flag that nobody says": (
        {"defaults.samples": None, "experiments.clipping": None},
        [f"{SAMPLING}.samples: is missing"],
    ),
    "an algorithm that nobody says": (
        {"methods.dpo.algorithm": None},
        [f"{E}.cell.algorithm: is missing"],
    ),
    "an arms' reward of a line policy": (
        {f"{SAMPLING}.policy": "cauchy"},
        [f"{SAMPLING}.reward: 4 is no reward of the policy cauchy, which has 1, 2, 3"],
    ),
    "a reward on the line of arms": (
        {f"{SAMPLING}.reward": 2},
        [f"{SAMPLING}.reward: 2 is no reward of the policy categorical, which has 4, 5, 8, 9"],
    ),
    "a reward of tokens of arms": (
        {f"{SAMPLING}.reward": 7},
        [f"{SAMPLING}.reward: 7 is no reward of the policy categorical, which has 4, 5, 8, 9"],
    ),
    "a width of the tokens' policy": (
        {"experiments.clipping.cell": {"source": "on_policy", "rounds": 1, "epochs": 1, "policy": "tokens"}}
        | {"experiments.clipping.cell.reward": 6, "experiments.clipping.cell.hidden_size": 64},
        ["experiments.clipping.cell.hidden_size: 64 is not read by the policy tokens, whose network has one size"],
    ),
    "PPO without a clip range": (
        {"methods.ppo.clip_range": None},
        ["methods.ppo.clip_range: is missing; ppo needs it"],
    ),
    "a negative gradient of one sample": (
        {"methods.best_of_n": {"algorithm": "best_of_n", "learning_rate": 0.1, "negative": "worst", "beta": 0.1}}
        | {"methods.best_of_n.samples": 1, f"{E}.axes.method": ["best_of_n"]},
        ["methods.best_of_n.samples: 1 is too few; best_of_n compares samples of one state"],
    ),
    "pairs of one sample": (
        {"methods.dpo.samples": 1},
        ["methods.dpo.samples: 1 is too few; dpo compares samples of one state"],
    ),
    "a baseline of one sample": (
        {"methods.ppo.samples": 1, "methods.ppo.baseline": "leave_one_out"},
        ["methods.ppo.samples: 1 is too few; baseline leave_one_out compares samples of one state"],
    ),
    "offline rounds": (
        {f"{E}.axes.source.offline.rounds": 3},
        [
            f"{E}.axes.source.offline.rounds: 3 is more than 1, but offline samples are drawn once; more passes are "
            "epochs"
        ],
    ),
    "a batch that does not divide": (
        {"methods.ppo.batch_states": 3},
        ["methods.ppo.batch_states: 3 does not divide states, which is 4"],
    ),
    "beta where none is": (
        {"methods.ppo.beta": 0.1},
        ["methods.ppo.beta: 0.1 is not read by ppo, only by dpo, ipo, rwr, awr, best_of_n"],
    ),
    "beta of best-of-N without a negative gradient": (
        {"methods.best_of_n.beta": 0.1},
        ["methods.best_of_n.beta: 0.1 is not read by best_of_n without a negative gradient (negative)"],
    ),
    "no beta": ({"methods.dpo.beta": None}, ["methods.dpo.beta: is missing; dpo needs it"]),
    "a negative gradient without its weight": (
        {"methods.best_of_n.negative": "sum"},
        ["methods.best_of_n.beta: is missing; best_of_n with negative sum needs it"],
    ),
    "inert knobs": (
        {"methods.dpo.clip_range": 0.2, "methods.dpo.baseline": "average", "methods.dpo.negative": "sum"}
        | {"methods.ppo.min_margin": 0.2},
        [
            "methods.dpo.negative: sum is not read by dpo, only by best_of_n",
            "methods.dpo.baseline: average is not read by dpo, only by rwr, reinforce, ppo",
            "methods.dpo.clip_range: 0.2 is not read by dpo, only by ppo",
            "methods.ppo.min_margin: 0.2 is not read by ppo, only by pref_ft, dpo, ipo",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_lab_is_a_line_each_that_names_the_key(lab, name):
    changes, lines = BAD[name]
    for path, value in changes.items():
        change(lab, path, copy.deepcopy(value))
    assert lab_validation.problems(lab, "bandit_tiny", ["bandit_tiny", "bandit_tiny_mine"]) == lines


def test_the_lab_that_these_are_changes_of_is_right(lab):
    assert lab_validation.problems(lab, "bandit_tiny") == []
    for experiment in lab["experiments"]:
        assert [cells.problem(flags) for flags in labs.cells(lab, experiment).values()] == [None] * len(
            labs.cells(lab, experiment)
        )


def test_the_script_says_the_same_of_its_flags_typed_by_hand(lab):
    flags = labs.flags(lab, "sampling", ("dpo", "offline"))
    assert cells.problem(flags | {"rounds": 3}).startswith("--rounds 3: is more than 1")
    assert cells.problem(flags | {"beta": None}) == "--beta: is missing; dpo needs it"
    assert cells.problem(flags | {"seeds": (1, 101)}).startswith("--tuning_seeds: seed 101 is one of seeds")
