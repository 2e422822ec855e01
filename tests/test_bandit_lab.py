"""A whole lab in small, as a person calls it, and exactly what reruns where something of it changes."""

import copy
import re
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from calls import Calls
from edits import statement
from miniature import ROOT, Workflow, jobs

pytestmark = pytest.mark.lab

LAB = """
lab: bandit_tiny
seeds: [1, 2]
tuning_seeds: [101]
defaults: {policy: categorical, hidden_size: 8, states: 4, samples: 4, rounds: 1, eval_states: 8, record_every: 2}
methods:
  best_of_n: {algorithm: best_of_n, learning_rate: [1.0e-3, 1.0e-2]}
  dpo: {algorithm: dpo, learning_rate: 1.0e-2, beta: 0.1}
  wild: {algorithm: dpo, learning_rate: 1.0e+6, beta: 1.0e+30}
experiments:
  sampling:
    title: Samples
    cell: {reward: 4, source: on_policy, epochs: 4}
    axes: {method: [best_of_n, dpo]}
    figure: {kind: curves, metric: reward, x: step, lines: method}
  rates:
    title: Rates
    cell: {reward: 5, source: offline, epochs: 4}
    axes: {method: [dpo, wild], states: {s2: {states: 2}}}
    figure: {kind: axis, metric: reward, x: states, lines: method}
kl_directions:
  points: {even: {start: [0.5, 0.5], target: [0.25, 0.75]}}
  learning_rate: 1.0
  steps: 3
  draws: 10
  seed: 1
  figure: {steps: 3}
claims:
  - id: sampling
    claim: DPO gains more.
    source: nowhere
    statistic: {experiment: sampling, value: final reward, of: dpo - best_of_n}
    passes: {above: 0}
  - id: rates
    claim: A rate without bounds pays.
    source: nowhere
    statistic: {experiment: rates, value: final reward, of: wild.s2 - dpo.s2}
    passes: {above: 0}
"""
RESULTS = "results/bandit_tiny"


class Lab(Workflow):
    """A folder with the default experiment's config and labs beside it; it is called without --configfile."""

    def __init__(self, folder, lab: dict | str = LAB, code=ROOT):
        super().__init__(folder, lab, code)
        (folder / "config").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "config" / "config.yaml", folder / "config")
        text = lab if isinstance(lab, str) else yaml.safe_dump(lab, sort_keys=False)
        (folder / "config" / "bandit_tiny.yaml").write_text(text)

    def typed(self, *arguments: str) -> list[str]:
        return ["-s", str(self.code / "Snakefile"), "--directory", str(self.folder), *arguments]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished lab; tests read it."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.said = lab.call("bandit_tiny")
    return lab


def test_it_ends_with_tables_figures_and_claims_and_says_what_these_are(made):
    tables = ["sampling.csv", "curves_sampling.csv", "rates.csv", "curves_rates.csv", "claims.csv", "seconds.csv"]
    tables += ["kl_directions.csv", "kl_directions_checks.csv"]
    figures = ["sampling.svg", "sampling.png", "rates.svg", "rates.png", "kl_directions.svg", "kl_directions.png"]
    for path in [*(f"tables/{name}" for name in tables), *(f"figures/{name}" for name in figures)]:
        assert (made.folder / RESULTS / path).stat().st_size > 0, path
    assert (made.folder / RESULTS / "tables" / "claims.txt").read_text() in made.said
    assert list(pd.read_csv(made.folder / RESULTS / "tables" / "seconds.csv")["cell"]) == [
        *("best_of_n", "dpo", "dpo.s2", "wild.s2")
    ]


def test_a_cell_that_diverges_is_shown_as_diverged_and_decides_nothing(made):
    table = pd.read_csv(made.folder / RESULTS / "tables" / "rates.csv").set_index("method")
    assert table["diverged"].to_dict() == {"dpo": 0, "wild": 2}
    assert table["final_reward"].isna().to_dict() == {"dpo": False, "wild": True}
    figure = (made.folder / RESULTS / "figures" / "rates.svg").read_text()
    assert "diverged" in figure and not re.search(r"\bnan\b", figure, re.IGNORECASE)
    claims = pd.read_csv(made.folder / RESULTS / "tables" / "claims.csv").set_index("id")
    assert claims.loc["rates", "verdict"] == "undecided"
    assert claims.loc["rates", "note"] == "2 of 2 runs of rates/wild.s2 diverged"


def test_the_command_in_a_cells_log_makes_the_same_bytes_elsewhere(made):
    cell, elsewhere = f"{RESULTS}/sampling/best_of_n", made.folder.parent / "elsewhere"
    log = (made.folder / cell / "history.log").read_text().splitlines()
    elsewhere.mkdir()
    subprocess.run(shlex.split(log[0].removeprefix("$ ")), cwd=elsewhere, check=True, capture_output=True)
    for name in ("history.parquet", "tuning.parquet"):
        assert (elsewhere / cell / name).read_bytes() == (made.folder / cell / name).read_bytes(), name


# What was changed -> the edit of the lab or of the code, and exactly what reruns.


def option(path: str, value):
    def edit(draft):
        *parents, last = path.split(".")
        part = draft.lab
        for key in parents:
            part = part[int(key) if isinstance(part, list) else key]
        part[last] = value

    return edit


def keys_reversed(draft):
    """Turn the order of all keys round, but for the levels', whose order is that of the tables."""

    def turned(value):
        if not isinstance(value, dict):
            return value
        return {key: value[key] if key == "axes" else turned(value[key]) for key in reversed(value)}

    draft.lab = turned(draft.lab)


def runs(*cells: str):
    return {f"run_bandit bandit_tiny, {cell}" for cell in cells}


def of(stage: str, *experiments: str):
    return {f"{stage} bandit_tiny, {experiment}" for experiment in experiments}


def drawn(*experiments: str):
    return of("summarize_cells_of_lab", *experiments) | of("plot_bandit", *experiments)


BEST, DPO, FEW, WILD = "sampling, best_of_n", "sampling, dpo", "rates, dpo.s2", "rates, wild.s2"
JUDGED, COSTS = {"judge_claims_of_lab bandit_tiny"}, {"summarize_seconds bandit_tiny"}
ALL = runs(BEST, DPO, FEW, WILD) | drawn("sampling", "rates") | JUDGED | COSTS
OF_DPO = runs(DPO, FEW) | drawn("sampling", "rates") | JUDGED | COSTS
IPO = {"algorithm": "ipo", "learning_rate": 0.01, "beta": 0.5}
CHANGES = {
    "nothing": (lambda draft: None, set()),
    "a comment": (lambda draft: setattr(draft, "lab", f"# A comment.\n{LAB}"), set()),
    "the order of keys, of experiments too, which is that of the table of seconds": (keys_reversed, COSTS),
    "a method's grid": (option("methods.dpo.learning_rate", [0.01, 0.1]), OF_DPO),
    "a grid of one point as a list": (option("methods.dpo.learning_rate", [0.01]), OF_DPO),
    "a flag of an experiment": (
        option("experiments.rates.cell.epochs", 6),
        runs(FEW, WILD) | drawn("rates") | JUDGED | COSTS,
    ),
    "a switch that is off": (option("defaults.diagnose", False), set()),
    "a seed more": (option("seeds", [1, 2, 3]), ALL),
    "a level more": (
        option("experiments.sampling.axes.method", {"best_of_n": "best_of_n", "dpo": "dpo", "ipo": IPO}),
        runs("sampling, ipo") | drawn("sampling") | COSTS,
    ),
    "the order of levels, which is that of the table": (
        option("experiments.sampling.axes.method", ["dpo", "best_of_n"]),
        drawn("sampling") | COSTS,
    ),
    "a claim's rule": (option("claims.0.passes", {"above": 1}), JUDGED),
    "a figure's settings": (option("experiments.sampling.figure.x", "queries"), of("plot_bandit", "sampling")),
    "a title": (option("experiments.rates.title", "Learning rates"), of("plot_bandit", "rates")),
    "a point of the KL's directions": (
        option("kl_directions.points.even.target", [0.3, 0.7]),
        {"compare_kl_directions bandit_tiny", "plot_kl_directions bandit_tiny"},
    ),
    "where its bars are drawn": (option("kl_directions.figure.steps", 2), {"plot_kl_directions bandit_tiny"}),
    "how claims are judged": (statement("scripts/preference/analysis/claims.py"), JUDGED),
    "how lines are drawn": (statement("scripts/preference/report/lines.py"), of("plot_bandit", "sampling", "rates")),
    "a loss": (statement("scripts/preference/losses/contrastive.py"), ALL),
    "a plot of the default experiment": (statement("scripts/plot_rewards.py"), set()),
}


class Draft:
    """A finished lab to change: its results are read where they are, the code is copied where an edit asks for it."""

    def __init__(self, made: Lab, folder):
        self.folder, self.lab = folder, yaml.safe_load(LAB)
        folder.mkdir()
        (folder / "results").symlink_to(made.folder / "results")
        shutil.copytree(made.folder / ".snakemake", folder / ".snakemake")
        self._code = None

    @property
    def code(self):
        if self._code is None:
            self._code = self.folder / "code"
            for part in ("workflow", "scripts", "envs", "profiles"):
                shutil.copytree(ROOT / part, self._code / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy2(ROOT / "Snakefile", self._code)
        return self._code

    def workflow(self) -> Lab:
        return Lab(self.folder, self.lab, self._code or ROOT)


@pytest.fixture(scope="module")
def plans(made, tmp_path_factory):
    """What was changed -> its plan to come, as many at a time as there are cores."""
    folder = tmp_path_factory.mktemp("changes")

    def plan(name: str) -> set[str]:
        draft = Draft(made, folder / re.sub(r"\W+", "_", name))
        CHANGES[name][0](draft)
        lab = draft.workflow()
        status, said = calls.call(lab.typed("--dry-run", "bandit_tiny"), lab.folder, lab.environment())
        assert status == 0, said[-6000:]
        return jobs(said)

    with Calls() as calls:
        yield {name: calls.submit(plan, name) for name in CHANGES}


@pytest.mark.parametrize("change", CHANGES)
def test_exactly_this_reruns(plans, change):
    assert plans[change].result() == CHANGES[change][1]


# What is asked for, and what is not.


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A folder with a sound lab and broken ones, and nothing made."""
    lab = Lab(tmp_path_factory.mktemp("beside"))
    wrong = copy.deepcopy(yaml.safe_load(LAB)) | {"lab": "bandit_wrong", "seed": [1]}
    wrong["methods"]["dpo"]["clip_range"] = 0.2
    (lab.folder / "config" / "bandit_wrong.yaml").write_text(yaml.safe_dump(wrong))
    (lab.folder / "config" / "bandit_damaged.yaml").write_text("lab: [bandit_damaged\n")
    return lab


REFUSED = {  # targets -> what snakemake says below its first line, and nothing else
    "bandit_wrong": ["config/bandit_wrong.yaml: seed: unknown key; did you mean seeds?"],
    "bandit_wrong_sampling": ["config/bandit_wrong.yaml: seed: unknown key; did you mean seeds?"],
    "bandit_damaged": [
        "config/bandit_damaged.yaml: line 2, column 1: not YAML: while parsing a flow sequence expected ',' or ']', "
        "but got '<stream end>'"
    ],
    "bandit_tiny_samplin": [
        "bandit_tiny_samplin: config/bandit_tiny.yaml has no such target; did you mean bandit_tiny_sampling?"
    ],
    "bandit_mine": ["bandit_mine: there is no config/bandit_mine.yaml"],
}


@pytest.mark.parametrize("target", REFUSED)
def test_a_target_of_a_broken_lab_is_one_line(beside, target):
    first, *said = beside.fail("--dry-run", target).splitlines()
    assert first.startswith("Using workflow specific profile") and said == REFUSED[target]


def test_a_broken_lab_is_in_nobody_elses_way(beside):
    assert "prepare_task min_length" in beside.plan()
    assert len(jobs(beside.call("--dry-run", "bandit_tiny_sampling"))) == 4
    assert len(jobs(beside.call("--dry-run", f"{RESULTS}/tables/rates.csv"))) == 3


def test_a_job_on_a_cluster_finds_the_lab_that_it_is_of(beside):
    job = "run_bandit:lab=bandit_tiny,experiment=sampling,cell=dpo"
    assert jobs(beside.call("--dry-run", "--target-jobs", job)) == runs("sampling, dpo")


def test_make_why_names_the_claim_whose_rule_has_changed(made, tmp_path):
    draft = Draft(made, tmp_path / "draft")
    CHANGES["a claim's rule"][0](draft)
    lab = draft.workflow()
    process = lab.run([sys.executable, ROOT / "workflow" / "why.py", "bandit_tiny", *lab.typed()])
    said, _ = process.communicate()
    assert "judge_claims_of_lab bandit_tiny: flag claims.sampling.passes.above 0 -> 1" in said
