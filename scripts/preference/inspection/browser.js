"use strict";
// Texts of the data reach the page through textContent alone; nothing here makes markup from a string.
const started = performance.now();
const data = JSON.parse(document.getElementById("data").textContent);
const read = performance.now() - started;
const columns = new Map(Object.entries(data.columns));
const PAGE = 25; // rows in the page at a time: what the browser lays out does not grow with the table
const LIMIT = 4e6; // cells of a table of two texts' words; longer texts are compared word by word without order
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/u;
const WORD = /(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|[\p{L}\p{M}\p{N}_]+|[^\s])\s*|\s+/gu;
const NAMES = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");
const byId = (id) => document.getElementById(id);
const value = (name, row) => columns.get(name)[row];
const ROLES = ["system", "user", "assistant", "tool"]; // those that look different; any other role is shown as well

// A cell as [who speaks, text] pairs: a text of which the column says who speaks is one pair without a name.
function turns(name, row) {
  const given = value(name, row);
  return given === null ? [] : typeof given === "string" ? [["", given]] : given;
}

// ---- state: what is shown follows from the URL's fragment alone, so a link to it shows the same
const blank = () => ({ q: "", sort: "", order: "", by: data.numbers[0] ?? "", min: "", max: "", page: 1, is: new Map() });
let state = blank();
const fragmentKey = (label) => (Object.hasOwn(state, label) ? "is " + label : label); // another program's column may be called `sort`

function fromFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = blank();
  for (const key of ["q", "min", "max"]) found[key] = given.get(key) ?? "";
  if (data.numbers.includes(given.get("sort"))) found.sort = given.get("sort");
  if (data.numbers.includes(given.get("by"))) found.by = given.get("by");
  if (given.get("order") === "down") found.order = "down";
  for (const name of data.labels) if (given.has(fragmentKey(name))) found.is.set(name, given.get(fragmentKey(name)));
  found.page = Math.max(1, Math.floor(Number(given.get("page"))) || 1);
  return found;
}

function toFragment() {
  const given = new URLSearchParams();
  for (const key of ["q", "sort", "order"]) if (state[key]) given.set(key, state[key]);
  for (const [name, wanted] of state.is) if (wanted) given.set(fragmentKey(name), wanted);
  if (state.min !== "" || state.max !== "") given.set("by", state.by);
  for (const key of ["min", "max"]) if (state[key] !== "") given.set(key, state[key]);
  if (state.page > 1) given.set("page", state.page);
  history.replaceState(null, "", "#" + given);
}

// ---- which rows, in which order
let haystacks = null;
const says = (label) => label.includes(" "); // more than a role, such as the tool that is called
const searched = ([label, text]) => (says(label) ? label + "\n" + text : text);

function matching(query) {
  // made at the first search: lower case costs as much as reading the page
  haystacks ??= Array.from({ length: data.rows }, (_, row) =>
    [...data.texts.flatMap((name) => turns(name, row).map(searched)), columns.has("prompt_id") ? value("prompt_id", row) : ""]
      .join("\n").toLowerCase());
  const wanted = query.toLowerCase();
  return (row) => haystacks[row].includes(wanted);
}

function bound(text, otherwise) {
  const number = Number(text.replace(",", "."));
  return text.trim() === "" || Number.isNaN(number) ? otherwise : number;
}

function select() {
  const tests = [];
  if (state.q) tests.push(matching(state.q));
  for (const [name, wanted] of state.is) if (wanted) tests.push((row) => value(name, row) === wanted);
  const low = bound(state.min, -Infinity), high = bound(state.max, Infinity);
  if (low > -Infinity || high < Infinity) {
    const of = columns.get(state.by);
    tests.push((row) => of[row] !== null && of[row] >= low && of[row] <= high);
  }
  const rows = [];
  for (let row = 0; row < data.rows; row++) if (tests.every((test) => test(row))) rows.push(row);
  return sorted(rows);
}

function sorted(rows) {
  if (!state.sort) return state.order ? rows.reverse() : rows;
  const by = columns.get(state.sort), sign = state.order ? -1 : 1;
  // rows without the number come last in either order; rows with equal numbers stay in file order
  return rows.sort((a, b) => (by[a] === null) - (by[b] === null) || (by[a] === null ? 0 : sign * (by[a] - by[b])) || a - b);
}

// ---- words that differ
function words(text) {
  return (text.match(WORD) ?? []).map((word) => ({ word, key: word.trim(), differs: true }));
}

// The words of each turn of two conversations; those that both have, in one order, do not differ.
function compare(chosen, rejected) {
  const sides = [chosen, rejected].map((side) => side.map(([, text]) => words(text)));
  const [a, b] = sides.map((side) => side.flat());
  let start = 0, endA = a.length, endB = b.length;
  const meet = (x, y) => { x.differs = y.differs = false; };
  while (start < endA && start < endB && a[start].key === b[start].key) meet(a[start], b[start++]);
  while (endA > start && endB > start && a[endA - 1].key === b[endB - 1].key) meet(a[--endA], b[--endB]);
  const left = a.slice(start, endA), right = b.slice(start, endB);
  if ((left.length + 1) * (right.length + 1) > LIMIT) unordered(left, right);
  else subsequence(left, right, meet);
  return sides;
}

function unordered(left, right) {
  const inLeft = new Set(left.map((x) => x.key)), inRight = new Set(right.map((x) => x.key));
  for (const x of left) x.differs = !inRight.has(x.key);
  for (const x of right) x.differs = !inLeft.has(x.key);
}

function subsequence(left, right, meet) {
  const width = right.length + 1, longest = new Uint32Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      longest[i * width + j] = left[i].key === right[j].key
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    if (left[i].key === right[j].key) meet(left[i++], right[j++]);
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
    else j++;
  }
}

// ---- drawing
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function sign(character) {
  const code = character.codePointAt(0);
  return NAMES[code] ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

// Where in a text stands what was searched for: [start, end] pairs.
function found(text) {
  if (!state.q) return [];
  const pattern = new RegExp(state.q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  return [...text.matchAll(pattern)].map((match) => [match.index, match.index + match[0].length]);
}

// A text, or the piece of it that begins at `offset`, with the ranges that were found marked.
function write(parent, text, ranges, offset = 0) {
  let last = 0;
  for (const [start, end] of ranges) {
    const from = Math.max(start - offset, last), to = Math.min(end - offset, text.length);
    if (from >= to) continue;
    plain(parent, text.slice(last, from));
    plain(parent.appendChild(element("mark")), text.slice(from, to));
    last = to;
  }
  plain(parent, text.slice(last));
}

// Control characters are shown as signs: some reorder what stands around them.
function plain(parent, text) {
  for (const part of CONTROL.test(text) ? text.split(new RegExp(`(${CONTROL.source})`, "u")) : [text])
    if (part) parent.append(CONTROL.test(part) ? element("span", "control", sign(part)) : part);
}

function writeWords(parent, list, tag) {
  const ranges = found(list.map((x) => x.word).join(""));
  for (let i = 0, offset = 0; i < list.length;) {
    const differs = list[i].differs;
    let run = "";
    while (i < list.length && list[i].differs === differs) run += list[i++].word;
    const words = differs ? run.trimEnd() : run; // the space after a word does not differ
    write(differs && words ? parent.appendChild(element(tag)) : parent, words, ranges, offset);
    write(parent, run.slice(words.length), ranges, offset + words.length);
    offset += run.length;
  }
}

function shown(number) {
  return Number.isInteger(number) ? number.toLocaleString("en") : String(Number(number.toPrecision(4)));
}

function facts(row) {
  const line = element("div", "facts");
  if (columns.has("prompt_id")) {
    const link = element("a", "", value("prompt_id", row));
    link.href = "#" + new URLSearchParams({ q: value("prompt_id", row) });
    line.append(link);
  }
  if (columns.has("sample_id")) fact(line, "sample", value("sample_id", row));
  fact(line, "row", row);
  measures(line, row, (name) => !data.texts.some((text) => name.startsWith(text + "_")), "");
  return line;
}

// The numbers and labels of a row, or those of one side of a pair, which stand above its text.
function measures(line, row, wanted, prefix) {
  for (const name of [...data.numbers, ...data.labels].filter(wanted))
    if (value(name, row) !== null) {
      const given = value(name, row);
      fact(line, title(name.slice(prefix.length)), typeof given === "number" ? shown(given) : given);
    }
}

function fact(line, name, text) {
  const one = line.appendChild(element("span"));
  plain(one, name + " ");
  plain(one.appendChild(element("b")), String(text));
}

function title(name) {
  return name.replaceAll("_", " ");
}

function card(row) {
  const made = element("article");
  const isPair = data.texts.includes("chosen") && data.texts.includes("rejected");
  const texts = element("div", isPair ? "texts pair" : "texts");
  const [chosen, rejected] = isPair ? compare(turns("chosen", row), turns("rejected", row)) : [];
  for (const name of data.texts) {
    if (data.optional.includes(name) && value(name, row) === null) continue;
    const isSide = isPair && (name === "chosen" || name === "rejected");
    const part = texts.appendChild(element("section", isSide ? name : name === "prompt" ? "prompt" : "wide"));
    const line = part.appendChild(element("div", "facts"));
    plain(line.appendChild(element("h2")), name);
    measures(line, row, (measure) => measure.startsWith(name + "_"), name + "_");
    const text = part.appendChild(element("div", "text"));
    if (isSide) conversation(text, turns(name, row), name === "chosen" ? chosen : rejected, name === "chosen" ? "ins" : "del");
    else conversation(text, turns(name, row));
    if (!turns(name, row).length) text.append(element("span", "none", "none"));
  }
  made.append(facts(row), texts);
  return made;
}

// The turns of a cell, each below who speaks; where it is compared with another, `compared` holds the words of each turn.
function conversation(parent, list, compared, tag) {
  list.forEach(([label, text], i) => {
    const role = ROLES.find((known) => label.startsWith(known));
    const at = label ? parent.appendChild(element("div", role ? "turn " + role : "turn")) : parent;
    if (label) write(at.appendChild(element("h3")), label, says(label) ? found(label) : []);
    if (!text) at.append(element("span", "none", "empty"));
    else if (compared) writeWords(at, compared[i], tag);
    else write(at, text, found(text));
  });
}

// A text of many lines is cut, with a button that shows the rest.
function clamp(list) {
  const texts = [...list.querySelectorAll(".text")];
  for (const text of texts) text.classList.add("clamped");
  const long = texts.filter((text) => text.scrollHeight > text.clientHeight + 30); // read all before any is written
  for (const text of texts) if (!long.includes(text)) text.classList.remove("clamped");
  for (const text of long) {
    const more = element("button", "more", "show all");
    more.type = "button";
    more.onclick = () => { more.textContent = text.classList.toggle("clamped") ? "show all" : "show less"; };
    text.after(more);
  }
}

function draw() {
  const before = performance.now();
  const rows = select();
  const selected = performance.now();
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  state.page = Math.min(state.page, pages);
  const first = (state.page - 1) * PAGE, taken = rows.slice(first, first + PAGE);
  const list = byId("rows");
  list.replaceChildren(...taken.map(card));
  if (!taken.length) list.append(element("p", "none", "No row is like that."));
  clamp(list);
  const range = taken.length ? `${(first + 1).toLocaleString("en")}–${(first + taken.length).toLocaleString("en")} of ` : "";
  byId("count").textContent = range + `${rows.length.toLocaleString("en")} rows`
    + (rows.length < data.rows ? ` (all: ${data.rows.toLocaleString("en")})` : "");
  for (const button of document.querySelectorAll(".earlier")) button.disabled = state.page <= 1;
  for (const button of document.querySelectorAll(".later")) button.disabled = state.page >= pages;
  byId("end").hidden = pages === 1;
  byId("timings").textContent = `/ searches, ← and → turn pages. `
    + `${data.rows.toLocaleString("en")} rows read in ${read.toFixed(1)} ms, `
    + `found in ${(selected - before).toFixed(1)} ms, drawn in ${(performance.now() - selected).toFixed(1)} ms`;
}

// ---- controls
const INPUTS = ["q", "sort", "order", "by", "min", "max"];

function fill() {
  for (const id of INPUTS) byId(id).value = state[id];
  for (const name of data.labels) byId("is-" + name).value = state.is.get(name) ?? "";
  check();
}

function check() {
  for (const id of ["min", "max"]) byId(id).classList.toggle("wrong", state[id].trim() !== "" && bound(state[id], null) === null);
}

function changed() {
  for (const id of INPUTS) state[id] = byId(id).value;
  for (const name of data.labels) state.is.set(name, byId("is-" + name).value);
  state.page = 1;
  check();
  toFragment();
  draw();
}

function turn(by) {
  state.page = Math.max(1, state.page + by); // draw keeps it from going past the last
  draw();
  toFragment();
  scrollTo(0, 0);
}

function option(text, given) {
  const made = element("option", "", text.replace(new RegExp(CONTROL.source, "gu"), sign));
  made.value = given;
  return made;
}

function build() {
  byId("path").replaceChildren();
  plain(byId("path"), data.path);
  const about = byId("about");
  about.querySelector("summary").textContent = `${title(data.kind)}, ${data.rows.toLocaleString("en")} rows, ${data.facts[0] || "nothing says what made it"}`;
  plain(about.querySelector("p"), data.facts.slice(1).join("  "));
  for (const name of data.numbers) for (const id of ["sort", "by"]) byId(id).append(option(title(name), name));
  byId("by").closest("fieldset").hidden = !data.numbers.length;
  for (const name of data.labels) {
    const label = byId("labels").appendChild(element("label"));
    plain(label, title(name));
    const choices = label.appendChild(element("select"));
    choices.id = "is-" + name;
    choices.append(option("any", ""));
    for (const found of [...new Set(columns.get(name))].filter((found) => found !== null).sort()) choices.append(option(found, found));
  }
}

build();
const form = byId("controls");
let pending = 0;
form.addEventListener("input", () => { clearTimeout(pending); pending = setTimeout(changed, 60); });
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", (event) => { event.preventDefault(); state = blank(); fill(); toFragment(); draw(); });
for (const button of document.querySelectorAll(".earlier")) button.addEventListener("click", () => turn(-1));
for (const button of document.querySelectorAll(".later")) button.addEventListener("click", () => turn(1));
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select") || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "/") { event.preventDefault(); byId("q").focus(); }
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});
function restore() { state = fromFragment(); fill(); draw(); }
addEventListener("hashchange", restore);
restore();
