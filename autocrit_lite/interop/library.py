"""What the objectives of other libraries share: NumPy's arrays or the library's own, and batches.

A library supplies two functions of θ, one point or a batch; here are the conversions, the loop over
the points of a batch that the library cannot take together, and blocks of vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, array_namespace
from ..checks import float_array, product_shape, theta_shape
from ..objectives import hessian_by_products

COLUMNS = 64
"""Vectors that go through a model together. Chosen by us: a block of 1,000 would take 1,000 times
the memory of one."""
Product = Callable[[Array, bool], Array]
"""Takes v of the shape of θ, or with True a block (k, ...) of such, and returns Hv."""


class LibraryObjective(ABC):
    """A loss written in another library.

    θ as a NumPy array gives NumPy arrays of float64; as an array of the library it gives arrays of
    the library, of the model's own kind of numbers. Finders take the former.

    Attributes
    ----------
    n_parameters : int
        The length n of θ.
    """

    library: str
    n_parameters: int
    _together = True

    @property
    def hessian_cost(self) -> float:
        """How many Hessian-vector products cost as much as one dense Hessian: n, which make it."""
        return float(self.n_parameters)

    @property
    def theta(self) -> np.ndarray:
        """Where the model was when it was given, shape (n,), as a NumPy array."""
        return self._numpy(self._theta0())

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss, shape (...), and its gradient, shape (..., n), at theta (..., n).

        Raises
        ------
        TypeError, ValueError
            If theta is not real, not of shape (n,) or (B, n), or of a third library.
        """
        theta, back = self.taken("theta", theta)
        value, gradient, *_ = self._points(self._evaluate, theta)
        return back(value), back(gradient)

    def linearize(self, theta: Array) -> LibraryLinearization:
        """Return the loss at theta (..., n) with what its products need, which is made once.

        Raises
        ------
        TypeError, ValueError
            If theta is not real, not of shape (n,) or (B, n), or of a third library.
        """
        return LibraryLinearization(self, *self.taken("theta", theta))

    def taken(
        self, name: str, array: Array, shape: tuple[int, ...] | None = None
    ) -> tuple[Array, Callable[[Array], Array]]:
        """Return an array as the library takes it, and what brings results to where it was.

        Parameters
        ----------
        name : str
        array : array (n,) or (B, n), or a vector or block of vectors for the points
        shape : tuple of int, optional
            Of the points, if the array is of vectors.

        Raises
        ------
        TypeError, ValueError
            If it is of another shape, not real, or of a third library.
        """
        own = self._is_own(array)
        if not own:
            array = float_array(name, array, finite=False)
            if not isinstance(array, np.ndarray):
                kind = type(array)
                raise TypeError(
                    f"{name} must be an array of NumPy or {self.library}, not of {kind.__module__}"
                )
        if shape is None:
            theta_shape(name, array, self.n_parameters)
        else:
            product_shape(name, array, shape)
        return self._own(array), (lambda x: x) if own else self._numpy

    def one_point(self, theta: Array) -> Array:
        """Return theta (n,) as the library takes it.

        Raises
        ------
        TypeError, ValueError
            If theta is not real, not of shape (n,), or of a third library.
        """
        theta = self.taken("theta", theta)[0]
        if theta.ndim != 1:
            raise ValueError(f"theta must have shape ({self.n_parameters},), not {theta.shape}")
        return theta

    def _points(self, compute: Callable[[Array], tuple[Any, ...]], theta: Array) -> Any:
        """Return what ``compute`` says of theta, one point or a batch, one by one if it must be."""
        if theta.ndim == 1 or (self._together and theta.shape[0] > 1):
            try:
                return compute(theta)
            except Exception:
                if theta.ndim == 1:
                    raise
                found = self._one_by_one(compute, theta)  # what fails alone too says so itself
                self._together = False
                return found
        if theta.shape[0] == 0:
            return theta[:, 0], theta, lambda v, block: v
        return self._one_by_one(compute, theta)

    def _one_by_one(self, compute: Callable[[Array], tuple[Any, ...]], theta: Array) -> Any:
        xp = array_namespace(theta)
        values, gradients, *products = zip(
            *(compute(theta[i, :]) for i in range(theta.shape[0])), strict=True
        )

        def product(v: Array, block: bool) -> Array:
            parts = [own(v[..., i, :], block) for i, own in enumerate(products[0])]
            return xp.stack(parts, axis=-2)

        return xp.stack(values), xp.stack(gradients), product

    @abstractmethod
    def _theta0(self) -> Array:
        """Return the model's own parameters, (n,)."""

    @abstractmethod
    def _is_own(self, array: Any) -> bool:
        """Return whether an array is one of the library."""

    @abstractmethod
    def _own(self, array: Array) -> Array:
        """Return an array, NumPy's or the library's, as ``_evaluate`` and products take it."""

    @abstractmethod
    def _numpy(self, array: Array) -> np.ndarray:
        """Return an array of the library as NumPy's, of float64, which may be written to."""

    @abstractmethod
    def _evaluate(self, theta: Array) -> tuple[Array, ...]:
        """Return loss and gradient at theta (n,), or (B, n) if the model can."""

    @abstractmethod
    def _linearize(self, theta: Array) -> tuple[Array, Array, Product]:
        """Return loss, gradient and the map of vectors to products at theta, as above."""


class LibraryLinearization:
    """Such a loss at one point or at a batch of points.

    Attributes
    ----------
    value : array (...)
    gradient : array (..., n)
    """

    def __init__(
        self, objective: LibraryObjective, theta: Array, back: Callable[[Array], Array]
    ) -> None:
        value, gradient, self._product = objective._points(objective._linearize, theta)
        self._objective = objective
        self.value, self.gradient = back(value), back(gradient)

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., n) or for a block of k, (..., k, n).

        The result is an array of the kind that v is.

        Raises
        ------
        TypeError, ValueError
            If v is of neither shape, not real, or of a third library.
        """
        shape = tuple(self.gradient.shape)
        v, back = self._objective.taken("v", v, shape)
        if v.ndim == len(shape):
            return back(self._product(v, False))
        xp = array_namespace(v)
        if 0 in v.shape:
            return back(v)
        block = xp.moveaxis(v, -2, 0)
        parts = [
            self._product(block[i : i + COLUMNS, ...], True)
            for i in range(0, block.shape[0], COLUMNS)
        ]
        return back(xp.moveaxis(xp.concat(parts, axis=0), 0, -2))

    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., n, n), from n products, made exactly symmetric."""
        return hessian_by_products(self)
