"""Declare the keys of config files that are not flags of a stage: those of an experiment and those of a lab.

A class is a mapping in the file, a field is a key. generate.py makes the schemas and the reference page from these
classes and from the scripts' flags. Planning reads the schemas and imports neither.
"""

from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from preference.rewards import GOLD_REWARDS
from preference.rewards.specs import TRAINED
from preference.running.ranges import Finite, Positive, PositiveShare, Repeats, Seed
from workflow import stages
from workflow.config import runs, store


def set_in(part: str) -> list[str]:
    """Return the stages whose flags a part of a config may set."""
    return [stage.script for stage in stages.TABLE if part in stage.set_by]


STAGES = set_in(stages.TASK)  # the key `stages` sets their flags, too
ASKED_FOR = [stage for stage in set_in(stages.PREFERENCES) if stage not in STAGES]  # these run only if their key is set

# Algorithms: first those that push no response down, then those that do, then those that train with the reference.
KIND = {name: ("reference" in stage.models, stage.pushes_down) for name, stage in stages.ALGORITHMS.items()}
BY_KIND = tuple(sorted(KIND, key=KIND.__getitem__))

# Marks that generate.py replaces: a key that is a flag of a stage, a part of the schema, keys that are stages.
FLAG, PART, STAGE_KEYS = "x-flag", "x-part", "x-stages"

NAME = {"type": "string", "pattern": r"^[a-z][a-z0-9_]{0,79}$(?!\n)"}
SOME_NAMES = {**NAME, "type": ["string", "array"], "uniqueItems": True, "items": NAME}
Name = Annotated[str, WithJsonSchema(NAME)]
NameOrNames = Annotated[list, WithJsonSchema(SOME_NAMES)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1, json_schema_extra={"uniqueItems": True})]
Seeds = Annotated[list[Seed], Field(min_length=1, json_schema_extra={"uniqueItems": True})]
Folder = Annotated[str | bool, WithJsonSchema({"type": ["string", "boolean"], "minLength": 1, "not": {"const": True}})]
Jobs = Annotated[int, Interval(ge=1, le=1000)]
Claims = Annotated[list, Field(min_length=1)]
Distribution = Annotated[list[Positive], Field(min_length=1)]
Settings = Annotated[dict, WithJsonSchema({PART: "settings"})]
Algorithm = Annotated[str, WithJsonSchema({"enum": list(BY_KIND), "type": "string"})]
LengthReward = Annotated[str, WithJsonSchema({"enum": list(GOLD_REWARDS), "type": "string"})]


def optional(description: str) -> Any:
    """Declare a key that may be left out. Its type has no None: a config that says null is wrong."""
    return Field(None, description=description)


def key_of_flag(stage: str, flag: str, default=None) -> Any:
    """Declare a key that is a flag of a stage and takes its values, its default and its description."""
    return Field(default, json_schema_extra={FLAG: f"{stage}.{flag}"})


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid")


def inlined(model: type[Keys]) -> dict:
    """Return the keys of a mapping whose type is said elsewhere."""
    schema = model.model_json_schema()
    return {key: schema[key] for key in ("additionalProperties", "required", "properties") if key in schema}


class Source(Keys):
    """A source of data and how it is read."""

    source: Text = Field(description="`built_in`, a file, a folder or a hub data set `owner/name@config:split`")
    columns: Annotated[dict[str, Text], Field(min_length=1)] = optional(
        "a format's name for a column -> the file's name"
    )
    fields: Annotated[list[Text], Field(min_length=1, json_schema_extra={"uniqueItems": True})] = optional(
        "columns that are kept in every table, for rewards that read them"
    )
    weight: PositiveShare = Field(1, description="share of the source that is used; `seed` draws it")
    split: Text = optional("split of a folder or of a hub data set")


ONE_SOURCE = {"type": ["string", "object"], "minLength": 1, **inlined(Source)}
SOURCES = {**ONE_SOURCE, "type": ["string", "object", "array"], "minItems": 1, "uniqueItems": True, "items": ONE_SOURCE}
Sources = Annotated[Any, WithJsonSchema(SOURCES)]


class Data(Keys):
    """The sources of a task by role. A role takes a source, a mapping, or a list of these."""

    sft: Sources = key_of_flag("prepare_task", "sft")
    prompts: Sources = key_of_flag("prepare_task", "prompts")
    preferences: Sources = key_of_flag("prepare_task", "preferences")
    eval_prompts: Sources = key_of_flag("prepare_task", "eval_prompts")
    eval_preferences: Sources = key_of_flag("prepare_task", "eval_preferences")


ROLES = {"type": "object", "minProperties": 1, **inlined(Data)}
DataOrSource = Annotated[Any, WithJsonSchema({"oneOf": [{"type": "string", "minLength": 1}, ROLES]})]


class RewardOfLength(Keys):
    """A gold reward of the response's length."""

    name: LengthReward = Field(description="minus the length, the length, or minus its distance to a target")
    target: Any = key_of_flag("score_responses", "target_length")
    unit: Any = key_of_flag("score_responses", "length_unit")


OTHER_REWARDS: list[dict] = [{"required": [key]} for key in ("model", "python", "weight", "as")]
OTHER_REWARDS += [{"required": ["name"], "properties": {"name": {"not": {"enum": list(GOLD_REWARDS)}}}}]
GoldReward = Annotated[
    Any,
    WithJsonSchema(
        {
            "if": {"type": "object", "not": {"anyOf": OTHER_REWARDS}},
            "then": inlined(RewardOfLength),
            "else": {"type": ["string", "object", "array"]},
        }
    ),
]
AnyReward = Annotated[Any, WithJsonSchema({"type": ["string", "object", "array"]})]


class ScoringJudge(Keys):
    """A judge that is a reward model."""

    reward_model: Text = optional("reward model folder or hub id: the higher score wins")


class AskedJudge(Keys):
    """A judge that is a language model, sampled here or behind an endpoint."""

    model: Text = Field(description="model folder or hub id of the judge, or what the endpoint calls it")
    template: Any = key_of_flag("judge_responses", "template")
    endpoint: Any = key_of_flag("judge_responses", "endpoint")
    key_variable: Any = key_of_flag("judge_responses", "key_variable")
    reward_model: Text = optional("reward model folder or hub id, in place of `model`")


Judge = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "if": {"required": ["reward_model"]},
            "then": inlined(ScoringJudge),
            "else": inlined(AskedJudge),
        }
    ),
]


INLINED = (Data, Source, RewardOfLength, AskedJudge, ScoringJudge)  # these are no part of the schema by themselves


class Preferences(Keys):
    """Flags of the stages that sample the preferences of a task."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={STAGE_KEYS: [*set_in(stages.PREFERENCES)]})


class Task(Keys):
    """A task: its data, its base model, its rewards and its judge."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={STAGE_KEYS: [*STAGES]})

    data: DataOrSource = Field(description="a source of SFT data, or a mapping of roles to sources")
    base_model: Text = Field(
        description="`from_scratch` (a GPT-NeoX of the size that `stages.initialize_model` says), a model folder, or a "
        "hub id `owner/name@revision`"
    )
    chat_template: Any = key_of_flag("prepare_task", "chat_template")
    chat_template_kwargs: dict = key_of_flag("prepare_task", "chat_template_kwargs")
    end_of_turn: Any = key_of_flag("prepare_task", "end_of_turn")
    special_tokens: Any = key_of_flag("prepare_task", "special_tokens")
    rewritten_prompt: Any = key_of_flag("prepare_task", "rewritten_prompt")
    reward_model: AnyReward = Field(TRAINED, description="the reward that its runs train on: one, or a weighted sum")
    gold_reward: GoldReward = optional("the task's own reward, shown beside the other")
    judge: Judge = optional("compares what each run ends with to the SFT policy's answers")
    preferences: Preferences = optional("what is different when preferences are sampled")


class Run(Keys):
    """A run: an algorithm and what it does differently."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={STAGE_KEYS: [*set_in(stages.RUN)]})

    algorithm: Algorithm = Field(description="what is trained")
    source: Literal["offline", "on_policy", "mix"] = Field(
        description="where its data come from: the preferences, its own samples of each round, or both"
    )
    offline_fraction: Annotated[float, Interval(gt=0, lt=1)] = optional(
        "of a mix: the share of `generate_responses.num_prompts` that a round takes from the preferences"
    )
    reference: Literal["fixed", "previous"] = Field(
        runs.UNSAID["reference"],
        description="what is compared with: the SFT policy, or the policy that the round started from",
    )
    reward: Literal["learned", "gold", "given"] = Field(
        runs.UNSAID["reward"],
        description="what scores its samples: the task's `reward_model`, its `gold_reward`, or the data's own scores",
    )
    rounds: Repeats = Field(runs.UNSAID["rounds"], description="rounds; each starts from the last one's policy")
    tasks: Names = optional("the tasks that it is made on; without it all")


class Figure(Keys):
    """The figure of an experiment."""

    kind: Literal["curves", "axis"] = Field(description="`curves` as it learned, `axis` what the runs come down to")
    metric: NameOrNames = Field(description="the measures that are drawn, a row of panels each")
    x: Name = Field(description="what they are drawn against: a measure of progress, or an axis")
    panels: NameOrNames = optional("the axes with a panel per level, two at most")
    lines: NameOrNames = optional("the axes with a line per level, two at most")
    numbers: Annotated[list[Finite], Field(min_length=1)] = optional("where the levels of `x` stand")
    log: bool = optional("the levels of `x` stand on a logarithmic scale")


class Experiment(Keys):
    """Runs that are compared, in a table and a figure of their own."""

    title: Text = Field(description="title of its figure")
    axes: Annotated[dict[Name, Names], Field(min_length=1)] = Field(
        description="axis -> its levels; `task` has names of tasks, the others' levels joined by `_` are a run"
    )
    figure: Figure = Field(description="what is drawn of it")


class Shards(Keys):
    """The number of jobs that share a stage."""

    generate_responses: Jobs = Field(1, description="jobs that share each sampling")
    score_responses: Jobs = Field(1, description="jobs that share each scoring")


class Stages(Keys):
    """Flags of stages; a task and a run may set others."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={STAGE_KEYS: [*STAGES]})


class Config(Keys):
    """An experiment: one config file."""

    experiment: Name = Field(description="name; everything is made in `results/<experiment>/`")
    seeds: Seeds = Field(description="models, samples and data order depend on them, the data does not")
    engine: Any = key_of_flag("generate_responses", "engine")
    shards: Shards = optional("the number of jobs that share a stage")
    store: Folder = Field(
        store.FOLDER, description="the folder that keeps what was made, so that nothing is computed twice; `off`: none"
    )
    tasks: Annotated[dict[Name, Task], Field(min_length=1)] = Field(description="name -> a task")
    stages: Stages = Field(description="a stage's name -> its flags")
    runs: Annotated[dict[Name, Run], Field(min_length=1)] = Field(description="name -> a run")
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)] = optional(
        "name -> which runs are compared, in a table and a figure of their own"
    )
    claims: Claims = optional("what is claimed of the experiments and when it holds")


LEVEL = {**NAME, "type": ["object", "string"], PART: "settings"}
LEVELS = {"type": ["array", "object"], "minItems": 1, "uniqueItems": True, "items": NAME}
LEVELS |= {"minProperties": 1, "propertyNames": NAME, "additionalProperties": LEVEL}


class LabExperiment(Keys):
    """Cells that are compared."""

    title: Text = Field(description="title of its figure")
    cell: Settings = optional("settings of all its cells")
    axes: Annotated[dict[Name, Annotated[Any, WithJsonSchema(LEVELS)]], Field(min_length=1)] = Field(
        description="axis -> its levels: a list of methods, or level -> settings, or level -> a method"
    )
    figure: Figure = Field(description="what is drawn of it")


class Point(Keys):
    """Two distributions over the same categories."""

    start: Distribution = Field(description="where gradient descent starts")
    target: Distribution = Field(description="what it approaches")
    forward: Distribution = optional("bars of a published figure: after forward KL")
    reverse: Distribution = optional("bars of a published figure: after reverse KL")


class DirectionsFigure(Keys):
    """The figure of the KL directions."""

    steps: Any = key_of_flag("plot_kl_directions", "steps", ...)


class Directions(Keys):
    """Forward against reverse KL on distributions."""

    points: Annotated[dict[Name, Point], Field(min_length=1)] = Field(description="name -> start and target")
    learning_rate: Any = key_of_flag("compare_kl_directions", "learning_rate", ...)
    steps: Any = key_of_flag("compare_kl_directions", "steps", ...)
    draws: Any = key_of_flag("compare_kl_directions", "draws", ...)
    seed: Any = key_of_flag("compare_kl_directions", "seed", ...)
    figure: DirectionsFigure = Field(description="what is drawn of it")


class Lab(Keys):
    """A lab of bandits: one file `bandit*.yaml`."""

    lab: Name = Field(description="the file's name without `.yaml`; everything is made in `results/<lab>/`")
    seeds: Seeds = Field(description="seeds that are reported, trained side by side")
    tuning_seeds: Seeds = optional(
        "other seeds, which choose learning rate and beta; not needed if every grid has one point"
    )
    defaults: Settings = optional("settings of every cell")
    methods: dict[Name, Settings] = optional("name -> settings of an algorithm, with its grid")
    experiments: Annotated[dict[Name, LabExperiment], Field(min_length=1)] = Field(
        description="name -> what is crossed with what"
    )
    kl_directions: Directions = optional("forward against reverse KL on distributions")
    claims: Claims = optional("what is claimed of the experiments and when it holds")
