"""Saddle-free Newton: descent by |H|, the Hessian with the signs of its eigenvalues taken off."""

from __future__ import annotations

from dataclasses import dataclass

from ..arrays import Array, array_namespace, norm
from ..checks import boolean, integer
from ..objectives import Linearization, Objective
from .driver import Step, find
from .eigenbasis import DECOMPOSED, KANTOROVICH, Eigenbasis, lanczos
from .line_search import Search
from .trace import Trace

DAMPINGS = (1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The λ of Dauphin et al. 2014, experiments."""
LARGER_DAMPINGS = tuple(10.0**power for power in range(1, 309))
"""Up to the largest float: no λ is enough where θ has zeros, which any step changes."""


@dataclass(frozen=True)
class SaddleFreeNewton:
    """The finder behind ``saddle_free_newton``; ``driver.find`` runs it."""

    krylov_dimension: int | None
    newton_end: bool = False

    @property
    def matrices(self) -> int:
        """None in a Krylov space."""
        return DECOMPOSED if self.krylov_dimension is None else 0

    def init(self, objective: Objective, theta: Array) -> Array:
        """Return that no run (A,) is in the quadratic phase at the starts theta (A, n)."""
        return array_namespace(theta).zeros_like(theta[:, 0]) > 0.0

    def step(self, objective: Objective, theta: Array, point: Linearization, state: Array) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        steps = self.krylov_dimension
        H = Eigenbasis.of(point) if steps is None else lanczos(point, steps)
        lowest = point.value
        chosen = tried = xp.zeros_like(lowest)
        p = best = xp.zeros_like(theta)
        pending = xp.all(xp.isfinite(H.eigenvalues), axis=-1)
        taken = settled = state & False
        if self.newton_end:
            newton, taken, settled = newton_step(objective, theta, point, H, state)
            best, pending = xp.where(taken[:, None], newton, best), pending & ~taken & ~settled
            tried = tried + 1.0
        for damping in DAMPINGS + LARGER_DAMPINGS:
            if damping > DAMPINGS[0]:  # the larger ones are for runs without any yet
                pending = pending & (chosen == 0.0) & xp.any(theta + p != theta, axis=-1)
                if not bool(xp.any(pending)):
                    break
            p = H.apply(1.0 / (xp.abs(H.eigenvalues) + damping), -point.gradient)
            value, _ = objective.value_and_gradient(theta + p)
            lower = pending & (value < lowest)
            lowest = xp.where(lower, value, lowest)
            chosen = xp.where(lower, damping, chosen)
            best = xp.where(lower[:, None], p, best)
            tried = tried + xp.astype(pending, xp.float64)

        search = Search(theta + best, xp.astype((chosen > 0.0) | taken, xp.float64), tried)
        products = xp.full_like(chosen, steps or objective.hessian_cost)
        longest = H.apply(1.0 / (xp.abs(H.eigenvalues) + DAMPINGS[-1]), -point.gradient)
        return Step(search, best, products, taken, {"damping": chosen}, longest, settled)


def newton_step(
    objective: Objective, theta: Array, point: Linearization, H: Eigenbasis, state: Array
) -> tuple[Array, Array, Array]:
    """Return Newton's steps (A, n), which runs take them (A,), and which have settled (A,).

    A run takes the step where H is positive definite and ‖g‖ falls, if it did so before, or if
    ‖H⁻¹g(θ + p)‖ / ‖p‖ is at most ``KANTOROVICH``. It has settled where that no longer holds.
    """
    xp = array_namespace(theta)
    definite = xp.all(H.eigenvalues > 0.0, axis=-1)
    inverse = 1.0 / xp.where(definite[:, None], H.eigenvalues, 1.0)
    p = H.apply(inverse, -point.gradient)
    _, there = objective.value_and_gradient(theta + p)
    begins = norm(H.apply(inverse, there)) <= KANTOROVICH * norm(p)
    falls = norm(there) < norm(point.gradient)
    return p, definite & falls & (begins | state), definite & state & ~falls


def saddle_free_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    *,
    krylov_dimension: int | None = None,
    newton_end: bool = False,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Minimise a loss with saddle-free Newton steps [1]_.

    θ ← θ − (|H| + λI)⁻¹g, where |H| has the absolute eigenvalues of H. Each step takes the λ of
    lowest loss among 1, 0.1, …, 1e-6 ([1]_, experiments). If none of them lowers the loss, it tries
    ten times larger λ until one does (chosen by us) or the step no longer changes θ, which ends the
    run. The method leaves saddles: it is here because the papers compare with it.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500, as for Newton-MR.
    krylov_dimension : int, optional
        Steps stay in the Krylov space of the gradient of this dimension ([1]_, algorithm 1, with
        k = 500 for large networks). By default they use the whole space, with the dense Hessian.
    newton_end : bool
        Whether to go on with Newton steps once H is positive definite and they converge
        quadratically: until ‖g‖ no longer falls, which the stop reason says. Without this, as in
        [1]_, a run ends where rounding hides that the loss falls, which is some digits of ‖g‖
        earlier, and no faster than the least λ allows. Not in a Krylov space.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace
        ``damping`` is the λ of each step, 0 where none was accepted.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the Hessians and what their decomposition needs,
        4 n² numbers for each run, would take more than 8 GiB without a ``krylov_dimension``.

    References
    ----------
    .. [1] Y. Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional
       non-convex optimization, NIPS 2014, arXiv 1406.2572.
    """
    if krylov_dimension is not None:
        krylov_dimension = integer("krylov_dimension", krylov_dimension, at_least=1)
    if boolean("newton_end", newton_end) and krylov_dimension is not None:
        raise ValueError("newton_end must be False in a Krylov space, where no step is Newton's")
    finder = SaddleFreeNewton(krylov_dimension, newton_end)
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
