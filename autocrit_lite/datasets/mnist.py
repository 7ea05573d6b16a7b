"""The files of MNIST (LeCun, Cortes & Burges): 10,000 shipped images, and all 70,000."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..checks import one_of
from ..runner import paths
from ..runner.store import write_bytes

N_SHIPPED = 10_000
"""Frye et al. 2021, A.1.1, use as many."""

PARTS = {"train": "train", "test": "t10k"}
"""The two parts of MNIST, 60,000 and 10,000 images, with the names of their files."""

CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The SHA-256 of the content of each file, decompressed: copies differ in how they are packed."""

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
"""Folders that hold the four files, each with ``.gz`` after its name."""

TIMEOUT = 30.0
LARGEST_DOWNLOAD = 20_000_000
"""Bytes; the largest of the four files has half of that."""


class Digits(NamedTuple):
    """Images (N, 28, 28) of uint8, 0 where there is no ink, and what they show (N,), int64."""

    images: Array
    labels: Array


def shipped_digits() -> Digits:
    """Return the first 10,000 training images of MNIST, from ``data/mnist_10000.npz``.

    Raises
    ------
    FileNotFoundError
        If there is no checkout of the repository, or it lacks the file.
    """
    with np.load(_shipped_path(), allow_pickle=False) as file:
        return Digits(file["images"], file["labels"].astype(np.int64))


def ship(folder: Path | str | None = None) -> Path:
    """Write ``data/mnist_10000.npz`` from the files in ``folder`` and return where it is.

    See ``full_digits`` for the folder and what is raised.
    """
    images, labels = full_digits("train", folder)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, images=images[:N_SHIPPED], labels=labels[:N_SHIPPED].astype(np.uint8)
    )
    write_bytes(_shipped_path(), buffer.getvalue())
    return _shipped_path()


def _shipped_path() -> Path:
    return paths.checkout() / "data" / f"mnist_{N_SHIPPED}.npz"


def full_digits(part: str, folder: Path | str | None = None) -> Digits:
    """Return the 60,000 training images of MNIST, or the 10,000 test images.

    Parameters
    ----------
    part : {"train", "test"}
    folder : path, optional
        Where the files are, decompressed or as ``.gz``; ``paths.mnist()`` by default: the folder
        ``mnist`` in the one that AUTOCRIT_LITE_DATA names, or else in ``data`` of the checkout.

    Raises
    ------
    ValueError
        If the part is neither, or a file is not the original: the message names it.
    FileNotFoundError
        If a file is not there: the message says how to get it.
    """
    name = PARTS[one_of("part", part, PARTS)]
    folder = paths.mnist() if folder is None else Path(folder)
    images = _parse(_read(folder, f"{name}-images-idx3-ubyte"))
    labels = _parse(_read(folder, f"{name}-labels-idx1-ubyte"))
    return Digits(images, labels.astype(np.int64))


def fetch(folder: Path | str | None = None) -> list[Path]:
    """Download those of the four files of MNIST that ``folder`` lacks, and verify all of them.

    Each is checked before it gets its name, so that a download that breaks off leaves nothing.

    Parameters
    ----------
    folder : path, optional
        ``paths.mnist()`` by default: see ``full_digits``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        If a file cannot be had from any address or be written: the message says what to do by hand.
    ValueError
        If a file that is there is not the original.
    """
    folder = paths.mnist() if folder is None else Path(folder)
    for name in CHECKSUMS:
        if _present(folder, name) is None:
            write_bytes(folder / f"{name}.gz", _download(folder, name))
        else:
            _read(folder, name)
    return [path for path in (_present(folder, name) for name in CHECKSUMS) if path]


def _download(folder: Path, name: str) -> bytes:
    """Return the verified ``name.gz``, still packed, from the first mirror that has it."""
    troubles = []
    for mirror in MIRRORS:
        address = f"{mirror}{name}.gz"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
                packed: bytes = response.read(LARGEST_DOWNLOAD)
            _verified(address, name, _unpacked(address, packed))
            return packed
        except (OSError, HTTPException, ValueError) as error:
            troubles.append(f"{address}: {error}")
    raise OSError("\n".join([f"{name} could not be downloaded", *troubles, _by_hand(folder)]))


def _by_hand(folder: Path) -> str:
    return (
        f"by hand: get {', '.join(CHECKSUMS)}, each as it is or as .gz, from any copy of MNIST and "
        f"put them into {folder}, or into the folder mnist of one that {paths.DATA_VARIABLE} names"
    )


def _present(folder: Path, name: str) -> Path | None:
    """Return the file ``name`` or ``name.gz`` if one is in the folder."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, name: str) -> bytes:
    """Return the verified content of a file, decompressed."""
    path = _present(folder, name)
    if path is None:
        raise FileNotFoundError(
            f"{folder} does not hold {name} or {name}.gz: `autocrit-lite data fetch mnist` "
            f"downloads it; {_by_hand(folder)}"
        )
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            content = _unpacked(str(path), content)
        return _verified(str(path), name, content)
    except ValueError as error:
        raise ValueError(f"{error}; remove it and run `autocrit-lite data fetch mnist`") from None


def _unpacked(source: str, packed: bytes) -> bytes:
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{source} is not a complete gzip file: {error}") from None


def _verified(source: str, name: str, content: bytes) -> bytes:
    """Return the content of the file ``name`` if it is the original, else raise."""
    found = hashlib.sha256(content).hexdigest()
    if found != CHECKSUMS[name]:
        raise ValueError(
            f"{source} is not the original: its content has the SHA-256 {found}, "
            f"not {CHECKSUMS[name]}"
        )
    return content


def _parse(content: bytes) -> Array:
    """Return the array in an IDX file: 0, 0, 8, the number of dimensions; their sizes; the data."""
    n_dimensions = content[3]
    shape = struct.unpack_from(f">{n_dimensions}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dimensions).reshape(shape)
