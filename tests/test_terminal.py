"""Text for the terminal: nothing foreign gets through raw, and the numbers above a plot are those of the values."""

import re

import numpy as np
import pytest

from preference.files.untrusted import visible
from preference.inspection import terminal

HOSTILE = (
    "\x1b]0;title\x07 \x1b[31mred\x1b[0m \x9b2J \u202etxt.exe \u200b \ufeff \x00 \x7f \x08 \r gone \u2028 \U000e0041"
)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")


def test_control_characters_become_signs_and_line_breaks_stay():
    assert visible("a\x1b[31mb\nc\td\x00\x7f\u202e") == "a␛[31mb\nc\td␀␡⟨U+202E⟩"
    assert not RAW.search(visible(HOSTILE)) and "title" in visible(HOSTILE)


def test_ordinary_text_of_any_script_is_left_alone():
    text = "naïve – 你好, שלום, नमस्ते, 👩\u200d👩\u200d👧, e\u0301"
    assert visible(text) == text


def test_what_is_shown_can_neither_move_the_cursor_nor_fake_a_line(capsys):
    terminal.show([HOSTILE, "a name\nverdict: all is well"])
    shown = capsys.readouterr().out
    assert not RAW.search(shown) and shown.count("\n") == 2


def test_every_line_of_a_quoted_text_stands_behind_a_bar():
    lines = terminal.quoted("one\n\n" + "long " * 100 + "\nfake line", 2000)
    assert all(line.startswith("    │") for line in lines) and len(lines) > 5
    assert max(map(len, lines)) <= terminal.width()
    assert terminal.quoted("abcdef", 4)[-1] == "    │ … and 2 characters more"


def test_statistics_are_those_of_numpy_and_odd_values_are_counted_apart():
    values = [1.0, 2.0, 3.0, 4.0, None, float("nan"), float("inf")]
    head, *plot = terminal.histogram("reward", values)
    assert head == ("reward   n 4 · mean 2.5 · median 2.5 · 5 % 1.15 · 95 % 3.85 · 3 empty or not finite")
    assert plot[-1].split()[0] == "1" and plot[-1].split()[-1] == "4"


def test_bars_are_as_many_and_as_high_as_the_counts():
    lines = terminal.histogram("n", [0] * 8 + [1] * 4 + [2], rows=4)
    bars = [line.split("┤")[-1].split("│")[-1] for line in lines[1:5]]
    heights = ["".join(column).count("█") for column in zip(*(bar.ljust(18) for bar in bars), strict=True)]
    assert heights[::6] == [4, 2, 0] and bars[-1][12] == "▄"
    assert "8 ┤" in lines[1] and "0 ┤" in lines[4]


@pytest.mark.parametrize(
    "values, said", [([], "no values"), ([2.5, 2.5], "all 2.5"), ([None], "1 empty or not finite")]
)
def test_a_histogram_of_nothing_to_see_says_so(values, said):
    assert said in "\n".join(terminal.histogram("x", values))


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_plots_keep_to_the_terminals_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    rng = np.random.default_rng(0)
    plots = [terminal.histogram("x", rng.normal(size=5000)), terminal.histogram("n", rng.integers(0, 900, 5000))]
    plots.append(terminal.curve("loss", range(3000), rng.normal(size=3000)))
    assert all(len(line) <= columns for lines in plots for line in lines[1:])


def test_a_column_of_names_gives_way_where_the_terminal_is_narrow(monkeypatch):
    rows = [["tensor", "share"], ["layers.0.attention.query_key_value.weight", "1 %"], ["short", "2 %"]]
    for columns, first in ((100, rows[1][0]), (40, "layers.0.attent…ey_value.weight")):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = terminal.aligned(rows)
        assert lines[1].split("  ")[1] == first and max(map(len, lines)) <= columns


def test_a_curve_names_its_ends_and_extremes():
    head, *plot = terminal.curve("loss", [1, 2, 3, 4], [4.0, 2.0, 1.0, 3.0])
    assert head == "loss   first 4 · last 3 · lowest 1 at 3 · highest 4 at 1"
    assert plot[0].split()[0] == "4" and plot[-1].split()[0] == "1"
    assert "no values" in terminal.curve("loss", [], [])[0]
    assert "2 at each of 3" in terminal.curve("loss", [1, 2, 3], [2.0, 2.0, 2.0])[0]


def test_sizes_and_numbers_in_words():
    assert [terminal.size(n) for n in (0, 1023, 1024, 5 * 1024**3)] == ["0 bytes", "1,023 bytes", "1.0 KiB", "5.0 GiB"]
    found = [terminal.number(value) for value in (None, float("nan"), float("inf"), 3.0, 12345.0, 0.123456)]
    assert found == ["–", "–", "inf", "3", "12,345", "0.1235"]
