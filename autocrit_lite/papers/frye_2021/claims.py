"""What the experiments on gradient-flat regions say on the numbers of Frye et al. 2021.

A share of the paper's runs is an interval here: the binomial one of as many runs as the paper's.
Ours is "reproduced" where the two intervals overlap. r is the solver's relative residual, which the
paper's code recorded, and a point's class that of Table 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arrays import Array
from ...ground_truth.plane import PLANE_TOLERANCE, plane_distance
from ...points.classes import PointClass, is_gradient_flat
from ...runner.results import Measured, Results
from ...statistics import REPLICATES, Interval, binomial, quantiles, verdict
from .gradient_flat import CUTOFFS, POINTS

CRITICAL = 1e-8
"""On ‖g‖², below which a point is approximately critical (Frye et al. 2021, Table 1)."""

FLAT = 0.9
"""On r, above which a point is called flat in Figs 3 to 5."""

FLATTEST, LAST = (POINTS.index(name) for name in ("flattest", "last"))

SAME_LOSS = 1e-2
"""Relative difference of losses that count as equal (chosen by us: the paper judges by eye)."""

LOW_INDEX = 0.25
"""Below which an index is called low (chosen by us)."""

LOOSE = 1e-2
"""On ‖g‖², the cut-off that is too loose in Fig. 1B (chosen by us: the paper's is not stated)."""

MANY = 3.0
"""Decades that are "many orders of magnitude" (chosen by us)."""


STEEP, ORDER = 0.1, 1.5
"""Of ``is_superlinear``. Fixed on the runs of the quartic, of which it takes none that ends away
from the critical point for superlinear."""

CLIFF_DECADES, CLIFF_WIDTH = 6.0, 10
"""Of ``has_cliff``: decades of ‖g‖² within iterations. Fixed on the quartic, where they part the
runs to the critical point from the others, and on the linear network, where they mark the falls
that the eye sees. How many runs of the latter have a cliff depends on them."""


def has_cliff(
    squared_gradient_norm: Array, decades: float = CLIFF_DECADES, width: int = CLIFF_WIDTH
) -> Array:
    """Return which runs (runs, K) fall off a cliff, as Fig. 1A's runs do, booleans (runs,).

    Their ‖g‖² falls by so many decades or more within ``width`` successive iterations. With the
    rule's own numbers ‖g‖ is halved by each of them on average.

    Examples
    --------
    >>> fast, slow = 10.0 ** -np.arange(20.0), 0.5 ** np.arange(20.0)
    >>> has_cliff(np.stack([fast, slow])).tolist()
    [True, False]
    """
    above_zero = np.maximum(squared_gradient_norm, np.finfo(np.float64).tiny)
    height = np.log10(np.fmin.accumulate(above_zero, axis=1))  # NaN after a run's end: its last
    width = min(width, height.shape[1] - 1)
    return np.any(height[:, :-width] - height[:, width:] >= decades, axis=1)


def is_superlinear(squared_gradient_norm: Array) -> Array:
    """Return which runs (runs, K) converge superlinearly somewhere, booleans (runs,).

    They have two successive steps, of which the first reduces ‖g‖ to a tenth or less, the second by
    that factor to the power 1.5 or more: ‖g‖ falls faster and faster, as Newton's method makes it
    where it converges quadratically. A step that lands at the limit of rounding may hide it. This
    is what the word means; ``has_cliff`` is what the paper's figure shows.

    Examples
    --------
    >>> quadratic, linear = 10.0 ** -(2.0 ** np.arange(6)), 10.0 ** -np.arange(6.0)
    >>> is_superlinear(np.stack([quadratic, linear]) ** 2).tolist()
    [True, False]
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 where a run ends, NaN after its end
        fall = np.diff(0.5 * np.log(squared_gradient_norm), axis=1)
        steeper = fall[:, 1:] <= ORDER * fall[:, :-1]
    return np.any((fall[:, :-1] <= np.log(STEEP)) & steeper, axis=1)


def figure_1(results: Results, linear: int, nonlinear: int) -> dict[str, Measured]:
    """Return the claims on Fig. 1.

    Parameters
    ----------
    results : Results
        Of ``LinearVsNonlinear``.
    linear, nonlinear : int
        The two networks' places in the dimension "network".
    """
    end = results["point_squared_gradient_norm"][..., LAST]
    histories = results["squared_gradient_norm"]
    cliff, fast = (np.stack([rule(x) for x in histories]) for rule in (has_cliff, is_superlinear))
    distance = plane_distance(
        results["cutoff_index"][linear],
        results["cutoff_loss"][linear],
        results["true_index"],
        results["true_loss"],
    )
    strict, loose = (
        float(np.nanquantile(x, 0.95)) if np.any(np.isfinite(x)) else np.nan
        for x in (distance[:, CUTOFFS.index(c)] for c in (CRITICAL, LOOSE))
    )
    below = end[linear] < CRITICAL
    low, high = binomial(int(below.sum()), len(below))
    as_printed = low > 0.5 and strict < PLANE_TOLERANCE <= loose
    decades = float(np.log10(np.median(end[nonlinear]) / np.median(end[linear])))
    marked = (cliff | fast)[nonlinear]
    count = int(marked.sum())
    where = f", and end at ‖g‖² = {end[nonlinear][marked].min():.2g} or above" if count else ""
    return {
        "f21-linear": Measured(
            [float(below.mean()), strict, loose],
            "reproduced" if as_printed else "differs",
            f"share of {len(below)} runs with binomial interval; {cliff[linear].mean():.0%} of all "
            f"have a cliff, where ‖g‖² falls by {CLIFF_DECADES:g} decades within {CLIFF_WIDTH} "
            f"iterations, {fast[linear].mean():.0%} are superlinear in the word's sense, ‖g‖ "
            "falling faster and faster over two steps; 95 % quantile of the distance in the plane "
            f"from the nearest true (index, loss) where ‖g‖² falls below {CRITICAL:g} and "
            f"{LOOSE:g}, small being below {PLANE_TOLERANCE:g}",
            (low, high),
        ),
        "f21-nonlinear": Measured(
            [count, decades],
            "reproduced" if count == 0 and decades >= MANY else "differs",
            f"runs of {fast.shape[1]} that have a cliff or are superlinear{where}; decades between "
            f"the two networks' medians of the last ‖g‖², {np.median(end[nonlinear]):.2g} and "
            f"{np.median(end[linear]):.2g}; many are {MANY:g} or more",
        ),
    }


def figure_3(results: Results) -> dict[str, Measured]:
    """Return the claims on the autoencoder of MNIST images: Fig. 3, sections 3 and 4.1.

    Parameters
    ----------
    results : Results
        Of ``MnistAutoencoder``.
    """
    largest = np.nanmax(results["relative_residual"], axis=1)
    ratio = np.nanmax(results["residual_ratio"], axis=1)
    found = {}
    for id, level, printed in (("half", 0.5, 99), ("09", FLAT, 89), ("099", 0.99, 50)):
        why = (
            f"r > {level:g} as the solver gives it at rtol = 5e-4; with the plain ratio "
            f"‖Hp + g‖/‖g‖ in place of r it is {np.mean(ratio > level):.0%}"
        )
        found[f"f21-ae-{id}"] = share(largest > level, printed, 100, why)
    return found | _norms(results) | _loss_and_index(results) | _at_the_mean(results)


def share(runs: Array, printed: int, of: int, why: str) -> Measured:
    """Return a share of runs beside a printed count, both with their binomial intervals."""
    low, high = binomial(int(runs.sum()), len(runs))
    agrees = verdict((low, high), binomial(printed, of))
    text = f"{int(runs.sum())} of {len(runs)} runs; {why}; binomial intervals"
    return Measured(float(runs.mean()), agrees, text, (low, high))


def _norms(results: Results) -> dict[str, Measured]:
    end = results["point_squared_gradient_norm"][:, LAST]
    r = results["point_relative_residual"][:, LAST]
    of_training = results["train_squared_gradient_norm"]
    least, most = float(np.nanmin(of_training)), float(np.nanmax(of_training))
    found = {}
    strict = end[results["point_class"][:, LAST] == PointClass.STRICTLY_FLAT]
    if len(strict):
        low, high = quantiles(strict)
        as_printed = low <= 2e-5 <= high and _near(least, 1e-4) and _near(most, 5e1)
        found["f21-ae-norm"] = Measured(
            [float(np.median(strict)), least, most],
            "reproduced" if as_printed else "differs",
            f"median of the {len(strict)} runs whose last iterate is strictly flat, with the "
            "middle 95 % of them; least and most in training, which are taken to agree within a "
            "factor of 5",
            (low, high),
        )
    flat = end[r > FLAT]
    if len(flat):
        found["f21-ae-blue"] = Measured(
            float(flat.min()),
            "reproduced" if flat.min() < CRITICAL else "differs",
            f"lowest of the {len(flat)} runs that end at r > {FLAT:g}; the paper's is that of one "
            f"run, and any below {CRITICAL:g} counts as the same",
        )
    place = float(np.mean(end < 1e-6))
    low, high = binomial(int(np.sum(end < 1e-6)), len(end))
    found["f21-ae-bulk"] = Measured(
        place,
        "reproduced" if 0.25 <= place <= 0.75 else "differs",
        'the share of runs that end below it; "the middle" is taken to be the middle half',
        (low, high),
    )
    return found


def _near(value: float, printed: float) -> bool:
    return printed / 5 <= value <= printed * 5


def _loss_and_index(results: Results) -> dict[str, Measured]:
    """Return whether loss grows with index, and convexly, at the flattest and last iterates."""
    index, loss = results["point_index"], results["point_value"]
    ranks, bends = zip(*(shape(index[:, k], loss[:, k]) for k in (FLATTEST, LAST)), strict=True)
    grows = [low > 0 for _, (low, _) in ranks]
    convex = [low > 0 for _, (low, _) in bends]
    alike = verdict(ranks[0][1], ranks[1][1]) == "reproduced"
    text = (
        "rank correlation of loss and index, and the quadratic term of the least-squares parabola"
    )
    return {
        "f21-ae-convex": Measured(
            [ranks[0][0], bends[0][0]],
            "reproduced" if grows[0] and convex[0] else "differs",
            f"{text} (both scaled to their ranges); bootstrap interval of the first, of the "
            f"second {bends[0][1][0]:.2g} to {bends[0][1][1]:.2g}; yes if both are above 0; the "
            "paper judges by eye",
            ranks[0][1],
        ),
        "f21-ae-last": Measured(
            [ranks[1][0], bends[1][0]],
            "reproduced"
            if alike and grows == [grows[0]] * 2 and convex == [convex[0]] * 2
            else "differs",
            f"{text}, at the last iterates; bootstrap interval of the first, of the second "
            f"{bends[1][1][0]:.2g} to {bends[1][1][1]:.2g}; yes if the signs are those at the "
            "flattest iterates and the intervals of the first overlap",
            ranks[1][1],
        ),
    }


def shape(index: Array, loss: Array) -> tuple[tuple[float, Interval], tuple[float, Interval]]:
    """Return rank correlation and curvature of loss over index (runs,), with bootstrap intervals.

    The curvature is the quadratic term of the least-squares parabola, both variables scaled to
    their ranges; NaN with fewer than three different indices.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(index), (REPLICATES, len(index)))

    def interval(statistic: Callable[[Array, Array], float]) -> tuple[float, Interval]:
        values = np.array([statistic(index[rows], loss[rows]) for rows in drawn])
        values = values[np.isfinite(values)]
        ends = quantiles(values) if len(values) else (np.nan, np.nan)
        return statistic(index, loss), ends

    return interval(_rank_correlation), interval(_curvature)


def _rank_correlation(x: Array, y: Array) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def _curvature(x: Array, y: Array) -> float:
    if len(np.unique(x)) < 3 or np.ptp(y) == 0.0:
        return np.nan
    u, v = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    return float(np.linalg.lstsq(np.vander(u, 3), v, rcond=None)[0][0])


def _at_the_mean(results: Results) -> dict[str, Measured]:
    critical = results["point_class"][:, LAST] == PointClass.CRITICAL
    loss, index = results["point_value"][critical, LAST], results["point_index"][critical, LAST]
    if not len(loss):
        return {
            "f21-ae-mean": Measured(
                0, "differs", f"no run ends at an approximately critical point, ‖g‖² < {CRITICAL:g}"
            )
        }
    mean = float(results["mean_loss"])
    same = np.abs(loss / mean - 1.0) < SAME_LOSS
    low = (index > 0) & (index < LOW_INDEX)
    return {
        "f21-ae-mean": Measured(
            float(np.mean(same & low)),
            "reproduced" if np.all(same & low) else "differs",
            f"share of the {len(loss)} runs that end at ‖g‖² < {CRITICAL:g} for which both hold: "
            f"{same.sum()} have the loss {mean:.4g} of the mean output to {SAME_LOSS:.0%}, "
            f"{low.sum()} an index above 0 and below {LOW_INDEX:g}; losses {loss.min():.4g} to "
            f"{loss.max():.4g}, indices {index.min():.3g} to {index.max():.3g}",
        )
    }


def figure_4(results: Results, autoencoder: Results | None) -> dict[str, Measured]:
    """Return the claims on the classifier: Fig. 4, A.1 and A.5.

    Parameters
    ----------
    results : Results
        Of ``MnistClassifier``.
    autoencoder : Results, optional
        Of ``MnistAutoencoder`` at the same scale: its ends are compared with.
    """
    largest = np.nanmax(results["relative_residual"], axis=1)
    ratio = np.nanmax(results["residual_ratio"], axis=1)
    why = (
        "r as the solver gives it at rtol = 5e-4; the paper's runs are taken to be 100; with the "
        f"plain ratio ‖Hp + g‖/‖g‖ in place of r it is {np.mean(ratio > FLAT):.0%}"
    )
    accuracy, logistic = results["accuracy"], float(results["logistic_accuracy"])
    ours = binomial(round(logistic * int(results["n_labels"])), int(results["n_labels"]))
    found = {
        "f21-cls-09": share(largest > FLAT, 90, 100, why),
        "f21-cls-acc": Measured(
            float(accuracy.max()),
            "reproduced" if accuracy.max() > 0.9 else "differs",
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
    }
    return found | ends_compared(results, autoencoder)


def ends_compared(results: Results, autoencoder: Results | None) -> dict[str, Measured]:
    """Return whether fewer runs of the classifier end at a flat point than of the autoencoder."""
    if autoencoder is None:
        text = "no results of mnist_autoencoder at this scale to compare with"
        return {"f21-cls-end": Measured(None, "not possible here", text)}
    ours, theirs = (_flat(x, "point_")[:, LAST] for x in (results, autoencoder))
    low, high = binomial(int(ours.sum()), len(ours))
    other = binomial(int(theirs.sum()), len(theirs))
    return {
        "f21-cls-end": Measured(
            [float(ours.mean()), float(theirs.mean())],
            "reproduced" if high < other[0] else "differs",
            f"shares of the {len(ours)} runs here and the {len(theirs)} of Fig. 3 whose last "
            "iterate is approximately flat by Table 1, critical or not; fewer if the binomial "
            f"intervals are apart, theirs being {other[0]:.2f} to {other[1]:.2f}; the paper states "
            "neither λ nor how long the networks were trained, nor how many runs it made",
            (low, high),
        )
    }


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
    met = _flat(results).any(axis=1)
    r = np.nanmax(results["relative_residual"], axis=1)
    return {
        "f21-mem-n": Measured(
            [n, samples],
            "reproduced" if (n, samples) == (1160, 50) else "differs",
            "the lengths of θ and of the labels",
        ),
        "f21-mem-train": Measured(
            [low, high],
            "reproduced" if low >= 48 and high <= samples == 50 else "differs",
            f"fewest and most over {len(correct)} networks",
        ),
        "f21-mem-end": share(end >= CRITICAL, 33, 50, f"‖g‖² ≥ {CRITICAL:g} at the end"),
        "f21-mem-flat": share(
            met,
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
    loss, index = results["point_value"][:, LAST], results["point_index"][:, LAST]
    guess = np.abs(loss / np.log(2.0) - 1.0) < SAME_LOSS
    count = int(np.sum(critical & guess & (index == 0)))
    size = np.linalg.norm(results["theta_point"][critical & guess, LAST], axis=-1)
    where = f", ‖θ‖ there up to {size.max():.2g}" if len(size) else ""
    return Measured(
        count,
        "reproduced" if count else "differs",
        f"runs of {len(loss)} that end at ‖g‖² < {CRITICAL:g} with index 0 and the loss ln 2 to "
        f"{SAME_LOSS:.0%}{where}; at θ = 0 all second derivatives of the data's loss vanish, the "
        "network having three layers, and only the penalty's are left",
    )
