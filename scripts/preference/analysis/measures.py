"""What is measured of a policy, a bandit's or a language model's: one row per measure.

The columns of tables, the labels of figures, the tables of the report and what claims may be about follow from these
rows. To add a measure of a language model, add a row, and compute it in evaluate_policy.py.

Standard library only: the workflow checks figures and claims while it plans.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from preference.files.columns import Column
from preference.files.logs import HISTORY

BANDITS, MODELS, REWARD_MODELS = "bandits", "language models", "reward models"
SHARE, POSITIVE = (0, 1), (0, math.inf)
PLACES = {  # where an experiment shows a measure
    "main": "the report's main table",
    "rounds": "the report's tables by round",
    "start": "the report's tables of what runs start from",
    "text": "`final.txt`",
    "rewards": "`rewards.svg`",
    "frontier": "`frontier.svg`",
    "margins": "`margins.svg`",
}
MINUS_SFT = "_minus_sft"  # ends the name of a difference to the SFT policy


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure, and all that tables, figures, claims and the report need to know of it."""

    of: str  # BANDITS, MODELS or REWARD_MODELS
    column: Column  # of a history.parquet, or of a metrics.csv and an evaluation.json
    called: str | None = None  # its name in claims and in figures of cells, if that is not the column's

    # In claims and in figures of cells.
    title: str | None = None  # on an axis; None: no claim and no figure of cells is about it
    limits: tuple[float, float] | None = None  # of its values; an interval of a few seeds may reach beyond them
    reduced: tuple[str, ...] = ()  # what a seed's history comes down to, other than the final value (see histories)

    # In the tables, figures and report of an experiment.
    short: str = ""  # at the head of a column, and above a panel
    sample: str | None = None  # the column of an evaluation's samples that final.csv has the mean of
    is_reward: bool = False  # a run may be judged by it, by its difference to the SFT policy
    needs_gold: bool = False  # only tasks with a gold reward have it
    places: Mapping[str, int] = field(default_factory=dict)  # of PLACES -> its position there

    @property
    def name(self) -> str:
        return self.called or self.column.name


def _of_bandit(name: str, title: str, **known) -> Measure:
    return Measure(of=BANDITS, column=HISTORY[name], title=title, **known)


MEASURES = (
    Measure(
        of=MODELS,
        column=Column("gold_reward", float, "gold reward of a response", optional=True),
        title="gold reward",
        reduced=("area", "change"),
        short="gold reward",
        sample="gold_reward",
        is_reward=True,
        needs_gold=True,
        places={"rounds": 1, "rewards": 1, "frontier": 1},
    ),
    Measure(
        of=MODELS,
        column=Column("reward", float, "training reward of a response, as a rule a learned one", optional=True),
        called="learned_reward",  # of a bandit, `reward` is the true one
        title="learned reward",
        short="learned reward",
        sample="reward",
        is_reward=True,
        places={"main": 1, "text": 1, "rounds": 2, "rewards": 2, "frontier": 2},
    ),
    Measure(
        of=MODELS,
        column=Column("num_tokens", float, "length of a response without its end token", unit="tokens"),
        title="tokens of a response",
        short="tokens",
        sample="num_tokens",
        places={"main": 4, "text": 2, "rounds": 4, "start": 3},
    ),
    Measure(
        of=MODELS,
        column=Column("finished", float, "responses that an end token closes", unit="share"),
        title="share of finished responses",
        limits=SHARE,
        short="finished",
        sample="finished",
        places={"main": 5, "rounds": 5, "start": 2},
    ),
    Measure(
        of=MODELS,
        column=Column(
            "win_rate",
            float,
            "responses with a higher training reward than the SFT policy's; a tie counts half",
            unit="share",
            optional=True,
        ),
        title="win rate against SFT",
        limits=SHARE,
        short="win rate",
        sample="win",
        places={"main": 2, "rounds": 3},
    ),
    Measure(
        of=MODELS,
        column=Column("gold_win_rate", float, "the same by gold reward", unit="share", optional=True),
        title="win rate against SFT by gold reward",
        limits=SHARE,
        short="gold win rate",
        sample="gold_win",
        needs_gold=True,
        places={"main": 3},
    ),
    Measure(
        of=MODELS,
        column=Column(
            "accuracy", float, "held-out pairs with a positive `margin`; a tie counts half", unit="share", optional=True
        ),
        title="accuracy on held-out pairs",
        limits=SHARE,
        short="pair accuracy",
        places={"rounds": 8},
    ),
    Measure(
        of=MODELS,
        column=Column("kl", float, "KL(π ‖ π_SFT), summed over the tokens of a response", unit="nats"),
        title="KL(π ‖ reference) (nats)",
        limits=POSITIVE,
        short="KL to SFT",
        sample="kl",
        places={"main": 6, "text": 3, "rounds": 6},
    ),
    Measure(
        of=MODELS,
        column=Column("entropy", float, "entropy of the next token, mean over a response", unit="nats per token"),
        title="entropy (nats)",
        short="entropy",
        sample="entropy",
        places={"main": 7},
    ),
    Measure(
        of=MODELS,
        column=Column(
            "chosen_logratio",
            float,
            "log π − log π_SFT of the chosen response of a held-out pair",
            unit="nats",
            optional=True,
        ),
        title="log-ratio of chosen (nats)",
        reduced=("change",),
        short="log-ratio of chosen",
        places={"margins": 1},
    ),
    Measure(
        of=MODELS,
        column=Column("rejected_logratio", float, "the same of the rejected response", unit="nats", optional=True),
        title="log-ratio of rejected (nats)",
        reduced=("change",),
        short="log-ratio of rejected",
        places={"margins": 2},
    ),
    Measure(
        of=MODELS,
        column=Column("margin", float, "`chosen_logratio` − `rejected_logratio`", unit="nats", optional=True),
        title="margin (nats)",
        reduced=("change",),
        short="margin",
        places={"rounds": 7, "margins": 3},
    ),
    Measure(
        of=MODELS,
        column=Column(
            "chosen_logps", float, "log π of the chosen response of a held-out pair", unit="nats", optional=True
        ),
    ),
    Measure(
        of=MODELS,
        column=Column("rejected_logps", float, "the same of the rejected response", unit="nats", optional=True),
    ),
    Measure(
        of=MODELS,
        column=Column(
            "perplexity", float, "exp of the nats per token of the data's own held-out answers", optional=True
        ),
        short="perplexity of held-out answers",
        places={"start": 1},
    ),
    Measure(
        of=REWARD_MODELS,
        column=Column("accuracy", float, "held-out pairs with the higher score on chosen; a tie counts half", "share"),
        short="held-out accuracy",
        places={"start": 1},
    ),
    Measure(
        of=REWARD_MODELS,
        column=Column("loss", float, "Bradley-Terry loss of a held-out pair", unit="nats"),
        short="loss",
        places={"start": 2},
    ),
    Measure(of=REWARD_MODELS, column=Column("margin", float, "score of chosen − score of rejected")),
    _of_bandit("reward", "expected reward", limits=SHARE, reduced=("area",)),
    _of_bandit("reward_se", "standard error of the reward"),
    _of_bandit("entropy", "entropy (nats)"),
    _of_bandit("entropy_se", "standard error of the entropy (nats)"),
    _of_bandit("kl", "KL(π ‖ reference) (nats)", limits=POSITIVE),
    _of_bandit("kl_se", "standard error of the KL(π ‖ reference) (nats)"),
    _of_bandit("reverse_kl", "KL(reference ‖ π) (nats)", limits=POSITIVE),
    _of_bandit("reverse_kl_se", "standard error of the KL(reference ‖ π) (nats)"),
    _of_bandit("loss", "loss"),
    _of_bandit("gradient_norm", "gradient norm"),
    _of_bandit("chosen_logratio", "log-ratio of chosen (nats)", reduced=("change",)),
    _of_bandit("rejected_logratio", "log-ratio of rejected (nats)", reduced=("change",)),
    _of_bandit("margin", "margin (nats)", reduced=("change",)),
    _of_bandit("gradient_product", "⟨∇ chosen, ∇ rejected⟩"),
    _of_bandit("gradient_cosine", "cos(∇ chosen, ∇ rejected)", limits=(-1, 1)),
)


def of(kind: str) -> list[Measure]:
    """Return the measures of bandits, of language models or of reward models, in their order in tables."""
    return [measure for measure in MEASURES if measure.of == kind]


def shown(place: str, kind: str = MODELS) -> dict[str, str]:
    """Map the columns that are shown at one of PLACES, in their order there, to what they are called there."""
    measures = sorted((each for each in of(kind) if place in each.places), key=lambda each: each.places[place])
    return {measure.column.name: measure.short for measure in measures}


# Of claims and of figures of cells: name -> title.
OF_BANDITS = {measure.name: measure.title for measure in of(BANDITS) if measure.title}
OF_MODELS = {measure.name: measure.title for measure in of(MODELS) if measure.title}
TITLES = OF_BANDITS | OF_MODELS
RANGES = {measure.name: measure.limits for measure in MEASURES if measure.limits}
GOLDEN = [measure.name for measure in MEASURES if measure.needs_gold]
PROGRESS = {"step": "gradient steps", "queries": "reward queries", "kl": TITLES["kl"]}  # what a curve can be drawn over
REDUCED = {  # what the history of a seed comes down to in the table of cells, of which measures (see histories)
    "final": tuple(TITLES),
    **{
        kind: tuple(dict.fromkeys(each.name for each in MEASURES if kind in each.reduced))
        for kind in ("area", "change")
    },
}

# Of the tables of an experiment, by column.
SAMPLED = {measure.column.name: measure.sample for measure in of(MODELS) if measure.sample}
REWARDS = [measure.column.name for measure in of(MODELS) if measure.is_reward]
SHORT = {measure.column.name: measure.short for measure in of(MODELS)}
SHORT |= {f"{name}{MINUS_SFT}": f"{SHORT[name]} − SFT" for name in REWARDS}
