"""Closed-form gradient and Hessian-vector products of a network's loss, and its dense Hessian.

``problem`` says how the arrays lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..checks import product_array
from .dense import DenseCurvature
from .problem import Problem, State
from .samples import Samples

quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")


class Group(NamedTuple):
    """Points that go through the samples together: which ones, their [W b], a state per chunk."""

    points: tuple[slice, ...]
    W: list[Array]
    states: list[State]


def layer_inputs(problem: Problem, M: Array, a: Array, ones: Array | None) -> Array:
    """Return M a, shape (..., units, c), above the row ``ones`` that a layer's biases multiply."""
    if ones is None:
        return problem.matmul(M, a)
    xp, shape = problem.xp, (*M.shape[:-2], M.shape[-2] + 1, a.shape[-1])
    both = xp.empty(shape, dtype=a.dtype, device=problem.device)
    both[..., -1:, :] = ones
    problem.matmul(M, a, both[..., :-1, :])
    return both


def forward_backward(
    problem: Problem, W: list[Array], samples: Samples, second: bool
) -> tuple[Array, list[Array], State | None]:
    """Return loss and gradient in each [W b] summed over a chunk, with ``second`` the state too."""
    widths, transpose, matmul = problem.net.layers, problem.transpose, problem.matmul
    a, first, curved = [samples.inputs], [], []
    for units, M in zip(widths[1:], W[:-1], strict=False):
        z = layer_inputs(problem, M, a[-1], samples.ones)
        z_units = z[..., :units, :]
        f, f1, f2 = problem.activate(z_units, problem.xp, second)
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


def tangent_passes(problem: Problem, W: list[Array], V: list[Array], state: State) -> list[Array]:
    """Return the derivative of a chunk's gradient in each [W b] in the direction [V c].

    This is the R-operator of Pearlmutter (1994).
    """
    matmul, transpose, last = problem.matmul, problem.transpose, len(W) - 1
    weights = problem.weights(W)
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
            else:
                ddot = problem.curve(edot, state.first[layer], zdots[layer], state.second[layer])
            G = matmul(ddot, transpose(state.a[layer]))
            if layer:
                edot = matmul(W_T, ddot)
        if layer:
            n_in = weights[layer].shape[-1]
            matmul(state.delta[layer], transpose(adots[layer - 1]), G[..., :n_in], True)
            matmul(transpose(V[layer][..., :n_in]), state.delta[layer], edot, True)
        product.insert(0, G)
    return product


def add_to(problem: Problem, sums: list[Array], terms: list[Array]) -> list[Array]:
    """Add the terms to the sums in place; the first terms, as float64, become the sums."""
    for here, term in zip(sums, terms, strict=bool(sums)):
        here += term
    return sums or [problem.double(term) for term in terms]


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
            value = value + problem.double(f)
            sums = add_to(problem, sums, g)
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

    @quiet
    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n).

        Raises
        ------
        TypeError, ValueError
            If v is not float64 or of neither shape.
        """
        problem, batch = self._problem, self.gradient.shape[:-1]
        v = product_array("v", v, self.gradient.shape)
        block = v.ndim == len(batch) + 2
        result = problem.xp.empty(v.shape, dtype=v.dtype, device=problem.device)
        for points, W, states in self._groups:
            if not block:
                rows = (*points, ...)
                result[rows] = self._sum(W, states, v[rows])
                continue
            W = [M[..., None, :, :] for M in W]
            states = [state.for_block() for state in states]
            n_points = W[0].shape[0] if batch else 1
            for vectors in parts(v.shape[-2:], max(1, problem.at_once // n_points)):
                rows = (*points, *vectors, ...)
                result[rows] = self._sum(W, states, v[rows])
        result += (self._ridge[..., None, None] if block else self._ridge[..., None]) * v
        return result

    def _sum(self, W: list[Array], states: list[State], v: Array) -> Array:
        V = self._problem.matrices(v)
        sums: list[Array] = []
        for state in states:
            sums = add_to(self._problem, sums, tangent_passes(self._problem, W, V, state))
        return self._problem.scale * self._problem.flatten(sums)

    @quiet
    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., n, n), exactly symmetric."""
        problem, xp, shape = self._problem, self._problem.xp, self.gradient.shape
        n = shape[-1]
        H = xp.empty((*shape, n), dtype=xp.float64, device=problem.device)
        for points, W, states in self._groups:
            dense = DenseCurvature(problem, W)
            for state in states:
                dense.add(state)
            dense.place(H[(*points, ...)])
        diagonal = xp.reshape(H, (*shape[:-1], n * n), copy=False)
        diagonal[..., :: n + 1] += self._ridge[..., None]
        return H
