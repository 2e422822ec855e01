"""Where libraries keep what they would keep in the home folder, which a node may not have or may not write to."""

import os
import tempfile
from pathlib import Path

from preference.models import model_folders
from preference.tasks import hub_data

KEPT: tuple[str, ...] = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "TRITON_HOME")
KEPT += ("CUDA_CACHE_PATH", "FLASHINFER_WORKSPACE_BASE")  # what libraries call the folders that they write to


def keep_out_of_home(on_node: bool) -> None:
    """Keep what is fetched from the hub here, where every node sees it, and the rest in the node's own scratch. Jobs
    ask the hub's cache only, since a node may have no network."""
    before = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    os.environ.setdefault("HF_TOKEN_PATH", str(before / "token"))
    os.environ.setdefault("HF_HOME", str(Path(".hub").resolve()))
    if on_node:
        scratch = Path(tempfile.gettempdir()) / f"prefdag.{os.getuid()}"
        os.environ |= {name: str(scratch / name.lower()) for name in KEPT} | {"HF_HUB_OFFLINE": "1"}


def of_hub() -> Path:
    """The folder that `keep_out_of_home` chose for what is fetched."""
    return _expanded(os.environ["HF_HOME"])


def holds(kind: str, name: str) -> bool:
    """Whether a data set of the hub, or a model, of which the configuration stands for all, is there still."""
    if kind == "data":
        return hub_data.kept(name, of_hub()).is_file()
    said = [os.environ[name] for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") if name in os.environ]
    models = _expanded(said[0]) if said else of_hub() / "hub"
    commit = model_folders.commit_of(name, models)
    folder = models / model_folders.cached_as(name) / "snapshots"
    return commit is not None and (folder / commit / "config.json").is_file()  # and not a link to what was cleared


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()
