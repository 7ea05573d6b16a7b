"""Newton-MR: minimum-residual Newton directions and back-tracking on ‖∇f‖²."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from ..arrays import Array, norm
from ..checks import integer, number, one_of
from ..linalg.residuals import residual_indices
from ..objectives import Linearization, Objective
from .driver import Step, find
from .hessian_operator import DENSE, SOLVE_PRODUCTS, Dense, HessianOperator, Solution, solve
from .line_search import CARRY, Line, ResidualSearch, first_step_size
from .trace import Trace

FRYE_2021: Mapping[str, Any] = MappingProxyType({"rho": 0.1, "rho_unit": 0.5})
"""The line search of Frye et al. 2021, A.2: the unit step first. These are the defaults."""
FRYE_2019: Mapping[str, Any] = MappingProxyType({"rho": 1e-4, "rho_unit": None})
"""The line search of Frye et al. 2019, 6.4: no unit step, the step length doubled and kept."""


@dataclass(frozen=True)
class NewtonState:
    """Where the next line searches start (A,), and the iterations (A,) of the last solves."""

    step_size: Array
    solver_iterations: Array


@dataclass(frozen=True)
class NewtonMR:
    """The finder behind ``newton_mr``; ``driver.find`` runs it.

    On a device, an iteration of a batch waits for it once for each trial point and about 15 times
    beside that, and also, unless a GPU solves dense systems, once in each iteration of the solver
    and up to 6 times where systems end: as often for few runs as for many.
    """

    scale_free: ClassVar[bool] = True

    search: ResidualSearch
    rtol: float
    maxit: int | None = None
    dense: Dense = "auto"

    @property
    def matrices(self) -> int:
        """The Hessian, the parts that it is made of, and a copy, if it is dense."""
        return 3 if self.dense is True else 0

    def init(self, objective: Objective, theta: Array) -> NewtonState:
        """Return the state at the starts theta (A, n)."""
        step_size = first_step_size(theta)
        return NewtonState(step_size, 0.0 * step_size)

    def solve(self, H: HessianOperator, b: Array) -> Solution:
        """Return the directions: the solutions of H x = b (A, n)."""
        return solve(H, b, self.rtol, self.maxit)

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: NewtonState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        g = point.gradient
        H = HessianOperator(objective, theta, point, self.dense, state.solver_iterations)
        solution = self.solve(H, -g)
        p = solution.x
        Hp = H(p)
        search = self.search(objective, Line(theta, p), g, Hp, state.step_size)
        measured = {
            "relative_residual": solution.relative_residual,
            "relative_cokernel_residual": solution.relative_cokernel_residual,
            "residual_ratio": norm(Hp + g) / norm(g),
            "solver_iterations": solution.iterations,
            "solver_stop_reason": solution.stop_reason,
        }
        if self.dense is True:
            frobenius = residual_indices(H.matrix, g, p)
            measured["relative_residual_frobenius"] = frobenius.relative_residual
            measured["relative_cokernel_residual_frobenius"] = frobenius.relative_cokernel_residual
        products = H.cost(solution.iterations + (SOLVE_PRODUCTS + 1.0))
        next_state = NewtonState(self.search.next_step_size(search), solution.iterations)
        return Step(search, p, products, next_state, measured)


def newton_mr(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    rtol: float = 5e-4,
    *,
    maxit: int | None = None,
    rho: float = 0.1,
    rho_unit: float | None = 0.5,
    step_rule: str = CARRY,
    squared_gradient_tolerance: float = 0.0,
    dense: Dense = "auto",
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Newton-MR [1]_, as in [2]_ and [3]_.

    At θ, with gradient g and Hessian H, MINRES-QLP finds the direction p to the tolerance ``rtol``:
    the shortest minimiser of ‖Hp + g‖. A line search then accepts a step length α for which
    ‖g(θ + αp)‖² ≤ ‖g(θ)‖² + 2ρα⟨Hp, g⟩.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts, which advance together.
    max_iterations : int
        500 (Frye et al. 2021, section 3).
    rtol : float
        The solver's relative residual tolerance: 5e-4 (Frye et al. 2021, A.2, for their Figs 3 and
        4; 1e-10 for their Fig. 1). From about 1e-7 on p is the solver's last iterate of minimum
        residual, which need not be the shortest if H is singular: see ``minres_qlp``.
    maxit : int, optional
        The solver's iteration limit; n by default (Frye et al. 2021, A.2). In floating point n
        iterations often leave an ill-conditioned system unsolved. This acts as a regularisation, so
        the limit decides where runs end, as ``rtol`` does.
    rho, rho_unit, step_rule
        The line search: see ``ResidualSearch``. The defaults are those of Frye et al. 2021
        (``FRYE_2021``); ``newton_mr(..., **FRYE_2019)`` takes those of Frye et al. 2019.
    squared_gradient_tolerance : float
        A run has converged when ‖g‖² is at or below this. 0, so that runs go on to the limit of
        rounding, as in both papers.
    dense : {"auto", True, False}
        Whether the solver multiplies by the dense Hessian: "auto", once the products at a point
        have cost as much as the matrix does, and from the start if the solve before took that long,
        if the matrices of the runs that go on take at most 128 MiB and pay (``HessianOperator``).
        With True the trace also has the residuals in the Frobenius norm.
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
    finder = NewtonMR(
        search=ResidualSearch(rho, rho_unit, step_rule),
        rtol=number("rtol", rtol, at_least=0.0, below=1.0),
        maxit=None if maxit is None else integer("maxit", maxit, at_least=1),
        dense=one_of("dense", dense, DENSE),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
