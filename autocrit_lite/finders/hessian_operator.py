"""The Hessians at a batch of points as one operator: products, or a matrix once that is cheaper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from array_api_compat import device, is_cupy_array

from ..arrays import Array, array_namespace, take
from ..linalg.minres_qlp import MinresQLPResult, StopReason, minres_qlp
from ..objectives import Linearization, Objective

Dense = bool | Literal["auto"]
DENSE = (True, False, "auto")
LARGEST_AUTO = 4096
"""On a GPU, chosen by us."""
AUTO_BYTES = 2**27
"""128 MiB, chosen by us: what the matrices of a batch may take elsewhere; one run of n = 4096."""
CACHED_BYTES = 2**25
"""32 MiB, chosen by us: about what the caches of a processor hold."""
READ = 8.0
"""Multiplications and additions in the time of reading one number from memory. Chosen by us: a core
makes some 10 in matrix products while 1 of 8 bytes comes."""
SOLVE_PRODUCTS = 2
"""Products that the solver makes beyond one in each iteration: to recompute both residuals."""
NO_LIMITS: Mapping[str, Any] = {"maxxnorm": inf, "acondlim": inf}
"""Limits of the solver that "did not affect stopping" in Frye et al. 2021, A.2."""


class HessianOperator:
    """v ↦ Hv for the Hessians H at a batch of points, for a linear solver.

    It makes products one by one until they have cost as much as the dense Hessian, by counting, and
    uses the matrix from then on; or from the start, if the solves are expected to be so long that
    this costs less. That changes no result beyond rounding and, unlike the clock, no repetition of
    a run. It never forms the matrix where the objective says that a product with it is no cheaper
    (``objective.dense_product_cost`` of 1 or more; 0 if it does not say), as with few samples, and
    where matrices beyond the caches, ``CACHED_BYTES``, have to be read from memory for each product
    1/8 is enough. Nor does it where those of a batch take more than ``AUTO_BYTES``. On a GPU it
    forms it at once otherwise, for n up to 4096: what counts there is how many kernels start, some
    70 for a product and 140 for the matrix.

    Parameters
    ----------
    objective : Objective
    theta : array (A, n)
    point : Linearization
        The loss, linearised at ``theta``.
    dense : {"auto", True, False}
        True: dense from the start. False: never dense. "auto": as above.
    expected : array (A,), optional
        How many products each solve is expected to need.

    Attributes
    ----------
    matrix : array (A, n, n) or None
        The dense Hessians, once they are there.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Array,
        point: Linearization,
        dense: Dense = "auto",
        expected: Array | None = None,
    ) -> None:
        self._objective, self._theta, self._point = objective, theta, point
        self._dense_product_cost: float = getattr(objective, "dense_product_cost", 0.0)
        self._made = 0
        self._patience = self._products_before_dense(dense, expected)
        self.matrix = point.hessian() if self._patience == 0.0 else None

    def _products_before_dense(self, dense: Dense, expected: Array | None) -> float:
        if dense is True:
            return 0.0
        runs, n = self._theta.shape
        on_gpu, size = is_cupy_array(self._theta), 8 * runs * n**2
        is_large = n > LARGEST_AUTO if on_gpu else size > AUTO_BYTES
        product_cost = self._dense_product_cost
        if size > CACHED_BYTES and not on_gpu:
            product_cost *= READ
        if dense is False or is_large or product_cost >= 1.0:
            return inf
        if on_gpu:
            return 0.0
        cost = self._objective.hessian_cost
        if expected is None:
            return cost
        xp = array_namespace(expected)
        cheapest = xp.where(expected > cost, 2.0 * cost, expected)
        return 0.0 if float(xp.mean(cheapest)) > cost else cost

    def __call__(self, v: Array) -> Array:
        """Return Hv (A, n) for v (A, n)."""
        if self.matrix is None and self._made >= self._patience:
            self.matrix = self._point.hessian()
        self._made += 1
        if self.matrix is None:
            return self._point.hvp(v)
        return (self.matrix @ v[:, :, None])[:, :, 0]

    def take(self, rows: Array) -> HessianOperator:
        """Return the operator of the points ``rows`` (k,) alone."""
        part = copy(self)
        part._theta = take(self._theta, rows)
        if self.matrix is None:
            part._point = self._objective.linearize(part._theta)
        else:
            part.matrix = take(self.matrix, rows)
        return part

    def cost(self, products: Array) -> Array:
        """Return what so many ``products`` (A,) at this point cost, in products.

        Those made one by one cost 1. Then the dense matrix costs ``objective.hessian_cost`` and
        each product with it ``objective.dense_product_cost``.
        """
        xp = array_namespace(products)
        free = xp.minimum(products, float(np.ceil(self._patience)))
        dense = products - free
        formed = self._objective.hessian_cost * xp.astype((dense > 0.0) | (free == 0.0), xp.float64)
        return free + formed + self._dense_product_cost * dense


@dataclass(frozen=True)
class Solution:
    """What the solver found for A systems: x (A, n), and float64 arrays (A,).

    x is NaN where the first product was not finite: the solver's 0 is no solution there.
    """

    x: Array
    stop_reason: Array
    iterations: Array
    relative_residual: Array
    relative_cokernel_residual: Array

    @classmethod
    def of(cls, found: MinresQLPResult) -> Solution:
        """Return what a batch's or a single system's result says."""
        x = found.x if found.x.ndim == 2 else found.x[None, :]
        xp = array_namespace(x)

        def column(scalar: Array | float) -> Array:
            return xp.reshape(xp.asarray(scalar, dtype=xp.float64, device=device(x)), (-1,))

        stop_reason, iterations = column(found.stop_reason), column(found.iterations)
        broken = (stop_reason == float(StopReason.NON_FINITE)) & (iterations <= 1.0)
        return cls(
            xp.where(broken[:, None], xp.nan, x),
            stop_reason,
            iterations,
            column(found.relative_residual),
            column(found.relative_cokernel_residual),
        )


def solve(
    A: Callable[[Array], Array],
    b: Array,
    rtol: float,
    maxit: int | None = None,
    shift: float = 0.0,
) -> Solution:
    """Solve (A − shift)x = b (A, n) for a batch with MINRES-QLP, in up to n iterations by default.

    A batch of one goes to the solver as a single system, which is several times faster, but not on
    a GPU.
    """
    options: dict[str, Any] = {"maxit": maxit or b.shape[-1], "shift": shift, **NO_LIMITS}
    if b.shape[0] > 1 or is_cupy_array(b):
        return Solution.of(minres_qlp(A, b, rtol, **options))
    return Solution.of(minres_qlp(lambda v: A(v[None, :])[0, :], b[0, :], rtol, **options))
