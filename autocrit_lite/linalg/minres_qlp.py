"""MINRES-QLP: minimum-length solutions of symmetric systems, singular or not, one or many at once.

The method is that of Choi, Paige & Saunders, "MINRES-QLP: a Krylov subspace method for indefinite
or singular symmetric systems", SIAM J. Sci. Comput. 33(4), 1810-1836, 2011 (CPS below). One run of
it is a *pass* (``minres_qlp_pass.py``). After a pass the residuals are recomputed and judged; most
solves take one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_array_api_obj

from ..arrays import Array, array_namespace
from ..checks import float_array, integer, number
from .minres_qlp_cuda import kernel_pass
from .minres_qlp_pass import (
    KEEP_BASIS_UP_TO,
    RUNNING,
    Outcome,
    Settings,
    StopReason,
    Task,
    Watch,
    first_code,
    precondition,
    run_pass,
)
from .minres_qlp_scaling import out_of_range, rescaled
from .systems import EPS, Product, Scalar, Systems, product_with, systems_of, take_rows

__all__ = ["MinresQLPResult", "StopReason", "minres_qlp"]

MAX_PASSES = 12
"""Chosen by us: twice what the systems of the tests take."""


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
    residual_history, cokernel_residual_history : array (K + 1,) or (B, K + 1), or None
        Estimates of ‖r_k‖ and ‖Ar_k‖ for k = 0 ... K, if ``history``; K is ``iterations``, the
        largest for a batch, where NaN follows a system's end. The last is the recomputed one.
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
    residual_history: Array | None = None
    cokernel_residual_history: Array | None = None

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
    history: bool = False,
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
        One right-hand side, or one of each of B systems. Its array module and device are those of
        all the work; ``float`` or ``bool`` fetch one to three numbers from it in each iteration.
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
    history : bool
        Whether to keep the estimated residual norms of all iterations.

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
    powers of two, which change no digit of x.

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
        maxxnorm=number("maxxnorm", maxxnorm, above=0.0),
        acondlim=number("acondlim", acondlim, at_least=1.0),
        trancond=number("trancond", trancond),
    )
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, not {callback!r}")
    A = product_with("A", A, b)._replace(shift=shift_of(shift, b))
    M = None if M is None else product_with("M", M, b)
    with np.errstate(all="ignore"):  # what is not finite gets a stop reason, not a warning
        result, b_norm = solve(A, M, b, limits, callback, history)
        if not out_of_range(b_norm, result.A_norm):
            return result

        def again(A: Product, M: Product | None, b: Array, maxxnorm: float) -> MinresQLPResult:
            return solve(A, M, b, limits._replace(maxxnorm=maxxnorm), None, history)[0]

        return rescaled(result, A, M, b, limits.maxxnorm, again)


def shift_of(shift: Any, b: Array) -> Scalar | None:
    """Return the shift as a scalar of each system, None if it is zero."""
    if is_array_api_obj(shift) and shift.ndim > 0:
        shift = float_array("shift", shift)
        if shift.shape != b.shape[:-1]:
            accepted = f"{tuple(b.shape[:-1])}" if b.ndim == 2 else "()"
            raise ValueError(f"shift must have shape {accepted}, not {tuple(shift.shape)}")
        return shift
    shift = number("shift", shift, finite=True)
    if shift == 0.0 or b.ndim == 1:
        return shift or None
    return array_namespace(b).full_like(b[:, 0], shift)


class Limits(NamedTuple):
    """The arguments of ``minres_qlp`` that end a solve."""

    rtol: float
    maxit: int
    maxxnorm: float
    acondlim: float
    trancond: float


# What a pass solves for: what is missing of x, or the halves y and d of a refinement
MAIN, RANGE, CORRECTION = 0.0, 1.0, 2.0


class Progress(NamedTuple):
    """Where each system stands between passes."""

    x: Array
    r: Array  # b - A x, recomputed
    rhs: Array  # of the next pass
    stage: Scalar  # MAIN, RANGE or CORRECTION: what that pass is
    code: Scalar
    iterations: Scalar
    qlp_iterations: Scalar
    passes: Scalar
    b_norm: Scalar
    r_norm: Scalar
    Ar_norm: Scalar
    x_norm: Scalar
    A_norm: Scalar
    A_cond: Scalar


def solve(
    A: Product,
    M: Product | None,
    b: Array,
    limits: Limits,
    callback: Callable[[Array], object] | None,
    history: bool,
) -> tuple[MinresQLPResult, Scalar]:
    """Make passes until every system is judged to be done; also return ‖b‖."""
    m, o, x = systems_of(b), systems_of(b).zero, array_namespace(b).zeros_like(b)
    square, null = precondition(m, M, b)[1], m.zero > m.one
    if M is not None:
        # M is indefinite or maps b to 0, though b is not
        null = (square == 0.0) & (m.dot(b, b) > 0.0)
        square = m.where(null, m.zero + math.nan, square)
    b_norm = m.sqrt(square)
    zero = (b_norm == 0.0, StopReason.ZERO_RIGHT_HAND_SIDE)
    code = first_code(m, [(null, StopReason.INDEFINITE_PRECONDITIONER), zero])
    P = done = Progress(
        x, b, b, o, code, o, o, o, b_norm, b_norm, o, o, o, m.one
    )  # fmt: skip
    log = Log(done)
    products, first = 0, True
    while m.any(P.code == RUNNING):
        rows, n_systems = m.keep(P.code == RUNNING), b.shape[0]
        A, M = A.take(rows, n_systems), None if M is None else M.take(rows, n_systems)
        P, b = take_rows(rows, P), take_rows(rows, b)
        how = Settings(limits.acondlim, limits.trancond, first)
        watch = log.watch(m, P, done.x, callback) if history or callback is not None else None
        task = next_task(m, P, limits, first)
        found = kernel_pass(A, P.rhs, task, how) if M is None and watch is None else None
        got, calls = found or run_pass(A, M, P.rhs, task, how, watch)
        P = judge(m, A, M, b, P, got, limits)
        done = Progress(*(m.put(a, p) for a, p in zip(done, P, strict=True)))
        products, first = products + calls + 2, False
    return result_of(done, products, log if history else None), done.b_norm


def attainable(n: int) -> float:
    """Return how small ‖r‖ / (‖A‖‖x‖ + ‖b‖) can be made: chosen by us, 4 n^½ ε."""
    return 4.0 * EPS * math.sqrt(n)


def next_task(m: Systems, P: Progress, limits: Limits, first: bool) -> Task:
    """Return what the next pass is to reach."""
    n = P.x.shape[-1]
    main, in_range = P.stage == MAIN, P.stage == RANGE
    # what is left of y and of d adds to A r, and so does what x has along r - y
    scale = P.A_norm * P.x_norm + P.b_norm
    goal = 0.25 * m.maximum(limits.rtol * P.r_norm, attainable(n) * scale)
    along = m.where(main, m.zero, abs(m.dot(P.r, P.x)) / m.maximum(P.r_norm * P.r_norm, m.tiny))
    goal_range = goal * P.A_norm / (1.0 + along * P.A_norm)
    budget = limits.maxit - P.iterations
    if n <= KEEP_BASIS_UP_TO:
        budget = m.minimum(budget, m.one * (1.25 * n if first else n))
    return Task(
        rtol=m.where(main, m.one * max(limits.rtol * (0.99 if first else 0.3), EPS), m.zero),
        goal=m.where(main, m.zero, m.where(in_range, goal_range, goal)),
        cokernel_rtol=m.where(main, m.one * max(0.99 * limits.rtol, EPS), m.one * EPS),
        singular_rtol=m.one * 2.0 * math.sqrt(attainable(n)),
        maxxnorm=m.where(main, m.one * limits.maxxnorm, m.one * math.inf),
        budget=budget,
        b_norm=P.b_norm,
        x0_norm=P.x_norm,
        A_norm=P.A_norm,
        dual=in_range,  # y and A r are of the kind of b
    )


def judge(
    m: Systems,
    A: Product,
    M: Product | None,
    b: Array,
    P: Progress,
    got: Outcome,
    limits: Limits,
) -> Progress:
    """Return where each system stands after a pass, by its recomputed residuals."""
    main, in_range, correction = P.stage == MAIN, P.stage == RANGE, P.stage == CORRECTION
    x = P.x + m.where(in_range, 0.0 * got.x, got.x)
    if m.any(correction):
        null = P.r - P.rhs
        z, square = precondition(m, M, null)
        along = m.dot(null, P.x) / m.maximum(square, m.tiny)
        trusted = correction & (square > 0.25 * P.r_norm * P.r_norm)
        x = x - m.scale(m.where(trusted, along, m.zero), z)

    r = b - A(x)
    z, square = precondition(m, M, r)
    Ar = A(z)
    r_norm, Ar_norm = m.sqrt(square), m.sqrt(precondition(m, M, Ar)[1])
    x_norm = m.sqrt(m.dot(x, x)) if M is None else m.maximum(P.x_norm, got.x_norm)
    A_norm = m.maximum(P.A_norm, m.where(in_range, m.zero, got.A_norm))
    iterations = P.iterations + got.iterations

    scale, least = A_norm * x_norm + P.b_norm, attainable(x.shape[-1])
    singular = main & (got.code == float(StopReason.LEAST_SQUARES))
    ill, long = got.code == float(StopReason.ACONDLIM), got.code == float(StopReason.MAXXNORM)
    terminal = (got.code >= float(StopReason.NON_FINITE)) | (main & (ill | long))
    spent = iterations >= limits.maxit
    settled = m.negate(in_range) | terminal | spent
    shortest = correction | ((P.passes == 0.0) & (singular | ill))
    code = first_code(
        m,
        [
            (settled & (r_norm <= limits.rtol * scale), StopReason.RESIDUAL),
            (shortest & (Ar_norm <= limits.rtol * A_norm * r_norm), StopReason.LEAST_SQUARES),
            (settled & (r_norm <= least * scale), StopReason.ROUNDING),
            (correction & (Ar_norm <= least * A_norm * scale), StopReason.ROUNDING),
            (m.negate(in_range) & (x_norm > limits.maxxnorm), StopReason.MAXXNORM),
            (terminal, -1.0),
            (spent, StopReason.MAXIT),
            (P.passes >= MAX_PASSES - 1.0, StopReason.INACCURATE),
        ],
    )
    refine = singular | correction
    next_stage = m.where(refine, m.one * RANGE, m.one * MAIN)
    return Progress(
        x=x,
        r=r,
        rhs=m.where(in_range, got.x, m.where(refine, Ar, r)),
        stage=m.where(in_range, m.one * CORRECTION, next_stage),
        code=m.where(code < 0.0, got.code, code),
        iterations=iterations,
        qlp_iterations=P.qlp_iterations + got.qlp_iterations,
        passes=P.passes + m.one,
        b_norm=P.b_norm,
        r_norm=r_norm,
        Ar_norm=Ar_norm,
        x_norm=x_norm,
        A_norm=A_norm,
        A_cond=m.maximum(P.A_cond, m.where(main, got.A_cond, m.one)),
    )


class Log:
    """Estimated ‖r_k‖ and ‖Ar_k‖ of all systems: lists of k and of the two, for each iteration."""

    def __init__(self, done: Progress) -> None:
        self.blank = done.b_norm * math.nan
        self.r_norm = [(done.iterations, done.b_norm)]
        self.Ar_norm: list[tuple[Scalar, Scalar]] = []

    def watch(
        self, m: Systems, P: Progress, x: Array, callback: Callable[[Array], object] | None
    ) -> Watch:
        """Return what a pass is to call in each iteration."""
        main = P.stage == MAIN

        def record(k: int, step: Array, r_norm: Scalar, Ar_norm: Scalar) -> None:
            # in a refinement x rests until its last pass is done
            r_norm = m.where(main, r_norm, P.r_norm + 0.0 * r_norm)
            Ar_norm = m.where(main, Ar_norm, P.Ar_norm + 0.0 * Ar_norm)
            at = m.put(self.blank, P.iterations + float(k))
            self.r_norm.append((at, m.put(self.blank, r_norm)))
            self.Ar_norm.append((at - 1.0, m.put(self.blank, Ar_norm)))
            if callback is not None:
                callback(m.put(x, P.x + m.where(main, step, 0.0 * step)))

        return record

    def histories(self, done: Progress) -> list[Array]:
        """Return both norms, (..., K + 1), with the recomputed ones at each system's end."""
        xp, device, both = array_namespace(done.x), done.x.device, []
        for log, last in ((self.r_norm, done.r_norm), (self.Ar_norm, done.Ar_norm)):
            entries = [*log, (done.iterations, last)]
            if done.x.ndim == 1:
                by_k = dict(entries)
                both.append(xp.asarray([by_k[k] for k in sorted(by_k)], device=device))
                continue
            K = int(xp.max(done.iterations)) if done.x.shape[0] else 0
            k = xp.arange(K + 1, dtype=xp.float64, device=device)
            history = self.blank[:, None] + k
            for at, norm in entries:
                here = (k == at[:, None]) & xp.logical_not(xp.isnan(norm))[:, None]
                history = xp.where(here, norm[:, None], history)
            both.append(history)
        return both


def result_of(done: Progress, products: int, log: Log | None) -> MinresQLPResult:
    """Return what is known of all systems at the end."""
    m = systems_of(done.x)
    histories = [None, None] if log is None else log.histories(done)

    def integers(a: Scalar) -> Any:
        return int(a) if done.x.ndim == 1 else m.xp.astype(a, m.xp.int64)

    code = integers(done.code)
    return MinresQLPResult(
        x=done.x,
        stop_reason=StopReason(code) if done.x.ndim == 1 else code,
        iterations=integers(done.iterations),
        minres_iterations=integers(done.iterations - done.qlp_iterations),
        qlp_iterations=integers(done.qlp_iterations),
        passes=integers(done.passes),
        products=products,
        residual_norm=done.r_norm,
        cokernel_residual_norm=done.Ar_norm,
        relative_residual=done.r_norm / m.maximum(done.A_norm * done.x_norm + done.b_norm, m.tiny),
        relative_cokernel_residual=done.Ar_norm / m.maximum(done.A_norm * done.r_norm, m.tiny),
        A_norm=done.A_norm,
        A_cond=done.A_cond,
        x_norm=done.x_norm,
        residual_history=histories[0],
        cokernel_residual_history=histories[1],
    )
