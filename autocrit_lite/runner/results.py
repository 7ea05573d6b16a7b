"""Gathered results: named arrays with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Array
from ..checks import one_of
from ..statistics import Comparison

VERDICTS = ("reproduced", "differs", "corrected", "false", "not possible here")


@dataclass(frozen=True)
class Measured:
    """What an experiment found for a number that a paper prints.

    Parameters
    ----------
    value : number, str or list
        In JSON types.
    verdict : str
        "reproduced" or "differs" by a rule of ``autocrit_lite.statistics``, fixed before
        measuring; "corrected" where the paper's statement cannot hold and what does is measured;
        "false" where it does not hold as printed; "not possible here".
    why : str
        What was measured, and the reason of any difference.
    interval : (float, float), optional
        Of the value.
    power : str, optional
        The smallest difference that would have been seen, or what would refute the statement.
    comparisons : dict, optional
        Name to comparison, one for each number that the rules compare.
    changes : (bool, bool), optional
        Whether the verdict would be another with half, and with twice our sample.
    """

    value: Any
    verdict: str
    why: str
    interval: tuple[float, float] | None = None
    power: str = ""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    changes: tuple[bool, ...] = (False, False)

    def __post_init__(self) -> None:
        one_of("verdict", self.verdict, VERDICTS)


@dataclass(frozen=True)
class Results:
    """Arrays by name, each with names for its dimensions, and labels along the dimensions.

    Parameters
    ----------
    arrays : dict
        Name to array.
    dims : dict
        Name to the names of the array's dimensions, in order.
    coordinates : dict, optional
        Dimension to its labels; by default 0, 1, 2, ….

    Raises
    ------
    ValueError
        If the dimensions do not fit the arrays or one another.

    Examples
    --------
    >>> results = Results({"loss": np.array([[3.0, 1.0]])}, {"loss": ("run", "iteration")})
    >>> results["loss"].shape
    (1, 2)
    >>> results.to_frame()
       run  iteration  loss
    0    0          0   3.0
    1    0          1   1.0
    """

    arrays: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]]
    coordinates: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {dim: len(labels) for dim, labels in self.coordinates.items()}
        for name, array in self.arrays.items():
            if len(self.dims.get(name, ())) != array.ndim:
                raise ValueError(f"dims of {name} must name its {array.ndim} dimensions")
            for dim, size in zip(self.dims[name], array.shape, strict=True):
                if sizes.setdefault(dim, size) != size:
                    raise ValueError(f"{name} has {size} along {dim}, others have {sizes[dim]}")

    @classmethod
    def of(
        cls, arrays: Mapping[str, Array], tails: Mapping[str, tuple[str, ...]], *first: str
    ) -> Results:
        """Return arrays whose dimensions are ``first``, followed by what ``tails`` has for a name.

        Arrays with further dimensions, which ``tails`` does not name, are left out.
        """
        dims = {name: (*first, *tails.get(name, ())) for name in arrays}
        kept = {name: x for name, x in arrays.items() if np.ndim(x) == len(dims[name])}
        return cls(kept, {name: dims[name] for name in kept})

    @classmethod
    def joined(cls, parts: Sequence[Results]) -> Results:
        """Return results of the same names end to end along their first dimension."""
        first = parts[0]
        arrays = {name: concatenated([part[name] for part in parts]) for name in first.arrays}
        return cls(arrays, first.dims, first.coordinates)

    @classmethod
    def stacked(cls, parts: Sequence[Results], **labels: Sequence[Any]) -> Results:
        """Return results of the same names on new first dimensions, named and labelled.

        ``parts`` are in the order of ``itertools.product(*labels.values())``.
        """
        first, sizes = parts[0], [len(own) for own in labels.values()]
        arrays, dims = {}, {}
        for name in first.arrays:
            whole = stacked([part[name] for part in parts])
            arrays[name] = whole.reshape(*sizes, *whole.shape[1:])
            dims[name] = (*labels, *first.dims[name])
        return cls(arrays, dims, {**first.coordinates, **labels})

    def __or__(self, other: Results) -> Results:
        """Return the arrays of both."""
        return Results(
            {**self.arrays, **other.arrays},
            {**self.dims, **other.dims},
            {**self.coordinates, **other.coordinates},
        )

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def _labels(self, dim: str, size: int) -> Array:
        return np.asarray(self.coordinates.get(dim, range(size)))

    def to_frame(self, *dims: str) -> pd.DataFrame:
        """Return a tidy frame: one row for each combination of labels along ``dims``.

        Parameters
        ----------
        *dims : str
            By default those of the array with the most dimensions. The columns are all arrays
            that have no other dimension, repeated along those that they lack.
        """
        dims = dims or max(self.dims.values(), key=len)
        sizes = {
            dim: size
            for name, array in self.arrays.items()
            for dim, size in zip(self.dims[name], array.shape, strict=True)
        }
        shape = tuple(sizes[dim] for dim in dims)
        grid = np.meshgrid(*(self._labels(dim, sizes[dim]) for dim in dims), indexing="ij")
        columns = {dim: labels.ravel() for dim, labels in zip(dims, grid, strict=True)}
        for name, array in self.arrays.items():
            own = self.dims[name]
            if set(own) <= set(dims):
                ordered = np.transpose(array, [own.index(dim) for dim in dims if dim in own])
                wide = ordered.reshape([sizes[dim] if dim in own else 1 for dim in dims])
                columns[name] = np.broadcast_to(wide, shape).ravel()
        return pd.DataFrame(columns)


def grown(x: Array, shape: tuple[int, ...]) -> Array:
    """Return an array of at least this shape, with NaN after what it holds."""
    if x.shape == shape:
        return x
    whole = np.full(shape, np.nan)
    whole[tuple(map(slice, x.shape))] = x
    return whole


def stacked(parts: Sequence[Array]) -> Array:
    """Return arrays on a new first axis, each filled up with NaN to the size of the largest.

    Examples
    --------
    >>> stacked([np.array([1.0]), np.array([2.0, 3.0])]).tolist()
    [[1.0, nan], [2.0, 3.0]]
    """
    shape = tuple(map(max, zip(*(part.shape for part in parts), strict=True)))
    return np.stack([grown(part, shape) for part in parts])


def concatenated(parts: Sequence[Array]) -> Array:
    """Return arrays end to end, their other axes filled up with NaN to the size of the largest.

    Examples
    --------
    >>> concatenated([np.array([[1.0]]), np.array([[2.0, 3.0]])]).tolist()
    [[1.0, nan], [2.0, 3.0]]
    """
    shape = tuple(map(max, zip(*(part.shape[1:] for part in parts), strict=True)))
    return np.concatenate([grown(part, (len(part), *shape)) for part in parts])


HISTORY_BITS, FIRST_BITS = 16, 24
"""Binary digits stored of histories and spectra, five decimal ones, which no figure tells from
more; and of the first iterates, seven decimal ones. They make the archive half as large."""


def rounded(x: Array, bits: int = HISTORY_BITS) -> Array:
    """Return x to so many binary digits: the others are zeros, which compress to nothing.

    Examples
    --------
    >>> rounded(np.array([1.0, 1 / 3, np.nan]), bits=8).tolist()
    [1.0, 0.333984375, nan]
    """
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 2.0**bits) / 2.0**bits, exponent)
