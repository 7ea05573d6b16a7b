"""The quartic of Frye et al. 2021, eq. 2.3: one critical point, two strict gradient-flat points.

    f(x, y) = x⁴/4 − 3x² + 9x + 0.9y⁴ + 5y² + 40

    ∂f/∂x  = x³ − 6x + 9 = (x + 3)(x² − 3x + 3)      ∂f/∂y  = 3.6y³ + 10y
    ∂²f/∂x² = 3x² − 6                                ∂²f/∂y² = 10.8y² + 10 > 0

The Hessian is diagonal, so that the two coordinates see each other only through the size of the
step. What the problem in x alone says (c = ∂f/∂x, y = 0):

- c has one real zero, x = −3. It has a local maximum 9 + 4√2 at x = −√2 and a local minimum
  9 − 4√2 > 0 at x = √2, where ∂²f/∂x² vanishes: the strict gradient-flat points. So c² has its
  global minimum at −3, a local minimum of (9 − 4√2)² ≈ 11.18 at √2 ("near 10", Fig. 2B), and a
  local maximum at −√2, which is a saddle of ‖∇f‖² in the plane.
- Newton's flow x' = −c/∂²f/∂x² goes to −3 from every x < −√2, and from every x > −√2 it reaches √2
  in finite time and stops there: there c' = −c, so that c falls as exp(−t) until it is 9 − 4√2.
- The points with c² below the value at √2 are an interval about −3 that ends at −2√2, since
  c − (9 − 4√2) = (x − √2)²(x + 2√2). A run that the merit function lets go no higher ends at −3
  once it has been in there, and only a step that lands in there takes a run away from √2.
- Near √2, with e = x − √2 and c ≈ c₀ + 3√2 e², a step α takes e to (1 − s)e with s = α c₀/(6√2 e²),
  and Newton-MR's test accepts it for s ≤ 2(1 − ρ): α shrinks like e². Halving α from above gives an
  s in (1 − ρ, 2(1 − ρ)], so that for ρ = 0.1 a run goes to √2 linearly, |1 − s| ≤ 0.8, often from
  alternate sides (§2.3: "oscillate in the vicinity", "converge more slowly").
- Before it comes to that α, the halving tries longer steps. With e > 0 these lead left, and one of
  them lands in the interval about −3 whenever a halving falls between the distances of its ends
  from √2: about one iterate in ten, log₂((√2 + 3.149) / (3√2)). So runs with x₀ > −√2 reach the
  critical point after all (§2.3), the more of them the longer they linger and the longer the
  first step that each iteration tries.
"""

from __future__ import annotations

from math import sqrt

from ..arrays import Array, array_namespace
from ..checks import theta_array
from .diagonal import DiagonalLinearization

CRITICAL_POINT = (-3.0, 0.0)
"""The only critical point, the minimum of f."""

FLAT_MINIMUM = (sqrt(2.0), 0.0)
"""The strict gradient-flat point that is a local minimum of ‖∇f‖²."""

FLAT_SADDLE = (-sqrt(2.0), 0.0)
"""The strict gradient-flat point that is a saddle of ‖∇f‖²."""

FLAT_SQUARED_GRADIENT_NORM = (9.0 - 4.0 * sqrt(2.0)) ** 2
"""‖∇f‖² at ``FLAT_MINIMUM``."""


def quartic(theta: Array) -> Array:
    """Return f, shape (...), at theta (..., 2); autograd differentiates it.

    Examples
    --------
    >>> import numpy as np
    >>> float(quartic(np.array([-3.0, 0.0])))
    6.25
    """
    x, y = theta[..., 0], theta[..., 1]
    return x**4 / 4.0 - 3.0 * x**2 + 9.0 * x + 0.9 * y**4 + 5.0 * y**2 + 40.0


class Quartic:
    """The quartic as an objective with closed-form derivatives, of any array module.

    Examples
    --------
    >>> import numpy as np
    >>> Quartic().linearize(np.array(FLAT_MINIMUM)).hessian().round(12).tolist()
    [[0.0, 0.0], [0.0, 10.0]]
    """

    hessian_cost = 1.0  # the Hessian is diagonal: one product with a vector of ones shows all of it

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return f, shape (...), and its gradient, shape (..., 2), at theta (..., 2).

        Raises
        ------
        TypeError, ValueError
            If theta is not float64, or of a shape other than (2,) and (B, 2).
        """
        theta = theta_array(theta, 2)
        xp = array_namespace(theta)
        x, y = theta[..., 0], theta[..., 1]
        gradient = xp.stack((x**3 - 6.0 * x + 9.0, 3.6 * y**3 + 10.0 * y), axis=-1)
        return quartic(theta), gradient

    def linearize(self, theta: Array) -> DiagonalLinearization:
        """Return f at theta (..., 2) with its derivatives."""
        value, gradient = self.value_and_gradient(theta)
        xp = array_namespace(gradient)
        x, y = theta[..., 0], theta[..., 1]
        diagonal = xp.stack((3.0 * x**2 - 6.0, 10.8 * y**2 + 10.0), axis=-1)
        return DiagonalLinearization(value, gradient, diagonal)
