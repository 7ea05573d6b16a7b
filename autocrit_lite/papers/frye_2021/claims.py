"""What the experiments on gradient-flat regions say on the numbers of Frye et al. 2021.

A share of the paper's runs is an interval here: the binomial one of as many runs as the paper's.
Ours is "reproduced" where the two intervals overlap. r is the solver's relative residual, which the
paper's code recorded, and a point's class that of Table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...arrays import Array
from ...ground_truth.plane import PLANE_TOLERANCE, plane_distance
from ...points.classes import PointClass, is_gradient_flat
from ...runner.results import Measured, Results
from ...statistics import (
    Interval,
    as_printed,
    binomial,
    bootstrap,
    curvature,
    quantiles,
    rank_correlation,
    share,
    verdict,
)
from .ends import CLIFF_DECADES, CLIFF_WIDTH, End, has_cliff, is_superlinear
from .gradient_flat import CUTOFFS, POINTS

CRITICAL = 1e-8
"""On ‖g‖², below which a point is approximately critical (Frye et al. 2021, Table 1)."""

FLAT = 0.9
"""On r, above which a point is called flat in Figs 3 to 5."""

LEVELS = {"half": 0.5, "09": FLAT, "099": 0.99}
"""On r, by the claims on Fig. 3 that have them."""

FLATTEST, LAST = (POINTS.index(name) for name in ("flattest", "last"))

SAME_LOSS = 1e-2
"""Relative difference of losses that count as equal (chosen by us: the paper judges by eye)."""

LOW_INDEX = 0.25
"""Below which an index is called low (chosen by us)."""

LOOSE = 1e-2
"""On ‖g‖², the cut-off that is too loose in Fig. 1B (chosen by us: the paper's is not stated)."""

MANY = 3.0
"""Decades that are "many orders of magnitude" (chosen by us)."""


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
    ours, theirs = np.median(end[nonlinear]), np.median(end[linear])
    found = results["cutoff_index"][linear], results["cutoff_loss"][linear]
    distance = plane_distance(*found, results["true_index"], results["true_loss"])
    strict, loose = (
        float(np.nanquantile(x, 0.95)) if np.any(np.isfinite(x)) else np.nan
        for x in (distance[:, CUTOFFS.index(c)] for c in (CRITICAL, LOOSE))
    )
    below, (low, high) = share(end[linear] < CRITICAL)
    decades = float(np.log10(ours / theirs))
    marked = (cliff | fast)[nonlinear]
    count = int(marked.sum())
    where = f", and end at ‖g‖² = {end[nonlinear][marked].min():.2g} or above" if count else ""
    return {
        "f21-linear": Measured(
            [below, strict, loose],
            as_printed(low > 0.5 and strict < PLANE_TOLERANCE <= loose),
            f"share of {end.shape[1]} runs with binomial interval; {cliff[linear].mean():.0%} of "
            f"all have a cliff, where ‖g‖² falls by {CLIFF_DECADES:g} decades within {CLIFF_WIDTH} "
            f"iterations, {fast[linear].mean():.0%} are superlinear in the word's sense, ‖g‖ "
            "falling faster and faster over two steps; 95 % quantile of the distance in the plane "
            f"from the nearest true (index, loss) where ‖g‖² falls below {CRITICAL:g} and "
            f"{LOOSE:g}, small being below {PLANE_TOLERANCE:g}",
            (low, high),
        ),
        "f21-nonlinear": Measured(
            [count, decades],
            as_printed(count == 0 and decades >= MANY),
            f"runs of {end.shape[1]} that have a cliff or are superlinear{where}; decades between "
            f"the two networks' medians of the last ‖g‖², {ours:.2g} and {theirs:.2g}; many are "
            f"{MANY:g} or more",
        ),
    }


def figure_3(results: Results) -> dict[str, Measured]:
    """Return the claims on the autoencoder of MNIST images: Fig. 3, sections 3 and 4.1.

    Parameters
    ----------
    results : Results
        Of ``MnistAutoencoder``.
    """
    largest, ratio = _largest(results)
    found = {}
    for (id, level), printed in zip(LEVELS.items(), (99, 89, 50), strict=True):
        why = (
            f"r > {level:g} as the solver gives it at rtol = 5e-4; with the plain ratio "
            f"‖Hp + g‖/‖g‖ in place of r it is {np.mean(ratio > level):.0%}"
        )
        found[f"f21-ae-{id}"] = _share(largest > level, printed, 100, why)
    return found | _norms(results) | _loss_and_index(results) | _at_the_mean(results)


def _largest(results: Results) -> tuple[Array, Array]:
    """Return the largest r and the largest plain ratio of each run."""
    r, ratio = (np.nanmax(results[x], axis=1) for x in ("relative_residual", "residual_ratio"))
    return r, ratio


def _share(runs: Array, printed: int, of: int, why: str) -> Measured:
    """Return a share of runs beside a printed count, both with their binomial intervals."""
    value, interval = share(runs)
    text = f"{runs.sum()} of {len(runs)} runs; {why}; binomial intervals"
    return Measured(value, verdict(interval, binomial(printed, of)), text, interval)


def _norms(results: Results) -> dict[str, Measured]:
    end, kind, r = (
        results[f"point_{name}"][:, LAST]
        for name in ("squared_gradient_norm", "class", "relative_residual")
    )
    of_training = results["train_squared_gradient_norm"]
    least, most = float(np.nanmin(of_training)), float(np.nanmax(of_training))
    trained = all(printed / 5 <= x <= printed * 5 for x, printed in ((least, 1e-4), (most, 5e1)))
    strict, flat = end[kind == PointClass.STRICTLY_FLAT], end[r > FLAT]
    place, interval = share(end < 1e-6)
    found = {}
    if len(strict):
        low, high = quantiles(strict)
        found["f21-ae-norm"] = Measured(
            [float(np.median(strict)), least, most],
            as_printed(low <= 2e-5 <= high and trained),
            f"median of the {len(strict)} runs whose last iterate is strictly flat, with the "
            "middle 95 % of them; least and most in training, which are taken to agree within a "
            "factor of 5",
            (low, high),
        )
    if len(flat):
        found["f21-ae-blue"] = Measured(
            float(flat.min()),
            as_printed(flat.min() < CRITICAL),
            f"lowest of the {len(flat)} runs that end at r > {FLAT:g}; the paper's is that of one "
            f"run, and any below {CRITICAL:g} counts as the same",
        )
    found["f21-ae-bulk"] = Measured(
        place,
        as_printed(0.25 <= place <= 0.75),
        'the share of runs that end below it; "the middle" is taken to be the middle half',
        interval,
    )
    return found


def _loss_and_index(results: Results) -> dict[str, Measured]:
    """Return whether loss grows with index, and convexly, at the flattest and last iterates."""
    text = (
        "rank correlation of loss and index, and the quadratic term of the least-squares parabola"
    )
    values, intervals, signs, bends = [], [], [], []
    for k in (FLATTEST, LAST):
        (rank, interval), (bend, of_bend) = shape(
            results["point_index"][:, k], results["point_value"][:, k]
        )
        values.append([rank, bend])
        intervals.append(interval)
        signs.append((interval[0] > 0, of_bend[0] > 0))
        bends.append(f"of the second {of_bend[0]:.2g} to {of_bend[1]:.2g}; yes if")
    alike = signs[0] == signs[1] and verdict(*intervals) == "reproduced"
    return {
        "f21-ae-convex": Measured(
            values[0],
            as_printed(all(signs[0])),
            f"{text} (both scaled to their ranges); bootstrap interval of the first, {bends[0]} "
            "both are above 0; the paper judges by eye",
            intervals[0],
        ),
        "f21-ae-last": Measured(
            values[1],
            as_printed(alike),
            f"{text}, at the last iterates; bootstrap interval of the first, {bends[1]} the signs "
            "are those at the flattest iterates and the intervals of the first overlap",
            intervals[1],
        ),
    }


def shape(index: Array, loss: Array) -> tuple[tuple[float, Interval], tuple[float, Interval]]:
    """Return rank correlation and curvature of loss over index (runs,), with their intervals."""

    def over_runs(statistic: Callable[[Array, Array], float]) -> tuple[float, Interval]:
        return bootstrap(lambda rows: statistic(index[rows], loss[rows]), np.arange(len(index)))

    return over_runs(rank_correlation), over_runs(curvature)


def _at_the_mean(results: Results) -> dict[str, Measured]:
    critical = results["point_class"][:, LAST] == PointClass.CRITICAL
    loss, index = (results[f"point_{x}"][critical, LAST] for x in ("value", "index"))
    if not len(loss):
        text = f"no run ends at an approximately critical point, ‖g‖² < {CRITICAL:g}"
        return {"f21-ae-mean": Measured(0, "differs", text)}
    mean = float(results["mean_loss"])
    same = np.abs(loss / mean - 1.0) < SAME_LOSS
    low = (index > 0) & (index < LOW_INDEX)
    return {
        "f21-ae-mean": Measured(
            float(np.mean(same & low)),
            as_printed(np.all(same & low)),
            f"share of the {len(loss)} runs that end at ‖g‖² < {CRITICAL:g} for which both hold: "
            f"{same.sum()} have the loss {mean:.4g} of the mean output to {SAME_LOSS:.0%}, "
            f"{low.sum()} an index above 0 and below {LOW_INDEX:g}; losses {loss.min():.4g} to "
            f"{loss.max():.4g}, indices {index.min():.3g} to {index.max():.3g}",
        )
    }


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

    def shares(runs: Array) -> str:
        return each([f"{part:.0%}" for part in runs.mean(axis=1)])

    def sizes(values: Array) -> str:
        return each([f"{x:.2g}" if np.isfinite(x) else "none" for x in values])

    some = f"{end.shape[1]} of the starts run again with other settings: "
    critical = results["rerun_end"] == End.CRITICAL
    places = zip(
        critical, results["rerun_value"][..., LAST], results["rerun_index"][..., LAST], strict=True
    )
    return {
        **{f"f21-ae-{id}": some + shares(largest > level) for id, level in LEVELS.items()},
        "f21-ae-bulk": some + shares(end < 1e-6),
        "f21-ae-blue": some + f"lowest of those with some r > {FLAT:g} " + sizes(lowest),
        "f21-ae-norm": "neither the initial weights nor the scaling of the images are stated; the "
        f"largest ‖g‖² of {end.shape[1]} starts: " + sizes(squared[..., 0].max(axis=1)),
        "f21-ae-mean": some + "critical ends " + each([_places(*place) for place in places]),
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
    text = f"other finders come below it from {below.shape[1]} starts, and end: "
    return {"f21-ae-mean": text + (", ".join(places) or "none")}


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
    largest, ratio = _largest(results)
    why = (
        "r as the solver gives it at rtol = 5e-4; the paper's runs are taken to be 100; with the "
        f"plain ratio ‖Hp + g‖/‖g‖ in place of r it is {np.mean(ratio > FLAT):.0%}"
    )
    accuracy, logistic = results["accuracy"], float(results["logistic_accuracy"])
    images = int(results["n_labels"])
    ours = binomial(round(logistic * images), images)
    return {
        "f21-cls-09": _share(largest > FLAT, 90, 100, why),
        "f21-cls-acc": Measured(
            float(accuracy.max()),
            as_printed(accuracy.max() > 0.9),
            f"the best of {len(accuracy)} networks on the images that they were trained on, with "
            "the range of all; the paper does not say which images",
            (float(accuracy.min()), float(accuracy.max())),
        ),
        "f21-logreg": Measured(
            logistic,
            verdict(ours, binomial(8700, 10_000)),
            "on the images that it was fitted to; binomial intervals of as many images",
            ours,
        ),
        "f21-cls-end": _ends_compared(results, autoencoder),
    }


def _ends_compared(results: Results, autoencoder: Results | None) -> Measured:
    """Return whether fewer runs of the classifier end at a flat point than of the autoencoder."""
    if autoencoder is None:
        text = "no results of mnist_autoencoder at this scale to compare with"
        return Measured(None, "not possible here", text)
    flat = [_flat(x, "point_")[:, LAST] for x in (results, autoencoder)]
    (ours, interval), (theirs, other) = map(share, flat)
    return Measured(
        [ours, theirs],
        as_printed(interval[1] < other[0]),
        f"shares of the {len(flat[0])} runs here and the {len(flat[1])} of Fig. 3 whose last "
        "iterate is approximately flat by Table 1, critical or not; fewer if the binomial "
        f"intervals are apart, theirs being {other[0]:.2f} to {other[1]:.2f}; the paper states "
        "neither λ nor how long the networks were trained, nor how many runs it made",
        interval,
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
    n, samples = results["theta_start"].shape[1], int(results["n_labels"])
    correct = results["correct"]
    low, high = int(correct.min()), int(correct.max())
    end = results["point_squared_gradient_norm"][:, LAST]
    r, _ = _largest(results)
    return {
        "f21-mem-n": Measured(
            [n, samples],
            as_printed((n, samples) == (1160, 50)),
            "the lengths of θ and of the labels",
        ),
        "f21-mem-train": Measured(
            [low, high],
            as_printed(low >= 48 and high <= samples == 50),
            f"fewest and most over {len(correct)} networks",
        ),
        "f21-mem-end": _share(end >= CRITICAL, 33, 50, f"‖g‖² ≥ {CRITICAL:g} at the end"),
        "f21-mem-flat": _share(
            _flat(results).any(axis=1),
            31,
            50,
            "approximately flat by Table 1 at some iterate, by the solver's r and r_H; "
            f"r > {FLAT:g} alone holds for {np.mean(r > FLAT):.0%}; the paper states neither the "
            "tolerance nor λ for this figure",
        ),
        "f21-mem-min": _bad_minimum(results),
    }


def _bad_minimum(results: Results) -> Measured:
    """Return the runs that end at a critical point of index 0 whose loss is that of guessing."""
    critical = results["point_class"][:, LAST] == PointClass.CRITICAL
    loss, index = (results[f"point_{x}"][:, LAST] for x in ("value", "index"))
    guess = np.abs(loss / np.log(2.0) - 1.0) < SAME_LOSS
    count = int(np.sum(critical & guess & (index == 0)))
    size = np.linalg.norm(results["theta_point"][critical & guess, LAST], axis=-1)
    where = f", ‖θ‖ there up to {size.max():.2g}" if len(size) else ""
    return Measured(
        count,
        as_printed(count > 0),
        f"runs of {len(loss)} that end at ‖g‖² < {CRITICAL:g} with index 0 and the loss ln 2 to "
        f"{SAME_LOSS:.0%}{where}; at θ = 0 all second derivatives of the data's loss vanish, the "
        "network having three layers, and only the penalty's are left",
    )
