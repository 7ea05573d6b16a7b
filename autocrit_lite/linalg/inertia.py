"""How many eigenvalues are negative, zero and positive: counts without the eigenvalues."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from array_api_compat import is_numpy_array
from scipy.linalg import lapack

from ..arrays import Array, array_namespace
from ..checks import float_array, number

INDEX_TOLERANCE = 1e-5
"""Eigenvalues from −1e-5 to 1e-5 count as zero (Frye et al. 2019, 6.6; 2021, A.2)."""


class Inertia(NamedTuple):
    """How many eigenvalues of a symmetric matrix lie below −τ, from −τ to τ, and above τ."""

    negative: int
    zero: int
    positive: int


def morse_index(hessian: Array, tolerance: float = INDEX_TOLERANCE) -> Array:
    """Return the fraction of eigenvalues below −τ, shape (...).

    Parameters
    ----------
    hessian : array (..., n, n)
        Symmetric matrices. NumPy's are factored (see ``inertia``), those of other array modules
        diagonalised where they are.
    tolerance : float
        τ, at least 0.

    Raises
    ------
    TypeError, ValueError
        If the Hessian is not float64, finite, square and symmetric, or the tolerance is negative
        or infinite.

    Examples
    --------
    >>> float(morse_index(np.diag([-2.0, -1e-6, 0.0, 3.0])))
    0.25
    """
    hessian = _symmetric("hessian", hessian)
    tolerance = number("tolerance", tolerance, at_least=0.0, finite=True)
    n = hessian.shape[-1]
    xp = array_namespace(hessian)
    if not is_numpy_array(hessian):
        below = xp.astype(xp.linalg.eigvalsh(hessian) < -tolerance, xp.float64)
        return xp.mean(below, axis=-1)
    counts = [_pivots(_shifted(H, tolerance), lower=True)[0] for H in hessian.reshape(-1, n, n)]
    return np.reshape(counts, hessian.shape[:-2]) / n


def inertia(matrix: Array, tolerance: float = INDEX_TOLERANCE) -> Inertia:
    """Count the eigenvalues below −τ, from −τ to τ, and above τ, without computing them.

    By Sylvester's law of inertia H + τ1 = LDLᵀ has as many negative eigenvalues as D, and those are
    the eigenvalues of H below −τ; H − τ1 gives those above τ. A factorisation (Bunch & Kaufman's,
    LAPACK's dsytrf) takes n³/3 multiplications and additions. Like an eigenvalue solver it counts
    exactly for a matrix that differs from H by rounding: eigenvalues nearer to ±τ than some
    1e-15 ‖H‖ may fall on either side.

    Parameters
    ----------
    matrix : NumPy array (n, n)
        H, symmetric.
    tolerance : float
        τ, at least 0.

    Raises
    ------
    TypeError, ValueError
        If the matrix is not float64, finite, square and symmetric, or the tolerance is negative or
        infinite.

    References
    ----------
    J. R. Bunch and L. Kaufman, Some stable methods for calculating inertia and solving symmetric
    linear systems, Mathematics of Computation 31(137), 163-179, 1977.

    Examples
    --------
    >>> inertia(np.array([[0.0, 2.0], [2.0, 0.0]]))
    Inertia(negative=1, zero=0, positive=1)
    """
    if not is_numpy_array(matrix):
        raise TypeError(f"matrix must be a NumPy array, not {type(matrix).__name__}")
    matrix = _symmetric("matrix", matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix must have shape (n, n), not {matrix.shape}")
    tolerance = number("tolerance", tolerance, at_least=0.0, finite=True)
    n, diagonal = len(matrix), matrix.diagonal()
    # each factorisation destroys one triangle
    H = _shifted(matrix, tolerance)
    negative, positive = _pivots(H, lower=True)
    if tolerance > 0.0:
        np.fill_diagonal(H, diagonal - tolerance)
        _, positive = _pivots(H, lower=False)
    return Inertia(negative, n - negative - positive, positive)


def _shifted(H: Array, tolerance: float) -> Array:
    """Return H + τ1 in memory of its own, by columns, as LAPACK overwrites it."""
    shifted = np.array(H, order="F")
    np.fill_diagonal(shifted, H.diagonal() + tolerance)
    return shifted


def _pivots(H: Array, *, lower: bool) -> tuple[int, int]:
    """Count what is negative and positive of D in H = LDLᵀ, destroying a triangle of H.

    D has blocks of one or two rows. Pivoting takes a block [a b; b c] of two only if ac < b², so
    that it has one eigenvalue of each sign. LAPACK marks its rows by negative pivots.
    """
    n = len(H)
    factors, pivots, _ = lapack.dsytrf(H, lower=lower, lwork=64 * n, overwrite_a=True)
    single = factors.diagonal()[pivots > 0]
    pairs = (n - len(single)) // 2
    return int(np.sum(single < 0)) + pairs, int(np.sum(single > 0)) + pairs


def _symmetric(name: str, matrix: Array) -> Array:
    """Return the matrices (..., n, n) if they are finite and symmetric, else raise.

    The routines below read one triangle and would count wrongly in silence. Hessians of this
    package are symmetric to 1e-14; 1e-10 of a matrix's largest element is allowed, chosen by us.
    Works on blocks of rows, since a copy of a large matrix may not fit.
    """
    matrix = float_array(name, matrix)
    n = matrix.shape[-1] if matrix.ndim else 0
    if matrix.ndim < 2 or matrix.shape[-2] != n or n == 0:
        raise ValueError(f"{name} must have shape (..., n, n), not {tuple(matrix.shape)}")
    if 0 in matrix.shape:
        return matrix
    xp = array_namespace(matrix)
    difference = scale = xp.zeros_like(matrix[..., 0, 0])
    for start in range(0, n, 512):
        stop = min(start + 512, n)
        rows = matrix[..., start:stop, :]
        columns = xp.matrix_transpose(matrix[..., :, start:stop])
        difference = xp.maximum(difference, xp.max(xp.abs(rows - columns), axis=(-2, -1)))
        scale = xp.maximum(scale, xp.max(xp.abs(rows), axis=(-2, -1)))
    excess = float(xp.max(xp.where(difference > 1e-10 * scale, difference, 0.0)))
    if excess > 0.0:
        raise ValueError(f"{name} must be symmetric, but differs by {excess:.3g} across")
    return matrix
