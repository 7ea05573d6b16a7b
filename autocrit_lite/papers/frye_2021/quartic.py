"""Frye et al. 2021, Fig. 2: Newton's method on the quartic, from a grid of starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...finders.exact_newton import damped_newton
from ...finders.newton_mr import newton_mr
from ...finders.trace import Trace
from ...ground_truth.quartic import CRITICAL_POINT, FLAT_MINIMUM, FLAT_SQUARED_GRADIENT_NORM
from ...ground_truth.quartic import Quartic as QuarticObjective
from ...runner.experiment import Arrays, Experiment, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from ...statistics import about, found
from .claims import measured

DIRECTIONS = ("exact", "minres_qlp")
STEP_RULES = ("carry", "restart")
ENDS = ("critical point", "flat point", "stalled")
"""The classes of the runs' ends; a run's ``end`` is an index into them."""

HISTORIES = ("value", "squared_gradient_norm", "relative_residual", "step_size")
DIMS = dict.fromkeys(HISTORIES, ("iteration",)) | {"theta": ("iteration", "x_y")}
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

    def check(self) -> None:
        """Raise a ValueError if a range is empty or a list is."""
        for name in ("x_range", "y_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} must be two growing numbers, not {low}, {high}")
        different("directions", self.directions)
        different("step_rules", self.step_rules)

    def stages(self) -> list[list[Task]]:
        """Return one task for each kind of direction and step rule: all starts in one batch."""
        names = ("x_range", "y_range", "grid", "max_iterations", "rtol")
        shared = {name: getattr(self, name) for name in names}
        return [
            [
                self.task(
                    partial(self.search, directions, step_rule),
                    directions=directions,
                    step_rule=step_rule,
                    **shared,
                )
                for directions in self.directions
                for step_rule in self.step_rules
            ]
        ]

    def search(self, directions: str, step_rule: str) -> Arrays:
        """Return all iterates ``theta`` (starts, iterations + 1, 2), their histories, the ends."""
        columns, rows = self.grid
        lines = np.linspace(*self.x_range, columns), np.linspace(*self.y_range, rows)
        starts = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
        finder = partial(newton_mr, rtol=self.rtol) if directions == "minres_qlp" else damped_newton
        trace = finder(
            QuarticObjective(),
            starts,
            max_iterations=self.max_iterations,
            step_rule=step_rule,
            record_theta=True,
        )
        arrays = {name: getattr(trace, name) for name in HISTORIES}
        arrays["stop_reason"] = np.asarray(trace.stop_reason, dtype=np.int64)
        return {**arrays, "theta": trace.thetas, "end": ends(trace)}

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the start and the first five iterates."""
        return {"theta": arrays["theta"][:, :6]}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the classes of the ends."""
        return {"end": arrays["end"]}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions directions, step_rule, start, iteration, x_y."""
        parts = [Results.of(record.arrays, DIMS, "start") for record in records]
        labels = {"directions": self.directions, "step_rule": self.step_rules}
        return Results.stacked(parts, **labels) | Results({}, {}, {"x_y": ("x", "y")})

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return the two claims of Fig. 2, from the runs with MINRES-QLP and step lengths kept."""
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
        return claims


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
