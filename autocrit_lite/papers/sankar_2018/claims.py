"""What the experiment on degenerate saddles says on the numbers of Sankar & Balasubramanian 2018.

Eigenvalues are counted as in the paper's public code: zero are those that are so to the last bit.
A number of the paper is an interval here, its mean ± 2 standard deviations over 8 trials, and so
is ours over our trials; "reproduced" means that they overlap, for every number of a row, and
"corrected" that the paper's has more negative eigenvalues than there can be with the cross-entropy
that it states, or fewer zeros than there must be. Of an accuracy the paper's error is at least the
binomial one of its 10,000 test images, as ours are others.
"""

from __future__ import annotations

import numpy as np

from ...arrays import Array
from ...linalg.inertia import INDEX_TOLERANCE
from ...points.flat_directions import SIGNS, SOURCES
from ...runner.results import Measured, Results
from ...statistics import deviation, two_deviations, verdict
from .digit_spectra import ROUNDING

N_TEST = 10_000

Printed = dict[str, tuple[float, float]]
"""Mean and standard deviation of each quantity that a table has."""


def _row(name: str, **quantities: tuple[float, float]) -> tuple[str, Printed]:
    return name, quantities


PRINTED: dict[str, tuple[str, Printed]] = {
    "s18-t1-momentum": _row(
        "momentum", positive=(15877, 17), negative=(2383, 16), accuracy=(0.9635, 0.0002)
    ),
    # Table 1 prints "96 ± 04", Table 3 the accuracy
    "s18-t1-adam": _row(
        "Adam", positive=(15958, 80), negative=(2274, 80), accuracy=(0.9604, 0.0002)
    ),
    "s18-t1-adagrad": _row(
        "Adagrad", positive=(15136, 23.76), negative=(3123, 23.79), accuracy=(0.95, 0.0006)
    ),
    "s18-t3-momentum": _row("momentum", zero=(1620, 8)),
    "s18-t3-adam": _row("Adam", zero=(1625, 2)),
    "s18-t3-adagrad": _row("Adagrad", zero=(1625, 6)),
    "s18-t5": _row(
        "noisy SGD",
        positive=(15546, 77),
        zero=(1625, 3),
        negative=(2713, 77),
        accuracy=(0.9647, 0.0014),
    ),
    # "≈ 1625": taken to be within 1 %
    "s18-sfn": _row("saddle-free Newton", zero=(1625, 8)),
    "s18-t7-he": _row("He", zero=(1625, 0), accuracy=(0.9602, 0.001)),
    "s18-t7-normal": _row("momentum", zero=(1625, 0), accuracy=(0.9615, 0.0007)),
    "s18-t7-xavier": _row("Xavier", zero=(1529, 9), accuracy=(0.9621, 0.002)),
    "s18-t7-orthogonal": _row("orthogonal", zero=(1571, 11), accuracy=(0.9607, 0.0003)),
    "s18-t8-2": _row("2 hidden layers", zero=(1847, 63), accuracy=(0.9597, 0.0002)),
    "s18-t8-3": _row("3 hidden layers", zero=(2119, 17), accuracy=(0.9606, 0.0004)),
    "s18-t9-50": _row("width × 2", accuracy=(0.9703, 0.0016)),
    "s18-t9-100": _row("width × 4", accuracy=(0.9762, 0.0016)),
    "s18-t9-250": _row("width × 10", accuracy=(0.9778, 0.0013)),
}
"""For each claim the row of the experiment, and what is printed."""


def tables_and_figures(results: Results) -> dict[str, Measured]:
    """Return the claims whose rows the results of ``DegenerateSaddles`` hold."""
    rows = list(results.coordinates["row"])
    found = {
        name: table_row(results, rows.index(row), printed)
        for name, (row, printed) in PRINTED.items()
        if row in rows
    }
    return {**found, **figures(results)}


def table_row(results: Results, row: int, printed: Printed) -> Measured:
    """Return the claim on one row of a table."""
    means, parts, found, ours = [], [], "reproduced", (0.0, 0.0)
    for name, (mean, spread) in printed.items():
        if name == "accuracy":
            values = results["accuracy"][row]
            error = max(spread, float(np.sqrt(mean * (1.0 - mean) / N_TEST)))
        else:
            values, error = results["counts"][row, :, 0, SIGNS.index(name)], spread
        means.append(float(np.mean(values)))
        ours = two_deviations(means[-1], deviation(values))
        if verdict(ours, two_deviations(mean, error)) == "differs":
            found = "differs"
        own, paper = written(name, means[-1], deviation(values)), written(name, mean, spread)
        parts.append(f"{name} {own} against {paper}")
    why = "; ".join(parts)
    if set(printed) != {"accuracy"}:
        why += zeros(results, row)
    most = results["most_negative"][row]
    mean, spread = printed.get("negative", (0.0, 0.0))
    if mean - 2 * spread > most:
        found = "corrected"
        why += (
            f". At most {most:g} can be negative with the cross-entropy that the paper states: "
            "with the last layer's weights held it is a convex function of all other parameters "
            f"wherever no unit switches, see most_negative. {squared_error(results, row, printed)}"
        )
    dead, shifts = (
        results["sources"][row, :, SOURCES.index(source)].min()
        for source in ("dead inputs", "softmax shift")
    )
    if "zero" in printed and np.all(results["counts"][row, :, 0, SIGNS.index("zero")] == dead):
        why += (
            ". All that are zero to the last bit are of the images: the weights from pixels that "
            f"are 0 in every image make {dead:g} rows of zeros, whatever the method, the start and "
            "the end of training"
        )
    mean, spread = printed.get("zero", (np.inf, 0.0))
    if mean + 2 * spread < dead + shifts:
        found = "corrected"
        why += (
            f". No fewer than {dead + shifts:g} can be zero: beside those rows softmax does not "
            f"see {shifts:g} shifts of the last layer"
        )
    return Measured(
        means if len(means) > 1 else means[0],
        found,
        f"{results['accuracy'].shape[1]} trials, mean ± standard deviation: {why}",
        ours if len(printed) == 1 else None,
    )


def squared_error(results: Results, row: int, printed: Printed) -> str:
    """Return which share of a method's eigenvalues is negative with the loss of the public code."""

    def share(signs: Array) -> str:
        of = signs[:, SIGNS.index("negative")] / (signs.sum(axis=1) - signs[:, SIGNS.index("zero")])
        return f"{of.mean():.1%} ± {deviation(of):.1%}"

    method = results.coordinates["row"][row]
    small = results["small_signs"][:, list(results.coordinates["small_method"]).index(method)]
    losses = list(results.coordinates["small_loss"])
    softmax, entropy = (share(small[losses.index(x)]) for x in ("softmax_mse", "cross_entropy"))
    own = ""
    if method in results.coordinates["library_method"]:
        signs = results["library_signs"][results.coordinates["library_method"].index(method)]
        negative = signs[:, SIGNS.index("negative")]
        counted = written("negative", float(negative.mean()), deviation(negative))
        own = f"; in the paper's network {counted} are, {share(signs)} ({len(signs)} trials)"
    theirs = printed["negative"][0] / (printed["negative"][0] + printed["positive"][0])
    return (
        "The paper's public code names no loss, and the library in it then takes the mean squared "
        "error of softmax's outputs, of which this is not true. Of the eigenvalues that are not "
        f"zero the paper has {theirs:.1%} negative; a small network that is trained to the squared "
        f"error, with that library's settings, {softmax}, and to the cross-entropy {entropy} "
        f"({small.shape[1]} trials){own}"
    )


def zeros(results: Results, row: int) -> str:
    """Return what is said of a row's zero eigenvalues."""
    rows, taus = list(results.coordinates["row"]), (ROUNDING, INDEX_TOLERANCE)
    counted = "".join(f"; within {tau:g} {by_sign(results, row, tau)}" for tau in taus)
    if rows[row] == "momentum" and "single precision" in rows:
        single = by_sign(results, rows.index("single precision"), 0.0)
        counted += f"; with the Hessian rounded to single precision {single}, to the last bit"
    sources = results["sources"][row].mean(axis=0)
    named = zip(SOURCES, sources, strict=True)
    known = ", ".join(f"{count:g} {name}" for name, count in named if count)
    return f". Zero to the last bit{counted}. Null vectors that are known beforehand: {known}"


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
    grows = np.mean(np.diff(zero, axis=1) > 0)
    return {
        "s18-f2": Measured(
            float(np.mean(order)),
            "reproduced" if together else "differs",
            "rank correlation of the share of misclassified images with the share of eigenvalues "
            f"below −{INDEX_TOLERANCE:g}, over {len(epochs)} points of training, mean of the "
            "trials, on MNIST; reproduced: above 0.5 in each, and the share falls from "
            f"{negative[:, 0].mean():.3f} to {negative[:, -1].mean():.3f}",
            (min(order), max(order)),
        ),
        "s18-f3": Measured(
            float(grows),
            "reproduced" if grows == 1.0 else "differs",
            f"share of the {len(whole) - 1} epochs in which the number of eigenvalues within "
            f"{INDEX_TOLERANCE:g} grows; from {zero[:, 0].mean():g} to {zero[:, -1].mean():g} of "
            f"{eigenvalues.shape[-1]}, and within {ROUNDING:g} from {exact[:, 0].mean():g} to "
            f"{exact[:, -1].mean():g}",
        ),
    }


def written(name: str, mean: float, spread: float) -> str:
    """Return mean ± standard deviation as the paper prints them."""
    return f"{mean:.2%} ± {spread:.2%}" if name == "accuracy" else f"{mean:.0f} ± {spread:.0f}"
