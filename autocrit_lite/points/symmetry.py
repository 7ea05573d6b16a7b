"""Hidden units in another order, and with the other sign, are the same network.

Permuting the units of a hidden layer changes θ and no output; with an odd activation, neither does
changing the sign of all that goes into a unit and out of it. The images of a critical point under
this group are critical points, its orbit.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial, prod

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from ..arrays import Array
from ..networks.mlp import MLP

ODD = ("linear", "tanh")
"""The activations with σ(−z) = −σ(z)."""

MARGIN = 1e-9
"""By what share a lower bound is made smaller, for the rounding of sums and of the assignment
(chosen by us: that is below 1e-12 for a million parameters)."""


def canonical(net: MLP, theta: Array) -> Array:
    """Return the image of theta in its orbit whose units come in lexicographic order.

    Layer by layer from the inputs, units are ordered by their bias and incoming weights; with an
    odd activation the largest of these in size is positive. Images of one θ have one canonical form
    unless two numbers that are compared are equal to rounding.

    Parameters
    ----------
    net : MLP
    theta : array (n,)

    Returns
    -------
    array (n,)

    Examples
    --------
    >>> net = MLP((1, 2, 1), bias=False)
    >>> canonical(net, np.array([3.0, 1.0, 5.0, 7.0]))
    array([1., 3., 7., 5.])
    """
    for layer in range(len(net.layers) - 2):
        rows = _incoming(net, theta, layer)
        signs = np.ones(len(rows))
        if net.activation in ODD:
            largest = np.argmax(np.abs(rows), axis=1)
            signs = np.where(rows[np.arange(len(rows)), largest] < 0.0, -1.0, 1.0)
        order = np.lexsort((rows * signs[:, None]).T[::-1])
        theta = moved(net, theta, layer, order, signs[order])
    return theta


def moved(net: MLP, theta: Array, layer: int, order: Array, signs: Array) -> Array:
    """Return θ whose hidden layer's unit i is unit ``order[i]`` of theta, times ``signs[i]``."""
    parts = [list(pair) for pair in net.unflatten(np.array(theta))]
    for k, matrix in enumerate(parts[layer]):
        if matrix is not None:
            parts[layer][k] = (matrix[order].T * signs).T
    parts[layer + 1][0] = parts[layer + 1][0][:, order] * signs
    return net.flatten([(W, b) for W, b in parts])


def matched(net: MLP, theta: Array, other: Array) -> Array:
    """Return an image of theta that lies close to ``other``, if there is one.

    Layer by layer from the inputs, units are assigned to those of ``other`` so that the squares of
    the differences of biases and weights, in and out, are least; those out are compared in the
    order that the next layer's units have so far.

    Parameters
    ----------
    net : MLP
    theta, other : array (n,)

    Returns
    -------
    array (n,)
    """
    for layer in range(len(net.layers) - 2):
        last = layer == len(net.layers) - 3
        mine, theirs = (_features(net, x, layer, True, last) for x in (theta, other))
        cost, signs = _cost(mine, theirs, net.activation in ODD)
        # of theirs, in their order, the unit of mine
        columns, rows = linear_sum_assignment(cost.T)
        theta = moved(net, theta, layer, rows[np.argsort(columns)], signs[rows, columns])
    return theta


def distance_bound(net: MLP, theta: Array, other: Array) -> float:
    """Return a number that no image of theta is closer to ``other`` than.

    The output layer's biases are not permuted. Of the first hidden layer neither are the inputs
    that its weights multiply, nor of the last the outputs that it has weights to: the least sum of
    squares over all assignments of its units bounds what any permutation gives. Of layers between
    that holds for the biases.

    Parameters
    ----------
    net : MLP
    theta, other : array (n,)

    Returns
    -------
    float
    """
    hidden = len(net.layers) - 2
    total = 0.0
    if net.bias:
        last = net.slices[-1][1]
        total += float(np.sum((theta[last] - other[last]) ** 2))
    for layer in range(hidden):
        first, end = layer == 0, layer == hidden - 1
        mine, theirs = (_features(net, x, layer, first, end) for x in (theta, other))
        if mine.shape[1]:
            cost, _ = _cost(mine, theirs, net.activation in ODD)
            total += float(cost[linear_sum_assignment(cost)].sum())
    if not hidden:
        total = float(np.sum((theta - other) ** 2))
    return float(np.sqrt(total)) * (1.0 - MARGIN)


def orbit_size(net: MLP, theta: Array, same: float, other: float) -> tuple[int, int]:
    """Return how many images a critical point has: at least, and at most.

    Parameters
    ----------
    net : MLP
    theta : array (n,)
        Within ``other`` / 2 of the critical point.
    same, other : float
        Images of the point that are closer than ``same`` are the same critical point, and those
        farther apart than ``other`` are not.

    Notes
    -----
    The orbit has as many points as the group has elements for each one that fixes the point. An
    exchange of two units that moves it by less than ``same`` fixes it, so that there are no fewer
    of these. And what fixes it takes units of the first hidden layer to units with the same row of
    incoming weights; where these are all different, likewise in the next layer.
    """
    group = fixing = may_fix = 1
    distinct_below = True
    for layer, m in enumerate(net.layers[1:-1]):
        group *= factorial(m) * (2**m if net.activation in ODD else 1)
        swaps = np.eye(m, dtype=bool)
        for i, j in combinations(range(m), 2):
            order = np.arange(m)
            order[[i, j]] = j, i
            image = moved(net, theta, layer, order, np.ones(m))
            swaps[i, j] = swaps[j, i] = np.linalg.norm(image - theta) < same
        fixing *= prod(map(factorial, _classes(swaps)))
        rows = _incoming(net, theta, layer)
        cost, _ = _cost(rows, rows, net.activation in ODD)
        alike = _classes(np.sqrt(cost) <= other)
        zeros = np.sum(2.0 * np.linalg.norm(rows, axis=1) <= other) if net.activation in ODD else 0
        if distinct_below:
            may_fix *= prod(map(factorial, alike)) * 2 ** int(zeros)
            distinct_below = max(alike) == 1 and not zeros
        else:
            may_fix *= factorial(m) * (2**m if net.activation in ODD else 1)
    return group // may_fix, group // fixing


def _incoming(net: MLP, theta: Array, layer: int) -> Array:
    """Return the biases and weights into the units of a layer, a row for each."""
    W, b = net.unflatten(theta)[layer]
    return W if b is None else np.concatenate([b[:, None], W], axis=1)


def _features(net: MLP, theta: Array, layer: int, weights_in: bool, weights_out: bool) -> Array:
    """Return the numbers of a hidden layer's units, a row for each: biases, and some weights."""
    W, b = net.unflatten(theta)[layer]
    parts = [np.zeros((len(W), 0)) if b is None else b[:, None]]
    parts += [W] * weights_in + [net.unflatten(theta)[layer + 1][0].T] * weights_out
    return np.concatenate(parts, axis=1)


def _cost(mine: Array, theirs: Array, odd: bool) -> tuple[Array, Array]:
    """Return squared distances of the rows of two arrays, the least over signs, and the signs."""
    cost = np.sum((mine[:, None] - theirs[None]) ** 2, axis=-1)
    if not odd:
        return cost, np.ones_like(cost)
    turned = np.sum((mine[:, None] + theirs[None]) ** 2, axis=-1)
    return np.minimum(cost, turned), np.where(turned < cost, -1.0, 1.0)


def _classes(alike: Array) -> list[int]:
    """Return the sizes of the connected parts of a symmetric relation (m, m)."""
    return [int(size) for size in np.bincount(connected_components(alike)[1])]
