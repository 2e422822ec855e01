"""Data sets of the hub: fetched where there is a network, found again where there is none."""

from pathlib import Path
from urllib.parse import quote

from preference.files import artifacts
from preference.running.stage import InputError
from preference.tasks import data_files
from preference.tasks.sources import parse_hub


def kept(name: str, hub: Path | str) -> Path:
    """Return the file in the hub's folder ($HF_HOME) that holds the rows of a data set once they were fetched."""
    return Path(hub) / "prefdag" / f"{quote(name, safe='')}.parquet"


def fetch(name: str) -> int:
    """Keep the rows of a data set where `read` finds them without a network, and return their number.

    The hub's own cache does not do for data sets that are programs.

    Raises:
        InputError: there is no such data, or it cannot be read; the line names the source.
    """
    from huggingface_hub import constants

    data = _of_hub(name)
    with artifacts.atomic(kept(name, constants.HF_HOME)) as temporary:
        data.to_parquet(temporary)
    return len(data)


def read(name: str) -> list[dict]:
    """Return the rows of a data set."""
    from huggingface_hub import constants

    here = kept(name, constants.HF_HOME)
    if constants.HF_HUB_OFFLINE and here.is_file():
        return data_files.read_file(here)
    return [data_files.as_row(row) for row in _of_hub(name)]


def _of_hub(name: str):
    hub = parse_hub(name)
    try:
        data = _from_hub(**hub)
    except Exception as error:  # the hub's client, its transport and the readers have no exception in common
        hint = f"; for the folder write ./{name}" if Path(name).exists() else ""
        raise InputError(f"{name}: cannot be loaded from the hub: {data_files.reason(error)}{hint}") from None
    if hub["split"]:
        return data
    if len(data) > 1:
        raise InputError(f"{name}: has the splits {', '.join(data)}; name one, as {name}:{next(iter(data))}")
    return next(iter(data.values()))


def _from_hub(path: str, config: str | None, split: str | None):
    datasets = _datasets()
    try:
        return datasets.load_dataset(path, config, split=split)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error) or split is None:
            raise
        # The hub keeps a Parquet copy of data sets that are programs, such as AlpacaFarm; no program is run here.
        name = split.split("[")[0]
        files = f"hf://datasets/{path}@refs%2Fconvert%2Fparquet/{config or 'default'}/{name}/*.parquet"
        return datasets.load_dataset("parquet", data_files={name: files}, split=split)


def _datasets():
    import datasets  # heavy, and not needed for the built-in data

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # our own error is shown instead
    return datasets
