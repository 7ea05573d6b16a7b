"""What the notebooks on Frye et al. 2021, Figs 3 to 5, say of their runs beside the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ...arrays import Array
from ...finders import FinderStopReason
from ...points.classes import PointClass
from ...runner.results import Results
from .claims import CRITICAL, LAST
from .ends import has_cliff, is_superlinear
from .gradient_flat import POINTS, SHARES, GradientFlat
from .panels import CLASSES

RESIDUALS = {
    "relative_residual": "r",
    "relative_residual_frobenius": "r, Frobenius norm",
    "residual_ratio": "‖Hp + g‖ / ‖g‖",
}
"""What a direction leaves of the gradient, measured in three ways."""

KERNEL = 0.1
"""Of ‖g‖², below which we say that hardly any of it lies in the kernel (chosen by us)."""


def _classes(results: Results) -> Iterator[tuple[str, str, int, Array]]:
    """Yield which iterates, their class, the place of both in the arrays, and which runs."""
    for k, point in enumerate(POINTS):
        for kind, (name, _) in CLASSES.items():
            runs = results["point_class"][:, k] == kind
            if np.any(runs):
                yield point, name, k, runs


def by_class(results: Results) -> pd.DataFrame:
    """Return medians over the runs of each class, at the flattest and at the last iterates.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.

    Returns
    -------
    DataFrame
        With the index (iterate, class).
    """
    rows = {}
    for point, name, k, runs in _classes(results):
        row = {"runs": np.sum(runs)}
        row["‖g‖²"] = np.median(results["point_squared_gradient_norm"][runs, k])
        for array, label in RESIDUALS.items():
            row[label] = np.nanmedian(results[f"point_{array}"][runs, k])
        for s, cutoff in enumerate(SHARES):
            row[f"share at |λ| < {cutoff:g}"] = np.nanmedian(results["gradient_share"][runs, k, s])
        rows[point, name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["iterate", "class"])


def shares(results: Results) -> str:
    """Return the share of ‖g‖² at small |λ| as text, a line for each class and iterate.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.
    """
    lines = ["median (largest) share of the gradient:"]
    for point, name, k, runs in _classes(results):
        # a point whose gradient is zero has none of it anywhere
        of = results["gradient_share"][runs, k]
        of = of[np.all(np.isfinite(of), axis=1)]
        found = ", ".join(
            f"{np.median(x):.2%} ({x.max():.1%}) at |λ| < {cutoff:g}"
            for cutoff, x in zip(SHARES, of.T, strict=True)
            if len(x)
        )
        lines.append(f"  {point}, {len(of)} {name}: {found}")
    return "\n".join(lines)


def stops(results: Results) -> pd.DataFrame:
    """Return why runs ended, how many, and the median r there.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.
    """
    frame = pd.DataFrame(
        {
            "why": [FinderStopReason(int(x)).sentence for x in results["stop_reason"]],
            "r": results["point_relative_residual"][:, LAST],
        }
    )
    found = frame.groupby("why")["r"].agg(["size", "median"])
    return found.set_axis(["runs", "median r at the end"], axis=1)


def summary(experiment: GradientFlat, results: Results, beside: pd.DataFrame, *more: str) -> str:
    """Return what is established, what is not and how we know, as Markdown.

    Parameters
    ----------
    experiment : GradientFlat
    results : Results
        Of that experiment.
    beside : DataFrame
        The paper's numbers beside ours (``page.Beside.frame``); empty for a reader's own data.
    *more : str
        Further sentences on what is established.
    """
    end = results["point_squared_gradient_norm"][:, LAST]
    lines = [f"{np.sum(end < CRITICAL)} of {len(end)} runs end at ‖g‖² < {CRITICAL:g}."]
    medians = by_class(results).loc["flattest"]
    low, high = (medians[f"share at |λ| < {cutoff:g}"] for cutoff in SHARES)
    if (flat := CLASSES[PointClass.STRICTLY_FLAT][0]) in medians.index:
        kernel = "hardly any" if low[flat] < KERNEL else "a good part"
        lines.append(
            f"At gradient-flat iterates {low[flat]:.2%} of ‖g‖² lies where |λ| < {SHARES[0]:g} and "
            f"{high[flat]:.1%} where |λ| < {SHARES[1]:g}, in the median: {kernel} of the gradient "
            "is in the kernel, and the solver's tolerance decides what it takes for zero."
        )
    if (critical := CLASSES[PointClass.CRITICAL][0]) in medians.index:
        lines.append(
            f"At critical ones {low[critical]:.1%} of what is left of the gradient lies where "
            f"|λ| < {SHARES[0]:g}."
        )
    known = [
        f"{len(end)} runs of at most {experiment.max_iterations} iterations from "
        f"{experiment.trajectories} trajectories; r is the solver's, at rtol = "
        f"{experiment.rtol:g}; the shares are those of a dense eigendecomposition.",
    ]
    if experiment.scale != "paper":
        known.append(f"The scale is “{experiment.scale}”: not the paper's settings.")
    return three_lists([*lines, *more], beside, known)


def three_lists(established: Sequence[str], beside: pd.DataFrame, known: Sequence[str]) -> str:
    """Return what is established, what is not, and how we know, as Markdown.

    Parameters
    ----------
    established, known : sequence of str
        Sentences.
    beside : DataFrame
        See ``summary``: what differs from the paper is not established.
    """
    held = beside["verdict"] == "reproduced"
    holds = [f"{held.sum()} of {len(held)} statements of the paper hold here."] * bool(len(held))
    differs = [
        f"{row['statement']}: {row['paper']} in the paper, {row['here']} here."
        for row in beside[~held].to_dict("records")
    ]
    nothing = "Nothing that the paper reports; no number of it is about these settings."
    parts = {
        "Established": [*established, *holds],
        "Not established": differs if len(beside) else [nothing],
        "How we know": known,
    }
    return "\n\n".join(
        "\n".join([f"**{title}**", "", *(f"- {item}" for item in items)])
        for title, items in parts.items()
    )


def cliffs(traces: Mapping[str, Array]) -> pd.DataFrame:
    """Return how many runs have a cliff, or are superlinear in the word's sense.

    Parameters
    ----------
    traces : dict of arrays (runs, iterations + 1)
        ‖g‖², by the name of what the runs have in common.
    """
    rows = {
        name: {
            "runs": len(runs),
            "with a cliff": has_cliff(runs).sum(),
            "superlinear": is_superlinear(runs).sum(),
        }
        for name, runs in traces.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def cliffs_by_rule(traces: Mapping[str, Array]) -> pd.DataFrame:
    """Return how many runs have a cliff by other rules: fewer or more decades, in other widths.

    Parameters
    ----------
    traces : dict
        See ``cliffs``.
    """
    rows = {
        (name, f"within {width} iterations"): {
            f"{decades:g} decades": has_cliff(runs, decades, width).sum()
            for decades in (4.0, 6.0, 8.0)
        }
        for name, runs in traces.items()
        for width in (5, 10, 20)
    }
    return pd.DataFrame.from_dict(rows, orient="index")
