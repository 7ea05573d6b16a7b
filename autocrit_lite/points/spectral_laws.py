"""The two limit laws that spectra of Hessians are compared with: Wigner's, Marchenko and Pastur's.

Each is fitted by its first two moments and judged by the Kolmogorov–Smirnov distance, which lies
between 0 and 1 and does not depend on the scale of the eigenvalues. The eigenvalues of one matrix
repel each other, so that the distance is far below what independent draws from the law would give:
no p-value of the usual test applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Protocol

import numpy as np

from ..arrays import Array
from ..checks import float_array, number


class Law(Protocol):
    """A distribution on the line."""

    @property
    def atom(self) -> float:
        """The probability of exactly 0."""

    def density(self, x: Array) -> Array:
        """Return the density of the continuous part, shape (...), at x (...)."""

    def cdf(self, x: Array) -> Array:
        """Return the probability of values up to and including x, shape (...)."""


@dataclass(frozen=True)
class Semicircle:
    """Wigner's semicircle: the limit for symmetric matrices of independent elements.

    The density at x is 2√(R² − (x − c)²) / (πR²), with variance R²/4.

    Parameters
    ----------
    centre : float
        c; 0 in Wigner's theorem (Sankar & Balasubramanian 2018, Theorem 1).
    radius : float
        R, above 0.

    References
    ----------
    E. P. Wigner, On the distribution of the roots of certain symmetric matrices, Annals of
    Mathematics 67, 325-327, 1958.

    Examples
    --------
    >>> float(Semicircle(centre=1.0, radius=2.0).cdf(1.0))
    0.5
    """

    centre: float
    radius: float
    atom = 0.0

    def __post_init__(self) -> None:
        number("centre", self.centre)
        number("radius", self.radius, above=0.0)

    @classmethod
    def fit(cls, eigenvalues: Array) -> Semicircle:
        """Return the law with the mean and variance of the eigenvalues (n,)."""
        mean, variance = _moments(eigenvalues)
        return cls(centre=mean, radius=2.0 * sqrt(variance))

    def density(self, x: Array) -> Array:
        """Return the density, shape (...), at x (...)."""
        u = self._scaled(x)
        return 2.0 * np.sqrt(1.0 - u**2) / (pi * self.radius)

    def cdf(self, x: Array) -> Array:
        """Return the probability of values up to and including x, shape (...)."""
        u = self._scaled(x)
        return 0.5 + (u * np.sqrt(1.0 - u**2) + np.arcsin(u)) / pi

    def _scaled(self, x: Array) -> Array:
        x = float_array("x", x, finite=False)
        return np.clip((x - self.centre) / self.radius, -1.0, 1.0)


@dataclass(frozen=True)
class MarchenkoPastur:
    """Marchenko and Pastur's law: the limit for covariance matrices XXᵀ/m, X (n, m).

    With s the variance of X's elements and c = n/m, the mean is s, the variance cs², and the
    support [s(1 − √c)², s(1 + √c)²]; for c > 1 a share of 1 − 1/c is exactly zero, besides.

    Parameters
    ----------
    scale : float
        s, above 0.
    ratio : float
        c, above 0.

    References
    ----------
    V. A. Marchenko and L. A. Pastur, Distribution of eigenvalues for some sets of random matrices,
    Mathematics of the USSR-Sbornik 1(4), 457-483, 1967.
    """

    scale: float
    ratio: float

    def __post_init__(self) -> None:
        number("scale", self.scale, above=0.0)
        number("ratio", self.ratio, above=0.0)

    @classmethod
    def fit(cls, eigenvalues: Array) -> MarchenkoPastur:
        """Return the law with the mean and variance of the eigenvalues (n,).

        Raises
        ------
        ValueError
            If their mean is not above 0.
        """
        mean, variance = _moments(eigenvalues)
        if mean <= 0.0:
            raise ValueError(f"eigenvalues must have a mean above 0 for this law, not {mean:g}")
        return cls(scale=mean, ratio=variance / mean**2)

    @property
    def atom(self) -> float:
        """The probability of exactly 0."""
        return max(0.0, 1.0 - 1.0 / self.ratio)

    def density(self, x: Array) -> Array:
        """Return the density of the continuous part, shape (...), at x (...)."""
        c, u = self.ratio, float_array("x", x, finite=False) / self.scale
        inside = (u - (1.0 - sqrt(c)) ** 2) * ((1.0 + sqrt(c)) ** 2 - u)
        positive = (inside > 0.0) & (u > 0.0)
        root = np.sqrt(np.where(positive, inside, 0.0))
        return root / (2.0 * pi * c * self.scale * np.where(positive, u, 1.0))

    def cdf(self, x: Array) -> Array:
        """Return the probability of values up to and including x, shape (...).

        With x/s = 1 + c − 2√c·cos φ the density times dx is, up to a constant,
        sin²φ dφ / (1 + c − 2√c·cos φ), whose integral is elementary.
        """
        c, u = self.ratio, float_array("x", x, finite=False) / self.scale
        root = sqrt(c)
        phi = np.arccos(np.clip((1.0 + c - u) / (2.0 * root), -1.0, 1.0))
        half = np.arctan2((1.0 + root) * np.sin(phi / 2), abs(1.0 - root) * np.cos(phi / 2))
        area = 2.0 * root * np.sin(phi) + (1.0 + c) * phi - 2.0 * abs(1.0 - c) * half
        return area / (2.0 * pi * c) + np.where(u >= 0.0, self.atom, 0.0)


def kolmogorov_smirnov(eigenvalues: Array, law: Law) -> float:
    """Return the largest difference between the eigenvalues' distribution function and the law's.

    Parameters
    ----------
    eigenvalues : array (n,)
    law : Semicircle or MarchenkoPastur

    Raises
    ------
    TypeError, ValueError
        If the eigenvalues are not a vector of finite float64 numbers.
    """
    eigenvalues = np.sort(float_array("eigenvalues", eigenvalues, "n"))
    # both functions jump at most here, so the supremum is at or just below one of these
    at = np.append(eigenvalues, 0.0)
    upto = np.searchsorted(eigenvalues, at, side="right") / len(eigenvalues)
    below = np.searchsorted(eigenvalues, at, side="left") / len(eigenvalues)
    cdf = law.cdf(at)
    cdf_below = cdf - np.where(at == 0.0, law.atom, 0.0)
    return float(np.max(np.maximum(np.abs(cdf - upto), np.abs(cdf_below - below))))


def _moments(eigenvalues: Array) -> tuple[float, float]:
    """Return the mean and the variance, which is above 0."""
    eigenvalues = float_array("eigenvalues", eigenvalues, "n")
    mean, variance = float(np.mean(eigenvalues)), float(np.var(eigenvalues))
    if variance == 0.0:
        raise ValueError("eigenvalues must not all be equal")
    return mean, variance
