"""MINRES-QLP: minimum-length solutions of symmetric systems, singular or not, one or many at once.

Symbols and order are those of Choi, Paige & Saunders, "MINRES-QLP: a Krylov subspace method for
indefinite or singular symmetric systems", SIAM J. Sci. Comput. 33(4), 1810-1836, 2011. Where a
quantity changes more than once, its name carries the number of the change, as in the paper:
``gamma5`` is gamma^(5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator

from .checks import Array, float_array, integer, number

EPS = float(np.finfo(np.float64).eps)


class StopReason(IntEnum):
    """Why a solve ended; ``str`` of a member is its sentence."""

    sentence: str

    RESIDUAL = 1, "The residual is within rtol: x solves the system."
    LEAST_SQUARES = 2, "A times the residual is within rtol: x is the least-squares solution."
    ROUNDING = 3, "The residual, or A times it, is as small as rounding errors allow."
    ZERO_RIGHT_HAND_SIDE = 4, "b = 0, hence x = 0."
    MAXIT = 5, "The limit of iterations was reached first."
    MAXXNORM = 6, "The next iterate would have been longer than maxxnorm."
    ACONDLIM = 7, "The estimated condition number reached acondlim."
    INACCURATE = 8, "The recurrences converged, but the recomputed residuals did not."
    NON_FINITE = 9, "A product gave NaN or infinity; x is the last iterate before it."
    INDEFINITE_PRECONDITIONER = 10, "M is not positive definite; x is the last iterate before that."

    def __new__(cls, code: int, sentence: str) -> StopReason:
        member = int.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return self.sentence

    @property
    def converged(self) -> bool:
        """Whether x is a solution."""
        return self <= StopReason.ZERO_RIGHT_HAND_SIDE


RUNNING = 0


@dataclass(frozen=True)
class MinresQLPResult:
    """What a solve found; a batch of B systems has arrays (B,) in place of numbers."""

    x: Array
    stop_reason: Any
    iterations: Any
    minres_iterations: Any
    qlp_iterations: Any
    residual_norm: Any
    cokernel_residual_norm: Any
    relative_residual: Any
    relative_cokernel_residual: Any
    A_norm: Any
    A_cond: Any
    x_norm: Any
    products: int
    residual_history: Array | None = None
    cokernel_history: Array | None = None


# ---------------------------------------------------------------------------------------------
# Arithmetic: the scalars of one system are Python floats, those of a batch are arrays (B,)


class _One:
    """Scalars of one system: Python floats, which cost a tenth of 0-d arrays."""

    zero, one = 0.0, 1.0
    hypot = staticmethod(math.hypot)

    def __init__(self, b: Array) -> None:
        self.xp = array_namespace(b)
        self.device = b.device

    def dot(self, u: Array, v: Array) -> float:
        return float(u @ v)

    def sqrt(self, a: float) -> float:
        return math.sqrt(a) if a >= 0.0 else math.nan

    def where(self, condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    where_rows = where

    def maximum(self, a: float, b: float) -> float:
        return a if a >= b else b

    def minimum(self, a: float, b: float) -> float:
        return a if a <= b else b

    def isfinite(self, a: float) -> bool:
        return math.isfinite(a)

    def any(self, condition: bool) -> bool:
        return condition

    def ratio(self, a: float, b: float) -> float:
        return a / b if b else 0.0

    def reflection(self, a: float, b: float) -> tuple[float, float, float]:
        r = math.hypot(a, b)
        return (a / r, b / r, r) if r else (1.0, 0.0, 0.0)

    def scale(self, c: float, v: Array) -> Array:
        return c * v

    def scatter(self, full: Any, working: Any, which: bool) -> Any:
        return working if which else full

    def survivors(self, running: bool) -> Array | None:
        return None

    def matrix(self, rows: list[list[float]]) -> Array:
        return self.xp.asarray(rows, dtype=self.xp.float64, device=self.device)


class _Many:
    """Scalars of B systems: arrays (B,)."""

    def __init__(self, b: Array) -> None:
        xp = self.xp = array_namespace(b)
        self.one = xp.ones_like(b[:, 0])
        self.zero = xp.zeros_like(self.one)
        self.hypot, self.sqrt = xp.hypot, xp.sqrt
        self.where, self.isfinite = xp.where, xp.isfinite
        self.maximum, self.minimum = xp.maximum, xp.minimum
        # where in the working set each system of the batch is, and whether it still is there
        self.place = xp.arange(b.shape[0], device=b.device)
        self.present = self.one > 0.0

    def scatter(self, full: Array, working: Array, which: Array) -> Array:
        """Return ``full`` with the working systems in ``which`` replaced by theirs."""
        xp = self.xp
        chosen = self.present & xp.take(which, self.place, axis=0)
        return self.where_rows(chosen, xp.take(working, self.place, axis=0), full)

    def survivors(self, running: Array) -> Array | None:
        """Return the working rows to keep once fewer than half of them run, else None."""
        xp = self.xp
        n_running = int(xp.sum(xp.astype(running, xp.int64)))
        if n_running == 0 or 2 * n_running >= running.shape[0]:
            return None
        running_full = self.present & xp.take(running, self.place, axis=0)
        self.present = running_full
        ranks = xp.cumulative_sum(xp.astype(running_full, xp.int64)) - 1
        self.place = xp.where(running_full, ranks, xp.zeros_like(ranks))
        self.one, self.zero = self.one[:n_running], self.zero[:n_running]
        return xp.nonzero(running)[0]

    def dot(self, u: Array, v: Array) -> Array:
        return self.xp.vecdot(u, v)

    def where_rows(self, condition: Array, a: Array, b: Array) -> Array:
        return self.xp.where(self.xp.reshape(condition, (-1,) + (1,) * (a.ndim - 1)), a, b)

    def any(self, condition: Array) -> bool:
        return bool(self.xp.any(condition))

    def ratio(self, a: Array, b: Array) -> Array:
        return self.xp.where(b == 0.0, self.zero, a / self.xp.where(b == 0.0, self.one, b))

    def reflection(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        r = self.hypot(a, b)
        none = r == 0.0
        safe = self.where(none, self.one, r)
        return self.where(none, self.one, a / safe), b / safe, r

    def scale(self, c: Array, v: Array) -> Array:
        return c[:, None] * v

    def matrix(self, rows: list[list[Array]]) -> Array:
        flat = self.xp.stack([entry for row in rows for entry in row], axis=-1)
        return self.xp.reshape(flat, (flat.shape[0], len(rows), len(rows[0])))


# ---------------------------------------------------------------------------------------------
# The recurrences of one iteration


class _State(NamedTuple):
    """Scalars between iterations; on entry to iteration k they belong to iteration k - 1.

    QR of the tridiagonal T by left reflections, and L = R P by right reflections:

        left:   [c  s] [gamma_bar_k      delta_bar_{k+1}   0          ]
                [s -c] [beta_{k+1}       alpha_{k+1}       beta_{k+2} ]

        L:      [gamma5_{k-2}                         ]   x_f = the part of x that is final
                [theta_{k-1}   gamma4_{k-1}           ]
                [eta_k         theta_k        gamma4_k]
    """

    beta: Any
    c: Any
    s: Any
    delta_bar: Any
    epsilon: Any
    phi: Any
    gamma5: Any
    gamma4: Any
    theta: Any
    nu: Any  # right-hand side of row k - 2 of L u = t, less the terms left of the diagonal
    zeta: Any  # of row k - 1, less the term of mu_{k-3}
    xf_norm2: Any
    A_norm: Any
    gamma_min: Any
    A_cond: Any
    column1: Any  # norm of the first column of T: ||A b|| / ||b||


class _Step(NamedTuple):
    """Scalars of iteration k that decide the update of the vectors and the stopping tests."""

    cokernel: Any
    x_norm: Any
    x_norm_short: Any
    gamma: Any
    delta: Any
    epsilon: Any
    tau: Any
    c1: Any
    s1: Any
    c2: Any
    s2: Any
    mu2: Any
    mu1: Any
    mu: Any


def _start(m: Any, beta1: Any) -> _State:
    o, z = m.one, m.zero
    return _State(
        beta=z, c=-o, s=z, delta_bar=z, epsilon=z, phi=beta1, gamma5=z, gamma4=z, theta=z, nu=z,
        zeta=z, xf_norm2=z, A_norm=z, gamma_min=o * np.inf, A_cond=o, column1=z,
    )  # fmt: skip


def _advance(m: Any, k: int, S: _State, alpha: Any, beta_next: Any) -> tuple[_State, _Step]:
    # Column k of T is (beta_k, alpha_k, beta_{k+1}); the last left reflection turns
    #   [c  s] [delta_bar_k  0         ]   [delta_k      epsilon_{k+1}  ]
    #   [s -c] [alpha_k      beta_{k+1}] = [gamma_bar_k  delta_bar_{k+1}]
    delta = S.c * S.delta_bar + S.s * alpha
    gamma_bar = S.s * S.delta_bar - S.c * alpha
    epsilon_next = S.s * beta_next
    delta_bar_next = -S.c * beta_next
    # A r_{k-1} = phi_{k-1} (gamma_bar_k v_k + delta_bar_{k+1} v_{k+1})
    cokernel = m.hypot(gamma_bar, delta_bar_next)

    c, s, gamma = m.reflection(gamma_bar, beta_next)
    tau = c * S.phi
    phi = s * S.phi

    # P_{k-2,k} clears epsilon_k, P_{k-1,k} clears what it put into row k - 1:
    #   [gamma5_{k-2}  0             epsilon_k]    [gamma6_{k-2}                       ]
    #   [theta_{k-1}   gamma4_{k-1}  delta_k  ] -> [theta_{k-1}   gamma5_{k-1}         ]
    #   [0             0             gamma_k  ]    [eta_k         theta_k      gamma4_k]
    c1, s1, gamma6 = m.reflection(S.gamma5, S.epsilon)
    theta1 = c1 * S.theta + s1 * delta
    delta3 = s1 * S.theta - c1 * delta
    eta = s1 * gamma
    gamma3 = -c1 * gamma
    c2, s2, gamma5 = m.reflection(S.gamma4, delta3)
    theta = s2 * gamma3
    gamma4 = -c2 * gamma3

    # Rows k - 2, k - 1 and k of L u = t
    mu2 = m.ratio(S.nu, gamma6)
    nu = S.zeta - theta1 * mu2
    mu1 = m.ratio(nu, gamma5)
    zeta = tau - eta * mu2
    mu = m.ratio(zeta - theta * mu1, gamma4)
    xf_norm2 = S.xf_norm2 + mu2 * mu2
    short2 = xf_norm2 + mu1 * mu1

    # Lower bounds of ||A||: the columns of T; the diagonal of L approximates singular values
    column = m.hypot(m.hypot(S.beta, alpha), beta_next)
    A_norm = m.maximum(S.A_norm, column)
    gamma_min = m.minimum(S.gamma_min, gamma6) if k > 2 else S.gamma_min
    smallest = m.minimum(gamma_min, abs(gamma4))
    if k > 1:
        smallest = m.minimum(smallest, gamma5)
    A_cond = m.maximum(S.A_cond, A_norm / m.maximum(smallest, A_norm * 1e-300 + 1e-300))

    state = _State(
        beta_next, c, s, delta_bar_next, epsilon_next, phi, gamma5, gamma4, theta, nu, zeta,
        xf_norm2, A_norm, gamma_min, A_cond, column if k == 1 else S.column1,
    )  # fmt: skip
    return state, _Step(
        cokernel, m.sqrt(short2 + mu * mu), m.sqrt(short2), gamma, delta, S.epsilon, tau,
        c1, s1, c2, s2, mu2, mu1, mu,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# The vectors. Y holds four of them as rows; an iteration is a small matrix times Y.
#   MINRES phase: d_{k-2}, d_{k-1}, x_{k-1}, v_k        D R = V
#   QLP phase:    w_{k-2}, w_{k-1}, x_f,     v_k        W = V P


def _minres_rows(m: Any, t: _Step) -> list[list[Any]]:
    i = m.ratio(m.one, t.gamma)
    d2, d1 = -t.epsilon * i, -t.delta * i
    return [
        [m.zero, m.one, m.zero, m.zero],
        [d2, d1, m.zero, i],
        [t.tau * d2, t.tau * d1, m.one, t.tau * i],
        [m.zero, m.zero, m.zero, m.zero],
    ]


def _qlp_rows(m: Any, t: _Step) -> list[list[Any]]:
    return [
        [t.s2 * t.s1, t.c2, m.zero, -t.s2 * t.c1],
        [-t.c2 * t.s1, t.s2, m.zero, t.c2 * t.c1],
        [t.mu2 * t.c1, m.zero, m.one, t.mu2 * t.s1],
        [m.zero, m.zero, m.zero, m.zero],
    ]


def _transfer_rows(m: Any, S: _State) -> list[list[Any]]:
    """Rows that turn (d_{k-2}, d_{k-1}, x_{k-1}) into (w_{k-2}, w_{k-1}, x_f): W = D L."""
    mu2 = m.ratio(S.nu, S.gamma5)
    mu1 = m.ratio(S.zeta - S.theta * mu2, S.gamma4)
    return [
        [S.gamma5, S.theta, m.zero, m.zero],
        [m.zero, S.gamma4, m.zero, m.zero],
        [-mu2 * S.gamma5, -mu2 * S.theta - mu1 * S.gamma4, m.one, m.zero],
        [m.zero, m.zero, m.zero, m.one],
    ]


def _last_x_row(m: Any, S: _State) -> list[list[Any]]:
    """Row that gives x_{k-1} from the QLP vectors before iteration k."""
    mu2 = m.ratio(S.nu, S.gamma5)
    mu1 = m.ratio(S.zeta - S.theta * mu2, S.gamma4)
    return [[mu2, mu1, m.one, m.zero]]


def _x_row(m: Any, t: _Step, mu: Any) -> list[list[Any]]:
    """Row that gives x_k from the QLP vectors, with mu in place of mu_k."""
    w1, w, xf, _ = _qlp_rows(m, t)
    return [[xf[i] + t.mu1 * w1[i] + mu * w[i] for i in range(4)]]


# ---------------------------------------------------------------------------------------------
# Products


class _Product:
    """v -> A v for one vector (n,) or for the rows of a batch (B, n), with a count of calls."""

    def __init__(self, name: str, A: Any, apply: Callable[[Array], Array], shared: bool) -> None:
        self.name, self.A, self.apply, self.shared = name, A, apply, shared
        self.calls = 0

    def __call__(self, v: Array) -> Array:
        self.calls += 1
        p = self.apply(v)
        if p.shape != v.shape:
            raise ValueError(
                f"{self.name} must map shape {v.shape} to shape {v.shape}, not to {p.shape}"
            )
        return p

    def take(self, rows: Array, n_rows: int) -> _Product:
        """Return the product restricted to some rows of the batch."""
        xp = array_namespace(rows)
        if self.shared:
            return self
        if hasattr(self.A, "take") and not is_array_api_obj(self.A):
            return _product(self.name, self.A.take(rows), None)
        if is_array_api_obj(self.A):
            return _product(self.name, xp.take(self.A, rows, axis=0), None)
        inverse = np.full(n_rows, rows.shape[0])
        inverse[np.asarray([int(i) for i in rows])] = np.arange(rows.shape[0])
        where = xp.asarray(inverse, device=rows.device)

        def apply(v: Array) -> Array:
            padded = xp.concat([v, xp.zeros_like(v[:1, :])], axis=0)
            return xp.take(self.apply(xp.take(padded, where, axis=0)), rows, axis=0)

        return _Product(self.name, apply, apply, False)


def _product(name: str, A: Any, b: Array | None) -> _Product:
    """Return the product with A; ``b`` given: check the shape of an array A against it."""
    if isinstance(A, LinearOperator) or issparse(A):
        if b is not None and A.shape != (b.shape[-1], b.shape[-1]):
            raise ValueError(f"{name} must have shape {(b.shape[-1],) * 2}, not {A.shape}")
        return _Product(name, A, lambda v: A @ v if v.ndim == 1 else (A @ v.T).T, True)
    if is_array_api_obj(A) or isinstance(A, (list, tuple)):
        A = float_array(name, A, finite=False)
        if b is not None:
            n = b.shape[-1]
            if A.shape != (n, n) and A.shape != (*b.shape, n):
                accepted = f"({n}, {n})" + f" or {(*b.shape, n)}" * (b.ndim == 2)
                raise ValueError(f"{name} must have shape {accepted}, not {tuple(A.shape)}")
        if A.ndim == 2:
            return _Product(name, A, lambda v: A @ v if v.ndim == 1 else v @ A, True)
        return _Product(name, A, lambda v: (A @ v[:, :, None])[:, :, 0], False)
    if callable(A):
        return _Product(name, A, A, False)
    raise TypeError(
        f"{name} must be an array, a sparse array, a LinearOperator or callable, not {A!r}"
    )


# ---------------------------------------------------------------------------------------------
# One pass of the method


class _Limits(NamedTuple):
    rtol: float
    maxxnorm: float
    acondlim: float
    trancond: float
    level: float


class _Record(NamedTuple):
    """What a pass leaves for each system."""

    x: Any
    code: Any
    iterations: Any
    qlp_iterations: Any
    A_norm: Any
    A_cond: Any


def _code(m: Any, flags: list[tuple[Any, StopReason]]) -> Any:
    """Return the first reason whose flag is up."""
    code = m.zero
    for flag, reason in reversed(flags):
        code = m.where(flag, m.one * float(reason), code)
    return code


def _pass(
    m: Any,
    A: _Product,
    M: _Product | None,
    b: Array,
    shift: Any,
    b_norm: Any,
    x0_norm: Any,
    maxit: int,
    limits: _Limits,
    callback: Callable[[Array], None] | None,
    histories: tuple[list[Any], list[Any]] | None,
) -> _Record:
    """Run Lanczos on b until every system has a reason to stop; no residual is recomputed."""
    xp = m.xp
    z = b if M is None else M(b)
    beta1 = m.sqrt(m.dot(b, z))
    beta1_safe = m.where(beta1 == 0.0, m.one, beta1)
    u = m.scale(1.0 / beta1_safe, b)
    v = u if M is None else m.scale(1.0 / beta1_safe, z)
    u_prev = xp.zeros_like(u)
    S = _start(m, beta1)
    Y = xp.zeros((*b.shape[:-1], 4, b.shape[-1]), dtype=xp.float64, device=b.device)
    Y[..., 3, :] = v
    qlp = m.one < 0.0
    qlp_iterations = m.zero
    code = _code(m, [(beta1 == 0.0, StopReason.ZERO_RIGHT_HAND_SIDE)])
    record = _Record(xp.zeros_like(b), code, m.zero, m.zero, m.zero, m.one)
    running = code == 0.0
    any_qlp, all_qlp = False, False

    k = 0
    while m.any(running):
        k += 1
        with np.errstate(all="ignore"):
            p = A(v)
            if shift is not None:
                p = p - m.scale(shift, v)
            alpha = m.dot(v, p)
            p = p - m.scale(alpha, u)
            p -= m.scale(S.beta, u_prev)
            z = p if M is None else M(p)
            beta2 = m.dot(p, z)
            beta_next = m.sqrt(beta2)
            S_new, t = _advance(m, k, S, alpha, beta_next)

            broken = m.where(m.isfinite(alpha + beta2), m.zero, m.one) > 0.0
            indefinite = beta2 < 0.0
            null = S_new.column1 <= limits.level * S_new.A_norm
            cokernel = t.cokernel <= limits.rtol * S_new.A_norm
            residual = S_new.phi <= limits.rtol * (
                S_new.A_norm * m.maximum(t.x_norm_short, x0_norm) + b_norm
            )
            long = t.x_norm > limits.maxxnorm
            ill = S_new.A_cond >= limits.acondlim
            stop = broken | indefinite | null | cokernel | residual | long | ill
            switch = m.where(qlp, m.zero, S_new.A_cond) >= limits.trancond
            if k == maxit:
                stop = stop | running
            stop = stop & running
            if histories is not None:
                nan = m.one * np.nan
                full = m.scatter_nan if hasattr(m, "scatter_nan") else None
                histories[0].append(m.where(running, S_new.phi, nan))
                histories[1].append(m.where(running, t.cokernel * S.phi, nan))

            event = m.any(stop | switch)
            if event:
                short = cokernel | long | ill
                mu = m.where(short, m.zero, t.mu)
                W = m.matrix(_x_row(m, t, mu))
                W_last = m.matrix(_last_x_row(m, S))
                F = m.matrix(_transfer_rows(m, S))
                I = m.matrix([[m.one if i == j else m.zero for j in range(4)] for i in range(4)])
                as_minres = m.matrix([_minres_rows(m, t)[2]])
                last_minres = m.matrix([[m.zero, m.zero, m.one, m.zero]])
                Q = m.where_rows(qlp, I, F)
                x_row = m.where_rows(qlp | short, W @ Q, as_minres)
                x_row = m.where_rows(
                    broken | indefinite, m.where_rows(qlp, W_last, last_minres), x_row
                )
                x_row = m.where_rows(null, m.matrix([[m.zero] * 4]), x_row)
                x = (x_row @ Y)[..., 0, :]
                code = _code(
                    m,
                    [
                        (broken, StopReason.NON_FINITE),
                        (indefinite, StopReason.INDEFINITE_PRECONDITIONER),
                        (null | cokernel, StopReason.LEAST_SQUARES),
                        (residual, StopReason.RESIDUAL),
                        (long, StopReason.MAXXNORM),
                        (ill, StopReason.ACONDLIM),
                        (stop, StopReason.MAXIT),
                    ],
                )
                now = _Record(
                    x,
                    code,
                    m.one * k,
                    qlp_iterations + m.where(qlp, m.one, m.zero),
                    S_new.A_norm,
                    S_new.A_cond,
                )
                record = _Record(*(m.scatter(f, w, stop) for f, w in zip(record, now)))
                running = m.where(stop, m.zero, m.where(running, m.one, m.zero)) > 0.0
                C = m.where_rows(
                    qlp | switch, m.matrix(_qlp_rows(m, t)) @ Q, m.matrix(_minres_rows(m, t))
                )
                qlp = qlp | switch
                any_qlp = m.any(qlp)
                all_qlp = not m.any(m.where(qlp, m.zero, m.one) > 0.0)
            elif all_qlp:
                C = m.matrix(_qlp_rows(m, t))
            elif any_qlp:
                C = m.where_rows(qlp, m.matrix(_qlp_rows(m, t)), m.matrix(_minres_rows(m, t)))
            else:
                C = m.matrix(_minres_rows(m, t))
            if not m.any(running):
                break
            qlp_iterations = qlp_iterations + m.where(qlp, m.one, m.zero)
            Y = C @ Y
            safe = m.where(beta_next > 0.0, beta_next, m.one)
            u_prev, u = u, m.scale(1.0 / safe, p)
            v = u if M is None else m.scale(1.0 / safe, z)
            Y[..., 3, :] = v
            S = S_new
        if event:
            rows = m.survivors(running)
            if rows is not None:
                n_rows = v.shape[0]
                A = A.take(rows, n_rows)
                M = None if M is None else M.take(rows, n_rows)

                def take(a):
                    return xp.take(a, rows, axis=0)

                u_prev, u, v, Y = take(u_prev), take(u), take(v), take(Y)
                S = _State(*map(take, S))
                qlp, qlp_iterations, running = take(qlp), take(qlp_iterations), take(running)
                b_norm, x0_norm = take(b_norm), take(x0_norm)
                shift = None if shift is None else take(shift)
                any_qlp, all_qlp = m.any(qlp), not m.any(qlp == (m.one < 0.0))
    return record


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
    callback: Callable[[Array], None] | None = None,
    history: bool = False,
) -> MinresQLPResult:
    """Solve (A - shift I) x = b (first version)."""
    b = float_array("b", b)
    xp = array_namespace(b)
    if b.ndim not in (1, 2):
        raise ValueError(f"b must have shape (n,) or (B, n), not {tuple(b.shape)}")
    n = b.shape[-1]
    product = _product("A", A, b)
    precondition = None if M is None else _product("M", M, b)
    maxit = 4 * n if maxit is None else integer("maxit", maxit)
    single = b.ndim == 1
    m0 = _One(b) if single else _Many(b)
    sh = None
    if single:
        sh = float(shift) or None
    elif not (isinstance(shift, (int, float)) and shift == 0):
        sh = m0.one * shift
    level = math.sqrt(n) * EPS
    make = _One if single else _Many
    m = make(b)
    zb = b if precondition is None else precondition(b)
    b_norm = m.sqrt(m.dot(b, zb))
    limits = _Limits(max(0.99 * rtol, EPS), maxxnorm, acondlim, trancond, level)
    rec = _pass(m, product, precondition, b, sh, b_norm, m.zero, maxit, limits, callback, None)
    m = make(b)
    x = rec.x
    r = b - product(x)
    if sh is not None:
        r = r + m.scale(sh, x)
    zr = r if precondition is None else precondition(r)
    Ar = product(zr)
    if sh is not None:
        Ar = Ar - m.scale(sh, zr)
    zAr = Ar if precondition is None else precondition(Ar)
    r_norm = m.sqrt(m.dot(r, zr))
    Ar_norm = m.sqrt(m.dot(Ar, zAr))
    x_norm = m.sqrt(m.dot(x, x))
    relres = m.ratio(r_norm, rec.A_norm * x_norm + b_norm)
    relAres = m.ratio(Ar_norm, rec.A_norm * r_norm)
    code = rec.code
    if single:
        code = StopReason(int(code))
    else:
        code = xp.astype(code, xp.int64)
    its = int(rec.iterations) if single else xp.astype(rec.iterations, xp.int64)
    q = int(rec.qlp_iterations) if single else xp.astype(rec.qlp_iterations, xp.int64)
    return MinresQLPResult(
        x,
        code,
        its,
        its - q,
        q,
        r_norm,
        Ar_norm,
        relres,
        relAres,
        rec.A_norm,
        rec.A_cond,
        x_norm,
        product.calls,
    )
