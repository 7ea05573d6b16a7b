"""What a finder sees of a loss: value, gradient, Hessian-vector products, dense Hessian."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from autograd import grad
from autograd.core import VJPNode, backward_pass, vspace
from autograd.tracer import isbox, new_box, trace_stack

from .arrays import Array, read_only
from .checks import product_array, theta_array


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

    # n products make a dense Hessian; a finder on few parameters does better to form it at once
    hessian_cost = 1.0

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss, shape (...), and its gradient, shape (..., n), at theta (..., n).

        Raises
        ------
        TypeError, ValueError
            If theta holds no real numbers, or is of neither one nor two dimensions, or f is not
            written with ``autograd.numpy``, or returns no scalar that depends on theta.
        """
        theta = read_only(theta_array(theta, None))
        if theta.ndim == 1:
            value, gradient = self._at(theta)
            return np.asarray(value, dtype=float), gradient
        if theta.shape[0] == 0:
            return np.zeros(0), np.zeros_like(theta)
        values, gradients = zip(*(self._at(row) for row in theta), strict=True)
        return np.asarray(values, dtype=float), np.stack(gradients)

    def _at(self, theta: Array) -> tuple[Any, Array]:
        cause = None
        try:
            value, node = _traced(self._f, theta)
            if node is not None and np.shape(value) == ():
                return value, backward_pass(vspace(value).ones(), node)
        except Exception as error:
            cause = error
            value = self._f(theta)  # what fails without autograd too says so itself
        if np.shape(value) != ():
            raise TypeError(f"f must return a scalar, not an array of shape {np.shape(value)}")
        raise TypeError(
            "f must be written with autograd.numpy (import autograd.numpy as np) and return a "
            "scalar that depends on theta"
        ) from cause

    def linearize(self, theta: Array) -> AutogradLinearization:
        """Return the loss at theta (..., n) with its derivatives."""
        return AutogradLinearization(self, read_only(np.array(theta_array(theta, None))))


def _traced(f: Callable[[Array], Any], x: Array) -> tuple[Any, Any]:
    """Return f(x), and its node in autograd's graph: None if it does not depend on x.

    As ``autograd.tracer.trace``, which warns if it does not.
    """
    with trace_stack.new_trace() as number:
        start = new_box(x, number, VJPNode.new_root())
        end = f(start)
        if isbox(end) and end._trace == start._trace:
            return end._value, end._node
        return end, None


class AutogradLinearization:
    """An ``AutogradObjective`` at one point or at a batch of points.

    Attributes
    ----------
    value : array (...)
    gradient : array (..., n)
    """

    def __init__(self, objective: AutogradObjective, theta: Array) -> None:
        self._objective = objective
        self._theta = theta
        self.value, self.gradient = objective.value_and_gradient(theta)

    @cached_property
    def _products(self) -> list[Callable[[Array], Array]]:
        gradient = grad(self._objective._f)

        def product(row: Array) -> Callable[[Array], Array]:
            _, node = _traced(gradient, row)
            if node is None:  # f is linear in θ
                return np.zeros_like
            return lambda v: backward_pass(v, node)

        return [product(row) for row in np.atleast_2d(self._theta)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave autograd's graph out of copies, which make their own."""
        return {name: x for name, x in vars(self).items() if name != "_products"}

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n).

        Raises
        ------
        ValueError
            If v is of neither shape.
        """
        v = read_only(product_array("v", v, self.gradient.shape))
        blocks = v.reshape(len(self._products), -1, v.shape[-1])
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
