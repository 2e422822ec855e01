"""The report of an experiment as one HTML page: its template, and the sentences that its numbers amount to.

Pure functions of rows. Prompts and responses are untrusted text: the template escapes every value and shows
control characters as signs, and the page's policy forbids scripts and anything from the network.
"""

import math
import re
from collections import Counter

import jinja2
from markupsafe import Markup

from preference.analysis import measures
from preference.analysis.claims import FAILS, HOLDS, tally
from preference.analysis.measures import MINUS_SFT, SHORT
from preference.files.summaries import SFT, shown
from preference.files.untrusted import visible

QUESTION = (
    "Does preference training improve on the SFT policy, and does it matter where the responses come from and whether"
    " the loss pushes some of them down?"
)
VERDICTS = {"yes": "▲ yes", "no": "▼ no, below", "unclear": "● unclear"}
QUESTIONS = {"on_policy_data": "on-policy data", "negative_gradient": "negative gradient"}


def render(**content) -> str:
    """The page; `content` is what TEMPLATE names."""
    environment = jinja2.Environment(
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not Markup, which is our own
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(TEMPLATE).render(style=Markup(STYLE), question=QUESTION, **content)


def inline_svg(text: str, name: str) -> Markup:
    """An SVG file as it may stand inside a page: no XML head, no metadata, and ids that are the figure's own."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    head, rest = text.split(">", 1)
    width = re.search(r' width="([\d.]+)pt"', head)
    # a fixed width and height would keep the figure from shrinking on a phone; the viewBox stays
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    limit = f' style="max-width: {1.25 * float(width[1]):.0f}pt"' if width else ""
    return Markup(f'{head} role="img" aria-label="{name}"{limit}>{rest}')


def main_table(rows: list[dict]) -> dict:
    """The main table of one task: titles, and per run its cells as (mean, interval) and what it says against SFT."""
    judged = rows[0]["judged_by"]
    columns = dict.fromkeys([judged, f"{judged}{MINUS_SFT}", *measures.shown("main")])
    names = [name for name in columns if any(known(row[name]) for row in rows)]
    lines = [
        {
            "run": row["run"],
            "verdict": row["above_sft"],
            "words": VERDICTS.get(row["above_sft"], "–"),
            "cells": [halves(*_interval(row, name)) for name in names],
        }
        for row in rows
    ]
    return {"task": rows[0]["task"], "titles": [SHORT[name] for name in names], "lines": lines, "judged": judged}


def claims_table(rows: list[dict]) -> dict:
    """The claims of a claims.csv in its order, and how many of them hold."""
    looks = {HOLDS: "yes", FAILS: "no"}
    lines = []
    for row in rows:
        mean, interval = halves(row["mean"], row["low"], row["high"])
        note = row["note"] if type(row["note"]) is str else ""
        said = {key: row[key] for key in ("verdict", "claim", "statistic", "rule", "source")}
        lines.append({**said, "mean": mean, "interval": interval, "note": note, "look": looks.get(row["verdict"], "")})
    return {"summary": tally([row["verdict"] for row in rows]), "lines": lines}


def halves(mean: float, low: float, high: float) -> tuple[str, str]:
    """The mean and its interval as two texts."""
    mean_text, _, interval = shown(mean, low, high).partition(" ")
    return mean_text, interval


def conclusion(rows: list[dict]) -> str:
    """What the rows of one task, best first, amount to, in plain words. Nothing here knows which run ought to win."""
    about_rewards = (
        (_ranking, _doubt, _against_sft, _exploited) if known(rows[0][rows[0]["judged_by"]]) else (_unscored,)
    )
    return " ".join(sentence for make in (*about_rewards, _lengths, _scope) if (sentence := make(rows)) is not None)


def _unscored(rows: list[dict]) -> str:
    return "Nothing scores the responses here: the task has neither a reward model nor a gold reward."


def _ranking(rows: list[dict]) -> str:
    name = rows[0]["judged_by"]
    best, worst = rows[0], rows[-1]
    return (
        f"In {SHORT[name]}, {called(best)} came out highest with {shown(*_interval(best, name))}"
        f" and {called(worst)} lowest with {shown(*_interval(worst, name))}."
    )


def _doubt(rows: list[dict]) -> str | None:
    """Which runs the best one's interval cannot be parted from."""
    name = rows[0]["judged_by"]
    low = rows[0][f"{name}_low"]
    near = [row for row in rows[1:] if row[f"{name}_high"] >= low]
    if not near:
        return f"The interval of {called(rows[0])} overlaps no other."
    whose = _and(called(row) for row in near)
    return f"The interval of {called(rows[0])} overlaps {whose}: it does not settle their order."


def _against_sft(rows: list[dict]) -> str:
    texts = {
        "yes": ("lies above it", "lie above it"),
        "unclear": ("cannot be told from it", "cannot be told from it"),
        "no": ("lies below it", "lie below it"),
    }
    said = []
    for verdict, (one, many) in texts.items():
        if names := [row["run"] for row in rows if row["above_sft"] == verdict]:
            said.append(f"{_and(names)} {one if len(names) == 1 else many}")
    return f"By the 95 % interval of the difference to SFT, prompt by prompt, {'; '.join(said)}."


def _exploited(rows: list[dict]) -> str | None:
    """Runs whose learned reward rose above SFT's while their gold reward did not."""
    if rows[0]["judged_by"] != "gold_reward":
        return "There is no gold reward here: the learned reward alone cannot tell improvement from exploitation."
    names = [row["run"] for row in rows if row["above_sft"] in ("no", "unclear") and row["reward_minus_sft_low"] > 0]
    if not names:
        return None
    return f"The learned reward rose without the gold reward in {_and(names)}: the reward model was exploited there."


def _lengths(rows: list[dict]) -> str | None:
    runs = sorted((row for row in rows if row["run"] != SFT), key=lambda row: row["num_tokens"])
    sft = next((row for row in rows if row["run"] == SFT), None)
    if sft is None or not runs:
        return None
    short, long = runs[0], runs[-1]
    ends = f"{short['num_tokens']:.3g} ({short['run']})"
    if short is not long:
        ends = f"between {ends} and {long['num_tokens']:.3g} ({long['run']})"
    return f"Responses of SFT have {sft['num_tokens']:.3g} tokens on average, those of the runs {ends}."


def _scope(rows: list[dict]) -> str:
    prompts, seeds = rows[0]["prompts"], max(row["seeds"] for row in rows)
    if seeds == 1:
        return (
            f"All of this is one seed: the intervals are over {prompts} prompts and do not say how another training"
            " run would have come out."
        )
    return f"The intervals are over {prompts} prompts and {seeds} seeds; so few seeds make them somewhat narrow."


def expectations(rows: list[dict]) -> dict:
    """What the geometry of the tasks let expect of pairs of runs and what was found: sentences, and a line per pair."""
    lines = [
        {
            **row,
            "question": QUESTIONS[row["question"]],
            "reward": SHORT[row["judged_by"]],
            "difference": halves(row["difference"], row["low"], row["high"]),
            "moved": f"{row['run_minus_sft']:.3g} and {row['against_minus_sft']:.3g}",
        }
        for row in rows
    ]
    return {"conclusion": f"{_placed(rows)} {_came(rows)}", "lines": lines}


def _placed(rows: list[dict]) -> str:
    """The cell of each task, by most of its seeds."""
    cells = {row["task"]: row for row in rows}
    said = [
        f"{task} in {row['cell'] or 'no one cell'} ({row['in_cell']} of {row['seeds']} seeds)"
        for task, row in cells.items()
    ]
    return f"The samples of the SFT policies place {_and(said)}."


def _came(rows: list[dict]) -> str:
    """How many comparisons came as expected, and how many did not."""
    texts = {
        "yes": "{} came as expected",
        "no": "{} came otherwise",
        "undecided": "{} cannot be decided",
        "no expectation": "of {} nothing was expected",
    }
    counts = Counter(row["as_expected"] for row in rows)
    said = [text.format(counts[word]) for word, text in texts.items() if counts[word]]
    return f"Of {len(rows)} comparisons of two runs, {_and(said)}."


def called(row: dict) -> str:
    return "the SFT policy" if row["run"] == SFT else row["run"]


def known(value) -> bool:
    return value is not None and not math.isnan(value)


def _interval(row: dict, name: str) -> tuple[float, float, float]:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def _and(names) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #62676e; --line: #d9dce0; --paper: #fff; --card: #f6f7f8;
  --yes: #0a6b4b; --no: #a33b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --soft: #9aa1a9; --line: #3a3f45; --paper: #16181b;
  --card: #1f2226; --yes: #52c79b; --no: #f0925a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 78rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: .5rem 0 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { margin: 1.5rem 0 .4rem; font-size: 1rem; }
p { max-width: 46rem; }
.soft, small { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td.any { white-space: normal; min-width: 12rem; }
tr.sft td { background: var(--card); }
td small { display: block; font-size: .78rem; }
.yes { color: var(--yes); font-weight: 600; } .no { color: var(--no); font-weight: 600; }
figure { margin: 1rem 0; padding: .6rem; background: #fff; border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 34rem; height: auto; margin: 0 auto; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); gap: .6rem; }
.answers > div { min-width: 0; padding: .5rem .7rem; background: var(--card); border-radius: 6px; }
pre { margin: .2rem 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate;
  font: .84rem/1.45 ui-monospace, monospace; }
.answers pre, .prompt pre { max-height: 16rem; overflow-y: auto; }
.role { margin: .5rem 0 0; font-size: .78rem; font-weight: 600; color: var(--soft); overflow-wrap: anywhere; }
.prompt details { margin: .3rem 0; } .prompt summary { font-weight: 400; font-size: .88rem; color: var(--soft); }
.prompt { border-left: 3px solid var(--line); padding-left: .7rem; margin: 1.2rem 0 .6rem; }
"""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ experiment }}</title>
<style>{{ style }}</style>
</head>
<body>
<h1>{{ experiment }}</h1>
<p>{{ question }}</p>

<h2>What came out</h2>
{% for table in tables %}
{% if tables|length > 1 %}<h3>{{ table.task }}</h3>{% endif %}
<p>{{ table.conclusion }}</p>
<div class="wide"><table>
<tr><th>run</th><th>above SFT?</th>{% for title in table.titles %}<th>{{ title }}</th>{% endfor %}</tr>
{% for line in table.lines %}
<tr{% if line.run == "sft" %} class="sft"{% endif %}><td>{{ line.run }}</td><td class="{{ line.verdict }}">\
{{ line.words }}</td>
{% for mean, interval in line.cells %}<td>{{ mean }}<small>{{ interval }}</small></td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
<p><small>Means over the held-out prompts after a run's last round, with 95 % bootstrap intervals. “− SFT” is the
difference prompt by prompt; a run is above SFT if the interval of that difference lies above zero, below if it lies
below, and unclear if it holds zero. The SFT policy of a task without SFT data is its base model. Finished: closed by an
end token. KL to the SFT policy in nats per response, entropy in nats per token. Win rates count ties as
half.</small></p>

{% if judged %}
<h2>What a judge says</h2>
<div class="wide"><table>
<tr><th>run</th><th>win rate</th><th>wins</th><th>ties</th><th>losses</th><th>first place</th><th>no verdict</th></tr>
{% for line in judged %}
<tr><td>{{ line.run }}</td><td>{{ line.win_rate[0] }}<small>{{ line.win_rate[1] }}</small></td><td>{{ line.wins }}</td>
<td>{{ line.ties }}</td><td>{{ line.losses }}</td><td>{{ line.first_place }}</td>
<td>{{ line.unparsed }} of {{ line.verdicts }}</td></tr>
{% endfor %}
</table></div>
<p><small>Answers after a run’s last round against those of the SFT policy, by a language model that is asked about each
pair twice, the answers in swapped places. A win or a loss is what both of its replies say; all else is a tie, which
counts as half a win. First place: the share of its verdicts for the answer that stood first, of those for either; 0.5
is none. Counts are over all seeds.</small></p>
{% endif %}

{% if figures %}<h2>Figures</h2>
{% for figure in figures %}<figure>{{ figure }}</figure>
{% endfor %}{% endif %}

{% if claims.lines %}<h2>The claims</h2>
<p>{{ claims.summary }}</p>
<div class="wide"><table>
<tr><th>verdict</th><th>claim</th><th>mean</th><th>rule</th><th>source</th></tr>
{% for line in claims.lines %}
<tr><td class="{{ line.look }}">{{ line.verdict }}</td><td class="any">{{ line.claim }}<small>{{ line.statistic }}\
{% if line.note %}; {{ line.note }}{% endif %}</small></td>
<td>{{ line.mean }}<small>{{ line.interval }}</small></td><td>{{ line.rule }}</td>\
<td class="any">{{ line.source }}</td></tr>
{% endfor %}
</table></div>
<p><small>Means over seeds of the statistic below each claim, paired by seed, with 95 % t intervals. A claim holds where
the interval lies inside its rule, which was fixed beforehand, does not hold where it lies outside, and is undecided
otherwise.</small></p>
{% endif %}
{% if expectations %}<h2>Did it come as the geometry of the task said?</h2>
<p>{{ expectations.conclusion }}</p>
<div class="wide"><table>
<tr><th>of what</th><th>expected to help</th><th>runs</th><th>difference</th><th>found</th>\
<th>as expected?</th><th>their rewards − SFT</th><th>what else differs</th></tr>
{% for line in expectations.lines %}
<tr><td>{{ line.question }}<small>{{ line.task }}</small></td>
<td class="any">{{ line.expected }}<small>{{ line.because }}</small></td>
<td>{{ line.run }}<small>against {{ line.against }}</small></td>
<td>{{ line.difference[0] }}<small>{{ line.difference[1] }}</small></td>
<td>{{ line.found }}<small>{{ line.reward }}</small></td>
<td class="{{ line.as_expected|replace(" ", "_") }}">{{ line.as_expected }}</td><td>{{ line.moved }}</td>
<td class="any">{{ line.differs or "–" }}</td></tr>
{% endfor %}
</table></div>
<p><small>Where a task lies, and what arXiv 2404.14367 expects there, is said by diagnose_geometry before any run.
Differences are of the final reward, seed by seed, with 95 % t intervals over seeds. A difference is small up to a
quarter of the way from SFT that the run which moved further went. Much or some help came as expected where the interval
lies above zero (of much help, not where all of it is small), little help where all of the interval is small; an
interval that fits both is undecided, and one seed has none.</small></p>{% endif %}

<h2>What the runs start from</h2>
<div class="wide"><table>
<tr><th>SFT policy</th>{% for title in sft.titles %}<th>{{ title }}</th>{% endfor %}<th>prompts</th></tr>
{% for line in sft.lines %}
<tr><td>{{ line.label }}</td>{% for mean, interval in line.cells %}<td>{{ mean }}<small>{{ interval }}</small></td>\
{% endfor %}<td>{{ line.count }}</td></tr>
{% endfor %}
</table></div>
{% if reward_models.lines %}
<div class="wide"><table>
<tr><th>reward model</th>{% for title in reward_models.titles %}<th>{{ title }}</th>{% endfor %}<th>pairs</th></tr>
{% for line in reward_models.lines %}
<tr><td>{{ line.label }}</td>{% for mean, interval in line.cells %}<td>{{ mean }}<small>{{ interval }}</small></td>\
{% endfor %}<td>{{ line.count }}</td></tr>
{% endfor %}
</table></div>
<p><small>Accuracy on held-out pairs; 0.5 is chance.</small></p>
{% endif %}

<h2>The runs</h2>
<div class="wide"><table>
<tr><th>run</th><th>algorithm</th><th>source</th><th>rounds</th><th>reference</th><th>what it sets differently</th></tr>
{% for run in runs %}
<tr><td>{{ run.name }}</td><td>{{ run.algorithm }}</td><td>{{ run.source }}</td><td>{{ run.rounds }}</td>
<td>{{ run.reference }}</td><td class="any">{{ run.rest }}</td></tr>
{% endfor %}
</table></div>

{% if trained_on %}<h2>What was trained on</h2>
<details{% if trained_on|length <= 12 %} open{% endif %}><summary>Of every round</summary><div class="wide"><table>
<tr><th>run</th><th>round</th><th>rows read</th><th>trained on</th><th>prompts dropped</th></tr>
{% for line in trained_on %}
<tr><td>{{ line.run }}</td><td>{{ line.round }}</td><td>{{ line.rows_in }}</td>
<td>{{ line.rows_out }} {{ line.unit }}</td><td class="any">{{ line.dropped }}</td></tr>
{% endfor %}
</table></div></details>{% endif %}

<h2>Every round</h2>
{% for table in rounds %}
<details><summary>{{ table.name }}</summary><div class="wide"><table>
<tr><th>round</th>{% for title in table.titles %}<th>{{ title }}</th>{% endfor %}</tr>
{% for line in table.lines %}
<tr><td>{{ line.round }}</td>{% for mean, interval in line.cells %}<td>{{ mean }}<small>{{ interval }}</small></td>\
{% endfor %}</tr>
{% endfor %}
</table></div></details>
{% endfor %}

{% macro turns(said) %}
{% for turn in said %}
{% if turn.label %}<p class="role">{{ turn.label }}</p>{% endif %}
{% if turn.text.strip() %}<pre dir="auto">{{ turn.text }}</pre>
{% else %}<p class="soft">(empty)</p>{% endif %}
{% endfor %}
{% endmacro %}
{% if examples %}<h2>Answers side by side</h2>
<p><small>The first prompts in the order of their ids, which is as good as random; the text is the models’.</small></p>
{% for example in examples %}
<div class="prompt"><small>{{ example.task }}, prompt {{ example.prompt_id }}</small>
{% set earlier = example.prompt[:-1] %}
{% if earlier|length > 2 %}<details><summary>{{ earlier|length }} earlier messages</summary>
{{ turns(earlier) }}</details>
{{ turns(example.prompt[-1:]) }}{% else %}{{ turns(example.prompt) }}{% endif %}</div>
<div class="answers">
{% for answer in example.answers %}
<div><small><b>{{ answer.run }}</b> · {{ answer.about }}</small>
{{ turns(answer.response) }}
</div>
{% endfor %}
</div>
{% endfor %}{% endif %}

<h2>How it was made</h2>
<details><summary>The config</summary><pre>{{ config }}</pre></details>
<p class="soft">{% for name, version in versions %}{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}</p>
</body>
</html>
"""
