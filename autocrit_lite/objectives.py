"""What a finder sees of a loss: value, gradient, Hessian-vector products, dense Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from array_api_compat import device
from autograd import grad
from autograd.core import VJPNode, backward_pass, vspace
from autograd.tracer import isbox, new_box, trace_stack

from .arrays import Array, array_namespace, read_only
from .checks import boolean, float_array, integer, plain_array, product_array, theta_array


class Linearization(Protocol):
    """A loss at one point (n,) or at a batch of points (B, n): what a finder asks of a point.

    Anything with these attributes and methods is one; nothing has to be inherited.

    Attributes
    ----------
    value : array (...) of float64
        The loss, shape () at one point, (B,) at a batch.
    gradient : array (..., n) of float64

    Notes
    -----
    A point stays what it is: its products are those at its own θ, whatever is linearised later.
    """

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
    """A twice differentiable loss of n parameters: all that finders and solver see of it.

    Anything with this attribute and these methods is an objective; nothing has to be inherited.
    ``AutogradObjective``, ``NetworkObjective``, ``TorchObjective``, ``JaxObjective`` and
    ``from_functions`` make one, and ``check_objective`` says what is wrong with one of your own.

    Attributes
    ----------
    hessian_cost : float
        How many Hessian-vector products cost as much as one dense Hessian: n, if it is made by
        products. A finder forms the matrix once the products at a point have cost as much.

    Notes
    -----
    θ, and every vector, is an array of float64: one point (n,), or a batch (B, n) of independent
    points. Beyond rounding, what is returned for a point may not depend on the others in its
    batch. An objective does not write to what it is given; finders give it read-only arrays.
    """

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
        return hessian_by_products(self)


def hessian_by_products(point: Linearization) -> Array:
    """Return the dense Hessian, shape (..., n, n), from its n products, made exactly symmetric."""
    shape = point.gradient.shape
    xp = array_namespace(point.gradient)
    identity = xp.eye(shape[-1], dtype=point.gradient.dtype, device=device(point.gradient))
    H = point.hvp(xp.broadcast_to(identity, (*shape, shape[-1])))
    return 0.5 * (H + xp.matrix_transpose(H))


def from_functions(
    value_and_gradient: Callable[[Array], tuple[Array, Array]],
    hvp: Callable[[Array, Array], Array],
    *,
    n: int,
    batched: bool = False,
) -> Objective:
    """Return the objective whose derivatives are functions of one's own.

    Parameters
    ----------
    value_and_gradient : callable
        Takes θ, shape (n,), and returns the loss, a scalar, and its gradient, shape (n,).
    hvp : callable
        Takes θ, shape (n,), and v, shape (n,), and returns the Hessian at θ times v, shape (n,).
    n : int
        How many parameters there are.
    batched : bool
        False: the functions take one point, and a batch is a loop over its points. True: they take
        θ and v of shape (B, n), for any B, and return arrays (B,) and (B, n).

    Returns
    -------
    Objective
        Its dense Hessian takes n products. θ and v may be arrays of any library; the functions get
        them as they come, NumPy's as read-only views.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or, when they are called, if a function returns
        something else than described. Numbers of less than 64 bits are refused: a search to a
        squared gradient norm of 1e-8 or less needs all the digits.

    See Also
    --------
    check_objective : compares the functions with finite differences.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.diag([1.0, -2.0])
    >>> objective = from_functions(
    ...     lambda theta: (0.5 * theta @ A @ theta, A @ theta), lambda theta, v: A @ v, n=2
    ... )
    >>> point = objective.linearize(np.array([3.0, 1.0]))
    >>> float(point.value), point.gradient.tolist(), point.hvp(np.array([0.0, 1.0])).tolist()
    (3.5, [3.0, -2.0], [0.0, -2.0])
    """
    for name, function in (("value_and_gradient", value_and_gradient), ("hvp", hvp)):
        if not callable(function):
            raise TypeError(f"{name} must be callable, not {function!r}")
    n = integer("n", n, at_least=1)
    return _FunctionObjective(value_and_gradient, hvp, n, boolean("batched", batched))


@dataclass(frozen=True)
class _FunctionObjective:
    """What ``from_functions`` returns."""

    _value_and_gradient: Callable[[Array], tuple[Array, Array]]
    _hvp: Callable[[Array, Array], Array]
    _n: int
    _batched: bool

    @property
    def hessian_cost(self) -> float:
        return float(self._n)

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        theta = read_only(theta_array(theta, self._n))
        xp = array_namespace(theta)
        if theta.shape[0] == 0:
            return theta[:, 0], theta
        rows = xp.reshape(theta, (-1, self._n))
        if self._batched:
            values, gradients = self._pair(rows)
        else:
            pairs = [self._pair(rows[i, :]) for i in range(rows.shape[0])]
            values, gradients = (xp.stack(part) for part in zip(*pairs, strict=True))
        return xp.reshape(values, theta.shape[:-1]), xp.reshape(gradients, theta.shape)

    def _pair(self, theta: Array) -> tuple[Array, Array]:
        """Return what the function says of theta, (n,) or (B, n), if that is what it should be."""
        found = self._value_and_gradient(theta)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(
                "value_and_gradient must return two things, the loss and its gradient, not "
                f"{type(found).__name__}"
            )
        return (
            _returned("the loss that value_and_gradient returns", found[0], theta.shape[:-1]),
            _returned("the gradient that value_and_gradient returns", found[1], theta.shape),
        )

    def linearize(self, theta: Array) -> _FunctionLinearization:
        theta = theta_array(theta, self._n)
        copy = read_only(array_namespace(theta).asarray(theta, copy=True))
        return _FunctionLinearization(self, copy)


class _FunctionLinearization:
    """Such an objective at one point or at a batch of points."""

    def __init__(self, objective: _FunctionObjective, theta: Array) -> None:
        self._objective, self._theta = objective, theta
        value, gradient = objective.value_and_gradient(theta)
        xp = array_namespace(theta)  # a function may return the same array again
        self.value, self.gradient = xp.asarray(value, copy=True), xp.asarray(gradient, copy=True)

    def hvp(self, v: Array) -> Array:
        v = product_array("v", v, self.gradient.shape)
        xp, n = array_namespace(v), self._theta.shape[-1]
        rows, points = read_only(xp.reshape(v, (-1, n))), xp.reshape(self._theta, (-1, n))
        if rows.shape[0] == 0:
            return v
        points = read_only(xp.repeat(points, rows.shape[0] // points.shape[0], axis=0))
        objective, name = self._objective, "what hvp returns"
        if objective._batched:
            products = _returned(name, objective._hvp(points, rows), rows.shape)
        else:
            pairs = [(points[i, :], rows[i, :]) for i in range(rows.shape[0])]
            products = xp.stack([_returned(name, objective._hvp(*pair), (n,)) for pair in pairs])
        return xp.reshape(products, v.shape)

    def hessian(self) -> Array:
        return hessian_by_products(self)


def _returned(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """Return what a user's function returned, if it has that shape and enough digits."""
    array = plain_array(name, array)
    narrow = getattr(array.dtype, "itemsize", 8) < 8
    if narrow and array_namespace(array).isdtype(array.dtype, "real floating"):
        raise TypeError(f"{name} must be float64, not {array.dtype}")
    array = float_array(name, array, finite=False)
    if tuple(array.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, not {tuple(array.shape)}")
    return array
