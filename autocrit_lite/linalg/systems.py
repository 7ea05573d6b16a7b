"""One linear system or many: arithmetic on their scalars, the working set, products with A.

A solver written with these runs on one system, whose scalars are Python floats (they cost a tenth
of 0-d arrays), and on a batch of B systems, whose scalars are arrays (B,), without a second text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_array_api_obj
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator

from ..arrays import Array, array_namespace, read_only
from ..checks import float_array

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)

Scalar = Any
"""A float, or an array (B,)."""

Flag = Any
"""A bool, or an array (B,) of them."""


class _One:
    """Scalars of one system are floats, its vectors arrays (n,)."""

    zero, one, tiny = 0.0, 1.0, TINY
    hypot = staticmethod(math.hypot)
    isfinite = staticmethod(math.isfinite)

    def __init__(self, b: Array) -> None:
        self.xp = array_namespace(b)

    def dot(self, u: Array, v: Array) -> float:
        """Return uᵀv: the one place where a float is fetched from the array's device."""
        return float(u @ v)

    def scale(self, c: float, v: Array) -> Array:
        """Return c v."""
        return c * v

    def combine(self, c: list[float], rows: Array) -> Array:
        """Return the sum of c[i] times row i of ``rows``, (..., len(c), n)."""
        return self.xp.asarray(c, dtype=rows.dtype, device=rows.device) @ rows

    def sqrt(self, a: float) -> float:
        return math.sqrt(a) if a >= 0.0 else math.nan

    def ratio(self, a: float, b: float) -> float:
        """Return a / b, which is infinite or NaN if b = 0."""
        return a / b if b else a * math.inf

    def maximum(self, a: float, b: float) -> float:
        return a if a >= b else b

    def minimum(self, a: float, b: float) -> float:
        return a if a <= b else b

    def where(self, condition: bool, a: Any, b: Any) -> Any:
        """Return a where the condition holds and b elsewhere; scalars or arrays (..., n)."""
        return a if condition else b

    def negate(self, condition: bool) -> bool:
        return not condition

    def any(self, condition: bool) -> bool:
        return condition

    def least(self, a: float) -> float:
        """Return the smallest over the systems."""
        return a

    def put(self, full: Any, working: Any, which: bool = True) -> Any:
        """Return ``full`` with the values of those working systems that are in ``which``."""
        return working if which else full

    def survivors(self, running: bool, broken: bool) -> None:
        """Return the rows of the running systems, and keep only those, if that pays."""

    def keep(self, which: bool) -> None:
        """Reduce the working set to ``which``; return its rows, None for all."""


class _Many:
    """Scalars of B systems are arrays (B,), their vectors arrays (B, n).

    Systems that are done can be dropped: the *working set* is what is left, and ``put`` writes
    what belongs to it into arrays of all systems.
    """

    def __init__(self, b: Array) -> None:
        xp = self.xp = array_namespace(b)
        self.one = xp.ones_like(b[:, 0])
        self.zero, self.tiny = xp.zeros_like(self.one), xp.full_like(self.one, TINY)
        self.hypot, self.sqrt, self.isfinite = xp.hypot, xp.sqrt, xp.isfinite
        self.maximum, self.minimum, self.negate = xp.maximum, xp.minimum, xp.logical_not
        self.dot = xp.vecdot
        # for each of all systems: whether it is in the working set, and where
        self.present = self.one > self.zero
        self.place = xp.arange(b.shape[0], device=b.device)

    def scale(self, c: Array, v: Array) -> Array:
        return c[:, None] * v

    def combine(self, c: list[Array], rows: Array) -> Array:
        return (self.xp.stack(c, axis=-1)[:, None, :] @ rows)[:, 0, :]

    def ratio(self, a: Array, b: Array) -> Array:
        return a / b

    def where(self, condition: Array, a: Array, b: Array) -> Array:
        if a.ndim > 1:
            condition = self.xp.reshape(condition, (-1,) + (1,) * (a.ndim - 1))
        return self.xp.where(condition, a, b)

    def any(self, condition: Array) -> bool:
        return bool(self.xp.count_nonzero(condition) > 0)

    def least(self, a: Array) -> float:
        return float(self.xp.min(a))

    def put(self, full: Array, working: Array, which: Array | None = None) -> Array:
        chosen, take = self.present, self.xp.take
        if which is not None:
            chosen = chosen & take(which, self.place, axis=0)
        return self.where(chosen, take(working, self.place, axis=0), full)

    def survivors(self, running: Array, broken: Array) -> Array | None:
        xp = self.xp
        n_running = int(xp.sum(xp.astype(running, xp.int64)))
        if 2 * n_running >= running.shape[0] and not self.any(broken):
            return None
        return self.keep(running)

    def keep(self, which: Array) -> Array:
        xp = self.xp
        self.present = self.present & xp.take(which, self.place, axis=0)
        rank = xp.cumulative_sum(xp.astype(self.present, xp.int64)) - 1
        self.place = xp.where(self.present, rank, xp.zeros_like(rank))
        rows = xp.nonzero(which)[0]
        left = slice(rows.shape[0])
        self.one, self.zero, self.tiny = self.one[left], self.zero[left], self.tiny[left]
        return rows


Systems = _One | _Many


def systems_of(b: Array) -> Systems:
    """Return the arithmetic for right-hand sides b, (n,) or (B, n)."""
    return _One(b) if b.ndim == 1 else _Many(b)


def take_rows(rows: Array | None, a: Any) -> Any:
    """Return the rows of an array, or of each array of a named tuple; all of it for None."""
    if rows is None or a is None:
        return a
    if isinstance(a, tuple):
        taken = [take_rows(rows, field) for field in a]
        return type(a)(*taken) if hasattr(a, "_fields") else tuple(taken)
    return array_namespace(a).take(a, rows, axis=0)


class Product(NamedTuple):
    """v -> (A - shift I) v, for one vector (n,) or for each row of (B, n)."""

    name: str
    A: Any
    apply: Callable[[Array], Array]
    shift: Scalar | None = None

    def __call__(self, v: Array) -> Array:
        """Return the products, checked for their type and shape."""
        p = self.apply(read_only(v))
        if type(p) is not type(v) or p.dtype != v.dtype:
            p = float_array(self.name, p, finite=False)
        if p.shape != v.shape:
            raise ValueError(
                f"{self.name} must map shape {tuple(v.shape)} to itself, not to {tuple(p.shape)}"
            )
        if self.shift is None:
            return p
        return p - (self.shift if v.ndim == 1 else self.shift[:, None]) * v

    def take(self, rows: Array | None, n_systems: int) -> Product:
        """Return the product for some of the ``n_systems`` rows that it takes now."""
        if rows is None or rows.shape[0] == n_systems:
            return self
        A, shift, xp = self.A, take_rows(rows, self.shift), array_namespace(rows)
        if _is_matrix(A) and A.ndim == 2:
            return self._replace(shift=shift)  # one matrix for all rows
        if _is_matrix(A) or hasattr(A, "take"):
            part = xp.take(A, rows, axis=0) if _is_matrix(A) else A.take(rows)
            return product_with(self.name, part)._replace(shift=shift)
        # the operator wants whole batches: rows go back where they were, zeros elsewhere
        at = rows[None, :] == xp.arange(n_systems, device=rows.device)[:, None]
        index = xp.argmax(xp.astype(at, xp.int64), axis=1)
        place = xp.where(xp.any(at, axis=1), index, xp.full_like(index, rows.shape[0]))

        def apply(v: Array) -> Array:
            padded = xp.concat([v, xp.zeros_like(v[:1, :])], axis=0)
            return xp.take(self.apply(xp.take(padded, place, axis=0)), rows, axis=0)

        return Product(self.name, apply, apply, shift)


def _is_matrix(A: Any) -> bool:
    return isinstance(A, LinearOperator) or issparse(A) or is_array_api_obj(A)


@np.errstate(invalid="ignore")  # of infinite elements
def _require_symmetry(name: str, A: Any) -> None:
    """Raise a ValueError if a dense or sparse matrix, or one of a stack, is not symmetric.

    Matrices that are symmetric but for rounding differ by some 1e-15 of their largest element; 1e-8
    is allowed, chosen by us, for those that come from single precision.
    """
    sparse: bool = issparse(A)
    xp = np if sparse else array_namespace(A)
    transpose = A.T if sparse else xp.matrix_transpose(A)
    axes = None if sparse else (-2, -1)
    if 0 in A.shape:
        return
    largest = abs(A).max(axis=axes) if sparse else xp.max(xp.abs(A), axis=axes)
    apart = abs(A - transpose)
    apart = apart.max(axis=axes) if sparse else xp.max(apart, axis=axes)
    # not finite: found, and told by a stop reason, in the solve
    if bool(xp.any(xp.isfinite(xp.asarray(apart)) & xp.asarray(apart > 1e-8 * largest))):
        raise ValueError(f"{name} must be symmetric, but differs from its transpose")


def product_with(name: str, A: Any, b: Array | None = None) -> Product:
    """Return the product with A, whose shape is checked against the right-hand side if given.

    Raises
    ------
    TypeError
        If A is neither a matrix of real numbers, in an array of float64 ones, nor callable.
    ValueError
        If its shape does not fit.
    """
    if isinstance(A, (list, tuple, np.ndarray)) or is_array_api_obj(A):
        A = float_array(name, A, finite=False)
    elif issparse(A):
        sparse: Any = A
        A = sparse if sparse.dtype.kind == "c" else sparse.astype(np.float64, copy=False)
    if not _is_matrix(A):
        if not callable(A):
            raise TypeError(
                f"{name} must be an array, a sparse array, a LinearOperator or callable, not {A!r}"
            )
        return Product(name, A, A)
    if b is not None:
        n = b.shape[-1]
        accepted = [(n, n)] + [(*b.shape, n)] * (is_array_api_obj(A) and b.ndim == 2)
        if b.ndim == 2 and tuple(A.shape) == (b.shape[0], b.shape[0]) and n == 1:
            raise ValueError(
                f"b must have shape ({b.shape[0]},) for one system with this {name}, not {b.shape}"
            )
        if tuple(A.shape) not in accepted:
            shapes = " or ".join(map(str, accepted))
            raise ValueError(f"{name} must have shape {shapes}, not {tuple(A.shape)}")
    if not is_array_api_obj(A) and np.issubdtype(A.dtype, np.complexfloating):
        raise TypeError(f"{name} must hold real numbers, not {A.dtype}")
    if b is not None and not isinstance(A, LinearOperator):
        _require_symmetry(name, A)
    if A.ndim == 3:
        return Product(name, A, lambda v: (A @ v[:, :, None])[:, :, 0])
    if isinstance(A, LinearOperator):
        return Product(name, A, lambda v: A.matvec(v) if v.ndim == 1 else A.matmat(v.T).T)
    return Product(name, A, lambda v: A @ v if v.ndim == 1 else (A @ v.T).T)
