"""A JAX function of any tree of parameters as an objective."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import missing
from .library import LibraryObjective, Product


def jax_library() -> Any:
    """Return JAX.

    Raises
    ------
    ImportError
        If it is not installed: the message says how to get it.
    """
    try:
        import jax
    except ImportError as error:
        raise missing("JaxObjective", "JAX", "jax", error) from None
    return jax


class JaxObjective(LibraryObjective):
    """A loss written in JAX, as a function of all numbers of a tree of parameters.

    Gradient and products are compiled (``jax.jit``) once for each shape of θ. ``linearize`` goes
    through ``jax.linearize`` of the gradient: what a point keeps is reused by each product. θ holds
    the leaves of the tree in the order of ``jax.flatten_util.ravel_pytree``.

    Parameters
    ----------
    f : callable
        Takes the parameters and returns a scalar; ``jax.jit`` must be able to trace it. Data are
        what f closes over.
    params : pytree of array
        A point of the kind that f takes: arrays, or any nesting of them. All are float64, for which
        ``jax.config.update("jax_enable_x64", True)`` comes before anything else, or all float32, in
        which a gradient has about 7 digits.

    Attributes
    ----------
    n_parameters : int
        The length n of θ. The parameters given are ``objective.theta``, a NumPy array (n,).

    Raises
    ------
    ImportError
        If JAX is not installed.
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    A batch of points (B, n) goes through f together (``jax.vmap``), filled up to a power of two, so
    that a batch from which runs drop out is compiled a few times and not at each size; one by one,
    if f has no batched form.

    Examples
    --------
    ::

        jax.config.update("jax_enable_x64", True)
        params = {"W": jnp.ones((3, 2)), "b": jnp.zeros(2)}
        objective = al.JaxObjective(
            lambda p: jnp.mean((jnp.tanh(X @ p["W"] + p["b"]) - Y) ** 2), params
        )
        trace = al.newton_mr(objective, objective.theta, 50)
    """

    library = "JAX"

    def __init__(self, f: Callable[[Any], Any], params: Any) -> None:
        self._jax = jax = jax_library()
        from jax.flatten_util import ravel_pytree

        if not callable(f):
            raise TypeError(f"f must be callable, not {f!r}")
        leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(params)]
        kinds = {leaf.dtype.name for leaf in leaves}
        if len(kinds) != 1 or not kinds <= {"float64", "float32"}:
            found = ", ".join(sorted(kinds)) or "nothing"
            raise TypeError(f"params must hold float64, or float32 throughout, not {found}")
        self._flat, self._unravel = ravel_pytree(params)
        if self._flat.dtype.name not in kinds:
            raise TypeError(
                "params hold float64, which JAX takes as float32 until it is told otherwise: "
                'jax.config.update("jax_enable_x64", True)'
            )
        found = jax.eval_shape(f, params)
        if getattr(found, "shape", None) != () or found.dtype != self._flat.dtype:
            raise TypeError(f"f must return a scalar of {self._flat.dtype}, not {found}")
        self._f, self._dtype = f, np.dtype(self._flat.dtype)
        self.n_parameters = self._flat.shape[0]

    def __repr__(self) -> str:
        """Return what it is in a line."""
        note = " A gradient has about 7 digits." if self._flat.dtype.name == "float32" else ""
        return f"JaxObjective of {self.n_parameters} parameters, {self._flat.dtype}.{note}"

    def unflatten(self, theta: Array) -> Any:
        """Return the parameters at theta (n,), as a tree like that of ``params``.

        Raises
        ------
        TypeError, ValueError
            If theta is not real, not of shape (n,), or of a third library.
        """
        return self._unravel(self.one_point(theta))

    # --- arrays ---

    def _theta0(self) -> Array:
        return self._flat

    def _is_own(self, array: Any) -> bool:
        return isinstance(array, self._jax.Array)

    def _own(self, array: Array) -> Array:
        if self._is_own(array):
            return array if array.dtype == self._dtype else array.astype(self._dtype)
        # compiled functions take NumPy's fastest; a copy, since JAX may keep the memory
        return np.array(array, dtype=self._dtype)

    def _numpy(self, array: Array) -> np.ndarray:
        return np.array(array, dtype=np.float64)

    # --- the loss ---

    def _loss(self, theta: Array) -> Array:
        return self._f(self._unravel(theta))

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        """The compiled functions of one point (n,) and of a batch (B, n)."""
        jax = self._jax

        def gradient(theta: Array) -> tuple[Array, Array]:
            of_one = jax.value_and_grad(self._loss)
            value, gradient = (of_one if theta.ndim == 1 else jax.vmap(of_one))(theta)
            return gradient, value

        # the linear map that jax.linearize returns is a tree of arrays, which jit may return too
        return {
            "evaluate": jax.jit(gradient),
            "linearize": jax.jit(lambda theta: jax.linearize(gradient, theta, has_aux=True)),
            "product": jax.jit(lambda linear, v: linear(v)),
            "products": jax.jit(lambda linear, v: jax.vmap(linear)(v)),
        }

    def _evaluate(self, theta: Array) -> tuple[Array, ...]:
        gradient, value = self._compiled["evaluate"](self._filled(theta))
        return (
            (value[: len(theta)], gradient[: len(theta)]) if theta.ndim == 2 else (value, gradient)
        )

    def _linearize(self, theta: Array) -> tuple[Array, Array, Product]:
        gradient, linear, value = self._compiled["linearize"](self._filled(theta))
        one, many = self._compiled["product"], self._compiled["products"]
        if theta.ndim == 1:
            return value, gradient, lambda v, block: (many if block else one)(linear, v)
        B = theta.shape[0]

        def product(v: Array, block: bool) -> Array:
            return (many if block else one)(linear, self._filled(v))[..., :B, :]

        return value[:B], gradient[:B], product

    def _filled(self, x: Array) -> Array:
        """Return points or vectors (..., B, n) filled up with the last to a power of two."""
        if x.ndim == 1:
            return x
        B = x.shape[-2]
        more = 2 ** (B - 1).bit_length() - B
        if more == 0:
            return x
        jnp = self._jax.numpy
        last = jnp.broadcast_to(x[..., -1:, :], (*x.shape[:-2], more, x.shape[-1]))
        return jnp.concatenate([x, last], axis=-2)
