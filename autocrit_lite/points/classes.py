"""What kind of point it is: the classes of Frye et al. 2021, Table 1.

A class depends on r and r_H, and so on which direction p they are of. Everywhere in this package it
is the one that Newton-MR takes at the point itself: what MINRES-QLP finds for Hp = −g to ``RTOL``,
in up to n iterations and without its limits on length and condition (Frye et al. 2021, A.2), with
r and r_H recomputed from p and with the solver's estimate of ‖H‖ (``finders.hessian_operator``'s
``solve``). Entry k of a trace has them at iterate k; at the last iterate, where a run that reached
its limit computed no direction, ``classify`` and ``describe`` do. A tighter tolerance is another
definition: the longer p is, the less of g is left, and fewer points are called flat. In few
dimensions the solver may meet nothing of H but a tiny eigenvalue, which it then takes for ‖H‖, as
on the flat line of the quartic: that is no flat point by its direction, only by where g lies.
"""

from __future__ import annotations

from ..arrays import Array, array_namespace, dot
from ..checks import number, objective_with, plain_array, theta_array
from ..finders.hessian_operator import HessianOperator, solve
from ..objectives import Objective
from ..reasons import Reason

RTOL = 5e-4
"""Of the solver: Frye et al. 2021, A.2, for their Figs 3 and 4."""


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
        If a tolerance is not in its range, or values of an array are masked.
    """
    eps_r = number("eps_r", eps_r, at_least=0.0, at_most=1.0)
    eps_g = number("eps_g", eps_g, at_least=0.0, at_most=1.0)
    r = plain_array("relative_residual", relative_residual)
    r_H = plain_array("relative_cokernel_residual", relative_cokernel_residual)
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
        If a tolerance is not in its range, or values of an array are masked.

    Examples
    --------
    >>> point_class([1e-9, 1e-3, 1e-3], [0.95, 0.95, 0.5], [1e-5, 1e-5, 1e-5]).tolist()
    [0, 1, 2]
    """
    eps_c = number("eps_c", eps_c, at_least=0.0)
    squared = plain_array("squared_gradient_norm", squared_gradient_norm)
    r = plain_array("relative_residual", relative_residual)
    r_H = plain_array("relative_cokernel_residual", relative_cokernel_residual)
    flat = is_gradient_flat(r, r_H, eps_r=eps_r, eps_g=eps_g)
    xp, total = array_namespace(squared, r, r_H), squared + r + r_H
    kind = xp.where(
        flat,
        int(PointClass.STRICTLY_FLAT),
        xp.full_like(total, int(PointClass.NEITHER), dtype=xp.int64),
    )
    kind = xp.where(xp.isnan(total), int(PointClass.UNDEFINED), kind)
    return xp.where(squared < eps_c, int(PointClass.CRITICAL), kind)


def classify(objective: Objective, theta: Array, rtol: float = RTOL) -> Array:
    """Return the class of each point by the direction that Newton-MR takes there.

    Parameters
    ----------
    objective : Objective
    theta : array (n,) or (B, n)
    rtol : float
        The solver's tolerance; 5e-4 (Frye et al. 2021, A.2). See ``describe`` for how the verdict
        on a point changes with it.

    Returns
    -------
    integer array, () or (B,)
        ``PointClass`` values, with the tolerances of ``point_class``; UNDEFINED where the loss is
        not finite.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from autocrit_lite import AutogradObjective
    >>> slope = AutogradObjective(lambda theta: theta[0] + theta[1] ** 2)
    >>> [PointClass(code).name for code in classify(slope, np.array([[0.0, 0.0], [0.0, 9.0]]))]
    ['STRICTLY_FLAT', 'NEITHER']
    """
    objective_with("linearize", objective)
    theta, rtol = theta_array(theta, None), number("rtol", rtol, at_least=0.0, below=1.0)
    xp = array_namespace(theta)
    batch = theta if theta.ndim == 2 else theta[None, :]
    point = objective.linearize(batch)
    g = point.gradient
    finite = xp.all(xp.isfinite(g), axis=-1)
    b = -xp.where(finite[:, None], g, 0.0)  # the solver takes no other
    found = solve(HessianOperator(objective, batch, point), b, rtol)
    squared = xp.where(finite & xp.isfinite(point.value), dot(g, g), xp.nan)
    kind = point_class(squared, found.relative_residual, found.relative_cokernel_residual)
    return kind if theta.ndim == 2 else kind[0]
