"""What the experiment on degenerate saddles says on the numbers of Sankar & Balasubramanian 2018.

Eigenvalues are counted as in the paper's public code: zero are those that are so to the last bit.
Each number of a row is compared with the paper's by its mean and standard deviation over trials,
all of a row at the level of one. A row is "corrected" where the paper's mean has more negative
eigenvalues than there can be, or fewer zeros. Of an accuracy each mean has the binomial error of
10,000 test images besides, since ours are others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Array
from ...linalg.inertia import INDEX_TOLERANCE
from ...points.flat_directions import SIGNS, SOURCES
from ...runner.results import Measured, Results
from ...statistics import LEVEL, Comparison, means
from ..statements import Statements
from .digit_spectra import ROUNDING

N_TEST, TRIALS = 10_000, 8
"""Of the paper: test images of MNIST, and trials (section 3)."""

STATEMENTS = Statements("sankar_2018", globals())
measured = STATEMENTS.measured

QUANTITIES = ("positive", "zero", "negative", "accuracy")
"""In the order of the tables."""

PRINTED = {
    id: (entry["row"], {name: entry[name] for name in QUANTITIES if name in entry})
    for id, entry in STATEMENTS.printed.items()
    if "row" in entry
}
"""For each claim the row of the experiment, and what is printed: mean and standard deviation."""


def tables_and_figures(results: Results) -> dict[str, Measured]:
    """Return the claims whose rows the results of ``DegenerateSaddles`` hold."""
    rows = list(results.coordinates["row"])
    claims = figures(results)
    for id, (row, _) in PRINTED.items():
        if row in rows:
            claims |= table_row(id, results, rows.index(row))
    return claims


def table_row(id: str, results: Results, row: int) -> dict[str, Measured]:
    """Return the claim on one row of a table."""
    printed = PRINTED[id][1]
    compared: dict[str, Comparison] = {}
    listed, also = [], []
    verdict = None
    for name, (mean, spread) in printed.items():
        if name == "accuracy":
            values, error = results["accuracy"][row], np.sqrt(mean * (1.0 - mean) / N_TEST)
        else:
            values, error = results["counts"][row, :, 0, SIGNS.index(name)], 0.0
        level = LEVEL / len(printed)
        compared[name] = means(values, mean, spread, TRIALS, float(error), level)
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        own = written(name, compared[name].value, deviation)
        listed.append(f"{name} {own} against {written(name, mean, spread)}")
    numbers: dict[str, Any] = {"trials": results["accuracy"].shape[1], "listed": "; ".join(listed)}
    most = results["most_negative"][row]
    dead = results["sources"][row, :, SOURCES.index("dead inputs")].min()
    if set(printed) != {"accuracy"}:
        also, numbers = ["zeros"], numbers | zeros(results, row)
    if "single" in numbers:
        also.append("single")
    if "zero" in printed:
        also.append("forced")
        numbers |= {"dead": dead, "others": compared["zero"].value - dead}
        if shifts := results["sources"][row, :, SOURCES.index("softmax shift")].min():
            also.append("shifts")
            numbers["shifts"] = shifts
    # each trial keeps a bound, hence their mean does; half of the last digit is rounding
    if "negative" in printed and printed["negative"][0] - 0.5 > most:
        also.append("impossible")
        verdict, numbers = "corrected", numbers | {"most": most} | squared_error(results, row)
        theirs = printed["negative"][0] / (printed["negative"][0] + printed["positive"][0])
        numbers["theirs"] = theirs
        if "library" in numbers:
            also.append("library")
    if "zero" in printed and printed["zero"][0] + 0.5 < dead:
        verdict = "corrected"
        also.append("fewer")
    values = [c.value for c in compared.values()]
    value = values if len(values) > 1 else values[0]
    return measured(id, value, compared, *also, verdict=verdict, **numbers)


def squared_error(results: Results, row: int) -> dict[str, Any]:
    """Return by the fields of the text which share is negative with the public code's loss."""

    def share(signs: Array) -> str:
        nonzero = signs.sum(axis=1) - signs[:, SIGNS.index("zero")]
        of = signs[:, SIGNS.index("negative")] / nonzero
        return f"{of.mean():.1%} ± {np.std(of, ddof=1) if len(of) > 1 else 0.0:.1%}"

    method = results.coordinates["row"][row]
    small = results["small_signs"][:, results.coordinates["small_method"].index(method)]
    losses = results.coordinates["small_loss"]
    numbers = {
        "squared": share(small[losses.index("softmax_mse")]),
        "entropy": share(small[losses.index("cross_entropy")]),
        "small_trials": small.shape[1],
    }
    if method in results.coordinates["library_method"]:
        signs = results["library_signs"][results.coordinates["library_method"].index(method)]
        numbers |= {"library": share(signs), "library_trials": len(signs)}
    return numbers


def zeros(results: Results, row: int) -> dict[str, str]:
    """Return what is said of a row's zero eigenvalues, by the fields of the text."""
    rows = list(results.coordinates["row"])
    numbers = {
        "rounded": by_sign(results, row, ROUNDING),
        "loose": by_sign(results, row, INDEX_TOLERANCE),
    }
    if rows[row] == "momentum" and "single precision" in rows:
        numbers["single"] = by_sign(results, rows.index("single precision"), 0.0)
    named = zip(SOURCES, results["sources"][row].mean(axis=0), strict=True)
    return numbers | {"known": ", ".join(f"{count:g} {name}" for name, count in named if count)}


def by_sign(results: Results, row: int, tolerance: float) -> str:
    """Return how many eigenvalues are zero, positive and negative at a tolerance, in words."""
    t = list(results.coordinates["tolerance"]).index(tolerance)
    negative, zero, positive = results["counts"][row, :, t].mean(axis=0)
    return f"{zero:g} are zero, {positive:g} positive and {negative:g} negative"


def figures(results: Results) -> dict[str, Measured]:
    """Return the claims on Figs 2 and 3, from the small network's spectra during training."""
    from scipy.stats import spearmanr  # here, since it slows every start of the command

    eigenvalues, error = results["course_eigenvalues"], results["course_error"]
    negative = np.mean(eigenvalues < -INDEX_TOLERANCE, axis=-1)
    order = [
        # not defined where the share never changes
        float(spearmanr(e, share).statistic) if np.ptp(share) > 0.0 else 0.0
        for e, share in zip(error, negative, strict=True)
    ]
    together = min(order) > 0.5 and bool(np.all(negative[:, -1] < negative[:, 0]))
    epochs = results["course_epoch"][0]
    whole = np.flatnonzero(epochs == np.round(epochs))
    zero, exact = (
        np.sum(np.abs(eigenvalues[:, whole]) <= tau, axis=-1) for tau in (INDEX_TOLERANCE, ROUNDING)
    )
    grows = float(np.mean(np.diff(zero, axis=1) > 0))
    return measured(
        "s18-f2",
        float(np.mean(order)),
        together,
        interval=(min(order), max(order)),
        points=len(epochs),
        before=negative[:, 0].mean(),
        after=negative[:, -1].mean(),
    ) | measured(
        "s18-f3",
        grows,
        grows == 1.0,
        epochs=len(whole) - 1,
        before=zero[:, 0].mean(),
        after=zero[:, -1].mean(),
        of=eigenvalues.shape[-1],
        exact_before=exact[:, 0].mean(),
        exact_after=exact[:, -1].mean(),
    )


def written(name: str, mean: float, spread: float) -> str:
    """Return mean ± standard deviation as the paper prints them."""
    return f"{mean:.2%} ± {spread:.2%}" if name == "accuracy" else f"{mean:.0f} ± {spread:.0f}"
