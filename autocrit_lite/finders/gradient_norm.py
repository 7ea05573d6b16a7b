"""Gradient norm minimisation: gradient descent on ½‖∇f‖²."""

from __future__ import annotations

from dataclasses import dataclass

from ..arrays import Array, array_namespace, dot, put, take
from ..objectives import Linearization, Objective
from .driver import Step, find
from .line_search import Line, first_step_size
from .trace import Trace

C1, C2 = 1e-4, 0.9
"""The constants of the Wolfe conditions (Frye et al. 2019, 6.4)."""


@dataclass(frozen=True)
class GradientNormState:
    """The first α (A,) of the next searches, and H∇f (A, n), the gradient of ½‖∇f‖²."""

    step_size: Array
    merit_gradient: Array


@dataclass(frozen=True)
class GradientNorm:
    """The finder behind ``gradient_norm_minimization``; ``driver.find`` runs it."""

    def init(self, objective: Objective, theta: Array) -> GradientNormState:
        """Return the state at the starts theta (A, n)."""
        point = objective.linearize(theta)
        return GradientNormState(first_step_size(theta), point.hvp(point.gradient))

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: GradientNormState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        merit = 0.5 * dot(point.gradient, point.gradient)
        merit_gradient = state.merit_gradient
        p = -merit_gradient
        slope = dot(p, merit_gradient)

        def accept(rows: Array, trial: Array, alpha: Array) -> Array:
            nonlocal merit_gradient
            there = objective.linearize(trial)
            H_g = there.hvp(there.gradient)
            merit_there = 0.5 * dot(there.gradient, there.gradient)
            slope_there = dot(H_g, take(p, rows))
            is_finite = xp.isfinite(there.value) & xp.isfinite(slope_there)
            is_lower = merit_there <= take(merit, rows) + C1 * alpha * take(slope, rows)
            is_flatter = slope_there >= C2 * take(slope, rows)
            accepted = is_finite & is_lower & is_flatter
            kept = xp.where(accepted[:, None], H_g, take(merit_gradient, rows))
            merit_gradient = put(rows, merit_gradient, kept)
            return accepted

        search = Line(theta, p).backtrack(accept, state.step_size)
        next_state = GradientNormState(2.0 * search.step_size, merit_gradient)
        return Step(search, p, products=search.trials, state=next_state)


def gradient_norm_minimization(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 50_000,
    *,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points by gradient descent on G(θ) = ½‖∇f(θ)‖² [1]_.

    The direction is p = −∇G = −H∇f, one Hessian-vector product. The run accepts a step length α if
    G(θ + αp) ≤ G(θ) + c₁α⟨∇G(θ), p⟩ and ⟨∇G(θ + αp), p⟩ ≥ c₂⟨∇G(θ), p⟩, the Wolfe conditions with
    c₁ = 1e-4 and c₂ = 0.9. The first α is 0.1; an accepted α is doubled for the next step, and a
    rejected one halved, whichever condition fails ([1]_, 6.4). But halving cannot mend the second
    condition, which fails where α is too *short*: such a run ends there, "stalled", wherever it is.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        50,000: not stated in [1]_, whose figure ends there.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        A product for each trial; no residuals, since there is no Newton direction.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    .. [1] Frye et al., arXiv 1901.10603, 2019, 2.2.1 and 6.4.
    """
    finder = GradientNorm()
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
