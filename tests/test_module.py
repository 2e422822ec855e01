"""Another workflow uses this one as a module: the same files, under names of its own."""

import shutil

import miniature
import yaml

SNAKEFILE = """
configfile: "experiment.yaml"


module prefdag:
    snakefile:
        "{code}/workflow/Snakefile"
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
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(code=miniature.ROOT))
    workflow = Using(tmp_path)
    planned = workflow.call("--dry-run")
    stages = set(yaml.safe_load(miniature.MINIATURE.read_text())["stages"])
    assert "prefdag_render_report" in planned and all(f"prefdag_{stage} " in planned for stage in stages)
    workflow.call("results/miniature/min_length/data/prompts.parquet")
    assert (tmp_path / "results/miniature/min_length/data/prompts.parquet").is_file()


class Using(miniature.Workflow):
    def typed(self, *arguments: str) -> list[str]:
        return ["--cores", "2", *arguments]
