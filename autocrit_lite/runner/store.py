"""Results on disk: one checked ``.npz`` for each task, and the read-only archive.

A file is written under a temporary name, flushed and renamed, so that it is there completely or
not at all, and any number of processes may work on one folder. What is damaged nevertheless is
set aside and computed anew, never read as a result.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

import joblib
import numpy as np
from threadpoolctl import threadpool_info

from .. import __version__
from ..arrays import Array
from . import paths

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the layout of the files, apart from the schema of each experiment."""

DEPENDENCIES = ("numpy", "scipy", "autograd", "array-api-compat")
"""The packages whose versions can change a result."""

STALE_AFTER = 3600.0
"""Seconds after which a temporary file is the remains of a killed run (writing takes ms)."""


class DamagedResultError(Exception):
    """A file that does not hold what was written to it."""


def canonical(value: Any) -> str:
    """Return ``value`` as JSON text in which equal values give equal texts.

    Raises
    ------
    TypeError, ValueError
        If it is not made of numbers, strings, lists and dictionaries, or holds NaN.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Task:
    """One independent piece of an experiment: what is computed and stored at one time.

    Attributes
    ----------
    experiment : str
    schema_version : int
        Raised whenever the code gives the stored arrays another meaning or other values.
    configuration : dict
        Every number that decides the result, in JSON types: tuples have become lists.
    compute : callable, optional
        Returns the arrays, given those of ``reads``.
    reads : tuple of Task
        Whose results it needs.
    key : str
        The SHA-256 of the first three, which names the task's file.
    """

    experiment: str
    schema_version: int
    configuration: Mapping[str, Any]
    compute: Callable[..., dict[str, Array]] | None = field(default=None, compare=False)
    reads: tuple[Task, ...] = field(default=(), compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        identity = [self.experiment, self.schema_version, self.configuration]
        text = canonical(identity)
        object.__setattr__(self, "configuration", json.loads(text)[2])
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class Record:
    """A result with its header.

    Attributes
    ----------
    header : dict
        Where the arrays come from: see ``new_header``.
    arrays : dict
        float64, int64 or bool arrays by name.
    """

    header: dict[str, Any]
    arrays: dict[str, Array]

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the task."""
        configuration: dict[str, Any] = self.header["configuration"]
        return configuration


@cache
def provenance() -> dict[str, Any]:
    """Return the versions of the code and the kind of machine, without names or paths."""
    versions = {"python": platform.python_version(), "autocrit-lite": __version__}
    for package in DEPENDENCIES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    blas = {
        f"{p['internal_api']} {p['version']} {p.get('architecture') or ''}".strip()
        for p in threadpool_info()
        if p["user_api"] == "blas"
    }
    machine = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": joblib.cpu_count(),
        "blas": sorted(blas),
        "simd": np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", []),
    }
    return {"versions": versions, "commit": _commit(), "machine": machine}


def _commit() -> str:
    """Return the commit of the package's code, "modified" after one that was changed since."""
    package = Path(__file__).parents[1]
    # what git sets for its hooks names another repository than that of this folder
    environment = {name: x for name, x in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        found = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10, env=environment
        )
        return found.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # a repository around it may not hold it
        return git("rev-parse", "HEAD") + " modified" * bool(git("status", "--porcelain", "."))
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def checksum(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of a header, but for its own ``checksum``, and of the arrays."""
    digest = hashlib.sha256(canonical({**header, "checksum": None}).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def new_record(task: Task, arrays: Mapping[str, Any], seconds: float) -> Record:
    """Return a task's result with the header that says where it comes from.

    Raises
    ------
    TypeError
        If an array holds anything but float64, int64 or bool.
    """
    kept = {}
    for name, array in arrays.items():
        kept[name] = np.asarray(array, order="C")
        if kept[name].dtype not in (np.float64, np.int64, np.bool_):
            raise TypeError(
                f"array {name!r} of {task.experiment} must hold float64, int64 or bool, "
                f"not {kept[name].dtype}"
            )
    header = {
        "format": FORMAT,
        "experiment": task.experiment,
        "schema_version": task.schema_version,
        "configuration": dict(task.configuration),
        "seed": task.configuration.get("seed"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 6),
        **provenance(),
    }
    header["checksum"] = checksum(header, kept)
    return Record(header, kept)


def encode(arrays: Mapping[str, Array], header: Any) -> bytes:
    """Return the bytes of an ``.npz`` file of arrays with a JSON header."""
    buffer = io.BytesIO()
    text = np.frombuffer(canonical(header).encode(), dtype=np.uint8)
    np.savez_compressed(buffer, header=text, **arrays)
    return buffer.getvalue()


def decode(data: bytes) -> tuple[Any, dict[str, Array]]:
    """Return the header and the arrays of the bytes of an ``.npz`` file.

    Raises
    ------
    DamagedResultError
        If the bytes are not those of such a file.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop("header").tobytes()), arrays
    except Exception as error:  # a damaged zip file raises nearly anything, MemoryError included
        raise DamagedResultError(f"{type(error).__name__}: {error}") from None


def verified(task: Task, header: Any, arrays: dict[str, Array]) -> Record:
    """Return the result of a task if it is complete and the task's own.

    Raises
    ------
    DamagedResultError
        If the checksum does not agree or it is the result of another task.
    """
    if not isinstance(header, dict) or header.get("checksum") != checksum(header, arrays):
        raise DamagedResultError("its checksum does not agree with its contents")
    own = (task.experiment, task.schema_version, task.configuration)
    if own != tuple(header.get(name) for name in ("experiment", "schema_version", "configuration")):
        raise DamagedResultError("it holds the result of another task")
    return Record(header, arrays)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file completely or not at all, also if the machine stops meanwhile.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name survives a power cut only once the folder is on disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@dataclass(frozen=True)
class Store:
    """The results folder, and the archive that is looked up before it.

    Parameters
    ----------
    results : Path
        Written to: ``results/EXPERIMENT/KEY.npz``.
    archive : Path, optional
        Read only: ``archive/EXPERIMENT/NN.npz``, many tasks in each file.
    """

    results: Path
    archive: Path | None = None

    @classmethod
    def default(cls) -> Store:
        """Return the store that AUTOCRIT_LITE_RESULTS and the checkout name."""
        return cls(paths.results(), paths.archive())

    def prepare(self) -> None:
        """Make the folder of the results.

        Raises
        ------
        OSError
            If it cannot be made: the message names the variable that could name another one.
        """
        paths.make(self.results, paths.RESULTS_VARIABLE)

    def path(self, task: Task) -> Path:
        """Return where the task's result is written."""
        return self.results / task.experiment / f"{task.key}.npz"

    def read(self, task: Task) -> Record | None:
        """Return the result of a task; None if there is none, or only a damaged one.

        A damaged file is reported by name and renamed to ``*.damaged``.
        """
        if self.archive is not None:
            from .archive import read_archived

            found = read_archived(self.archive, task)
            if found is not None:
                return found
        path = self.path(task)
        try:
            return verified(task, *decode(path.read_bytes()))
        except FileNotFoundError:
            return None
        except DamagedResultError as error:
            aside = path.with_suffix(".damaged")
            log.warning("damaged result %s: %s; set aside as %s", path, error, aside.name)
            with suppress(FileNotFoundError):  # another process was faster
                path.replace(aside)
            return None

    def write(self, task: Task, record: Record) -> None:
        """Write a result, in place of an earlier one if there is one.

        Raises
        ------
        OSError
            If it cannot be written, as on a full disk; nothing is damaged then.
        """
        write_bytes(self.path(task), encode(record.arrays, record.header))

    @contextmanager
    def claim(self, task: Task) -> Iterator[None]:
        """Keep other processes from computing a task; first wait while one of them does.

        One byte of an empty file stands for each task. The system releases it when the process
        ends, however it ends.
        """
        if fcntl is None:
            yield
            return
        self.results.mkdir(parents=True, exist_ok=True)
        with (self.results / f".{task.experiment}.lock").open("ab") as file:
            with suppress(OSError):  # a file system without locks: tasks may be computed twice
                fcntl.lockf(file, fcntl.LOCK_EX, 1, int(task.key[:15], 16))
            yield

    def sweep(self, experiment: str) -> None:
        """Remove the temporary files that killed runs have left behind."""
        for path in (self.results / experiment).glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_AFTER:
                    path.unlink()
