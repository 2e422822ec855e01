"""Say what would rerun and which change causes it: `make why`, or this program with snakemake's own options.

A dry run says that "params have changed" and prints them whole, and of a stale job that waits for another stale one it
says only that. This asks the same planner, through Snakemake's API and with the command line and the profile that plain
`snakemake` goes by, and then compares what it remembers of each job with what it would remember now. Where the API
ends, it reads the planner's attributes, which is sturdier than reading its prose; envs/lock.txt pins the version.
"""

import ast
import logging
import os
import sys
from collections import Counter
from pathlib import Path

from snakemake import cli
from snakemake.api import SnakemakeApi
from snakemake.settings import types as settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workflow import patches

FEW = 8  # jobs that share a cause are listed one by one up to here, and stage by stage beyond
NEW = "new"


def main(argv: list[str] | None = None) -> int:
    quiet = settings.OutputSettings(dryrun=True, log_level_override=logging.ERROR, enable_file_logging=False)
    with SnakemakeApi(quiet) as api:
        try:
            dag = plan(api, cli.parse_args(argv)[1])
        except Exception as error:
            api.print_exception(error)
            return 1
        stale = stale_jobs(dag)
        others = set(dag.jobs) - set(stale)
        parts = (report({job.message: causes(job, dag) for job in stale}), deleted(others), unrecorded(others, dag))
        print(harmless("\n".join(filter(None, parts))))
        return 0


def harmless(text: str) -> str:
    """The text with every control character as its escape: values of a config may hold any, and move a cursor."""
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)


def plan(api: SnakemakeApi, typed):
    """The graph of jobs as a dry run with these options sees it."""
    workflow = api.workflow(
        settings.ResourceSettings(cores=1),
        settings.ConfigSettings(config=cli.parse_config(typed.config), configfiles=typed.configfile),
        deployment_settings=settings.DeploymentSettings(deployment_method=typed.software_deployment_method),
        snakefile=typed.snakefile,
        workdir=typed.directory,
    )
    graph = workflow.dag(
        settings.DAGSettings(
            targets=typed.targets,
            until=typed.until,
            force_incomplete=typed.rerun_incomplete,
            rerun_triggers=typed.rerun_triggers,
            max_checksum_file_size=typed.max_checksum_file_size,
        )
    )
    graph.execute_workflow(executor="dryrun")
    return patches.dag_of(workflow)


def stale_jobs(dag) -> list:
    """The jobs that would run, those that others wait for first."""
    stale = set(dag.needrun_jobs(exclude_finished=False))
    levels = ([job for job in level if job in stale and not job.rule.norun] for level in dag.toposorted())
    return [job for level in levels for job in sorted(level, key=lambda job: in_words(job.message))]


def in_words(message: str) -> list:
    """A message as a key to sort by, in which round 10 comes after round 9."""
    return [(word.isdigit(), int(word) if word.isdigit() else 0, word) for word in message.replace(",", " ").split()]


def causes(job, dag) -> list[str]:
    """Why a job is stale in its own right; empty where it only follows from others."""
    reason, memory = dag.reason(job), dag.workflow.persistence
    interrupted = unfinished(job, memory)
    if reason.missing_output and not interrupted and record_of(job, memory) is None:
        return [NEW]
    found = files("it was interrupted while it made", interrupted)
    found += files("its output is missing", reason.missing_output - interrupted)
    found += files("input changed", reason.updated_input) + changed_inputs(job, memory) + changed_params(job, memory)
    found += ["its rule's command changed"] if any(memory.code_changed(job)) else []
    found += ["its software environment changed"] if any(memory.software_stack_changed(job)) else []
    return found


def files(what: str, paths) -> list[str]:
    names = sorted(map(str, paths))
    return [f"{what}: {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")] if names else []


def unfinished(job, memory) -> set[str]:
    """The outputs, there or not, that a job was making when it was killed."""
    return patches.incomplete(memory, job.output)


def record_of(job, memory):
    """What is remembered of a job; a rule may have been given outputs since, which no record knows."""
    return next(filter(None, map(memory.metadata, job.output)), None)


def changed_inputs(job, memory) -> list[str]:
    record, now = record_of(job, memory), set(map(str, job.input))
    before = set(record.input) if record else now
    return files("input added", now - before) + files("input removed", before - now)


def changed_params(job, memory) -> list[str]:
    """The code, flags and config that differ, or the order of the inputs if nothing else does."""
    change = memory.params_changed(job)
    if not change:
        return []
    before, now = (
        {
            key: value
            for text in texts
            if isinstance(param := ast.literal_eval(text), dict)
            for key, value in param.items()
        }
        for texts in (change.only_old, change.only_new)
    )
    for part in (before, now):
        part.pop("order", None)  # of the inputs' labels: which inputs came or went is found of the inputs themselves
    code = differences(before.pop("code", {}), now.pop("code", {}))
    found = ["code: " + ", ".join(name_of_change(*each) for each in code)] if code else []
    flags = differences(before.pop("flags", {}), now.pop("flags", {}))
    found += [f"flag {value_of_change(*each)}" for each in flags]
    found += [value_of_change(*each) for each in differences(before.pop("config", before), now.pop("config", now))]
    return found or ([] if changed_inputs(job, memory) else ["the order of its inputs changed"])


def unrecorded(jobs: set, dag) -> str:
    """A warning where results are there and .snakemake/, which remembers how they were made, is not."""
    number = sum(dag.reason(job).no_metadata for job in jobs)
    lost = "have no record of how they were made, so that no change of flags or code is noticed; is .snakemake/ gone?"
    return f"The results of {number} jobs {lost}" if number else ""


def deleted(jobs) -> str:
    """Return a note on outputs that do not exist any more and that no stale job reads; empty where there are none."""
    paths = sorted({str(path) for job in jobs for path in job.output if not os.path.exists(path)})
    if not paths:
        return ""
    outputs, them = ("output no longer exists", "it") if len(paths) == 1 else ("outputs no longer exist", "them")
    more = [f"  and {len(paths) - FEW} more"] if paths[FEW:] else []
    note = f"{len(paths)} {outputs}. No job that would run reads {them}; to make one again, name it: snakemake FILE"
    return "\n".join([note, *(f"  {path}" for path in paths[:FEW]), *more])


UNSET = object()


def differences(before, now, name: str = "") -> list[tuple]:
    """(dotted name, value before, value now) of each leaf that differs; a branch that came or went is one leaf."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [(name, before, now)]
    return [
        leaf
        for key in sorted({*before, *now})
        for leaf in differences(before.get(key, UNSET), now.get(key, UNSET), f"{name}.{key}" if name else key)
    ]


def name_of_change(name: str, before, now) -> str:
    return f"{name} {'added' if before is UNSET else 'removed' if now is UNSET else 'changed'}"


def value_of_change(name: str, before, now) -> str:
    if isinstance(before, dict) or isinstance(now, dict):
        return name_of_change(name, before, now)
    return f"{name} {'unset' if before is UNSET else before} -> {'unset' if now is UNSET else now}"


def report(jobs: dict[str, list[str]]) -> str:
    """The answer: the jobs that are stale in their own right with their causes, and how many follow from them."""
    if not jobs:
        return "Nothing would rerun."
    own = {message: "; ".join(found) for message, found in jobs.items() if found}
    stale = "job is stale in its" if len(own) == 1 else "jobs are stale in their"
    lines = [f"{len(own)} {stale} own right:", *listed(own)]
    following = Counter(stage_of(message) for message, found in jobs.items() if not found)
    shown = ", ".join(stage if count == 1 else f"{stage} {count}" for stage, count in following.items())
    return "\n".join(lines + ([f"{following.total()} more because of them: {shown}"] if following else []))


def listed(own: dict[str, str]) -> list[str]:
    """A line a job, or, where many share a cause or are new, a line for those of a stage."""
    sharing = Counter(own.values())
    alike = Counter((stage_of(message), cause) for message, cause in own.items())
    lines = []
    for message, cause in own.items():
        number = alike[stage_of(message), cause]
        alone = number == 1 or (cause != NEW and sharing[cause] <= FEW)
        lines.append(f"  {message if alone else f'{stage_of(message)}, {number} jobs'}: {cause}")
    return list(dict.fromkeys(lines))


def stage_of(message: str) -> str:
    return message.split()[0]


if __name__ == "__main__":
    sys.exit(main())
