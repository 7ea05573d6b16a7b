"""A proof that a critical point is there: the Newton–Kantorovich theorem in balls."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from flint import arb, ctx
from numpy.linalg import eigh

from ..arrays import Array
from ..checks import float_array, number
from ..networks.objective import NetworkObjective
from .balls import Balls, U, enlarged
from .enclosures import BITS, Enclosure, NetworkEnclosure
from .pairs import two_sum
from .symmetry import slice_of

CORRECTIONS = 8
"""Newton corrections with the enclosed gradient, at most (chosen by us: near a critical point two
are enough)."""

CLOSE = 1e-18
"""Relative length of a correction that is not worth its time (chosen by us)."""

SHRINKINGS = 10
"""How often R is divided by ten where third derivatives are not bounded (chosen by us): the inputs
of ReLUs are the smaller the more samples there are."""

FAR = 1e-6
"""Length of a correction after which the Hessian is computed anew (chosen by us)."""


@dataclass(frozen=True)
class Certificate:
    """What is proven of a point θ̄.

    Attributes
    ----------
    proven : bool
        Whether a critical point is within ``radius`` of θ̄ = ``theta`` + ``theta_low``.
    theta, theta_low : array (n,)
        θ̄, the sum of the two.
    radius : float
        Of the ball around θ̄ that holds exactly one critical point; NaN if not proven.
    unique_within : float
        No other critical point is within this distance of θ̄.
    index : int or None
        How many eigenvalues of the Hessian at the critical point are negative; none is zero. None
        if not proven.
    value : (float, float)
        An interval that holds the loss at the critical point, or at θ̄ if none is proven.
    h : float
        2‖A‖KY/(1 − Z₀)², at most 1 where the theorem applies.
    Y, Z0, inverse_norm, K : float
        The bounds that the theorem asks for: see ``certify``.
    seconds : float
    why : str
        What is proven, or why nothing is.
    orbit : int
        The dimension of the set of critical points that a group makes of this one, and of the
        kernel of its Hessian: 0 but for linear networks, where all else is said of the slice of
        those θ that agree with θ̄ in as many coordinates.
    """

    proven: bool
    theta: Array
    theta_low: Array
    radius: float
    unique_within: float
    index: int | None
    value: tuple[float, float]
    h: float
    Y: float
    Z0: float
    inverse_norm: float
    K: float
    seconds: float
    why: str
    orbit: int

    def __str__(self) -> str:
        """Return what is proven as a statement."""
        if not self.proven:
            return f"Not proven: {self.why}"
        low, high = self.value
        where, kind = "", "is not degenerate"
        if self.orbit:
            where = f" on a slice across an orbit of dimension {self.orbit}"
            kind = "no kernel but along the orbit"
        return (
            f"Proven{where}: within {self.radius:.1e} of θ̄ there is exactly one critical point, "
            f"and no other within {self.unique_within:.1e}. It has index {self.index} and {kind}. "
            f"Its loss is in [{low!r}, {high!r}]."
        )


def enclosure_of(objective: NetworkObjective | Enclosure) -> Enclosure:
    """Return what encloses the derivatives of an objective.

    Raises
    ------
    TypeError
        If the objective is no ``NetworkObjective`` and has no enclosures.
    """
    if isinstance(objective, NetworkObjective):
        return NetworkEnclosure(objective)
    for name in ("gradient", "hessian", "third"):
        if not callable(getattr(objective, name, None)):
            raise TypeError(
                "objective must be a NetworkObjective, or have the methods gradient, hessian and "
                f"third of an Enclosure, not {objective!r}"
            )
    return objective


def start_of(enclosure: Enclosure, theta: Array) -> tuple[Array, Array]:
    """Return theta as the sum of two float64 vectors (n,), the second zero.

    Raises
    ------
    TypeError, ValueError
        If it is no finite vector of n numbers.
    """
    high = np.array(float_array("theta", theta))
    if high.shape != (enclosure.n,):
        raise ValueError(f"theta must have shape ({enclosure.n},), not {high.shape}")
    return high, np.zeros_like(high)


def certify(
    objective: NetworkObjective | Enclosure, theta: Array, *, region: float = 1e-3
) -> Certificate:
    """Prove that a critical point is near theta, with its index and its loss.

    Theorem (Newton–Kantorovich in radii-polynomial form; Day, Lessard & Mischaikow 2007). Let A be
    any n × n matrix, g = ∇L, H = ∇²L, R > 0, and suppose ‖A g(θ̄)‖ ≤ Y, ‖I − A H(θ̄)‖ ≤ Z₀ < 1 and
    ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ for ‖θ − θ̄‖ ≤ R. If ½‖A‖K r² − (1 − Z₀) r + Y has a root r₋ ≤ R,
    then g has exactly one zero within r₋ of θ̄, and no other within min(R, (1 − Z₀)/(‖A‖K)). With a
    symmetric A its index is that of A: H there and A⁻¹ are joined by matrices that are invertible.
    Critical points of linear networks come in orbits; for these it is said of a slice across them.

    Parameters
    ----------
    objective : NetworkObjective or Enclosure
    theta : array (n,)
        Near a critical point: Newton corrections make it a sum of two floats.
    region : float
        R; 1e-3, chosen by us: third derivatives change little within it. It is made smaller where
        they are not bounded, as where the input of a ReLU may vanish.

    Returns
    -------
    Certificate
        ``why`` says why nothing is proven, which is no proof that there is nothing.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    start = time.perf_counter()
    enclosure = enclosure_of(objective)
    region = number("region", region, above=0.0, finite=True)
    high, low = start_of(enclosure, theta)
    across = slice_of(enclosure, high)
    if across is None:
        return _proof(objective, enclosure, high, low, region, start)
    found = _proof(across, across, high[across.free], low[across.free], region, start)
    if found.proven and not across.is_across(found.theta, found.theta_low, found.radius):
        found = _refused(found.theta, found.theta_low, arb(0), start, ALONG)
    high, low = across.whole(found.theta, found.theta_low)
    return replace(found, theta=high, theta_low=low, orbit=across.dimension)


def _proof(
    objective: NetworkObjective | Enclosure,
    enclosure: Enclosure,
    high: Array,
    low: Array,
    region: float,
    start: float,
) -> Certificate:
    """Return what is proven with the theorem."""
    high, low, value, gradient = _corrected(objective, enclosure, high, low)
    H = enclosure.hessian(high, low)
    if not (np.isfinite(H.middle).all() and np.isfinite(H.radius).all()):
        return _refused(high, low, value, start, ROUGH)
    # H is symmetric, and within ``around`` of its middle, spectrally
    middle = 0.5 * (H.middle + H.middle.T)
    off = enlarged(H.radius + np.abs(H.middle - middle) + U * np.abs(middle), 4)
    around = Balls(np.zeros_like(off), off).spectral_norm()
    eigenvalues, Q = eigh(middle)
    least, q, eye = float(np.min(np.abs(eigenvalues))), Balls.of(Q), Balls.of(np.eye(len(Q)))
    skew = (q.T @ q - eye).spectral_norm()
    if least == 0.0 or not skew < 0.5:
        return _refused(high, low, value, start, SINGULAR)
    # A = QΛ⁻¹Qᵀ is never formed: I − AH = Q(I − Λ⁻¹S)Q⁻¹ with S = QᵀHQ, and ‖Q‖² ≤ 1 + skew
    inverse_norm = _upper((1.0 + skew) / least)
    defect = (eye - (q.T @ Balls.of(middle) @ q) / Balls.of(eigenvalues[:, None])).spectral_norm()
    Z0 = _upper(defect * np.sqrt((1.0 + skew) / (1.0 - skew)) + inverse_norm * around)
    if not Z0 < 1.0:
        return _refused(high, low, value, start, SINGULAR, Z0=Z0, inverse_norm=inverse_norm)
    for _ in range(SHRINKINGS):
        K = enclosure.third(high, low, region)
        if np.isfinite(K):
            break
        region *= 0.1
    Y = _upper(inverse_norm * _norm(gradient))
    h = _upper(2.0 * inverse_norm * K * Y / (1.0 - Z0) ** 2)
    bounds = {"h": h, "Y": Y, "Z0": Z0, "inverse_norm": inverse_norm, "K": K}
    if not np.isfinite(K):
        return _refused(high, low, value, start, ROUGH, **bounds)
    # the lesser root, written so that nothing cancels; with h > 1 T does not contract there
    slope = (1.0 - Z0) * (1.0 - 1e-12)
    radius = _upper(2.0 * Y / (slope * (1.0 + np.sqrt(max(1.0 - h, 0.0)))))
    if radius > region or not _upper(Z0 + inverse_norm * K * radius) < 1.0:
        return _refused(high, low, value, start, TOO_LARGE, **bounds)
    unique = min(region, slope / (inverse_norm * K) * (1.0 - 1e-12) if K > 0.0 else region)
    margin = _upper(_norm(gradient) * radius + 0.5 * (H.spectral_norm() + K * radius) * radius**2)
    return Certificate(
        True,
        high,
        low,
        radius,
        unique,
        int(np.sum(eigenvalues < 0.0)),
        _interval(value, margin),
        seconds=time.perf_counter() - start,
        why="the Newton–Kantorovich theorem applies",
        orbit=0,
        **bounds,
    )


def _corrected(
    objective: NetworkObjective | Enclosure, enclosure: Enclosure, high: Array, low: Array
) -> tuple[Array, Array, arb, list[arb]]:
    """Return a point nearer to a critical point, with value and gradient; it need not be nearer."""
    value, gradient = enclosure.gradient(high, low)
    H = None
    for _ in range(CORRECTIONS):
        if not np.isfinite(_norm(gradient)):
            break
        if H is None and isinstance(objective, NetworkObjective):
            H = objective.linearize(high).hessian()
        elif H is None:
            H = enclosure.hessian(high, low).middle
        try:
            step = -np.linalg.solve(H, np.array([float(g.mid()) for g in gradient]))
        except np.linalg.LinAlgError:
            break
        size = np.linalg.norm(step)
        if not size > CLOSE * (1.0 + np.linalg.norm(high)):
            break
        trial = two_sum(high, low + step)
        there = enclosure.gradient(*trial)
        if not _norm(there[1]) < _norm(gradient):
            break
        (high, low), (value, gradient) = trial, there
        H = None if size > FAR else H
    return high, low, value, gradient


SINGULAR = (
    "the Hessian is singular to the precision of the arithmetic (Z₀ ≥ 1); there may or may not be "
    "a critical point"
)
ALONG = "the slice is not proven to cross the orbit of a linear network's critical point"
ROUGH = (
    "the derivatives are not bounded: they are not finite, or a ReLU's input may vanish in the "
    "region; there may or may not be a critical point"
)
TOO_LARGE = (
    "the gradient is too large for this curvature (h > 1), as at the ends in gradient-flat "
    "regions; there may or may not be a critical point"
)


def _refused(
    high: Array, low: Array, value: arb, start: float, why: str, **bounds: float
) -> Certificate:
    unknown = dict.fromkeys(("h", "Y", "Z0", "inverse_norm", "K"), np.nan)
    return Certificate(
        False,
        high,
        low,
        np.nan,
        0.0,
        None,
        _interval(value, 0.0),
        seconds=time.perf_counter() - start,
        why=why,
        orbit=0,
        **{**unknown, **bounds},
    )


def _upper(x: float) -> float:
    """Return an upper bound of what a few non-negative float operations were to give."""
    return float(enlarged(np.asarray(x), 10))


def _norm(gradient: list[arb]) -> float:
    """Return an upper bound of ‖g‖."""
    with ctx.workprec(BITS):
        total = sum((g * g for g in gradient), arb(0)).abs_upper().sqrt()
        return _upper(float(total.abs_upper()))


def _interval(value: arb, margin: float) -> tuple[float, float]:
    """Return floats that enclose a ball and a margin around it."""
    middle, radius = float(value.mid()), float(value.rad())
    # float() and the ends below may each be off by a unit in the last place
    half = _upper(2.0 * radius + margin + 4.0 * U * abs(middle))
    return float(np.nextafter(middle - half, -np.inf)), float(np.nextafter(middle + half, np.inf))
