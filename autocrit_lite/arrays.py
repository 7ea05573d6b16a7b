"""Arrays of any library that follows the array API standard, and rows of batches.

``take`` selects the runs of a batch that are still going, and ``put`` writes their results back.
No array leaves its device; the host learns only how many rows a mask selects.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import array_api_compat
import numpy as np
from array_api_compat import device

T = TypeVar("T")

Array = Any
"""An array of NumPy, CuPy or any other library that follows the array API standard."""


def array_namespace(*arrays: Array) -> Any:
    """Return the array library that the arrays belong to.

    NumPy follows the standard from 2.1 on. The wrappers that array_api_compat has for older
    versions would cost as much as a small network's matrix products.
    """
    if all(isinstance(array, np.ndarray) for array in arrays):
        return np
    return array_api_compat.array_namespace(*arrays)


def indices(mask: Array) -> Array:
    """Return the rows (k,) where ``mask`` (A,) is true; the one synchronisation with the device."""
    return array_namespace(mask).nonzero(mask)[0]


def take(value: T, rows: Array) -> T:
    """Return the rows of an array (A, ...), or of every array in a frozen dataclass, if any."""
    if value is None:
        return value
    if hasattr(value, "__dataclass_fields__"):
        state: Any = value
        return replace(state, **{f.name: take(getattr(state, f.name), rows) for f in fields(state)})
    return array_namespace(value).take(value, rows, axis=0)


def put(rows: Array, full: Array, part: Array) -> Array:
    """Return ``full`` (A, ...) with ``part`` in its ``rows`` (k,), given in increasing order."""
    if rows.shape[0] == full.shape[0]:
        return part
    if rows.shape[0] == 0:
        return full
    xp = array_namespace(full)
    every = xp.arange(full.shape[0], dtype=rows.dtype, device=device(full))
    place = xp.minimum(xp.searchsorted(rows, every), rows.shape[0] - 1)
    found = xp.reshape(xp.take(rows, place) == every, (-1, *(1,) * (full.ndim - 1)))
    return xp.where(found, xp.take(part, place, axis=0), full)


def dot(x: Array, y: Array) -> Array:
    """Return the inner product (...) of the vectors x, y (..., n)."""
    return array_namespace(x).sum(x * y, axis=-1)


def norm(x: Array) -> Array:
    """Return the Euclidean norm (...) of the vectors x (..., n), without overflow or underflow."""
    xp = array_namespace(x)
    largest = xp.max(xp.abs(x), axis=-1)
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
    scaled = x / scale[..., None]
    return scale * xp.sqrt(dot(scaled, scaled))


def read_only(array: Array) -> Array:
    """Return a read-only view of a NumPy array, to show to user code; other arrays unchanged."""
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


LARGEST_SQUARED = 1e140
"""Numbers between this and its inverse have squares whose sums are numbers of full precision."""


def binary_scale(x: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """Return a power of two near 1 / max |x| over the axes, where squares of x would not do.

    It is 1, which changes nothing, where the maximum is between 1e-140 and 1e140, 0, or not finite.
    Beyond 2^±1000 it is 2^∓1000.
    """
    xp = array_namespace(x)
    largest = xp.max(xp.abs(x), axis=axis)
    usual = (largest >= 1.0 / LARGEST_SQUARED) & (largest <= LARGEST_SQUARED)
    usual = usual | (largest == 0.0) | ~xp.isfinite(largest)
    if bool(xp.all(usual)):
        return xp.ones_like(largest)
    exponent = xp.floor(xp.log2(xp.where(usual, xp.ones_like(largest), largest)))
    exponent = xp.minimum(xp.maximum(-exponent, -1000.0 + 0.0 * exponent), 1000.0 + 0.0 * exponent)
    return xp.where(usual, xp.ones_like(largest), 2.0**exponent)
