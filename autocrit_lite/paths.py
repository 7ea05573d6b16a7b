"""Where things are: the checkout, its notebooks and archive, the results, the figures."""

from __future__ import annotations

import os
from pathlib import Path

RESULTS_VARIABLE = "AUTOCRIT_LITE_RESULTS"
FIGURES_VARIABLE = "AUTOCRIT_LITE_FIGURES"
DATA_VARIABLE = "AUTOCRIT_LITE_DATA"


def checkout() -> Path:
    """Return the folder that holds ``pyproject.toml`` and ``notebooks/``.

    It is looked for around the installed package, then from the working folder upwards.

    Raises
    ------
    FileNotFoundError
        If there is none, as after a ``pip install`` without the repository.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parent.parent, here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(
        "the notebooks, shipped data and archived results are in the repository, not in the "
        "installed package: clone it and work inside the clone, or install it with `pip install -e`"
    )


def results() -> Path:
    """Return the folder that results are written to: AUTOCRIT_LITE_RESULTS, or ./results."""
    named = os.environ.get(RESULTS_VARIABLE)
    if named:
        return Path(named).absolute()
    try:
        return checkout() / "results"
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; or name a folder in {RESULTS_VARIABLE}") from None


def archive() -> Path | None:
    """Return the folder of the shipped results, or None where there is no checkout."""
    try:
        return checkout() / "data" / "archive"
    except FileNotFoundError:
        return None


def mnist() -> Path:
    """Return the folder of MNIST's files: mnist/ in AUTOCRIT_LITE_DATA or in ./data."""
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).absolute() / "mnist"
    try:
        return checkout() / "data" / "mnist"
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; or name a folder in {DATA_VARIABLE}") from None


def notebooks() -> dict[str, Path]:
    """Return the notebooks by name, in the order of their numbers: ``notebooks/NN_name.ipynb``."""
    found = sorted((checkout() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {path.stem[3:]: path for path in found}


def figures(scale: str) -> Path:
    """Return the folder for figures, made if it is missing.

    AUTOCRIT_LITE_FIGURES, which batch runs set; else ``figures/`` of the checkout for results at
    the scale "paper" and ``build/figures/`` for all others.
    """
    named = os.environ.get(FIGURES_VARIABLE)
    if named:
        folder = Path(named).absolute()
    else:
        folder = checkout() / ("figures" if scale == "paper" else "build/figures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
