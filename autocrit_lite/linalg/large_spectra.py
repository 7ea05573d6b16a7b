"""All eigenvalues of a symmetric matrix that fills most of the memory.

On a CPU they are computed within the matrix, by way of a band matrix. LAPACK's solvers first make
a matrix tridiagonal, one column at a time, and half of that work are products of the matrix with a
vector: the matrix is read from memory once for each column. Here it is first made a band of b
subdiagonals, b columns at a time, so that all the work is in products of matrices; LAPACK's solver
for band matrices does the rest, in n²b operations (Bischof, Lang & Sun, A framework for symmetric
band reduction, ACM Transactions on Mathematical Software 26(4), 2000).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eig_banded, qr

from ..arrays import Array, array_namespace
from ..checks import float_array
from ..devices import to_numpy

BANDWIDTH = 96
"""b. Chosen by us, by measurement: wider bands cost more afterwards than they save."""

BLOCK = 512
"""Columns of the trailing matrix updated at once: chosen by us, so that what is subtracted from
them, of the order of n × 512 numbers, takes little memory."""

ROWS = 64
"""Of a matrix that are rounded at a time: chosen by us, to take little memory."""


def live_spectrum(H: Array) -> tuple[Array, Array]:
    """Return the norms (n,) of a symmetric matrix's rows, and its eigenvalues, as NumPy arrays.

    The eigenvalues are ascending, without those of the rows that are zero to the last bit. A NumPy
    matrix is destroyed. On a device at most four arrays of the size of H are needed at a time,
    with what the solver needs.

    Parameters
    ----------
    H : array (n, n) of float64
    """
    if isinstance(H, np.ndarray):
        norms = np.sqrt(np.einsum("ij,ij->i", H, H))
        rows = np.flatnonzero(H.any(axis=1))
        return norms, eigenvalues_in_place(leading(H, rows)) if len(rows) else np.zeros(0)
    xp = array_namespace(H)
    norms = to_numpy(xp.sqrt(xp.vecdot(H, H)))
    live = xp.nonzero(xp.any(H != 0.0, axis=1))[0]
    if live.shape[0] == 0:
        return norms, np.zeros(0)
    if live.shape[0] < H.shape[0]:
        H = xp.take(xp.take(H, live, axis=0), live, axis=1)
    return norms, to_numpy(xp.linalg.eigvalsh(H))


def leading(H: Array, rows: Array) -> Array:
    """Return H[rows][:, rows] for ascending rows, moved within H's own memory.

    Row i of the result is row ``rows[i]`` ≥ i of H, so that none is overwritten before it is read.
    """
    for i, row in enumerate(rows):
        H[i, : len(rows)] = H[row, rows]
    return H[: len(rows), : len(rows)]


def round_to_single(H: Array) -> None:
    """Round the elements of H to single precision, some rows at a time, in place."""
    xp = array_namespace(H)
    for start in range(0, H.shape[0], ROWS):
        rows = slice(start, min(start + ROWS, H.shape[0]))
        H[rows, :] = xp.astype(xp.astype(H[rows, :], xp.float32), xp.float64)


def eigenvalues_in_place(H: Array) -> Array:
    """Return the eigenvalues, ascending, of a symmetric matrix, and destroy the matrix.

    Beside the matrix it needs some 2 n (512 + 2 b) numbers. Like LAPACK's it returns the
    eigenvalues of a matrix that differs from H by rounding, about 1e-15 ‖H‖.

    Parameters
    ----------
    H : NumPy array (n, n) of float64
        Only the lower triangle is read, and written.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or H holds NaN or infinity.

    Examples
    --------
    >>> H = np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    >>> eigenvalues_in_place(H).round(12).tolist()
    [-2.0, 2.0, 5.0]
    """
    if not isinstance(H, np.ndarray) or H.ndim != 2 or H.shape[0] != H.shape[1]:
        raise ValueError(f"H must be a square NumPy array, not {getattr(H, 'shape', H)!r}")
    float_array("H", H)
    n, b = len(H), BANDWIDTH
    for start in range(0, n - b - 1, b):
        reduce_columns(H, start, b)
    width = min(b, n - 1)
    band = np.zeros((width + 1, n))
    for k in range(width + 1):
        band[k, : n - k] = np.diagonal(H, -k)
    return eig_banded(
        band, lower=True, eigvals_only=True, overwrite_a_band=True, check_finite=False
    )


def reduce_columns(H: Array, start: int, b: int) -> None:
    """Make b columns of H zero below the band, by an orthogonal similarity Qᵀ H Q.

    The part of these columns below the band has the factors Q R, Q = 1 − V T Vᵀ. The trailing
    matrix A becomes Qᵀ A Q = A − V Wᵀ − W Vᵀ with X = A V T and W = X − V Tᵀ (Vᵀ X) / 2.
    """
    columns = slice(start, min(start + b, len(H)))
    below = H[start + b :, columns]
    (factors, tau), R = qr(below, mode="raw", check_finite=False)
    below[...] = 0.0
    below[: len(R), :] = R
    k = len(tau)
    V = np.tril(factors[:, :k], -1)
    np.fill_diagonal(V, 1.0)
    V[:, tau == 0.0] = 0.0  # no reflection at all
    # T⁻¹ + T⁻ᵀ = VᵀV, with 1/τ on the diagonal of T⁻¹
    inverse = np.triu(V.T @ V, 1)
    np.fill_diagonal(inverse, 1.0 / np.where(tau == 0.0, 1.0, tau))
    T = np.linalg.inv(inverse)
    A = H[start + b :, start + b :]
    X = symmetric_product(A, V) @ T
    W = X - 0.5 * V @ (T.T @ (V.T @ X))
    left, right = np.hstack([V, W]), np.hstack([W, V])
    for i in range(0, len(A), BLOCK):
        A[i:, i : i + BLOCK] -= left[i:] @ right[i : i + BLOCK].T


def symmetric_product(A: Array, V: Array) -> Array:
    """Return A V for a symmetric A (m, m) of which only the lower triangle is read."""
    product = np.zeros_like(V)
    for i in range(0, len(A), BLOCK):
        stop = min(i + BLOCK, len(A))
        corner = np.tril(A[i:stop, i:stop])
        corner += np.tril(corner, -1).T
        product[i:stop] += corner @ V[i:stop]
        rest = A[stop:, i:stop]
        product[stop:] += rest @ V[i:stop]
        product[i:stop] += rest.T @ V[stop:]
    return product
