"""Activations in ball arithmetic, with bounds of their derivatives on the whole line.

Written for anything that adds and multiplies: pairs of floats with a radius (``pairs``), of which
the gradient is made, balls of float64 (``balls``), of which the Hessian is, and FLINT's balls, by
which the tests prove the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .balls import Balls
from .pairs import Pairs


@dataclass(frozen=True)
class Activation:
    """An activation σ(z).

    Attributes
    ----------
    base : callable
        Returns the transcendental function of z, pairs, from which all else is computed.
    lower : callable
        Returns σ and σ′, given z and its base.
    upper : callable
        Returns σ″ and σ‴, given z and its base.
    suprema : 4 floats
        Upper bounds of |σ′|, |σ″|, |σ‴| and |σ⁗|.
    smooth : bool
        Whether there is no kink at 0, on either side of which the suprema hold.
    """

    base: Callable[[Pairs], Pairs]
    lower: Callable[[Any, Any], tuple[Any, Any]]
    upper: Callable[[Any, Any], tuple[Any, Any]]
    suprema: tuple[float, float, float, float]
    smooth: bool = True

    def evaluate(self, z: Pairs) -> tuple[Pairs, Pairs, Balls, Balls]:
        """Return σ, σ′, σ″ and σ‴ of numbers in balls, the latter two as balls of float64."""
        base = self.base(z)
        return *self.lower(z, base), *self.upper(z.balls, base.balls)


def _sigmoid_upper(z: Any, s: Any) -> tuple[Any, Any]:
    first = s * (1.0 - s)
    return first * (1.0 - 2.0 * s), first * (1.0 - 6.0 * first)


def _swish_lower(z: Any, s: Any) -> tuple[Any, Any]:
    value = z * s
    return value, s + value * (1.0 - s)


def _swish_upper(z: Any, s: Any) -> tuple[Any, Any]:
    second, third = _sigmoid_upper(z, s)
    return 2.0 * (s * (1.0 - s)) + z * second, 3.0 * second + z * third


def _tanh_upper(z: Any, t: Any) -> tuple[Any, Any]:
    first = 1.0 - t * t
    return -2.0 * (t * first), -2.0 * (first * (1.0 - 3.0 * (t * t)))


def _linear(z: Pairs) -> Pairs:
    return Pairs.of(np.ones_like(z.high))


# the suprema by subdivision in ball arithmetic: see the tests
ACTIVATIONS: dict[str, Activation] = {
    "swish": Activation(Pairs.sigmoid, _swish_lower, _swish_upper, (1.1, 0.5003, 0.3085, 0.5006)),
    "tanh": Activation(
        Pairs.tanh, lambda z, t: (t, 1.0 - t * t), _tanh_upper, (1.0001, 0.7703, 2.0001, 4.0902)
    ),
    "sigmoid": Activation(
        Pairs.sigmoid,
        lambda z, s: (s, s * (1.0 - s)),
        _sigmoid_upper,
        (0.2501, 0.0963, 0.1252, 0.1279),
    ),
    "linear": Activation(
        _linear, lambda z, one: (z, one), lambda z, one: (0.0 * one,) * 2, (1.0, 0.0, 0.0, 0.0)
    ),
    "relu": Activation(
        Pairs.step,
        lambda z, step: (z * step, step),
        lambda z, step: (0.0 * step,) * 2,
        (1.0, 0.0, 0.0, 0.0),
        smooth=False,
    ),
}
