"""The page in a real browser: a policy that writes attacks changes nothing in it, and 10,000 rows stay fluid in it."""

import random
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from artifact_files import CALL, CHAT, TOOLS
from chromium import Chromium, Tab

import generate_responses
import initialize_model
import inspect_artifact
import train_sft
from preference.files import conversations, records

pytestmark = pytest.mark.browser
PAYLOADS = {
    "script": """<script>document.title='pwned'</script><img src=x onerror="document.title='pwned'">""",
    "break out": """</script><script>document.title='pwned'</script>""",
    "comment": """<!--<script>--><svg onload=document.title='pwned'>""",
    "link": """<a href="javascript:document.title='pwned'">x</a>{{7*7}}${7*7}""",
    "escape": "\x1b]0;pwned\x07\x1b[31m \u202e&lt;b&gt; \\u003cb\\u003e",
}


@pytest.fixture(scope="module", autouse=True)
def chromium(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


class Page(HTMLParser):
    """A page's elements, the text of each article, of what is marked as different, and of the elements with an id."""

    def __init__(self, dom: str):
        super().__init__()
        self.elements, self.attributes, self.articles, self.ids, self.open = [], [], [], {}, []
        self.marked = {"ins": [], "del": []}
        self.feed(dom)
        self.count, self.timings = self.ids.get("count", ""), self.ids.get("timings", "")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append(tag)
        self.attributes += attrs
        if tag == "article":
            self.articles.append("")
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append((tag, attrs.get("id")))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text):
        tags = [tag for tag, _ in self.open]
        if "article" in tags:
            self.articles[-1] += text
        if tags and tags[-1] in self.marked:
            self.marked[tags[-1]].append(text)
        for tag, name in self.open:
            self.ids[name or tag] = self.ids.get(name or tag, "") + text


def browse(chromium: Chromium, page: Path, /, **state) -> Page:
    """The page as it is after its script has run; it has asked for nothing but itself."""
    address = page.resolve().as_uri()
    tab = chromium.open(address + ("#" + urlencode(state) if state else ""))
    found = Page(tab.value("document.documentElement.outerHTML"))
    assert tab.requested() == [address] and not tab.happened("Page.javascriptDialogOpening")
    tab.close()
    return found


def make_page(table: Path) -> Path:
    page = table.with_suffix(".html")
    inspect_artifact.main(inspect_artifact.Flags(str(table), html=str(page)))
    return page


# ---- a policy that attacks


@pytest.fixture(scope="module")
def attacks(tmp_path_factory) -> list[dict]:
    """What a policy really answers, after it was trained until it answers each prompt with an attack."""
    folder = tmp_path_factory.mktemp("attacks")
    rows = [{"prompt_id": records.prompt_id(p), "prompt": p, "response": text} for p, text in PAYLOADS.items()]
    records.write(folder / "sft.parquet", "sft", rows, {"stage": "prepare_task"})
    records.write(folder / "prompts.parquet", "prompts", [{k: r[k] for k in ("prompt_id", "prompt")} for r in rows], {})
    base, policy, data = str(folder / "base"), str(folder / "policy"), str(folder / "sft.parquet")
    shape = {"vocab_size": 500, "hidden_size": 64, "num_layers": 2, "num_heads": 2, "context_length": 128}
    initialize_model.main(initialize_model.Flags(data=data, output=base, seed=0, **shape))
    training = {
        "learning_rate": 5e-3,
        "epochs": 80,
        "batch_size": 5,
        "micro_batch_size": 5,
        "max_length": 128,
        "seed": 0,
    }
    files = {"data": data, "base_model": base, "output": policy, "log_output": str(folder / "training.csv")}
    train_sft.main(train_sft.Flags(**files, **training))
    sampling = {"samples_per_prompt": 1, "temperature": 0.0, "top_p": 1.0, "max_new_tokens": 100, "seed": 0}
    files = {"policy": policy, "prompts": str(folder / "prompts.parquet"), "output": str(folder / "responses.parquet")}
    generate_responses.main(generate_responses.Flags(**files, engine="transformers", round=1, **sampling))
    found = records.read(folder / "responses.parquet", "responses")
    said = [conversations.text(row["response"]) for row in found]
    assert said == list(PAYLOADS.values()), "the policy has learnt its attacks"
    return found, folder / "responses.parquet"


def check_harmless(page: Page, name: str) -> None:
    assert page.ids["title"] == name, "the title is untouched"
    assert not {"img", "svg"} & set(page.elements) and page.elements.count("script") == 2
    assert not [attribute for attribute in page.attributes if attribute.startswith("on")]


def signs(text: str) -> str:
    """The text as the page shows it."""
    return text.replace("\x1b", "ESC").replace("\x07", "BEL").replace("\u202e", "U+202E")


def test_attacks_of_a_policy_are_text_in_the_page_of_its_responses(chromium, attacks):
    page = browse(chromium, make_page(attacks[1]))
    check_harmless(page, "responses.parquet")
    for text, article in zip(PAYLOADS.values(), page.articles, strict=True):
        assert signs(text) in article


def test_attacks_are_text_in_pairs_too_where_their_differences_are_marked(chromium, attacks, tmp_path):
    responses = [conversations.text(row["response"]) for row in attacks[0]]
    rows = [
        {"prompt_id": str(i), "prompt": chosen, "chosen": chosen, "rejected": rejected}
        for i, (chosen, rejected) in enumerate(zip(responses, responses[1:] + responses[:1], strict=True))
    ]
    records.write(tmp_path / "pairs.parquet", "pairs", rows, {"stage": responses[0], "flags": {"x": responses[1]}})
    for state in ({}, {"q": "<script>"}, {"q": responses[0], "sort": responses[1], "by": responses[2]}):
        page = browse(chromium, make_page(tmp_path / "pairs.parquet"), **state)
        check_harmless(page, "pairs.parquet")
        assert ("mark" in page.elements) == ("q" in state) and "ins" in page.elements and "del" in page.elements
        assert all(any(signs(text) in article for article in page.articles) for text in responses[:2])


def test_even_a_script_that_did_get_into_the_page_would_not_run(chromium, attacks):
    page = make_page(attacks[1])
    broken = page.read_text().replace('<main id="rows">', PAYLOADS["script"] + '<main id="rows">')
    page.write_text(broken)
    found = browse(chromium, page)
    assert "img" in found.elements and found.elements.count("script") == 3
    assert found.ids["title"] == "responses.parquet" and found.articles


# ---- many rows


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> tuple[list[dict], Path]:
    """10,000 pairs of about 150 words, a few of which hold a word to search for."""
    rng, rows = random.Random(0), []
    words = [f"{a}{b}" for a in ("ba", "de", "lo", "mi", "su") for b in ("ran", "tel", "vis", "kon", "zum", "pad")]
    for i in range(10_000):
        chosen = rng.choices(words, k=rng.randint(50, 250))
        rejected = [rng.choice(words) if rng.random() < 0.2 else word for word in chosen]
        if i % 97 == 5:
            chosen[3] = "Needle"
        row = {
            "prompt_id": f"{i:016x}",
            "prompt": f"prompt {i}",
            "chosen": " ".join(chosen),
            "rejected": " ".join(rejected),
        }
        row |= {"chosen_reward": rng.gauss(1, 1), "rejected_reward": rng.gauss(0, 1) if i % 10 else None}
        reasons = {f"{side}_finish_reason": rng.choice(records.FINISH_REASONS) for side in ("chosen", "rejected")}
        rows.append(row | reasons | {"chosen_tokens": None, "rejected_tokens": None})
    table = tmp_path_factory.mktemp("many") / "pairs.parquet"
    records.write(table, "pairs", rows, {"stage": "construct_pairs"})
    return rows, make_page(table)


def margin(row: dict) -> float | None:
    return None if row["rejected_reward"] is None else row["chosen_reward"] - row["rejected_reward"]


STATES = {  # what is set, in the order of the controls, and which rows must come in which order
    "a search": ({"q": "needle"}, lambda row: "Needle" in row["chosen"], None, False),
    "an id": ({"q": "00000000000003e8"}, lambda row: row["prompt_id"] == "00000000000003e8", None, False),
    "largest margins": ({"sort": "margin", "order": "down"}, lambda row: True, margin, True),
    "smallest reward": ({"sort": "chosen_reward"}, lambda row: True, lambda row: row["chosen_reward"], False),
    "cut and in a range": (
        {"sort": "margin", "chosen_finish_reason": "length", "by": "margin", "min": "-0.5", "max": "0.5"},
        lambda row: row["chosen_finish_reason"] == "length" and margin(row) is not None and abs(margin(row)) <= 0.5,
        margin,
        False,
    ),
    "nothing": ({"q": "in no row"}, lambda row: False, None, False),
}
IDS = {"chosen_finish_reason": "is-chosen_finish_reason"}  # of the controls that are not called as their key is
TYPED = {"down": "highest", "chosen_reward": "c"}  # what is typed to choose an option, where that is not its value
WATCH = """
let acted = 0, drawn = 0, painted = 0, times = 0;
for (const kind of ["input", "click"]) addEventListener(kind, () => { acted = performance.now(); }, { capture: true });
const paint = () => {
  times++;
  drawn = performance.now();
  requestAnimationFrame(() => setTimeout(() => { painted = performance.now(); }));
};
new MutationObserver(paint).observe(document.getElementById("rows"), { childList: true });
"""
MOST = 0.4  # seconds of work until what was asked for is on the screen; a word that is typed is drawn more than once


class Watched(Tab):
    """A page that notes when something was typed or clicked and when its effect was on the screen."""

    def watch(self, capsys) -> "Watched":
        self.capsys = capsys
        self.begin()
        return self

    def begin(self) -> None:
        self.value("times = 0, acted = performance.now()")
        self.worked = self.work()

    def work(self) -> float:
        """Seconds of a core that the page has used so far, whatever else the machine does."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    def shown(self, what: str) -> Page:
        """The page once the last key or click has taken effect, which must not take long."""
        self.wait("drawn > acted && painted > drawn")
        work, took = (self.work() - self.worked) / self.value("times"), self.value("painted - acted")
        page = Page(self.value("document.documentElement.outerHTML"))
        with self.capsys.disabled():
            print(f"\n  {what}: {work:.2f} s of work, on the screen {took:.0f} ms after the last key; {page.timings}")
        assert work < MOST and len(page.articles) <= 25 and len(page.elements) < 6000
        self.begin()
        return page


@pytest.fixture(scope="module")
def opened(chromium, many) -> Watched:
    tab = chromium.open(many[1].as_uri())
    tab.call("Performance.enable", timeDomain="threadTicks")
    tab.value(WATCH)
    return Watched(tab.browser, tab.session, tab.target)


@pytest.fixture
def tab(opened, capsys) -> Watched:
    """The page of many rows, as it is at first."""
    opened.watch(capsys).click("[type=reset]")
    opened.shown("reset")
    return opened


def tab_to(tab: Tab, name: str) -> None:
    for _ in range(20):
        if tab.value("document.activeElement.id") == name:
            return
        tab.press("Tab")
    raise AssertionError(f"the key Tab does not lead to {name}")


@pytest.mark.parametrize("name", STATES)
def test_keys_alone_search_sort_and_filter_and_the_address_says_so(tab, many, name):
    rows, _ = many
    state, wanted, key, down = STATES[name]
    found = [row for row in rows if wanted(row)]
    if key:
        known = [row for row in found if key(row) is not None]
        found = sorted(known, key=key, reverse=down) + [row for row in found if key(row) is None]
    tab.press("/")
    for control, given in state.items():
        tab_to(tab, IDS.get(control, control))
        tab.type(TYPED.get(given, given))
    page = tab.shown(name)
    assert [article[:16] for article in page.articles] == [row["prompt_id"] for row in found[:25]]
    assert f"{len(found):,} rows" in page.count
    assert dict(parse_qsl(tab.value("location.hash.slice(1)"))) == state


def test_pages_are_turned_by_mouse_and_by_keys(tab):
    for turn, expected in (
        (lambda: tab.click("nav .later"), 25),
        (lambda: tab.press("Enter"), 50),  # the button has the focus
        (lambda: tab.press("ArrowRight"), 75),
        (lambda: tab.press("ArrowLeft"), 50),
    ):
        turn()
        assert int(tab.shown("a page").articles[0][:16], 16) == expected and tab.value("scrollY") == 0
    assert tab.value("location.hash") == "#page=3"


def test_a_link_to_what_is_shown_shows_the_same(chromium, many):
    rows, path = many
    state, wanted, key, _ = STATES["cut and in a range"]
    found = sorted(filter(wanted, rows), key=key)
    page = browse(chromium, path, **state, page=2)
    assert [article[:16] for article in page.articles] == [row["prompt_id"] for row in found[25:50]]


def test_the_differences_of_a_pair_are_marked_and_the_rest_is_not(chromium, tmp_path):
    row = {"prompt_id": "a", "prompt": "p", "chosen": "the quick brown fox", "rejected": "the slow brown dog"}
    records.write(tmp_path / "pairs.parquet", "pairs", [row], {})
    page = browse(chromium, make_page(tmp_path / "pairs.parquet"))
    assert page.marked == {"ins": ["quick", "fox"], "del": ["slow", "dog"]}


# ---- conversations


@pytest.fixture(scope="module")
def chats(tmp_path_factory) -> Path:
    """Pairs whose prompts have several messages, whose answers call a tool, and which are plain."""
    call = [{"role": "assistant", "content": "", "tool_calls": [CALL]}]
    other = [{"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]}]
    rows = [
        {"prompt_id": "a", "prompt": CHAT, "chosen": call, "rejected": other, "tools": TOOLS},
        {"prompt_id": "b", "prompt": CHAT[:2], "chosen": "noon", "rejected": "midnight"},
        {"prompt_id": "c", "prompt": "plain", "chosen": "the assistant", "rejected": "the tool"},
    ]
    table = tmp_path_factory.mktemp("chats") / "pairs.parquet"
    records.write(table, "pairs", rows, {"stage": "construct_pairs"})
    return make_page(table)


def shown(chromium: Chromium, page: Path, selector: str, **state) -> list[str]:
    """The texts of the elements of the page that a selector finds."""
    tab = chromium.open(page.resolve().as_uri() + "#" + urlencode(state))
    found = tab.value(f"[...document.querySelectorAll({selector!r})].map((found) => found.innerText)")
    tab.close()
    return found


def test_who_speaks_is_set_apart_and_a_plain_prompt_is_its_text(chromium, chats):
    roles = ["system", "user", "assistant calls clock · c1", "tool · clock · c1", "user"]
    assert shown(chromium, chats, ".prompt h3") == [*roles, "system", "user"]
    prompts = shown(chromium, chats, ".prompt .text")
    assert "system\nBe short." in prompts[0] and "12:00" in prompts[0] and prompts[2] == "plain"
    assert shown(chromium, chats, ".chosen h3") == ["assistant calls clock · c1"]
    assert len(shown(chromium, chats, ".wide .text")) == 1, "tools are shown where a prompt has some"


def test_the_words_that_differ_are_marked_turn_by_turn(chromium, chats):
    page = browse(chromium, chats)
    check_harmless(page, "pairs.parquet")
    assert page.marked == {"ins": ["noon", "assistant"], "del": ["Let me look.", "midnight", "tool"]}


def test_search_and_filters_work_on_what_is_said_and_on_called_tools(chromium, chats):
    def found(**state):
        return shown(chromium, chats, "article .facts a", **state)

    assert found(q="what time") == ["a", "b"] and found(q="calls clock") == ["a"] and found(q="12:00") == ["a"]
    assert found(q="assistant") == ["a", "c"], "the name of a role is no text, what is called is"
    assert found(by="prompt_messages", min="3") == ["a"] and found(by="prompt_characters", max="5") == ["c"]
    assert shown(chromium, chats, "mark", q="12:00") == ["12:00"]


def test_roles_columns_and_values_of_another_program_are_text(chromium, tmp_path):
    attack = PAYLOADS["script"] + PAYLOADS["escape"]
    row = {attack: [{"role": attack, "content": attack}], "sort": True, "page": "\u202e", "\u202e_n": 1.5}
    pq.write_table(pa.Table.from_pylist([row, row | {"sort": False}, row, row]), tmp_path / "a.parquet")
    page = make_page(tmp_path / "a.parquet")
    found = browse(chromium, page)
    check_harmless(found, "a.parquet")
    assert len(found.articles) == 4 and "\u202e" not in "".join(found.ids[name] for name in ("rows", "controls"))
    assert all(article.count(signs(attack)) == 3 for article in found.articles), "as column, as role, as text"
    found = browse(chromium, page, **{"is sort": "false"})
    assert len(found.articles) == 1 and "4" in found.count
