"""Frye et al. 2021, Fig. 2: Newton's method on the quartic, from a grid of starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...finders import FinderStopReason
from ...finders.exact_newton import damped_newton
from ...finders.gradient_norm import gradient_norm_minimization
from ...finders.newton_mr import newton_mr
from ...finders.trace import Trace
from ...ground_truth.quartic import (
    CRITICAL_POINT,
    FLAT_MINIMUM,
    FLAT_SADDLE,
    FLAT_SQUARED_GRADIENT_NORM,
)
from ...ground_truth.quartic import Quartic as QuarticObjective
from ...runner.experiment import Arrays, Experiment, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from ...statistics import about, found
from .claims import measured
from .quartic_claims import IN_X, IN_Y, also_attracted, basins, divided, points

DIRECTIONS = ("exact", "minres_qlp")
STEP_RULES = ("carry", "restart")
ENDS = ("critical point", "flat point", "stalled")
"""The classes of the runs' ends; a run's ``end`` is an index into them."""

HISTORIES = ("value", "squared_gradient_norm", "relative_residual", "step_size")
DIMS = dict.fromkeys(HISTORIES, ("iteration",)) | {
    "theta": ("iteration", "x_y"),
    "descent_theta": ("x_y",),
    "beside_start": ("x_y",),
    "beside_theta": ("x_y",),
}
NEAR = 1.5
"""The factor within which a value rounds to the one printed digit of "near 10"."""


@dataclass(frozen=True)
class Quartic(Experiment):
    """Newton-MR and damped Newton with exact directions, from every point of a grid."""

    name: ClassVar[str] = "quartic"
    apart: ClassVar[tuple[str, ...]] = ("directions",)

    x_range: tuple[float, float] = setting(
        (-5.0, 5.0), "chosen by us: about the window of Frye et al. 2021, Fig. 2"
    )
    y_range: tuple[float, float] = setting(
        (-4.5, 4.5), "chosen by us: about the window of Frye et al. 2021, Fig. 2"
    )
    grid: tuple[int, int] = setting(
        (21, 9), "chosen by us: 189 starts; the number in Fig. 2 is not stated", at_least=1
    )
    directions: tuple[str, ...] = setting(
        DIRECTIONS, "exact: section 2.3; MINRES-QLP: Fig. 2B", choices=DIRECTIONS
    )
    step_rules: tuple[str, ...] = setting(
        STEP_RULES, "the paper does not say whether the step length is kept", choices=STEP_RULES
    )
    max_iterations: int = setting(500, "Frye et al. 2021, section 3 (not stated for Fig. 2)")
    rtol: float = setting(
        1e-10, "Frye et al. 2021, A.2, for Fig. 1 (not stated for Fig. 2)", at_least=0.0
    )
    descent_iterations: int = setting(
        2000, "chosen by us: of gradient norm minimisation; it needs some hundreds", at_least=1
    )
    beside: float = setting(
        1e-3, "chosen by us: of the plain descent's starts, to either side of x = −√2", above=0.0
    )
    rate: float = setting(
        1e-3,
        "chosen by us: of the plain descent; ½‖∇f‖² bends by less than 727 where |y| < 1",
        above=0.0,
    )

    def check(self) -> None:
        """Raise a ValueError if a range is empty or a list is."""
        for name in ("x_range", "y_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} must be two growing numbers, not {low}, {high}")
        different("directions", self.directions)
        different("step_rules", self.step_rules)

    def stages(self) -> list[list[Task]]:
        """Return a task for each kind of direction and step rule, and the descent: each a batch."""
        own = {name: getattr(self, name) for name in ("x_range", "y_range", "grid")}
        shared = {**own, "max_iterations": self.max_iterations, "rtol": self.rtol}
        own |= {name: getattr(self, name) for name in ("descent_iterations", "beside", "rate")}
        searches = [
            self.task(
                partial(self.search, directions, step_rule),
                directions=directions,
                step_rule=step_rule,
                **shared,
            )
            for directions in self.directions
            for step_rule in self.step_rules
        ]
        return [[*searches, self.task(self.descent, finder="gradient_norm_minimization", **own)]]

    def starts(self) -> Array:
        """Return the points (starts, 2) of the grid."""
        columns, rows = self.grid
        lines = np.linspace(*self.x_range, columns), np.linspace(*self.y_range, rows)
        return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)

    def search(self, directions: str, step_rule: str) -> Arrays:
        """Return all iterates ``theta`` (starts, iterations + 1, 2), their histories, the ends."""
        finder = partial(newton_mr, rtol=self.rtol) if directions == "minres_qlp" else damped_newton
        trace = finder(
            QuarticObjective(),
            self.starts(),
            max_iterations=self.max_iterations,
            step_rule=step_rule,
            record_theta=True,
        )
        arrays = {name: getattr(trace, name) for name in HISTORIES}
        arrays["stop_reason"] = np.asarray(trace.stop_reason, dtype=np.int64)
        return {**arrays, "theta": trace.thetas, "end": ends(trace)}

    def descent(self) -> Arrays:
        """Return where gradient norm minimisation goes, and plain descent from beside the saddle.

        ``descent_theta`` (starts, 2), ``descent_end`` and ``descent_stop_reason`` (starts,) from
        the grid; ``beside_start`` and ``beside_theta`` (2 rows, 2) from the left of x = −√2, then
        from its right, with |y| ≤ 1 and steps of one rate along the gradient of ½‖∇f‖².
        """
        objective = QuarticObjective()
        trace = gradient_norm_minimization(objective, self.starts(), self.descent_iterations)
        y = np.linspace(-1.0, 1.0, self.grid[1])
        sides = [FLAT_SADDLE[0] + sign * self.beside for sign in (-1.0, 1.0)]
        start = np.concatenate([np.stack([np.full_like(y, x), y], axis=-1) for x in sides])
        theta = start
        for _ in range(self.descent_iterations):
            point = objective.linearize(theta)
            theta = theta - self.rate * point.hvp(point.gradient)
        return {
            "descent_theta": np.asarray(trace.theta),
            "descent_stop_reason": np.asarray(trace.stop_reason, dtype=np.int64),
            "descent_end": ends(trace),
            "beside_start": start,
            "beside_theta": theta,
        }

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the start and the first five iterates; of the descent where the plain one ends."""
        if "beside_theta" in arrays:
            return {name: arrays[name] for name in ("beside_start", "beside_theta")}
        return {"theta": arrays["theta"][:, :6]}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the classes of the ends."""
        return {"end": arrays["descent_end"] if "descent_end" in arrays else arrays["end"]}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions directions, step_rule, start, iteration, x_y."""
        parts = [Results.of(record.arrays, DIMS, "start") for record in records[:-1]]
        labels = {"directions": self.directions, "step_rule": self.step_rules}
        whole = Results.stacked(parts, **labels) | Results({}, {}, {"x_y": ("x", "y")})
        for kind, first in (("descent", "start"), ("beside", "side_y")):
            arrays = {name: x for name, x in records[-1].arrays.items() if name.startswith(kind)}
            whole |= Results.of(arrays, DIMS, first)
        return whole

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return the claims on Fig. 2 and section 2.3; Newton-MR's runs keep the step length."""
        if "minres_qlp" not in self.directions or "carry" not in self.step_rules:
            return {}
        chosen = self.directions.index("minres_qlp"), self.step_rules.index("carry")
        theta, end = results["theta"][chosen], results["end"][chosen]
        norms = _last(results["squared_gradient_norm"][chosen])
        levels = norms[end != ENDS.index("critical point")]
        right = theta[:, 0, 0] > -np.sqrt(2.0)
        crossed = int(np.sum(right & (end == ENDS.index("critical point"))))
        starts = int(right.sum())
        claims = measured("f21-quartic-basin", crossed, found(crossed, starts), runs=starts)
        if levels.size:
            level, spread = float(np.median(levels)), (float(levels.min()), float(levels.max()))
            claims |= measured(
                "f21-quartic-value",
                level,
                about(level, 10.0, NEAR),
                interval=spread,
                runs=levels.size,
                there=FLAT_SQUARED_GRADIENT_NORM,
                level=np.sum(end == ENDS.index("flat point")),
            )
        flat_x = FLAT_MINIMUM[0]
        claims |= points(IN_X, IN_Y)
        claims |= basins(theta, results["squared_gradient_norm"][chosen], end, flat_x)
        if "exact" in self.directions:
            damped = self.directions.index("exact"), chosen[1]
            ended = results["end"][damped]
            claims |= also_attracted("f21-quartic-damped", theta[:, 0], ended, flat_x)
        end = results["descent_end"]
        failed = results["descent_stop_reason"] == FinderStopReason.LINE_SEARCH_FAILED
        lost = int(np.sum(failed & (end == ENDS.index("stalled"))))
        claims |= also_attracted("f21-quartic-gnm", theta[:, 0], end, flat_x, "failed", failed=lost)
        start, last = results["beside_start"], results["beside_theta"]
        goals = np.where(start[:, :1] < -flat_x, CRITICAL_POINT, FLAT_MINIMUM)
        return claims | divided(np.linalg.norm(last - goals, axis=1), self.beside)


def ends(trace: Trace) -> Array:
    """Return where each run ended (B,): the index of its class in ``ENDS``.

    A run ended at the critical point or at the flat point if it is within 1e-2 of it and its
    ‖∇f‖² is below 1e-8 (Frye et al. 2021, Table 1), or within 1 % of the flat point's.
    """
    norms = _last(trace.squared_gradient_norm)
    near = [np.linalg.norm(trace.theta - p, axis=-1) < 1e-2 for p in (CRITICAL_POINT, FLAT_MINIMUM)]
    level = np.abs(norms / FLAT_SQUARED_GRADIENT_NORM - 1.0) < 1e-2
    return np.select([near[0] & (norms < 1e-8), near[1] & level], [0, 1], 2).astype(np.int64)


def _last(history: Array) -> Array:
    """Return the last number before the NaNs of each row."""
    return np.array([row[np.isfinite(row)][-1] for row in history])
