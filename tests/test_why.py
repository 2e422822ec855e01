"""`make why` names the change that makes a job stale, and counts what only follows."""

import os
import subprocess
import sys
from types import SimpleNamespace

import edits
import pytest
from calls import Calls
from edits import added, both, code, deleted, option, statement
from miniature import Workflow

from workflow import why

REPORT_CALL = """experiment=CONFIG["experiment"],
        ),
    shell:
        RUN"""

LOSS = "preference/losses/contrastive.py"
ROUND_1 = "min_length/dpo_on_policy/seed1/round1"
ASKED = {
    "nothing": (lambda draft: None, "Nothing would rerun.\n"),
    "DPO's beta": (
        option("stages.train_dpo.beta", 0.2),
        """\
5 jobs are stale in their own right:
  write_config: stages.train_dpo.beta 0.1 -> 0.2
  train_dpo min_length, dpo_on_policy, seed 1, round 1: flag beta 0.1 -> 0.2
  train_dpo min_length, dpo_on_policy, seed 2, round 1: flag beta 0.1 -> 0.2
  train_dpo min_length, dpo_on_policy, seed 1, round 2: flag beta 0.1 -> 0.2
  train_dpo min_length, dpo_on_policy, seed 2, round 2: flag beta 0.1 -> 0.2
19 more because of them: generate_responses 2, evaluate_policy 4, score_responses 2, construct_pairs 2, \
compute_reference_logps 2, summarize_run 2, summarize_experiment, plot_frontier, plot_margins, plot_rewards, \
render_report
""",
    ),
    "a loss, and a flag of what is below it": (
        both(statement(f"scripts/{LOSS}"), option("stages.evaluate_policy.scoring_batch_size", 8)),
        f"""\
17 jobs are stale in their own right:
  write_config: stages.evaluate_policy.scoring_batch_size 32 -> 8
  train_reward_model min_length, seed 1: code: {LOSS} changed
  train_reward_model min_length, seed 2: code: {LOSS} changed
  evaluate_sft_policy, 2 jobs: flag scoring_batch_size 32 -> 8
  evaluate_policy, 8 jobs: flag scoring_batch_size 32 -> 8
  train_dpo min_length, dpo_on_policy, seed 1, round 1: code: {LOSS} changed
  train_dpo min_length, dpo_on_policy, seed 2, round 1: code: {LOSS} changed
  train_dpo min_length, dpo_on_policy, seed 1, round 2: code: {LOSS} changed
  train_dpo min_length, dpo_on_policy, seed 2, round 2: code: {LOSS} changed
23 more because of them: score_responses 4, construct_pairs 4, compute_reference_logps 4, generate_responses 2, \
summarize_run 4, summarize_experiment, plot_frontier, plot_margins, plot_rewards, render_report
""",
    ),
    "a run more": (
        option("runs.dpo_offline", {"algorithm": "dpo", "source": "offline"}),
        """\
13 jobs are stale in their own right:
  write_config: runs.dpo_offline added
  construct_pairs, 2 jobs: new
  compute_reference_logps, 2 jobs: new
  train_dpo, 2 jobs: new
  evaluate_policy, 2 jobs: new
  summarize_run, 2 jobs: new
  summarize_experiment: input added: results/miniature/min_length/dpo_offline/seed1/metrics.csv and 3 more
  render_report: input added: results/miniature/min_length/dpo_offline/seed1/round1/evaluation.parquet and 2 more
3 more because of them: plot_frontier, plot_margins, plot_rewards
""",
    ),
    "the data file's content": (
        edits.data(seed=1),
        """\
1 job is stale in its own right:
  prepare_task min_length: input changed: instructions.jsonl
65 more because of them: initialize_model 2, train_sft 2, generate_preference_responses 4, generate_responses 4, \
score_preference_responses 4, construct_preference_pairs 4, construct_pairs 8, train_reward_model 2, \
evaluate_sft_policy 2, score_responses 4, train_pref_ft 4, evaluate_policy 8, compute_reference_logps 4, \
summarize_run 4, train_dpo 4, summarize_experiment, plot_frontier, plot_margins, plot_rewards, render_report
""",
    ),
    "what is gone and needed": (
        both(deleted(f"{ROUND_1}/policy", "figures/rewards.svg"), statement("scripts/evaluate_policy.py")),
        f"""\
12 jobs are stale in their own right:
  evaluate_sft_policy, 2 jobs: code: evaluate_policy.py changed
  evaluate_policy, 8 jobs: code: evaluate_policy.py changed
  train_dpo min_length, dpo_on_policy, seed 1, round 1: its output is missing: results/miniature/{ROUND_1}/policy
  plot_rewards: its output is missing: results/miniature/figures/rewards.svg
8 more because of them: summarize_run 4, summarize_experiment, plot_frontier, plot_margins, render_report
""",
    ),
    "what is gone and not needed": (
        deleted(f"{ROUND_1}/policy", f"{ROUND_1}/rewards.parquet"),
        f"""\
Nothing would rerun.
2 outputs no longer exist. No job that would run reads them; to make one again, name it: snakemake FILE
  results/miniature/{ROUND_1}/policy
  results/miniature/{ROUND_1}/rewards.parquet
""",
    ),
    "the SFT policy's weights, gone, and a run more": (
        both(
            deleted("min_length/seed1/sft/policy"), option("runs.more", {"algorithm": "pref_ft", "source": "offline"})
        ),
        """\
12 jobs are stale in their own right:
  write_config: runs.more added
  train_sft min_length, seed 1: its output is missing: results/miniature/min_length/seed1/sft/policy
  construct_pairs, 2 jobs: new
  train_pref_ft, 2 jobs: new
  evaluate_policy, 2 jobs: new
  summarize_run, 2 jobs: new
  summarize_experiment: input added: results/miniature/min_length/more/seed1/metrics.csv and 3 more
  render_report: input added: results/miniature/min_length/more/seed1/round1/evaluation.parquet and 2 more
3 more because of them: plot_frontier, plot_margins, plot_rewards
""",
    ),
    "the order of runs, an import and a rule's command": (
        both(
            edits.runs_reversed,
            code(
                "scripts/plot_margins.py",
                "from preference.report",
                "from preference import seeds\nfrom preference.report",
            ),
            added("scripts/plot_margins.py", "assert seeds"),
            code("workflow/rules/results.smk", REPORT_CALL, REPORT_CALL + ' + " "'),
        ),
        """\
3 jobs are stale in their own right:
  summarize_experiment: the order of its inputs changed
  plot_margins: code: plot_margins.py changed, preference/seeds.py added
  render_report: the order of its inputs changed; its rule's command changed
2 more because of them: plot_frontier, plot_rewards
""",
    ),
    "what a kill left, and an output that no record knows": (
        both(
            edits.interrupted(f"{ROUND_1}/responses.parquet", "figures/rewards.svg"),
            deleted("figures/rewards.svg"),
            code(
                "workflow/rules/results.smk",
                "        text_output=f",
                '        _more=f"{RESULTS}/more.csv",\n        text_output=f',
            ),
            edits.runs_reversed,
        ),
        f"""\
4 jobs are stale in their own right:
  generate_responses min_length, dpo_on_policy, seed 1, round 1: it was interrupted while it made: \
results/miniature/{ROUND_1}/responses.parquet
  summarize_experiment: its output is missing: results/miniature/more.csv; the order of its inputs changed
  plot_rewards: it was interrupted while it made: results/miniature/figures/rewards.svg
  render_report: the order of its inputs changed
14 more because of them: score_responses 2, construct_pairs 2, compute_reference_logps 2, train_dpo 2, \
evaluate_policy 2, generate_responses, summarize_run, plot_frontier, plot_margins
""",
    ),
    "results without the engine's memory": (
        edits.forgotten,
        """\
Nothing would rerun.
The results of 67 jobs have no record of how they were made, so that no change of flags or code is noticed; \
is .snakemake/ gone?
""",
    ),
    "a fresh clone without results": (
        edits.emptied,
        """\
67 jobs are stale in their own right:
  prepare_task min_length: new
  write_config: new
  initialize_model, 2 jobs: new
  train_sft, 2 jobs: new
  generate_preference_responses, 4 jobs: new
  generate_responses, 4 jobs: new
  score_preference_responses, 4 jobs: new
  construct_preference_pairs, 4 jobs: new
  construct_pairs, 8 jobs: new
  train_reward_model, 2 jobs: new
  evaluate_sft_policy, 2 jobs: new
  score_responses, 4 jobs: new
  train_pref_ft, 4 jobs: new
  evaluate_policy, 8 jobs: new
  compute_reference_logps, 4 jobs: new
  summarize_run, 4 jobs: new
  train_dpo, 4 jobs: new
  summarize_experiment: new
  plot_frontier: new
  plot_margins: new
  plot_rewards: new
  render_report: new
""",
    ),
}


@pytest.fixture(scope="module")
def answers(request, finished, tmp_path_factory):
    """Each question that is asked -> its (exit status, answer) to come, as many at a time as there are cores."""
    folder = tmp_path_factory.mktemp("questions")

    def answer(name: str, edit) -> tuple[int, str]:
        draft = edits.Draft(finished, folder / name)
        edit(draft)
        asked = draft.workflow()
        return calls.call(asked.typed(), asked.folder, asked.environment(), asked.code / "workflow" / "why.py")

    names = [item.callspec.params["name"] for item in request.session.items if "answers" in item.fixturenames]
    with Calls() as calls:
        yield {name: calls.submit(answer, name, ASKED[name][0]) for name in names}


@pytest.mark.parametrize("name", ASKED)
def test_it_says_which_change_reruns_what(answers, name):
    status, said = answers[name].result()
    profile, _, answer = said.partition("\n")
    assert (status, sorted_following(answer)) == (0, sorted_following(ASKED[name][1])), profile


def sorted_following(said: str) -> str:
    """What was said, with the stages that follow in alphabetical order: their own is that of the graph's levels."""
    *lines, last = said.splitlines()
    number, _, stages = last.partition(" more because of them: ")
    return "\n".join([*lines, number, *sorted(stages.split(", "))])


def test_a_wrong_config_is_the_same_line_as_everywhere(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.config["stages"]["train_dpo"]["betta"] = 0.1
    why = [sys.executable, workflow.code / "workflow" / "why.py", *workflow.typed()]
    answer = subprocess.run(why, cwd=tmp_path, env=os.environ | workflow.environment(), capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, "") and "Traceback" not in answer.stderr
    assert answer.stderr.splitlines()[-1] == workflow.fail().splitlines()[-1]
    assert "stages.train_dpo.betta: unknown key; did you mean beta?" in answer.stderr


def test_of_many_outputs_that_are_gone_it_names_a_few(tmp_path):
    job = SimpleNamespace(output=[f"{tmp_path}/{number}.parquet" for number in range(10)])
    first, *lines = why.deleted([job]).splitlines()
    assert first.startswith("10 outputs no longer exist. No job") and len(lines) == 9 and lines[-1] == "  and 2 more"
    (tmp_path / "0.parquet").touch()
    assert why.deleted([SimpleNamespace(output=[f"{tmp_path}/0.parquet"])]) == ""


def test_a_value_of_the_config_cannot_move_the_cursor():
    said = why.report({"train_dpo": [why.value_of_change("flag data", "\x1b[2J\r", "\u202ex")]})
    assert why.harmless(said).splitlines()[-1] == r"  train_dpo: flag data \x1b[2J\r -> \u202ex"
