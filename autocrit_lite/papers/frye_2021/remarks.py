"""What the text of Frye et al. 2021 says in words on Figs 1 and 3 to 5, from the same runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Array
from ...linalg.minres_qlp import StopReason
from ...points.classes import PointClass
from ...runner.results import Measured, Results
from ...statistics import binomial, bootstrap, found, never, shown
from .claims import CRITICAL, FLAT, FLATTEST, LAST, measured, shape, shown_share
from .ends import CLIFF_DECADES, CLIFF_WIDTH, has_cliff, is_superlinear

FEW, MANY = 0.25, 0.25
"""A few runs are fewer than a quarter, many are more (chosen by us)."""

MIDDLING = 0.5
"""What r is called middling below (chosen by us)."""

NEAR_MINIMUM = 0.05
"""Below which the index is that of a near-minimum (chosen by us: of 552 directions, 27)."""

BEFORE = 10
"""Iterations, of those before ‖g‖² falls below the cut-off, whose pace is told."""


def superlinear(results: Results, linear: int) -> dict[str, Measured]:
    """Return the claim on Fig. 1A: runs of the linear network end with a superlinear phase."""
    histories = results["squared_gradient_norm"][linear]
    low = results["point_squared_gradient_norm"][linear, :, LAST] < CRITICAL
    fast = (has_cliff(histories) | is_superlinear(histories)) & low
    of, count = int(low.sum()), int(fast.sum())
    if not of:
        return measured("f21-linear-fast", 0, False)
    pace, unit, limit, ratio = [], [], [], []
    for run in np.flatnonzero(low & ~fast):
        norms = histories[run]
        end = int(np.argmax(norms < CRITICAL))
        last = slice(max(end - BEFORE, 0), end)
        pace.append(np.log10(norms[last.start] / norms[end]) / max(end - last.start, 1))
        unit.append(np.all(results["step_size"][linear, run, last] == 1.0))
        limit.extend(results["solver_stop_reason"][linear, run, last] == StopReason.MAXIT)
        ratio.extend(results["residual_ratio"][linear, run, last])
    others: dict[str, Any] = {}
    if pace:
        others = {"slow": len(pace), "unit": sum(unit), "before": BEFORE, "pace": np.median(pace)}
        others |= {"limit": np.mean(limit), "ratio": np.median(ratio)}
    return measured(
        "f21-linear-fast",
        count / of,
        shown(count / of, binomial(count, of), above=0.5),
        "counts",
        *["others"] * bool(others),
        count=count,
        runs=of,
        critical=CRITICAL,
        decades=CLIFF_DECADES,
        width=CLIFF_WIDTH,
        **others,
    )


def figure_3_in_words(results: Results) -> dict[str, Measured]:
    """Return what sections 3 and 4.1 say on the autoencoder's runs, beside the numbers."""
    end = results["point_squared_gradient_norm"][:, LAST] < CRITICAL
    kind = results["point_class"][:, FLATTEST]
    other = kind != PointClass.CRITICAL
    most = shown_share(results, other, above=0.5)
    few = {"some": found(int(end.sum()), len(end)), "few": shown_share(results, end, below=FEW)}
    return {
        **measured("f21-ae-few", float(end.mean()), few, count=end.sum(), runs=len(end), few=FEW),
        **measured(
            "f21-ae-most",
            most.value,
            most,
            runs=len(kind),
            strict=np.sum(kind == PointClass.STRICTLY_FLAT),
            neither=np.sum(kind == PointClass.NEITHER),
        ),
        **bounces("f21-ae-bounces", results),
        **_spread(results),
        **_no_high_minimum(results),
    }


def crossings(r: Array) -> Array:
    """Return how often r goes from close to 1 to middling or back, for runs (runs, iterations).

    Close to 1 is above ``FLAT``, middling below ``MIDDLING``; what lies between is passed over.

    Examples
    --------
    >>> crossings(np.array([[0.95, 0.7, 0.3, 0.6, 0.92], [0.95, 0.7, 0.95, 0.99, np.nan]])).tolist()
    [2, 0]
    """
    counts = []
    for row in r:
        sides = np.where(row > FLAT, 1, np.where(row < MIDDLING, -1, 0))
        counts.append(int(np.sum(np.diff(sides[sides != 0]) != 0)))
    return np.array(counts)


def bounces(id: str, results: Results) -> dict[str, Measured]:
    """Return whether in many runs r swings between values close to 1 and middling ones."""
    back = crossings(results["relative_residual"]) >= 2
    many = shown_share(results, back, above=MANY)
    return measured(
        id,
        many.value,
        many,
        "swings",
        count=back.sum(),
        runs=len(back),
        flat=FLAT,
        middling=MIDDLING,
        many=MANY,
    )


def _spread(results: Results) -> dict[str, Measured]:
    """Return whether losses spread more at high index: about the parabola, in the two halves."""
    index, loss = (results[f"point_{name}"][:, FLATTEST] for name in ("index", "value"))

    def ratio(rows: Array) -> float:
        x, y = index[rows], loss[rows]
        if len(np.unique(x)) < 3:
            return np.nan
        order = np.argsort(x, kind="stable")
        rest = (y - np.polyval(np.polyfit(x, y, 2), x))[order]
        low, high = np.std(rest[: len(x) // 2]), np.std(rest[len(x) // 2 :])
        return float(high / low) if low > 0.0 else np.nan

    value, interval = bootstrap(ratio, np.arange(len(index)))
    return measured(
        "f21-ae-spread",
        value,
        shown(value, interval, above=1.0),
        interval=interval,
        runs=len(index),
    )


def _no_high_minimum(results: Results) -> dict[str, Measured]:
    """Return whether flattest iterates of high loss are near-minima."""
    index, loss = (results[f"point_{name}"][:, FLATTEST] for name in ("index", "value"))
    high = loss > np.median(loss)
    near = int(np.sum(index[high] < NEAR_MINIMUM))
    return measured(
        "f21-ae-high",
        near,
        never(near, int(high.sum())),
        runs=high.sum(),
        near=NEAR_MINIMUM,
        lowest=index[high].min(),
    )


def figure_4_in_words(results: Results) -> dict[str, Measured]:
    """Return what A.5 says on the classifier's runs, beside the numbers."""
    return bounces("f21-cls-bounces", results) | _shape("f21-cls-shape", results, True)


def figure_5_in_words(results: Results) -> dict[str, Measured]:
    """Return what A.6 says on shuffled labels, beside the numbers."""
    return _shape("f21-mem-shape", results, False)


def _shape(id: str, results: Results, alike: bool) -> dict[str, Measured]:
    """Return whether loss grows with index, convexly, at flattest and last iterates; or at none.

    The rule is that of "f21-ae-convex".
    """
    grows, values, intervals = {}, [], []
    for name, k in (("flattest", FLATTEST), ("last", LAST)):
        pairs = shape(results["point_index"][:, k], results["point_value"][:, k])
        for which, (value, interval) in zip(("rank", "curvature"), pairs, strict=True):
            grows[f"{which}, {name}"] = shown(value, interval, above=0.0)
            values.append(value)
            intervals.append(f"{interval[0]:.2g} to {interval[1]:.2g}")
    numbers: dict[str, Any] = {"runs": len(results["iterations"])}
    numbers["intervals"] = ", ".join(intervals)
    if alike:
        return measured(id, values, grows, "shape", **numbers)
    each = [[c.agrees for name, c in grows.items() if k in name] for k in ("flattest", "last")]
    return measured(id, values, not any(map(all, each)), "shape", **numbers)
