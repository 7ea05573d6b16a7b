"""How much of the gradient a Newton direction leaves unexplained (Frye et al. 2021, A.4)."""

from __future__ import annotations

from ..checks import Array, array_namespace
from .rows import norm


def relative_residuals(
    hessian_norm: Array, direction: Array, residual: Array, hessian_residual: Array, gradient: Array
) -> tuple[Array, Array]:
    """Return r = ‖ρ‖ / (‖H‖‖p‖ + ‖g‖) and r_H = ‖Hρ‖ / (‖H‖‖ρ‖) of the residual ρ = Hp + g.

    Where ρ = 0 there is no co-kernel residual either, and r_H is 0.

    Parameters
    ----------
    hessian_norm : array (A,)
        ‖H‖, in whichever norm.
    direction, residual, hessian_residual, gradient : array (A, n)
        p, ρ, Hρ and g.
    """
    xp = array_namespace(gradient)
    size = norm(residual)
    relative = size / (hessian_norm * norm(direction) + norm(gradient))
    scale = hessian_norm * size
    cokernel = norm(hessian_residual) / xp.where(scale > 0.0, scale, 1.0)
    return relative, cokernel


def frobenius_residuals(
    H: Array, direction: Array, residual: Array, gradient: Array
) -> dict[str, Array]:
    """Return both for the Frobenius norm of the dense H (A, n, n), under their names in a trace."""
    xp = array_namespace(gradient)
    frobenius = norm(xp.reshape(H, (H.shape[0], -1)))
    hessian_residual = (H @ residual[:, :, None])[:, :, 0]
    r, r_H = relative_residuals(frobenius, direction, residual, hessian_residual, gradient)
    return {"relative_residual_frobenius": r, "relative_cokernel_residual_frobenius": r_H}
