"""Where an artifact comes from: the tree of stages back to the data, and what has changed since each of them ran.

The metadata of each artifact names its inputs with their digests, and a record beside it its code; both are computed
anew and compared, from the bytes that are there now: a manifest is what somebody said of a folder once. Paths in
metadata are relative to the folder that the workflow ran in.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from preference.files import provenance
from preference.inspection import artifacts, terminal
from preference.running import code, source_text
from preference.running.source_text import SCRIPTS

SAME, CHANGED, MISSING, UNKNOWN = "as it was", "has changed since", "is missing", "digest not recorded"


@dataclass
class Node:
    """An artifact in the tree; `edges` are what its stage read."""

    path: Path
    made_by: dict
    number: int
    sha256: str  # its digest now; '' where it is not there
    doubt: str | None = None  # why what is said of it may be wrong
    code: dict[str, str] = field(default_factory=dict)  # file -> changed, new, gone
    edges: list["Edge"] = field(default_factory=list)


@dataclass(frozen=True)
class Edge:
    """An input: its name, its digest when it was read, and what has become of it."""

    name: str
    sha256: str
    node: Node

    @property
    def state(self) -> str:
        if not self.node.path.exists():
            return MISSING
        return UNKNOWN if not self.sha256 else SAME if self.sha256 == self.node.sha256 else CHANGED


def trace(path: Path) -> Node:
    """The tree of an artifact; an artifact that several stages read is one node."""
    return _trace(path, Path.cwd(), {})


def _trace(path: Path, base: Path, seen: dict[Path, Node]) -> Node:
    content = artifacts.made_by(path)
    node = Node(_shown(path), content, len(seen) + 1, digest(path), artifacts.unsealed(path), code_changes(content))
    seen[path.resolve()] = node
    base = folder_of_run(path, content) or base
    for name, recorded, sha256 in artifacts.inputs(content):
        found = resolve(recorded, base)
        below = seen.get(found.resolve()) or _trace(found, base, seen)
        node.edges.append(Edge(name, sha256, below))
    return node


def folder_of_run(path: Path, content: dict) -> Path | None:
    """The folder from which the artifact's own recorded path is right; None where nothing is recorded, or it moved."""
    recorded = Path(str(content.get("path") or ""))
    parts, own = path.resolve().parts, recorded.parts
    if recorded.is_absolute() or not own or ".." in own or parts[-len(own) :] != own:
        return None
    return Path(*parts[: -len(own)])


def resolve(recorded: str, base: Path) -> Path:
    """Where a recorded path leads: from the folder of the run, else from here.

    The folder of the run comes first: another experiment may have files of the same names here.
    """
    for folder in (base, Path.cwd()):
        if (folder / recorded).exists() or artifacts.manifest_of(folder / recorded).is_file():
            return _shown(folder / recorded)
    return _shown(base / recorded)


def _shown(path: Path) -> Path:
    """The path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def digest(path: Path) -> str:
    """The digest of a file's or a folder's bytes now, as provenance.digest has it; '' where it is not there."""
    try:
        if path.is_dir():
            return hashlib.sha256(json.dumps(provenance.contents(path)).encode()).hexdigest()
        return provenance.digest(path) if path.is_file() else ""
    except OSError:
        return ""


def code_changes(content: dict) -> dict[str, str]:
    """Return the source files of which the stage reaches something else than it did -> how they differ."""
    recorded, stage = artifacts.part(content, "code"), str(content.get("stage", ""))
    if not recorded:
        return {}
    script = f"{stage}.py"
    # the name comes from a file: it must not lead out of the folder of scripts
    if not re.fullmatch(r"\w+", stage) or not (SCRIPTS / script).is_file():
        return {script: "gone"}
    now = code.record(script, _members(recorded))
    changed = {name: "changed" for name in recorded.keys() & now.keys() if recorded[name] != now[name]}
    changed |= {name: "new" for name in now.keys() - recorded.keys()}
    return dict(sorted((changed | {name: "gone" for name in recorded.keys() - now.keys()}).items()))


def _members(recorded: dict) -> list[str]:
    """Return the recorded modules, such as verifiers, that a flag named, so that no import statement needs to."""
    there = [name for name in recorded if (SCRIPTS / name).is_file()]
    return [name for name in there if source_text.is_found_by_name(name)]


def render(node: Node) -> list[str]:
    """The tree as lines, an artifact once; a number in brackets refers to it from elsewhere."""
    return [*_head(node), *_below(node, "", set())]


def _below(node: Node, indent: str, shown: set[int]) -> list[str]:
    shown.add(node.number)
    lines = []
    for edge in node.edges:
        branch, under = ("└─ ", "   ") if edge is node.edges[-1] else ("├─ ", "│  ")
        first, *rest = _head(edge.node, len(indent + under))
        lines.append(f"{indent}{branch}{terminal.one_line(edge.name)}: {first}{_mark(edge)}")
        if edge.node.number in shown:
            lines[-1] += " (see above)"
        else:
            lines += [f"{indent}{under}{line}" for line in rest]
            lines += _below(edge.node, indent + under, shown)
    return lines


def _mark(edge: Edge) -> str:
    if edge.state == SAME:
        return ""
    return f"  ← {edge.state}" + (f" (was {edge.sha256[:8]})" if edge.sha256 else "")


def _head(node: Node, indented: int = 0) -> list[str]:
    """The artifact's path, digest, stage and code on a line, its flags and what has changed in its code on others."""
    content, facts = node.made_by, [node.sha256[:8] or "no digest"]
    if content.get("stage"):
        facts += [f"by {content['stage']}", f"code {_short(content)}"]
    elif node.path.exists():
        facts.append("nothing says what made it")
    lines = [terminal.one_line(f"[{node.number}] {node.path}  {', '.join(facts)}", 2000)]
    if given := artifacts.flags(content):
        lines += terminal.folded(" ", given, indented)
    if node.doubt:
        lines.append(f"  ← {terminal.one_line(node.doubt)}, so what it says may be wrong")
    if node.code:
        changes = ", ".join(f"{name} {how}" for name, how in node.code.items())
        lines.append("  ← code since: " + terminal.one_line(changes, 2000))
    return lines


def _short(content: dict) -> str:
    if "older_code" in content:
        return "of an older version"
    recorded = artifacts.part(content, "code")
    return hashlib.sha256(json.dumps(recorded, sort_keys=True).encode()).hexdigest()[:8] if recorded else "not recorded"


def nodes(node: Node, found: dict[int, Node] | None = None) -> list[Node]:
    """Every node of the tree once."""
    found = {} if found is None else found
    found[node.number] = node
    for edge in node.edges:
        if edge.node.number not in found:
            nodes(edge.node, found)
    return list(found.values())


def verdict(root: Node) -> str:
    """One line: whether anything has changed since, and what."""
    tree = nodes(root)
    edges = [edge for node in tree for edge in node.edges]
    groups = [
        ("input", "changed since", {str(edge.node.path) for edge in edges if edge.state == CHANGED}),
        ("module", "changed since", {name for node in tree for name in node.code}),
        ("input", "gone missing", {str(edge.node.path) for edge in edges if edge.state == MISSING}),
        ("artifact", "been damaged", {str(node.path) for node in tree if node.doubt}),
    ]
    said = [_said(noun, what, sorted(names)) for noun, what, names in groups if names]
    if not any(node.made_by.get("stage") for node in tree):
        return f"{root.path}: nothing says what made it, so nothing can be compared"
    return f"{terminal.counted(len(tree), 'artifact')}: " + ("; ".join(said) if said else "nothing has changed since")


def _said(noun: str, what: str, names: list[str]) -> str:
    verb = "has" if len(names) == 1 else "have"
    return f"{terminal.counted(len(names), noun)} {verb} {what}: {', '.join(names)}"
