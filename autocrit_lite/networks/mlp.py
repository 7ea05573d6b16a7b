"""Fully connected networks: layer sizes, activation, biases and how θ is laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import autograd.numpy as anp
import numpy as np

from ..arrays import Array
from ..checks import integer, one_of, theta_array


def _sigmoid(z: Array) -> Array:
    # tanh neither overflows nor loses digits, unlike 1 / (1 + exp(-z))
    return 0.5 * (1.0 + anp.tanh(0.5 * z))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "swish": lambda z: z * _sigmoid(z),
    "tanh": anp.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda z: anp.logaddexp(0.0, z),
    "relu": lambda z: anp.maximum(z, 0.0),
}
"""The activations by name, written for autograd: the definition the fast code is tested with."""


@dataclass(frozen=True)
class MLP:
    """A fully connected network, linear in its last layer.

    θ holds the layers in order: the weights of a layer, shape (out, in), in C order, then its
    biases, shape (out,).

    Parameters
    ----------
    layers : sequence of int
        Units in each layer, inputs first and outputs last; at least two numbers.
    activation : {"linear", "swish", "tanh", "sigmoid", "softplus", "relu"}
        Applied after every layer but the last. The default, swish x·σ(x), is that of
        Frye et al. 2021, A.1.2.
    bias : bool
        Whether the layers have biases (Frye et al. 2021, Figs 3 and 4: yes; elsewhere no).

    Attributes
    ----------
    n_parameters : int
        The length n of θ.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> MLP((16, 8, 16, 16)).n_parameters
    552
    """

    layers: tuple[int, ...]
    activation: str = "swish"
    bias: bool = True

    def __init__(self, layers: Sequence[int], activation: str = "swish", bias: bool = True) -> None:
        if isinstance(layers, (str, int)) or len(layers) < 2:
            raise ValueError(f"layers must hold two sizes or more, not {layers!r}")
        sizes = tuple(integer("every size in layers", size, at_least=1) for size in layers)
        if not isinstance(bias, (bool, np.bool_)):
            raise TypeError(f"bias must be True or False, not {bias!r}")
        object.__setattr__(self, "layers", sizes)
        object.__setattr__(self, "activation", one_of("activation", activation, ACTIVATIONS))
        object.__setattr__(self, "bias", bool(bias))

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shape (out, in) of each weight matrix."""
        return tuple(
            (n_out, n_in) for n_in, n_out in zip(self.layers, self.layers[1:], strict=False)
        )

    @cached_property
    def n_parameters(self) -> int:
        """The length n of θ."""
        return sum(n_out * (n_in + self.bias) for n_out, n_in in self.shapes)

    @cached_property
    def slices(self) -> tuple[tuple[slice, slice], ...]:
        """Where in θ the weights and the biases of each layer lie; biases (0 long) if none."""
        found = []
        start = 0
        for n_out, n_in in self.shapes:
            middle = start + n_out * n_in
            stop = middle + n_out * self.bias
            found.append((slice(start, middle), slice(middle, stop)))
            start = stop
        return tuple(found)

    def unflatten(self, theta: Array) -> list[tuple[Array, Array | None]]:
        """Return the weights (..., out, in) and biases (..., out) of each layer, as views of θ.

        Parameters
        ----------
        theta : array (n,) or (B, n)
            Parameters. The biases are None in a network without.
        """
        theta = theta_array(theta, self.n_parameters)
        batch = theta.shape[:-1]
        parts = []
        for (weights, biases), shape in zip(self.slices, self.shapes, strict=True):
            W = theta[..., weights].reshape(*batch, *shape)
            parts.append((W, theta[..., biases] if self.bias else None))
        return parts

    def flatten(self, parts: Sequence[tuple[Array, Array | None]]) -> Array:
        """Return θ, shape (n,), from the weights and biases of each layer.

        Raises
        ------
        TypeError, ValueError
            If they are not float64 or not of the shapes that ``unflatten`` gives them.
        """
        flat = [np.asarray(p) for part in parts for p in part[: 1 + self.bias] if p is not None]
        wanted = [shape for W in self.shapes for shape in (W, W[:1])[: 1 + self.bias]]
        if (given := [p.shape for p in flat]) != wanted:
            raise ValueError(f"parts must have shapes {wanted}, not {given}")
        return theta_array(np.concatenate([p.ravel() for p in flat]), self.n_parameters, "parts")

    def forward(self, theta: Array, X: Array) -> Array:
        """Return the outputs, shape (N, outputs), at one θ (n,) for inputs X (N, inputs).

        Written with ``autograd.numpy``, so that autograd differentiates it.

        Raises
        ------
        ValueError
            If theta has another shape.
        """
        if theta.shape != (self.n_parameters,):
            raise ValueError(f"theta must have shape ({self.n_parameters},), not {theta.shape}")
        a = X
        for layer, (weights, biases) in enumerate(self.slices):
            if layer:
                a = ACTIVATIONS[self.activation](a)
            a = a @ theta[weights].reshape(self.shapes[layer]).T
            if self.bias:
                a = a + theta[biases]
        return a
