"""The tables of ``degenerate_saddles``: mean ± standard deviation over the trials of each row."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...arrays import Array
from ...linalg.inertia import INDEX_TOLERANCE
from ...networks.mlp import MLP
from ...points.flat_directions import SIGNS, SOURCES
from ...runner.results import Results
from .claims import PRINTED
from .digit_spectra import ROUNDING

LOSSES = {"cross_entropy": "cross-entropy", "softmax_mse": "squared error"}
"""What networks with the public code's settings are trained to."""


def plus_minus(values: Array, form: str = ".0f") -> list[str]:
    """Return mean ± standard deviation over the trials of each row, (rows, trials); "" for NaN."""
    spread = np.std(values, axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
    return [
        f"{mean:{form}} ± {own:{form}}" if np.isfinite(mean) else ""
        for mean, own in zip(values.mean(axis=1), spread, strict=True)
    ]


def with_spectrum(results: Results) -> list[int]:
    """Return the places of the rows that have spectra."""
    return [i for i, counts in enumerate(results["counts"]) if np.isfinite(counts).all()]


def at_tolerance(results: Results, name: str, tolerance: float) -> Array:
    """Return an array (rows, trials, …) at one tolerance."""
    place = list(results.coordinates["tolerance"]).index(tolerance)
    return np.take(results[name], place, axis=2)


def parts(results: Results, tolerance: float) -> dict[str, Array]:
    """Return by source how many zeros (rows, trials) it makes, then the rescalings and the rest."""
    known = {name: results["sources"][..., k] for k, name in enumerate(SOURCES)}
    return known | {
        "rescaling": at_tolerance(results, "rescaled", tolerance),
        "the rest": at_tolerance(results, "rest", tolerance),
    }


def rows(results: Results) -> pd.DataFrame:
    """Return what Tables 1 to 9 list: eigenvalues by sign to the last bit, accuracy, epochs."""
    counts = at_tolerance(results, "counts", 0.0)
    epochs = np.isfinite(results["loss"]).sum(axis=-1) - 1
    return pd.DataFrame(
        {
            "parameters": results["n_parameters"][:, 0],
            **{sign: plus_minus(counts[..., k]) for k, sign in enumerate(SIGNS)},
            "accuracy": plus_minus(results["accuracy"], ".2%"),
            "epochs": epochs.mean(axis=1).round().astype(int),
            "‖∇L‖": [f"{x:.1e}" if x >= 0.0 else "" for x in results["gradient_norm"].mean(axis=1)],
        },
        index=list(results.coordinates["row"]),
    )


def negative(results: Results) -> pd.DataFrame:
    """Return how many eigenvalues lie below −τ, beside how many can be negative at most."""
    chosen, most = with_spectrum(results), results["most_negative"]
    columns = {"at most": ["" if np.isnan(most[i]) else f"{most[i]:.0f}" for i in chosen]}
    for tau in (0.0, ROUNDING, 1e-8, INDEX_TOLERANCE):
        counts = at_tolerance(results, "counts", tau)[chosen, :, 0]
        columns[f"below −{tau:g}" if tau else "below 0"] = plus_minus(counts)
    return pd.DataFrame(columns, index=[results.coordinates["row"][i] for i in chosen])


def rounded_signs(results: Results, row: str) -> pd.Series:
    """Return how many eigenvalues come out negative if errors of size τ decide the smaller signs.

    Of those within ±τ that are not zero to the last bit half are negative then. By τ, mean of the
    trials.
    """
    counts = results["counts"][list(results.coordinates["row"]).index(row)].mean(axis=0)
    tau = np.array(results.coordinates["tolerance"])
    negative = pd.Series(counts[:, 0] + 0.5 * (counts[:, 1] - counts[0, 1]), index=tau)
    return negative[(tau > 1e-9) & (tau < 1e-5)]


def negative_shares(results: Results) -> pd.DataFrame:
    """Return the share of negative eigenvalues, of those that are not zero, a row for each trial.

    Of networks with the settings of the paper's public code: the small ones trained to both losses,
    and the paper's own where it was trained.
    """
    signs = [
        (method, LOSSES[loss], results["small_signs"][i, j])
        for i, loss in enumerate(results.coordinates["small_loss"])
        for j, method in enumerate(results.coordinates["small_method"])
    ]
    for j, method in enumerate(results.coordinates["library_method"]):
        signs.append((method, f"{LOSSES['softmax_mse']}, 784-25-10", results["library_signs"][j]))
    found = [
        {"method": method, "trained to": loss, "negative": own[0] / (own[0] + own[2])}
        for method, loss, trials in signs
        for own in trials
    ]
    return pd.DataFrame(found)


def printed() -> pd.DataFrame:
    """Return the means that the paper prints of the methods on 784-25-10, and what they make.

    "left" are the eigenvalues that are neither positive nor negative, "negative" of the others the
    share "share".
    """
    rows: dict[str, dict[str, float]] = {}
    for row, numbers in PRINTED.values():
        own = rows.setdefault(row, {})
        own |= {name: numbers[name][0] for name in SIGNS if name in numbers and name not in own}
    table = pd.DataFrame.from_dict(rows, orient="index").dropna()
    table["left"] = MLP((784, 25, 10)).n_parameters - table.positive - table.negative
    return table.assign(share=table.negative / (table.negative + table.positive))
