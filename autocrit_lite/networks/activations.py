"""The activations with their first and second derivatives, for any array library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import autograd.numpy as anp
import numpy as np

from ..arrays import Array

Derivatives = tuple[Array, Array, Array | None]
"""σ(z), σ'(z), and σ''(z) if it was asked for."""


@dataclass(frozen=True)
class Activation:
    """An activation σ. Calling it with z returns σ(z), in words that autograd differentiates.

    Attributes
    ----------
    function : callable
        Returns σ(z), given z and the functions of its library: NumPy, autograd.numpy or another.
    derivatives : callable
        Returns σ(z), σ'(z) and σ''(z) in closed form, given z, its library, and whether σ'' is
        wanted: None takes its place if not. It may overwrite z, which costs less than a new array.
    """

    function: Callable[[Array, ModuleType], Array]
    derivatives: Callable[[Array, ModuleType, bool], Derivatives]

    def __call__(self, z: Array) -> Array:
        """Return σ(z)."""
        return self.function(z, anp)


def _sigmoid(z: Array, xp: ModuleType) -> Array:
    # tanh neither overflows nor loses digits, unlike 1 / (1 + exp(-z)) under autograd
    return 0.5 * (1.0 + xp.tanh(0.5 * z))


def _fast_sigmoid(z: Array, xp: ModuleType) -> Array:
    # where exp(−z) overflows, the quotient is the 0 that it should be
    s = -z
    s = np.exp(s, out=s) if xp is np else xp.exp(s)
    s += 1.0
    return 1.0 / s


def _softplus(z: Array, xp: ModuleType) -> Array:
    return xp.logaddexp(z, xp.zeros_like(z))


def _relu(z: Array, xp: ModuleType) -> Array:
    return xp.maximum(z, xp.zeros_like(z))


def _swish_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    # u = 1 / (1 + exp z) and s = 1 − u, so that there is no pass for −z; where exp z overflows,
    # u is the 0 that it should be. σ' = s + σu and σ'' = u (s − sσ + σ')
    u = xp.exp(z)
    u += 1.0
    u = 1.0 / u
    s = 1.0 - u
    z *= s
    if not second:
        u *= z
        u += s
        return z, u, None
    first = z * u
    first += s
    s -= s * z
    s += first
    s *= u
    return z, first, s


def _tanh_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    t = xp.tanh(z)
    first = 1.0 - t * t
    return t, first, -2.0 * t * first if second else None


def _sigmoid_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    s = _fast_sigmoid(z, xp)
    first = s * (1.0 - s)
    return s, first, (1.0 - 2.0 * s) * first if second else None


def _softplus_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    s = _fast_sigmoid(z, xp)
    return _softplus(z, xp), s, s * (1.0 - s) if second else None


def _relu_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    return _relu(z, xp), xp.astype(z > 0, z.dtype), xp.zeros_like(z) if second else None


def _linear_derivatives(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    return z, xp.ones_like(z), xp.zeros_like(z) if second else None


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda z, xp: z, _linear_derivatives),
    "swish": Activation(lambda z, xp: z * _sigmoid(z, xp), _swish_derivatives),
    "tanh": Activation(lambda z, xp: xp.tanh(z), _tanh_derivatives),
    "sigmoid": Activation(_sigmoid, _sigmoid_derivatives),
    "softplus": Activation(_softplus, _softplus_derivatives),
    "relu": Activation(_relu, _relu_derivatives),
}
"""The activations by name.

ReLU's first derivative at 0 is taken to be 0 and its second derivative, zero almost everywhere, to
be 0 everywhere.
"""
