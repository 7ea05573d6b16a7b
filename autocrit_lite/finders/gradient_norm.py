"""Gradient norm minimisation: gradient descent on ½‖∇f‖²."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import device

from ..arrays import Array, array_namespace, dot, norm, put, take
from ..checks import number, one_of
from ..objectives import Linearization, Objective
from .driver import Step, find
from .line_search import backtrack, stop_reasons
from .trace import Trace

WOLFE, ARMIJO, FIXED = "wolfe", "armijo", "fixed"
CONDITIONS = (WOLFE, ARMIJO, FIXED)


@dataclass(frozen=True)
class GradientNormState:
    """What a run carries on.

    Attributes
    ----------
    step_size : array (A,)
        Where the next line search starts.
    velocity : array (A, n)
        The last direction.
    merit_gradient : array (A, n)
        H∇f, the gradient of ½‖∇f‖², at the iterate.
    """

    step_size: Array
    velocity: Array
    merit_gradient: Array


@dataclass(frozen=True)
class GradientNorm:
    """The finder behind ``gradient_norm_minimization``, to be run by ``driver.find``."""

    conditions: str
    step_size0: float
    max_step_size: float
    c1: float
    c2: float
    beta: float
    momentum: float

    def init(self, objective: Objective, theta: Array) -> GradientNormState:
        """Return the state at the starts theta (A, n)."""
        xp = array_namespace(theta)
        point = objective.linearize(theta)
        return GradientNormState(
            xp.full(theta.shape[0], self.step_size0, dtype=xp.float64, device=device(theta)),
            xp.zeros_like(theta),
            point.hvp(point.gradient),
        )

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: GradientNormState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        merit = 0.5 * dot(point.gradient, point.gradient)
        p = self.momentum * state.velocity - state.merit_gradient
        descends = dot(p, state.merit_gradient) < 0.0
        p = xp.where(descends[:, None], p, -state.merit_gradient)
        slope = dot(p, state.merit_gradient)
        merit_gradient = state.merit_gradient

        def accept(rows: Array, trial: Array, alpha: Array) -> Array:
            nonlocal merit_gradient
            there = objective.linearize(trial)
            H_g = there.hvp(there.gradient)
            merit_there = 0.5 * dot(there.gradient, there.gradient)
            bound = take(merit, rows) + self.c1 * alpha * take(slope, rows)
            slope_there = dot(H_g, take(p, rows))
            accepted = xp.isfinite(there.value) & xp.isfinite(slope_there)
            if self.conditions == FIXED:
                accepted = xp.ones_like(accepted)
            else:
                accepted = accepted & (merit_there <= bound)
            if self.conditions == WOLFE:
                accepted = accepted & (slope_there >= self.c2 * take(slope, rows))
            kept = xp.where(accepted[:, None], H_g, take(merit_gradient, rows))
            merit_gradient = put(rows, merit_gradient, kept)
            return accepted

        pending = xp.all(xp.isfinite(p), axis=-1)
        search = backtrack(accept, theta, p, state.step_size, self.beta, pending)
        grown = xp.minimum(search.step_size / self.beta, self.max_step_size)
        record = {
            "step_size": search.step_size,
            "direction_norm": norm(p),
            "trials": search.trials,
            "products": search.trials,
        }
        step_size = state.step_size if self.conditions == FIXED else grown
        next_state = GradientNormState(step_size, p, merit_gradient)
        return Step(search.theta, next_state, stop_reasons(search, theta, p), record)


def gradient_norm_minimization(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 50_000,
    *,
    conditions: str = WOLFE,
    step_size0: float = 0.1,
    max_step_size: float = float("inf"),
    c1: float = 1e-4,
    c2: float = 0.9,
    beta: float = 0.5,
    momentum: float = 0.0,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points by gradient descent on G(θ) = ½‖∇f(θ)‖² [1]_.

    The gradient of G is ∇G = H∇f, one Hessian-vector product. The direction is p = −∇G, with
    momentum p ← momentum·p − ∇G, or −∇G again where that does not descend.

    A step length α is accepted when G(θ + αp) ≤ G(θ) + c₁α⟨∇G(θ), p⟩ and
    ⟨∇G(θ + αp), p⟩ ≥ c₂⟨∇G(θ), p⟩ (Wolfe). As in [1]_, 6.4, whichever of the two fails, α is
    halved; but halving cannot mend the second, which fails where α is too *short*, so such a run
    ends there, "stalled", wherever it is.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        50,000: not stated in [1]_, whose figure ends there.
    conditions : {"wolfe", "armijo", "fixed"}
        Both conditions ([1]_), the first alone, or neither: every step has the length
        ``step_size0``.
    step_size0 : float
        The first α (0.1 in [1]_, 6.4).
    max_step_size : float
        An accepted α is doubled (divided by ``beta``) for the next step, up to this. No limit is
        stated in [1]_.
    c1, c2 : float
        1e-4 and 0.9 ([1]_, 6.4).
    beta : float
        α is multiplied by it after a failure (0.5 in [1]_, 6.4).
    momentum : float
        0, as in [1]_.
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
    c1 = number("c1", c1, at_least=0.0, below=1.0)
    finder = GradientNorm(
        conditions=one_of("conditions", conditions, CONDITIONS),
        step_size0=number("step_size0", step_size0, above=0.0, finite=True),
        max_step_size=number("max_step_size", max_step_size, at_least=step_size0),
        c1=c1,
        c2=number("c2", c2, at_least=c1, below=1.0),
        beta=number("beta", beta, above=0.0, below=1.0),
        momentum=number("momentum", momentum, at_least=0.0, below=1.0),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
