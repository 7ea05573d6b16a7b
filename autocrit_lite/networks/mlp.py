"""Fully connected networks: layer sizes, activation, biases and how θ is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from ..arrays import Array
from ..checks import boolean, integer, one_of, plain_array, theta_array
from .activations import ACTIVATIONS


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
        object.__setattr__(self, "layers", sizes)
        object.__setattr__(self, "activation", one_of("activation", activation, ACTIVATIONS))
        object.__setattr__(self, "bias", boolean("bias", bias))

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shape (out, in) of each weight matrix."""
        return tuple(zip(self.layers[1:], self.layers, strict=False))

    @cached_property
    def n_parameters(self) -> int:
        """The length n of θ."""
        return sum(n_out * (n_in + self.bias) for n_out, n_in in self.shapes)

    @cached_property
    def slices(self) -> tuple[tuple[slice, slice], ...]:
        """Where in θ the weights and the biases of each layer lie; biases (0 long) if none."""
        sizes = [size for m, n in self.shapes for size in (m * n, m * self.bias)]
        ends = list(accumulate(sizes, initial=0))
        parts = [slice(start, stop) for start, stop in pairwise(ends)]
        return tuple(zip(parts[::2], parts[1::2], strict=True))

    def unflatten(self, theta: Array) -> list[tuple[Array, Array | None]]:
        """Return the weights (..., out, in) and biases (..., out) of each layer, as views of θ.

        Parameters
        ----------
        theta : array (n,) or (B, n)
            Parameters. The biases are None in a network without.
        """
        theta = theta_array(theta, self.n_parameters)
        batch = theta.shape[:-1]
        return [
            (theta[..., W].reshape(*batch, *shape), theta[..., b] if self.bias else None)
            for (W, b), shape in zip(self.slices, self.shapes, strict=True)
        ]

    def flatten(self, parts: Sequence[tuple[Array, Array | None]]) -> Array:
        """Return θ, shape (n,), from the weights and biases of each layer.

        Raises
        ------
        TypeError, ValueError
            If they are not float64 or not of the shapes that ``unflatten`` gives them.
        """
        given = [p for pair in parts for p in pair[: 1 + self.bias] if p is not None]
        flat = [plain_array("parts", p) for p in given]
        wanted = [shape for W in self.shapes for shape in (W, W[:1])[: 1 + self.bias]]
        if (shapes := [p.shape for p in flat]) != wanted:
            raise ValueError(f"parts must have shapes {wanted}, not {shapes}")
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
