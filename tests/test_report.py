"""The report: nothing of a model's text is markup, nothing is fetched, and it says what the numbers say."""

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from artifact_files import CHAT, TOOLS
from experiment import make, samples, write_evaluation, write_pairs

import compare_expectations
import plot_rewards
import render_report
from preference.files import artifacts
from preference.report import page as report

CONFIG = """experiment: length  # <script>alert("config")</script>
runs:
  worse: {algorithm: pref_ft, source: offline}
  better: {algorithm: dpo, source: on_policy, reference: previous, rounds: 1, train_dpo: {beta: 0.3}}
"""
ROW = {
    "task": "t",
    "run": "a",
    "judged_by": "gold_reward",
    "above_sft": "yes",
    "prompts": 9,
    "seeds": 1,
    "num_tokens": 5.0,
}


def row(run: str, gold: tuple, above_sft: str, reward_gain: float = 0.0) -> dict:
    names = ("gold_reward", "gold_reward_low", "gold_reward_high")
    return {
        **ROW,
        "run": run,
        **dict(zip(names, gold, strict=True)),
        "above_sft": above_sft,
        "reward_minus_sft_low": reward_gain,
    }


@pytest.fixture
def flags(tmp_path) -> render_report.Flags:
    tables = make(tmp_path)
    artifacts.write_text(tmp_path / "config.yaml", CONFIG, {})
    plot_rewards.main(plot_rewards.Flags(tables.metrics_output, str(tmp_path / "rewards.svg")))
    write_pairs(tmp_path / "pairs.parquet")
    named = zip(("length/sft/1", *tables.runs), (*tables.baseline_samples, *tables.samples), strict=True)
    return render_report.Flags(
        experiment="length <&>",
        config=str(tmp_path / "config.yaml"),
        metrics=tables.metrics_output,
        final=tables.final_output,
        sft=(f"length/1={tmp_path}/sft/1/evaluation.json",),
        reward_models=(f"length/1={tmp_path}/sft/1/evaluation.json",),
        samples=tuple(f"{label}={path}" for label, path in named),
        figures=(str(tmp_path / "rewards.svg"),),
        trained_on=(f"length/better/1/round1={tmp_path / 'pairs.parquet'}",),
        output=str(tmp_path / "report.html"),
    )


@pytest.fixture
def page(flags) -> str:
    render_report.main(flags)
    return Path(flags.output).read_text()


class Elements(HTMLParser):
    """Every element with its attributes; fails where a closing tag does not match."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_responses_prompts_and_config_are_escaped(page):
    elements = Elements(page).found
    assert not [tag for tag, _ in elements if tag in ("script", "iframe", "object", "link", "img")]
    assert len(re.findall(r"&lt;script&gt;alert\(\d\)&lt;/script&gt; &amp;", page)) == 4 * 3
    assert "&lt;script&gt;alert(&#39;prompt&#39;)" in page and "&lt;script&gt;alert(&#34;config&#34;)" in page
    assert "length &lt;&amp;&gt;" in page
    assert "\u202e" not in page and "⟨U+202E⟩" in page


LONG = "A plan:\n\n1. **First** this\n2. Then that\n" + "and so on, " * 500
CHATS = [  # prompts of a chat model, and their answers
    (CHAT, [{"role": "assistant", "content": "", "tool_calls": CHAT[2]["tool_calls"]}]),
    (CHAT[:2], LONG),
    ("plain?", "plain answer"),
]


@pytest.fixture
def chat_page(flags, tmp_path) -> str:
    """The report of an experiment whose prompts have several messages, and whose answers are long or call a tool."""
    for label in (value.split("=")[1] for value in flags.samples):
        rows = samples([-3.0, -2.0, -1.0])
        for i, (prompt, response) in enumerate(CHATS):
            rows[i] |= {"prompt_id": f"{i}", "prompt": prompt, "response": response, "tools": None if i else TOOLS}
        write_evaluation(Path(label).parent, rows)
    render_report.main(flags)
    return Path(flags.output).read_text().split("Answers side by side</h2>")[1].split("<h2>How it was made")[0]


def test_prompts_of_several_messages_are_shown_with_roles(chat_page):
    first, second, third = chat_page.split('<div class="prompt">')[1:]
    roles = ["tools", "system", "user", "assistant calls clock · c1", "tool · clock · c1", "user"]
    labels = re.findall(r'<p class="role">(.*?)</p>', first)
    assert labels == [*roles, *["assistant calls clock · c1"] * 3], "the prompt's, then each answer's"
    assert re.findall(r'<p class="role">(.*?)</p>', second) == ["system", "user"]
    assert "role" not in third and '<pre dir="auto">plain?</pre>' in third and "plain answer" in third


def test_all_but_the_last_message_of_a_long_prompt_are_folded(chat_page):
    first, second, _ = chat_page.split('<div class="prompt">')[1:]
    folded, rest = first.split("</details>")
    assert "<summary>5 earlier messages</summary>" in folded and "What time is it?" in folded
    assert "And there?" in rest and "And there?" not in folded and "<details>" not in second


def test_answers_keep_their_line_breaks_and_attacks_of_a_message_are_text(chat_page):
    assert chat_page.count(LONG.strip()) == 3
    assert "\x1b" not in chat_page and "␛]0;pwned␇" in chat_page and "&lt;/script&gt;" in chat_page
    assert not {"script", "img"} & {tag for tag, _ in Elements(chat_page).found}


def test_nothing_is_fetched_from_elsewhere(page):
    for tag, attributes in Elements(page).found:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_ids_of_two_figures_do_not_meet(flags, tmp_path):
    artifacts.write_text(tmp_path / "other.svg", (tmp_path / "rewards.svg").read_text(), {})
    figures = (str(tmp_path / "rewards.svg"), str(tmp_path / "other.svg"))
    render_report.main(render_report.Flags(**{**vars(flags), "figures": figures}))
    elements = Elements(text := Path(flags.output).read_text()).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)


def test_the_page_says_what_came_out(page):
    assert "In gold reward, better came out highest" in page and "and worse lowest" in page
    assert "better lies above it; worse lies below it" in page
    assert page.index("<td>better</td>") < page.index("<td>sft</td>") < page.index("<td>worse</td>")
    assert "3 tied rewards" in page and "train_dpo: {beta: 0.3}" in page and "torch 2.13.0" in page


def test_the_claims_stand_with_their_verdicts_and_how_many_hold(flags, tmp_path):
    columns = "id,claim,source,experiment,statistic,mean,low,high,seeds,rule,verdict,note"
    lines = ["a,<b>On-policy</b> helps,E2,e,final gold_reward: x - y,1.5,0.5,2.5,5,above 0,holds,"]
    lines += ["b,Both are alike,E9,e,final gold_reward: x / y,,,,0,above 1,undecided,5 of 5 seeds divide by nothing"]
    artifacts.write_text(tmp_path / "claims.csv", "\n".join([columns, *lines]) + "\n", {})
    render_report.main(render_report.Flags(**{**vars(flags), "claims": str(tmp_path / "claims.csv")}))
    page = Path(flags.output).read_text()
    assert "2 claims: 1 holds, 0 does not hold, 1 undecided." in page and "&lt;b&gt;On-policy" in page
    assert '<td class="yes">holds</td>' in page and "1.5<small>[0.5, 2.5]</small>" in page
    assert "5 of 5 seeds divide by nothing" in page and "<td>–<small></small></td>" in page


def with_expectations(flags: render_report.Flags, folder: Path) -> render_report.Flags:
    """The same page with what the geometry of `length` let expect of its two runs, of three seeds."""
    make(folder, seeds=("1", "2", "3"))
    geometries = {seed: folder / f"geometry{seed}.json" for seed in "123"}
    for seed, path in geometries.items():
        artifacts.write_json(path, {"kind": "geometry", "cell": "Min Length" if seed == "1" else "Mode Length"})
    tables = [f"length/{run}/{seed}={folder}/{run}/{seed}/metrics.csv" for run in ("better", "worse") for seed in "123"]
    compare_expectations.main(
        compare_expectations.Flags(
            geometries=tuple(f"length/{seed}={path}" for seed, path in geometries.items()),
            metrics=tuple(tables),
            contrasts=("length/on_policy_data/better/worse=<b>rounds</b>", "length/negative_gradient/worse/better="),
            output=str(folder / "expectations.csv"),
            text_output=str(folder / "expectations.txt"),
        )
    )
    return dataclasses.replace(flags, expectations=str(folder / "expectations.csv"))


def test_the_page_says_whether_it_came_as_the_geometry_of_the_task_said(flags, tmp_path):
    render_report.main(with_expectations(flags, tmp_path / "seeds"))
    page = Path(flags.output).read_text()
    Elements(page)
    assert "The samples of the SFT policies place length in Mode Length (2 of 3 seeds)." in page
    # Every seed differs by 5, and neither run moved by more than 4 from SFT: more than little, up or down.
    assert "Of 2 comparisons of two runs, 2 came otherwise." in page
    assert "<small>against worse</small>" in page and "on-policy data" in page and "negative gradient" in page
    assert "&lt;b&gt;rounds&lt;/b&gt;" in page and "<td>hurts" in page and "<td>helps" in page
    assert artifacts.metadata(flags.output)["inputs"]["expectations"]["path"].endswith("expectations.csv")


def test_without_expectations_nothing_is_said_of_them(page):
    assert "geometry" not in page


def test_equal_inputs_give_an_equal_page(flags):
    pages = []
    for _ in range(2):
        render_report.main(flags)
        pages.append(Path(flags.output).read_bytes())
    assert pages[0] == pages[1]


def test_the_words_follow_the_numbers_not_the_names():
    text = report.conclusion([row("sft", (3, 2.9, 3.1), ""), row("dpo", (1, 0.9, 1.1), "no", reward_gain=0.5)])
    assert "the SFT policy came out highest" in text and "dpo lowest" in text
    assert "dpo lies below it" in text and "overlaps no other" in text
    assert "exploited" in text


def test_overlap_is_said():
    text = report.conclusion(
        [row("a", (3, 2, 4), "yes"), row("b", (2.5, 1, 3), "unclear"), row("sft", (1, 0, 1.5), "")]
    )
    assert "The interval of a overlaps b: it does not settle their order." in text
    assert "a lies above it; b cannot be told from it" in text
    assert "one seed" in text


def test_a_missing_file_ends_in_one_line(flags, tmp_path):
    Path(flags.final).unlink()
    listed = [f"--{k}={v}" for k, v in vars(flags).items() if isinstance(v, str)]
    listed += [f"--{name}={getattr(flags, name)[0]}" for name in ("sft", "samples")]
    command = [sys.executable, render_report.__file__, *listed]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert f"{flags.final}: no such file" in ended.stderr


def test_a_judges_word_is_shown_where_there_is_one(flags, page, tmp_path):
    assert "What a judge says" not in page
    rows = (
        "task,run,seeds,prompts,win_rate,win_rate_low,win_rate_high,wins,ties,losses,verdicts,unparsed,position_bias\n"
        "length,better,1,8,0.75,0.5,0.9375,5,2,1,16,0,0.625\n"
        "length,worse,1,8,0.5,0.5,0.5,0,8,0,16,16,\n"
    )
    artifacts.write_text(tmp_path / "judgements.csv", rows, {})
    render_report.main(render_report.Flags(**{**vars(flags), "judgements": str(tmp_path / "judgements.csv")}))
    text = Path(flags.output).read_text().split("What a judge says")[1]
    assert "<td>length / better</td><td>0.75<small>[0.50, 0.94]</small></td><td>5</td>" in text
    assert "<td>0.62</td>\n<td>0 of 16</td>" in text and "<td>–</td>\n<td>16 of 16</td>" in text
