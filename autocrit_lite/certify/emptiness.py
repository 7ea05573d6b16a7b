"""A proof that no critical point is near: what gradient-flat ends need."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from flint import arb, ctx

from ..arrays import Array
from ..networks.objective import NetworkObjective
from .balls import Balls, enlarged
from .certificate import enclosure_of, start_of
from .enclosures import BITS, Enclosure

TRIALS = 6
"""Regions that are tried (chosen by us): third derivatives are bounded over a ball of each."""

SMALLEST = 1e-12
"""The first of them (chosen by us), for the bound at the point itself."""

LARGEST = 1e3
"""None is larger (chosen by us)."""

LEVELS = (np.inf, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The gradient's parts that are tried as v: those in eigenspaces whose |λ| is at most this share of
the largest (chosen by us); the first is the gradient itself."""


@dataclass(frozen=True)
class Emptiness:
    """What is proven of the surroundings of a point.

    Attributes
    ----------
    theta : array (n,)
    radius : float
        No critical point is within this distance of theta; 0 if nothing is proven.
    squared_gradient_norm : float
        ‖g‖² at theta.
    K : float
        The bound on the third derivatives that was used.
    seconds : float
    """

    theta: Array
    radius: float
    squared_gradient_norm: float
    K: float
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether anything is proven."""
        return self.radius > 0.0

    def __str__(self) -> str:
        """Return what is proven as a statement."""
        if not self.proven:
            return "Not proven: the gradient is too small for its curvature, or not finite."
        return f"Proven: no critical point is within {self.radius:.3e} of θ."


def nothing_near(objective: NetworkObjective | Enclosure, theta: Array) -> Emptiness:
    """Prove that no critical point is near theta, in a radius as large as the bounds allow.

    For a unit vector v, vᵀ∇L(θ) differs from vᵀg by at most ρ‖Hv‖ + ½Kρ² at a distance ρ ≤ R from
    theta, where K bounds the third derivatives: where |vᵀg| is larger, ∇L does not vanish. At a
    gradient-flat point v = g/‖g‖ makes Hv small.

    Parameters
    ----------
    objective : NetworkObjective or Enclosure
    theta : array (n,)

    Returns
    -------
    Emptiness

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    start = time.perf_counter()
    enclosure = enclosure_of(objective)
    high, low = start_of(enclosure, theta)
    _, gradient = enclosure.gradient(high, low)
    H = enclosure.hessian(high, low)
    g = np.array([float(x.mid()) for x in gradient])
    best = (0.0, np.nan)
    if np.isfinite(g).all() and np.isfinite(H.middle).all() and g.any():
        slopes = [(_along(gradient, v), _length(H, v)) for v in _directions(g, H.middle)]
        # the larger a region, the larger K and the less it proves: where they meet is best
        region, lower, upper = SMALLEST, 0.0, np.inf
        for trial in range(TRIALS):
            K = enclosure.third(high, low, region)
            reach = max(_root(s, Hv, K) for s, Hv in slopes)
            best = max(best, (min(reach, region), K))
            if reach >= region:
                lower, upper = region, min(upper, reach)
            else:
                lower, upper = max(lower, reach), region
            region = float(np.sqrt(lower * upper)) if trial else min(upper, LARGEST)
            if region <= best[0] * 1.01:
                break
    return Emptiness(high, best[0], float(g @ g), best[1], time.perf_counter() - start)


def _directions(g: Array, H: Array) -> list[Array]:
    """Return unit vectors to try as v, (n,) each; whatever they are, the proof holds."""
    eigenvalues, Q = np.linalg.eigh(0.5 * (H + H.T))
    parts = Q.T @ g
    found = []
    for level in LEVELS:
        flat = np.abs(eigenvalues) <= level * max(np.max(np.abs(eigenvalues)), 1e-300)
        v = Q[:, flat] @ parts[flat]
        if v.any():
            found.append(v / np.linalg.norm(v))
    return found


def _along(gradient: list[arb], v: Array) -> float:
    """Return a lower bound of |vᵀg| / ‖v‖."""
    with ctx.workprec(BITS):
        exact = [arb(x) for x in v.tolist()]
        slope = sum((x * y for x, y in zip(exact, gradient, strict=True)), arb(0))
        length = sum((x * x for x in exact), arb(0)).sqrt()
        return float((slope / length).abs_lower()) * (1.0 - 1e-15)


def _length(H: Balls, v: Array) -> float:
    """Return an upper bound of ‖Hv‖ / ‖v‖."""
    size = (H @ Balls.of(v[:, None])).magnitude
    least = np.sqrt(np.sum(v**2)) * (1.0 - 1e-12)
    return float(enlarged(np.sqrt(np.sum(size**2)) / least, len(v) + 8))


def _root(slope: float, length: float, K: float) -> float:
    """Return a lower bound of the positive root of ½K ρ² + length·ρ = slope, without the end."""
    if slope <= 0.0 or not np.isfinite(K):
        return 0.0
    root = 2.0 * slope / (length + np.sqrt(length**2 + 2.0 * K * slope))
    return float(root * (1.0 - 1e-12))
