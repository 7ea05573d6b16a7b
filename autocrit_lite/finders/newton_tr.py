"""Newton-TR: regularised Newton directions for a set of γ, the best by ‖∇f‖ taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array, array_namespace, dot, norm
from ..checks import integer, number, numbers
from ..objectives import Linearization, Objective
from .driver import Step, find
from .hessian_operator import SOLVE_PRODUCTS, HessianOperator, solve
from .line_search import Search
from .trace import Trace

GAMMAS = (1e0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Five, log-spaced from 1 to 1e-4 (Frye et al. 2019, 6.5)."""
STEP_SIZE = 0.1
"""α (Frye et al. 2019, 6.5)."""


@dataclass(frozen=True)
class NewtonTR:
    """The finder behind ``newton_tr``; ``driver.find`` runs it."""

    gammas: tuple[float, ...]
    rtol: float
    maxit: int | None = None

    def init(self, objective: Objective, theta: Array) -> None:
        """Return nothing: a step depends on the point alone."""

    def step(self, objective: Objective, theta: Array, point: Linearization, state: None) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        g = point.gradient
        H = HessianOperator(objective, theta, point)
        nothing = xp.zeros_like(point.value)
        lowest, chosen, iterations, products = nothing + xp.inf, nothing, nothing, nothing
        p, reason = xp.full_like(g, xp.nan), nothing
        for gamma in self.gammas:
            solution = solve(H, -g, self.rtol, self.maxit, shift=-gamma)
            value, there = objective.value_and_gradient(theta + STEP_SIZE * solution.x)
            squared_norm = dot(there, there)
            better = xp.isfinite(value) & (squared_norm < lowest)
            lowest = xp.where(better, squared_norm, lowest)
            chosen = xp.where(better, gamma, chosen)
            p = xp.where(better[:, None], solution.x, p)
            # that of the last γ where none leads to a finite point
            reason = xp.where(better | xp.isinf(lowest), solution.stop_reason, reason)
            iterations = iterations + solution.iterations
            products = products + (solution.iterations + SOLVE_PRODUCTS)

        trial = theta + STEP_SIZE * p
        accepted = xp.any(trial != theta, axis=-1) & (lowest < dot(g, g))
        search = Search(
            theta=xp.where(accepted[:, None], trial, theta),
            step_size=STEP_SIZE * xp.astype(accepted, xp.float64),
            trials=xp.full_like(chosen, len(self.gammas)),
        )
        measured = {
            "residual_ratio": norm(H(p) + g) / norm(g),
            "damping": chosen,
            "solver_iterations": iterations,
            "solver_stop_reason": reason,
        }
        return Step(search, p, H.cost(products + 1.0), measured=measured)


def newton_tr(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    rtol: float = 5e-4,
    *,
    maxit: int | None = None,
    gammas: Sequence[float] = GAMMAS,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Newton-TR, as in [1]_.

    For each γ, MINRES-QLP solves (H + γI)p = −g, and the run goes to the point θ + αp of lowest
    ‖g‖. The step length α = 0.1 ([1]_, 6.5) is fixed, so near a nonsingular critical point ‖g‖
    falls by a factor of about 1 − α in each iteration. A run ends where no γ lowers ‖g‖: [1]_, 4,
    has runs end "when no proposed step size met acceptance criteria", and this is the criterion of
    the authors' code.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500 (not stated in [1]_; more than their median of 430).
    rtol : float
        The solver's relative residual tolerance, 5e-4 as in ``newton_mr``.
    maxit : int, optional
        The solver's iteration limit for each γ; n by default, as in ``newton_mr``.
    gammas : sequence of float
        The γ: five, log-spaced from 1 to 1e-4 ([1]_, 6.5).
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        ``damping`` is the γ of each step, ``solver_iterations`` counts those for all γ together,
        and ``residual_ratio`` is ‖Hp + g‖/‖g‖, without γ.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    .. [1] Frye et al., arXiv 1901.10603, 2019, 2.2.2 and 6.5.
    """
    finder = NewtonTR(
        gammas=numbers("gammas", gammas, at_least=0.0, finite=True),
        rtol=number("rtol", rtol, at_least=0.0, below=1.0),
        maxit=None if maxit is None else integer("maxit", maxit, at_least=1),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
