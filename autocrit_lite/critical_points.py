"""What kind of point it is: index, degeneracy, and the classes of Frye et al. 2021, Table 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from array_api_compat import is_array_api_obj, is_numpy_array
from scipy.linalg import lapack

from .checks import Array, array_namespace, binary_scale, float_array, number
from .reasons import Reason

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
    shifted = hessian + tolerance * np.eye(n)
    counts = [_pivots(H.T, lower=True).negative for H in shifted.reshape(-1, n, n)]
    return np.reshape(counts, hessian.shape[:-2]) / n


def degeneracy(hessian: Array, tolerance: float = INDEX_TOLERANCE) -> Array:
    """Return the number of eigenvalues from −τ to τ, an integer array of shape (...).

    Parameters
    ----------
    hessian : array (..., n, n)
        Symmetric matrices.
    tolerance : float
        τ, at least 0. Sankar & Balasubramanian do not state theirs; the default is that of the
        index in Frye et al. 2019, 6.6.

    Raises
    ------
    TypeError, ValueError
        If the Hessian is not float64, finite, square and symmetric, or the tolerance is negative
        or infinite.
    """
    hessian = _symmetric("hessian", hessian)
    tolerance = number("tolerance", tolerance, at_least=0.0, finite=True)
    xp = array_namespace(hessian)
    if not is_numpy_array(hessian):
        within = xp.abs(xp.linalg.eigvalsh(hessian)) <= tolerance
        return xp.sum(xp.astype(within, xp.int64), axis=-1)
    n = hessian.shape[-1]
    counts = [_inertia(H.copy().T, tolerance).zero for H in hessian.reshape(-1, n, n)]
    return np.reshape(np.asarray(counts, dtype=np.int64), hessian.shape[:-2])


def inertia(
    matrix: Array, tolerance: float = INDEX_TOLERANCE, *, overwrite: bool = False
) -> Inertia:
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
    overwrite : bool
        Work in the matrix's own memory and leave it destroyed: for an H that fits only once. The
        first factorisation needs but the one triangle, the second the other.

    Raises
    ------
    TypeError, ValueError
        If the matrix is not float64, finite, square and symmetric, or the tolerance is negative or
        infinite, or ``overwrite`` is asked of an array that is read-only or not contiguous.

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
    if not overwrite:
        return _inertia(np.array(matrix, order="F"), tolerance)
    if not matrix.flags.writeable or not matrix.flags.forc:
        raise ValueError("matrix must be writeable and contiguous to be overwritten")
    return _inertia(matrix if matrix.flags.f_contiguous else matrix.T, tolerance)


def _inertia(H: Array, tolerance: float) -> Inertia:
    """Count for a symmetric H in column order, destroying it."""
    n = len(H)
    diagonal = H.diagonal().copy()
    np.fill_diagonal(H, diagonal + tolerance)
    negative = _pivots(H, lower=True).negative
    np.fill_diagonal(H, diagonal - tolerance)
    positive = _pivots(H, lower=False).positive
    return Inertia(negative, n - negative - positive, positive)


def _pivots(H: Array, *, lower: bool) -> Inertia:
    """Count the signs of D in H = LDLᵀ, destroying one triangle and the diagonal of H.

    D has blocks of one or two rows. Pivoting takes a block [a b; b c] of two only if ac < b², so
    that it has one eigenvalue of each sign. LAPACK marks its rows by negative pivots.
    """
    n = len(H)
    factors, pivots, _ = lapack.dsytrf(H, lower=lower, lwork=64 * n, overwrite_a=True)
    single = factors.diagonal()[pivots > 0]
    pairs = (n - len(single)) // 2
    negative = int(np.sum(single < 0)) + pairs
    positive = int(np.sum(single > 0)) + pairs
    return Inertia(negative, n - negative - positive, positive)


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


def _array(x: Array) -> Array:
    """Return an array as it is, and a number or a list as NumPy's."""
    return x if is_array_api_obj(x) else np.asarray(x)


class PointClass(Reason):
    """The colours of Frye et al. 2021, Figs 3 to 5; ``sentence`` says what a member means."""

    UNDEFINED = -1, "no gradient norm, or no residuals of a Newton direction, as after a run's end"
    CRITICAL = 0, "approximately critical: the squared gradient norm is below eps_c (blue)"
    STRICTLY_FLAT = 1, "approximately gradient-flat, and not critical (orange)"
    NEITHER = 2, "neither critical nor gradient-flat (black)"


def is_gradient_flat(
    relative_residual: Array,
    relative_cokernel_residual: Array,
    *,
    eps_r: float = 0.1,
    eps_g: float = 5e-4,
) -> Array:
    """Return where r > 1 − ε_r and r_H < ε_g: approximately gradient-flat, critical or not.

    Frye et al. 2021, section 2.4, where the defaults are from; its Table 1 has the two tolerances
    the other way round.

    Parameters
    ----------
    relative_residual, relative_cokernel_residual : array (...)
        r and r_H, by the solver's estimate of ‖H‖ or by the Frobenius norm.
    eps_r, eps_g : float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If a tolerance is not in its range.
    """
    eps_r = number("eps_r", eps_r, at_least=0.0, at_most=1.0)
    eps_g = number("eps_g", eps_g, at_least=0.0, at_most=1.0)
    r, r_H = _array(relative_residual), _array(relative_cokernel_residual)
    return (r > 1.0 - eps_r) & (r_H < eps_g)


def point_class(
    squared_gradient_norm: Array,
    relative_residual: Array,
    relative_cokernel_residual: Array,
    *,
    eps_c: float = 1e-8,
    eps_r: float = 0.1,
    eps_g: float = 5e-4,
) -> Array:
    """Return the class of each point, an integer array (...) of ``PointClass`` values.

    Parameters
    ----------
    squared_gradient_norm, relative_residual, relative_cokernel_residual : array (...)
        ‖g‖², r and r_H. Where ‖g‖² is NaN, or it is not below ``eps_c`` and r or r_H is NaN, the
        class is UNDEFINED.
    eps_c, eps_r, eps_g : float
        The defaults are those of Frye et al. 2021, section 2.4.

    Raises
    ------
    TypeError, ValueError
        If a tolerance is not in its range.

    Examples
    --------
    >>> point_class([1e-9, 1e-3, 1e-3], [0.95, 0.95, 0.5], [1e-5, 1e-5, 1e-5]).tolist()
    [0, 1, 2]
    """
    eps_c = number("eps_c", eps_c, at_least=0.0)
    squared = _array(squared_gradient_norm)
    r, r_H = _array(relative_residual), _array(relative_cokernel_residual)
    flat = is_gradient_flat(r, r_H, eps_r=eps_r, eps_g=eps_g)
    xp, total = array_namespace(squared, r, r_H), squared + r + r_H
    kind = xp.where(
        flat,
        int(PointClass.STRICTLY_FLAT),
        xp.full_like(total, int(PointClass.NEITHER), dtype=xp.int64),
    )
    kind = xp.where(xp.isnan(total), int(PointClass.UNDEFINED), kind)
    return xp.where(squared < eps_c, int(PointClass.CRITICAL), kind)


class ResidualIndices(NamedTuple):
    """How much of the gradient a Newton direction leaves, in three ways; each of shape (...)."""

    relative_residual: Array
    relative_cokernel_residual: Array
    residual_ratio: Array


def residual_indices(hessian: Array, gradient: Array, direction: Array) -> ResidualIndices:
    """Return r, r_H (with the Frobenius norm of H) and the plain ratio of a Newton direction.

    With the residual ρ = Hp + g

        r = ‖ρ‖ / (‖H‖‖p‖ + ‖g‖)     r_H = ‖Hρ‖ / (‖H‖‖ρ‖)     ratio = ‖ρ‖ / ‖g‖

    (Frye et al. 2021, A.4). Each is 0 where its denominator is: at a critical point (Table 1). NaN
    gives NaN.

    Parameters
    ----------
    hessian : array (..., n, n)
        The Hessian H.
    gradient, direction : array (..., n)
        g and p, of the same array module.

    Raises
    ------
    TypeError, ValueError
        If an array is not float64, or the shapes do not go together.
    """
    H = float_array("hessian", hessian, finite=False)
    g = float_array("gradient", gradient, finite=False)
    p = float_array("direction", direction, finite=False)
    if g.ndim < 1 or p.shape != g.shape or H.shape != (*g.shape, g.shape[-1]):
        raise ValueError(
            "hessian, gradient and direction must have shapes (..., n, n), (..., n) and (..., n),"
            f" not {tuple(H.shape)}, {tuple(g.shape)} and {tuple(p.shape)}"
        )
    xp = array_namespace(H, g, p)

    # r, r_H and the ratio stay what they are where H, p and g are multiplied by a, b and ab
    b = binary_scale(xp.concat([p, g], axis=-1))[..., None]
    a = binary_scale(H, axis=(-2, -1))[..., None]
    p, g, H = p * b, g * b * a, H * a[..., None]
    b = binary_scale(xp.concat([p, g], axis=-1))[..., None]
    p, g = p * b, g * b

    def norm(x: Array, axis: int | tuple[int, int] = -1) -> Array:
        return xp.sqrt(xp.sum(x * x, axis=axis))

    def ratio(x: Array, y: Array) -> Array:
        zero = y == 0.0  # NaN is not
        return xp.where(zero, xp.zeros_like(y), x / xp.where(zero, xp.ones_like(y), y))

    residual = (H @ p[..., None])[..., 0] + g
    size, H_norm = norm(residual), norm(H, axis=(-2, -1))
    H_residual = norm((H @ residual[..., None])[..., 0])
    return ResidualIndices(
        relative_residual=ratio(size, H_norm * norm(p) + norm(g)),
        relative_cokernel_residual=ratio(H_residual, H_norm * size),
        residual_ratio=ratio(size, norm(g)),
    )
