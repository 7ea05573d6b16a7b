"""One pass of MINRES-QLP: Lanczos from a right-hand side to the first reason to stop.

The method of Choi, Paige & Saunders, SIAM J. Sci. Comput. 33(4), 1810-1836, 2011, whose recurrences
are in ``minres_qlp_recurrences.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..arrays import Array, array_namespace
from ..reasons import Reason
from .minres_qlp_recurrences import (
    State,
    Step,
    Vectors,
    advance,
    minres_update,
    qlp_update,
    solution,
    start,
    update,
)
from .systems import EPS, Flag, Product, Scalar, Systems, systems_of, take_rows

BLOCK = 8
"""Iterations between updates of x and its directions; chosen by us, as 4 to 8 are fastest."""

SINGULAR_COND = 1e12
"""Once ‖Ar‖ / (‖A‖‖r‖) was less than about √ε, A counts as singular from this condition number on.

Chosen by us: rounding errors of A alone make it 1e14 to 1e16.
"""

KEEP_BASIS_UP_TO = 256
"""Passes after the first keep all Lanczos vectors of systems up to this size: at most 0.5 MB."""


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
    NON_FINITE = 9, "A product gave NaN or infinity; x is the last iterate before it."
    INDEFINITE_PRECONDITIONER = 10, "M is not positive definite; x is the last iterate before that."

    @property
    def converged(self) -> bool:
        """Whether x is a solution, as far as rtol or rounding errors tell."""
        return self <= StopReason.ZERO_RIGHT_HAND_SIDE


RUNNING = 0.0


def first_code(m: Systems, flags: list[tuple[Flag, float]]) -> Scalar:
    """Return the code of the first flag that is up, RUNNING if none is."""
    code = m.zero
    for flag, value in reversed(flags):
        code = m.where(flag, m.one * float(value), code)
    return code


class Lanczos(NamedTuple):
    """The Lanczos vectors u_{k-1}, u_k and v_k = M u_k; in U and V all of them if they are kept."""

    u_prev: Array
    u: Array
    v: Array
    U: Array | None
    V: Array | None


def lanczos_product(
    m: Systems, A: Product, k: int, Q: Lanczos, beta: Scalar, pair: Array
) -> tuple[Array, Scalar]:
    """Return beta_{k+1} u_{k+1} = A v_k - alpha_k u_k - beta_k u_{k-1}, and alpha_k.

    ``pair`` holds u_{k-1} and u_k, (..., 2, n).
    """
    p = A(Q.v)
    alpha = m.dot(Q.v, p)
    p = p - m.combine([beta, alpha], pair)
    if Q.U is not None and Q.V is not None:
        Q.U[..., k - 1, :], Q.V[..., k - 1, :] = Q.u, Q.v
        U, V = Q.U[..., :k, :], Q.V[..., :k, :]
        p -= (m.xp.matrix_transpose(U) @ (V @ p[..., None]))[..., 0]
    return p, alpha


def precondition(m: Systems, M: Product | None, p: Array) -> tuple[Array, Scalar]:
    """Return z = M p and pᵀz, which is zero if only rounding errors make it negative."""
    if M is None:
        return p, m.dot(p, p)
    z = M(p)
    square = m.dot(p, z)
    if m.any(square < 0.0):
        rounding = EPS * math.sqrt(p.shape[-1]) * m.sqrt(m.dot(p, p) * m.dot(z, z))
        square = m.where((square < 0.0) & (square >= -rounding), m.zero, square)
    return z, square


class Task(NamedTuple):
    """What a pass is to reach; scalars of each system."""

    rtol: Scalar  # stop at ||r|| <= goal + rtol (||A|| ||x|| + ||b||)
    goal: Scalar
    cokernel_rtol: Scalar  # or at ||A r|| <= cokernel_rtol ||A|| ||r||
    singular_rtol: Scalar  # note x at ||A r|| <= singular_rtol ||A|| ||r||
    maxxnorm: Scalar
    budget: Scalar  # of iterations
    b_norm: Scalar
    x0_norm: Scalar  # of the x that passes before have found
    A_norm: Scalar  # the norm that they have estimated
    dual: Flag  # whether M^-1 x is wanted in place of x


class Settings(NamedTuple):
    """What is the same for all systems in a pass."""

    acondlim: float
    trancond: float
    first: bool  # whether the pass is the first


class Met(NamedTuple):
    """Reasons to stop or to note x."""

    broken: Flag  # a product is not finite, or M not positive definite
    null: Flag  # A b is nothing but rounding errors
    cokernel: Flag
    deflated: Flag  # the last entry of L may be zero
    note: Flag  # A may be singular: should it prove to be, this was the best x
    singular: Flag  # it is, as far as rounding errors let one see
    residual: Flag
    long: Flag
    ill: Flag
    spent: Flag


def stopping_tests(
    m: Systems,
    k: int,
    n: int,
    S: State,
    t: Step,
    task: Task,
    noted: Flag,
    least_budget: float,
    how: Settings,
) -> Met:
    """Return which reasons to stop hold in iteration k."""
    scale = S.A_norm * m.maximum(t.x_norm_short, task.x0_norm) + task.b_norm
    null = spent = long = m.zero > m.one
    if k == 2:
        null = S.first <= EPS * math.sqrt(n) * S.A_norm
    if k > 1:  # before, b may be null, and x_1 nothing but rounding errors
        long = t.x_norm > task.maxxnorm
    if k >= least_budget:
        spent = task.budget <= k
    if k == n <= KEEP_BASIS_UP_TO and how.first:  # the Lanczos vectors are no longer orthogonal
        spent = spent | ((S.phi > 1e-4 * scale) & (t.cokernel > 1e-4 * S.A_norm))
    ill = S.A_cond >= how.acondlim
    maybe_singular = t.cokernel <= task.singular_rtol * S.A_norm
    return Met(
        broken=m.negate(m.isfinite(S.beta)),
        null=null,
        cokernel=t.cokernel <= task.cokernel_rtol * S.A_norm,
        deflated=abs(S.gamma4) <= math.sqrt(EPS) * S.A_norm,
        note=maybe_singular & m.negate(noted),
        singular=(maybe_singular | noted) & (ill | long | (S.A_cond >= SINGULAR_COND)),
        residual=S.phi <= task.goal + task.rtol * scale,
        long=long,
        ill=ill,
        spent=spent,
    )


class Outcome(NamedTuple):
    """What a pass leaves of each system."""

    x: Array
    code: Scalar
    iterations: Scalar
    qlp_iterations: Scalar
    A_norm: Scalar
    A_cond: Scalar
    x_norm: Scalar


def is_short(m: Systems, tests: Met) -> Flag:
    """Return whether x is to be without its last component."""
    full = tests.residual & m.negate(tests.cokernel | tests.singular)
    short = tests.note | tests.singular | tests.long | tests.ill
    return (short | (tests.cokernel & tests.deflated)) & m.negate(full)


def is_before(m: Systems, tests: Met) -> Flag:
    """Return whether x is to be that of the iteration before: the test of ‖A r‖ is about that.

    Only if the last entry of L is zero is the one without the last component as good.
    """
    return tests.broken | (tests.cokernel & m.negate(is_short(m, tests)))


def outcome_of(
    m: Systems, k: int, S_prev: State, S: State, t: Step, tests: Met, square: Scalar, x: Array,
    qlp_iterations: Scalar,
) -> Outcome:  # fmt: skip
    """Return what a system leaves that stops in iteration k with x."""
    code = first_code(
        m,
        [
            (square < 0.0, StopReason.INDEFINITE_PRECONDITIONER),
            (tests.broken, StopReason.NON_FINITE),
            (tests.null | tests.cokernel | tests.singular, StopReason.LEAST_SQUARES),
            (tests.residual, StopReason.RESIDUAL),
            (tests.note, StopReason.LEAST_SQUARES),
            (tests.long, StopReason.MAXXNORM),
            (tests.ill, StopReason.ACONDLIM),
            (tests.spent, StopReason.MAXIT),
        ],
    )
    short = is_short(m, tests)
    # the short solution has left the last, tiny entry of L behind
    A_cond = m.where(short, m.ratio(S.A_norm, m.minimum(S.gamma_min, S.gamma5)), S.A_cond)
    return Outcome(
        x=x,
        code=code,
        iterations=m.one * k,
        qlp_iterations=qlp_iterations,
        A_norm=m.where(tests.broken, S_prev.A_norm, S.A_norm),
        A_cond=m.maximum(m.where(tests.broken, S_prev.A_cond, A_cond), m.one),
        x_norm=m.where(short, t.x_norm_short, t.x_norm),
    )


Watch = Callable[[int, Any, Any, Any], None]


class Run(NamedTuple):
    """All that a pass carries from one iteration to the next for each system."""

    task: Task
    S: State
    Q: Lanczos
    Y: Vectors
    rows: Array  # what Y's coefficients stand for, (..., 4 + BLOCK, n)
    qlp: Flag
    qlp_iterations: Scalar
    noted: Flag
    noted_phi: Scalar  # ||r|| of the x noted
    running: Flag


def begin(
    m: Systems, M: Product | None, b: Array, task: Task, how: Settings
) -> tuple[Run, Outcome]:
    """Return the state before the first iteration, and what systems leave that make none."""
    z, square = precondition(m, M, b)
    S = start(m, m.sqrt(square), task.A_norm)
    i = m.one / m.maximum(S.phi, m.tiny)
    u = m.scale(i, b)
    U = None if how.first or b.shape[-1] > KEEP_BASIS_UP_TO else zero_rows(u, b.shape[-1] + 1)
    V = U if M is None or U is None else m.xp.zeros_like(U)
    Q = Lanczos(m.xp.zeros_like(u), u, u if M is None else m.scale(i, z), U, V)
    code = first_code(
        m,
        [
            (square < 0.0, StopReason.INDEFINITE_PRECONDITIONER),
            (m.negate(m.isfinite(square)), StopReason.NON_FINITE),
            (square == 0.0, StopReason.RESIDUAL),
            (task.budget <= 0.0, StopReason.MAXIT),
        ],
    )
    no, o = m.zero > m.one, m.zero
    rows = zero_rows(u, 4 + BLOCK)
    Y = own_rows(m, rows)
    run = Run(task, S, Q, Y, rows, S.A_cond >= how.trancond, o, no, o, code == RUNNING)
    return run, Outcome(m.xp.zeros_like(b), code, o, o, o, m.one, o)


def run_pass(
    A: Product, M: Product | None, b: Array, task: Task, how: Settings, watch: Watch | None
) -> tuple[Outcome, int]:
    """Run MINRES-QLP on A x = b until each system stops; also return how many products it took.

    ``watch`` is called in each iteration with k, x_k, ‖r_k‖ and ‖A r_{k-1}‖ of all systems.
    """
    m, n, blank = systems_of(b), b.shape[-1], systems_of(b).zero + math.nan
    run, done = begin(m, M, b, task, how)
    some_qlp, all_qlp = m.any(run.qlp), not m.any(m.negate(run.qlp))
    least_budget = m.least(task.budget)
    # Updating x and its directions costs less for BLOCK iterations at once. The rows that their
    # coefficients stand for: the three as of the last time, then v_0 (or the last v), v_1, v_2, ...
    unit = m.xp.eye(4 + BLOCK, dtype=m.xp.float64, device=run.rows.device)
    j, k, more = 4, 0, m.any(run.running)
    while more:
        k += 1
        task, S, Q, Y, rows = run.task, run.S, run.Q, run.Y, run.rows
        v, e = Q.v if M is None else m.where(task.dual, Q.u, Q.v), unit[j, :]
        rows[..., j, :] = v
        pair = rows[..., j - 1 : j + 1, :] if M is None else m.xp.stack([Q.u_prev, Q.u], axis=-2)
        p, alpha = lanczos_product(m, A, k, Q, S.beta, pair)
        z, square = precondition(m, M, p)
        S, t = advance(m, k, S, alpha, m.sqrt(square))
        qlp = run.qlp if all_qlp else S.A_cond >= how.trancond

        tests = stopping_tests(m, k, n, S, t, task, run.noted, least_budget, how)
        stop = tests.residual | tests.cokernel | tests.singular | tests.null | tests.long
        stop = (stop | tests.ill | tests.broken | tests.spent) & run.running
        record = stop | (tests.note & run.running)
        event = m.any(record if all_qlp else record | (qlp != run.qlp))
        switch = event and not all_qlp and m.any(qlp != run.qlp)
        if some_qlp or switch:
            run = run._replace(qlp_iterations=run.qlp_iterations + m.where(qlp, m.one, m.zero))
        if watch is not None:
            x = solution(m, run.S, t, Y, e, run.qlp, m.zero > m.one, tests.broken)
            x = m.put(done.x, combine(x, rows), run.running)
            r_norm, Ar_norm = S.phi, t.cokernel * run.S.phi
            watch(k, x, m.put(blank, r_norm, run.running), m.put(blank, Ar_norm, run.running))
        if event and m.any(record):
            short, before = is_short(m, tests), is_before(m, tests)
            x = solution(m, run.S, t, Y, e, run.qlp, short, before)
            x = combine(m.scale(m.where(tests.null, m.zero, m.one), x), rows)
            ended = outcome_of(m, k, run.S, S, t, tests, square, x, run.qlp_iterations)
            run, done = conclude(m, run, S, tests, stop, ended, done)
            more = m.any(run.running)
            if not more:
                break

        if switch or (some_qlp and not all_qlp):
            Y = update(m, run.S, t, Y, e, run.qlp, qlp)
        else:
            Y = (qlp_update if all_qlp else minres_update)(m, t, Y, e)
        if switch:
            some_qlp, all_qlp = True, not m.any(m.negate(qlp))
        j += 1
        if j == 4 + BLOCK:
            rows[..., :3, :], rows[..., 3, :] = m.xp.stack(list(Y), axis=-2) @ rows, v
            Y, j = own_rows(m, rows), 4
        i = m.one / m.maximum(S.beta, m.tiny)
        u = m.scale(i, p)
        Q = Q._replace(u_prev=Q.u, u=u, v=u if M is None else m.scale(i, z))
        run = run._replace(S=S, Q=Q, Y=Y, qlp=qlp)
        keep = m.survivors(run.running, tests.broken) if event else None
        if keep is not None:
            A, M = A.take(keep, p.shape[0]), None if M is None else M.take(keep, p.shape[0])
            run = take_rows(keep, run)
    return done, k


def conclude(
    m: Systems, run: Run, S: State, tests: Met, stop: Flag, ended: Outcome, done: Outcome
) -> tuple[Run, Outcome]:
    """Write down what the systems leave that stop, and the x of those that may be singular."""
    # what was noted stands, unless the system has converged since, or has come closer to it
    closer = tests.residual | (S.phi < 0.5 * run.noted_phi)
    stands = run.noted & m.negate(tests.cokernel | (closer & m.negate(tests.singular)))
    note = tests.note & run.running
    new = (stop | note) & m.negate(stands)
    done = Outcome(*(m.put(a, b, new) for a, b in zip(done, ended, strict=True)))
    done = done._replace(
        code=m.put(done.code, ended.code, stop),
        iterations=m.put(done.iterations, ended.iterations, stop),
        qlp_iterations=m.put(done.qlp_iterations, ended.qlp_iterations, stop),
    )
    run = run._replace(
        noted=run.noted | note,
        noted_phi=m.where(note, run.S.phi, run.noted_phi),
        running=run.running & m.negate(stop),
    )
    return run, done


def zero_rows(u: Array, n_rows: int) -> Array:
    """Return zeros of shape (..., n_rows, n)."""
    xp = array_namespace(u)
    return xp.zeros((*u.shape[:-1], n_rows, u.shape[-1]), dtype=u.dtype, device=u.device)


def own_rows(m: Systems, rows: Array) -> Vectors:
    """Return the coefficients of the first three rows."""
    unit = m.xp.eye(3, 4 + BLOCK, dtype=rows.dtype, device=rows.device)
    return Vectors(*(m.scale(m.one, unit[i, :]) for i in range(3)))


def combine(coefficients: Array, rows: Array) -> Array:
    """Return the combination of rows for each system, (..., n)."""
    return (coefficients[..., None, :] @ rows)[..., 0, :]
