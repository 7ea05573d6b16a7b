"""MINRES-QLP: minimum-length solutions of symmetric systems, singular or not, one or many at once.

The method is that of Choi, Paige & Saunders, "MINRES-QLP: a Krylov subspace method for indefinite
or singular symmetric systems", SIAM J. Sci. Comput. 33(4), 1810-1836, 2011 (CPS below). Lanczos
makes the tridiagonal T of A, left reflections its QR factorization, right reflections P the lower
triangular L = R P; then x = V P u, where L u = t and t = Qᵀ β₁ e₁. This text follows that order.

A quantity that changes more than once carries the number of the change in its name, as in CPS:
``gamma5`` is γ⁽⁵⁾. ``mu2``, ``mu1`` and ``mu`` belong to iterations k - 2, k - 1, k, and so do
``w2``, ``w1`` and ``w``. Scalars are floats for one system and arrays (B,) for a batch, and ``xp``
holds their functions: see ``operators``.

One run of the method is a *pass*. After it the residuals are recomputed and judged; most solves
take one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays import LARGEST_SQUARED, Array, array_namespace
from ..checks import float_array, integer, number
from ..reasons import Reason
from .minres_qlp_cuda import kernel_pass
from .operators import (
    EPS,
    TINY,
    Flag,
    Product,
    Scalar,
    Selection,
    choose,
    dot,
    exponent_of,
    functions_of,
    largest_of,
    map_arrays,
    power_times,
    product_with,
    scalar,
    shift_of,
    sizes_of,
    times,
)

__all__ = ["MinresQLPResult", "StopReason", "minres_qlp"]

BLOCK = 8
"""Iterations between updates of x and its directions; chosen by us, as 4 to 8 are fastest."""

SINGULAR_COND = 1e12
"""Once ‖Ar‖ / (‖A‖‖r‖) was less than about √ε, A counts as singular from this condition number on.

Chosen by us: rounding errors of A alone make it 1e14 to 1e16.
"""

KEEP_BASIS_UP_TO = 256
"""Passes after the first keep all Lanczos vectors of systems up to this size: at most 0.5 MB."""

MAX_PASSES = 12
"""Chosen by us: twice what the systems of the tests take."""

Callback = Callable[[Array], object] | None

RUNNING = 0
"""The code of a system without a reason to stop."""


class StopReason(Reason):
    """Why a solve ended."""

    RESIDUAL = 1, "The residual is within rtol: x solves the system."
    LEAST_SQUARES = 2, "A times the residual is within rtol: x is the least-squares solution."
    ROUNDING = 3, "The residual, or A times it, is as small as rounding errors let it be."
    ZERO_RIGHT_HAND_SIDE = 4, "b = 0, hence x = 0."
    MAXIT = 5, "The limit of iterations was reached first."
    MAXXNORM = 6, "The solution grew longer than maxxnorm."
    ACONDLIM = 7, "The estimated condition number reached acondlim."
    INACCURATE = 8, "The estimates converged, but the recomputed residuals did not follow."
    NON_FINITE = 9, "A product is not finite, and x the last iterate before it; or x overflows."
    INDEFINITE_PRECONDITIONER = 10, "M is not positive definite; x is the last iterate before that."

    @property
    def converged(self) -> bool:
        """Whether x is a solution, as far as rtol or rounding errors tell."""
        return self <= StopReason.ZERO_RIGHT_HAND_SIDE


@dataclass(frozen=True)
class MinresQLPResult:
    """What a solve found; for a batch, numbers are arrays (B,).

    With a preconditioner M, every norm is that of the preconditioned system, which is what is
    tested: ‖r‖ stands for (rᵀMr)^½, ‖A‖ for ‖M^½AM^½‖, ‖x‖ for ‖M^-½x‖. A is less its shift.

    Attributes
    ----------
    x : array (n,) or (B, n)
        The solution, of minimum length if ``converged``.
    stop_reason : StopReason, or array (B,) of int64
        Why the solve ended. ``StopReason(code)`` names a code of the array.
    iterations, minres_iterations, qlp_iterations : int, or array (B,) of int64
        All iterations, and those in each phase.
    passes : int, or array (B,) of int64
        How many passes they made up; see the Notes of ``minres_qlp``.
    products : int
        Products with A, those of the recomputed residuals included; one with a batch is one.
    residual_norm, cokernel_residual_norm : float, or array (B,)
        ‖r‖ and ‖Ar‖ of r = b - Ax, recomputed from x at the end.
    relative_residual : float, or array (B,)
        ‖r‖ / (‖A‖‖x‖ + ‖b‖), with ``A_norm`` for ‖A‖.
    relative_cokernel_residual : float, or array (B,)
        ‖Ar‖ / (‖A‖‖r‖), likewise; 0 if Ar = 0.
    A_norm : float, or array (B,)
        Lower bound of ‖A‖₂, from the columns of the tridiagonal T.
    A_cond : float, or array (B,)
        Estimate of the condition number over the nonzero eigenvalues, from the diagonal of L.
    x_norm : float, or array (B,)
    """

    x: Array
    stop_reason: Any
    iterations: Any
    minres_iterations: Any
    qlp_iterations: Any
    passes: Any
    products: int
    residual_norm: Any
    cokernel_residual_norm: Any
    relative_residual: Any
    relative_cokernel_residual: Any
    A_norm: Any
    A_cond: Any
    x_norm: Any

    @property
    def converged(self) -> Any:
        """Whether x is a solution: bool, or array (B,) of bool."""
        return self.stop_reason <= int(StopReason.ZERO_RIGHT_HAND_SIDE)


def minres_qlp(
    A: Any,
    b: Array,
    rtol: float = 1e-10,
    maxit: int | None = None,
    shift: Any = 0.0,
    M: Any = None,
    maxxnorm: float = 1e7,
    acondlim: float = 1e15,
    trancond: float = 1e7,
    callback: Callable[[Array], object] | None = None,
) -> MinresQLPResult:
    """Return the minimum-length solution of (A - shift I) x = b.

    A is symmetric, and may be indefinite or singular. If the system has no solution, x is the
    shortest of the vectors that minimise ‖b - (A - shift I) x‖. Of operators nothing checks the
    symmetry: with another A the estimates are worthless, and the recomputed residuals show it
    (``INACCURATE``).

    Parameters
    ----------
    A : array (n, n) or (B, n, n), LinearOperator, sparse array, or callable
        A callable maps v, shape (n,), to A v; for a batch, V (B, n) to the (B, n) products, each
        row with the matrix of its own system. If it has a method ``take(rows)`` that returns it
        for some rows (an integer array) of the batch only, that is used to drop the systems that
        are done, once fewer than half are left. An array (B, n, n) is reduced likewise.
    b : array (n,) or (B, n)
        One right-hand side, or one of each of B systems, in rows. Its array module and device are
        those of all the work; one to three numbers are fetched from it in each iteration.
    rtol : float
        Stop at ‖r‖ ≤ rtol (‖A‖‖x‖ + ‖b‖), or at ‖Ar‖ ≤ rtol ‖A‖‖r‖. The default
        is that of Frye et al. 2021, A.2, for their Figure 1.
    maxit : int, optional
        Limit of iterations in all, 4n by default. Chosen by us: without rounding errors n are
        enough; with them the Notes tell of up to four passes of about n.
    shift : float or array (B,)
    M : array, LinearOperator, sparse array, or callable, optional
        Positive definite; M v approximates A⁻¹ v, as in ``scipy.sparse.linalg.minres``. With it,
        the length that x minimises is ‖M^-½x‖, and the residual that x minimises ‖M^½r‖. Nothing
        checks that M is nonsingular: what r has in the null space of M counts as zero.
    maxxnorm : float
        Stop once ‖x‖ is larger. An absolute limit, in the units of x: for tiny A or large b, set
        it to ``inf``. The default is that of the authors of CPS.
    acondlim : float
        Stop once the estimated condition number is this large. The default is that of the authors
        of CPS.
    trancond : float
        Update x as MINRES does until the estimated condition number is this large, and as QLP does
        from then on: 1 for all QLP, ``inf`` for MINRES, which costs less and loses accuracy on
        ill-conditioned systems. The default is that of the authors of CPS.
    callback : callable, optional
        Called as ``callback(x)`` with the iterate after each iteration, of all systems for a batch.

    Returns
    -------
    MinresQLPResult

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above, b is not finite, or an array is not symmetric.

    Notes
    -----
    A system is judged by its recomputed residuals, never by the estimates alone. If those do not
    meet rtol where the estimates did, another pass solves for what is missing of x.

    One case needs more passes by nature. If b is not in the range of A, MINRES cannot tell rounding
    errors of A, of size ε‖A‖, from an eigenvalue: once ‖Ar‖ / (‖A‖‖r‖) is about √ε, it starts to
    reduce the part of r in the null space, ‖Ar‖ rises again, and x grows without limit. So the x at
    that point is noted, and if the condition number then rises beyond what a nonsingular matrix
    could have, it is refined by the solutions of two consistent systems: A y = A r gives the part y
    of r in the range of A, A d = y the correction d of x. As r - y is in the null space, x is freed
    from what it has along that. This takes effect where rtol is below 1e-7, about. A larger rtol
    counts eigenvalues as zero that may not be: then x is the iterate of minimum residual whose ‖Ar‖
    it is that is small enough, which in a singular system need not be of minimum length.

    Rounding errors also make the Lanczos vectors lose their orthogonality, so that systems may take
    several times n iterations. For n up to 256 the first pass ends after 5n/4 iterations, or after
    n if it is far from its goal; the next ones keep their vectors orthogonal, and end after n.

    ``ROUNDING`` says that ‖r‖ ≤ 4√n ε (‖A‖‖x‖ + ‖b‖), or that ‖Ar‖ is at most ‖A‖ times that in the
    least-squares case: what the rounding errors of one product may amount to.

    A system whose norms have no squares (beyond 1e±140) is solved a second time, multiplied by
    powers of two, which change no digit of x. No callback sees that. If x itself is too large for
    a float, the reason is ``NON_FINITE``; if it is too small, ``INACCURATE``.

    References
    ----------
    .. [1] S.-C. T. Choi, C. C. Paige, M. A. Saunders, "MINRES-QLP: a Krylov subspace method for
       indefinite or singular symmetric systems", SIAM J. Sci. Comput. 33(4), 1810-1836, 2011.

    Examples
    --------
    A singular system without a solution, and a batch of two systems with the same matrix:

    >>> import numpy as np
    >>> A = np.array([[2.0, -2.0, 0.0], [-2.0, 2.0, 0.0], [0.0, 0.0, -1.0]])
    >>> result = minres_qlp(A, np.array([3.0, 1.0, 5.0]))
    >>> result.x.round(12).tolist(), result.stop_reason.name
    ([0.25, -0.25, -5.0], 'LEAST_SQUARES')
    >>> batch = minres_qlp(A, np.array([[1.0, -1.0, 3.0], [0.0, 0.0, 0.0]]))
    >>> [StopReason(code).name for code in batch.stop_reason]
    ['RESIDUAL', 'ZERO_RIGHT_HAND_SIDE']
    """
    b = float_array("b", b)
    if b.ndim not in (1, 2) or b.shape[-1] == 0:
        raise ValueError(f"b must have shape (n,) or (B, n), not {tuple(b.shape)}")
    limits = Limits(
        rtol=number("rtol", rtol, at_least=0.0, below=1.0),
        maxit=4 * b.shape[-1] if maxit is None else integer("maxit", maxit),
        acondlim=number("acondlim", acondlim, at_least=1.0),
        trancond=number("trancond", trancond),
    )
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, not {callback!r}")
    system = System(
        A=product_with("A", A, b, shift_of(shift, b)),
        M=None if M is None else product_with("M", M, b),
        b=b,
        maxxnorm=scalar(b, number("maxxnorm", maxxnorm, above=0.0)),
    )
    with np.errstate(all="ignore"):  # what is not finite gets a stop reason, not a warning
        found, products = solve(system, limits, callback)
        if not in_range(found):
            found, more = solve_at_own_scale(system, limits, found)
            products += more
    return result_of(found, products)


class System(NamedTuple):
    """(A - shift I) x = b, or a batch of them."""

    A: Product
    M: Product | None
    b: Array
    maxxnorm: Scalar


class Limits(NamedTuple):
    """Arguments of ``minres_qlp`` that are the same for all systems."""

    rtol: float
    maxit: int
    acondlim: float
    trancond: float


# ------------------------------------------------------------------------------------------------
# The Lanczos process: A V_k = V_{k+1} T_k, or A V_k = U_{k+1} T_k with V = M U


def lanczos(
    A: Product, k: int, beta: Scalar, pair: Array, v: Array, U: Array | None, V: Array | None
) -> tuple[Array, Scalar]:
    """Return beta_{k+1} u_{k+1} = A v_k - alpha_k u_k - beta_k u_{k-1}, and alpha_k.

    ``pair`` holds u_{k-1} and u_k, (..., 2, n), and v_k = M u_k. Where U and V are given, they keep
    all vectors (V only if M is not I), and what rounding has left along those is taken off.
    """
    p = A(v)
    alpha = dot(v, p)
    xp = array_namespace(p)
    if p.ndim == 1:
        both = xp.asarray([beta, alpha], dtype=p.dtype, device=p.device)
    else:
        both = xp.stack([beta, alpha], axis=-1)
    p = p - combine(both, pair)
    if U is not None:
        V = U if V is None else V
        U[..., k - 1, :], V[..., k - 1, :] = pair[..., 1, :], v
        U, V = U[..., :k, :], V[..., :k, :]
        p -= (xp.matrix_transpose(U) @ (V @ p[..., None]))[..., 0]
    return p, alpha


def combine(coefficients: Array, rows: Array) -> Array:
    """Return the combination of rows (..., m, n) for each system, (..., n)."""
    return (coefficients[..., None, :] @ rows)[..., 0, :]


def precondition(M: Product | None, p: Array) -> tuple[Array, Scalar]:
    """Return z = M p and pᵀz, which is zero if only rounding errors make it negative."""
    if M is None:
        return p, dot(p, p)
    xp, z = functions_of(p), M(p)
    square = dot(p, z)
    if xp.count_nonzero(square < 0.0):
        rounding = EPS * math.sqrt(p.shape[-1]) * xp.sqrt(dot(p, p) * dot(z, z))
        square = xp.where((square < 0.0) & (square >= -rounding), 0.0, square)
    return z, square


# ------------------------------------------------------------------------------------------------
# The factorizations of T: T = Q R and R P = L


class Factors(NamedTuple):
    """Scalars of iteration k, which ``next_factors`` makes of those of iteration k - 1."""

    beta: Scalar  # beta_{k+1}
    c: Scalar  # left reflection k
    s: Scalar
    delta: Scalar  # R[k-1, k]
    epsilon: Scalar  # R[k-2, k]
    gamma: Scalar  # R[k, k]
    delta_bar: Scalar  # delta^(1)_{k+1}
    epsilon_next: Scalar  # epsilon_{k+1}
    tau: Scalar  # t_k
    phi: Scalar  # ||r_k||
    cokernel: Scalar  # ||A r_{k-1}|| / ||r_{k-1}||
    c1: Scalar  # right reflection P_{k-2,k}
    s1: Scalar
    c2: Scalar  # right reflection P_{k-1,k}
    s2: Scalar
    gamma5: Scalar  # L[k-1, k-1]
    theta: Scalar  # L[k, k-1]
    gamma4: Scalar  # L[k, k]
    nu: Scalar  # row k - 1 of L u = t: tau_{k-1} less the entries left of the diagonal
    zeta: Scalar  # row k: tau_k less eta_k mu_{k-2}
    mu2: Scalar
    mu1: Scalar
    mu: Scalar
    final2: Scalar  # sum of the mu_j^2 that will not change
    x_norm: Scalar
    x_norm_short: Scalar  # of x_k less its last component mu_k w_k
    A_norm: Scalar
    A_cond: Scalar
    gamma_min: Scalar  # smallest diagonal entry of L that will not change
    first: Scalar  # norm of the first column of T: ||A b|| / ||b||


def first_factors(b: Array, beta1: Scalar, A_norm: Scalar) -> Factors:
    """Return the scalars before iteration 1. L starts with two rows of the identity."""
    zero, one, inf = scalar(b, 0.0), scalar(b, 1.0), scalar(b, math.inf)
    start = Factors(*[zero] * len(Factors._fields))
    return start._replace(
        c=-one, phi=beta1, gamma5=one, gamma4=one, A_norm=A_norm, A_cond=one, gamma_min=inf
    )


def next_factors(xp: Any, k: int, F: Factors, alpha: Scalar, beta_next: Scalar) -> Factors:
    """Return the scalars of iteration k, given column k of T: beta_k, alpha_k, beta_{k+1}."""
    # Left reflection k - 1 on rows k - 1 and k of columns k and k + 1 of T:
    #   [c  s] [delta_bar_k  0         ]   [delta_k      epsilon_{k+1}  ]
    #   [s -c] [alpha_k      beta_{k+1}] = [gamma_bar_k  delta_bar_{k+1}]
    # The last row is A r_{k-1} / ||r_{k-1}|| in terms of v_k and v_{k+1}.
    delta = F.c * F.delta_bar + F.s * alpha
    gamma_bar = F.s * F.delta_bar - F.c * alpha
    epsilon_next = F.s * beta_next
    delta_bar_next = -F.c * beta_next
    cokernel = xp.hypot(gamma_bar, delta_bar_next)

    # Left reflection k:  [c  s] [gamma_bar_k  phi_{k-1}]   [gamma_k  tau_k]
    #                     [s -c] [beta_{k+1}   0        ] = [0        phi_k]
    gamma = xp.hypot(gamma_bar, beta_next)
    safe = xp.maximum(gamma, TINY)
    c, s = gamma_bar / safe, beta_next / safe
    tau, phi = c * F.phi, s * F.phi

    # Right reflections, on rows and columns k - 2, k - 1, k:
    #   [gamma5_{k-2}  0             epsilon_k]  P_{k-2,k}  [gamma6_{k-2}  0             0       ]
    #   [theta_{k-1}   gamma4_{k-1}  delta_k  ] ----------> [theta'_{k-1}  gamma4_{k-1}  delta'_k]
    #   [0             0             gamma_k  ]             [eta_k         0             gamma'_k]
    gamma6 = xp.hypot(F.gamma5, F.epsilon_next)
    c1, s1 = F.gamma5 / gamma6, F.epsilon_next / gamma6
    theta1, delta1 = c1 * F.theta + s1 * delta, s1 * F.theta - c1 * delta
    eta, gamma1 = s1 * gamma, -c1 * gamma
    #   [gamma4_{k-1}  delta'_k]  P_{k-1,k}  [gamma5_{k-1}  0       ]
    #   [0             gamma'_k] ----------> [theta_k       gamma4_k]
    gamma5 = xp.hypot(F.gamma4, delta1)
    c2, s2 = F.gamma4 / gamma5, delta1 / gamma5
    theta, gamma4 = s2 * gamma1, -c2 * gamma1

    # Rows k - 2, k - 1 and k of L u = t
    mu2 = F.nu / gamma6
    nu = F.zeta - theta1 * mu2
    mu1 = nu / gamma5
    zeta = tau - eta * mu2
    mu = xp.divide(zeta - theta * mu1, gamma4)
    final2 = F.final2 + mu2 * mu2
    short2 = final2 + mu1 * mu1

    # ||T e_k|| and the diagonal of L bound the largest and the smallest singular value
    column = xp.sqrt(F.beta * F.beta + alpha * alpha + beta_next * beta_next)
    A_norm = xp.maximum(F.A_norm, column)
    gamma_min = xp.minimum(F.gamma_min, gamma6) if k > 2 else F.gamma_min
    smallest = xp.minimum(gamma_min, abs(gamma4))
    smallest = xp.minimum(smallest, gamma5) if k > 1 else smallest
    A_cond = xp.maximum(F.A_cond, xp.divide(A_norm, smallest))

    return Factors(
        beta_next, c, s, delta, F.epsilon_next, gamma, delta_bar_next, epsilon_next, tau, phi,
        cokernel, c1, s1, c2, s2, gamma5, theta, gamma4, nu, zeta, mu2, mu1, mu, final2,
        xp.sqrt(short2 + mu * mu), xp.sqrt(short2), A_norm, A_cond, gamma_min,
        column if k == 1 else F.first,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------
# The solution: x = D t with D R = V, as in MINRES, then x = W u with W = V P


class Directions(NamedTuple):
    """d_{k-1}, d_k and x_k in the MINRES phase; w_{k-1}, w_k and the final part of x after it.

    In the QLP phase x_k = final + mu_{k-1} w_{k-1} + mu_k w_k. Each is an array (..., m): the
    coefficients of a vector in terms of m others, of which ``run_pass`` tells.
    """

    w1: Array
    w: Array
    x: Array


def minres_update(xp: Any, now: Factors, D: Directions, v: Array) -> Directions:
    """Return d_{k-1}, d_k and x_k: D R = V and x = D t."""
    d = v - times(now.delta, D.w) - times(now.epsilon, D.w1)
    d = times(xp.divide(1.0, now.gamma), d)
    return Directions(D.w, d, D.x + times(now.tau, d))


def qlp_update(now: Factors, D: Directions, v: Array) -> Directions:
    """Return w_{k-1}, w_k and the final part of x_k: W = V P and x = W u."""
    w2, v1 = times(now.c1, D.w1) + times(now.s1, v), times(now.s1, D.w1) - times(now.c1, v)
    w1, w = times(now.c2, D.w) + times(now.s2, v1), times(now.s2, D.w) - times(now.c2, v1)
    return Directions(w1, w, D.x + times(now.mu2, w2))


def last_part(xp: Any, F: Factors, w1: Array, w: Array) -> tuple[Array, Array]:
    """Return mu_{k-1} w_{k-1} and mu_k w_k as they are after iteration k."""
    mu1 = F.nu / F.gamma5
    return times(mu1, w1), times(xp.divide(F.zeta - F.theta * mu1, F.gamma4), w)


def transfer(xp: Any, F: Factors, D: Directions) -> Directions:
    """Return the directions of the QLP phase, given those of the MINRES phase: W = D L."""
    w1, w = times(F.gamma5, D.w1) + times(F.theta, D.w), times(F.gamma4, D.w)
    one, other = last_part(xp, F, w1, w)
    return Directions(w1, w, D.x - one - other)


def update(run: Run, now: Factors, v: Array, qlp: Flag) -> Directions:
    """Return the directions after iteration k, of systems in either phase or between the two."""
    xp, D = run.xp, run.directions
    entered = map_arrays(partial(choose, run.qlp), D, transfer(xp, run.factors, D))
    either = qlp_update(now, entered, v), minres_update(xp, now, D, v)
    return map_arrays(partial(choose, qlp), *either)


def solution(run: Run, now: Factors, v: Array, short: Flag, before: Flag) -> Array:
    """Return x_k; where ``short``, x_k - mu_k w_k; where ``before``, x_{k-1}.

    The short one has minimum length if the last entry of L is zero. It belongs to the QLP phase.
    """
    xp, D, Z = run.xp, run.directions, update(run, now, v, run.qlp | short)
    mu = xp.where(short, 0.0, now.mu)
    x = choose(run.qlp | short, Z.x + times(now.mu1, Z.w1) + times(mu, Z.w), Z.x)
    one, other = last_part(xp, run.factors, D.w1, D.w)
    return choose(before, choose(run.qlp, D.x + one + other, D.x), x)


# ------------------------------------------------------------------------------------------------
# Reasons to stop


class Task(NamedTuple):
    """What a pass is to reach: scalars of each system."""

    rtol: Scalar  # stop at ||r|| <= goal + rtol (||A|| ||x|| + ||b||)
    goal: Scalar
    cokernel_rtol: Scalar  # or at ||A r|| <= cokernel_rtol ||A|| ||r||
    maxxnorm: Scalar
    budget: Scalar  # of iterations
    b_norm: Scalar
    x0_norm: Scalar  # of the x that passes before have found
    A_norm: Scalar  # the norm that they have estimated
    dual: Flag  # whether M^-1 x is wanted in place of x


def attainable(n: int) -> float:
    """Return how small ‖r‖ / (‖A‖‖x‖ + ‖b‖) can be made: chosen by us, 4 n^½ ε."""
    return 4.0 * EPS * math.sqrt(n)


def first_code(xp: Any, code: Any, reasons: Sequence[tuple[Flag, Any]]) -> Any:
    """Return the code of the first flag that is up, ``code`` if none is."""
    for flag, reason in reversed(reasons):
        code = xp.where(flag, int(reason) if isinstance(reason, Reason) else reason, code)
    return code


# ------------------------------------------------------------------------------------------------
# A pass: iterations from a right-hand side to the first reason to stop


class Outcome(NamedTuple):
    """What a pass leaves of each system."""

    x: Array
    code: Any
    iterations: Scalar
    qlp_iterations: Scalar
    A_norm: Scalar
    A_cond: Scalar
    x_norm: Scalar


class Run:
    """What a pass carries from one iteration to the next, of the systems that it still runs."""

    def __init__(self, system: System, task: Task, limits: Limits, first: bool) -> None:
        A, M, b, _ = system
        xp, zero, no = functions_of(b), scalar(b, 0.0), scalar(b, False)
        z, square = precondition(M, b)
        nothing, n = array_namespace(b).zeros_like(b), b.shape[-1]
        self.A, self.M, self.task, self.limits, self.first = A, M, task, limits, first
        self.xp, self.k, self.least_budget = xp, 0, float(xp.min(task.budget))
        self.factors = first_factors(b, xp.sqrt(square), task.A_norm)
        # Lanczos vectors u_{k-1}, u_k and v_k = M u_k, or all of them, if they are kept
        inverse = 1.0 / xp.maximum(self.factors.phi, TINY)
        self.u_prev, self.u = nothing, times(inverse, b)
        self.v = self.u if M is None else times(inverse, z)
        self.U = None if first or n > KEEP_BASIS_UP_TO else zero_rows(b, n + 1)
        self.V = None if M is None or self.U is None else zero_rows(b, n + 1)
        # what the coefficients of the directions stand for, (..., 4 + BLOCK, n)
        self.rows = zero_rows(b, 4 + BLOCK)
        self.directions = first_rows(unit_rows(b), b)
        self.qlp, self.qlp_iterations = self.factors.A_cond >= limits.trancond, zero
        self.noted, self.noted_phi = no, zero  # whether an x is noted, and its ||r||
        reasons = [
            (square < 0.0, StopReason.INDEFINITE_PRECONDITIONER),
            (xp.logical_not(xp.isfinite(square)), StopReason.NON_FINITE),
            (square == 0.0, StopReason.RESIDUAL),
            (task.budget <= 0.0, StopReason.MAXIT),
        ]
        code = first_code(xp, scalar(b, RUNNING), reasons)
        self.running = code == RUNNING
        self.outcome = Outcome(nothing, code, zero, zero, zero, scalar(b, 1.0), zero)

    def keep(self, chosen: Selection) -> None:
        """Drop all other systems."""
        vars(self).update({name: chosen.take(value) for name, value in vars(self).items()})


def zero_rows(b: Array, n_rows: int) -> Array:
    """Return zeros of shape (..., n_rows, n)."""
    xp = array_namespace(b)
    return xp.zeros((*b.shape[:-1], n_rows, b.shape[-1]), dtype=b.dtype, device=b.device)


def unit_rows(b: Array) -> Array:
    """Return the coefficients of each row alone, (4 + BLOCK, ..., 4 + BLOCK)."""
    unit = array_namespace(b).eye(4 + BLOCK, dtype=b.dtype, device=b.device)
    return unit if b.ndim == 1 else unit[:, None, :]


def first_rows(unit: Array, b: Array) -> Directions:
    """Return the directions that are the first three rows."""
    return Directions(*(times(scalar(b, 1.0), unit[i, ...]) for i in range(3)))


def run_pass(run: Run, callback: Callback) -> tuple[Outcome, int]:
    """Run MINRES-QLP until each system stops; also return how many products it took.

    Systems that are done are dropped once fewer than half are left. ``callback`` is called in each
    iteration with x_k of all systems.
    """
    xp, arrays, (size, _) = run.xp, array_namespace(run.u), sizes_of(run.u)
    n_running, n_qlp = int(xp.count_nonzero(run.running)), int(xp.count_nonzero(run.qlp))
    all_qlp, mixed = n_qlp == size, 0 < n_qlp < size
    whole: list[tuple[Selection, Outcome]] = []
    # Updating x and its directions costs less for BLOCK iterations at once. The rows that their
    # coefficients stand for: the three as of the last time, then v_0 (or the last v), v_1, v_2, ...
    unit, j = unit_rows(run.u), 4
    while n_running:
        run.k += 1
        last, rows, e = run.factors, run.rows, unit[j, ...]
        v = run.v if run.M is None else choose(run.task.dual, run.u, run.v)
        rows[..., j, :] = v
        pair = rows[..., j - 1 : j + 1, :]
        if run.M is not None:
            pair = arrays.stack([run.u_prev, run.u], axis=-2)
        p, alpha = lanczos(run.A, run.k, last.beta, pair, run.v, run.U, run.V)
        z, square = precondition(run.M, p)
        now = next_factors(xp, run.k, last, alpha, xp.sqrt(square))
        qlp = run.qlp if all_qlp else now.A_cond >= run.limits.trancond
        run.qlp_iterations = xp.where(qlp, run.qlp_iterations + 1.0, run.qlp_iterations)

        if callback is not None:
            broken = xp.logical_not(xp.isfinite(now.beta))
            x = combine(solution(run, now, e, run.noted & False, broken), rows)
            full = [(chosen, outcome.x) for chosen, outcome in whole]
            callback(restored(full, choose(run.running, x, run.outcome.x)))
        event = stop_or_note(run, now, square, qlp, e)
        if event:
            n_running = int(xp.count_nonzero(run.running))
            if not n_running:
                break

        if event or mixed:
            run.directions = update(run, now, e, qlp)
        elif all_qlp:
            run.directions = qlp_update(now, run.directions, e)
        else:
            run.directions = minres_update(xp, now, run.directions, e)
        j += 1
        if j == 4 + BLOCK:
            rows[..., :3, :], rows[..., 3, :] = arrays.stack([*run.directions], axis=-2) @ rows, v
            run.directions, j = first_rows(unit, run.u), 4
        inverse = 1.0 / xp.maximum(now.beta, TINY)
        run.factors, run.qlp, run.u_prev, run.u = now, qlp, run.u, times(inverse, p)
        run.v = run.u if run.M is None else times(inverse, z)
        if event:
            n_qlp = size if all_qlp else int(xp.count_nonzero(qlp))
            all_qlp, mixed = n_qlp == size, 0 < n_qlp < size
            n_broken = int(xp.count_nonzero(run.outcome.code >= int(StopReason.NON_FINITE)))
            if n_running < size and (2 * n_running < size or n_broken):
                chosen = Selection.of(run.running)
                whole.append((chosen, run.outcome))
                run.keep(chosen)
                size = n_running
    return restored(whole, run.outcome), run.k


def stop_or_note(run: Run, now: Factors, square: Scalar, qlp: Flag, v: Array) -> bool:
    """Write down what systems leave that stop in this iteration, and x where A may be singular.

    Return whether there are any of those, or any that change to the QLP phase.
    """
    xp, k, n, no = run.xp, run.k, run.u.shape[-1], run.noted & False
    last, task, done = run.factors, run.task, run.outcome
    scale = now.A_norm * xp.maximum(now.x_norm_short, task.x0_norm) + task.b_norm
    broken = xp.logical_not(xp.isfinite(now.beta))  # a product is not finite, or M indefinite
    # A b is nothing but rounding errors; before iteration 2 that is unknown, and x_1 may be just so
    null = now.first <= EPS * math.sqrt(n) * now.A_norm if k == 2 else no
    long = now.x_norm > task.maxxnorm if k > 1 else no
    ill = now.A_cond >= run.limits.acondlim
    cokernel = now.cokernel <= task.cokernel_rtol * now.A_norm
    residual = now.phi <= task.goal + task.rtol * scale
    # A may be singular: should it prove to be, as far as rounding errors let one see, this was the
    # best x
    maybe = now.cokernel <= 2.0 * math.sqrt(attainable(n)) * now.A_norm
    note = maybe & xp.logical_not(run.noted)
    singular = (maybe | run.noted) & (ill | long | (now.A_cond >= SINGULAR_COND))
    spent = task.budget <= k if k >= run.least_budget else no
    if k == n <= KEEP_BASIS_UP_TO and run.first:  # the Lanczos vectors are no longer orthogonal
        spent = spent | ((now.phi > 1e-4 * scale) & (now.cokernel > 1e-4 * now.A_norm))
    stop = residual | cokernel | singular | null | long | ill | broken | spent
    stop, note = stop & run.running, note & run.running
    # the one time in an iteration that the host waits for the device
    if not xp.count_nonzero(stop | note if qlp is run.qlp else stop | note | (qlp != run.qlp)):
        return False

    # ‖A r‖ is about the iteration before. Only if the last entry of L is zero is the x without the
    # last component as good
    deflated = cokernel & (abs(now.gamma4) <= math.sqrt(EPS) * now.A_norm)
    whole = residual & xp.logical_not(cokernel | singular)
    short = (note | singular | long | ill | deflated) & xp.logical_not(whole)
    before = broken | (cokernel & xp.logical_not(short))
    reasons = [
        (square < 0.0, StopReason.INDEFINITE_PRECONDITIONER),
        (broken, StopReason.NON_FINITE),
        (null | cokernel | singular, StopReason.LEAST_SQUARES),
        (residual, StopReason.RESIDUAL),
        (note, StopReason.LEAST_SQUARES),
        (long, StopReason.MAXXNORM),
        (ill, StopReason.ACONDLIM),
        (spent, StopReason.MAXIT),
    ]
    x = solution(run, now, v, short, before)
    x = combine(times(xp.where(null, 0.0, scalar(x, 1.0)), x), run.rows)
    # the short solution has left the last, tiny entry of L behind
    A_cond = xp.divide(now.A_norm, xp.minimum(now.gamma_min, now.gamma5))
    A_cond = xp.where(broken, last.A_cond, xp.where(short, A_cond, now.A_cond))
    A_norm = xp.where(broken, last.A_norm, now.A_norm)
    x_norm = xp.where(short, now.x_norm_short, now.x_norm)
    # what was noted stands, unless the system has converged since, or has come closer to it
    closer = residual | (now.phi < 0.5 * run.noted_phi)
    fell = cokernel | (closer & xp.logical_not(singular))
    new = (stop | note) & (xp.logical_not(run.noted) | fell)
    run.outcome = Outcome(
        choose(new, x, done.x),
        xp.where(stop, first_code(xp, done.code, reasons), done.code),
        xp.where(stop, float(k), done.iterations),
        xp.where(stop, run.qlp_iterations, done.qlp_iterations),
        xp.where(new, A_norm, done.A_norm),
        xp.where(new, xp.maximum(A_cond, 1.0), done.A_cond),
        xp.where(new, x_norm, done.x_norm),
    )
    run.noted, run.noted_phi = run.noted | note, xp.where(note, last.phi, run.noted_phi)
    run.running = run.running & xp.logical_not(stop)
    return True


# ------------------------------------------------------------------------------------------------
# A solve: passes, each judged by residuals that are recomputed


MAIN, RANGE, CORRECTION = range(3)
"""What a pass solves for: what is missing of x; the part y of r in the range of A, from A y = A r;
or the correction d of x, from A d = y."""


class Progress(NamedTuple):
    """Where each system stands between passes."""

    x: Array
    r: Array  # b - A x, recomputed
    rhs: Array  # of the next pass
    stage: Any
    code: Any
    iterations: Scalar
    qlp_iterations: Scalar
    passes: Scalar
    b_norm: Scalar
    r_norm: Scalar
    Ar_norm: Scalar
    x_norm: Scalar
    A_norm: Scalar
    A_cond: Scalar
    relative_residual: Scalar
    relative_cokernel_residual: Scalar


def solve(system: System, limits: Limits, callback: Callback) -> tuple[Progress, int]:
    """Make passes until every system is judged to be done; also return how many products."""
    xp, found = functions_of(system.b), before_passes(system)
    whole: list[tuple[Selection, Progress]] = []
    products, first = 0, True
    while n_running := int(xp.count_nonzero(found.code == RUNNING)):
        if n_running < sizes_of(found.x)[0]:
            chosen = Selection.of(found.code == RUNNING)
            whole.append((chosen, found))
            system, found = chosen.take(system), chosen.take(found)
        watch = None if callback is None else partial(report, callback, whole, found)
        got, calls = one_pass(system, found, limits, first, watch)
        found = judge(system, found, got, limits)
        products, first = products + calls + 2, False
    return restored(whole, found), products


def restored(whole: Sequence[tuple[Selection, Any]], part: Any) -> Any:
    """Return what ``part`` says of the systems that are left, put into what all others left."""
    for chosen, full in reversed(whole):
        part = chosen.put(full, part)
    return part


def report(
    callback: Callback, whole: Sequence[tuple[Selection, Progress]], found: Progress, step: Array
) -> None:
    """Call the callback with x, given what a pass has found of what is missing of it."""
    step = choose(found.stage == MAIN, step, 0.0 * step)  # in a refinement x rests
    if callback is not None:
        callback(restored([(chosen, outer.x) for chosen, outer in whole], found.x + step))


def before_passes(system: System) -> Progress:
    """Return where each system stands at x = 0."""
    b, M = system.b, system.M
    xp, square, null = functions_of(b), precondition(M, b)[1], scalar(b, False)
    if M is not None:  # it is indefinite or maps b to 0, though b is not
        null = (square == 0.0) & (dot(b, b) > 0.0)
        square = xp.where(null, math.nan, square)
    size = xp.sqrt(square)
    unsolvable = (null, StopReason.INDEFINITE_PRECONDITIONER)
    solved = (size == 0.0, StopReason.ZERO_RIGHT_HAND_SIDE)
    start = Progress(*[scalar(b, 0.0)] * len(Progress._fields))
    return start._replace(
        x=array_namespace(b).zeros_like(b), r=b, rhs=b, stage=scalar(b, MAIN),
        code=first_code(xp, scalar(b, RUNNING), [unsolvable, solved]), b_norm=size, r_norm=size,
        A_cond=scalar(b, 1.0), relative_residual=size / xp.maximum(size, TINY),
    )  # fmt: skip


def one_pass(
    system: System, found: Progress, limits: Limits, first: bool, callback: Callback
) -> tuple[Outcome, int]:
    """Return what the next pass leaves, made by one kernel where there is one."""
    task, n = next_task(system, found, limits, first), found.x.shape[-1]
    if system.M is None and callback is None and (first or n > KEEP_BASIS_UP_TO):
        settings = (limits.acondlim, limits.trancond, first)
        made = kernel_pass(system.A, found.rhs, task[:-1], *settings)
        if made is not None:
            xp, (x, rows) = array_namespace(found.x), made
            code = xp.astype(rows[0, :], xp.int64)
            return Outcome(x, code, *(rows[i, :] for i in range(1, 6))), int(xp.max(rows[1, :]))
    return run_pass(Run(system._replace(b=found.rhs), task, limits, first), callback)


def next_task(system: System, found: Progress, limits: Limits, first: bool) -> Task:
    """Return what the next pass is to reach."""
    b, (_, n) = found.rhs, sizes_of(found.rhs)
    xp, main, in_range = functions_of(b), found.stage == MAIN, found.stage == RANGE
    # what is left of y and of d adds to A r, and so does what x has along r - y
    scale = found.A_norm * found.x_norm + found.b_norm
    goal = 0.25 * xp.maximum(limits.rtol * found.r_norm, attainable(n) * scale)
    along = abs(dot(found.r, found.x)) / xp.maximum(found.r_norm * found.r_norm, TINY)
    goal = xp.where(in_range, goal * found.A_norm / (1.0 + along * found.A_norm), goal)
    budget = limits.maxit - found.iterations
    if n <= KEEP_BASIS_UP_TO:
        budget = xp.minimum(budget, 1.25 * n if first else float(n))
    rtol = scalar(b, max(limits.rtol * (0.99 if first else 0.3), EPS))
    cokernel_rtol = scalar(b, max(0.99 * limits.rtol, EPS))
    return Task(
        rtol=xp.where(main, rtol, 0.0), goal=xp.where(main, 0.0, goal),
        cokernel_rtol=xp.where(main, cokernel_rtol, EPS),
        maxxnorm=xp.where(main, system.maxxnorm, math.inf), budget=budget, b_norm=found.b_norm,
        x0_norm=found.x_norm, A_norm=found.A_norm, dual=in_range,  # y and A r are of the kind of b
    )  # fmt: skip


def judge(system: System, found: Progress, got: Outcome, limits: Limits) -> Progress:
    """Return where each system stands after a pass, by its recomputed residuals."""
    A, M, b, maxxnorm = system
    xp, least = functions_of(b), attainable(b.shape[-1])
    main, in_range = found.stage == MAIN, found.stage == RANGE
    correction = found.stage == CORRECTION
    x = found.x + choose(in_range, 0.0 * got.x, got.x)
    if xp.count_nonzero(correction):  # r - y, and x along it
        null = found.r - found.rhs
        z, square = precondition(M, null)
        along = dot(null, found.x) / xp.maximum(square, TINY)
        trusted = correction & (square > 0.25 * found.r_norm * found.r_norm)
        x = x - times(xp.where(trusted, along, 0.0), z)

    r = b - A(x)
    z, square = precondition(M, r)
    Ar = A(z)
    r_norm, Ar_norm = xp.sqrt(square), xp.sqrt(precondition(M, Ar)[1])
    x_norm = xp.sqrt(dot(x, x)) if M is None else xp.maximum(found.x_norm, got.x_norm)
    A_norm = xp.maximum(found.A_norm, xp.where(in_range, 0.0, got.A_norm))
    A_cond = xp.maximum(found.A_cond, xp.where(main, got.A_cond, 1.0))
    iterations, scale = found.iterations + got.iterations, A_norm * x_norm + found.b_norm

    ill, long = got.code == int(StopReason.ACONDLIM), got.code == int(StopReason.MAXXNORM)
    terminal = (got.code >= int(StopReason.NON_FINITE)) | (main & (ill | long))
    spent = iterations >= limits.maxit
    settled = xp.logical_not(in_range) | terminal | spent
    singular = main & (got.code == int(StopReason.LEAST_SQUARES))
    shortest = correction | ((found.passes == 0.0) & (singular | ill))
    rounded = correction & (Ar_norm <= least * A_norm * scale)
    reasons = [
        (settled & (r_norm <= limits.rtol * scale), StopReason.RESIDUAL),
        (shortest & (Ar_norm <= limits.rtol * A_norm * r_norm), StopReason.LEAST_SQUARES),
        (rounded | (settled & (r_norm <= least * scale)), StopReason.ROUNDING),
        (xp.logical_not(in_range) & (x_norm > maxxnorm), StopReason.MAXXNORM),
        (terminal, got.code),
        (spent, StopReason.MAXIT),
        (found.passes >= MAX_PASSES - 1.0, StopReason.INACCURATE),
    ]
    refine = singular | correction
    stage = xp.where(refine, RANGE, found.stage & 0)
    return found._replace(
        x=x, r=r, rhs=choose(in_range, got.x, choose(refine, Ar, r)),
        stage=xp.where(in_range, CORRECTION, stage),
        code=first_code(xp, found.code, reasons), iterations=iterations,
        qlp_iterations=found.qlp_iterations + got.qlp_iterations, passes=found.passes + 1.0,
        r_norm=r_norm, Ar_norm=Ar_norm, x_norm=x_norm, A_norm=A_norm, A_cond=A_cond,
        relative_residual=r_norm / xp.maximum(scale, TINY),
        relative_cokernel_residual=Ar_norm / xp.maximum(A_norm * r_norm, TINY),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------
# Systems whose norms have no squares, solved with A, b and M multiplied by powers of two


def in_range(found: Progress) -> bool:
    """Return whether all norms that come up in any system have squares."""
    xp, b_norm, A_norm = functions_of(found.x), found.b_norm, found.A_norm
    usual = scalar(found.x, True)
    for norm in (b_norm, A_norm, A_norm * b_norm, xp.divide(b_norm, A_norm)):
        usual = usual & (norm >= 1.0 / LARGEST_SQUARED) & (norm <= LARGEST_SQUARED)
    return int(xp.count_nonzero(usual)) == sizes_of(found.x)[0]


def solve_at_own_scale(system: System, limits: Limits, found: Progress) -> tuple[Progress, int]:
    """Return what is found where each system out of range is solved at its own scale.

    A power of two changes no digit, so that a solution is the same at any scale that floats have.
    """
    A, M, b, maxxnorm = system
    xp, of_b = functions_of(b), exponent_of(b)
    unit = power_times(-of_b, b)
    of_A = exponent_of(A(unit))
    of_M = 0.0 * of_b if M is None else 2.0 * xp.floor(exponent_of(M(unit)) / 2.0)
    far = xp.maximum(abs(of_b) + abs(of_A), abs(of_M)) >= math.log2(LARGEST_SQUARED) - 8.0
    n_far = int(xp.count_nonzero(far))
    if not n_far:
        return found, 0
    if n_far < sizes_of(b)[0]:
        chosen = Selection.of(far)
        part, products = solve_at_own_scale(chosen.take(system), limits, chosen.take(found))
        return chosen.put(found, part), products
    powers = {
        "x": of_b - of_A,
        "x_norm": of_b - of_A - of_M / 2.0,
        "r_norm": of_b + of_M / 2.0,
        "Ar_norm": of_b + of_A + 1.5 * of_M,
        "A_norm": of_A + of_M,
    }
    scaled = System(
        A=replace(A, exponent=-of_A),
        M=None if M is None else replace(M, exponent=-of_M),
        b=unit,
        maxxnorm=power_times(-powers["x_norm"], maxxnorm),
    )
    found, products = solve(scaled, limits, None)
    own = {name: power_times(power, getattr(found, name)) for name, power in powers.items()}
    before, after = largest_of(found.x), largest_of(own["x"])
    lost = [
        (after == math.inf, StopReason.NON_FINITE),
        ((before > 0.0) & (after < TINY), StopReason.INACCURATE),
    ]
    return found._replace(**own, code=first_code(xp, found.code, lost)), products


def result_of(found: Progress, products: int) -> MinresQLPResult:
    """Return what is known of all systems at the end."""
    xp, single = array_namespace(found.x), found.x.ndim == 1
    counts = [found.iterations, found.iterations - found.qlp_iterations]
    counts += [found.qlp_iterations, found.passes]
    iterations, minres, qlp, passes = (int(c) if single else xp.astype(c, xp.int64) for c in counts)
    return MinresQLPResult(
        found.x, StopReason(found.code) if single else found.code, iterations, minres, qlp, passes,
        products, found.r_norm, found.Ar_norm, found.relative_residual,
        found.relative_cokernel_residual, found.A_norm, found.A_cond, found.x_norm,
    )  # fmt: skip
