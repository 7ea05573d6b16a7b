"""Where things are: the checkout, its notebooks and archive, the results, the figures."""

from __future__ import annotations

import os
from pathlib import Path

RESULTS_VARIABLE = "AUTOCRIT_LITE_RESULTS"
FIGURES_VARIABLE = "AUTOCRIT_LITE_FIGURES"
DATA_VARIABLE = "AUTOCRIT_LITE_DATA"


SHIPPED = Path(__file__).resolve().parents[1] / "shipped"
"""Notebooks and data in an installed package; not there in a checkout, which has its own."""


def checkout() -> Path:
    """Return the folder of the notebooks: a clone, or where `autocrit-lite notebooks` put them.

    It holds ``pyproject.toml`` and ``notebooks/``. It is looked for around the installed package,
    then from the working folder upwards.

    Raises
    ------
    FileNotFoundError
        If there is none, as after a ``pip install`` without the repository.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise FileNotFoundError("the working folder does not exist any more") from None
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(
        "there are no notebooks, shipped data and archived results here: they are in the "
        "repository: clone it and work inside the clone, or unpack the notebooks with "
        "`autocrit-lite notebooks DIR` and work inside DIR"
    )


def _named(variable: str) -> Path | None:
    """Return the folder that a variable of the environment names, with ``~`` as shells have it.

    Raises
    ------
    ValueError
        If the name is blank.
    NotADirectoryError
        If something else than a folder has the name.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.strip():
        raise ValueError(f"{variable} must name a folder, not {text!r}")
    path = Path(text).expanduser().absolute()
    if path.is_symlink() and not path.exists():
        raise NotADirectoryError(f"{variable} names {path}, a link to what is not there")
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{variable} names {path}, which is a file")
    return path


def make(folder: Path, variable: str) -> Path:
    """Make a folder if it is missing, and return it.

    Raises
    ------
    OSError
        If it cannot be made: the message names the variable that could name another one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(
            f"the folder {folder} cannot be made ({reason}); {variable} can name another"
        ) from None
    return folder


def results() -> Path:
    """Return the folder that results are written to: AUTOCRIT_LITE_RESULTS, or ./results."""
    named = _named(RESULTS_VARIABLE)
    if named:
        return named
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
    named = _named(DATA_VARIABLE)
    if named:
        return named / "mnist"
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
    folder = _named(FIGURES_VARIABLE) or checkout() / (
        "figures" if scale == "paper" else "build/figures"
    )
    return make(folder, FIGURES_VARIABLE)
