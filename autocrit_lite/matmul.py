"""Matrix products written or added to an array that is there; on a GPU without copies before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import is_cupy_namespace

from .arrays import Array, array_namespace

Product = Callable[..., Array]
"""Of x (..., m, k) and y (..., k, n): their product, or ``out`` (..., m, n), if that is given, with
the product in the place of what it held, or added to that with ``add``."""


def matmul_of(xp: ModuleType) -> Product:
    """Return the product for the arrays of a library.

    CuPy copies stacks of matrices that are transposed or parts of others before it multiplies
    them. cuBLAS can read them where they are, and is called here as it can.
    """
    return _cupy_matmul if is_cupy_namespace(xp) else matmul


def matmul(x: Array, y: Array, out: Array | None = None, add: bool = False) -> Array:
    """Return x @ y for the arrays of any library: see ``Product``."""
    if out is None:
        return x @ y
    if add:
        out += x @ y
    elif isinstance(out, np.ndarray):
        np.matmul(x, y, out=out)
    else:
        out[...] = x @ y
    return out


def _cupy_matmul(x: Array, y: Array, out: Array | None = None, add: bool = False) -> Array:
    if max(x.ndim, y.ndim) > 3 or x.shape[-1] == 0 or x.dtype != np.float64:
        return matmul(x, y, out, add)
    return strided(x, y, out, add, _dgemm())


def strided(x: Array, y: Array, out: Array | None, add: bool, dgemm: Callable[..., None]) -> Array:
    """Return a ``Product`` by cuBLAS's ``dgemmStridedBatched`` on at most one stack."""
    (m, k), n = x.shape[-2:], y.shape[-1]
    stacks = [a.shape[0] for a in (x, y) if a.ndim == 3]
    count = max(stacks, default=1) if 0 not in stacks else 0
    if out is None:
        shape = (count, m, n) if stacks else (m, n)
        out = array_namespace(x).empty(shape, dtype=x.dtype, device=x.device)
    if count:
        # cuBLAS reads columns first, and so sees outᵀ = yᵀ xᵀ
        step, row = _steps(out)
        dgemm(n, m, k, *_operand(y), *_operand(x), add, out, max(row, n), step, count)
    return out


def _steps(a: Array) -> tuple[int, int]:
    """Return how far apart matrices and rows are, in numbers."""
    return (a.strides[0] // 8 if a.ndim == 3 and a.shape[0] > 1 else 0), a.strides[-2] // 8


def _operand(a: Array) -> tuple[bool, Array, int, int]:
    """Return whether a is to be read transposed, a itself, its leading dimension and its step."""
    rows, columns = a.shape[-2:]
    step, row = _steps(a)
    column = a.strides[-1] // 8
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return False, a, max(row, columns), step
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return True, a, max(column, rows), step
    return _operand(array_namespace(a).asarray(a, order="C", copy=True))


@cache
def _dgemm() -> Callable[..., None]:
    """Return cuBLAS's product of stacks of matrices, for CuPy's arrays."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    numbers = np.array([0.0, 1.0])
    zero, one = (numbers.ctypes.data + 8 * i for i in range(2))

    def dgemm(
        m: int, n: int, k: int,
        a_transposed: bool, a: Any, a_row: int, a_step: int,
        b_transposed: bool, b: Any, b_row: int, b_step: int,
        add: bool, c: Any, c_row: int, c_step: int, count: int,
        kept: Any = numbers,
    ) -> None:  # fmt: skip
        handle = cupy.cuda.device.get_cublas_handle()
        cublas.dgemmStridedBatched(
            handle, int(a_transposed), int(b_transposed), m, n, k,
            one, a.data.ptr, a_row, a_step, b.data.ptr, b_row, b_step,
            one if add else zero, c.data.ptr, c_row, c_step, count,
        )  # fmt: skip

    return dgemm
