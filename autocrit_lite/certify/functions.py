"""Enclosures of a function that is written out with its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from flint import arb, ctx

from ..arrays import Array
from ..checks import integer
from .balls import Balls, enlarged
from .enclosures import BITS

Point = Sequence[arb]
"""The n coordinates, as balls of FLINT."""


class EnclosedFunction:
    """A function of n parameters with its derivatives, written for balls.

    What is proven is proven of what these return: a constant that is no float, such as 0.1, must be
    a ball (``arb(1) / 10``), and so must be its products, which Python would round.

    Parameters
    ----------
    n : int
    value : callable
        Returns f at a point, a sequence of n balls (``flint.arb``).
    gradient : callable
        Returns its n partial derivatives there.
    second : callable
        Returns its Hessian there, n rows of n.
    third : callable
        Returns its third derivatives there, n matrices.

    Examples
    --------
    >>> from flint import arb
    >>> parabola = EnclosedFunction(
    ...     1, lambda x: x[0] * x[0] - x[0], lambda x: [2 * x[0] - 1],
    ...     lambda x: [[arb(2)]], lambda x: [[[arb(0)]]],
    ... )  # fmt: skip
    >>> float(parabola.gradient(np.array([0.5]), np.array([0.0]))[1][0])
    0.0
    """

    def __init__(
        self,
        n: int,
        value: Callable[[Point], arb],
        gradient: Callable[[Point], Sequence[arb]],
        second: Callable[[Point], Sequence[Sequence[arb]]],
        third: Callable[[Point], Sequence[Sequence[Sequence[arb]]]],
    ) -> None:
        self.n = integer("n", n, at_least=1)
        self._value, self._gradient, self._second, self._third = value, gradient, second, third

    def _point(self, high: Array, low: Array, radius: float = 0.0) -> list[arb]:
        pairs = zip(high.tolist(), low.tolist(), strict=True)
        return [arb(h) + arb(x) + arb(0, radius) for h, x in pairs]

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain value and gradient at high + low."""
        with ctx.workprec(BITS):
            point = self._point(high, low)
            return arb(self._value(point)), [arb(g) for g in self._gradient(point)]

    def hessian(self, high: Array, low: Array) -> Balls:
        """Return balls (n, n) that contain the Hessian at high + low."""
        with ctx.workprec(BITS):
            rows = self._second(self._point(high, low))
            return Balls.from_arb([arb(x) for row in rows for x in row], (self.n, self.n))

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius.

        The Frobenius norm of the third derivatives over the cube that holds the ball.
        """
        with ctx.workprec(BITS):
            matrices = self._third(self._point(high, low, radius))
            numbers = [arb(x) for rows in matrices for row in rows for x in row]
            size = Balls.from_arb(numbers, (len(numbers),)).magnitude
            return float(enlarged(np.sqrt(np.sum(size**2)), len(size) + 4))
