"""The loop that every finder runs in: it steps, records, stops, and drops what has finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from array_api_compat import device

from ..arrays import Array, array_namespace, binary_scale, dot, indices, put, read_only, take
from ..checks import float_array, integer, number, objective_with, theta_array
from ..objectives import Linearization, Objective
from .trace import DIRECTION_SCALARS, GOES_ON, ITERATE_SCALARS, FinderStopReason, Trace

N_FIRST = 5


@dataclass(frozen=True)
class Step:
    """What one step did to A runs.

    Attributes
    ----------
    theta : array (A, n)
        The new iterates. They are not looked at where ``stop`` says that the run ended.
    state : object
        What the finder carries on: a frozen dataclass of arrays (A, ...), or None.
    stop : integer array (A,)
        0 where the run goes on, else the ``FinderStopReason`` for which it took no step.
    record : mapping
        Arrays (A,) by name: ``products`` made in this step, and any of ``DIRECTION_SCALARS``.
    """

    theta: Array
    state: Any
    stop: Array
    record: Mapping[str, Array]


class Finder(Protocol):
    """A method: how it starts and what one step of it does, for A independent runs at once.

    One that does the same on f and on 2f has an attribute ``scale_free`` that is true: it is shown
    a loss times a power of two if the squares of the gradients at the starts are no numbers.
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
        If an argument is not as described, or ``theta0`` is not finite.
    """
    objective_with("linearize", objective)
    objective = _Kept(objective)
    theta0 = float_array("theta0", theta_array(theta0, None, "theta0"))
    if theta0.ndim == 2 and theta0.shape[0] == 0:
        raise ValueError("theta0 must hold at least one start, not 0")
    max_iterations = integer("max_iterations", max_iterations)
    tolerance = number("squared_gradient_tolerance", squared_gradient_tolerance, at_least=0.0)
    xp = array_namespace(theta0)
    theta = xp.asarray(theta0 if theta0.ndim == 2 else theta0[None, :], copy=True)
    # what is not finite is found by looking, and ends its run with a reason of its own
    with np.errstate(all="ignore"):
        point = objective.linearize(theta)
        scale = _scale(point.gradient) if getattr(finder, "scale_free", False) else 1.0
        if scale != 1.0:
            objective = _Kept(objective, scale)
            point = objective.linearize(theta)
            tolerance = tolerance and tolerance * scale * scale
        stop, squared_norm = _stop(point, tolerance, max_iterations == 0)
        log = _Log(theta, point.value / scale, squared_norm / scale / scale)
        runs = _Runs.start(theta, finder.init(objective, theta))
        for k in range(max_iterations + 1):
            going = indices(stop == GOES_ON)
            if going.shape[0] < stop.shape[0]:
                log.finish(runs, stop)
                runs = take(runs, going)
                if going.shape[0] == 0:
                    break
                point = objective.linearize(runs.theta)

            step = finder.step(objective, runs.theta, point, runs.state)

            point = objective.linearize(step.theta)
            stop, squared_norm = _stop(point, tolerance, k + 1 == max_iterations)
            stop = xp.where(step.stop == GOES_ON, stop, step.stop)
            moved = (step.stop == GOES_ON) & (stop != int(FinderStopReason.NON_FINITE))
            runs = runs.after(step, moved)
            value, squared_norm = point.value / scale, squared_norm / scale / scale
            log.add(runs, value, squared_norm, moved, step.record, k < N_FIRST, record_theta)
        return log.trace(theta0, record_theta)


def _stop(point: Linearization, tolerance: float, is_last: bool) -> tuple[Array, Array]:
    """Return why the runs at ``point`` end there, 0 for those that go on, and ‖g‖²."""
    xp = array_namespace(point.gradient)
    squared_norm = dot(point.gradient, point.gradient)
    goes_on = FinderStopReason.MAX_ITERATIONS if is_last else GOES_ON
    stop = xp.full(squared_norm.shape, int(goes_on), dtype=xp.int64, device=device(squared_norm))
    small = squared_norm <= tolerance
    if tolerance == 0.0:  # the square of what is not 0 may be 0
        small = small & xp.all(point.gradient == 0.0, axis=-1)
    stop = xp.where(small, int(FinderStopReason.CONVERGED), stop)
    finite = xp.isfinite(point.value) & xp.isfinite(squared_norm)
    return xp.where(finite, stop, int(FinderStopReason.NON_FINITE)), squared_norm


class _Kept:
    """An objective from others, who may write to what they are given or return it again later."""

    def __init__(self, objective: Any, scale: float = 1.0) -> None:
        self._objective = objective
        self._scale = scale

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        value, gradient = self._objective.value_and_gradient(read_only(theta))
        if self._scale == 1.0:
            return value, gradient
        return self._scale * value, self._scale * gradient

    def linearize(self, theta: Array) -> Linearization:
        return _KeptPoint(self._objective.linearize(read_only(theta)), self._scale)


class _KeptPoint:
    """A point whose value and gradient stay as they are, of a loss times a power of two."""

    def __init__(self, point: Linearization, scale: float) -> None:
        # products are new arrays
        self.value, self.gradient = scale * point.value, scale * point.gradient
        self.hvp, self.hessian = point.hvp, point.hessian
        if scale != 1.0:
            self.hvp = lambda v: scale * point.hvp(v)
            self.hessian = lambda: scale * point.hessian()


def _scale(gradient: Array) -> float:
    """Return a power of two for gradients (A, n): 1 if the largest is such that squares are."""
    xp = array_namespace(gradient)
    finite = xp.where(xp.isfinite(gradient), gradient, xp.zeros_like(gradient))
    return float(binary_scale(xp.reshape(finite, (-1,))))


@dataclass(frozen=True)
class _Runs:
    """The runs that go on: where they are, and what has to be known of each at its end."""

    number: Array  # (A,) which run of the batch
    theta: Array  # (A, n)
    state: Any
    iterations: Array  # (A,) accepted steps
    products: Array  # (A,)
    flattest: Array  # (A, n)
    largest_residual: Array  # (A,)

    @classmethod
    def start(cls, theta: Array, state: Any) -> _Runs:
        xp = array_namespace(theta)
        number = xp.arange(theta.shape[0], dtype=xp.int64, device=device(theta))
        zero = xp.zeros(theta.shape[0], dtype=xp.float64, device=device(theta))
        nowhere = xp.full_like(theta, xp.nan)
        return cls(number, theta, state, xp.zeros_like(number), zero, nowhere, zero - xp.inf)

    def after(self, step: Step, moved: Array) -> _Runs:
        xp = array_namespace(moved)
        residual = step.record.get("relative_residual", self.largest_residual)
        flatter = residual > self.largest_residual
        return _Runs(
            number=self.number,
            theta=xp.where(moved[:, None], step.theta, self.theta),
            state=step.state,
            iterations=self.iterations + xp.astype(moved, xp.int64),
            products=self.products + step.record["products"],
            flattest=xp.where(flatter[:, None], self.theta, self.flattest),
            largest_residual=xp.where(flatter, residual, self.largest_residual),
        )


@dataclass
class _Log:
    """What the trace is made of, in the order in which it comes up."""

    theta: Array  # (B, n) starts
    value: Array  # (B,)
    squared_norm: Array  # (B,)
    numbers: list[Array] = field(default_factory=list)  # the runs of each iteration
    scalars: list[dict[str, Array]] = field(default_factory=list)
    thetas: list[Array] = field(default_factory=list)
    ends: list[dict[str, Array]] = field(default_factory=list)

    def add(
        self,
        runs: _Runs,
        value: Array,
        squared_norm: Array,
        moved: Array,
        record: Mapping[str, Array],
        is_early: bool,
        record_theta: bool,
    ) -> None:
        """Keep what one iteration did; nothing of the new iterate where a run ended before it."""
        xp = array_namespace(moved)
        iterate = {"value": value, "squared_gradient_norm": squared_norm, "products": runs.products}
        self.numbers.append(runs.number)
        self.scalars.append(
            {name: xp.where(moved, x, xp.nan) for name, x in iterate.items()}
            | {name: x for name, x in record.items() if name != "products"}
        )
        if is_early or record_theta:
            self.thetas.append(xp.where(moved[:, None], runs.theta, xp.nan))

    def finish(self, runs: _Runs, stop: Array) -> None:
        """Keep where runs end, and why."""
        rows = indices(stop != GOES_ON)
        ended = take(runs, rows)
        self.ends.append(
            {
                "number": ended.number,
                "theta": ended.theta,
                "theta_flattest": ended.flattest,
                "iterations": ended.iterations,
                "stop_reason": take(stop, rows),
            }
        )

    def trace(self, theta0: Array, record_theta: bool) -> Trace:
        """Put the runs back in their order, and take the batch axis off where there was none."""
        parts = self._ends()
        length = int(array_namespace(theta0).max(parts["iterations"])) + 1
        parts |= {name: x[:, :length] for name, x in self._histories().items()}
        iterates = self._iterates()
        parts["theta_start"] = self.theta
        parts["theta_first"] = iterates[:, 1 : 1 + N_FIRST, :]
        if record_theta:
            parts["thetas"] = iterates[:, :length, :]
        if theta0.ndim == 1:
            parts = {name: x[0, ...] for name, x in parts.items()}
            parts["stop_reason"] = FinderStopReason(int(parts["stop_reason"]))
            parts["iterations"] = int(parts["iterations"])
        return Trace(**parts)

    def _ends(self) -> dict[str, Any]:
        xp = array_namespace(self.theta)
        joined = {name: xp.concat([end[name] for end in self.ends]) for name in self.ends[0]}
        order = xp.argsort(joined.pop("number"))
        return {name: take(x, order) for name, x in joined.items()}

    def _histories(self) -> dict[str, Array]:
        """Return each scalar's history (B, K + 1)."""
        xp = array_namespace(self.theta)
        B, K = self.theta.shape[0], len(self.scalars)
        unknown = xp.full_like(self.value, xp.nan)[:, None]
        first = {
            "value": self.value[:, None],
            "squared_gradient_norm": self.squared_norm[:, None],
            "products": xp.zeros_like(self.value)[:, None],
        }
        histories = {}
        for name in ITERATE_SCALARS + DIRECTION_SCALARS:
            if K and name in self.scalars[0]:
                parts = [self._spread(name, start, stop) for start, stop in self._segments()]
                ends = ([first[name]], []) if name in first else ([], [unknown])
                histories[name] = xp.concat([*ends[0], *parts, *ends[1]], axis=1)
            else:
                histories[name] = first.get(name, xp.broadcast_to(unknown, (B, K + 1)))
        return histories

    def _segments(self) -> list[tuple[int, int]]:
        """Return the spans of iterations during which the same runs went on."""
        starts = [k for k, x in enumerate(self.numbers) if k == 0 or x is not self.numbers[k - 1]]
        return list(zip(starts, [*starts[1:], len(self.numbers)], strict=True))

    def _spread(self, name: str, start: int, stop: int) -> Array:
        """Return a scalar of all runs (B, stop - start), NaN for those that had ended."""
        xp = array_namespace(self.theta)
        # pop: the histories of long runs fill the memory once, not twice
        part = xp.stack([scalars.pop(name) for scalars in self.scalars[start:stop]], axis=1)
        part = xp.astype(part, xp.float64)
        nothing = xp.full(
            (self.theta.shape[0], stop - start), xp.nan, dtype=xp.float64, device=device(self.theta)
        )
        return put(self.numbers[start], nothing, part)

    def _iterates(self) -> Array:
        """Return the iterates that were kept (B, at least 1 + N_FIRST, n), the start included."""
        xp = array_namespace(self.theta)
        nowhere = xp.full_like(self.theta, xp.nan)
        pairs = zip(self.numbers, self.thetas, strict=False)
        kept = [put(number, nowhere, theta) for number, theta in pairs]
        kept += [nowhere] * (N_FIRST - len(kept))
        return xp.stack([self.theta, *kept], axis=1)
