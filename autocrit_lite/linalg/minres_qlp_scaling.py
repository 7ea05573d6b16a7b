"""Systems whose numbers have no squares: solved with A, b and M multiplied by powers of two.

A power of two changes no digit, so that a solution is the same at any scale that floats have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from ..arrays import LARGEST_SQUARED, Array, array_namespace
from .systems import Product

T = TypeVar("T")
Solve = Callable[[Product, Product | None, Array, float], Any]
"""Of one system A, M, b and the limit on ‖x‖: what a solve found, a dataclass."""

# exponents that a number has more than its system's: of b, A, M
_EXPONENTS = {
    "residual_norm": (1.0, 0.0, 0.5),
    "residual_history": (1.0, 0.0, 0.5),
    "cokernel_residual_norm": (1.0, 1.0, 1.5),
    "cokernel_residual_history": (1.0, 1.0, 1.5),
    "A_norm": (0.0, 1.0, 1.0),
    "x_norm": (1.0, -1.0, -0.5),
    "x": (1.0, -1.0, 0.0),
}


def out_of_range(b_norm: Any, A_norm: Any) -> bool:
    """Return whether a norm that comes up in any system may have no square."""
    found = []
    inverse = 1.0 / A_norm if not isinstance(A_norm, float) or A_norm else math.inf
    for norm in (b_norm, A_norm, A_norm * b_norm, inverse * b_norm):
        found.append((norm >= 1.0 / LARGEST_SQUARED) & (norm <= LARGEST_SQUARED))
    usual = found[0] & found[1] & found[2] & found[3]
    return not (usual if isinstance(usual, bool) else bool(array_namespace(usual).all(usual)))


def rescaled(
    result: T, A: Product, M: Product | None, b: Array, maxxnorm: float, solve: Solve
) -> T:
    """Return a result in which each system that is out of range has been solved at a scale.

    Parameters
    ----------
    result : dataclass
        Of the solve as it was given.
    A, M : Product
    b : array (n,) or (B, n)
    maxxnorm : float
    solve : callable
    """
    if b.ndim == 1:
        found = _at_a_scale(A, M, b, maxxnorm, solve)
        return result if found is None else found
    xp = array_namespace(b)
    for i in range(b.shape[0]):
        row = xp.asarray([i], device=b.device)
        one = [None if P is None else _alone(P.take(row, b.shape[0])) for P in (A, M)]
        found = _at_a_scale(one[0], one[1], b[i, :], maxxnorm, solve)
        if found is not None:
            result = _with_row(result, i, found)
    return result


def _alone(P: Product) -> Product:
    """Return the product of a batch of one system as that of a single one."""

    def apply(v: Array) -> Array:
        return P(v[None, :])[0, :]

    return Product(P.name, apply, apply)


def _at_a_scale(
    A: Product | None, M: Product | None, b: Array, maxxnorm: float, solve: Solve
) -> Any:
    """Return what a system's solve at a scale of its own finds; None if it is none of those."""
    assert A is not None
    e_b = _exponent(b)
    b = _times(b, -e_b)
    e_A = _exponent(A(b))
    e_M = 0 if M is None else 2 * (_exponent(M(b)) // 2)
    if max(abs(e_b) + abs(e_A), abs(e_M)) < math.log2(LARGEST_SQUARED) - 8.0:
        return None

    def times(P: Product, exponent: int) -> Product:
        def apply(v: Array) -> Array:
            return _times(P(v), exponent)

        return Product(P.name, apply, apply)

    def undo(name: str) -> int:
        of_b, of_A, of_M = _EXPONENTS[name]
        return round(of_b * e_b + of_A * e_A + of_M * e_M)

    limit = float(np.ldexp(maxxnorm, -undo("x_norm")))
    found = solve(times(A, -e_A), None if M is None else times(M, -e_M), b, limit)
    changed = {name: getattr(found, name) for name in _EXPONENTS}
    return replace(
        found, **{name: _times(x, undo(name)) for name, x in changed.items() if x is not None}
    )


def _exponent(x: Array) -> int:
    """Return e with max |x| from 2^(e − 1) to 2^e; 0 if it is 0 or not finite."""
    xp = array_namespace(x)
    largest = float(xp.max(xp.abs(x)))
    return math.frexp(largest)[1] if math.isfinite(largest) else 0


def _times(x: Any, exponent: int) -> Any:
    """Return 2^exponent x; in steps, each of which a float can hold."""
    if isinstance(x, float):
        return float(np.ldexp(x, exponent))
    while exponent:
        step = max(-1000, min(1000, exponent))
        x, exponent = x * 2.0**step, exponent - step
    return x


def _with_row(result: Any, i: int, found: Any) -> Any:
    """Return a batch's result with what one system's says in its row."""
    changed = {}
    for field in fields(result):
        all_of_them, one = getattr(result, field.name), getattr(found, field.name)
        if all_of_them is None or isinstance(all_of_them, int):
            continue
        new = array_namespace(all_of_them).asarray(all_of_them, copy=True)
        if new.ndim == 1:
            new[i] = int(one) if isinstance(one, int) else one
        elif field.name == "x":
            new[i, :] = one
        else:  # histories: as long as the batch's
            new[i, :] = math.nan
            length = min(new.shape[1], one.shape[0])
            new[i, :length] = one[:length]
        changed[field.name] = new
    return replace(result, products=result.products + found.products, **changed)
