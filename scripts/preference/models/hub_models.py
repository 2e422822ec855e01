"""Models of the hub: fetched, and what is wrong with one in a line."""

import functools
from pathlib import Path

from preference.models import model_folders
from preference.running.stage import InputError

# The files of a model that stages load. Pickles and the weights of other frameworks are left out.
FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]

OFFLINE = "is not in the hub's cache, and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set)"

# The name of an exception of the hub's client -> what the user is told. Of several that were raised, the one that
# stands first here counts.
FAULTS = {
    "GatedRepoError": "is gated: accept its terms on the hub, and log in here (hf auth login)",
    "RevisionNotFoundError": "the hub has the model, but no such revision of it",
    "RepositoryNotFoundError": "is not on the hub, or is private and you are not logged in (hf auth login)",
    "OfflineModeIsEnabled": OFFLINE,
    "LocalEntryNotFoundError": OFFLINE,
}


def fault(path: str, error: BaseException | None) -> str | None:
    """Return what an error says of a hub id, or None if it says nothing of the hub."""
    if Path(path).exists():
        return None
    raised = set()
    while error is not None:
        raised |= {kind.__name__ for kind in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return next((words for name, words in FAULTS.items() if name in raised), None)


def fetch(path: str) -> str:
    """Fetch the files of a model into the hub's cache, and return the commit that was found.

    Raises:
        InputError: the hub does not have it, or does not give it.
    """
    from huggingface_hub import snapshot_download

    name, revision = model_folders.located(path)
    check_name(path)
    try:
        return snapshot_download(name, allow_patterns=FILES, **revision).rstrip("/").rpartition("/")[2]
    except Exception as error:  # the client and its transport have no exception in common
        raise InputError(f"{path}: {fault(path, error) or model_folders.reason(error)}") from None


@functools.cache
def check_name(path: str) -> None:
    """Refuse a model that was renamed: the hub leads its old name on, until somebody else takes it.

    Asks the hub once; whatever else is wrong shows when the model is loaded.
    """
    from huggingface_hub import HfApi, constants

    if Path(path).exists() or constants.HF_HUB_OFFLINE:
        return
    name, revision = model_folders.located(path)
    try:
        known = HfApi().model_info(name, **revision).id
    except Exception:
        return
    if known.lower() != name.lower():
        raise InputError(f"{path}: was renamed to {known} on the hub; name that")
