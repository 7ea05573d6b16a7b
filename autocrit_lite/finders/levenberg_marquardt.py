"""Levenberg-Marquardt on ½‖∇f‖²: damped least-squares steps towards a zero of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, array_namespace, dot, indices, norm, put, take
from ..checks import number, one_of
from ..objectives import Linearization, Objective
from .driver import Step, find
from .hessian_operator import DENSE, SOLVE_PRODUCTS, Dense, HessianOperator, solve, solver_options
from .line_search import Search, stop_reasons
from .spectrum import Spectrum
from .trace import FinderStopReason, Trace

# chosen by us: beyond it an eigendecomposition takes longer than the products of a few solves
LARGEST_DENSE = 1000
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class LevenbergMarquardtState:
    """The damping μ (A,) to try first and the factor ν (A,) by which it grows after a failure."""

    mu: Array
    nu: Array


@dataclass(frozen=True)
class LevenbergMarquardt:
    """The finder behind ``levenberg_marquardt``, to be run by ``driver.find``."""

    tau: float
    dense: Dense
    solver: Mapping[str, Any]

    def init(self, objective: Objective, theta: Array) -> LevenbergMarquardtState:
        """Return the state at the starts theta (A, n)."""
        xp = array_namespace(theta)
        point = objective.linearize(theta)
        mu = self.tau * _squared_curvature(point.gradient, point.hvp(point.gradient))
        return LevenbergMarquardtState(mu, xp.full_like(mu, 2.0))

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
        is_dense = g.shape[-1] <= LARGEST_DENSE if self.dense == "auto" else self.dense
        H = Spectrum.of(point) if is_dense else HessianOperator(objective, theta, point, False)
        # below this μ changes no step, and 0 could not grow again
        least = EPSILON**2 * _squared_curvature(g, H_g)
        mu, nu = xp.maximum(state.mu, least), state.nu
        squared_norm, none = dot(g, g), xp.zeros_like(mu)
        search = Search(theta, none, none > 0.0, none)
        pending = xp.all(xp.isfinite(H_g), axis=-1)
        p = xp.where(pending[:, None], xp.zeros_like(g), xp.nan)
        damping, products = mu, none + 1.0

        while (rows := indices(pending)).shape[0] > 0:
            at, mu_at, nu_at = take(theta, rows), take(mu, rows), take(nu, rows)
            p_at, Hp, made = self._direction(H.take(rows), take(g, rows), take(H_g, rows), mu_at)
            trial = at + p_at
            value, gradient = objective.value_and_gradient(trial)
            # ‖g‖² − ‖Hp + g‖², since Hg = −(H² + μI)p
            predicted = dot(Hp, Hp) + 2.0 * mu_at * dot(p_at, p_at)
            gain = (take(squared_norm, rows) - dot(gradient, gradient)) / predicted
            moves = xp.any(trial != at, axis=-1)
            accepted = moves & xp.isfinite(value) & (gain > 0.0)

            search = Search(
                put(rows, search.theta, xp.where(accepted[:, None], trial, at)),
                put(rows, search.step_size, xp.astype(accepted, xp.float64)),
                put(rows, search.accepted, accepted),
                search.trials + xp.astype(pending, xp.float64),
            )
            p, damping = put(rows, p, p_at), put(rows, damping, mu_at)
            products = put(rows, products, take(products, rows) + made)
            pending = put(rows, pending, moves & ~accepted & xp.all(xp.isfinite(p_at), axis=-1))
            mu = put(rows, mu, mu_at * xp.where(accepted, _factor(gain), nu_at))
            nu = put(rows, nu, xp.where(accepted, 2.0, 2.0 * nu_at))

        record = {
            "residual_ratio": norm(g + point.hvp(p)) / norm(g),
            "step_size": search.step_size,
            "direction_norm": norm(p),
            "damping": damping,
            "trials": search.trials,
            "products": products + (objective.hessian_cost if is_dense else 0.0),
        }
        stop = stop_reasons(search, theta, p)
        # the first step changed θ, and only shorter ones did not
        shortened = (search.trials > 1.0) & (stop == int(FinderStopReason.STEP_VANISHED))
        stop = xp.where(shortened, int(FinderStopReason.LINE_SEARCH_FAILED), stop)
        return Step(search.theta, LevenbergMarquardtState(mu, nu), stop, record)

    def _direction(
        self, H: Spectrum | HessianOperator, g: Array, H_g: Array, mu: Array
    ) -> tuple[Array, Array, Array]:
        """Return p = −(H² + μI)⁻¹Hg, Hp and how many products they took."""
        xp = array_namespace(g)
        if isinstance(H, Spectrum):
            scaled = H.eigenvalues**2 + mu[:, None]
            factors = -H.eigenvalues / xp.where(scaled > 0.0, scaled, 1.0)
            return H.apply(factors, g), H.apply(factors * H.eigenvalues, g), xp.zeros_like(mu)
        squared = DampedSquare(H, mu)
        solution = solve(squared, -H_g, self.solver)
        p = solution.x
        return p, H(p), 2.0 * (solution.iterations + SOLVE_PRODUCTS) + 1.0


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


def _factor(gain: Array) -> Array:
    """Return what μ is multiplied by after a step of this gain ratio was accepted."""
    xp = array_namespace(gain)
    return xp.clip(1.0 - (2.0 * gain - 1.0) ** 3, 1.0 / 3.0, None)


def levenberg_marquardt(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 700,
    *,
    tau: float = 1e-3,
    dense: Dense = "auto",
    rtol: float = 1e-6,
    maxit: int | None = None,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with Levenberg-Marquardt steps on ½‖∇f‖² [1]_.

    The step is p = −(H² + μI)⁻¹Hg, the minimiser of ‖Hp + g‖² + μ‖p‖². Its gain ratio is the fall
    of ‖g‖² that it brings over the fall that it was to bring, ‖g‖² − ‖Hp + g‖². Where that is
    positive the step is taken and μ multiplied by max(1/3, 1 − (2·gain − 1)³); where not, μ is
    multiplied by ν = 2, 4, 8, … and the step tried again. A run ends where the step no longer
    changes θ.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        700, chosen by us.
    tau : float
        The first μ is this times ‖Hg‖²/‖g‖²; 1e-3 as in [1]_, where it multiplies a largest element
        of the diagonal of H².
    dense : {"auto", True, False}
        Whether steps are computed by eigendecomposition of the dense Hessian or by MINRES-QLP
        with products alone; "auto": dense for n up to 1000.
    rtol, maxit
        The solver's tolerance, 1e-6 (chosen by us), and iteration limit, n by default, where
        products are used. An iteration costs two products.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        μ of each step is its ``damping``; its ``residual_ratio`` is that of the damped step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    .. [1] K. Madsen, H. B. Nielsen, O. Tingleff, Methods for non-linear least squares problems,
       Technical University of Denmark, 2004, algorithm 3.16 and eqs 2.18-2.21.
    """
    finder = LevenbergMarquardt(
        tau=number("tau", tau, above=0.0, finite=True),
        dense=one_of("dense", dense, DENSE),
        solver=solver_options(rtol, maxit, float("inf"), float("inf"), 1e7),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
