"""The Hessians at a batch of points in bases of their eigenvectors."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import device

from ..arrays import Array, array_namespace, norm, take
from ..linalg.residuals import indices_of_norms
from ..objectives import Linearization

EXHAUSTED = 1e-14
"""What is left of a vector of length 1 may be rounding: a hundred times its error, chosen by us."""

DECOMPOSED = 4
"""Arrays of n² numbers for each run while Hessians are decomposed: the matrices, a copy, the
eigenvectors, and what LAPACK works in."""

KANTOROVICH = 0.25
"""A Newton step p with ‖H⁻¹g(θ + p)‖ at most this share of ‖p‖ begins the quadratic phase: twice
the share estimates Kantorovich's h, which must be at most 1/2 (Deuflhard 2004, chapter 2)."""


@dataclass(frozen=True)
class Eigenbasis:
    """Hessians at a batch of points by all or some of their eigenvectors, H = Q diag(λ) Qᵀ.

    Where a Hessian is not finite its eigenvalues are NaN, and so is every direction made of them.

    Attributes
    ----------
    eigenvalues : array (A, k)
    eigenvectors : array (A, n, k)
        In columns.
    """

    eigenvalues: Array
    eigenvectors: Array

    @classmethod
    def of(cls, point: Linearization) -> Eigenbasis:
        """Decompose the Hessians at ``point``."""
        H = point.hessian()
        xp = array_namespace(H)
        finite = xp.all(xp.isfinite(H), axis=(-2, -1))[:, None]
        values, vectors = xp.linalg.eigh(xp.where(finite[:, :, None], H, 0.0))
        return cls(xp.where(finite, values, xp.nan), vectors)

    def take(self, rows: Array) -> Eigenbasis:
        """Return the bases at the points ``rows`` (k,) alone."""
        return take(self, rows)

    def coefficients(self, v: Array) -> Array:
        """Return Qᵀ v, shape (A, k), for v (A, n)."""
        xp = array_namespace(v)
        return (xp.matrix_transpose(self.eigenvectors) @ v[:, :, None])[:, :, 0]

    def combined(self, coefficients: Array) -> Array:
        """Return Q times coefficients (A, k), shape (A, n)."""
        return (self.eigenvectors @ coefficients[:, :, None])[:, :, 0]

    def apply(self, factors: Array, v: Array) -> Array:
        """Return Q diag(factors) Qᵀ v, shape (A, n), for factors (A, k) and v (A, n)."""
        return self.combined(factors * self.coefficients(v))

    def pseudo_inverse(self, cutoff: float) -> Array:
        """Return the factors 1/λ (A, k), 0 where |λ| is at most ``cutoff`` times the largest."""
        xp = array_namespace(self.eigenvalues)
        size = xp.abs(self.eigenvalues)
        # the comparison keeps NaN
        dropped = size <= cutoff * xp.max(size, axis=-1, keepdims=True)
        return xp.where(dropped, 0.0, 1.0 / self.eigenvalues)

    def residuals(self, direction: Array, gradient: Array) -> dict[str, Array]:
        """Return what a trace holds of the residual Hp + g of a direction p (A, n)."""
        xp = array_namespace(gradient)
        residual = self.apply(self.eigenvalues, direction) + gradient
        again = self.apply(self.eigenvalues, residual)
        spectral = xp.max(xp.abs(self.eigenvalues), axis=-1)
        r, r_H = relative_residuals(spectral, direction, residual, again, gradient)
        f, f_H = relative_residuals(norm(self.eigenvalues), direction, residual, again, gradient)
        return {
            "relative_residual": r,
            "relative_cokernel_residual": r_H,
            "residual_ratio": norm(residual) / norm(gradient),
            "relative_residual_frobenius": f,
            "relative_cokernel_residual_frobenius": f_H,
        }


def lanczos(point: Linearization, steps: int, first: Array | None = None) -> Eigenbasis:
    """Return the Ritz values and vectors of the Hessians in the Krylov space of the gradient.

    ``steps`` products, every new vector made orthogonal to all before it, twice, since Lanczos
    vectors lose their orthogonality otherwise. Where the space is exhausted earlier the rest of
    the vectors are zero, with the Ritz value 0, or one above all others if there is a ``first``.

    Parameters
    ----------
    point : Linearization
        At a batch of A points.
    steps : int
        The dimension k of the space.
    first : array (A, j, n), optional
        Orthonormal vectors, or zeros, that the space has besides: j products more.
    """
    g = point.gradient
    xp = array_namespace(g)
    kept = 0 if first is None else first.shape[1]
    # rows: the Lanczos vectors, and H times each of them
    V = xp.zeros((g.shape[0], kept + steps, g.shape[1]), dtype=xp.float64, device=device(g))
    HV = xp.zeros_like(V)
    if kept:
        V[:, :kept, :], HV[:, :kept, :] = first, point.hvp(first)
    v = _new_direction(g, V[:, :kept, :])
    for j in range(kept, kept + steps):
        V[:, j, :] = v
        HV[:, j, :] = v = point.hvp(v)
        v = _new_direction(v, V[:, : j + 1, :])
    T = HV @ xp.matrix_transpose(V)
    finite = xp.all(xp.isfinite(T), axis=(-2, -1))[:, None]
    T = xp.where(finite[:, :, None], 0.5 * (T + xp.matrix_transpose(T)), 0.0)
    if kept:
        above = xp.sum(xp.abs(T), axis=(-2, -1))[:, None, None]
        absent = xp.all(V == 0.0, axis=-1)[:, :, None]
        identity = xp.eye(kept + steps, dtype=xp.float64, device=device(g))
        T = T + above * xp.where(absent, identity, 0.0)
    values, vectors = xp.linalg.eigh(T)
    return Eigenbasis(xp.where(finite, values, xp.nan), xp.matrix_transpose(V) @ vectors)


def _new_direction(v: Array, known: Array) -> Array:
    """Return v (A, n) without its parts along orthonormal rows (A, j, n), of length 1, or zero."""
    xp = array_namespace(v)
    scale = norm(v)
    if known.shape[1]:
        for _ in range(2):
            v = v - (xp.matrix_transpose(known) @ (known @ v[:, :, None]))[:, :, 0]
    size = norm(v)
    # what is left of an exhausted space is rounding
    exhausted = size <= EXHAUSTED * scale
    return xp.where(exhausted[:, None], 0.0, v / xp.where(exhausted, 1.0, size)[:, None])


def relative_residuals(
    hessian_norm: Array, direction: Array, residual: Array, hessian_residual: Array, gradient: Array
) -> tuple[Array, Array]:
    """Return r = ‖ρ‖ / (‖H‖‖p‖ + ‖g‖) and r_H = ‖Hρ‖ / (‖H‖‖ρ‖) of the residual ρ = Hp + g.

    These are the residual indices of Frye et al. 2021, A.4, from products that are known already.
    Where ρ = 0 there is no co-kernel residual either, and r_H is 0.

    Parameters
    ----------
    hessian_norm : array (A,)
        ‖H‖, in whichever norm.
    direction, residual, hessian_residual, gradient : array (A, n)
        p, ρ, Hρ and g.
    """
    vectors = (direction, gradient, residual, hessian_residual)
    return indices_of_norms(hessian_norm, *map(norm, vectors))
