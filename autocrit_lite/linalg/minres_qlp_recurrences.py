"""The recurrences of MINRES-QLP: scalars and vectors of one iteration.

Symbols and order are those of Choi, Paige & Saunders, "MINRES-QLP: a Krylov subspace method for
indefinite or singular symmetric systems", SIAM J. Sci. Comput. 33(4), 1810-1836, 2011: Lanczos
makes the tridiagonal T of A, left reflections its QR factorization, right reflections P the lower
triangular L = R P. A quantity that changes more than once carries the number of the change in its
name, as there: ``gamma5`` is γ⁽⁵⁾. ``mu2``, ``mu1`` and ``mu`` belong to iterations k - 2, k - 1,
k, and so do ``w2``, ``w1`` and ``w``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..arrays import Array
from .systems import Flag, Scalar, Systems


class State(NamedTuple):
    """Scalars after iteration k; ``advance`` turns those of k - 1 into those of k."""

    beta: Scalar  # beta_{k+1}
    c: Scalar  # left reflection k
    s: Scalar
    delta_bar: Scalar  # delta^(1)_{k+1}
    epsilon: Scalar  # epsilon_{k+1}
    phi: Scalar  # ||r_k||
    gamma5: Scalar  # L[k-1, k-1]
    theta: Scalar  # L[k, k-1]
    gamma4: Scalar  # L[k, k]
    nu: Scalar  # row k - 1 of L u = t: tau_{k-1} less the entries left of the diagonal
    zeta: Scalar  # row k: tau_k less eta_k mu_{k-2}
    final2: Scalar  # sum of the mu_j^2 that will not change
    A_norm: Scalar
    A_cond: Scalar
    gamma_min: Scalar  # smallest diagonal entry of L that will not change
    first: Scalar  # norm of the first column of T: ||A b|| / ||b||


class Step(NamedTuple):
    """Scalars of iteration k that its tests and the update of the vectors need."""

    cokernel: Scalar  # ||A r_{k-1}|| / ||r_{k-1}||
    x_norm: Scalar
    x_norm_short: Scalar  # of x_k less its last component mu_k w_k
    delta: Scalar
    epsilon: Scalar
    gamma: Scalar
    tau: Scalar
    c1: Scalar
    s1: Scalar
    c2: Scalar
    s2: Scalar
    mu2: Scalar
    mu1: Scalar
    mu: Scalar


def start(m: Systems, beta1: Scalar, A_norm: Scalar) -> State:
    """Return the scalars before iteration 1. L starts with two rows of the identity."""
    o, i = m.zero, m.one
    return State(o, -i, o, o, o, beta1, i, o, i, o, o, o, A_norm, i, i * math.inf, o)


def advance(m: Systems, k: int, S: State, alpha: Scalar, beta_next: Scalar) -> tuple[State, Step]:
    """Return the scalars of iteration k, given column k of T: beta_k, alpha_k, beta_{k+1}."""
    # Left reflection k - 1 on rows k - 1 and k of columns k and k + 1 of T:
    #   [c  s] [delta_bar_k  0         ]   [delta_k      epsilon_{k+1}  ]
    #   [s -c] [alpha_k      beta_{k+1}] = [gamma_bar_k  delta_bar_{k+1}]
    # The last row is A r_{k-1} / ||r_{k-1}|| in terms of v_k and v_{k+1}.
    delta = S.c * S.delta_bar + S.s * alpha
    gamma_bar = S.s * S.delta_bar - S.c * alpha
    epsilon_next = S.s * beta_next
    delta_bar_next = -S.c * beta_next
    cokernel = m.hypot(gamma_bar, delta_bar_next)

    # Left reflection k:  [c  s] [gamma_bar_k  phi_{k-1}]   [gamma_k  tau_k]
    #                     [s -c] [beta_{k+1}   0        ] = [0        phi_k]
    gamma = m.hypot(gamma_bar, beta_next)
    safe = m.maximum(gamma, m.tiny)
    c, s = gamma_bar / safe, beta_next / safe
    tau, phi = c * S.phi, s * S.phi

    # Right reflections, on rows and columns k - 2, k - 1, k:
    #   [gamma5_{k-2}  0             epsilon_k]  P_{k-2,k}  [gamma6_{k-2}  0             0       ]
    #   [theta_{k-1}   gamma4_{k-1}  delta_k  ] ----------> [theta'_{k-1}  gamma4_{k-1}  delta'_k]
    #   [0             0             gamma_k  ]             [eta_k         0             gamma'_k]
    gamma6 = m.hypot(S.gamma5, S.epsilon)
    c1, s1 = S.gamma5 / gamma6, S.epsilon / gamma6
    theta1, delta1 = c1 * S.theta + s1 * delta, s1 * S.theta - c1 * delta
    eta, gamma1 = s1 * gamma, -c1 * gamma
    #   [gamma4_{k-1}  delta'_k]  P_{k-1,k}  [gamma5_{k-1}  0       ]
    #   [0             gamma'_k] ----------> [theta_k       gamma4_k]
    gamma5 = m.hypot(S.gamma4, delta1)
    c2, s2 = S.gamma4 / gamma5, delta1 / gamma5
    theta, gamma4 = s2 * gamma1, -c2 * gamma1

    # Rows k - 2, k - 1 and k of L u = t
    mu2 = S.nu / gamma6
    nu = S.zeta - theta1 * mu2
    mu1 = nu / gamma5
    zeta = tau - eta * mu2
    mu = m.ratio(zeta - theta * mu1, gamma4)
    final2 = S.final2 + mu2 * mu2
    short2 = final2 + mu1 * mu1

    # ||T e_k|| and the diagonal of L bound the largest and the smallest singular value
    column = m.sqrt(S.beta * S.beta + alpha * alpha + beta_next * beta_next)
    A_norm = m.maximum(S.A_norm, column)
    gamma_min = m.minimum(S.gamma_min, gamma6) if k > 2 else S.gamma_min
    smallest = m.minimum(gamma_min, abs(gamma4))
    smallest = m.minimum(smallest, gamma5) if k > 1 else smallest
    A_cond = m.maximum(S.A_cond, m.ratio(A_norm, smallest))

    state = State(
        beta_next, c, s, delta_bar_next, epsilon_next, phi, gamma5, theta, gamma4, nu, zeta,
        final2, A_norm, A_cond, gamma_min, column if k == 1 else S.first,
    )  # fmt: skip
    return state, Step(
        cokernel, m.sqrt(short2 + mu * mu), m.sqrt(short2), delta, S.epsilon, gamma, tau,
        c1, s1, c2, s2, mu2, mu1, mu,
    )  # fmt: skip


def last_mu(m: Systems, S: State) -> tuple[Scalar, Scalar]:
    """Return mu_{k-1} and mu_k as they are after iteration k."""
    mu1 = S.nu / S.gamma5
    return mu1, m.ratio(S.zeta - S.theta * mu1, S.gamma4)


class Vectors(NamedTuple):
    """d_{k-1}, d_k and x_k in the MINRES phase; w_{k-1}, w_k and the final part of x after it.

    In the QLP phase x_k = final + mu_{k-1} w_{k-1} + mu_k w_k. Each is an array (..., K): the
    coefficients of a vector in terms of K others, of which ``run_pass`` tells.
    """

    w1: Array
    w: Array
    x: Array


def minres_update(m: Systems, t: Step, Y: Vectors, v: Array) -> Vectors:
    """Return d_{k-1}, d_k and x_k: D R = V and x = D t."""
    d = v - m.scale(t.delta, Y.w) - m.scale(t.epsilon, Y.w1)
    d = m.scale(m.ratio(m.one, t.gamma), d)
    return Vectors(Y.w, d, Y.x + m.scale(t.tau, d))


def qlp_update(m: Systems, t: Step, Y: Vectors, v: Array) -> Vectors:
    """Return w_{k-1}, w_k and the final part of x_k: W = V P and x = W u."""
    w2, v1 = m.scale(t.c1, Y.w1) + m.scale(t.s1, v), m.scale(t.s1, Y.w1) - m.scale(t.c1, v)
    w1, w = m.scale(t.c2, Y.w) + m.scale(t.s2, v1), m.scale(t.s2, Y.w) - m.scale(t.c2, v1)
    return Vectors(w1, w, Y.x + m.scale(t.mu2, w2))


def transfer(m: Systems, S: State, Y: Vectors) -> Vectors:
    """Return the vectors of the QLP phase, given those of the MINRES phase: W = D L."""
    w1 = m.scale(S.gamma5, Y.w1) + m.scale(S.theta, Y.w)
    w = m.scale(S.gamma4, Y.w)
    mu1, mu = last_mu(m, S)
    return Vectors(w1, w, Y.x - m.scale(mu1, w1) - m.scale(mu, w))


def update(
    m: Systems, S: State, t: Step, Y: Vectors, v: Array, was_qlp: Flag, qlp: Flag
) -> Vectors:
    """Return the vectors after iteration k, of systems in either phase or between the two."""
    transferred = transfer(m, S, Y)
    before = Vectors(*(m.where(was_qlp, a, b) for a, b in zip(Y, transferred, strict=True)))
    either = zip(qlp_update(m, t, before, v), minres_update(m, t, Y, v), strict=True)
    return Vectors(*(m.where(qlp, a, b) for a, b in either))


def solution(
    m: Systems, S: State, t: Step, Y: Vectors, v: Array, was_qlp: Flag, short: Flag, before: Flag
) -> Array:
    """Return x_k; where ``short``, x_k - mu_k w_k; where ``before``, x_{k-1}.

    The short one has minimum length if the last entry of L is zero. It belongs to the QLP phase.
    """
    qlp = was_qlp | short
    Z = update(m, S, t, Y, v, was_qlp, qlp)
    mu = m.where(short, m.zero, t.mu)
    x = m.where(qlp, Z.x + m.scale(t.mu1, Z.w1) + m.scale(mu, Z.w), Z.x)
    mu1, mu = last_mu(m, S)
    last = m.where(was_qlp, Y.x + m.scale(mu1, Y.w1) + m.scale(mu, Y.w), Y.x)
    return m.where(before, last, x)
