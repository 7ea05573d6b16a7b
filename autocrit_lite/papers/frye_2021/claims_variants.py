"""What other settings and finders do to the numbers of Fig. 3 of Frye et al. 2021."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import Array
from ...runner.results import Results
from .claims import FLAT, LAST
from .ends import End


def other_settings(results: Results) -> dict[str, str]:
    """Return, by claim, what the runs repeated with other settings say on it.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    """
    squared = results["rerun_squared_gradient_norm"]
    iterations = results["rerun_iterations"][..., None]
    end = np.take_along_axis(squared, iterations, axis=-1)[..., 0]
    largest = np.nanmax(results["rerun_relative_residual"], axis=-1)
    flat = largest > FLAT
    lowest = np.where(flat, end, np.inf).min(axis=1)
    variants = results.coordinates["variant"]

    def shares(runs: Array) -> str:
        return each(variants, [f"{share:.0%}" for share in runs.mean(axis=1)])

    def sizes(values: Array) -> str:
        return each(variants, [f"{x:.2g}" if np.isfinite(x) else "none" for x in values])

    some = f"{end.shape[1]} of the starts run again with other settings: "
    found = {
        f"f21-ae-{id}": some + shares(largest > level)
        for id, level in (("half", 0.5), ("09", FLAT), ("099", 0.99))
    }
    found["f21-ae-bulk"] = some + shares(end < 1e-6)
    found["f21-ae-blue"] = some + f"lowest of those with some r > {FLAT:g} " + sizes(lowest)
    found["f21-ae-norm"] = (
        "neither the initial weights nor the scaling of the images are stated; the largest ‖g‖² of "
        f"{end.shape[1]} starts: " + sizes(squared[..., 0].max(axis=1))
    )
    critical = results["rerun_end"] == End.CRITICAL
    loss, index = (results[name][..., LAST] for name in ("rerun_value", "rerun_index"))
    places = [
        f"{own.sum()} (loss, index {pairs(loss[v][own], index[v][own])})" if own.any() else "0"
        for v, own in enumerate(critical)
    ]
    found["f21-ae-mean"] = some + "critical ends " + each(variants, places)
    return found


def other_finders(results: Results) -> dict[str, str]:
    """Return what the finders of ``FinderComparison`` say on critical points of Fig. 3's network.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``.
    """
    k = results.coordinates["network"].index("mnist_autoencoder")
    below = np.isfinite(results["cutoff_cost"][k, ..., 0])
    places = [
        f"{name} {own.sum()} (loss, index {pairs(value[own], index[own])})"
        for name, own, value, index in zip(
            results.coordinates["finder"],
            below,
            results["value"][k],
            results["index"][k],
            strict=True,
        )
        if own.any()
    ]
    text = f"other finders come below it from {below.shape[1]} starts, and end: "
    return {"f21-ae-mean": text + (", ".join(places) or "none")}


def each(variants: Sequence[str], texts: Sequence[str]) -> str:
    """Return a text for each variant, after its name."""
    return ", ".join(f"{text} with {name}" for name, text in zip(variants, texts, strict=True))


def pairs(x: Array, y: Array) -> str:
    """Return pairs of numbers as a text."""
    return "; ".join(f"{a:.3g}, {b:.2g}" for a, b in zip(x, y, strict=True))
