"""Passes of MINRES-QLP on a GPU as one kernel, where the systems are dense: minres_qlp_pass.cu."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from array_api_compat import is_cupy_array

from ..arrays import Array, array_namespace
from .minres_qlp_pass import KEEP_BASIS_UP_TO, Outcome, Settings, Task
from .systems import Product

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


def kernel_pass(A: Product, b: Array, task: Task, how: Settings) -> tuple[Outcome, int] | None:
    """Return what ``run_pass`` does without a preconditioner; None where there is no kernel for it.

    That is so if A is not a stack of matrices, or if the Lanczos vectors have to be kept. The
    device is waited for once, to learn how many iterations there were.
    """
    matrices = A.A if getattr(A.A, "ndim", 0) == 3 else getattr(A.A, "matrix", None)
    launch = launcher(b)
    n_systems, n = (*b.shape, 0)[:2]
    keeps_basis = not how.first and n <= KEEP_BASIS_UP_TO
    if launch is None or matrices is None or keeps_basis or not 0 < n <= LARGEST:
        return None
    xp = array_namespace(b)
    scalars = xp.stack([xp.broadcast_to(field, b.shape[:1]) for field in task[:-1]])
    shift = xp.zeros_like(b[:, 0]) if A.shift is None else A.shift
    x, outcome = xp.empty_like(b), xp.empty((6, n_systems), dtype=b.dtype, device=b.device)
    arrays = [_contiguous(array) for array in (matrices, shift, b, scalars)]
    sizes = (xp.int32(n), xp.int32(n_systems))
    settings = (xp.float64(how.acondlim), xp.float64(how.trancond), xp.int32(how.first))
    launch(n_systems, 6 * n + 33, *arrays, *sizes, *settings, x, outcome)
    done = Outcome(x, *(outcome[i, :] for i in range(outcome.shape[0])))
    return done, int(xp.max(done.iterations)) if n_systems else 0


def _contiguous(array: Array) -> Array:
    return array_namespace(array).asarray(array, order="C")
