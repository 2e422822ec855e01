"""Write config.yaml: the whole config that an experiment was made with, from its JSON."""

import json

import yaml
from pydantic.dataclasses import dataclass

from preference.files import artifacts, provenance
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    config: str = flag("the whole config as JSON")
    output: str = flag("config.yaml to write")


def main(flags: Flags) -> None:
    try:
        config = json.loads(flags.config)
    except ValueError as error:
        raise InputError(f"--config: not JSON ({error})") from None
    made_by = {**provenance.describe(__file__, flags, {}), "flags": {}}  # the file itself says what it was given
    artifacts.write_text(flags.output, yaml.safe_dump(config, sort_keys=False, allow_unicode=True), made_by)


if __name__ == "__main__":
    stage.run(main, Flags)
