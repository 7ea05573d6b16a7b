"""Move arrays between the host (NumPy) and a GPU (CuPy).

Computations stay wherever their input arrays are. Only this module moves arrays: data and starts to
the device before the work, results back to the host afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from array_api_compat import is_array_api_obj, is_cupy_array, is_numpy_array

from .arrays import Array
from .checks import one_of

T = TypeVar("T")

DEVICES = ("cpu", "gpu")

SHARE = 0.5
"""The share of the GPU's free memory that long-lived arrays may fill. Chosen by us: the rest leaves
room for temporary arrays, which ``networks.objective.CACHE`` bounds to some gigabytes."""

NEEDED = (
    "the device 'gpu' needs an NVIDIA GPU with its driver, and CuPy for the driver's CUDA version: "
    "pip install autocrit-lite[gpu] brings the one for CUDA 12, [gpu-cuda13] the one for CUDA 13"
)


class GPU(NamedTuple):
    """A GPU: its array library, the device in that library's terms, and a query for free bytes."""

    xp: ModuleType
    place: Any
    free_bytes: Callable[[], int]


def gpu() -> GPU:
    """Return the current GPU.

    Raises
    ------
    RuntimeError
        If CuPy is not installed, or finds no GPU: the message says what is needed.
    """
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(f"no GPU: CuPy cannot be imported ({error}); {NEEDED}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"no GPU: {error}; {NEEDED}") from None
    if count == 0:
        raise RuntimeError(f"no GPU: CUDA finds none; {NEEDED}")
    import array_api_compat.cupy as xp

    def free_bytes() -> int:
        free: int = cupy.cuda.runtime.memGetInfo()[0]
        pooled: int = cupy.get_default_memory_pool().free_bytes()
        return free + pooled

    return GPU(xp, None, free_bytes)


def require_device(device: str) -> None:
    """Raise a RuntimeError if ``device`` is "gpu" and there is none that CuPy can use."""
    if one_of("device", device, DEVICES) == "gpu":
        gpu()


def to_device(x: Array, device: str) -> Array:
    """Put a NumPy array on a device. "cpu" returns the array itself, "gpu" a copy.

    Raises
    ------
    RuntimeError
        If there is no GPU: see ``gpu``.
    """
    if one_of("device", device, DEVICES) == "cpu":
        return x
    there = gpu()
    return there.xp.asarray(x, device=there.place)


def to_numpy(x: T) -> T:
    """Bring an array, or every array of a dataclass, back to the host.

    NumPy arrays and anything that is not an array are returned unchanged.
    """
    if is_numpy_array(x):
        return x
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{f.name: to_numpy(getattr(x, f.name)) for f in fields(x)})
    if not is_array_api_obj(x):
        return x
    there: Any = x
    return there.get() if is_cupy_array(x) else np.from_dlpack(there)  # type: ignore[return-value]


@cache
def fused(function: Callable[..., Array]) -> Callable[..., Array]:
    """Compile an elementwise function of CuPy arrays into a single kernel."""
    import cupy

    kernel: Callable[..., Array] = cupy.fuse(function)
    return kernel


def how_many_fit(bytes_each: int) -> int:
    """Return how many objects of ``bytes_each`` fit in the GPU's free memory, at least 1."""
    return max(1, int(SHARE * gpu().free_bytes()) // bytes_each)
