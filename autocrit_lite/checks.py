"""Checks of arguments: one clear error that names the argument, before any work starts."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from .arrays import Array, array_namespace


def float_array(name: str, array: Array, *shape: int | str, finite: bool = True) -> Array:
    """Return real numbers of any kind as float64, as a NumPy array if they came as a list.

    What is float64 already is returned as it is.

    Parameters
    ----------
    name : str
    array : array
    *shape : int or str
        If given, the shape wanted: numbers, and the names of sizes that may be any above 0.
    finite : bool
        Whether NaN and infinity are refused.

    Raises
    ------
    TypeError
        If they are no real numbers, or of a kind of array whose values mean something else: masked
        ones (unless nothing is masked) and ``numpy.matrix``.
    ValueError
        If ``finite`` and one of them is NaN or infinite, or the shape is another one.
    """
    if type(array) is not np.ndarray or array.dtype != np.float64:
        array = plain_array(name, array)
        xp = array_namespace(array)
        if array.dtype != xp.float64:
            if not xp.isdtype(array.dtype, ("bool", "integral", "real floating")):
                raise TypeError(f"{name} must hold real numbers, not {array.dtype}")
            with np.errstate(over="ignore"):
                found = xp.astype(array, xp.float64)
            if isinstance(array, np.ndarray) and np.any(np.isinf(found) & np.isfinite(array)):
                raise ValueError(f"{name} must hold numbers below 1.8e308, the largest of float64")
            array = found
    xp = array_namespace(array)
    if finite and not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    if shape and not _has_shape(array, shape):
        wanted = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
        positive = "".join(f", {size} > 0" for size in shape if isinstance(size, str))
        raise ValueError(f"{name} must have shape {wanted}{positive}, not {tuple(array.shape)}")
    return array


def _has_shape(array: Array, shape: Sequence[int | str]) -> bool:
    return array.ndim == len(shape) and all(
        size > 0 if isinstance(wanted, str) else size == wanted
        for size, wanted in zip(array.shape, shape, strict=True)
    )


def plain_array(name: str, array: Array) -> Array:
    """Return an array without masked values, as a NumPy array if it came as a list.

    Raises
    ------
    TypeError
        If it is none, or a ``numpy.matrix``, whose products are others, or values are masked.
    """
    if _is_masked(array):
        raise TypeError(f"{name} must not be a masked array: fill or drop what is masked first")
    if isinstance(array, np.ma.MaskedArray):
        return np.asarray(array.data)
    if isinstance(array, np.matrix):
        raise TypeError(f"{name} must be an array, not a numpy.matrix: numpy.asarray makes it one")
    if isinstance(array, np.ndarray) or is_array_api_obj(array):
        return array
    try:
        return np.asarray(array)
    except ValueError as error:
        raise TypeError(f"{name} must be an array: {error}") from None


def _is_masked(array: Array) -> bool:
    """Return whether something is masked in an array, or in a list of them."""
    if isinstance(array, (list, tuple)):
        return any(_is_masked(part) for part in array)
    return isinstance(array, np.ma.MaskedArray) and bool(np.ma.is_masked(array))


def theta_array(theta: Array, n_parameters: int | None, name: str = "theta") -> Array:
    """Return ``theta`` if it is one point (n,) or a batch (B, n) of float64 parameters.

    Raises
    ------
    TypeError
        If the numbers are not float64.
    ValueError
        If the shape is neither (n,) nor (B, n).
    """
    theta = float_array(name, theta, finite=False)
    theta_shape(name, theta, n_parameters)
    return theta


def theta_shape(name: str, theta: Array, n_parameters: int | None) -> None:
    """Raise a ValueError unless ``theta`` is one point (n,) or a batch (B, n), of any kind."""
    expected = "n" if n_parameters is None else str(n_parameters)
    wrong_length = n_parameters is not None and tuple(theta.shape[-1:]) != (n_parameters,)
    if theta.ndim not in (1, 2) or wrong_length:
        raise ValueError(
            f"{name} must have shape ({expected},) or (B, {expected}), not {tuple(theta.shape)}"
        )


def product_array(name: str, v: Array, shape: tuple[int, ...]) -> Array:
    """Return ``v`` if it is a vector for each point of ``shape`` (..., n), or k for each.

    Raises
    ------
    TypeError, ValueError
        If it holds no real numbers, or is neither of ``shape`` nor (..., k, n).
    """
    v = float_array(name, v, finite=False)
    product_shape(name, v, shape)
    return v


def product_shape(name: str, v: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless ``v``, of any kind, is a vector or k for each point (..., n)."""
    *batch, n = shape
    if tuple(v.shape) not in (tuple(shape), (*batch, *v.shape[-2:-1], n)):
        lead = "".join(f"{size}, " for size in batch)
        wanted = f"{tuple(shape)} or ({lead}k, {n})"
        raise ValueError(f"{name} must have shape {wanted}, not {tuple(v.shape)}")


def one_of(name: str, value: Any, accepted: Collection[Any]) -> Any:
    """Return ``value`` if it is among the ``accepted`` ones, else raise a ValueError.

    1 and 0 are not True and False; NumPy's booleans are, and are returned as Python's.
    """
    if isinstance(value, np.bool_):
        value = bool(value)
    # types first: a list has no hash, and an array no one truth value
    if not any(isinstance(value, type(choice)) and value == choice for choice in accepted):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}, not {value!r}")
    return value


def different(name: str, values: Collection[Any]) -> None:
    """Raise a ValueError unless ``values`` are one or more, each of them once."""
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name} must be one or more different values, not {values}")


def number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    finite: bool = False,
) -> float:
    """Return ``value`` as a float if it is a number in the range, else raise.

    Raises
    ------
    TypeError
        If the value is not a real number.
    ValueError
        If it is NaN or outside the range, or infinite where it must be ``finite``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        found = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be less than 1e308, not an integer of more digits") from None
    bounds = [
        (f"{word} {bound:g}", within(found, bound))
        for word, bound, within in (
            ("at least", at_least, operator.ge),
            ("above", above, operator.gt),
            ("at most", at_most, operator.le),
            ("below", below, operator.lt),
        )
        if bound is not None
    ]
    bounds += [("finite", abs(found) < np.inf)] * finite
    if np.isnan(found) or not all(holds for _, holds in bounds):
        wanted = " and ".join(text for text, _ in bounds) or "a number"
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    return found


def numbers(name: str, values: Any, **accepted: Any) -> tuple[float, ...]:
    """Return ``values`` if they are one ``number`` or more in the range, else raise."""
    if not np.iterable(values):
        raise TypeError(f"{name} must be a sequence of numbers, not {values!r}")
    found = tuple(number(f"every one of {name}", value, **accepted) for value in values)
    if not found:
        raise ValueError(f"{name} must hold at least one number")
    return found


def objective_with(method: str, objective: Any) -> None:
    """Raise a TypeError if ``objective`` has no such method."""
    if not callable(getattr(objective, method, None)):
        raise TypeError(
            "objective must be one, such as AutogradObjective(f) or NetworkObjective(net, X, Y), "
            f"not {objective!r}"
        )


def integer(name: str, value: Any, *, at_least: int = 0, at_most: int | None = None) -> int:
    """Return ``value`` as an int if it is an integer in the range, else raise.

    Raises
    ------
    TypeError
        If the value is not an integer.
    ValueError
        If it is too small or too large.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < at_least or (at_most is not None and value > at_most):
        wanted = f"at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise ValueError(f"{name} must be {wanted}, not {value}")
    return int(value)


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False (NumPy's too), else raise a TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def generator(name: str, rng: Any) -> np.random.Generator:
    """Return ``rng`` if it is a NumPy random generator, else raise a TypeError."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{name} must be a numpy.random.Generator, not {rng!r}")
    return rng


def missing(wanted_by: str, library: str, extra: str, error: ImportError) -> ImportError:
    """Return the error for a library that is not installed: who wants it, and how to get it.

    Parameters
    ----------
    wanted_by, library : str
    extra : str
        Of this package, which brings it.
    error : ImportError
        What Python said.
    """
    return ImportError(
        f"{wanted_by} needs {library}, which cannot be imported ({error}): "
        f'pip install "autocrit-lite[{extra}]"'
    )
