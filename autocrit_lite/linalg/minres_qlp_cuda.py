"""Passes of MINRES-QLP on a GPU as one kernel, where the systems are dense: minres_qlp_pass.cu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from array_api_compat import is_cupy_array

from ..arrays import Array, array_namespace
from .operators import Product

SOURCE = Path(__file__).with_name("minres_qlp_pass.cu")
THREADS = 512
"""Of a system: chosen by us, so that each may use 128 registers."""
LARGEST = 4096
"""The order of the systems: chosen by us, since six vectors must fit in 227 KB of shared memory."""

Launch = Callable[..., None]
"""Of the kernel for B systems, with all its arguments and the length of its working memory."""


def launcher(b: Array) -> Launch | None:
    """Return what runs the kernel on arrays of b's kind: CuPy's."""
    return _cupy_launch if is_cupy_array(b) else None


@cache
def _kernel() -> Any:
    import cupy

    return cupy.RawKernel(SOURCE.read_text(), "minres_qlp_pass", options=("--std=c++14",))


def _cupy_launch(B: int, length: int, *arguments: Any) -> None:
    kernel = _kernel()
    if kernel.max_dynamic_shared_size_bytes < 8 * length:
        kernel.max_dynamic_shared_size_bytes = 8 * length
    kernel((B,), (THREADS,), arguments, shared_mem=8 * length)


def kernel_pass(
    A: Product, b: Array, task: Sequence[Array], acondlim: float, trancond: float, first: bool
) -> tuple[Array, Array] | None:
    """Return what a pass without a preconditioner leaves; None where there is no kernel for it.

    That is so if A is not a stack of matrices.

    Parameters
    ----------
    A : Product
    b : array (B, n)
    task : sequence of arrays (B,)
        The numbers of ``minres_qlp.Task``.
    acondlim, trancond : float
    first : bool
        Whether it is the first pass.

    Returns
    -------
    x : array (B, n)
    outcome : array (6, B)
        The other fields of ``minres_qlp.Outcome``.
    """
    matrices = A.A if getattr(A.A, "ndim", 0) == 3 else getattr(A.A, "matrix", None)
    launch = launcher(b)
    n_systems, n = (*b.shape, 0)[:2]
    if launch is None or matrices is None or A.exponent is not None or not 0 < n <= LARGEST:
        return None
    xp = array_namespace(b)
    shift = xp.zeros_like(b[:, 0]) if A.shift is None else A.shift
    x, outcome = xp.empty_like(b), xp.empty((6, n_systems), dtype=b.dtype, device=b.device)
    arrays = [_contiguous(array) for array in (matrices, shift, b, xp.stack(task))]
    sizes = (xp.int32(n), xp.int32(n_systems))
    settings = (xp.float64(acondlim), xp.float64(trancond), xp.int32(first))
    launch(n_systems, 6 * n + 33, *arrays, *sizes, *settings, x, outcome)
    return x, outcome


def _contiguous(array: Array) -> Array:
    return array_namespace(array).asarray(array, order="C")
