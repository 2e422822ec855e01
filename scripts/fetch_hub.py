"""Fetch what an experiment takes from the hub, where there is a network: models, data -> the hub's cache, hub.json.

Stages find them there without one. hub.json says which commit of each model was found, and how many rows of data.
"""

from pydantic.dataclasses import dataclass

from preference.files import artifacts, documents, provenance
from preference.models import hub_models
from preference.running import stage
from preference.running.flags import flag
from preference.tasks import hub_data


@dataclass(frozen=True, kw_only=True)
class Flags:
    models: tuple[str, ...] = flag("hub ids of models, owner/name or owner/name@revision", ())
    data: tuple[str, ...] = flag("hub data sets, owner/name@config:split", ())
    output: str = flag("hub.json to write")


def main(flags: Flags) -> None:
    found = {name: hub_models.fetch(name) for name in flags.models}
    rows = {source: hub_data.fetch(source) for source in flags.data}
    content = {"models": found, "data": rows}
    documents.HUB.check(content)
    made_by = provenance.describe(__file__, flags, {})
    artifacts.write_json(flags.output, {**made_by, **content})
    stage.say(f"{len(found)} models and {len(rows)} data sets are in the hub's cache")


if __name__ == "__main__":
    stage.run(main, Flags)
