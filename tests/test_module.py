"""Another workflow uses this one as a module: the same files, under names of its own."""

import shutil
import subprocess

import miniature
import yaml

SNAKEFILE = """
configfile: "experiment.yaml"


module prefdag:
    snakefile:
        {snakefile}
    config:
        config


use rule * from prefdag as prefdag_*


rule summary:
    default_target: True
    input:
        rules.prefdag_all.input,
    output:
        "summary.txt",
    shell:
        "wc --lines results/miniature/tables/final.csv > {{output}}"
"""


def test_a_module_plans_the_whole_experiment_and_makes_what_it_is_asked_for(tmp_path):
    miniature.write_data(tmp_path)
    shutil.copy(miniature.MINIATURE, tmp_path / "experiment.yaml")
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(snakefile=f'"{miniature.ROOT}/workflow/Snakefile"'))
    workflow = Using(tmp_path)
    planned = workflow.call("--dry-run")
    stages = set(yaml.safe_load(miniature.MINIATURE.read_text())["stages"])
    assert "prefdag_render_report" in planned and all(f"prefdag_{stage} " in planned for stage in stages)
    workflow.call("results/miniature/min_length/data/prompts.parquet")
    assert (tmp_path / "results/miniature/min_length/data/prompts.parquet").is_file()


def test_a_module_from_a_git_repository_fails_and_nothing_promises_one(tmp_path):
    """Snakemake fetches a hosted Snakefile alone, and this one needs the files beside it; see docs/module.md."""
    shutil.copytree(miniature.ROOT / "workflow", tmp_path / "hosted" / "workflow")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path / "hosted", check=True)
    shutil.copy(miniature.MINIATURE, tmp_path / "experiment.yaml")
    hosted = f'gitfile("{tmp_path}/hosted", path="workflow/Snakefile", ref="HEAD")'
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(snakefile=hosted))
    assert "hosted/workflow/Snakefile" in Using(tmp_path).fail("--dry-run")
    assert not (miniature.ROOT / ".snakemake-workflow-catalog.yml").exists()


class Using(miniature.Workflow):
    def typed(self, *arguments: str) -> list[str]:
        return ["--cores", "2", *arguments]
