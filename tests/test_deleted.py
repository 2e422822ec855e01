"""Results that were deleted for room, or moved to another disk: what runs again is what is needed, with equal bytes."""

import shutil

import pytest
from miniature import jobs

pytestmark = pytest.mark.workflow
SEED = "results/miniature/min_length/seed1"
ROUND = "results/miniature/min_length/dpo_on_policy/seed1/round1"


def test_deleted_weights_that_a_new_run_needs_are_made_again_as_they_were_and_no_finished_run_runs_again(copy):
    manifest = copy.folder / SEED / "sft/policy.manifest.json"
    before = manifest.read_bytes()
    shutil.rmtree(copy.folder / SEED / "sft/policy")
    copy.config["runs"]["more"] = {"algorithm": "pref_ft", "source": "offline"}
    ran = jobs(copy.call())
    assert "train_sft min_length, seed 1" in ran and "train_pref_ft min_length, more, seed 1, round 1" in ran
    assert not [job for job in ran if "pref_ft_offline" in job or "dpo_on_policy" in job or "reward_model" in job]
    assert manifest.read_bytes() == before
    assert copy.plan() == set()


@pytest.mark.parametrize("link", ["results", "results/miniature"])
def test_behind_a_link_to_another_disk_nothing_is_stale_and_a_deleted_file_is_made_again_when_asked_for(
    copy, tmp_path, link
):
    (copy.folder / link).rename(tmp_path / "disk")
    (copy.folder / link).symlink_to(tmp_path / "disk")
    file = f"{ROUND}/rewards.parquet"
    before = (copy.folder / file).read_bytes()
    (copy.folder / file).unlink()
    assert copy.plan() == set()
    assert jobs(copy.call(file)) == {"score_responses min_length, dpo_on_policy, seed 1, round 1"}
    assert (copy.folder / file).read_bytes() == before and copy.plan() == set()
