"""Newton-TR: regularised Newton directions for a set of γ, the best by ‖∇f‖ taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, array_namespace, dot, norm
from ..checks import number, numbers, one_of
from ..objectives import Linearization, Objective
from .driver import Step, find
from .hessian_operator import DENSE, SOLVE_PRODUCTS, Dense, HessianOperator, solve, solver_options
from .line_search import Search, stop_reasons
from .trace import Trace

# 5 log-spaced from 1 to 1e-4 (Frye et al. 2019, 6.5)
GAMMAS = (1e0, 1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class NewtonTR:
    """The finder behind ``newton_tr``, to be run by ``driver.find``."""

    gammas: tuple[float, ...]
    step_size: float
    solver: Mapping[str, Any]
    dense: Dense

    def init(self, objective: Objective, theta: Array) -> None:
        """Return nothing: a step depends on the point alone."""

    def step(self, objective: Objective, theta: Array, point: Linearization, state: None) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        g = point.gradient
        H = HessianOperator(objective, theta, point, self.dense)
        nothing = xp.zeros_like(point.value)
        lowest, chosen, iterations, products = nothing + xp.inf, nothing, nothing, nothing
        p, reason = xp.full_like(g, xp.nan), nothing
        for gamma in self.gammas:
            solution = solve(H, -g, self.solver, shift=-gamma)
            value, there = objective.value_and_gradient(theta + self.step_size * solution.x)
            squared_norm = dot(there, there)
            better = xp.isfinite(value) & (squared_norm < lowest)
            lowest = xp.where(better, squared_norm, lowest)
            chosen = xp.where(better, gamma, chosen)
            p = xp.where(better[:, None], solution.x, p)
            # that of the last γ where none leads to a finite point
            reason = xp.where(better | xp.isinf(lowest), solution.stop_reason, reason)
            iterations = iterations + solution.iterations
            products = products + (solution.iterations + SOLVE_PRODUCTS)

        trial = theta + self.step_size * p
        accepted = xp.any(trial != theta, axis=-1) & (lowest < dot(g, g))
        tried = xp.full_like(chosen, len(self.gammas))
        search = Search(trial, self.step_size * xp.astype(accepted, xp.float64), accepted, tried)
        record = {
            "residual_ratio": norm(H(p) + g) / norm(g),
            "step_size": search.step_size,
            "direction_norm": norm(p),
            "damping": chosen,
            "trials": tried,
            "solver_iterations": iterations,
            "solver_stop_reason": reason,
            "products": H.cost(products + 1.0),
        }
        return Step(trial, state, stop_reasons(search, theta, p), record)


def newton_tr(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    rtol: float = 5e-4,
    *,
    gammas: Sequence[float] = GAMMAS,
    step_size: float = 0.1,
    maxit: int | None = None,
    maxxnorm: float = float("inf"),
    acondlim: float = float("inf"),
    trancond: float = 1e7,
    squared_gradient_tolerance: float = 0.0,
    dense: Dense = "auto",
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Newton-TR, as in [1]_.

    For each γ, MINRES-QLP solves (H + γI)p = −g; of the points θ + αp that of lowest ‖g‖ is taken.
    The step length α is fixed, so that near a nonsingular critical point ‖g‖ falls by a factor of
    about 1 − α in each iteration. A run ends where no γ lowers ‖g‖: [1]_, 4, has runs end "when no
    proposed step size met acceptance criteria", and this is the criterion of the authors' code.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500 (not stated in [1]_; more than their median of 430).
    rtol, maxit, maxxnorm, acondlim, trancond
        The solver's options and their defaults: see ``newton_mr``.
    gammas : sequence of float
        The γ: five, log-spaced from 1 to 1e-4 ([1]_, 6.5).
    step_size : float
        α: 0.1 ([1]_, 6.5).
    squared_gradient_tolerance : float
        A run has converged when ‖g‖² is at or below this.
    dense : {"auto", True, False}
        Whether the solver's products are made with the dense Hessian: see ``newton_mr``.
    record_theta : bool
        Whether to keep all iterates in ``trace.thetas``.

    Returns
    -------
    Trace
        γ of each step is its ``damping``; its ``solver_iterations`` are those for all γ together,
        and its ``residual_ratio`` is ‖Hp + g‖/‖g‖, without γ.

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
        step_size=number("step_size", step_size, above=0.0, finite=True),
        solver=solver_options(rtol, maxit, maxxnorm, acondlim, trancond),
        dense=one_of("dense", dense, DENSE),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
