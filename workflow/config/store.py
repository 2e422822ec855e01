"""Where finished outputs are kept, so that nothing is computed twice: the config's key `store`."""

from preference.running.store import Store
from workflow import folders

FOLDER = "results/.store"


def folder(config: dict) -> str | None:
    """Return the folder of the store; None if the config says `off`, which YAML reads as false."""
    said = config.get("store", FOLDER)
    return None if said in (False, "off") else said


def is_refused(settings) -> bool:
    """Say whether the command line forces jobs, which then compute and restore nothing."""
    return bool(settings.forceall or settings.forcetargets or settings.forcerun)


def problem(config: dict) -> str | None:
    """Return one line on why the store cannot be used; None if it can, or if there is none."""
    if (place := folder(config)) is None:
        return None
    found = Store(place).problem()
    why = f"{place}: {found}" if found else folders.no_folder(place) or folders.unwritable(place)
    return f"{why}; name another store with --config store=FOLDER, or do without with store=off" if why else None
