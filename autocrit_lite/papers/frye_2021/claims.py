"""What the experiments on gradient-flat regions say on the numbers of Frye et al. 2021.

r is the solver's relative residual, which the paper's code recorded, and a point's class that of
Table 1. Runs from one trajectory are not independent: their design effect widens what is binomial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import statistics as rules
from ...arrays import Array
from ...ground_truth.plane import PLANE_TOLERANCE, plane_distance
from ...points.classes import PointClass, is_gradient_flat
from ...runner.results import Measured, Results
from ..statements import Statements
from .ends import CLIFF_DECADES, CLIFF_WIDTH, End, has_cliff, is_superlinear
from .gradient_flat import CUTOFFS, POINTS

CRITICAL = 1e-8
"""On ‖g‖², below which a point is approximately critical (Frye et al. 2021, Table 1)."""

FLAT = 0.9
"""On r, above which a point is called flat in Figs 3 to 5."""

LEVELS = {"half": (0.5, 99), "09": (FLAT, 89), "099": (0.99, 50)}
"""On r, by the claims on Fig. 3 that have them, and the paper's runs of 100 beyond each."""

FLATTEST, LAST = (POINTS.index(name) for name in ("flattest", "last"))

SAME_LOSS = 1e-2
"""Relative difference of losses that count as equal (chosen by us: the paper judges by eye)."""

LOW_INDEX = 0.25
"""Below which an index is called low (chosen by us)."""

LOOSE = 1e-2
"""On ‖g‖², the cut-off that is too loose in Fig. 1B (chosen by us: the paper's is not stated)."""

MANY = 3.0
"""Decades that are "many orders of magnitude" (chosen by us)."""

STATEMENTS = Statements("frye_2021", globals())
measured = STATEMENTS.measured


def figure_1(results: Results, linear: int, nonlinear: int) -> dict[str, Measured]:
    """Return the claims on Fig. 1.

    Parameters
    ----------
    results : Results
        Of ``LinearVsNonlinear``.
    linear, nonlinear : int
        The two networks' places in the dimension "network".
    """
    histories = results["squared_gradient_norm"]
    cliff, fast = has_cliff(histories), is_superlinear(histories)
    end = results["point_squared_gradient_norm"][..., LAST]
    cutoffs = results["cutoff_index"][linear], results["cutoff_loss"][linear]
    distance = plane_distance(*cutoffs, results["true_index"], results["true_loss"])
    strict, loose = (
        float(np.nanquantile(x, 0.95)) if np.any(np.isfinite(x)) else np.nan
        for x in (distance[:, CUTOFFS.index(c)] for c in (CRITICAL, LOOSE))
    )
    runs = end.shape[1]
    below = int(np.sum(end[linear] < CRITICAL))
    most = rules.shown(below / runs, rules.binomial(below, runs), above=0.5)

    def ratio(rows: Array) -> float:
        return float(np.log10(np.median(end[nonlinear, rows]) / np.median(end[linear, rows])))

    decades, interval = rules.bootstrap(ratio, np.arange(runs))
    marked = (cliff | fast)[nonlinear]
    count = int(marked.sum())
    numbers: dict[str, Any] = {"least": end[nonlinear][marked].min()} if count else {}
    return measured(
        "f21-linear",
        [most.value, strict, loose],
        {"share": most, "plane": bool(strict < PLANE_TOLERANCE <= loose)},
        interval=most.interval,
        runs=runs,
        cliffs=cliff[linear].mean(),
        fast=fast[linear].mean(),
        decades=CLIFF_DECADES,
        width=CLIFF_WIDTH,
    ) | measured(
        "f21-nonlinear",
        [count, decades],
        {
            "share": rules.shares(count, runs, 0, runs),
            "decades": rules.shown(decades, interval, above=MANY),
        },
        *["where"] * bool(count),
        runs=runs,
        ours=np.median(end[nonlinear]),
        theirs=np.median(end[linear]),
        **numbers,
    )


def figure_3(results: Results) -> dict[str, Measured]:
    """Return the claims on the autoencoder of MNIST images: Fig. 3, sections 3 and 4.1.

    Parameters
    ----------
    results : Results
        Of ``MnistAutoencoder``.
    """
    r, ratio = _largest(results)
    claims: dict[str, Measured] = {}
    for name, (level, printed) in LEVELS.items():
        numbers: dict[str, Any] = {"level": level, "ratio": np.mean(ratio > level)}
        claims |= _share(f"f21-ae-{name}", results, r > level, printed, 100, "ratio", **numbers)
    return claims | _norms(results) | _loss_and_index(results) | _at_the_mean(results)


def _largest(results: Results) -> tuple[Array, Array]:
    """Return the largest r and the largest plain ratio of each run."""
    r, ratio = (np.nanmax(results[x], axis=1) for x in ("relative_residual", "residual_ratio"))
    return r, ratio


def _effect(results: Results, runs: Array) -> float:
    """Return the design effect of runs that come trajectory by trajectory."""
    trajectories = len(results["train_squared_gradient_norm"])
    return rules.design_effect(runs, np.arange(len(runs)) * trajectories // len(runs))


def _share(
    id: str, results: Results, runs: Array, printed: int, of: int, *also: str, **numbers: Any
) -> dict[str, Measured]:
    """Return the claim on a share of runs."""
    count, effect = int(runs.sum()), _effect(results, runs)
    compared = rules.shares(count, len(runs), printed, of, effect)
    texts: dict[str, Any] = {"count": count, "runs": len(runs), "effect": effect}
    return measured(id, compared.value, compared, *also, "runs", **texts, **numbers)


def shown_share(results: Results, runs: Array, **bounds: float) -> rules.Comparison:
    """Return whether a share of runs is shown to be within bounds."""
    effect = _effect(results, runs)
    interval = rules.binomial(runs.sum() / effect, len(runs) / effect)
    return rules.shown(float(runs.mean()), interval, **bounds)


def _norms(results: Results) -> dict[str, Measured]:
    end, kind, r = (
        results[f"point_{name}"][:, LAST]
        for name in ("squared_gradient_norm", "class", "relative_residual")
    )
    of_training = results["train_squared_gradient_norm"]
    least, most = float(np.nanmin(of_training)), float(np.nanmax(of_training))
    strict, flat = end[kind == PointClass.STRICTLY_FLAT], end[r > FLAT]
    place = shown_share(results, end < 1e-6, above=0.25, below=0.75)
    claims = measured("f21-ae-bulk", place.value, place)
    if len(strict):
        low, high = rules.quantiles(strict)
        claims |= measured(
            "f21-ae-norm",
            [float(np.median(strict)), least, most],
            {
                "flat": bool(low <= 2e-5 <= high),
                "least": rules.about(least, 1e-4, 5.0),
                "most": rules.about(most, 5e1, 5.0),
            },
            interval=(low, high),
            runs=len(strict),
        )
    if len(flat):
        lowest = rules.found(int(np.sum(flat < CRITICAL)), len(flat))
        claims |= measured("f21-ae-blue", float(flat.min()), lowest, runs=len(flat))
    return claims


def _loss_and_index(results: Results) -> dict[str, Measured]:
    """Return whether loss grows with index, and convexly, at the flattest and last iterates.

    Most flattest iterates are near the last, where loss and index are the same. Whether the shape
    stays can only fail for the runs whose flattest iterate is in their first half.
    """
    index, loss = results["point_index"], results["point_value"]
    first, last = results["point_iteration"].T
    early = np.flatnonzero(first < last / 2)
    statistics = {"rank": rules.rank_correlation, "curvature": rules.curvature}
    values, intervals = [], []
    grows, stays = {}, {}
    for k in (FLATTEST, LAST):
        pairs = shape(index[:, k], loss[:, k])
        values.append([value for value, _ in pairs])
        intervals.append([interval for _, interval in pairs])
    for i, (name, statistic) in enumerate(statistics.items()):
        grows[name] = rules.shown(values[0][i], intervals[0][i], above=0.0)
        if len(early) > 2:

            def change(x: Array, of: Callable[[Array, Array], float] = statistic) -> float:
                rows = early[x]
                return of(index[rows, 1], loss[rows, 1]) - of(index[rows, 0], loss[rows, 0])

            stays[name] = rules.resampled(change, early, 0.0, None)
    moved = np.abs(loss[:, LAST] / loss[:, FLATTEST] - 1.0)
    bends: list[dict[str, Any]] = [{"low": low, "high": high} for _, (low, high) in intervals]
    return measured(
        "f21-ae-convex", values[0], grows, interval=intervals[0][0], **bends[0]
    ) | measured(
        "f21-ae-last",
        values[1],
        stays,
        verdict=None if stays else "not possible here",
        interval=intervals[1][0],
        **bends[1],
        runs=len(index),
        moved=moved.max(),
        early=len(early),
    )


def shape(
    index: Array, loss: Array
) -> tuple[tuple[float, rules.Interval], tuple[float, rules.Interval]]:
    """Return rank correlation and curvature of loss over index (runs,), with their intervals."""

    def over_runs(statistic: Callable[[Array, Array], float]) -> tuple[float, rules.Interval]:
        return rules.bootstrap(
            lambda rows: statistic(index[rows], loss[rows]), np.arange(len(index))
        )

    return over_runs(rules.rank_correlation), over_runs(rules.curvature)


def _at_the_mean(results: Results) -> dict[str, Measured]:
    critical = results["point_class"][:, LAST] == PointClass.CRITICAL
    loss, index = (results[f"point_{x}"][critical, LAST] for x in ("value", "index"))
    numbers: dict[str, Any] = {"runs": len(loss)}
    if not len(loss):
        return measured("f21-ae-mean", 0, False, **numbers)
    mean = float(results["mean_loss"])
    same = np.abs(loss / mean - 1.0) < SAME_LOSS
    low = (index > 0) & (index < LOW_INDEX)
    return measured(
        "f21-ae-mean",
        float(np.mean(same & low)),
        rules.never(int(np.sum(~(same & low))), len(loss)),
        "places",
        **numbers,
        mean=mean,
        same=same.sum(),
        low=low.sum(),
        losses=f"{loss.min():.4g} to {loss.max():.4g}",
        indices=f"{index.min():.3g} to {index.max():.3g}",
    )


def other_settings(results: Results) -> dict[str, str]:
    """Return, by claim on Fig. 3, what its runs say when repeated with other settings.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    """
    squared = results["rerun_squared_gradient_norm"]
    iterations = results["rerun_iterations"][..., None]
    end = np.take_along_axis(squared, iterations, axis=-1)[..., 0]
    largest = np.nanmax(results["rerun_relative_residual"], axis=-1)
    lowest = np.where(largest > FLAT, end, np.inf).min(axis=1)

    def each(texts: Sequence[str]) -> str:
        named = zip(texts, results.coordinates["variant"], strict=True)
        return ", ".join(f"{text} with {name}" for text, name in named)

    def percent(runs: Array) -> str:
        return each([f"{part:.0%}" for part in runs.mean(axis=1)])

    def sizes(values: Array) -> str:
        return each([f"{x:.2g}" if np.isfinite(x) else "none" for x in values])

    critical = results["rerun_end"] == End.CRITICAL
    places = zip(
        critical, results["rerun_value"][..., LAST], results["rerun_index"][..., LAST], strict=True
    )
    listed = {
        **{f"f21-ae-{id}": percent(largest > level) for id, (level, _) in LEVELS.items()},
        "f21-ae-bulk": percent(end < 1e-6),
        "f21-ae-blue": sizes(lowest),
        "f21-ae-norm": sizes(squared[..., 0].max(axis=1)),
        "f21-ae-mean": each([_places(*place) for place in places]),
    }
    return {
        id: STATEMENTS.text(id, "settings", starts=end.shape[1], listed=text)
        for id, text in listed.items()
    }


def other_finders(results: Results) -> dict[str, str]:
    """Return what other finders say on the critical points of Fig. 3's network.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``.
    """
    k = results.coordinates["network"].index("mnist_autoencoder")
    below = np.isfinite(results["cutoff_cost"][k, ..., 0])
    places = [
        f"{name} {_places(below[f], results['value'][k, f], results['index'][k, f])}"
        for f, name in enumerate(results.coordinates["finder"])
        if below[f].any()
    ]
    listed = ", ".join(places) or "none"
    id = "f21-ae-mean"
    return {id: STATEMENTS.text(id, "finders", starts=below.shape[1], listed=listed)}


def _places(runs: Array, loss: Array, index: Array) -> str:
    """Return how many ``runs`` there are, and their losses and indices, as a text."""
    pairs = (f"{x:.3g}, {y:.2g}" for x, y in zip(loss[runs], index[runs], strict=True))
    return f"{runs.sum()} (loss, index {'; '.join(pairs)})" if runs.any() else "0"


def figure_4(results: Results, autoencoder: Results | None) -> dict[str, Measured]:
    """Return the claims on the classifier: Fig. 4, A.1 and A.5.

    Parameters
    ----------
    results : Results
        Of ``MnistClassifier``.
    autoencoder : Results, optional
        Of ``MnistAutoencoder`` at the same scale: its ends are compared with.
    """
    r, ratio = _largest(results)
    accuracy, logistic = results["accuracy"], float(results["logistic_accuracy"])
    images = int(results["n_labels"])
    right = round(logistic * images)
    mean = float(accuracy.mean())
    good = rules.shown(mean, rules.mean_interval(accuracy), above=0.9)
    level: dict[str, Any] = {"level": FLAT, "ratio": np.mean(ratio > FLAT)}
    return (
        _share("f21-cls-09", results, r > FLAT, 90, 100, "ratio", **level)
        | measured(
            "f21-cls-acc",
            mean,
            good,
            networks=len(accuracy),
            least=accuracy.min(),
            most=accuracy.max(),
            above=np.sum(accuracy > 0.9),
        )
        # 87 % is all that round to it: the nearest count
        | measured(
            "f21-logreg",
            logistic,
            rules.shares(right, images, int(np.clip(right * 10_000 // images, 8650, 8749)), 10_000),
            images=images,
        )
        | _ends_compared(results, autoencoder)
    )


def _ends_compared(results: Results, autoencoder: Results | None) -> dict[str, Measured]:
    """Return whether fewer runs of the classifier end at a flat point than of the autoencoder."""
    if autoencoder is None:
        return measured("f21-cls-end", None, False, verdict="not possible here", runs=0, others=0)
    flat = [_flat(x, "point_")[:, LAST] for x in (results, autoencoder)]
    effects = [_effect(x, runs) for x, runs in zip((results, autoencoder), flat, strict=True)]
    (a, n), (b, m) = (
        (runs.sum() / effect, len(runs) / effect)
        for runs, effect in zip(flat, effects, strict=True)
    )
    fewer = rules.shown(*rules.difference_of_shares(a, n, b, m), below=0.0)
    return measured(
        "f21-cls-end",
        [float(runs.mean()) for runs in flat],
        {"difference": fewer},
        interval=rules.binomial(a, n),
        runs=len(flat[0]),
        others=len(flat[1]),
    )


def _flat(results: Results, prefix: str = "") -> Array:
    """Return where r and r_H make an iterate, or a point, approximately flat (Table 1)."""
    names = ("relative_residual", "relative_cokernel_residual")
    return is_gradient_flat(*(results[prefix + name] for name in names))


def figure_5(results: Results) -> dict[str, Measured]:
    """Return the claims on shuffled labels: Fig. 5, A.1 and A.6.

    Parameters
    ----------
    results : Results
        Of ``RandomLabels``.
    """
    sizes = [results["theta_start"].shape[1], int(results["n_labels"])]
    correct = results["correct"]
    high = results["point_squared_gradient_norm"][:, LAST] >= CRITICAL
    most = shown_share(results, high, above=0.5)
    r, _ = _largest(results)
    flat = _flat(results).any(axis=1)
    return (
        measured("f21-mem-n", sizes, sizes == [1160, 50])
        | measured(
            "f21-mem-train",
            [int(correct.min()), int(correct.max())],
            rules.never(int(np.sum((correct < 48) | (correct > 50))), len(correct)),
            networks=len(correct),
        )
        | _share("f21-mem-end", results, high, 33, 50)
        | measured("f21-mem-most", most.value, most, count=high.sum(), runs=len(high))
        | _share("f21-mem-flat", results, flat, 31, 50, r=np.mean(r > FLAT))
        | _bad_minimum(results)
    )


def _bad_minimum(results: Results) -> dict[str, Measured]:
    """Return the runs that end at a critical point of index 0 whose loss is that of guessing."""
    critical = results["point_class"][:, LAST] == PointClass.CRITICAL
    loss, index = (results[f"point_{x}"][:, LAST] for x in ("value", "index"))
    guess = critical & (np.abs(loss / np.log(2.0) - 1.0) < SAME_LOSS)
    count = int(np.sum(guess & (index == 0)))
    size = np.linalg.norm(results["theta_point"][guess, LAST], axis=-1)
    return measured(
        "f21-mem-min",
        count,
        rules.found(count, len(loss)),
        runs=len(loss),
        size=size.max(initial=0.0),
    )
