"""What Snakemake wrote of a run, as a table: how many jobs of each stage are where."""

from workflow.cluster import status

GROUP_LOG = "/x/group_ml/.snakemake/slurm_logs/group_conclude_plot_rewards_plot_margins_.../14.log"
BEGIN = """
Job stats:
job                 count
----------------  -------
train_sft               2
construct_pairs         2
plot_rewards            2
all                     1
total                   7

Select jobs to execute...
[Thu Nov 26 20:00:00 2026]
Job 1: train_sft min_length, seed 1
[Thu Nov 26 20:00:00 2026]
Job 2: train_sft min_length, seed 2
Job 1 has been submitted with SLURM jobid 11 (log: /x/.snakemake/slurm_logs/rule_train_sft/min_length_1/11.log).
Job 2 has been submitted with SLURM jobid 12 (log: /x/.snakemake/slurm_logs/rule_train_sft/min_length_2/12.log).
"""
ENDS = """[Thu Nov 26 20:01:00 2026]
Finished jobid: 1 (Rule: train_sft)
1 of 7 steps (14%) done
"""
FAILS = """[Thu Nov 26 20:01:30 2026]
Error in rule train_sft:
    message: SLURM-job '12' failed, SLURM status is: 'TIMEOUT'.
    jobid: 2
    output: policy
    log: policy.log, /x/.snakemake/slurm_logs/rule_train_sft/min_length_2/12.log (check log file(s) for error details)
"""
AGAIN = """Trying to restart job 2.
[Thu Nov 26 20:01:31 2026]
Job 2: train_sft min_length, seed 2
Job 2 has been submitted with SLURM jobid 13 (log: /x/.snakemake/slurm_logs/rule_train_sft/min_length_2/13.log).
"""
GROUP = f"""[Thu Nov 26 20:02:00 2026] Group job conclude (jobs in lexicogr. order):

    [Thu Nov 26 20:02:00 2026]
    Job 5: plot_rewards
    [Thu Nov 26 20:02:00 2026]
    Job 6: plot_rewards
Job 04294d9d-dd5d has been submitted with SLURM jobid 14 (log: {GROUP_LOG}).
"""


LABELS = """[Thu Nov 26 20:03:00 2026] Group job label_preferences (jobs in lexicogr. order):

    [Thu Nov 26 20:03:00 2026]
    Job 8: construct_preference_pairs min_length, seed 1, preferences
    [Thu Nov 26 20:03:00 2026]
    Job 9: score_preference_responses min_length, seed 1, preferences
Job 5bc9e2-aa has been submitted with SLURM jobid 15 (log: /scratch/logs/group_label_preferences_construct_.../15.log).
"""


def counts(log: str, waiting=()) -> dict[str, dict[str, int]]:
    lines = status.Run(log).table(set(waiting)).splitlines()
    ends = [lines[0].index(state) + len(state) for state in status.STATES]
    found = {}
    for line in lines[1:]:
        cells = [line[start:end].strip() for start, end in zip([ends[0] - 9, *ends], ends, strict=False)]
        found[line.split()[0]] = {state: int(cell) for state, cell in zip(status.STATES, cells, strict=True) if cell}
    return found


def test_what_slurm_has_not_started_is_queued_and_what_was_not_submitted_is_to_do():
    assert counts(BEGIN, {"12"}) == {
        "train_sft": {"queued": 1, "running": 1},
        "construct_pairs": {"to do": 2},
        "plot_rewards": {"to do": 2},
        "all": {"to do": 1},
    }


def test_jobs_end_fail_and_are_tried_again():
    assert counts(BEGIN + ENDS)["train_sft"] == {"running": 1, "done": 1}
    assert counts(BEGIN + ENDS + FAILS)["train_sft"] == {"done": 1, "failed": 1}
    assert counts(BEGIN + ENDS + FAILS + AGAIN)["train_sft"] == {"running": 1, "done": 1}


def test_the_logs_of_what_runs_and_what_failed_are_named():
    run = status.Run(BEGIN + ENDS + FAILS)
    path = "/x/.snakemake/slurm_logs/rule_train_sft/min_length_2/12.log"
    assert run.files("failed") == [("train_sft min_length, seed 2", path)] and run.files("running") == []


def test_the_members_of_a_group_share_its_job():
    run = status.Run(BEGIN + GROUP)
    assert counts(BEGIN + GROUP, {"14"})["plot_rewards"] == {"queued": 2}
    assert {log for _, log in run.files("running")} >= {GROUP_LOG}


def test_a_site_may_keep_the_logs_of_slurm_elsewhere():
    assert counts(BEGIN + LABELS, {"15"})["score_preference_responses"] == {"queued": 1}


def test_the_rules_of_a_module_have_the_names_that_its_user_gave_them():
    log = (BEGIN + ENDS + FAILS).replace("\ntrain_sft ", "\na_train_sft ").replace("rule_train", "rule_a_train")
    log = log.replace("Rule: train", "Rule: a_train").replace("rule train", "rule a_train")
    assert counts(log)["a_train_sft"] == {"done": 1, "failed": 1}


def test_a_folder_without_a_run_is_one_line(tmp_path, capsys):
    assert status.main(str(tmp_path)) == 1
    assert capsys.readouterr().err.count("\n") == 1
