"""Where libraries keep what they would keep in the home folder, which a node may not have or may not write to."""

import os
import tempfile
from pathlib import Path
from urllib.parse import quote

KEPT = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "TRITON_HOME")
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
    return Path(os.environ["HF_HOME"])


def holds(kind: str, name: str) -> bool:
    """Whether a model or a data set of the hub was fetched into it, as far as its folder or file says."""
    if kind == "data":
        return (of_hub() / "prefdag" / f"{quote(name, safe='')}.parquet").is_file()
    models = Path(os.environ.get("HF_HUB_CACHE", of_hub() / "hub"))
    return (models / f"models--{name.replace('/', '--')}").is_dir()
