"""The shipped results: many tasks packed into few small files, and their verification."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .store import (
    DamagedResultError,
    Record,
    Task,
    canonical,
    decode,
    encode,
    verified,
    write_bytes,
)

log = logging.getLogger(__name__)

MAXIMUM_BYTES = 1_900_000
"""Files stay below 2 MB, which a repository carries without pain (chosen by us)."""


def pack(folder: Path, experiment: str, profile: str, records: Sequence[Record]) -> list[Path]:
    """Write the results of an experiment as ``folder/EXPERIMENT/NN.npz``, in place of older ones.

    In each file the arrays of one name, of all its tasks, lie end to end, and their shapes beside
    them: a thousand small arrays would otherwise be a thousand headers.

    Parameters
    ----------
    folder : Path
        The archive.
    experiment : str
    profile : str
        The scale of the results, recorded in each file.
    records : sequence of Record

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        If a single result does not fit into a file.
    """
    alike: dict[str, list[Record]] = {}
    for record in records:
        kind = {name: (a.dtype.str, a.ndim) for name, a in record.arrays.items()}
        alike.setdefault(canonical(kind), []).append(record)
    parts = [part for group in alike.values() for part in _split(profile, group)]
    written = []
    for number, data in enumerate(parts, start=1):
        written.append(folder / experiment / f"{number:02d}.npz")
        write_bytes(written[-1], data)
    for path in sorted((folder / experiment).glob("*.npz")):
        if path not in written:
            path.unlink()
    return written


def _split(profile: str, records: Sequence[Record]) -> Iterator[bytes]:
    data = _together(profile, records)
    if len(data) <= MAXIMUM_BYTES:
        yield data
    elif len(records) == 1:
        raise ValueError(
            f"one result of {records[0].header['experiment']} takes {len(data):,} bytes; "
            f"a file of the archive holds at most {MAXIMUM_BYTES:,}"
        )
    else:
        middle = len(records) // 2
        yield from _split(profile, records[:middle])
        yield from _split(profile, records[middle:])


def _together(profile: str, records: Sequence[Record]) -> bytes:
    arrays: dict[str, Array] = {}
    for name, first in records[0].arrays.items():
        own = [record.arrays[name] for record in records]
        arrays[f"{name}/values"] = np.concatenate([a.ravel() for a in own])
        shapes = [a.shape for a in own]
        arrays[f"{name}/shapes"] = np.array(shapes, dtype=np.int64).reshape(len(own), first.ndim)
    return encode(arrays, {"profile": profile, "tasks": [record.header for record in records]})


def unpack(data: bytes) -> tuple[str, list[Record]]:
    """Return the profile and the results in a file of the archive, their checksums unverified.

    Raises
    ------
    DamagedResultError
        If the bytes are not those of such a file.
    """
    header, packed = decode(data)
    try:
        records = [Record(task, {}) for task in header["tasks"]]
        for name in (name.removesuffix("/shapes") for name in packed if name.endswith("/shapes")):
            shapes = [tuple(row) for row in packed[f"{name}/shapes"].tolist()]
            ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
            pieces = np.split(packed[f"{name}/values"], ends[:-1])
            for record, piece, shape in zip(records, pieces, shapes, strict=True):
                record.arrays[name] = piece.reshape(shape)
        return header["profile"], records
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedResultError(f"{type(error).__name__}: {error}") from None


@lru_cache(maxsize=64)
def _unpacked(path: Path, _modified: int) -> tuple[str, dict[str, Record]]:
    profile, records = unpack(path.read_bytes())
    tasks = [_task(record.header) for record in records]
    return profile, {task.key: record for task, record in zip(tasks, records, strict=True)}


def _task(header: dict[str, Any]) -> Task:
    try:
        return Task(header["experiment"], header["schema_version"], header["configuration"])
    except (KeyError, TypeError) as error:
        raise DamagedResultError(f"{type(error).__name__}: {error}") from None


@cache
def _report_once(message: str) -> None:
    log.warning(message)


def parts(folder: Path, experiment: str) -> Iterator[tuple[str, dict[str, Record]]]:
    """Yield the profile and the results by key of each undamaged file of an experiment."""
    for path in sorted((folder / experiment).glob("*.npz")):
        try:
            yield _unpacked(path, path.stat().st_mtime_ns)
        except DamagedResultError as error:
            _report_once(f"damaged archive {path}: {error}; restore it from the repository")


def read_archived(folder: Path, task: Task) -> Record | None:
    """Return the archived result of a task, or None if there is none or a damaged one."""
    for _, records in parts(folder, task.experiment):
        if task.key in records:
            record = records[task.key]
            try:
                return verified(task, record.header, record.arrays)
            except DamagedResultError as error:
                _report_once(f"damaged result {task.key} in {folder / task.experiment}: {error}")
    return None
