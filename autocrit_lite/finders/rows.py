"""Rows of a batch: the runs that still go on are taken out, what they return is put back.

Only functions of the array API standard, and no array leaves its device; the number of rows that a
mask selects is all that the host learns.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

from array_api_compat import device

from ..checks import Array, array_namespace

T = TypeVar("T")


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
