"""Files that Torch 7 writes, ``.t7``, with tensors, tables, texts, numbers and truth values.

A file is one object: four bytes that say of which kind it is, and what that kind holds. Tables and
Torch's own objects have a number, and one that was met before is its number alone. Torch writes a
tensor as its sizes, its strides, where it begins, and a storage, which several may share.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..arrays import Array

NUMBERS = {
    "Byte": "<u1",
    "Char": "<i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Float": "<f4",
    "Double": "<f8",
    "Cuda": "<f4",
}
"""What the elements of a torch.FloatTensor, torch.FloatStorage, … are."""

DEEPEST = 100
"""How many tables within one another are read: chosen by us, more than any file of data has."""


def read_t7(path: str | Path) -> Any:
    """Return what is in a binary file of Torch 7.

    Parameters
    ----------
    path : path

    Returns
    -------
    array, dict, str, float, bool or None
        A tensor is an array of its own type and shape, a table a dictionary by its keys, whose
        numbers are floats.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, is no such file, or holds anything else, such as a network: the message
        names the file and says what is wrong.

    References
    ----------
    The format is that of Torch 7's File.lua and TensorIO.

    Examples
    --------
    The features and labels of a data set, for the setting ``features`` of ``degenerate_saddles``;
    Torch counts classes from 1, the setting from 0::

        parts = {}
        for part in ("train", "test"):
            parts[f"X_{part}"] = read_t7(f"model_out_{part}.t7")
            parts[f"y_{part}"] = read_t7(f"{part}_label.t7").ravel() - 1
        np.savez("features.npz", **parts)
    """
    reader = Reader(Path(path).expanduser().read_bytes())
    try:
        found = reader.read()
        if reader.at < len(reader.data):
            raise ValueError(f"{len(reader.data) - reader.at} bytes follow its end")
    except ValueError as error:
        raise ValueError(f"{path} is no .t7 file that can be read here: {error}") from None
    return found


class Reader:
    """What is left to read of the bytes of a file, and the objects met so far by their numbers."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.depth = data, 0, 0
        self.met: dict[int, Any] = {}

    def read(self) -> Any:
        """Return the next object."""
        kind = self.number("i")
        if kind == 0:
            return None
        if kind == 1:
            return self.number("d")
        if kind == 2:
            return self.text()
        if kind == 5:
            return self.number("i") != 0
        if kind not in (3, 4):
            raise ValueError(f"it holds an object of kind {kind}, at byte {self.at - 4}")
        index = self.number("i")
        if index not in self.met:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ValueError(f"it holds more than {DEEPEST} tables within one another")
            self.met[index] = self.table(index) if kind == 3 else self.torch()
            self.depth -= 1
        return self.met[index]

    def table(self, index: int) -> dict[Any, Any]:
        """Return a table."""
        found: dict[Any, Any] = {}
        self.met[index] = found  # it may hold itself
        for _ in range(self.number("i")):
            key = self.read()
            if not isinstance(key, (str, float, bool)):
                raise ValueError(f"a key of a table is {type(key).__name__}")
            found[key] = self.read()
        return found

    def torch(self) -> Array:
        """Return a tensor, or the numbers of a storage (size,)."""
        name = self.text()
        if name.startswith("V "):  # the version, without which files are still older
            name = self.text()
        for kind, dtype in NUMBERS.items():
            if name == f"torch.{kind}Storage":
                size = self.number("q")
                return np.frombuffer(self.bytes(size * np.dtype(dtype).itemsize), dtype)
            if name == f"torch.{kind}Tensor":
                return self.tensor(np.dtype(dtype))
        raise ValueError(f"it holds a {name!r}, which is no tensor")

    def tensor(self, dtype: np.dtype[Any]) -> Array:
        """Return a tensor whose elements are of a type."""
        axes = self.number("i")
        if axes < 0:
            raise ValueError(f"a tensor has {axes} dimensions")
        shape, strides = ([self.number("q") for _ in range(axes)] for _ in range(2))
        start, storage = self.number("q") - 1, self.read()
        if axes == 0:
            return np.zeros(0, dtype)
        if not isinstance(storage, np.ndarray) or storage.ndim != 1 or storage.dtype != dtype:
            raise ValueError("a tensor has no storage of its own type")
        if min(*shape, *strides, start) < 0:
            raise ValueError(f"a tensor has the shape {shape}, the strides {strides}")
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        last = start + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if last >= len(storage) or math.prod(shape) > len(storage):
            raise ValueError(f"a tensor of shape {shape} goes beyond its {len(storage)} numbers")
        steps = [stride * dtype.itemsize for stride in strides]
        return as_strided(storage[start:], shape, steps).copy()

    def text(self) -> str:
        """Return a text."""
        return self.bytes(self.number("i")).decode("utf-8")

    def number(self, kind: str) -> Any:
        """Return a number: "i" of 4 bytes, "q" of 8, "d" a float of 8."""
        return struct.unpack(f"<{kind}", self.bytes(struct.calcsize(f"<{kind}")))[0]

    def bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"it ends within {count} bytes that begin at byte {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]
