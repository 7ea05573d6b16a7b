"""What the passes over the samples share: the network, its data and loss, and what they leave.

Arrays hold features before samples: the inputs of a layer have shape (..., units, samples), above a
row of ones where the layers have biases, so that W and b are one matrix [W b] and z = [W b] a. The
leading axes, if any, are those of the points and of the block of vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from operator import attrgetter
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device, is_cupy_namespace

from ..arrays import Array, array_namespace
from ..devices import fused
from ..matmul import matmul_of
from .activations import ACTIVATIONS
from .losses import LOSSES
from .mlp import MLP
from .samples import Samples


@cache
def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed.

    It gives that back to the system, and then has every page of a temporary array faulted in anew,
    until it has seen a larger block come and go (up to 32 MiB). Without this the passes over the
    samples take about twice as long.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


class Pairs(NamedTuple):
    """The unordered pairs of m indices.

    Pair t is (first[t], second[t]), at ``entry[t]`` of a flat (m, m); (i, j) is pair
    ``number[m·i + j]``.
    """

    first: Array
    second: Array
    entry: Array
    number: Array

    @classmethod
    def of(cls, m: int, xp: ModuleType, device: Any) -> Pairs:
        """Return the m(m + 1)/2 unordered pairs of m indices, as arrays on a device."""
        first, second = np.triu_indices(m)
        number = np.empty((m, m), dtype=np.int64)
        number[first, second] = number[second, first] = np.arange(len(first))
        arrays = (first, second, m * first + second, number.ravel())
        return cls(*(xp.asarray(array, device=device) for array in arrays))


@dataclass(eq=False)
class Problem:
    """A network, its data and its loss, as the passes over the samples need them.

    Parameters
    ----------
    net : MLP
    loss_name : str
        One of ``LOSSES``.
    chunks : list of Samples
        Of float64, or of float32: the passes compute in it.
    scale : float
        Multiplies the loss summed over samples and ``constant``.
    constant : array ()
        What compression took out of the sum.
    l2 : float
    budget : int
        How many numbers a temporary array of the passes may hold, about.
    """

    net: MLP
    loss_name: str
    chunks: list[Samples]
    scale: float
    constant: Array
    l2: float
    budget: int

    def __post_init__(self) -> None:
        keep_freed_memory()
        inputs, layers = self.chunks[0].inputs, self.net.layers
        self.xp: ModuleType = array_namespace(inputs)
        self.device = device(inputs)
        # float32 samples: so are the passes; what they leave is summed as float64
        self.single = inputs.dtype == self.xp.float32
        self.loss = LOSSES[self.loss_name](self.xp)
        self.activate = ACTIVATIONS[self.net.activation].derivatives
        self.matmul = matmul_of(self.xp)
        self.curve = fused(_curve) if is_cupy_namespace(self.xp) else _curve_in_place
        # the methods of NumPy's arrays cost less, but not every library has them
        own = self.xp is np
        self.reshape = np.ndarray.reshape if own else self.xp.reshape
        self.transpose = attrgetter("mT") if own else self.xp.matrix_transpose
        # samples there are, after compression
        self.n_samples = sum(samples.targets.shape[-1] for samples in self.chunks)
        # points, or vectors, that go through a chunk together
        width, length = max(*layers[1:], inputs.shape[-2]), inputs.shape[-1]
        self.at_once = max(1, self.budget // (3 * width * length))
        # Where the loss's second derivative in the outputs is the identity (squared error), sums
        # over samples in the last layer can be taken in its inputs, as their second moments, before
        # W multiplies them. That is less work if the inputs are no more than the outputs.
        self.by_moments = self.loss.identity and len(layers) > 2 and layers[-2] <= layers[-1]

    def __reduce__(self) -> tuple[type[Problem], tuple[Any, ...]]:
        """Make copies anew from what defines them: modules cannot be pickled."""
        return type(self), tuple(getattr(self, f.name) for f in fields(self))

    @cached_property
    def pairs(self) -> tuple[list[Pairs], list[Pairs]]:
        """The unordered pairs of each layer's units, and of its inputs with their row of ones."""
        layers, bias = self.net.layers, self.net.bias
        units = [Pairs.of(m, self.xp, self.device) for m in layers[1:]]
        return units, [Pairs.of(m + bias, self.xp, self.device) for m in layers[:-1]]

    def matrices(self, theta: Array) -> list[Array]:
        """Return [W b], shape (..., out, in + bias), of each layer of theta (..., n)."""
        found, batch = [], theta.shape[:-1]
        if self.single:
            theta = self.xp.astype(theta, self.xp.float32)
        for (weights, biases), shape in zip(self.net.slices, self.net.shapes, strict=True):
            W = self.reshape(theta[..., weights], (*batch, *shape))
            if self.net.bias:
                W = self.xp.concat([W, theta[..., biases, None]], axis=-1)
            found.append(W)
        return found

    def double(self, array: Array) -> Array:
        """Return what a pass leaves as float64."""
        return self.xp.astype(array, self.xp.float64) if self.single else array

    def flatten(self, matrices: Sequence[Array]) -> Array:
        """Return θ, shape (..., n), from [W b] of each layer."""
        parts = []
        for M, (n_out, n_in) in zip(matrices, self.net.shapes, strict=True):
            parts.append(self.reshape(M[..., :n_in], (*M.shape[:-2], n_out * n_in)))
            if self.net.bias:
                parts.append(M[..., n_in])
        return self.xp.concat(parts, axis=-1)

    def weights(self, matrices: Sequence[Array]) -> list[Array]:
        """Return W, shape (..., out, in), from [W b] of each layer."""
        return [M[..., :n_in] for M, n_in in zip(matrices, self.net.layers, strict=False)]

    def penalty(self, theta: Array) -> tuple[Array, Array]:
        """Return the ℓ2 penalty (...) and its curvature 2λ/n, or NaN where ‖θ‖² overflows.

        Otherwise units that saturate or rectify could hide an infinite parameter.
        """
        squares = self.xp.vecdot(theta, theta)
        ridge = 2.0 * self.l2 / theta.shape[-1] + 0.0 * squares
        return 0.5 * ridge * squares, ridge


class State(NamedTuple):
    """What the tangent passes over a chunk of samples need.

    For each layer l its inputs ``a[l]`` and ``delta[l]`` = ∂f/∂z; for each hidden layer
    ``first[l]`` = σ'(z) and ``second[l]`` = σ''(z)∘∂f/∂σ. ``output`` is what the curvature of the
    loss in the network's outputs depends on, or Σ a aᵀ of the last layer if it goes by moments.
    """

    a: list[Array]
    delta: list[Array]
    first: list[Array]
    second: list[Array]
    output: Array

    def for_block(self) -> State:
        """Return the state with an axis for a block of vectors after that of the points."""
        a, delta, first, second = ([x[..., None, :, :] for x in part] for part in self[:4])
        return State(a, delta, first, second, self.output[..., None, :, :])


def _curve(edot: Array, first: Array, zdot: Array, second: Array) -> Array:
    """Return δ̇ = σ'∘ė + σ''∘e∘ż of ė, σ', ż and σ''∘e."""
    return first * edot + second * zdot


def _curve_in_place(edot: Array, first: Array, zdot: Array, second: Array) -> Array:
    """Return the same, overwriting ė and ż."""
    edot *= first
    zdot *= second
    edot += zdot
    return edot
