"""Newton-MR: minimum-residual Newton directions and back-tracking on ‖∇f‖²."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from ..arrays import Array, dot, norm
from ..checks import one_of
from ..linalg.residuals import residual_indices
from ..objectives import Linearization, Objective
from .driver import Step, find
from .hessian_operator import (
    DENSE,
    SOLVE_PRODUCTS,
    Dense,
    HessianOperator,
    Solution,
    solve,
    solver_options,
)
from .line_search import CARRY, ResidualSearch, SearchState, stop_reasons
from .trace import Trace

FRYE_2021: Mapping[str, Any] = MappingProxyType({"rho": 0.1, "rho_unit": 0.5})
"""The line search of Frye et al. 2021, A.2: the unit step first. These are the defaults."""
FRYE_2019: Mapping[str, Any] = MappingProxyType({"rho": 1e-4, "rho_unit": None})
"""The line search of Frye et al. 2019, 6.4: no unit step, the step length doubled and kept."""


@dataclass(frozen=True)
class NewtonState(SearchState):
    """The step lengths, and how many iterations (A,) the last solves took."""

    solver_iterations: Array


@dataclass(frozen=True)
class NewtonMR:
    """The finder behind ``newton_mr``, to be run by ``driver.find``.

    On a device, an iteration of a batch waits for it once for each trial point and about 15 times
    beside that, and also, unless a GPU solves dense systems, once in each iteration of the solver
    and up to 6 times where systems end: as often for few runs as for many.
    """

    scale_free: ClassVar[bool] = True

    search: ResidualSearch
    solver: Mapping[str, Any]
    dense: Dense

    def init(self, objective: Objective, theta: Array) -> NewtonState:
        """Return the state at the starts theta (A, n)."""
        step_size = self.search.init(objective, theta).step_size
        return NewtonState(step_size, 0.0 * step_size)

    def solve(self, H: HessianOperator, b: Array) -> Solution:
        """Return the directions: the solutions of H x = b (A, n)."""
        return solve(H, b, self.solver)

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: NewtonState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        g = point.gradient
        H = HessianOperator(objective, theta, point, self.dense, state.solver_iterations)
        solution = self.solve(H, -g)
        p = solution.x
        Hp = H(p)
        search = self.search(objective, theta, p, dot(g, g), dot(Hp, g), state)
        record = {
            "relative_residual": solution.relative_residual,
            "relative_cokernel_residual": solution.relative_cokernel_residual,
            "residual_ratio": norm(Hp + g) / norm(g),
            "step_size": search.step_size,
            "direction_norm": norm(p),
            "trials": search.trials,
            "solver_iterations": solution.iterations,
            "solver_stop_reason": solution.stop_reason,
            "products": H.cost(solution.iterations + (SOLVE_PRODUCTS + 1.0)),
        }
        if self.dense is True:
            frobenius = residual_indices(H.matrix, g, p)
            record["relative_residual_frobenius"] = frobenius.relative_residual
            record["relative_cokernel_residual_frobenius"] = frobenius.relative_cokernel_residual
        step_size = self.search.next_state(search).step_size
        next_state = NewtonState(step_size, solution.iterations)
        return Step(search.theta, next_state, stop_reasons(search, theta, p), record)


def newton_mr(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    rtol: float = 5e-4,
    *,
    maxit: int | None = None,
    maxxnorm: float = float("inf"),
    acondlim: float = float("inf"),
    trancond: float = 1e7,
    rho: float = 0.1,
    rho_unit: float | None = 0.5,
    step_size0: float = 0.1,
    beta: float = 0.5,
    step_rule: str = CARRY,
    max_step_size: float = 1.0,
    squared_gradient_tolerance: float = 0.0,
    dense: Dense = "auto",
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Newton-MR [1]_, as in [2]_ and [3]_.

    From θ, with gradient g and Hessian H, the direction p is the minimum-length solution of
    min ‖Hp + g‖ that MINRES-QLP finds to the tolerance ``rtol``; then a step length α is accepted
    for which ‖g(θ + αp)‖² ≤ ‖g(θ)‖² + 2ρα⟨Hp, g⟩.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts, which are advanced together.
    max_iterations : int
        500 (Frye et al. 2021, section 3).
    rtol : float
        The solver's relative residual tolerance: 5e-4 (Frye et al. 2021, A.2, for their Figs 3 and
        4; 1e-10 for their Fig. 1). From about 1e-7 on p is the solver's last iterate of minimum
        residual, which need not be the shortest if H is singular: see ``minres_qlp``.
    maxit : int, optional
        The solver's iteration limit; n by default (Frye et al. 2021, A.2). In floating point n
        iterations often leave an ill-conditioned system unsolved; what they leave out acts as a
        regularisation, so that the limit decides where runs end, as ``rtol`` does.
    maxxnorm, acondlim : float
        The solver's limits on ‖p‖ and on the condition number. Without limits by default, since
        they "did not affect stopping" in Frye et al. 2021, A.2.
    trancond : float
        Where the solver changes from MINRES to MINRES-QLP; the solver's own default.
    rho, rho_unit, step_size0, beta, step_rule, max_step_size
        The line search: see ``ResidualSearch``. The defaults are those of Frye et al. 2021
        (``FRYE_2021``); ``newton_mr(..., **FRYE_2019)`` takes those of Frye et al. 2019.
    squared_gradient_tolerance : float
        A run has converged when ‖g‖² is at or below this. 0, so that runs go on to the limit of
        rounding, as in both papers.
    dense : {"auto", True, False}
        Whether the solver's products are made with the dense Hessian: "auto", once as many have
        been made at a point as the matrix costs, and from the start of a point if the solve before
        took that long (for n up to 4096). With True the trace also has
        the residuals in the Frobenius norm.
    record_theta : bool
        Whether to keep all iterates in ``trace.thetas``.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    .. [1] F. Roosta, Y. Liu, P. Xu, M. W. Mahoney, Newton-MR: Newton's method without smoothness or
       convexity, arXiv 1810.00303.
    .. [2] Frye et al., Neural Computation 33(6), 1469-1497, 2021, A.2 and A.3.
    .. [3] Frye et al., arXiv 1901.10603, 2019, 2.2.2 and 6.4.

    Examples
    --------
    >>> import numpy as np
    >>> from autocrit_lite import AutogradObjective
    >>> saddle = AutogradObjective(lambda theta: theta[0] ** 2 - 3.0 * theta[1] ** 2)
    >>> trace = newton_mr(saddle, np.array([4.0, 2.0]))
    >>> bool(np.abs(trace.theta).max() < 1e-12)  # its critical point is at zero
    True
    """
    search = ResidualSearch(rho, rho_unit, step_size0, beta, step_rule, max_step_size)
    solver = solver_options(rtol, maxit, maxxnorm, acondlim, trancond)
    return find(
        NewtonMR(search, solver, one_of("dense", dense, DENSE)),
        objective,
        theta0,
        max_iterations,
        squared_gradient_tolerance,
        record_theta,
    )
