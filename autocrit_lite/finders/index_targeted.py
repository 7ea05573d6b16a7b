"""Index-targeted Newton: down along all but the k lowest eigenvectors, and up along these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import device

from ..arrays import Array, array_namespace, dot, indices, norm, put, take
from ..checks import integer, number, theta_array
from ..objectives import Linearization, Objective
from .driver import Step, find
from .eigenbasis import DECOMPOSED, KANTOROVICH, Eigenbasis, lanczos
from .line_search import Search
from .trace import Trace

REFUSE, SHRINK, GROW = 0.75, 0.4, 0.15
"""Above the first of these errors of the model a step is refused, above the second the radius is
halved, below the third it is doubled (chosen by us)."""
SECULAR_STEPS = 8
"""Newton steps on 1/‖d(μ)‖ = 1/R (chosen by us): ‖d‖ is then at most a few per cent above R."""


@dataclass(frozen=True)
class IndexTargetedState:
    """What runs carry on.

    Attributes
    ----------
    radius : array (A,)
        The radius R.
    lowest : array (A, k, n)
        In rows, the k lowest Ritz vectors at the point before; zero at the start. k = 0 if the
        basis is the whole one.
    quadratic : array (A,) of bool
        Whether the quadratic phase has begun; never in a Krylov space, where steps are not exact.
    """

    radius: Array
    lowest: Array
    quadratic: Array


@dataclass(frozen=True)
class IndexTargetedNewton:
    """The finder behind ``index_targeted_newton``; ``driver.find`` runs it."""

    scale_free: ClassVar[bool] = True

    index: int
    radius: float
    krylov_dimension: int | None

    @property
    def matrices(self) -> int:
        """None in a Krylov space."""
        return DECOMPOSED if self.krylov_dimension is None else 0

    def init(self, objective: Objective, theta: Array) -> IndexTargetedState:
        """Return the state at the starts theta (A, n)."""
        xp = array_namespace(theta)
        kept = 0 if self.krylov_dimension is None else self.index
        shape = (theta.shape[0], kept, theta.shape[1])
        return IndexTargetedState(
            xp.full_like(theta[:, 0], self.radius),
            xp.zeros(shape, dtype=theta.dtype, device=device(theta)),
            xp.zeros_like(theta[:, 0], dtype=xp.bool),
        )

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: IndexTargetedState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        g, steps, lowest = point.gradient, self.krylov_dimension, state.lowest
        H = Eigenbasis.of(point) if steps is None else lanczos(point, steps, lowest)
        c = H.coefficients(g)
        modes = xp.arange(c.shape[-1], device=device(theta))
        negative = xp.count_nonzero(H.eigenvalues < 0.0, axis=-1)
        climbs = (modes < self.index) & (negative <= self.index)[:, None]
        signs = xp.where(climbs, xp.ones_like(c), -1.0)

        radius, quadratic = state.radius, state.quadratic
        none = xp.zeros_like(radius)
        search, damping, settled = Search(theta, none, none), none, xp.zeros_like(quadratic)
        pending = xp.all(xp.isfinite(H.eigenvalues), axis=-1)
        d, longest = xp.where(pending[:, None], xp.zeros_like(g), xp.nan), None
        while (rows := indices(pending)).shape[0] > 0:
            at, R, c_at, basis = take(theta, rows), take(radius, rows), take(c, rows), H.take(rows)
            size = xp.abs(basis.eigenvalues)
            mu = least_damping(c_at, size, R)
            weights = size + mu[:, None]
            weights = xp.where(weights > 0.0, weights, 1.0)  # c is 0 there
            coefficients = take(signs, rows) * c_at / weights
            d_at = basis.combined(coefficients)
            trial = at + d_at
            value, there = objective.value_and_gradient(trial)
            # what the model got wrong, as the step that it would cause
            error = basis.coefficients(there) - c_at - basis.eigenvalues * coefficients
            length = norm(coefficients)
            error = norm(error / weights) / xp.where(length > 0.0, length, 1.0)

            pure = take(negative == self.index, rows) & (mu == 0.0) & (steps is None)
            ends = pure & take(state.quadratic, rows)  # by the rule of Newton's method
            falls = norm(there) < norm(take(g, rows))
            moves = xp.any(trial != at, axis=-1)
            accepted = moves & xp.isfinite(value) & xp.where(ends, falls, error <= REFUSE)
            shorter, longer = 0.5 * xp.minimum(R, length), xp.maximum(R, 2.0 * length)
            R = xp.where(accepted & (ends | (error <= SHRINK)), R, shorter)
            R = xp.where(accepted & (error < GROW), longer, R)

            search = Search(
                put(rows, search.theta, xp.where(accepted[:, None], trial, at)),
                put(rows, search.step_size, xp.astype(accepted, xp.float64)),
                search.trials + xp.astype(pending, xp.float64),
            )
            d, damping, radius = put(rows, d, d_at), put(rows, damping, mu), put(rows, radius, R)
            longest = d if longest is None else longest  # the first one
            settled = put(rows, settled, ends & ~accepted)
            quadratic = put(rows, quadratic, pure & (ends | (error <= KANTOROVICH)))
            pending = put(rows, pending, moves & ~accepted & ~ends)

        products = xp.full_like(none, steps or objective.hessian_cost)
        kept = lowest.shape[1]
        if steps is not None:
            products = products + kept
            lowest = xp.matrix_transpose(H.eigenvectors[:, :, :kept])
        next_state = IndexTargetedState(radius, lowest, quadratic)
        measured = {"damping": damping, "residual_ratio": norm(g + point.hvp(d)) / norm(g)}
        return Step(search, d, products, next_state, measured, longest, settled)


def least_damping(c: Array, size: Array, radius: Array) -> Array:
    """Return the least μ (A,), to a few per cent, for which ‖c / (size + μ)‖ is within the radius.

    1/‖d(μ)‖ is concave, so that Newton's method reaches 1/R from below without overshooting.

    Parameters
    ----------
    c, size : array (A, k)
        Coefficients of the gradient, and the sizes of the eigenvalues.
    radius : array (A,)
    """
    xp = array_namespace(c)
    R = radius[:, None]
    # no component alone is longer than the radius
    mu = xp.max(xp.clip(xp.abs(c) / R - size, 0.0, None), axis=-1)
    for _ in range(SECULAR_STEPS):
        weights = size + mu[:, None]
        weights = xp.where(weights > 0.0, weights, 1.0)
        d = c / weights
        length = norm(d)
        unit = d / xp.where(length > 0.0, length, 1.0)[:, None]
        slope = dot(unit, unit / weights)
        excess = length / radius - 1.0
        mu = mu + xp.where(excess > 0.0, excess / xp.where(slope > 0.0, slope, 1.0), 0.0)
    return mu


def index_targeted_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 3000,
    *,
    index: int,
    radius: float = 1.0,
    krylov_dimension: int | None = None,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points of a given index: k descending directions, k negative eigenvalues.

    With H = QΛQᵀ and c = Qᵀg the step is d_i = ±c_i / (|λ_i| + μ), with the least μ ≥ 0 for which
    ‖d‖ is within a trust radius R. It goes down along all eigenvectors, as saddle-free Newton [1]_
    does, as long as more than k eigenvalues are negative, and elsewhere up along the k lowest:
    high-index saddle dynamics [2]_ with Newton's lengths. To climb from the start on would lead to
    high maxima along the stiffest directions (chosen by us, after trying both, and also to climb on
    once this has begun). Where k eigenvalues are negative and μ = 0 it is Newton's step. There is
    no merit function: no norm has to fall, and a run does not stall where ‖g‖ has a minimum.

    R follows the error of the model, ‖(|Λ| + μ)⁻¹Qᵀ(g(θ + d) − g − Hd)‖ / ‖d‖: the part of the
    gradient that was not foreseen, as the step that it would cause, which weighs stiff and flat
    directions alike (Deuflhard's natural level, [3]_). A step is refused above 0.75; R is halved
    above 0.4 and doubled below 0.15. Once a Newton step has an error of at most 1/4, the quadratic
    phase has begun: from then on Newton steps are taken as long as ‖g‖ falls, and the run ends at
    the limit of rounding, with its own stop reason.

    A loss need not have a point of the index asked; a run then goes on to the limit of iterations.
    Whether a run has ended at one, ``certify`` proves.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        3000, chosen by us.
    index : int
        k, at most n.
    radius : float
        The first R; 1, chosen by us.
    krylov_dimension : int, optional
        Eigenvectors are then those of the Hessian in the space of the k lowest Ritz vectors of the
        step before and the gradient's Krylov space of this dimension: k products beside it in each
        iteration. There is no quadratic phase then, and near the end the default, all eigenvectors
        of the dense Hessian, is the faster one.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        ``damping`` is the μ of each step, ``trials`` the radii that were tried.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the Hessians and what their decomposition needs,
        4 n² numbers for each run, would take more than 8 GiB without a ``krylov_dimension``.

    References
    ----------
    .. [1] Y. Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional
       non-convex optimization, NIPS 2014, arXiv 1406.2572.
    .. [2] J. Yin, L. Zhang, P. Zhang, High-index optimization-based shrinking dimer method for
       finding high-index saddle points, SIAM J. Sci. Comput. 41, A3576-A3595, 2019.
    .. [3] Deuflhard, Newton Methods for Nonlinear Problems, Springer, 2004, chapters 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from autocrit_lite import AutogradObjective
    >>> wells = AutogradObjective(lambda t: t[0] ** 4 - 2 * t[0] ** 2 + t[1] ** 4 - 2 * t[1] ** 2)
    >>> start = np.array([0.7, 0.4])
    >>> ends = [index_targeted_newton(wells, start, index=k).theta for k in (0, 1, 2)]
    >>> [np.abs(np.round(theta, 6)).tolist() for theta in ends]
    [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    theta0 = theta_array(theta0, None, "theta0")
    finder = IndexTargetedNewton(
        index=integer("index", index, at_most=theta0.shape[-1]),
        radius=number("radius", radius, above=0.0, finite=True),
        krylov_dimension=(
            None
            if krylov_dimension is None
            else integer("krylov_dimension", krylov_dimension, at_least=1)
        ),
    )
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
