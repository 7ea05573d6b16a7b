"""The Newton system Hp = −g of a point, solved to every tolerance in the eigenbasis of H.

There H is diagonal and a product costs n multiplications. MINRES-QLP takes the same course in any
orthonormal basis, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from ...arrays import Array
from ...finders.eigenbasis import EXHAUSTED, relative_residuals
from ...finders.hessian_operator import NO_LIMITS
from ...linalg.minres_qlp import MinresQLPResult, StopReason, minres_qlp

LEVELS = tuple(10.0**k for k in range(-8, 2))
"""Of |λ|: how much of ‖g‖² lies in eigenspaces below each."""

INDICES = (
    "relative_residual",
    "relative_cokernel_residual",
    "residual_ratio",
    "relative_residual_frobenius",
    "relative_cokernel_residual_frobenius",
)
"""Of a direction: r, r_H and ‖Hp + g‖/‖g‖, and the first two with the Frobenius norm of H."""

CHOICES = ("before", "full", "short")
"""What a solver may return that stops in iteration k as ‖Hr_{k−1}‖ is small: x_{k−1}, of which
that is true; x_k; or x_k without its last component, which is shorter if the last entry of L is
zero. This package returns the first. The public code of Frye et al. 2021 returns the second, with
r recomputed from it."""

LONG = 10
"""Times n iterations (chosen by us): shows what the limit of n of Frye et al. 2021, A.2, leaves."""

LOOSE = 1e-6
"""Down to which rtol the three can differ (chosen by us): below about 3e-7 this package's solver
looks for a zero entry of L, and returns the third where it finds one."""


@dataclass(frozen=True)
class Diagonal:
    """The operator v ↦ λv for a batch of vectors λ (B, n)."""

    eigenvalues: Array

    def __call__(self, v: Array) -> Array:
        """Return the products (B, n)."""
        return self.eigenvalues * v

    def take(self, rows: Array) -> Diagonal:
        """Return the operator of the rows (k,) alone."""
        return Diagonal(self.eigenvalues[rows])


def spectrum(hessian: Array, gradient: Array) -> tuple[Array, Array]:
    """Return the eigenvalues (B, n) of Hessians (B, n, n), and the gradients in their bases."""
    eigenvalues, Q = np.linalg.eigh(hessian)
    return eigenvalues, np.einsum("bij,bi->bj", Q, gradient)


def within(eigenvalues: Array, parts: Array, cutoffs: Sequence[float]) -> Array:
    """Return the share of ‖g‖² where |λ| is at most each cut-off times the largest, (B, C).

    Parameters
    ----------
    eigenvalues, parts : array (B, n)
        See ``spectrum``.
    cutoffs : sequence of C float
    """
    size = np.abs(eigenvalues)
    return _shares(size / np.max(size, axis=1, keepdims=True), parts, cutoffs)


def _shares(size: Array, parts: Array, cutoffs: Sequence[float]) -> Array:
    small = size[:, None, :] <= np.asarray(cutoffs)[:, None]
    squares = parts**2
    sums = np.sum(np.where(small, squares[:, None, :], 0.0), axis=2)
    return sums / np.sum(squares, axis=1)[:, None]


def resolve(hessian: Array, gradient: Array, tolerances: Sequence[float]) -> dict[str, Array]:
    """Return what becomes of Newton systems (B) at each tolerance, and where their gradients lie.

    Parameters
    ----------
    hessian : array (B, n, n)
    gradient : array (B, n)
    tolerances : sequence of R float
        As rtol of MINRES-QLP, with the options of ``newton_mr``, and as the share of the largest
        |λ| up to which eigenvalues count as zero.

    Returns
    -------
    dict
        Arrays (B, R) of ``INDICES`` and the solver's iterations and stop reason by rtol, for up to
        n iterations; three of them for up to ``LONG`` times n; those of the truncated
        eigendecomposition, by cut-off; r and plain ratio of the three ``CHOICES``,
        (B, R, 3); ‖g‖² and the largest |λ|, (B,); the share of ‖g‖² by cut-off, (B, R), and by
        level, (B, L).
    """
    eigenvalues, parts = spectrum(hessian, gradient)
    by_rtol = [_solved(eigenvalues, parts, rtol) for rtol in tolerances]
    truncated = [_truncated(eigenvalues, parts, cutoff) for cutoff in tolerances]
    return {
        **{name: np.stack([d[name] for d in by_rtol], axis=1) for name in by_rtol[0]},
        **{f"truncated_{name}": np.stack([d[name] for d in truncated], axis=1) for name in INDICES},
        "squared_gradient_norm": np.sum(parts**2, axis=1),
        "largest_eigenvalue": np.max(np.abs(eigenvalues), axis=1),
        "share": within(eigenvalues, parts, tolerances),
        "share_below": _shares(np.abs(eigenvalues), parts, LEVELS),
    }


def _solved(eigenvalues: Array, parts: Array, rtol: float) -> dict[str, Array]:
    H, n = Diagonal(eigenvalues), parts.shape[1]
    found, long = (minres_qlp(H, -parts, rtol, maxit, **NO_LIMITS) for maxit in (n, LONG * n))
    residual = eigenvalues * found.x + parts
    r, ratio = _by_choice(eigenvalues, parts, found, rtol)
    return {
        **_indices(eigenvalues, parts, found.x, residual, found.A_norm),
        "relative_residual": found.relative_residual,
        "relative_cokernel_residual": found.relative_cokernel_residual,
        "solver_iterations": found.iterations,
        "solver_stop_reason": found.stop_reason,
        "long_relative_residual": long.relative_residual,
        "long_residual_ratio": long.residual_norm / np.linalg.norm(parts, axis=1),
        "long_solver_iterations": long.iterations,
        "choice_relative_residual": r,
        "choice_residual_ratio": ratio,
    }


def _truncated(eigenvalues: Array, parts: Array, cutoff: float) -> dict[str, Array]:
    size = np.abs(eigenvalues)
    largest = np.max(size, axis=1)
    dropped = size <= cutoff * largest[:, None]
    direction = np.where(dropped, 0.0, -parts / np.where(dropped, 1.0, eigenvalues))
    return _indices(eigenvalues, parts, direction, np.where(dropped, parts, 0.0), largest)


def _indices(
    eigenvalues: Array, parts: Array, direction: Array, residual: Array, norm: Array
) -> dict[str, Array]:
    """Return the ``INDICES`` (B,) of directions and their residuals (B, n), given ‖H‖ (B,)."""
    frobenius = np.sqrt(np.sum(eigenvalues**2, axis=1))
    by_norm, by_frobenius = (
        relative_residuals(size, direction, residual, eigenvalues * residual, parts)
        for size in (norm, frobenius)
    )
    ratio = np.linalg.norm(residual, axis=1) / np.linalg.norm(parts, axis=1)
    return dict(zip(INDICES, (*by_norm, ratio, *by_frobenius), strict=True))


def _by_choice(
    eigenvalues: Array, parts: Array, found: MinresQLPResult, rtol: float
) -> tuple[Array, Array]:
    """Return r and the plain ratio (B, 3) of the three choices, with the solver's norm of H.

    Where the solver had none, as it stopped for another reason, all three are its own.
    """
    x = np.repeat(found.x[:, None, :], len(CHOICES), axis=1)
    chosen = (found.stop_reason == int(StopReason.LEAST_SQUARES)) & (found.passes == 1)
    for row in np.flatnonzero(chosen & (rtol >= LOOSE)):
        x[row] = last_iterates(eigenvalues[row], -parts[row], int(found.iterations[row]))
    by_choice = [
        _indices(eigenvalues, parts, own, eigenvalues * own + parts, found.A_norm)
        for own in np.moveaxis(x, 1, 0)
    ]
    r, ratio = (
        np.stack([indices[name] for indices in by_choice], axis=1)
        for name in ("relative_residual", "residual_ratio")
    )
    return r, ratio


def last_iterates(eigenvalues: Array, b: Array, k: int) -> Array:
    """Return x_{k−1}, x_k and x_k without its last component, (3, n), for diag(λ)x = b.

    Straight from their definitions (Choi, Paige & Saunders 2011), with dense factorisations, to be
    independent of the solver; but with Lanczos vectors that lose their orthogonality as the
    solver's do, since that delays its convergence. If the Krylov space is exhausted before
    iteration k, those of its last iteration.

    Parameters
    ----------
    eigenvalues, b : array (n,)
    k : int
        From 1 to n.
    """
    V, T, size = _lanczos(eigenvalues, b, k)
    k = V.shape[1]
    unit = np.zeros(k + 1)
    unit[0] = size
    before = V[:, : k - 1] @ np.linalg.lstsq(T[:k, : k - 1], unit[:k], rcond=None)[0]
    # T = QR, R = LPᵀ and x = V P u, where L u = Qᵀe₁‖b‖; the last component is that along V P e_k
    Q, R = np.linalg.qr(T)
    P, upper = np.linalg.qr(R.T)
    u = solve_triangular(upper, unit @ Q, trans="T")
    W = V @ P
    return np.stack([before, W @ u, W[:, :-1] @ u[:-1]])


def _lanczos(eigenvalues: Array, b: Array, k: int) -> tuple[Array, Array, float]:
    """Return k Lanczos vectors (n, k), the tridiagonal T (k + 1, k) and ‖b‖."""
    size = float(np.linalg.norm(b))
    V, T = np.zeros((len(b), k + 1)), np.zeros((k + 1, k))
    V[:, 0] = b / size
    for j in range(k):
        v = eigenvalues * V[:, j]
        T[j, j] = V[:, j] @ v
        v = v - T[j, j] * V[:, j] - (T[j, j - 1] * V[:, j - 1] if j else 0.0)
        T[j + 1, j] = np.linalg.norm(v)
        if T[j + 1, j] <= EXHAUSTED * np.max(np.abs(eigenvalues)):
            return V[:, : j + 1], T[: j + 2, : j + 1], size
        if j + 1 < k:
            T[j, j + 1] = T[j + 1, j]
        V[:, j + 1] = v / T[j + 1, j]
    return V[:, :k], T, size
