"""Arrays of balls: a float64 midpoint with a radius that no rounding escapes.

Assumed are IEEE double precision, correctly rounded addition, multiplication, division and square
root, and a matrix product that sums products in any order, fused or not, but not by Strassen's
method. Every radius is itself computed in float64, and enlarged by a bound on what rounding took
from it: non-negative sums and products of m steps are too small by a factor of at most 1 − m·u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from ..arrays import Array

U = 2.0**-53
"""The unit roundoff."""

TINY = 2.0**-1022
"""More than what underflow can take from a product, by far."""


def enlarged(radius: Array, steps: int) -> Array:
    """Return a non-negative float64 result of so many roundings, made an upper bound."""
    return radius * (1.0 + 4.0 * (steps + 4) * U) + steps * TINY


def length(x: Array, axis: int) -> Array:
    """Return upper bounds of √Σx² along an axis, which is kept with length 1."""
    squares = np.sum(x * x, axis=axis, keepdims=True)
    return enlarged(np.sqrt(squares), x.shape[axis] + 4) + 1e-150  # for squares that underflow


@dataclass(frozen=True)
class Balls:
    """The sets of numbers within ``radius`` of ``middle``, entry by entry.

    Parameters
    ----------
    middle, radius : array of float64
        Of one shape; the radius is not negative.

    Examples
    --------
    >>> third = Balls.of(np.array([1.0])) / Balls.of(np.array([3.0]))
    >>> bool(third.radius[0] > 0.0), bool(third.radius[0] < 1e-15)
    (True, True)
    """

    middle: Array
    radius: Array

    __array_ufunc__ = None  # NumPy's operators leave balls to these

    @classmethod
    def of(cls, exact: Array) -> Balls:
        """Return an array of exact numbers."""
        return cls(np.asarray(exact, dtype=float), np.zeros(np.shape(exact)))

    @classmethod
    def from_arb(cls, numbers: Sequence[arb], shape: tuple[int, ...]) -> Balls:
        """Return float64 balls that contain the balls of FLINT."""
        middle = np.array([float(x.mid()) for x in numbers]).reshape(shape)
        radius = np.array([float(x.rad()) for x in numbers]).reshape(shape)
        # float() rounds the midpoint, by at most one unit in the last place; a radius has 30 bits
        return cls(middle, enlarged(radius + 2.0 * U * np.abs(middle), 2))

    @property
    def magnitude(self) -> Array:
        """An upper bound of the absolute values."""
        return enlarged(np.abs(self.middle) + self.radius, 1)

    @property
    def least(self) -> Array:
        """A lower bound of the absolute values; not above 0 where zero is in a ball."""
        return np.abs(self.middle) * (1.0 - 4.0 * U) - self.radius

    @property
    def T(self) -> Balls:
        """With the last two axes exchanged."""
        return Balls(np.swapaxes(self.middle, -1, -2), np.swapaxes(self.radius, -1, -2))

    def __getitem__(self, where: Any) -> Balls:
        return Balls(self.middle[where], self.radius[where])

    def reshape(self, *shape: int) -> Balls:
        """Return the balls in another shape."""
        return Balls(self.middle.reshape(shape), self.radius.reshape(shape))

    def __neg__(self) -> Balls:
        return Balls(-self.middle, self.radius)

    def __add__(self, other: Balls | float) -> Balls:
        b = _balls(other)
        middle = self.middle + b.middle
        return Balls(middle, enlarged(self.radius + b.radius + U * np.abs(middle), 3))

    __radd__ = __add__

    def __sub__(self, other: Balls | float) -> Balls:
        return self + (-_balls(other))

    def __rsub__(self, other: float) -> Balls:
        return _balls(other) - self

    def __mul__(self, other: Balls | float) -> Balls:
        b = _balls(other)
        middle = self.middle * b.middle
        radius = np.abs(self.middle) * b.radius + self.radius * (np.abs(b.middle) + b.radius)
        return Balls(middle, enlarged(radius + U * np.abs(middle), 6))

    __rmul__ = __mul__

    def __truediv__(self, other: Balls | float) -> Balls:
        """Return quotients; infinite radii where the divisor may be zero."""
        b = _balls(other)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            middle = self.middle / b.middle
            least = b.least
            # |a/b − m| ≤ (r_a + |m| r_b) / (|b| − r_b), and m itself is rounded
            radius = (self.radius + (1.0 + 2.0 * U) * np.abs(middle) * b.radius) / least
            radius = enlarged(radius + 2.0 * U * np.abs(middle), 8)
            radius = np.where(least > 0.0, radius, np.inf)
        return Balls(np.where(least > 0.0, middle, 0.0), radius)

    def __matmul__(self, other: Balls) -> Balls:
        """Return matrix products (..., m, k) @ (..., k, n).

        The floating-point product of the midpoints is within γ|A||B| of the exact one, with
        γ = (k + 2)u / (1 − (k + 2)u) (Rump 2010, section 2).
        """
        k = self.middle.shape[-1]
        gamma = (k + 2) * U / (1.0 - (k + 2) * U) * (1.0 + 4.0 * U)
        left, right = np.abs(self.middle), np.abs(other.middle)
        # γ|A||B| + |A|r_B + r_A(|B| + r_B), in one product where either factor is exact
        if not other.radius.any():
            radius = enlarged(gamma * left + self.radius, 3) @ right
        else:
            radius = left @ enlarged(gamma * right + other.radius, 3)
            if self.radius.any():
                radius = radius + self.radius @ enlarged(right + other.radius, 1)
        return Balls(self.middle @ other.middle, enlarged(radius, k + 4))

    def sum(self, axis: int = 0) -> Balls:
        """Return sums along an axis."""
        count = self.middle.shape[axis]
        gamma = (count + 2) * U / (1.0 - (count + 2) * U) * (1.0 + 4.0 * U)
        radius = np.sum(gamma * np.abs(self.middle) + self.radius, axis=axis)
        return Balls(np.sum(self.middle, axis=axis), enlarged(radius, count + 4))

    def spectral_norm(self) -> float:
        """Return an upper bound of ‖M‖₂ over all matrices in the balls (m, n).

        The lesser of √(‖M‖₁‖M‖_∞) and the Frobenius norm.
        """
        size = self.magnitude
        steps = sum(size.shape)
        columns, rows = np.max(np.sum(size, axis=0)), np.max(np.sum(size, axis=1))
        bound = min(np.sqrt(columns * rows), np.sqrt(np.sum(size**2)))
        return float(enlarged(bound, size.size + steps))


@dataclass(frozen=True)
class Stack:
    """Matrices, one for each sample, with one radius for all entries of a column.

    So that the radii of products cost little beside the products.

    Parameters
    ----------
    middle : array (N, p, q)
    radius : array (N, q)
    """

    middle: Array
    radius: Array

    @classmethod
    def of(cls, x: Balls) -> Stack:
        """Return balls (N, p, q) with the largest radius of each column."""
        return cls(x.middle, np.max(x.radius, axis=1))

    @classmethod
    def diagonal(cls, x: Balls) -> Stack:
        """Return matrices with x (N, q) on the diagonal."""
        return cls(np.eye(x.middle.shape[1]) * x.middle[:, None, :], x.radius)

    @property
    def T(self) -> Stack:
        """The transposed matrices."""
        N, p, _ = self.middle.shape
        largest = np.max(self.radius, axis=1, keepdims=True)
        return Stack(np.swapaxes(self.middle, -1, -2), np.broadcast_to(largest, (N, p)))

    @property
    def size(self) -> Array:
        """The largest |entry| of each column's middles, (N, q)."""
        return np.max(np.abs(self.middle), axis=1)

    def __add__(self, other: Stack) -> Stack:
        whole = Stack(self.middle + other.middle, self.radius + other.radius)
        return Stack(whole.middle, enlarged(whole.radius + U * whole.size, 3))

    def __matmul__(self, M: Balls) -> Stack:
        """Return the products with one matrix M (q, r)."""
        N, p, q = self.middle.shape
        gamma = (q + 2) * U / (1.0 - (q + 2) * U) * (1.0 + 4.0 * U)
        size = self.size
        radius = (gamma * size + self.radius) @ M.magnitude + size @ M.radius
        middle = (self.middle.reshape(N * p, q) @ M.middle).reshape(N, p, -1)
        return Stack(middle, enlarged(radius, q + 8))

    def scaled(self, d: Balls) -> Stack:
        """Return the matrices with their columns multiplied by d (N, q)."""
        radius = self.radius * d.magnitude + self.size * (d.radius + U * np.abs(d.middle))
        return Stack(self.middle * d.middle[:, None, :], enlarged(radius, 6))

    def outer(self, y: Balls, z: Balls) -> Balls:
        """Return Σᵢ x[i, p, q] y[i, j] z[i, r] over samples i, as a matrix (pq, jr)."""
        N = len(self.middle)
        gamma = (N + 2) * U / (1.0 - (N + 2) * U) * (1.0 + 4.0 * U)
        (ty, ry), (tz, rz) = ((_largest(np.abs(x.middle)), _largest(x.radius)) for x in (y, z))
        X = self.middle.reshape(N, -1)
        pairs = (y.middle[:, :, None] * z.middle[:, None, :]).reshape(N, -1)
        around = enlarged(ty * rz + ry * (tz + rz) + U * ty * tz, 6)
        rows, columns = length(X, axis=0).T, length(pairs, axis=0)
        error = np.tile(length(self.radius, axis=0).T, (self.middle.shape[1], 1))
        own = float(length(around, axis=0)[0])
        radius = rows * (gamma * columns + own) + error * (columns + own)
        return Balls(X.T @ pairs, enlarged(radius, 8))

    def norms(self) -> Array:
        """Return upper bounds of the spectral norms, (N,): a little more than they are.

        ‖M‖₂² = λ(MMᵀ) is at most ‖(MMᵀ)⁸‖_F^⅛; each square is scaled to norm 1.
        """
        M, MT = self.middle, np.ascontiguousarray(np.swapaxes(self.middle, -1, -2))
        S = M @ MT if M.shape[-2] <= M.shape[-1] else MT @ M
        bound, power = np.ones(len(S)), 1.0
        for remaining in range(3, -1, -1):
            size = np.sqrt(np.einsum("npq,npq->n", S, S))
            bound, power = bound * size**power, power / 2.0
            if remaining:
                S = S / np.where(size > 0.0, size, 1.0)[:, None, None]
                S = S @ S
        around = np.sqrt(M.shape[-2] * np.sum(self.radius**2, axis=1))
        return (np.sqrt(bound) + around) * (1.0 + 1e-9) + 1e-150  # for squares that underflow


def _largest(x: Array) -> Array:
    """Return the largest entry of each sample, (N,)."""
    return np.max(x.reshape(len(x), -1), axis=1)


def _balls(x: Balls | float) -> Balls:
    return x if isinstance(x, Balls) else Balls(np.asarray(x, dtype=float), np.zeros(np.shape(x)))
