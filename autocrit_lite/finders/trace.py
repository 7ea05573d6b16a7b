"""What a finder returns: where each run ended, why, and what it did on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Array, array_namespace, put
from ..checks import one_of
from ..devices import to_numpy
from ..reasons import Reason


class FinderStopReason(Reason):
    """Why a run ended.

    Examples
    --------
    >>> FinderStopReason.LINE_SEARCH_FAILED.sentence
    'no step length was accepted: stalled, not converged'
    """

    CONVERGED = 1, "the squared gradient norm is at or below the tolerance"
    MAX_ITERATIONS = 2, "the iteration limit was reached"
    LINE_SEARCH_FAILED = 3, "no step length was accepted: stalled, not converged"
    STEP_VANISHED = 4, "the full step no longer changes theta"
    NON_FINITE = 5, "the loss, ‖g‖² or the step is not finite; the last finite point is kept"
    ROUNDING = 6, "Newton's method converged quadratically until rounding kept ‖g‖ from falling"


GOES_ON = 0
"""In place of a stop reason: the run goes on."""
ITERATE_SCALARS = ("value", "squared_gradient_norm", "products")
DIRECTION_SCALARS = (
    "relative_residual",
    "relative_cokernel_residual",
    "residual_ratio",
    "relative_residual_frobenius",
    "relative_cokernel_residual_frobenius",
    "step_size",
    "direction_norm",
    "damping",
    "trials",
    "solver_iterations",
    "solver_stop_reason",
)
ENDS = ("stop_reason", "theta", "iterations")
N_FIRST = 5
"""Iterates after the start that every trace keeps."""


@dataclass(frozen=True)
class Trace:
    """Where runs ended, why, and their history.

    One run has shapes without the leading batch axis B. K is the number of iterations of the
    longest run. Histories are NaN after a run's end. Entry k of what a direction has (all from
    ``relative_residual`` on) belongs to the direction computed *at* iterate k, and so is NaN at
    the last iterate of a run that ended there without computing one (``describe`` and ``classify``
    do); it is NaN throughout where the finder does not compute the quantity.

    Attributes
    ----------
    theta : array (B, n)
        The last iterate.
    theta_start : array (B, n)
    theta_first : array (B, 5, n)
        The first five iterates after the start, NaN after a run's end.
    stop_reason : FinderStopReason, or integer array (B,) of its values
    iterations : int, or integer array (B,)
        Accepted steps.
    value, squared_gradient_norm : array (B, K + 1)
        f and ‖g‖² at each iterate.
    products : array (B, K + 1)
        Hessian-vector products made before iterate k was reached, by cost: a dense Hessian counts
        as ``objective.hessian_cost`` of them, a product with it as ``objective.dense_product_cost``
        (0 if the objective does not say).
    relative_residual, relative_cokernel_residual : array (B, K + 1)
        r = ‖Hp+g‖ / (‖H‖‖p‖ + ‖g‖) and r_H = ‖H(Hp+g)‖ / (‖H‖‖Hp+g‖) of the direction p
        (Frye et al. 2021, A.4), with the norm of H that the solver estimates; finders that hold the
        spectrum use the largest |eigenvalue|.
    residual_ratio : array (B, K + 1)
        ‖Hp+g‖ / ‖g‖.
    relative_residual_frobenius, relative_cokernel_residual_frobenius : array (B, K + 1)
        r and r_H with the Frobenius norm of H, by finders that hold the dense matrix.
    step_size : array (B, K + 1)
        The accepted step length, 0 where none was.
    direction_norm : array (B, K + 1)
        ‖p‖.
    damping : array (B, K + 1)
        γ of Newton-TR, μ of Levenberg-Marquardt and index-targeted Newton, λ of saddle-free Newton.
    trials : array (B, K + 1)
        Points at which the gradient (saddle-free Newton: the loss) was tried in this iteration.
    solver_iterations, solver_stop_reason : array (B, K + 1)
        Those of the linear solver, as floating-point numbers for the sake of NaN.
    thetas : array (B, K + 1, n) or None
        All iterates, if asked for.
    """

    theta: Array
    theta_start: Array
    theta_first: Array
    stop_reason: FinderStopReason | Array
    iterations: int | Array
    value: Array
    squared_gradient_norm: Array
    products: Array
    relative_residual: Array
    relative_cokernel_residual: Array
    residual_ratio: Array
    relative_residual_frobenius: Array
    relative_cokernel_residual_frobenius: Array
    step_size: Array
    direction_norm: Array
    damping: Array
    trials: Array
    solver_iterations: Array
    solver_stop_reason: Array
    thetas: Array | None = None

    def last(self, name: str) -> float | Array:
        """Return the last number of a history that is not NaN: a float, or an array (B,).

        Parameters
        ----------
        name : str
            Of a history, an attribute of shape (B, K + 1). Of a direction it is the last one that
            was computed, which may be the one before the last iterate.

        Raises
        ------
        ValueError
            If there is no history of that name.

        Examples
        --------
        >>> from autocrit_lite import newton_mr
        >>> from autocrit_lite.ground_truth.quartic import Quartic
        >>> trace = newton_mr(Quartic(), np.array([[-4.0, 1.0], [-2.5, 3.0]]))
        >>> (trace.last("squared_gradient_norm") < 1e-8).tolist()
        [True, True]
        """
        history = to_numpy(getattr(self, one_of("name", name, ITERATE_SCALARS + DIRECTION_SCALARS)))
        steps = np.arange(1, history.shape[-1] + 1) * ~np.isnan(history)
        column = np.argmax(steps, axis=-1)  # 0 where all are NaN
        found = np.take_along_axis(history, np.expand_dims(column, -1), axis=-1)[..., 0]
        return found if found.ndim else float(found)

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy frame: one row for each run and iterate, none after a run's end."""
        single = self.theta.ndim == 1
        iterations = np.atleast_1d(self.iterations if single else to_numpy(self.iterations))
        steps = self.value.shape[-1]
        columns = {
            name: np.reshape(to_numpy(getattr(self, name)), (-1, steps))
            for name in ITERATE_SCALARS + DIRECTION_SCALARS
        }
        run, iteration = np.nonzero(np.arange(steps) <= iterations[:, None])
        frame = pd.DataFrame({"run": run, "iteration": iteration})
        return frame.assign(**{name: x[run, iteration] for name, x in columns.items()})


class Log:
    """The trace of B runs in the making: NaN wherever nothing has been kept.

    Parameters
    ----------
    theta : array (B, n)
        The starts.
    record_theta : bool
        Whether to keep all iterates.
    """

    def __init__(self, theta: Array, record_theta: bool) -> None:
        xp = array_namespace(theta)
        count = xp.zeros_like(theta[:, 0], dtype=xp.int64)
        self._nowhere = xp.full_like(theta, xp.nan)
        self._record_theta = record_theta
        self._start = theta
        self._ends = [count, theta, count]  # ENDS
        self._thetas: list[Array] = []  # (B, n) by iterate
        self._iterates: list[Array] = []  # (B, 3): ITERATE_SCALARS
        self._directions: list[Array] = []  # (B, D): those DIRECTION_SCALARS that are computed
        self._computed: list[str] = []

    def iterate(
        self,
        k: int,
        number: Array,
        theta: Array,
        scalars: Sequence[Array],
        reached: Array | None = None,
    ) -> None:
        """Keep iterate k of the runs ``number`` (A,) that ``reached`` it (A,), all by default.

        Parameters
        ----------
        k : int
        number : integer array (A,)
        theta : array (A, n)
        scalars : sequence of array (A,)
            ``ITERATE_SCALARS``.
        reached : bool array (A,), optional
        """
        xp = array_namespace(theta)
        values = xp.stack(scalars, axis=1)
        if reached is not None:
            values = xp.where(reached[:, None], values, xp.nan)
            theta = xp.where(reached[:, None], theta, xp.nan)
        self._write(self._iterates, k, number, values)
        if self._record_theta or k <= N_FIRST:
            self._write(self._thetas, k, number, theta)

    def direction(self, k: int, number: Array, scalars: Mapping[str, Array]) -> None:
        """Keep what is known of the directions at iterate k, arrays (A,) by name."""
        self._computed = list(scalars)
        values = array_namespace(number).stack(list(scalars.values()), axis=1)
        self._write(self._directions, k, number, values)

    def end(self, number: Array, *values: Array) -> None:
        """Keep where and why runs end: the arrays (A, ...) of ``ENDS``."""
        self._ends = [put(number, *pair) for pair in zip(self._ends, values, strict=True)]

    def trace(self, single: bool) -> Trace:
        """Return the trace, without a batch axis for a ``single`` run."""
        xp = array_namespace(self._nowhere)
        parts: dict[str, Any] = dict(zip(ENDS, self._ends, strict=True))
        length = int(xp.max(parts["iterations"])) + 1
        unknown = self._nowhere[:, 0]
        never = xp.broadcast_to(unknown[:, None], (unknown.shape[0], length))
        parts |= dict.fromkeys(DIRECTION_SCALARS, never)
        for j, name in enumerate(ITERATE_SCALARS):
            parts[name] = xp.stack([row[:, j] for row in self._iterates[:length]], axis=1)
        for j, name in enumerate(self._computed):
            column = [*(row[:, j] for row in self._directions), unknown]
            parts[name] = xp.stack(column[:length], axis=1)
        thetas = self._thetas + [self._nowhere] * N_FIRST
        parts["theta_start"] = self._start
        parts["theta_first"] = xp.stack(thetas[1 : 1 + N_FIRST], axis=1)
        if self._record_theta:
            parts["thetas"] = xp.stack(self._thetas[:length], axis=1)
        if single:
            parts = {name: x[0, ...] for name, x in parts.items()}
            parts["stop_reason"] = FinderStopReason(int(parts["stop_reason"]))
            parts["iterations"] = int(parts["iterations"])
        return Trace(**parts)

    def _write(self, history: list[Array], k: int, number: Array, part: Array) -> None:
        """Put the rows of some runs into entry k, (B, ...)."""
        if k == len(history):
            history.append(self._nowhere[:, :1])
        history[k] = put(number, history[k], part)
