"""Gathered results: named arrays with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Array
from ..checks import one_of

VERDICTS = ("reproduced", "differs", "corrected", "not possible here")


@dataclass(frozen=True)
class Measured:
    """What an experiment found for a number that a paper prints.

    Parameters
    ----------
    value : number, str or list
        In JSON types.
    verdict : {"reproduced", "differs", "corrected", "not possible here"}
        By a rule fixed before measuring: "reproduced" only where the intervals overlap, the
        paper's own binomial or trial error included.
    why : str
        What was measured, and the reason of any difference.
    interval : (float, float), optional
        Of the value.
    """

    value: Any
    verdict: str
    why: str
    interval: tuple[float, float] | None = None

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
