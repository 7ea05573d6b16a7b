"""Newton's method with the pseudo-inverse of the Hessian, by eigendecomposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..arrays import Array, array_namespace, dot
from ..checks import number
from ..objectives import Linearization, Objective
from .driver import Step, find
from .line_search import CARRY, ResidualSearch, Search, SearchState, minimize_along, stop_reasons
from .spectrum import Spectrum
from .trace import Trace


@dataclass(frozen=True)
class DampedNewton:
    """The finder behind ``damped_newton``, to be run by ``driver.find``."""

    scale_free: ClassVar[bool] = True

    cutoff: float
    search: ResidualSearch

    def init(self, objective: Objective, theta: Array) -> SearchState:
        """Return the state at the starts theta (A, n)."""
        return self.search.init(objective, theta)

    def step(
        self, objective: Objective, theta: Array, point: Linearization, state: SearchState
    ) -> Step:
        """Return what a step from theta (A, n) does."""
        g = point.gradient
        H = Spectrum.of(point)
        p = H.apply(H.pseudo_inverse(self.cutoff), -g)
        Hp = H.apply(H.eigenvalues, p)
        search = self.search(objective, theta, p, dot(g, g), dot(Hp, g), state)
        record = record_of(H, p, g, search, objective)
        return Step(
            search.theta, self.search.next_state(search), stop_reasons(search, theta, p), record
        )


@dataclass(frozen=True)
class ExactNewton:
    """The finder behind ``exact_newton``, to be run by ``driver.find``."""

    scale_free: ClassVar[bool] = True

    cutoff: float

    def init(self, objective: Objective, theta: Array) -> None:
        """Return nothing: a step depends on the point alone."""

    def step(self, objective: Objective, theta: Array, point: Linearization, state: None) -> Step:
        """Return what a step from theta (A, n) does."""
        g = point.gradient
        H = Spectrum.of(point)
        p = H.apply(H.pseudo_inverse(self.cutoff), -g)
        search = minimize_along(objective, theta, p, dot(g, g))
        record = record_of(H, p, g, search, objective)
        return Step(search.theta, state, stop_reasons(search, theta, p), record)


def record_of(
    H: Spectrum, p: Array, g: Array, search: Search, objective: Objective
) -> dict[str, Array]:
    """Return what the trace gets of a direction p (A, n) and of the search along it."""
    xp = array_namespace(g)
    cost = xp.full_like(search.step_size, objective.hessian_cost)
    taken = {"step_size": search.step_size, "trials": search.trials, "products": cost}
    return H.residuals(p, g) | taken


def exact_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    *,
    cutoff: float = 1e-12,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with exact least-squares Newton steps (Frye et al. 2021, A.3).

    The direction is p = −H⁺g with the pseudo-inverse H⁺, the shortest minimiser of ‖Hp + g‖; the
    step length minimises ‖g(θ + αp)‖² (see ``line_search.minimize_along``).

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500, as for Newton-MR.
    cutoff : float
        Eigenvalues of at most this share of the largest |eigenvalue| count as zero. 1e-12, chosen
        by us: a hundred times the rounding error of a dense Hessian of a few hundred parameters.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    return find(
        ExactNewton(number("cutoff", cutoff, at_least=0.0, below=1.0)),
        objective,
        theta0,
        max_iterations,
        squared_gradient_tolerance,
        record_theta,
    )


def damped_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    *,
    cutoff: float = 1e-12,
    rho: float = 0.1,
    rho_unit: float | None = 0.5,
    step_size0: float = 0.1,
    beta: float = 0.5,
    step_rule: str = CARRY,
    max_step_size: float = 1.0,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with exact Newton directions, damped by back-tracking on ‖g‖².

    This is Newton-MR with exact directions: p = −H⁺g, and a step length α for which
    ‖g(θ + αp)‖² ≤ ‖g(θ)‖² + 2ρα⟨Hp, g⟩ (Frye et al. 2021, 2.3: damped Newton with the squared
    gradient norm as merit function).

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500, as for Newton-MR.
    cutoff : float
        Eigenvalues of at most this share of the largest |eigenvalue| count as zero. 1e-12, as in
        ``exact_newton``.
    rho, rho_unit, step_size0, beta, step_rule, max_step_size
        The line search: see ``ResidualSearch``, and ``newton_mr`` for the defaults.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    cutoff = number("cutoff", cutoff, at_least=0.0, below=1.0)
    search = ResidualSearch(rho, rho_unit, step_size0, beta, step_rule, max_step_size)
    return find(
        DampedNewton(cutoff, search),
        objective,
        theta0,
        max_iterations,
        squared_gradient_tolerance,
        record_theta,
    )
