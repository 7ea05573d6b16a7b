"""Cooper 2020 (arXiv 2005.04210), §3.2: x³ + y³, whose degenerate saddle attracts a quadrant.

Gradient flow solves x' = −3x², so that x(t) = x₀/(1 + 3x₀t): from x₀ > 0 it reaches 0 as 1/(3t),
from x₀ < 0 it leaves for −∞ in the time 1/(3|x₀|). The points that flow to the origin are those
with x ≥ 0 and y ≥ 0. Gradient descent with rate η keeps the sign of a coordinate below 1/(3η).
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..checks import theta_array
from .diagonal import DiagonalLinearization


class Cubic:
    """f(x, y) = x³ + y³ as an objective.

    Examples
    --------
    >>> value, gradient = Cubic().value_and_gradient(np.array([[1.0, 2.0], [0.0, 0.0]]))
    >>> value.tolist(), gradient.tolist()
    ([9.0, 0.0], [[3.0, 12.0], [0.0, 0.0]])
    """

    hessian_cost = 1.0  # the Hessian is diagonal

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return f, shape (...), and its gradient, shape (..., 2), at theta (..., 2)."""
        theta = theta_array(theta, 2)
        return np.sum(theta**3, axis=-1), 3.0 * theta**2

    def linearize(self, theta: Array) -> DiagonalLinearization:
        """Return f at theta (..., 2) with its derivatives."""
        value, gradient = self.value_and_gradient(theta)
        return DiagonalLinearization(value, gradient, 6.0 * theta)
