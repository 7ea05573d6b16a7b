"""The activations with their first and second derivatives, for any array library."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from ..arrays import Array

Derivatives = tuple[Array, Array, Array | None]
"""σ(z), σ'(z), and σ''(z) if it was asked for."""


def sigmoid(z: Array, xp: ModuleType) -> Array:
    """Return 1 / (1 + exp(−z)); where exp(−z) overflows, the quotient is the 0 that it should."""
    s = -z
    s = np.exp(s, out=s) if xp is np else xp.exp(s)
    s += 1.0
    return 1.0 / s


def _linear(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    return z, xp.ones_like(z), xp.zeros_like(z) if second else None


def _swish(z: Array, xp: ModuleType, second: bool) -> Derivatives:
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


def _tanh(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    t = xp.tanh(z)
    first = 1.0 - t * t
    return t, first, -2.0 * t * first if second else None


def _sigmoid(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    s = sigmoid(z, xp)
    first = s * (1.0 - s)
    return s, first, (1.0 - 2.0 * s) * first if second else None


def _softplus(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    s = sigmoid(z, xp)
    return xp.logaddexp(z, xp.zeros_like(z)), s, s * (1.0 - s) if second else None


def _relu(z: Array, xp: ModuleType, second: bool) -> Derivatives:
    zero = xp.zeros_like(z)
    return xp.maximum(z, zero), xp.astype(z > 0, z.dtype), zero if second else None


DERIVATIVES: dict[str, Callable[[Array, ModuleType, bool], Derivatives]] = {
    "linear": _linear,
    "swish": _swish,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "relu": _relu,
}
"""By name: a function of z, its array library, and whether σ'' is wanted too. It may overwrite z,
which costs less than another array.

ReLU's first derivative at 0 is taken to be 0 and its second derivative, zero almost everywhere, to
be 0 everywhere.
"""
