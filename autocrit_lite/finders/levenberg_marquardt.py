"""Levenberg-Marquardt on ½‖∇f‖²: damped least-squares steps towards a zero of the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, array_namespace, dot, indices, norm, put, take
from ..checks import boolean
from ..objectives import Linearization, Objective
from .driver import Step, find
from .eigenbasis import Eigenbasis
from .hessian_operator import SOLVE_PRODUCTS, HessianOperator, solve
from .line_search import Search
from .trace import Trace

TAU = 1e-3
"""The first μ is this times ‖Hg‖²/‖g‖². As in Madsen et al. 2004, algorithm 3.16, where it
multiplies a largest element of the diagonal of H²."""
RTOL = 1e-6
"""The solver's tolerance, chosen by us."""
LARGEST_DENSE = 1000
"""Chosen by us: beyond it an eigendecomposition takes longer than the products of a few solves."""
EPSILON = float(np.finfo(float).eps)
PROBE = 0.1
"""Share of a step at which its second derivative is probed (Transtrum & Sethna 2012, section 5)."""
BENT = 0.75
"""Longest acceleration, 2‖δ₂‖/‖δ₁‖, with which a step is taken (the same, section 5)."""


@dataclass(frozen=True)
class LevenbergMarquardtState:
    """The damping μ (A,) to try first and the factor ν (A,) by which it grows after a failure."""

    mu: Array
    nu: Array


@dataclass(frozen=True)
class LevenbergMarquardt:
    """The finder behind ``levenberg_marquardt``; ``driver.find`` runs it."""

    scale_free: ClassVar[bool] = True

    largest_dense: int = LARGEST_DENSE
    geodesic: bool = False

    def init(self, objective: Objective, theta: Array) -> LevenbergMarquardtState:
        """Return the state at the starts theta (A, n)."""
        point = objective.linearize(theta)
        mu = TAU * _squared_curvature(point.gradient, point.hvp(point.gradient))
        return LevenbergMarquardtState(mu, array_namespace(mu).full_like(mu, 2.0))

    def step(
        self,
        objective: Objective,
        theta: Array,
        point: Linearization,
        state: LevenbergMarquardtState,
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        g = point.gradient
        H_g = point.hvp(g)
        is_dense = g.shape[-1] <= self.largest_dense
        H = Eigenbasis.of(point) if is_dense else HessianOperator(objective, theta, point, False)
        # below this μ changes no step, and 0 could not grow again
        least = EPSILON**2 * _squared_curvature(g, H_g)
        mu, nu = xp.maximum(state.mu, least), state.nu
        squared_norm, none = dot(g, g), xp.zeros_like(mu)
        search = Search(theta, none, none)
        pending = xp.all(xp.isfinite(H_g), axis=-1)
        p, longest = xp.where(pending[:, None], xp.zeros_like(g), xp.nan), None
        damping, products = mu, none + 1.0

        while (rows := indices(pending)).shape[0] > 0:
            at, mu_at, nu_at = take(theta, rows), take(mu, rows), take(nu, rows)
            H_at, g_at = H.take(rows), take(g, rows)
            p_at, Hp, made = _direction(H_at, g_at, take(H_g, rows), mu_at)
            # ‖g‖² − ‖Hp + g‖², since Hg = −(H² + μI)p
            predicted = dot(Hp, Hp) + 2.0 * mu_at * dot(p_at, p_at)
            straight = xp.isfinite(mu_at)
            if self.geodesic:
                _, probed = objective.value_and_gradient(at + PROBE * p_at)
                bend = (2.0 / PROBE) * ((probed - g_at) / PROBE - Hp)
                p_at, straight, more = _accelerated(H_at, p_at, bend, mu_at)
                made = made + more
            trial = at + p_at
            value, gradient = objective.value_and_gradient(trial)
            gain = (take(squared_norm, rows) - dot(gradient, gradient)) / predicted
            moves = xp.any(trial != at, axis=-1)
            accepted = moves & straight & xp.isfinite(value) & (gain > 0.0)

            search = Search(
                put(rows, search.theta, xp.where(accepted[:, None], trial, at)),
                put(rows, search.step_size, xp.astype(accepted, xp.float64)),
                search.trials + xp.astype(pending, xp.float64),
            )
            p, damping = put(rows, p, p_at), put(rows, damping, mu_at)
            longest = p if longest is None else longest  # the first one
            products = put(rows, products, take(products, rows) + made)
            pending = put(rows, pending, moves & ~accepted & xp.all(xp.isfinite(p_at), axis=-1))
            factor = xp.clip(1.0 - (2.0 * gain - 1.0) ** 3, 1.0 / 3.0, None)
            mu = put(rows, mu, mu_at * xp.where(accepted, factor, nu_at))
            nu = put(rows, nu, xp.where(accepted, 2.0, 2.0 * nu_at))

        measured = {"residual_ratio": norm(g + point.hvp(p)) / norm(g), "damping": damping}
        products = products + (objective.hessian_cost if is_dense else 0.0)
        return Step(search, p, products, LevenbergMarquardtState(mu, nu), measured, longest)


def _direction(
    H: Eigenbasis | HessianOperator, g: Array, H_g: Array, mu: Array
) -> tuple[Array, Array, Array]:
    """Return p = −(H² + μI)⁻¹Hg, Hp and how many products they took."""
    if isinstance(H, Eigenbasis):
        xp = array_namespace(g)
        scaled = H.eigenvalues**2 + mu[:, None]
        factors = -H.eigenvalues / xp.where(scaled > 0.0, scaled, 1.0)
        return H.apply(factors, g), H.apply(factors * H.eigenvalues, g), xp.zeros_like(mu)
    solution = solve(DampedSquare(H, mu), -H_g, RTOL)
    p = solution.x
    return p, H(p), 2.0 * (solution.iterations + SOLVE_PRODUCTS) + 1.0


def _accelerated(
    H: Eigenbasis | HessianOperator, p: Array, bend: Array, mu: Array
) -> tuple[Array, Array, Array]:
    """Return δ₁ + δ₂, whether δ₂ is short enough (A,), else δ₁, and how many products that took.

    δ₂ = −½(H² + μI)⁻¹H·D²g[δ₁, δ₁], with ``bend`` (A, n) for the second directional derivative.
    """
    xp = array_namespace(p)
    H_bend = bend if isinstance(H, Eigenbasis) else H(bend)
    twice, _, made = _direction(H, bend, H_bend, mu)
    if not isinstance(H, Eigenbasis):
        made = made + 1.0
    straight = norm(twice) <= BENT * norm(p)
    return xp.where(straight[:, None], p + 0.5 * twice, p), straight, made


@dataclass(frozen=True)
class DampedSquare:
    """The operator v ↦ (H² + μI)v for the points of a batch."""

    hessian: HessianOperator
    mu: Array

    def __call__(self, v: Array) -> Array:
        """Return (H² + μI)v (A, n) for v (A, n)."""
        return self.hessian(self.hessian(v)) + self.mu[:, None] * v

    def take(self, rows: Array) -> DampedSquare:
        """Return the operator of the points ``rows`` alone."""
        return DampedSquare(self.hessian.take(rows), take(self.mu, rows))


def _squared_curvature(g: Array, H_g: Array) -> Array:
    """Return ‖Hg‖²/‖g‖², the Rayleigh quotient of H² at the gradient, and 0 where g = 0."""
    xp = array_namespace(g)
    size = norm(g)
    return (norm(H_g) / xp.where(size > 0.0, size, 1.0)) ** 2


def levenberg_marquardt(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 700,
    *,
    geodesic: bool = False,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Levenberg-Marquardt steps on ½‖∇f‖² [1]_.

    The step p = −(H² + μI)⁻¹Hg minimises ‖Hp + g‖² + μ‖p‖². Its gain ratio is the fall of ‖g‖² over
    the fall that the linear model predicts, ‖g‖² − ‖Hp + g‖². If it is positive, the run takes the
    step and multiplies μ by max(1/3, 1 − (2·gain − 1)³); if not, it multiplies μ by ν = 2, 4, 8, …
    and tries again. It ends where the step no longer changes θ.

    With up to 1000 parameters the steps come from an eigendecomposition of the Hessian, with more
    of them from MINRES-QLP, at two products an iteration.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        700, chosen by us.
    geodesic : bool
        Whether steps follow the geodesic to second order ([2]_, section 5): δ₁ + δ₂ with δ₁ = p and
        δ₂ = −½(H² + μI)⁻¹H·D²g[δ₁, δ₁], the second derivative from one more gradient at θ + 0.1δ₁.
        A step with 2‖δ₂‖/‖δ₁‖ above 0.75 counts as one without gain.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        ``damping`` is the μ of each step, and ``residual_ratio`` that of the damped step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    .. [1] K. Madsen, H. B. Nielsen, O. Tingleff, Methods for non-linear least squares problems,
       Technical University of Denmark, 2004, algorithm 3.16 and eqs 2.18-2.21.
    .. [2] M. K. Transtrum, J. P. Sethna, Improvements to the Levenberg-Marquardt algorithm for
       nonlinear least-squares minimization, arXiv 1201.5885, 2012.
    """
    finder = LevenbergMarquardt(geodesic=boolean("geodesic", geodesic))
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
