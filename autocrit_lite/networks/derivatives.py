"""Closed-form gradient, Hessian-vector products and dense Hessian of a network's loss.

Arrays hold features before samples: the inputs of a layer have shape (..., units, samples), above a
row of ones where the layers have biases, so that W and b are one matrix [W b] and z = [W b] a. The
leading axes, if any, are those of the points and of the block of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from operator import attrgetter
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_cupy_namespace

from ..arrays import Array, array_namespace
from ..checks import float_array
from ..devices import fused
from ..matmul import Product, matmul_of
from .activations import DERIVATIVES
from .dense import DenseCurvature, Pairs, unordered_pairs
from .losses import CrossEntropy, SquaredError
from .mlp import MLP
from .samples import Samples


@cache
def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed.

    It gives that back to the system, and then has every page of a temporary array faulted in anew,
    until it has seen a larger block come and go (up to 32 MiB). Without this the passes below take
    about twice as long.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")


@dataclass(frozen=True)
class Problem:
    """A network, its data and its loss, as the passes over the samples need them.

    Attributes
    ----------
    scale : float
        Multiplies the loss summed over samples and ``constant``.
    constant : array ()
        What compression took out of the sum.
    budget : int
        How many numbers a temporary array of the passes may hold, about.
    """

    net: MLP
    loss: SquaredError | CrossEntropy
    chunks: list[Samples]
    scale: float
    constant: Array
    l2: float
    budget: int
    xp: ModuleType
    device: Any

    def __post_init__(self) -> None:
        keep_freed_memory()

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without modules, which cannot be pickled."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "xp"}
        return kept | {"loss": type(self.loss)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        xp = array_namespace(state["chunks"][0].inputs)
        vars(self).update(state, xp=xp, loss=state["loss"](xp))

    def matrices(self, theta: Array) -> list[Array]:
        """Return [W b], shape (..., out, in + bias), of each layer of theta (..., n)."""
        found, batch = [], theta.shape[:-1]
        for (weights, biases), shape in zip(self.net.slices, self.net.shapes, strict=True):
            W = self.reshape(theta[..., weights], (*batch, *shape))
            if self.net.bias:
                W = self.xp.concat([W, theta[..., biases, None]], axis=-1)
            found.append(W)
        return found

    def flatten(self, matrices: Sequence[Array]) -> Array:
        """Return θ, shape (..., n), from [W b] of each layer."""
        parts = []
        for M, (n_out, n_in) in zip(matrices, self.net.shapes, strict=True):
            parts.append(self.reshape(M[..., :n_in], (*M.shape[:-2], n_out * n_in)))
            if self.net.bias:
                parts.append(M[..., n_in])
        return self.xp.concat(parts, axis=-1)

    def penalty(self, theta: Array) -> tuple[Array, Array]:
        """Return the ℓ2 penalty (...) and its curvature 2λ/n, or NaN where ‖θ‖² overflows.

        Otherwise units that saturate or rectify could hide an infinite parameter.
        """
        squares = self.xp.vecdot(theta, theta)
        ridge = 2.0 * self.l2 / theta.shape[-1] + 0.0 * squares
        return 0.5 * ridge * squares, ridge

    @cached_property
    def reshape(self) -> Callable[[Array, tuple[int, ...]], Array]:
        """Return reshape; the method costs less, but not every library has it."""
        return np.ndarray.reshape if self.xp is np else self.xp.reshape

    @cached_property
    def transpose(self) -> Callable[[Array], Array]:
        """Return a matrix's transpose; the attribute costs less, but not every library has it."""
        return attrgetter("mT") if self.xp is np else self.xp.matrix_transpose

    @cached_property
    def matmul(self) -> Product:
        """Return the product of stacks of matrices, which may be written or added to an array."""
        return matmul_of(self.xp)

    @cached_property
    def curve(self) -> Callable[[Array, Array, Array, Array], Array]:
        """Return δ̇ = σ'∘ė + σ''∘e∘ż of ė, σ', ż and σ''∘e; ė and ż may be overwritten."""
        return fused(_curve) if is_cupy_namespace(self.xp) else _curve_in_place

    @cached_property
    def n_samples(self) -> int:
        """How many samples there are, after compression."""
        return sum(samples.targets.shape[-1] for samples in self.chunks)

    @cached_property
    def at_once(self) -> int:
        """How many points, or vectors, go through a chunk together."""
        width = max(*self.net.layers[1:], self.chunks[0].inputs.shape[-2])
        return max(1, self.budget // (3 * width * self.chunks[0].inputs.shape[-1]))

    @cached_property
    def by_moments(self) -> bool:
        """Whether the last layer goes by second moments of its inputs.

        Where the loss's second derivative in the outputs is the identity (squared error), sums over
        samples in the last layer can be taken in its inputs before W multiplies them. That is less
        work if the inputs are no more than the outputs.
        """
        layers = self.net.layers
        return self.loss.identity and len(layers) > 2 and layers[-2] <= layers[-1]

    @cached_property
    def pairs(self) -> tuple[list[Pairs], list[Pairs]]:
        """The unordered pairs of each layer's units, and of its inputs with their row of ones."""
        layers, xp = self.net.layers, self.xp
        units = [unordered_pairs(m, xp, self.device) for m in layers[1:]]
        inputs = [unordered_pairs(m + self.net.bias, xp, self.device) for m in layers[:-1]]
        return units, inputs


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


class Group(NamedTuple):
    """Points that go through the samples together: which ones, their [W b], a state per chunk."""

    points: tuple[slice, ...]
    W: list[Array]
    states: list[State]


def _curve(edot: Array, first: Array, zdot: Array, second: Array) -> Array:
    return first * edot + second * zdot


def _curve_in_place(edot: Array, first: Array, zdot: Array, second: Array) -> Array:
    edot *= first
    zdot *= second
    edot += zdot
    return edot


def layer_inputs(problem: Problem, M: Array, a: Array, ones: Array | None) -> Array:
    """Return M a, shape (..., units, c), above the row ``ones`` that a layer's biases multiply."""
    if ones is None:
        return problem.matmul(M, a)
    xp, shape = problem.xp, (*M.shape[:-2], M.shape[-2] + 1, a.shape[-1])
    both = xp.empty(shape, dtype=xp.float64, device=problem.device)
    both[..., -1:, :] = ones
    problem.matmul(M, a, both[..., :-1, :])
    return both


def forward_backward(
    problem: Problem, W: list[Array], samples: Samples, second: bool
) -> tuple[Array, list[Array], State | None]:
    """Return loss and gradient in each [W b] summed over a chunk, with ``second`` the state too."""
    xp, widths, transpose = problem.xp, problem.net.layers, problem.transpose
    matmul = problem.matmul
    activate = DERIVATIVES[problem.net.activation]
    a, first, curved = [samples.inputs], [], []
    for units, M in zip(widths[1:], W[:-1], strict=False):
        z = layer_inputs(problem, M, a[-1], samples.ones)
        z_units = z[..., :units, :]
        f, f1, f2 = activate(z_units, xp, second)
        if f is not z_units:
            z_units[...] = f
        a.append(z)
        first.append(f1)
        curved.append(f2)
    value, d, output = problem.loss(matmul(W[-1], a[-1]), samples.targets)
    # backward: δ = ∂f/∂z, and e = Wᵀδ = ∂f/∂σ below
    delta, gradient = [d], [matmul(d, transpose(a[-1]))]
    for layer in range(len(W) - 1, 0, -1):
        e = matmul(transpose(W[layer][..., : widths[layer]]), d)
        if second:
            curved[layer - 1] *= e
        e *= first[layer - 1]
        d = e
        gradient.insert(0, matmul(d, transpose(a[layer - 1])))
        if second:
            delta.insert(0, d)
    if not second:
        return value, gradient, None
    if problem.by_moments:
        output = matmul(a[-1], transpose(a[-1]))
    return value, gradient, State(a, delta, first, curved, output)


def tangent_passes(
    problem: Problem, W: list[Array], V: list[Array], state: State, exact: bool
) -> list[Array]:
    """Return the derivative of a chunk's gradient in each [W b] in the direction [V c].

    This is the R-operator of Pearlmutter (1994). Without ``exact`` it keeps the Gauss-Newton part
    alone: the network is taken to be linear in θ.
    """
    matmul, transpose, last = problem.matmul, problem.transpose, len(W) - 1
    weights = [M[..., :n_in] for M, n_in in zip(W, problem.net.layers, strict=False)]
    # forward: ż = V a + W ȧ and ȧ = σ'∘ż
    zdots: list[Array] = []
    adots: list[Array] = []
    for layer in range(last if problem.by_moments else last + 1):
        zdot = matmul(V[layer], state.a[layer])
        if layer:
            matmul(weights[layer], adots[-1], zdot, True)
        zdots.append(zdot)
        if layer < last:
            adots.append(state.first[layer] * zdot)

    # backward: from δ̇ the product δ̇ aᵀ + δ ȧᵀ, and ė = Wᵀδ̇ + Vᵀδ below
    product: list[Array] = []
    for layer in range(last, -1, -1):
        W_T = transpose(weights[layer])
        if layer == last and problem.by_moments:
            # δ̇ = ż = V a + W ȧ, which need not be formed
            a_T = transpose(state.a[last])
            G = matmul(V[last], state.output)
            matmul(weights[last], matmul(adots[-1], a_T), G, True)
            edot = matmul(matmul(W_T, V[last]), state.a[last])
            matmul(matmul(W_T, weights[last]), adots[-1], edot, True)
        else:
            if layer == last:
                ddot = problem.loss.curvature(state.output, zdots[last])
            elif exact:
                ddot = problem.curve(edot, state.first[layer], zdots[layer], state.second[layer])
            else:
                ddot = edot
                ddot *= state.first[layer]
            G = matmul(ddot, transpose(state.a[layer]))
            if layer:
                edot = matmul(W_T, ddot)
        if exact and layer:
            n_in = weights[layer].shape[-1]
            matmul(state.delta[layer], transpose(adots[layer - 1]), G[..., :n_in], True)
            matmul(transpose(V[layer][..., :n_in]), state.delta[layer], edot, True)
        product.insert(0, G)
    return product


def add_to(sums: list[Array], terms: list[Array]) -> list[Array]:
    """Add the terms to the sums in place; the first terms become the sums."""
    for here, term in zip(sums, terms, strict=bool(sums)):
        here += term
    return sums or terms


@quiet
def evaluate(problem: Problem, theta: Array, second: bool) -> tuple[Array, Array, list[Group]]:
    """Return loss (...) and gradient (..., n) at theta (..., n), and with ``second`` the states."""
    if theta.shape[0] == 0:
        return theta[:, 0], theta, []
    values, gradients, groups = [], [], []
    for points in parts(theta.shape[:-1], problem.at_once):
        here = theta[(*points, ...)] if points else theta
        W, states, value = problem.matrices(here), [], problem.constant
        sums: list[Array] = []
        for samples in problem.chunks:
            f, g, state = forward_backward(problem, W, samples, second)
            value = value + f
            sums = add_to(sums, g)
            if state is not None:
                states.append(state)
        penalty, ridge = problem.penalty(here)
        gradient = problem.flatten(sums)
        gradient *= problem.scale
        gradient += ridge[..., None] * here
        values.append(problem.scale * value + penalty)
        gradients.append(gradient)
        groups.append(Group(points, W, states))
    return joined(problem, values), joined(problem, gradients), groups


def joined(problem: Problem, arrays: list[Array]) -> Array:
    """Return the arrays of successive points as one."""
    return arrays[0] if len(arrays) == 1 else problem.xp.concat(arrays, axis=0)


def parts(shape: Sequence[int], size: int) -> list[tuple[slice, ...]]:
    """Return indices of up to ``size`` rows of a batch of that shape: one index if it has none."""
    if not shape:
        return [()]
    return [(slice(i, min(i + size, shape[0])),) for i in range(0, shape[0], size)]


class NetworkLinearization:
    """A ``NetworkObjective`` at one point or at a batch of points.

    Attributes
    ----------
    value : array (...)
    gradient : array (..., n)
    """

    @quiet
    def __init__(self, problem: Problem, theta: Array) -> None:
        self._problem = problem
        theta = problem.xp.asarray(theta, copy=True)  # of which the states hold views
        _, self._ridge = problem.penalty(theta)
        self.value, self.gradient, self._groups = evaluate(problem, theta, second=True)

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n).

        Raises
        ------
        TypeError, ValueError
            If v is not float64 or of neither shape.
        """
        return self._product(v, exact=True)

    def gauss_newton_product(self, v: Array) -> Array:
        """Return G·v, with the matrix of ``gauss_newton``, for v as in ``hvp``."""
        return self._product(v, exact=False)

    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., n, n), exactly symmetric."""
        return self._dense(exact=True)

    def gauss_newton(self) -> Array:
        """Return the dense Gauss-Newton matrix, shape (..., n, n), exactly symmetric.

        This is the Hessian of the loss of the network linearised in θ. The curvature of the ℓ2
        penalty is part of it. It is positive semidefinite.
        """
        return self._dense(exact=False)

    @quiet
    def _product(self, v: Array, exact: bool) -> Array:
        problem = self._problem
        *batch, n = self.gradient.shape
        v = float_array("v", v, finite=False)
        block = v.ndim == len(batch) + 2
        if list(v.shape) != [*batch, *v.shape[len(batch) : len(batch) + block], n]:
            lead = "".join(f"{size}, " for size in batch)
            raise ValueError(
                f"v must have shape ({lead}{n}) or ({lead}k, {n}), not {tuple(v.shape)}"
            )
        result = problem.xp.empty(v.shape, dtype=v.dtype, device=problem.device)
        for points, W, states in self._groups:
            if not block:
                rows = (*points, ...)
                result[rows] = self._sum(W, states, v[rows], exact)
                continue
            W = [M[..., None, :, :] for M in W]
            states = [state.for_block() for state in states]
            n_points = W[0].shape[0] if batch else 1
            for vectors in parts(v.shape[-2:], max(1, problem.at_once // n_points)):
                rows = (*points, *vectors, ...)
                result[rows] = self._sum(W, states, v[rows], exact)
        result += (self._ridge[..., None, None] if block else self._ridge[..., None]) * v
        return result

    def _sum(self, W: list[Array], states: list[State], v: Array, exact: bool) -> Array:
        V = self._problem.matrices(v)
        sums: list[Array] = []
        for state in states:
            sums = add_to(sums, tangent_passes(self._problem, W, V, state, exact))
        return self._problem.scale * self._problem.flatten(sums)

    @quiet
    def _dense(self, exact: bool) -> Array:
        problem, xp, shape = self._problem, self._problem.xp, self.gradient.shape
        n = shape[-1]
        H = xp.empty((*shape, n), dtype=xp.float64, device=problem.device)
        for points, W, states in self._groups:
            dense = DenseCurvature(problem, W, exact)
            for state in states:
                dense.add(state)
            dense.place(H[(*points, ...)])
        diagonal = xp.reshape(H, (*shape[:-1], n * n), copy=False)
        diagonal[..., :: n + 1] += self._ridge[..., None]
        return H
