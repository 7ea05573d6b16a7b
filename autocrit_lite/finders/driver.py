"""The loop that every finder runs in: it steps, records, stops, and drops what has finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from array_api_compat import device

from ..arrays import Array, array_namespace, binary_scale, dot, indices, norm, read_only, take
from ..checks import float_array, integer, number, objective_with, theta_array
from ..devices import to_numpy
from ..objectives import Linearization, Objective
from .line_search import Search
from .trace import GOES_ON, FinderStopReason, Log, Trace

MEMORY = 2**33
"""8 GiB, chosen by us: what the dense matrices of a finder that cannot do without may take. One run
of n = 16,384, for which a decomposition takes half an hour."""

SCALE_STEP = 256
"""Between the exponents of scales, chosen by us: runs of about the same scale stay together."""


@dataclass(frozen=True)
class Step:
    """What one step did to A runs.

    Attributes
    ----------
    search : Search
        The new iterates. A run that accepted no step length ends.
    direction : array (A, n)
        The direction p.
    products : array (A,)
        What the step cost, in Hessian-vector products.
    state : object
        What the finder carries on: an array (A, ...), a frozen dataclass of them, or None.
    measured : mapping
        Arrays (A,): any other of ``DIRECTION_SCALARS``.
    full_step : array (A, n), optional
        The longest step that was possible, if that is not the direction: a run without an accepted
        step length has stalled unless this is too short to change θ.
    settled : array (A,) of bool, optional
        Which runs without an accepted step length are at the limit of rounding: Newton's method
        was converging quadratically until ‖g‖ no longer fell.
    """

    search: Search
    direction: Array
    products: Array
    state: Any = None
    measured: Mapping[str, Array] = field(default_factory=dict)
    full_step: Array | None = None
    settled: Array | None = None

    def record(self) -> dict[str, Array]:
        """Return what the trace keeps of the directions."""
        return {
            "step_size": self.search.step_size,
            "direction_norm": norm(self.direction),
            "trials": self.search.trials,
            **self.measured,
        }

    def stop(self) -> Array:
        """Return why runs end with this step (A,), 0 for those that took it."""
        theta = self.search.theta
        xp = array_namespace(theta)
        step = self.direction if self.full_step is None else self.full_step
        stop = xp.full_like(
            self.search.step_size, int(FinderStopReason.LINE_SEARCH_FAILED), dtype=xp.int64
        )
        vanished = xp.all(theta + step == theta, axis=-1)
        stop = xp.where(vanished, int(FinderStopReason.STEP_VANISHED), stop)
        if self.settled is not None:
            stop = xp.where(self.settled, int(FinderStopReason.ROUNDING), stop)
        finite = xp.all(xp.isfinite(step), axis=-1)
        stop = xp.where(finite, stop, int(FinderStopReason.NON_FINITE))
        return xp.where(self.search.step_size > 0.0, GOES_ON, stop)


class Finder(Protocol):
    """A method: how it starts and what one step of it does, for A independent runs at once.

    One that does the same on f and on 2f has an attribute ``scale_free`` that is true. If the
    squares of a run's first gradient overflow or underflow, it is shown that run's loss times a
    power of two. One that needs dense Hessians has an attribute ``matrices``: how many arrays of
    n² numbers a run takes. Beyond ``MEMORY`` of them, no run starts.
    """

    def init(self, objective: Objective, theta: Array) -> Any:
        """Return the state at the starts theta (A, n)."""

    def step(self, objective: Objective, theta: Array, point: Linearization, state: Any) -> Step:
        """Return what a step from theta (A, n), where the loss is linearised, does."""


def find(
    finder: Finder,
    objective: Objective,
    theta0: Array,
    max_iterations: int,
    squared_gradient_tolerance: float,
    record_theta: bool,
) -> Trace:
    """Run a finder from one start or from a batch of independent starts.

    Each run of a batch stops by itself and is then dropped from the work. In each iteration the
    device is synchronised once here, to learn how many runs go on, and beyond that as often as
    the finder's step says.

    Parameters
    ----------
    finder : Finder
    objective : Objective
    theta0 : array (n,) or (B, n)
    max_iterations : int
    squared_gradient_tolerance : float
        A run has converged when ‖g‖² is at or below this.
    record_theta : bool
        Whether to keep all iterates.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or ``theta0`` is not finite, or so large that the
        dense matrices which the finder needs would take more than ``MEMORY``.
    """
    objective_with("linearize", objective)
    theta0 = float_array("theta0", theta_array(theta0, None, "theta0"))
    if theta0.ndim == 2 and theta0.shape[0] == 0:
        raise ValueError("theta0 must hold at least one start, not 0")
    _require_memory(finder, theta0)
    max_iterations = integer("max_iterations", max_iterations)
    tolerance = number("squared_gradient_tolerance", squared_gradient_tolerance, at_least=0.0)
    xp = array_namespace(theta0)
    theta = xp.asarray(theta0 if theta0.ndim == 2 else theta0[None, :], copy=True)
    log = Log(theta, record_theta)
    # a run that meets what is not finite ends with a reason of its own
    with np.errstate(all="ignore"):
        for loss, point, numbers in _by_scale(finder, objective, theta):
            runs = _Runs.start(numbers, take(theta, numbers))
            _advance(finder, loss, point, runs, max_iterations, tolerance, log)
    return log.trace(single=theta0.ndim == 1)


def _require_memory(finder: Finder, theta0: Array) -> None:
    """Raise a ValueError if dense matrices that the finder needs would take too much memory."""
    runs, n = theta0.shape if theta0.ndim == 2 else (1, theta0.shape[0])
    needed = 8 * getattr(finder, "matrices", 0) * runs * n**2
    if needed > MEMORY:
        raise ValueError(
            f"theta0 must be of fewer parameters or fewer starts: this finder's dense Hessians of "
            f"{runs} x {n} parameters would take {needed / 2**30:.1f} GiB, more than "
            f"{MEMORY / 2**30:g}; newton_mr, and a krylov_dimension where there is one, do without"
        )


def _by_scale(
    finder: Finder, objective: Objective, theta: Array
) -> Iterator[tuple[_Guarded, Linearization, Array]]:
    """Yield the loss for runs of one scale, linearised at their starts, and the runs' numbers."""
    xp = array_namespace(theta)
    loss = _Guarded(objective)
    point = loss.linearize(theta)
    exponents = np.zeros(theta.shape[0])
    if getattr(finder, "scale_free", False):
        exponents = np.trunc(np.log2(to_numpy(binary_scale(point.gradient))) / SCALE_STEP)
    for exponent in np.unique(exponents):
        numbers = xp.asarray(np.flatnonzero(exponents == exponent), device=device(theta))
        if exponent != 0.0 or numbers.shape[0] < theta.shape[0]:
            loss = _Guarded(objective, float(2.0 ** (SCALE_STEP * exponent)))
            point = loss.linearize(take(theta, numbers))
        yield loss, point, numbers


def _advance(
    finder: Finder,
    loss: _Guarded,
    point: Linearization,
    runs: _Runs,
    max_iterations: int,
    tolerance: float,
    log: Log,
) -> None:
    """Advance runs until all have ended, and log what they do."""
    xp = array_namespace(runs.theta)
    stop, *heights = _look(point, loss.scale, tolerance, max_iterations == 0)
    log.iterate(0, runs.number, runs.theta, [*heights, runs.products])
    state = finder.init(loss, runs.theta)
    for k in range(max_iterations + 1):
        going = indices(stop == GOES_ON)
        if going.shape[0] < stop.shape[0]:
            ended = indices(stop != GOES_ON)
            done = take(runs, ended)
            log.end(done.number, take(stop, ended), done.theta, done.iterations)
            runs, state = take(runs, going), take(state, going)
            if going.shape[0] == 0:
                return
            point = loss.linearize(runs.theta)

        step = finder.step(loss, runs.theta, point, state)

        point = loss.linearize(step.search.theta)
        stop, *heights = _look(point, loss.scale, tolerance, k + 1 == max_iterations)
        no_step = step.stop()
        stop = xp.where(no_step == GOES_ON, stop, no_step)
        moved = (no_step == GOES_ON) & (stop != int(FinderStopReason.NON_FINITE))
        runs, state = runs.after(step, moved), step.state
        log.direction(k, runs.number, step.record())
        log.iterate(k + 1, runs.number, runs.theta, [*heights, runs.products], moved)


def _look(
    point: Linearization, scale: float, tolerance: float, is_last: bool
) -> tuple[Array, Array, Array]:
    """Return why runs end at a point, 0 for those that go on, and f and ‖g‖² without the scale."""
    xp = array_namespace(point.gradient)
    squared_norm = dot(point.gradient, point.gradient)
    goes_on = FinderStopReason.MAX_ITERATIONS if is_last else GOES_ON
    stop = xp.full_like(squared_norm, int(goes_on), dtype=xp.int64)
    small = squared_norm <= tolerance * scale * scale
    if tolerance == 0.0:  # the square of what is not 0 may be 0
        small = small & xp.all(point.gradient == 0.0, axis=-1)
    stop = xp.where(small, int(FinderStopReason.CONVERGED), stop)
    finite = xp.isfinite(point.value) & xp.isfinite(squared_norm)
    stop = xp.where(finite, stop, int(FinderStopReason.NON_FINITE))
    return stop, point.value / scale, squared_norm / scale / scale


class _Guarded:
    """A loss times a power of two that no objective can spoil.

    An objective may not write to what it is given, and may return the same arrays again.
    """

    def __init__(self, objective: Objective, scale: float = 1.0) -> None:
        self._objective = objective
        self.scale = scale

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        value, gradient = self._objective.value_and_gradient(read_only(theta))
        return self.scale * value, self.scale * gradient

    def linearize(self, theta: Array) -> _GuardedPoint:
        return _GuardedPoint(self._objective.linearize(read_only(theta)), self.scale)


class _GuardedPoint:
    """Such a loss at a point."""

    def __init__(self, point: Linearization, scale: float) -> None:
        self.value, self.gradient = scale * point.value, scale * point.gradient
        self._point, self._scale = point, scale

    def hvp(self, v: Array) -> Array:
        product = self._point.hvp(read_only(v))
        return product if self._scale == 1.0 else self._scale * product

    def hessian(self) -> Array:
        H = self._point.hessian()
        return H if self._scale == 1.0 else self._scale * H


@dataclass(frozen=True)
class _Runs:
    """The runs that go on: where they are, and what has to be known of each at its end."""

    number: Array  # (A,) which run of the batch
    theta: Array  # (A, n)
    iterations: Array  # (A,) accepted steps
    products: Array  # (A,)

    @classmethod
    def start(cls, number: Array, theta: Array) -> _Runs:
        xp = array_namespace(theta)
        return cls(number, theta, xp.zeros_like(number), xp.zeros_like(theta[:, 0]))

    def after(self, step: Step, moved: Array) -> _Runs:
        xp = array_namespace(moved)
        return _Runs(
            number=self.number,
            theta=xp.where(moved[:, None], step.search.theta, self.theta),
            iterations=self.iterations + xp.astype(moved, xp.int64),
            products=self.products + step.products,
        )
