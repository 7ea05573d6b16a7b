"""Newton's method with the pseudo-inverse of the Hessian, by eigendecomposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..arrays import Array, array_namespace, dot
from ..objectives import Linearization, Objective
from .driver import Step, find
from .eigenbasis import DECOMPOSED, Eigenbasis
from .line_search import CARRY, Line, ResidualSearch, first_step_size
from .trace import Trace

CUTOFF = 1e-12
"""Eigenvalues of at most this share of the largest |eigenvalue| count as zero. Chosen by us: a
hundred times the rounding error of a dense Hessian of a few hundred parameters."""


@dataclass(frozen=True)
class ExactNewton:
    """The finder behind ``exact_newton`` and ``damped_newton``; ``driver.find`` runs it.

    Parameters
    ----------
    search : ResidualSearch or None
        None: to the lowest ‖g‖ along the direction.
    """

    scale_free: ClassVar[bool] = True
    matrices: ClassVar[int] = DECOMPOSED

    search: ResidualSearch | None

    def init(self, objective: Objective, theta: Array) -> Array:
        """Return the first step lengths (A,) at the starts theta (A, n)."""
        return first_step_size(theta)

    def step(self, objective: Objective, theta: Array, point: Linearization, state: Array) -> Step:
        """Return what a step from theta (A, n) does."""
        xp = array_namespace(theta)
        g = point.gradient
        H = Eigenbasis.of(point)
        p = H.apply(H.pseudo_inverse(CUTOFF), -g)
        line = Line(theta, p)
        if self.search is None:
            search = line.minimize(objective, dot(g, g))
        else:
            search = self.search(objective, line, g, H.apply(H.eigenvalues, p), state)
            state = self.search.next_step_size(search)
        products = xp.full_like(search.step_size, objective.hessian_cost)
        return Step(search, p, products, state, H.residuals(p, g))


def exact_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    *,
    squared_gradient_tolerance: float = 0.0,
    record_theta: bool = False,
) -> Trace:
    """Search for critical points with exact least-squares Newton steps (Frye et al. 2021, A.3).

    The direction is p = −H⁺g with the pseudo-inverse H⁺, the shortest minimiser of ‖Hp + g‖; the
    step length minimises ‖g(θ + αp)‖² (see ``line_search.Line.minimize``).

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
        A start, or independent starts.
    max_iterations : int
        500, as for Newton-MR.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the Hessians and what their decomposition needs,
        4 n² numbers for each run, would take more than 8 GiB.
    """
    finder = ExactNewton(search=None)
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)


def damped_newton(
    objective: Objective,
    theta0: Array,
    max_iterations: int = 500,
    *,
    step_rule: str = CARRY,
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
    step_rule : {"carry", "restart"}
        Where each line search starts: see ``ResidualSearch``, whose defaults are those of Frye et
        al. 2021.
    squared_gradient_tolerance, record_theta
        See ``newton_mr``.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the Hessians and what their decomposition needs,
        4 n² numbers for each run, would take more than 8 GiB.
    """
    finder = ExactNewton(ResidualSearch(step_rule=step_rule))
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
