"""The notebooks through papermill, each in a process of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..checks import missing, one_of
from . import paths
from .experiment import PROFILES, Experiment

KERNEL_DIED = "DeadKernelError"
"""What papermill says when a kernel has died, and then waits for it for ever."""

SECONDS_TO_STOP = 10.0
"""How long an interrupted notebook may take to stop its kernel (chosen by us)."""

KERNEL_LOG = "[IPKernelApp]"
"""What kernels have to say on themselves, which frightens: they run without encryption, say. What
fails in a notebook comes from papermill."""


@dataclass(frozen=True)
class Execution:
    """What became of a notebook.

    Attributes
    ----------
    name : str
    output : Path
        The executed copy, with the error if there was one.
    ok : bool
    seconds : float
    why : str
        What is known of a failure beyond the error in the copy.
    """

    name: str
    output: Path
    ok: bool
    seconds: float
    why: str = ""


def choose(names: Sequence[str]) -> dict[str, Path]:
    """Return the notebooks of these names, all if there is none.

    Raises
    ------
    ValueError
        If there is no notebook of a name.
    """
    found = paths.notebooks()
    for name in names:
        one_of("notebook", name, found)
    return {name: path for name, path in found.items() if name in names or not names}


UNPACKED = ("notebooks/*.ipynb", "data/*.npz", "data/README.md")
"""What of a checkout, or of a package built from it, ``unpack`` writes: all but the archive."""

MARK = "# By this file autocrit_lite knows the folder of its notebooks, data and results.\n"
"""What ``unpack`` writes to ``pyproject.toml``, which ``paths.checkout`` looks for."""


def unpack(folder: Path) -> list[Path]:
    """Copy the notebooks, and the data that they read at profile quick, into a folder.

    Parameters
    ----------
    folder : Path
        Made if it is missing. There are ``notebooks/`` and ``data/`` in it afterwards.

    Returns
    -------
    list of Path
        Of the notebooks, in the order of their numbers.

    Raises
    ------
    FileExistsError
        If one of the files is there already; nothing was written then.
    FileNotFoundError
        If the package was built without notebooks, and there is no checkout here.
    OSError
        If the folder cannot be written to.
    """
    source = paths.SHIPPED if paths.SHIPPED.is_dir() else paths.checkout()
    files = [path for pattern in UNPACKED for path in sorted(source.glob(pattern))]
    copies = [folder / path.relative_to(source) for path in files]
    mark = folder / "pyproject.toml"
    for copy in (mark, *copies):
        if copy.exists():
            raise FileExistsError(f"{copy} is there already: name another folder")
    for path, copy in zip(files, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    mark.write_text(MARK, encoding="utf-8")
    return [copy for copy in copies if copy.suffix == ".ipynb"]


def check_parameters(
    notebook: Path, parameters: Mapping[str, Any], kind: type[Experiment] | None = None
) -> None:
    """Raise if a notebook does not take these parameters.

    papermill itself only warns of an unknown name, and knows no types.

    Parameters
    ----------
    notebook : Path
    parameters : dict
    kind : type of Experiment, optional
        That of the notebook, which checks its settings.

    Raises
    ------
    TypeError, ValueError
        If the notebook has no parameter of a name, if a value is not of the type of the
        notebook's own, or if the experiment refuses it.
    ImportError
        If papermill is not installed.
    """
    try:
        import papermill
    except ImportError as error:
        raise missing("Executing notebooks", "papermill", "notebooks", error) from None

    known = papermill.inspect_notebook(str(notebook))
    for key, value in parameters.items():
        if key not in known:
            raise TypeError(
                f"{notebook.name} has no parameter {key!r}; it has {', '.join(known) or 'none'}"
            )
        default = ast.literal_eval(known[key]["default"])
        accepted = (int, float) if isinstance(default, float) else type(default)
        bool_as_number = isinstance(value, bool) and not isinstance(default, bool)
        if default is not None and (bool_as_number or not isinstance(value, accepted)):
            raise TypeError(
                f"parameter {key!r} of {notebook.name} must be of the type of {default!r}, "
                f"not {value!r}"
            )
    if kind is not None:
        settings = {f.name for f in fields(kind)} - {"profile"}
        overrides = {key: value for key, value in parameters.items() if key in settings}
        kind.from_profile(parameters.get("profile", "paper"), **overrides)


def reproduce(
    names: Sequence[str],
    profile: str,
    parameters: Mapping[str, Any],
    out: Path,
    experiments: Mapping[str, type[Experiment]],
) -> list[Execution]:
    """Execute notebooks, one papermill process after the other.

    Executed copies go to ``out``, figures to ``out/figures``, progress to stderr.

    Parameters
    ----------
    names : sequence of str
        All notebooks if empty.
    profile : {"quick", "paper"}
    parameters : dict
        Further parameters of all these notebooks.
    out : Path
    experiments : dict
        By the names of their notebooks.

    Returns
    -------
    list of Execution

    Raises
    ------
    TypeError, ValueError
        If a name or a parameter is not accepted; nothing was run then.
    FileNotFoundError
        If there are no notebooks here.
    """
    parameters = {"profile": one_of("profile", profile, PROFILES), **parameters}
    notebooks = choose(names)
    if not notebooks:
        raise FileNotFoundError(f"no notebooks in {paths.checkout() / 'notebooks'}")
    for name, path in notebooks.items():
        check_parameters(path, parameters, experiments.get(name))
    out.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        paths.FIGURES_VARIABLE: str(out.absolute() / "figures"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's warning is noise here
        "PYTHONSAFEPATH": "1",  # a random.py in the working folder is not the one that is meant
    }
    environment.pop("MPLBACKEND", None)  # a kernel sets its own, which puts figures into the copy
    executions = []
    for name, path in notebooks.items():
        print(f"{path.name}: {profile}", file=sys.stderr, flush=True)
        start = time.monotonic()
        why = _papermill(path, out / path.name, parameters, environment)
        seconds = time.monotonic() - start
        status = "OK" if why is None else "FAILED"
        print(f"{path.name}: {status}, {seconds:.1f} s", file=sys.stderr)
        executions.append(Execution(name, out / path.name, why is None, seconds, why or ""))
    return executions


def _papermill(
    notebook: Path, output: Path, parameters: Mapping[str, Any], environment: Mapping[str, str]
) -> str | None:
    """Run papermill in a process of its own; return None, or what is known of why it failed."""
    import yaml  # here, since the library alone does not bring it

    # papermill puts parameters in the place of {…} in paths, and takes a leading dash for an option
    files = [
        str(path.absolute()).replace("{", "{{").replace("}", "}}") for path in (notebook, output)
    ]
    command = [sys.executable, "-m", "papermill", *files]
    command += ["--no-progress-bar", "--log-output", "--log-level", "WARNING"]
    command += ["-y", yaml.safe_dump(dict(parameters))]
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        stop = threading.Timer(SECONDS_TO_STOP, process.kill)
        try:
            for line in process.stderr or ():
                if KERNEL_LOG not in line:
                    print(line, end="", file=sys.stderr, flush=True)
                if KERNEL_DIED in line and not stop.is_alive():
                    stop.start()
            status = process.wait()
            died = stop.is_alive() or stop.finished.is_set()
            if status:
                return "its kernel died" if died else ""
            return None
        except BaseException:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        finally:
            stop.cancel()
