"""Newton-MR along another of MINRES-QLP's iterates: that of the public code of Frye et al. 2021."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...arrays import Array
from ...finders import FRYE_2021, Trace
from ...finders.driver import find
from ...finders.hessian_operator import NO_LIMITS, HessianOperator, Solution
from ...finders.line_search import ResidualSearch
from ...finders.newton_mr import NewtonMR
from ...linalg.minres_qlp import StopReason, minres_qlp
from ...objectives import Objective


@dataclass(frozen=True)
class CurrentIterate(NewtonMR):
    """Newton-MR along x_k where MINRES-QLP stops in iteration k since ‖Hr_{k−1}‖ is small.

    This package's solver returns x_{k−1} there, of which that is true. The public code of Frye et
    al. 2021 keeps x_k, and computes r and r_H from it. One run at a time.
    """

    def solve(self, H: HessianOperator, b: Array) -> Solution:
        """Return x_k with its r and r_H, shape (1, n)."""
        iterates: list[Array] = []
        options: dict[str, Any] = {"maxit": b.shape[-1], "callback": iterates.append, **NO_LIMITS}
        found = minres_qlp(lambda v: H(v[None])[0], b[0], self.rtol, **options)
        returned = Solution.of(found)
        if found.stop_reason != StopReason.LEAST_SQUARES or found.passes > 1:
            return returned
        x = np.array(iterates[-1])[None]
        r = b - H(x)
        size, left = np.linalg.norm(r, axis=-1), np.linalg.norm(H(r), axis=-1)
        whole = found.A_norm * np.linalg.norm(x, axis=-1) + np.linalg.norm(b, axis=-1)
        return replace(
            returned,
            x=x,
            relative_residual=size / whole,
            relative_cokernel_residual=left / (found.A_norm * size) if size else 0.0 * size,
        )


def newton_mr_along_current(
    objective: Objective, theta0: Array, max_iterations: int, rtol: float
) -> Trace:
    """Return what ``newton_mr`` does from one start theta0 (1, n) along these directions.

    With the line search of Frye et al. 2021, A.2, all iterates kept, and the defaults of
    ``newton_mr`` in all else.
    """
    finder = CurrentIterate(ResidualSearch(**FRYE_2021), rtol)
    return find(finder, objective, theta0, max_iterations, 0.0, True)
