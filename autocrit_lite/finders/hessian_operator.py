"""The Hessians of a batch of points as one operator: products first, dense once that is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from array_api_compat import device, is_cupy_array

from ..arrays import Array, array_namespace, take
from ..checks import integer, number, one_of
from ..linalg.minres_qlp import MinresQLPResult, StopReason, minres_qlp
from ..objectives import Linearization, Objective

Dense = bool | Literal["auto"]
DENSE = (True, False, "auto")
# chosen by us: one matrix of this order takes 128 MiB
LARGEST_AUTO = 4096
SOLVE_PRODUCTS = 2
"""Products that the solver makes beyond one in each iteration: to recompute both residuals."""


class HessianOperator:
    """v ↦ Hv for the Hessians H at a batch of points, for a linear solver.

    Products are made one by one until they have cost as much as forming the dense Hessian, by
    counting, then with the dense matrix; or with that from the start, if the solves are expected to
    be so long that this costs less. That changes no result beyond rounding and, unlike the
    clock, no repetition of a run. Where an objective says that a product with the dense matrix is
    no cheaper (``objective.dense_product_cost`` of 1 or more; 0 if it does not say), as with few
    samples, the matrix is never formed. On a GPU it is formed at once otherwise: what counts there
    is how often a kernel is started, some 70 times for a product and 140 times for the matrix.

    Parameters
    ----------
    objective : Objective
    theta : array (A, n)
    point : Linearization
        The loss, linearised at ``theta``.
    dense : {"auto", True, False}
        True: dense from the start. False: never dense. "auto": as above, for n up to 4096.
    expected : array (A,), optional
        How many products each solve is expected to need.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Array,
        point: Linearization,
        dense: Dense = "auto",
        expected: Array | None = None,
    ) -> None:
        self._objective = objective
        self._theta = theta
        self._point = point
        self._dense_product_cost = getattr(objective, "dense_product_cost", 0.0)
        dense = one_of("dense", dense, DENSE)
        self._patience = self._products_before_dense(dense, expected)
        self.made = 0
        self.matrix = point.hessian() if self._patience == 0.0 else None

    def _products_before_dense(self, dense: Dense, expected: Array | None) -> float:
        """Return how many products are made before the matrix is."""
        if dense is True:
            return 0.0
        is_small = self._theta.shape[-1] <= LARGEST_AUTO
        if dense is False or not is_small or self._dense_product_cost >= 1.0:
            return float("inf")
        if is_cupy_array(self._theta):
            return 0.0
        cost = self._objective.hessian_cost
        if expected is not None:
            xp = array_namespace(expected)
            if float(xp.mean(xp.where(expected > cost, 2.0 * cost, expected))) > cost:
                return 0.0
        return cost

    def __call__(self, v: Array) -> Array:
        """Return Hv (A, n) for v (A, n)."""
        if self.matrix is None and self.made >= self._patience:
            self.matrix = self._point.hessian()
        self.made += 1
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

        Those that are made one by one cost 1; after them comes the dense matrix at
        ``objective.hessian_cost``, and products with it at ``objective.dense_product_cost``.
        """
        xp = array_namespace(products)
        free = xp.minimum(products, float(np.ceil(self._patience)))
        dense = products - free
        formed = self._objective.hessian_cost * xp.astype((dense > 0.0) | (free == 0.0), xp.float64)
        return free + formed + self._dense_product_cost * dense


def solver_options(
    rtol: float, maxit: int | None, maxxnorm: float, acondlim: float, trancond: float
) -> dict[str, Any]:
    """Return the options of ``minres_qlp`` if a finder can use them, else raise."""
    return {
        "rtol": number("rtol", rtol, at_least=0.0, below=1.0),
        "maxit": None if maxit is None else integer("maxit", maxit, at_least=1),
        "maxxnorm": number("maxxnorm", maxxnorm, above=0.0),
        "acondlim": number("acondlim", acondlim, at_least=1.0),
        "trancond": number("trancond", trancond, above=0.0),
    }


@dataclass(frozen=True)
class Solution:
    """What of the solver's answers for A systems a finder uses: x (A, n), and arrays (A,).

    Where the first product was not finite, x is NaN: its 0 is no solution.
    """

    x: Array
    stop_reason: Array
    iterations: Array
    relative_residual: Array
    relative_cokernel_residual: Array

    @classmethod
    def of(cls, found: MinresQLPResult) -> Solution:
        """Return what a batch's or a single system's result says, all as float64 arrays."""
        x = found.x if found.x.ndim == 2 else found.x[None, :]
        xp = array_namespace(x)
        scalars = (getattr(found, field.name) for field in fields(cls)[1:])
        arrays = (xp.asarray(s, dtype=xp.float64, device=device(x)) for s in scalars)
        solution = cls(x, *(xp.reshape(array, (-1,)) for array in arrays))
        broken = solution.stop_reason == float(StopReason.NON_FINITE)
        broken = broken & (solution.iterations <= 1.0)
        return replace(solution, x=xp.where(broken[:, None], xp.nan, x))


def solve(A: Any, b: Array, solver: Mapping[str, Any], shift: float = 0.0) -> Solution:
    """Solve (A − shift)x = b (A, n) for a batch; ``maxit`` is n if it is None.

    A batch of one is solved as a single system, which the solver does several times faster, but
    not on a GPU.
    """
    options = {**solver, "maxit": solver["maxit"] or b.shape[-1], "shift": shift}
    if b.shape[0] > 1 or is_cupy_array(b):
        return Solution.of(minres_qlp(A, b, **options))
    return Solution.of(minres_qlp(lambda v: A(v[None, :])[0, :], b[0, :], **options))
