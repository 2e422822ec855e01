"""Fetch what an experiment takes from the hub, where there is a network: models, data -> the hub's cache, hub.json.

Stages find them there without one. hub.json says which revision of each model was found, and how many rows of data.
"""

import dataclasses

from preference import artifacts, hub_data, model_folders, provenance, stage
from preference.stage import InputError, flag

# What a stage reads of a model: no pickles, and none of the other frameworks' weights.
FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    models: tuple[str, ...] = flag("hub ids of models, owner/name", ())
    data: tuple[str, ...] = flag("hub data sets, owner/name@config:split", ())
    output: str = flag("hub.json to write")


def main(flags: Flags) -> None:
    found = {name: fetch_model(name) for name in flags.models}
    rows = {source: hub_data.fetch(source) for source in flags.data}
    made_by = provenance.describe(__file__, flags, {})
    artifacts.write_json(flags.output, {**made_by, "models": found, "data": rows})
    stage.say(f"{len(found)} models and {len(rows)} data sets are in the hub's cache")


def fetch_model(name: str) -> str:
    """The revision of a model whose files are in the cache now."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, allow_patterns=FILES).rstrip("/").rpartition("/")[2]
    except Exception as error:  # the hub's client and its transport have no exception in common
        raise InputError(f"{name}: cannot be fetched from the hub: {model_folders.reason(error)}") from None


if __name__ == "__main__":
    stage.run(main, Flags)
