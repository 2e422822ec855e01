"""What a stage goes on from after a kill, as lines of text: the states of a training, the finished parts of others."""

from collections import Counter
from pathlib import Path

from preference.inspection import artifacts, documents, terminal


def checkpoints(path: Path) -> list[str]:
    """How far each training has come, and its curve of the loss."""
    return _of_each(path, lambda folder: state(folder / "state.json") if (folder / "state.json").is_file() else [])


def shards(path: Path) -> list[str]:
    """How many parts of each piece of work are finished, and how many results they hold."""
    return _of_each(path, _parts)


def _of_each(path: Path, show) -> list[str]:
    """What is shown of each work in a folder: there are several where flags or code have changed since a kill."""
    beside = path if path.suffix in artifacts.UNFINISHED else path.absolute().parent
    works = sorted(one for one in path.iterdir() if one.is_dir()) if beside == path else [path]
    output = beside.with_suffix("")
    lines = [f"  of {output}, which is {'there already' if output.exists() else 'not there yet'}"]
    for work in works:
        lines += [f"  {work.name}:", *(f"  {line}" for line in show(work) or ["  nothing is finished yet"])]
    return lines if works else [*lines, "  it is empty"]


def state(path: Path) -> list[str]:
    """The step that a training has reached, where its tensors are, and its loss so far."""
    content = documents.read_json(path)
    log = content.get("log") if isinstance(content.get("log"), list) else None
    tensors = path.parent / Path(str(content.get("tensors"))).name
    size = terminal.size(tensors.stat().st_size) if tensors.is_file() else "which is missing"
    lines = [f"  step {content.get('step')}, tensors in {tensors.name}, {size}"]
    if broken := artifacts.broken(path, "state"):
        lines.append(f"  {broken}; the training begins again")
    points = [(row.get("step"), row.get("loss")) for row in log or [] if isinstance(row, dict)]
    points = [point for point in points if all(isinstance(value, int | float) for value in point)]
    if points:
        steps, losses = zip(*points, strict=True)
        lines += [f"  {line}" for line in terminal.curve("loss", steps, losses)]
    return lines


def _parts(folder: Path) -> list[str]:
    parts: Counter[str] = Counter()
    results: Counter[str] = Counter()
    for file in sorted(folder.glob("*.json")):
        name = file.name.rsplit(".", 2)[0]
        parts[name] += 1
        found = documents.read_json(file).get("results")
        results[name] += len(found) if isinstance(found, list) else 0
    rows = [[name, str(parts[name]), f"{results[name]:,}"] for name in parts]
    return terminal.aligned([["work", "parts", "results"], *rows]) if rows else []


def part(path: Path) -> list[str]:
    """How many results a part holds, and the first of them."""
    results = documents.read_json(path)["results"]  # a list: that is how its kind is known
    return [f"  {terminal.counted(len(results), 'result')}", *documents.examples(results)]
