"""Arrays of balls whose middles are sums of two floats: about 106 bits, at the speed of NumPy.

Sums, products and quotients are those of Joldes, Muller & Popescu 2017 (Tight and rigorous error
bounds for basic building blocks of double-word arithmetic, ACM TOMS 44(2)), whose relative errors
they prove: 3u² + 13u³ for a sum (Algorithm 6), 7u² for a product (10), 15u² + 56u³ for a quotient
(17), with u = 2⁻⁵³; taken here for 4, 8 and 16. A matrix product cuts its factors into integers so
small that BLAS multiplies them without rounding (Ozaki et al. 2012, Numer. Algorithms 59).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from flint import arb, ctx

from ..arrays import Array
from .balls import Balls, U, enlarged, length

SPLITTER = 2.0**27 + 1.0
LIMBS = 6
"""Integers that a number is cut into for a matrix product; of 19 bits and more, 114 in all."""

STEPS = 64
"""exp is tabulated at multiples of 1/64, so that ten terms of its series and two are enough."""

LOWEST = -600.0
"""Below it exp is 0 ± 1e-260."""


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return fl(a + b) and what rounding took from it, exactly (Knuth 1969)."""
    whole = a + b
    part = whole - a
    return whole, (a - (whole - part)) + (b - part)


def fast_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the same where |a| ≥ |b| or a = 0 (Dekker 1971)."""
    whole = a + b
    return whole, b - (whole - a)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return fl(ab) and what rounding took from it, exactly but for underflow (Dekker 1971)."""
    whole = a * b
    wide = SPLITTER * a
    a1 = wide - (wide - a)
    wide = SPLITTER * b
    b1 = wide - (wide - b)
    a2, b2 = a - a1, b - b1
    return whole, ((a1 * b1 - whole) + a1 * b2 + a2 * b1) + a2 * b2


def _sum(xh: Array, xl: Array, yh: Array, yl: Array) -> tuple[Array, Array]:
    """Return the sum of two pairs (Joldes et al. 2017, Algorithm 6)."""
    sh, sl = two_sum(xh, yh)
    th, tl = two_sum(xl, yl)
    vh, vl = fast_two_sum(sh, sl + th)
    return fast_two_sum(vh, tl + vl)


def _product(xh: Array, xl: Array, yh: Array, yl: Array) -> tuple[Array, Array]:
    """Return the product of two pairs (Joldes et al. 2017, Algorithm 10)."""
    high, low = two_product(xh, yh)
    return fast_two_sum(high, low + (xh * yl + xl * yh))


def _quotient(xh: Array, xl: Array, yh: Array, yl: Array) -> tuple[Array, Array]:
    """Return the quotient of two pairs (Joldes et al. 2017, Algorithm 17)."""
    first = xh / yh
    ch, cl = two_product(yh, first)  # y times first: Algorithm 7
    th, tl = fast_two_sum(ch, yl * first)
    rh, rl = fast_two_sum(th, tl + cl)
    return fast_two_sum(first, ((xh - rh) + (xl - rl)) / yh)


@dataclass(frozen=True)
class Pairs:
    """The sets of numbers within ``radius`` of ``high + low``, entry by entry.

    Parameters
    ----------
    high, low, radius : array of float64
        Of one shape; high is high + low rounded, and the radius is not negative.

    Examples
    --------
    >>> third = Pairs.of(np.array([1.0])) / Pairs.of(np.array([3.0]))
    >>> bool(third.radius[0] < 1e-31)
    True
    """

    high: Array
    low: Array
    radius: Array

    __array_ufunc__ = None  # NumPy's operators leave balls to these

    @classmethod
    def of(cls, exact: Array) -> Pairs:
        """Return an array of exact numbers."""
        high = np.asarray(exact, dtype=float)
        return cls(high, np.zeros_like(high), np.zeros_like(high))

    @property
    def balls(self) -> Balls:
        """Balls of float64 around these."""
        return Balls(self.high, enlarged(self.radius + np.abs(self.low), 1))

    @property
    def T(self) -> Pairs:
        """The transposed matrix."""
        return Pairs(self.high.T, self.low.T, self.radius.T)

    def __getitem__(self, where: Any) -> Pairs:
        return Pairs(self.high[where], self.low[where], self.radius[where])

    def numbers(self) -> list[arb]:
        """Return the balls as FLINT's, in C order, at the precision that is set there."""
        parts = (x.ravel().tolist() for x in (self.high, self.low, self.radius))
        return [arb(h, r) + arb(x) for h, x, r in zip(*parts, strict=True)]

    def __neg__(self) -> Pairs:
        return Pairs(-self.high, -self.low, self.radius)

    def __add__(self, other: Pairs | float) -> Pairs:
        y = _pairs(other)
        high, low = _sum(self.high, self.low, y.high, y.low)
        radius = self.radius + y.radius + 4.0 * U**2 * np.abs(high)
        return Pairs(high, low, enlarged(radius, 4))

    __radd__ = __add__

    def __sub__(self, other: Pairs | float) -> Pairs:
        return self + (-_pairs(other))

    def __rsub__(self, other: float) -> Pairs:
        return _pairs(other) - self

    def __mul__(self, other: Pairs | float) -> Pairs:
        y = _pairs(other)
        high, low = _product(self.high, self.low, y.high, y.low)
        size = np.abs(self.high) * (1.0 + U)
        radius = size * y.radius + self.radius * (np.abs(y.high) * (1.0 + U) + y.radius)
        return Pairs(high, low, enlarged(radius + 8.0 * U**2 * np.abs(high), 8))

    __rmul__ = __mul__

    def __truediv__(self, other: Pairs | float) -> Pairs:
        """Return quotients; infinite radii where the divisor may be zero."""
        y = _pairs(other)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            high, low = _quotient(self.high, self.low, y.high, y.low)
            least = np.abs(y.high) * (1.0 - 4.0 * U) - y.radius
            radius = (self.radius + np.abs(high) * (1.0 + 4.0 * U) * y.radius) / least
            radius = enlarged(radius + 16.0 * U**2 * np.abs(high), 8)
        possible = least > 0.0
        high, low = (np.where(possible, x, 0.0) for x in (high, low))
        return Pairs(high, low, np.where(possible, radius, np.inf))

    def __rtruediv__(self, other: float) -> Pairs:
        return _pairs(other) / self

    def __matmul__(self, other: Pairs) -> Pairs:
        """Return the matrix product (m, k) @ (k, n).

        With rows s·Σ 2^(−bi) Xᵢ and columns t·Σ 2^(−bi) Yᵢ, of integers of at most b bits, the
        product is st·Σ 2^(−b(i + j)) XᵢYⱼ. All XᵢYⱼ with one i + j are one product of integers
        below 2⁵³, which is exact. Those with i + j > LIMBS + 1 are left out.
        """
        k = self.high.shape[1]
        bits = (52 - int(np.ceil(np.log2(LIMBS * k)))) // 2
        s, X = _limbs(self.high, self.low, bits, axis=1)
        t, Y = _limbs(other.high, other.low, bits, axis=0)
        high = low = np.zeros((1, 1))
        for order in range(LIMBS + 1, 1, -1):
            i = range(1, order)
            left = np.concatenate([X[p - 1] for p in i], axis=1)
            right = np.concatenate([Y[order - p - 1] for p in i], axis=0)
            high, more = two_sum((left @ right) * 2.0 ** (-bits * order), high)
            high, low = fast_two_sum(high, low + more)
        # left out: five products with i + j = LIMBS + 2, each at most k 2^(−b LIMBS), smaller ones,
        # and what is no integer, twice as much at most; five sums of a pair and a float, each off
        # by 2u² of less than 2k (Algorithm 4)
        error = k * (32.0 * 2.0 ** (-bits * LIMBS) + 20.0 * U**2)
        lengths = [length(x, axis=1) for x in (self.high, self.radius)]
        widths = [length(x, axis=0) for x in (other.high, other.radius)]
        # Σ |x| r_y + r_x (|y| + r_y), each sum at most the product of its factors' lengths
        radius = lengths[0] * widths[1] + lengths[1] * (widths[0] + widths[1])
        radius = radius * (1.0 + 4.0 * U) + (s * t) * error
        return Pairs(high * s * t, low * s * t, enlarged(radius, 2 * k + 16))

    def sum(self, axis: int) -> Pairs:
        """Return sums along an axis."""
        parts = (np.moveaxis(x, axis, 0) for x in self._parts())
        return reduce(Pairs.__add__, (Pairs(*x) for x in zip(*parts, strict=True)))

    def _parts(self) -> tuple[Array, Array, Array]:
        return self.high, self.low, self.radius

    def exp(self) -> Pairs:
        """Return e^x of numbers that are not positive but for their radii.

        x = r − j/64 with |r| ≤ 1/128: from a table and twelve terms of the series, of which six in
        pairs. The rest of the series is below 2⁻¹²³, and what rounding makes of the six in floats
        below 2⁻¹¹⁰; the last of the sums and products of pairs dominate, with 3u², 7u² and, for the
        table, u²; those before them are a hundredth of that. 32u² is taken.
        """
        deep, positive = self.high < LOWEST, ~(self.high <= 1.0 / STEPS)
        xh = np.where(deep | positive, 0.0, self.high)
        steps = np.rint(-STEPS * xh)
        rh, rl = two_sum(xh + steps / STEPS, np.where(deep | positive, 0.0, self.low))
        series = np.full_like(rh, COEFFICIENTS[-1][0])
        for c, _ in COEFFICIENTS[-2:6:-1]:
            series = series * rh + c
        high, low = series, np.zeros_like(series)
        for c, more in COEFFICIENTS[6::-1]:
            high, low = _sum(*_product(high, low, rh, rl), np.array(c), np.array(more))
        table = exponentials(int(2 ** np.ceil(np.log2(1.0 + np.max(steps, initial=1.0)))))
        there = steps.astype(np.int64)
        high, low = _product(high, low, table[0][there], table[1][there])
        with np.errstate(over="ignore", invalid="ignore"):
            # e^(x + ρ) − e^x ≤ e^x (ρ + ρ²) for ρ ≤ 1
            spread = np.where(self.radius <= 1.0, self.radius * (1.0 + self.radius), np.inf)
            radius = enlarged(np.abs(high) * (1.0 + U) * (spread + 32.0 * U**2), 8)
        radius = np.where(deep, np.where(self.radius <= 1.0, 1e-260, np.inf), radius)
        radius = np.where(positive, np.inf, radius)
        return Pairs(np.where(deep, 0.0, high), np.where(deep, 0.0, low), radius)

    def folded(self) -> tuple[Array, Pairs]:
        """Return whether the middles are negative, and the numbers with these signs removed."""
        negative = self.high < 0.0
        sign = np.where(negative, -1.0, 1.0)
        return negative, Pairs(self.high * sign, self.low * sign, self.radius)

    def sigmoid(self) -> Pairs:
        """Return 1/(1 + e^−x)."""
        negative, size = self.folded()
        above = 1.0 / (1.0 + (-size).exp())
        return where(negative, 1.0 - above, above)

    def step(self) -> Pairs:
        """Return 1 where x > 0 and 0 where x < 0, with an infinite radius where it may be 0."""
        return Pairs(
            np.where(self.high > 0.0, 1.0, 0.0),
            np.zeros_like(self.high),
            np.where(self.balls.least > 0.0, 0.0, np.inf),
        )

    def tanh(self) -> Pairs:
        """Return tanh x."""
        negative, size = self.folded()
        e = (-(size * 2.0)).exp()
        t = (1.0 - e) / (1.0 + e)
        return where(negative, -t, t)


def where(condition: Array, x: Pairs, y: Pairs) -> Pairs:
    """Return x where a condition holds, y elsewhere."""
    return Pairs(*(np.where(condition, a, b) for a, b in zip(x._parts(), y._parts(), strict=True)))


def joined(x: Pairs, y: Pairs) -> Pairs:
    """Return two matrices side by side."""
    return Pairs(*(np.concatenate(z, axis=1) for z in zip(x._parts(), y._parts(), strict=True)))


def dot(x: Pairs, y: Pairs) -> arb:
    """Return Σxy of arrays as a ball of FLINT."""
    row, column = (Pairs(*(z.reshape(shape) for z in part._parts()))
                   for part, shape in ((x, (1, -1)), (y, (-1, 1))))  # fmt: skip
    return (row @ column).numbers()[0]


def _pairs(x: Pairs | float) -> Pairs:
    return x if isinstance(x, Pairs) else Pairs.of(np.asarray(x))


def _limbs(high: Array, low: Array, bits: int, axis: int) -> tuple[Array, list[Array]]:
    """Return s and integers Xᵢ with |x − s Σ 2^(−b i) Xᵢ| ≤ s 2^(−b LIMBS) for each row or column.

    s is a power of two, at least all |x| of its row: |X₁| ≤ 2^b, and |Xᵢ| ≤ 2^(b − 1) + 1 of the
    others, which hold what rounding to the nearest integer left.
    """
    largest = np.max(np.abs(high), axis=axis, keepdims=True)
    _, exponent = np.frexp(largest)
    s = np.ldexp(1.0, exponent)
    high, low, base = high / s, low / s, 2.0**bits
    found = []
    for _ in range(LIMBS):
        high = high * base
        whole = np.rint(high)
        found.append(whole)
        high, low = two_sum(high - whole, low * base)
    return s, found


def _pair(x: arb) -> tuple[float, float]:
    """Return the nearest float, and the one nearest to what it leaves."""
    high = float(x.mid())
    return high, float((x - high).mid())


@lru_cache(maxsize=4)
def exponentials(count: int) -> tuple[Array, Array]:
    """Return e^(−j/64) for j < count as pairs, off by u² of their size at most."""
    with ctx.workprec(200):
        high, low = zip(*(_pair((-arb(j) / STEPS).exp()) for j in range(count)), strict=True)
    return np.array(high), np.array(low)


with ctx.workprec(200):
    COEFFICIENTS = [_pair(1 / arb(k).fac()) for k in range(13)]
    """1/k! as pairs."""
