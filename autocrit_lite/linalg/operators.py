"""What A, b and M of a system may be: their checks, products and scale, for one system or a batch.

Vectors are arrays (n,) of one system or (B, n) of a batch. Scalars are then Python floats, which
cost a tenth of what arrays of one number do, or arrays (B,). ``functions_of`` gives the functions
of scalars by the names that the array API has for them, so that one text serves both.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import is_array_api_obj
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator

from ..arrays import Array, array_namespace, read_only
from ..checks import float_array, number

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)

Scalar: TypeAlias = float | Array
"""A float, or an array (B,)."""

Flag: TypeAlias = bool | Array
"""A bool, or an array (B,) of them."""

FLOATS = SimpleNamespace(
    hypot=math.hypot,
    isfinite=math.isfinite,
    log2=math.log2,
    floor=math.floor,
    logical_not=operator.not_,
    count_nonzero=int,
    min=float,
    sqrt=lambda a: math.sqrt(a) if a >= 0.0 else math.nan,
    divide=lambda a, b: a / b if b else a * math.inf,
    maximum=lambda a, b: a if a >= b else b,
    minimum=lambda a, b: a if a <= b else b,
    where=lambda condition, a, b: a if condition else b,
)
"""Functions of Python floats, by the names of the array API."""


def functions_of(b: Array) -> Any:
    """Return the functions of the scalars that belong to vectors b, (n,) or (B, n)."""
    return FLOATS if b.ndim == 1 else array_namespace(b)


def sizes_of(b: Array) -> tuple[int, int]:
    """Return how many systems there are, and of how many unknowns."""
    return (b.shape[0] if b.ndim > 1 else 1), b.shape[-1]


def scalar(b: Array, value: float) -> Any:
    """Return a value, be it a float, an integer or a bool, as a scalar of each system of b."""
    if b.ndim == 1:
        return value
    dtype = b.dtype if isinstance(value, float) else None
    return array_namespace(b).full(b.shape[0], value, dtype=dtype, device=b.device)


def dot(u: Array, v: Array) -> Scalar:
    """Return uᵀv: the one place where a float is fetched from the array's device."""
    return float(u @ v) if u.ndim == 1 else array_namespace(u).vecdot(u, v)


def times(c: Scalar, v: Array) -> Array:
    """Return c v, for a scalar c and vectors or scalars v."""
    return c * v if isinstance(c, float) or v.ndim == 1 else c[:, None] * v


def choose(flag: Flag, a: Any, b: Any) -> Any:
    """Return a where the flag is up and b elsewhere; scalars or arrays (..., n)."""
    if isinstance(flag, bool):
        return a if flag else b
    xp = array_namespace(flag)
    return xp.where(xp.reshape(flag, (-1,) + (1,) * (a.ndim - 1)), a, b)


def map_arrays(f: Callable[..., Any], *trees: Any) -> Any:
    """Return f of what stands at the same place in named tuples, or of what is none."""
    if isinstance(trees[0], tuple):
        return type(trees[0])(*(map_arrays(f, *fields) for fields in zip(*trees, strict=True)))
    return f(*trees)


class Selection(NamedTuple):
    """Some systems of a batch of B."""

    flags: Array  # (B,): whether it is among them
    rows: Array  # (K,): which they are
    place: Array  # (B,): where it is among them, if it is

    @classmethod
    def of(cls, flags: Array) -> Selection:
        """Return the systems whose flag is up; the host waits to learn how many."""
        xp = array_namespace(flags)
        place = xp.cumulative_sum(xp.astype(flags, xp.int64)) - 1
        return cls(flags, xp.nonzero(flags)[0], xp.maximum(place, xp.zeros_like(place)))

    def take(self, values: Any) -> Any:
        """Return the arrays and products of a tree for these systems alone, all else as it is."""
        xp = array_namespace(self.rows)

        def rows_of(a: Any) -> Any:
            if isinstance(a, Product):
                return a.take(self)
            return xp.take(a, self.rows, axis=0) if is_array_api_obj(a) else a

        return map_arrays(rows_of, values)

    def put(self, values: Any, part: Any) -> Any:
        """Return the arrays of a tree with those of ``part`` for these systems."""
        xp = array_namespace(self.rows)
        return map_arrays(
            lambda a, b: choose(self.flags, xp.take(b, self.place, axis=0), a), values, part
        )


def largest_of(v: Array) -> Scalar:
    """Return max |v| of each system."""
    xp = array_namespace(v)
    largest = xp.max(xp.abs(v), axis=-1)
    return float(largest) if v.ndim == 1 else largest


def exponent_of(v: Array) -> Scalar:
    """Return e with max |v| from 2^e to 2^(e + 1), about; 0 if it is 0 or not finite."""
    xp, largest = functions_of(v), largest_of(v)
    usual = (largest > 0.0) & (largest < math.inf)
    return xp.floor(xp.log2(xp.where(usual, largest, scalar(v, 1.0))))


def power_times(exponent: Scalar, v: Array) -> Array:
    """Return 2^exponent v, in steps each of which a float can hold: no digit changes."""
    xp = FLOATS if isinstance(exponent, (int, float)) else array_namespace(exponent)
    for _ in range(4):
        step = xp.minimum(xp.maximum(exponent, -1000.0), 1000.0)
        v, exponent = times(2.0**step, v), exponent - step
    return v


@dataclass(frozen=True)
class Product:
    """v -> 2^exponent (A - shift I) v, for one vector (n,) or for each row of (B, n)."""

    name: str
    A: Any  # a matrix, one for each system, or a callable
    shift: Scalar | None = None
    exponent: Scalar | None = None

    def __call__(self, v: Array) -> Array:
        """Return the products, checked for their type and shape."""
        p = self.unchecked(read_only(v))
        if type(p) is not type(v) or p.dtype != v.dtype:
            p = float_array(self.name, p, finite=False)
        if p.shape != v.shape:
            raise ValueError(
                f"{self.name} must map shape {tuple(v.shape)} to itself, not to {tuple(p.shape)}"
            )
        if self.shift is not None:
            p = p - times(self.shift, v)
        return p if self.exponent is None else power_times(self.exponent, p)

    def unchecked(self, v: Array) -> Any:
        """Return A v, whatever it is."""
        A = self.A
        if isinstance(A, LinearOperator):
            return A.matvec(v) if v.ndim == 1 else A.matmat(v.T).T
        if callable(A):
            return A(v)
        if A.ndim == 3:
            return (A @ v[:, :, None])[:, :, 0]
        return A @ v if v.ndim == 1 else (A @ v.T).T

    def take(self, chosen: Selection) -> Product:
        """Return the product for some of the systems that it takes now."""
        A, xp = self.A, array_namespace(chosen.rows)
        if is_matrix(A):
            part = A if A.ndim == 2 else xp.take(A, chosen.rows, axis=0)
        elif hasattr(A, "take"):
            part = A.take(chosen.rows)
        else:

            def part(v: Array) -> Array:
                shape = (chosen.flags.shape[0], v.shape[1])
                whole = chosen.put(xp.zeros(shape, dtype=v.dtype, device=v.device), v)
                return chosen.take(float_array(self.name, A(read_only(whole)), finite=False))

        return Product(self.name, part, chosen.take(self.shift), chosen.take(self.exponent))


def is_matrix(A: Any) -> bool:
    """Return whether A is an array, a sparse one, or a LinearOperator, rather than a function."""
    return isinstance(A, LinearOperator) or issparse(A) or is_array_api_obj(A)


def product_with(name: str, A: Any, b: Array, shift: Scalar | None = None) -> Product:
    """Return the product with A, a matrix for each right-hand side, one for all, or a callable.

    Raises
    ------
    TypeError
        If A is neither a matrix of real numbers nor callable.
    ValueError
        If its shape does not fit, or if an array or a sparse array is not symmetric.
    """
    if isinstance(A, (list, tuple, np.ndarray)) or is_array_api_obj(A):
        A = float_array(name, A, finite=False)
    if not is_matrix(A):
        if not callable(A):
            raise TypeError(
                f"{name} must be an array, a sparse array, a LinearOperator or callable, not {A!r}"
            )
        return Product(name, A, shift)
    n, shape = b.shape[-1], tuple(A.shape)
    accepted = [(n, n)] + [(*b.shape, n)] * (is_array_api_obj(A) and b.ndim == 2)
    if shape not in accepted:
        if b.ndim == 2 and shape[-2:] == (b.shape[0],) * 2:
            raise ValueError(
                f"b must have shape {shape[-1:]} for one system with this {name}, or (B, "
                f"{shape[-1]}) for B, a system in each row, not {tuple(b.shape)}"
            )
        raise ValueError(f"{name} must have shape {' or '.join(map(str, accepted))}, not {shape}")
    if not is_array_api_obj(A) and np.issubdtype(A.dtype, np.complexfloating):
        raise TypeError(f"{name} must hold real numbers, not {A.dtype}")
    if isinstance(A, LinearOperator):
        return Product(name, A, shift)
    is_sparse: bool = issparse(A)
    if is_sparse:
        A = csr_array(A)
        A.data = float_array(name, A.data, finite=False)
    _require_symmetry(name, A)
    return Product(name, A, shift)


@np.errstate(invalid="ignore")  # of infinite elements
def _require_symmetry(name: str, A: Any) -> None:
    """Raise a ValueError if a dense or sparse matrix, or one of a stack, is not symmetric.

    Matrices that are symmetric but for rounding differ by some 1e-15 of their largest element; 1e-8
    is allowed, chosen by us, for those that come from single precision. What is not finite is found
    in the solve, which tells it by a stop reason.
    """
    is_sparse: bool = issparse(A)
    if is_sparse:
        largest, apart = abs(A).max(), abs(A - A.T).max()
    else:
        xp = array_namespace(A)
        largest = xp.max(xp.abs(A), axis=(-2, -1))
        apart = xp.max(xp.abs(A - xp.matrix_transpose(A)), axis=(-2, -1))
    asymmetric = (apart > 1e-8 * largest) & (apart < math.inf)
    if bool(array_namespace(asymmetric).any(asymmetric)):
        raise ValueError(f"{name} must be symmetric, but differs from its transpose")


def shift_of(shift: Any, b: Array) -> Scalar | None:
    """Return the shift as a scalar of each system, None if it is zero."""
    if is_array_api_obj(shift) and shift.ndim > 0:
        shift = float_array("shift", shift)
        if shift.shape != b.shape[:-1]:
            accepted = f"{tuple(b.shape[:-1])}" if b.ndim == 2 else "()"
            raise ValueError(f"shift must have shape {accepted}, not {tuple(shift.shape)}")
        return shift
    shift = number("shift", shift, finite=True)
    return scalar(b, shift) if shift else None
