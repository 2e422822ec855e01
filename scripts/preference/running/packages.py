"""Check that the packages are installed that a flag's value needs beside those of every stage."""

import importlib.util

NEEDED: dict[str, dict[str | None, tuple[str, ...]]] = {
    "report_to": {"tensorboard": ("accelerate", "tensorboard"), "wandb": ("accelerate", "wandb")}
}


def problems(values: dict):
    """Yield the packages that the values of flags need and that are missing, with the command that installs them."""
    for name, needed in NEEDED.items():
        value = values.get(name)
        if missing := [package for package in needed.get(value, ()) if not _is_installed(package)]:
            are = "is" if len(missing) == 1 else "are"
            wanted = f"pip install {' '.join(missing)}"
            yield f"--{name} {value}: {' and '.join(missing)} {are} not installed; {wanted}"


def _is_installed(package: str) -> bool:
    """Say whether a package can be imported; a folder of its name, such as wandb makes for its files, is none."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None
