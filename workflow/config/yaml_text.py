"""Config files as text: what a YAML reader would pass over, said as one line before anything is read from them.

Snakemake loads the files of `--configfile` before it reads the Snakefile, shows a traceback where one is missing and
names neither file nor line where one is damaged; the profile calls `refuse` earlier still. A file can also hold more
than data: Python tags, and templates, which are code.
"""

import re
import sys
from pathlib import Path

import yaml

DEFAULT = "config/config.yaml"
TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")}
DEEPEST, MOST = 32, 100_000  # levels, and values with those that aliases repeat: far more than a config has
ENTRY = re.compile(r"[a-zA-Z_][\w-]*\w=.*", re.DOTALL)  # NAME=VALUE, as snakemake wants it


def refuse(files: list, entries: list[str] | None = None) -> None:
    """End the program with one line where a config file, or an entry of `--config`, cannot be taken as it is."""
    found = [f"--config {entry}: is not of the form NAME=VALUE" for entry in entries or [] if not ENTRY.match(entry)]
    found += [f"{path}: {problem}" for path in files if (problem := problem_of(Path(path)))]
    if found:
        sys.exit("\n".join(found))


def read(path: Path) -> dict:
    """What a sound file says; by libyaml where it is, ten times as fast: every job of a cluster reads the schemas."""
    safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return safe(path.read_text(encoding="utf-8")).get_single_data()


def problem_of(path: Path) -> str | None:
    """What is wrong with a config file as a text, if anything."""
    try:
        if not path.is_file():
            return "is a folder; name a file" if path.is_dir() else "no such config file"
        return _problem_in(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} at {error.start}); save it as UTF-8"
    except yaml.YAMLError as error:
        return _said(error)
    except RecursionError:
        return f"is nested more than {DEEPEST} levels deep"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _problem_in(text: str) -> str | None:
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    if top is None:
        return "is empty; config/README.md explains the keys"
    if not isinstance(top, yaml.MappingNode):
        return "is no mapping of keys to values; config/README.md explains the keys"
    if problem := next(_problems_below(top, (), set()), None):
        return problem
    if _unfolded(top, {}) > MOST:
        return f"its aliases unfold into more than {MOST} values"
    if "__use_yte__" in yaml.SafeLoader("").construct_document(top):  # merged in with `<<` or not
        return "__use_yte__: a config is data; templates, which can run code, are not read"
    return None


def _problems_below(node: yaml.Node, above: tuple[int, ...], seen: set[int]):
    """Problems of a node and of those below it, each node once; `above` are the nodes that it lies in."""
    if id(node) in above:
        yield f"{_place(node.start_mark)}: an alias inside of what it refers to"
    if id(node) in seen:
        return
    seen.add(id(node))
    if len(above) > DEEPEST:
        yield f"{_place(node.start_mark)}: is nested more than {DEEPEST} levels deep"
        return
    if node.tag not in TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        yield f"{_place(node.start_mark)}: the tag {tag}; a config holds plain values only"
    if isinstance(node, yaml.MappingNode):
        yield from _repeated(node)
    if isinstance(node, yaml.ScalarNode):
        yield from _unreadable(node)
    for part in _parts(node):
        yield from _problems_below(part, (*above, id(node)), seen)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """The nodes that a node is made of; of a mapping its keys, but for `<<`, and its values."""
    if isinstance(node, yaml.ScalarNode):
        return []
    if isinstance(node, yaml.SequenceNode):
        return node.value
    return [part for entry in node.value for part in entry if part.tag != "tag:yaml.org,2002:merge"]


def _unreadable(node: yaml.ScalarNode):
    """What looks like a number or a date and is none; the reader would end in a traceback."""
    try:
        yaml.SafeLoader("").construct_object(node)
    except (ValueError, OverflowError) as error:
        kind = "date" if node.tag.endswith("timestamp") else "number"
        yield f"{_place(node.start_mark)}: {node.value[:40]} is no {kind} ({error}); put quotes around text"
    except yaml.YAMLError:  # a tag that is named already
        return


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, those of its aliases counted each time."""
    if id(node) not in known:
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in _parts(node))
    return known[id(node)]


def _repeated(node: yaml.MappingNode):
    """YAML keeps the last of two equal keys, so that a block pasted twice would silently lose the first."""
    first: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            yield f"{_place(key.start_mark)}: a key is a word, not a list or a mapping"
        elif (earlier := first.setdefault(key.value, key)) is not key:
            line = earlier.start_mark.line + 1
            yield f"{_place(key.start_mark)}: the key {key.value} is already in line {line}; keep one of the two"


def _said(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    hint = "; YAML indents with spaces, not with tabs" if "'\\t'" in reason else ""
    return f"{_place(mark) + ': ' if mark else ''}not YAML: {reason or str(error).splitlines()[0]}{hint}"


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
