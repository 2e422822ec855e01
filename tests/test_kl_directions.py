"""Forward and reverse KL by gradient descent: the one-step identities, the regime, and whose bars were published."""

import csv
from pathlib import Path

import numpy as np
import pytest

import compare_kl_directions as kl
import plot_kl_directions
from preference.files import summaries, tables
from preference.running.stage import InputError

PUBLISHED = "published=0.3,0.3,0.1,0.3:0.2,0.1,0.6,0.1"
BARS = "published=0.33,0.225,0.22,0.225:0.25,0.2,0.35,0.2"


def flags(folder: Path, **changes) -> kl.Flags:
    given = {"points": (PUBLISHED,), "published": BARS, "learning_rate": 1.0, "steps": 4, "draws": 2000, "seed": 1}
    outputs = {"output": str(folder / "kl.csv"), "checks_output": str(folder / "checks.csv")}
    return kl.Flags(**{**given, **outputs, **changes})


def table(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kl")
    kl.main(flags(folder))
    return folder


def test_gradients_are_those_of_finite_differences():
    logits, q, tiny = np.array([0.3, -0.2, 0.9]), np.array([0.2, 0.5, 0.3]), 1e-6

    def divergence(direction: str, z: np.ndarray) -> float:
        p = kl.softmax(z)
        return (q * np.log(q / p)).sum() if direction == "forward" else (p * np.log(p / q)).sum()

    for direction in kl.DIRECTIONS:
        by_difference = [
            (divergence(direction, logits + tiny * unit) - divergence(direction, logits - tiny * unit)) / (2 * tiny)
            for unit in np.eye(3)
        ]
        assert kl.gradient(direction, kl.softmax(logits), q) == pytest.approx(by_difference, abs=1e-8)


def test_one_step_by_hand():
    # p = 1/2, 1/2 and q = 3/4, 1/4: forward adds (q1 - q2) = 1/2 to the log-ratio, reverse (1/2) log 3
    path = kl.followed(np.array([0.5, 0.5]), np.array([0.75, 0.25]), 1.0, 1)
    gains = [kl.log_ratio(path[direction][1]) for direction in kl.DIRECTIONS]
    assert gains == pytest.approx([0.5, 0.5 * np.log(3)])
    assert kl.logarithmic_mean(0.75, 0.25) == pytest.approx(0.5 / np.log(3))


def test_the_reverse_kl_is_faster_inside_the_regime_and_nowhere_else(made):
    found = {line["check"]: line for line in table(made / "checks.csv")}
    assert 0.3 < float(found["share of 2000 random pairs inside the regime"]["value"]) < 0.7
    for where, share in (("inside", 1), ("outside", 0)):
        assert float(found[f"share of those {where} in which the reverse KL is ahead after 1 step"]["value"]) == share
    assert {line["agrees"] for line in found.values()} == {"yes", ""}


def test_both_directions_arrive_at_the_target_in_the_end():
    start, target = (part[:20] for part in kl.drawn(20, 3, np.random.default_rng(2)))
    for path in kl.followed(start, target, 1.0, 3000).values():
        assert path[-1] == pytest.approx(target, abs=1e-3)


def test_the_published_bars_fit_only_with_their_names_exchanged(made):
    checks = table(made / "checks.csv")
    exchanged, printed = (
        next(line for line in checks if words in line["check"]) for words in ("names exchanged", "as printed")
    )
    assert float(exchanged["value"]) < 0.02 and float(printed["value"]) > 0.1 and "at step 3" in exchanged["check"]


def test_a_figure_of_equal_data_has_equal_bytes(made):
    for name in "ab":
        plot_kl_directions.main(plot_kl_directions.Flags(str(made / "kl.csv"), str(made / f"{name}.svg"), 3))
    for kind in ("svg", "png"):
        assert (made / f"a.{kind}").read_bytes() == (made / f"b.{kind}").read_bytes()


def test_panels_side_by_side_have_one_scale_that_shows_all(tmp_path):
    points = ("low=0.3,0.3,0.4:0.3,0.4,0.3", "high=0.45,0.45,0.1:0.9,0.05,0.05")
    kl.main(flags(tmp_path, points=points, published=None))
    table = summaries.read_csv(tmp_path / "kl.csv", tables.KL_DIRECTIONS.names)
    most = table[table["step"] == 3]["probability"].max()
    for low, high in zip(*[iter(plot_kl_directions.drawn(table, 3).axes)] * 2, strict=True):
        assert low.get_ylim() == high.get_ylim() and high.get_ylim()[1] > most


def test_steps_that_were_not_taken_cannot_be_drawn(made):
    with pytest.raises(InputError, match="--steps 5: .*kl.csv ends at step 4"):
        plot_kl_directions.main(plot_kl_directions.Flags(str(made / "kl.csv"), str(made / "c.svg"), 5))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"points": ("a=0.5,0.5",)}, "--points: 'a=0.5,0.5' is not NAME=P:Q"),
        ({"points": ("a=0.5,much:0.5,0.5",)}, "--points: .* is not NAME=P:Q, two lists of numbers"),
        ({"points": ("a=0.5,0.5:1",)}, "--points: 'a' has 2 and 1 categories"),
        ({"points": ("a=1,0:0.5,0.5",)}, "--points: 'a' is not two distributions"),
        ({"points": ("a=0.5,0.6:0.5,0.5",)}, "--points: 'a' is not two distributions"),
        ({"published": "other=0.5,0.5:0.5,0.5"}, "--published: 'other' is none of --points"),
        ({"points": (PUBLISHED, PUBLISHED)}, "--points: the name 'published' occurs twice"),
    ],
)
def test_points_that_cannot_be_read_are_named(tmp_path, change, line):
    with pytest.raises(InputError, match=line):
        kl.main(flags(tmp_path, **change))
