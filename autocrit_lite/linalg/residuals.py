"""How far a direction is from solving the Newton system: r and r_H (Frye et al. 2021, 2.3)."""

from __future__ import annotations

from typing import NamedTuple

from ..arrays import Array, array_namespace, binary_scale
from ..checks import float_array


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

    residual = (H @ p[..., None])[..., 0] + g
    H_residual = (H @ residual[..., None])[..., 0]
    size, g_norm = norm(residual), norm(g)
    r, r_H = indices_of_norms(norm(H, axis=(-2, -1)), norm(p), g_norm, size, norm(H_residual))
    return ResidualIndices(r, r_H, ratio(size, g_norm))


def indices_of_norms(
    hessian_norm: Array,
    direction_norm: Array,
    gradient_norm: Array,
    residual_norm: Array,
    hessian_residual_norm: Array,
) -> tuple[Array, Array]:
    """Return r and r_H of the norms ‖H‖, ‖p‖, ‖g‖, ‖ρ‖ and ‖Hρ‖, arrays (...)."""
    r = ratio(residual_norm, hessian_norm * direction_norm + gradient_norm)
    return r, ratio(hessian_residual_norm, hessian_norm * residual_norm)


def ratio(x: Array, y: Array) -> Array:
    """Return x/y, or 0 where y is 0."""
    xp = array_namespace(y)
    zero = y == 0.0  # NaN is not
    return xp.where(zero, xp.zeros_like(y), x / xp.where(zero, xp.ones_like(y), y))
