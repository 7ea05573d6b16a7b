"""What a finder sees of a loss: value, gradient, Hessian-vector products, dense Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import autograd.numpy as anp
import numpy as np
from autograd import make_hvp, value_and_grad

from .checks import Array, theta_array
from .networks import MLP


class Linearization(Protocol):
    """A loss at one point (n,) or at a batch of points (B, n)."""

    @property
    def value(self) -> Array:
        """The loss, shape () or (B,)."""

    @property
    def gradient(self) -> Array:
        """The gradient, shape (n,) or (B, n)."""

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n)."""

    def hessian(self) -> Array:
        """Return the dense symmetric Hessian, shape (n, n) or (B, n, n)."""


class Objective(Protocol):
    """A twice differentiable loss of n parameters, at one point or at a batch of points."""

    @property
    def hessian_cost(self) -> float:
        """How many Hessian-vector products cost as much as one dense Hessian."""

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss (...) and its gradient (..., n) at theta (..., n)."""

    def linearize(self, theta: Array) -> Linearization:
        """Return the loss at theta (..., n) with what its derivatives need."""


class AutogradObjective:
    """Any scalar function of θ written with ``autograd.numpy``.

    Parameters
    ----------
    f : callable
        Takes θ, shape (n,), and returns a scalar.

    Raises
    ------
    TypeError
        If ``f`` cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> objective = AutogradObjective(lambda theta: theta[0] ** 2 - 3.0 * theta[1] ** 2)
    >>> point = objective.linearize(np.array([1.0, 1.0]))
    >>> point.gradient.tolist(), point.hvp(np.array([0.0, 1.0])).tolist()
    ([2.0, -6.0], [0.0, -6.0])
    """

    def __init__(self, f: Callable[[Array], Array]) -> None:
        if not callable(f):
            raise TypeError(f"f must be callable, not {f!r}")
        self._f = f
        self._value_and_grad = value_and_grad(f)
        self._linear = make_hvp(f)

    # n products make a dense Hessian; a finder on few parameters does better to form it at once
    hessian_cost = 1.0

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss, shape (...), and its gradient, shape (..., n), at theta (..., n).

        Raises
        ------
        TypeError, ValueError
            If theta is not float64, or of neither one nor two dimensions.
        """
        theta = theta_array(theta, None)
        if theta.ndim == 1:
            value, gradient = self._value_and_grad(theta)
            return np.asarray(value, dtype=float), gradient
        if theta.shape[0] == 0:
            return np.zeros(0), np.zeros_like(theta)
        values, gradients = zip(*(self._value_and_grad(row) for row in theta), strict=True)
        return np.asarray(values, dtype=float), np.stack(gradients)

    def linearize(self, theta: Array) -> AutogradLinearization:
        """Return the loss at theta (..., n) with its derivatives."""
        value, gradient = self.value_and_gradient(theta)
        rows = np.atleast_2d(theta)
        return AutogradLinearization(value, gradient, [self._linear(row)[0] for row in rows])


class AutogradLinearization:
    """An ``AutogradObjective`` at one point or at a batch of points.

    Attributes
    ----------
    value : array (...)
    gradient : array (..., n)
    """

    def __init__(
        self, value: Array, gradient: Array, products: list[Callable[[Array], Array]]
    ) -> None:
        self.value = value
        self.gradient = gradient
        self._products = products

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n)."""
        v = np.asarray(v)
        shape = self.gradient.shape
        if v.shape != shape and (v.ndim != len(shape) + 1 or v.shape[-1:] != shape[-1:]):
            raise ValueError(f"v must have shape {shape} or (..., k, n), not {v.shape}")
        blocks = v.reshape(len(self._products), -1, shape[-1])
        rows = [
            [product(row) for row in block]
            for product, block in zip(self._products, blocks, strict=True)
        ]
        return np.asarray(rows, dtype=float).reshape(v.shape)

    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., n, n), made exactly symmetric."""
        n = self.gradient.shape[-1]
        identity = np.broadcast_to(np.eye(n), (*self.gradient.shape[:-1], n, n))
        H = self.hvp(identity)
        return 0.5 * (H + np.swapaxes(H, -1, -2))


def network_loss(
    net: MLP, theta: Array, X: Array, Y: Array, loss: str = "mse", l2: float = 0.0
) -> Array:
    """Return the loss of a network: its readable definition, which autograd differentiates.

    Parameters
    ----------
    net : MLP
    theta : array (n,)
    X : array (N, inputs)
    Y : array (N, outputs) of targets for ``"mse"``, or (N,) of integer labels for
        ``"cross_entropy"``
    loss : {"mse", "cross_entropy"}
        The squared error averaged over samples and outputs, or the softmax cross-entropy
        averaged over samples (Frye et al. 2021, A.1.2).
    l2 : float
        Adds ``l2`` times the mean of θ².
    """
    Z = net.forward(theta, X)
    if loss == "mse":
        value = anp.mean((Z - Y) ** 2)
    else:
        Z = Z - anp.max(Z, axis=1, keepdims=True)
        log_probability = Z - anp.log(anp.sum(anp.exp(Z), axis=1, keepdims=True))
        value = -anp.mean(log_probability[anp.arange(Y.shape[0]), Y])
    return value + l2 * anp.mean(theta**2)
