"""The figures on critical loci, each from results; they only draw."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...ground_truth import critical_locus as locus
from ...networks.mlp import MLP
from ...plotting import CRITICAL, FOUND, LINE_WIDTH, NEITHER, TRUE, legend, style
from ...runner.results import Results
from .locus_motion import FRYE, POINTS, SEARCHED
from .locus_tables import curves, found_points, network, on_plane, table

LOCUS_COLORS = {"star": "#88CCEE", "core": "#44AA99", "3-core": "#882255"}
"""By the number of indices, one to three; the colours of classes of points are kept for those."""

KIND_COLORS = {"minimum": FOUND, "mean output": CRITICAL, "other": TRUE}

PROMISED = {"Corollary 5.16": ("printed", "--"), "Corollary 5.18": ("uniform", ":")}

KINDS = {
    "S_1": "$S_1$",
    "S_2": "$S_2$",
    "C_12": "$C_{12}$",
    "S_1, M_2 of low rank": "$S_1$, $M_2$ of low rank",
    "S_1, M_2 small": "$S_1$, $M_2$ small",
    "σ′ = 0": "units at the minimum of swish",
    "found": "Newton-MR from near the loci",
    "trained": "Newton-MR from training",
}
"""What the figure calls the kinds of points on Frye's plane."""


def zeroed_layers(net: MLP) -> Figure:
    """Draw which weights and biases each locus sets to zero: a row for each locus of a network."""
    depth = len(net.shapes)
    loci = [k for m in range(1, depth) for k in combinations(range(1, depth), m)]
    height = max(net.layers) + 1.5
    with style():
        figure, ax = plt.subplots(figsize=(8.0, 0.55 * len(loci) + 0.6))
        for row, indices in enumerate(loci):
            fixed, x, y = locus.fixed_coordinates(net, indices), 0.0, -row * height
            for layer, (parts, (out, into)) in enumerate(
                zip(net.slices, net.shapes, strict=True), start=1
            ):
                for part, letter, width in zip(parts, "Mb", (into, 1), strict=True):
                    held = fixed[part].all()
                    text = (
                        ""
                        if not held
                        else r"$\bar y$"
                        if letter + str(layer) == f"b{depth}"
                        else "0"
                    )
                    color = "white" if held else LOCUS_COLORS["star"]
                    ax.add_patch(Rectangle((x, y - out), width, out, fc=color, ec=NEITHER, lw=0.6))
                    ax.text(x + width / 2, y - out / 2, text, ha="center", va="center", fontsize=7)
                    if row == 0:
                        name = f"${letter}_{layer}$"
                        ax.text(x + width / 2, 0.4, name, ha="center", va="bottom")
                    x += width + 1.0
                x += 2.0
            letter = "S" if len(indices) == 1 else "C"
            name = rf"${letter}_{{{''.join(map(str, indices))}}}$"
            ax.text(-1.0, y - height / 2, name, ha="right", va="center")
            free = f"{locus.dimension(net, indices)} of {net.n_parameters} free"
            ax.text(x, y - height / 2, free, va="center")
        ax.set(xlim=(-3.0, x + 8.0), ylim=(-len(loci) * height, 2.0), aspect="equal")
        ax.axis("off")
    return figure


def escape(results: Results, rules: tuple[str, ...], limit: int) -> Figure:
    """Draw the steps that runs take to leave a locus against the distance they start from.

    Lines are medians, one for each depth; triangles are runs that had not left after ``limit``.
    """
    runs, steps = table(results, "escape"), results["escape_steps"]
    with style():
        figure, axes = plt.subplots(1, len(rules), figsize=(8.0, 3.0), sharey=True, squeeze=False)
        for ax, rule in zip(axes[0], rules, strict=True):
            for _, own in runs[runs.rule == rule].groupby(["count", "depth"]):
                name = _names(own)[0]
                color, here = LOCUS_COLORS[name], steps[own.index]
                x, left = np.repeat(own.distance, here.shape[1]), np.isfinite(here).ravel()
                ax.scatter(x[left], here.ravel()[left] + 1, s=5, color=color, lw=0, alpha=0.35)
                ax.scatter(
                    x[~left], np.full(np.sum(~left), limit), s=14, marker="^", color=color, lw=0
                )
                median = np.median(np.where(np.isfinite(here), here, np.inf), axis=1)
                shown = np.isfinite(median)
                ax.plot(own.distance[shown], median[shown] + 1, color=color, lw=2 * LINE_WIDTH)
            ax.set(
                xscale="log", yscale="log", xlabel="distance at the start", title=f"{rule} descent"
            )
        axes[0, 0].set_ylabel("steps until it has left")
        legend(axes[0, 0], {name: LOCUS_COLORS[name] for name in _names(runs)}, loc="upper right")
    return figure


def _names(runs: pd.DataFrame) -> list[str]:
    """Return what the loci of a table are called, by their number of indices."""
    return [list(LOCUS_COLORS)[count - 1] for count in sorted(runs["count"].unique())]


def growth(results: Results, samples: int) -> Figure:
    """Draw dimensions in networks 2-m-m-m-2 against the width m (Propositions 6.1 and 6.2)."""
    lines = {
        "global minima": ("M", "#767676", lambda m: 2 * m**2 + 7 * m + 2 * (1 - samples)),
        "star locus": ("S", LOCUS_COLORS["star"], lambda m: 2 * m**2),
        "core locus": ("C", LOCUS_COLORS["core"], lambda m: m**2),
        "linear space": ("linear space", "#AA4499", lambda m: 2 * (m + 1 - samples)),
    }
    found = curves(table(results, "dimension"), table(results, "minimum"))
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 3.4))
        for name, (key, color, formula) in lines.items():
            own = found[key].drop_duplicates("width").sort_values("width")
            ax.plot(own.width, formula(own.width), color=color, lw=1.2)
            ax.plot(own.width, own.measured, "o", color=color, ms=4)
            up = 1.1 if key == "M" else 0.94  # or the first two would collide
            ax.text(own.width.iloc[-1] + 0.4, up * own.measured.iloc[-1], name, va="center")
            if "printed" in own:
                ax.plot(own.width, own.printed, color=color, lw=1.2, ls="--")
        ax.plot([], [], color=TRUE, label="formula")
        ax.plot([], [], color=TRUE, ls="--", label="as Proposition 6.1 prints it")
        ax.set(yscale="log", xlabel="width $m$", ylabel="dimension", xticks=own.width)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.55))
    return figure


def zeros(results: Results) -> Figure:
    """Draw zero eigenvalues at found critical points beside those that the corollaries promise."""
    found = found_points(results)
    star = found[found.clear & (found.start == "star") & (found.finder == "levenberg_marquardt")]
    star = star[(star.hidden == 1) & ~star.duplicated("layers")]
    star = star.assign(width=[network(layers).layers[1] for layers in star.layers])
    star, found = star.sort_values("width"), found[found.converged]
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.2))
        left.plot(star.width, star.zeros, "o-", color=CRITICAL, ms=4, lw=1.2, label="found")
        for name, (column, dashes) in PROMISED.items():
            left.plot(
                star.width, star[column], color=NEITHER, ls=dashes, label=f"promised by {name}"
            )
        left.set(xlabel="width $m$", ylabel="zero eigenvalues", xticks=star.width)
        left.set_title(r"saddles of 2-$m$-2 near the star locus")
        left.legend()
        ends = np.array([min(found.corrected.min(), found.zeros.min()), found.zeros.max()])
        right.plot(ends, ends, color=NEITHER, lw=0.8, ls=":")
        colors = [KIND_COLORS[kind] for kind in found.kind]
        right.scatter(found.corrected, found.zeros, s=14, c=colors, lw=0, alpha=0.7, zorder=3)
        right.set(xscale="log", yscale="log", title="all critical points found")
        right.set(xlabel=r"promised, $(m + 1 - \tilde r)\,m_\ell$", ylabel="zero eigenvalues")
        legend(right, KIND_COLORS, loc="center right")
    return figure


def cubic(results: Results, rules: tuple[str, ...]) -> Figure:
    """Draw starts around the saddle of x³ + y³ by whether their runs have left.

    Distances are drawn as rings: 1 is the outermost, and 0.2 is at a hundredth of it.
    """
    colors = {"stayed": LOCUS_COLORS["3-core"], "left": LOCUS_COLORS["star"]}
    left = np.isfinite(results["cubic_steps"])
    with style():
        figure, axes = plt.subplots(1, len(rules), figsize=(8.0, 2.6), squeeze=False)
        for ax, rule in zip(axes[0], rules, strict=True):
            own = results["cubic_rule"] == rule
            ring = 1.0 + 0.4 * np.log10(results["cubic_distance"][own])[:, None]
            angle = results["cubic_angle"][own]
            chosen = np.where(left[own], colors["left"], colors["stayed"]).ravel()
            ax.scatter(ring * np.cos(angle), ring * np.sin(angle), s=8, c=list(chosen), lw=0)
            ax.set(title=f"{rule} descent", xlabel="$x$", ylabel="$y$", aspect="equal")
            ax.set(xticks=[], yticks=[])
        legend(axes[0, -1], colors, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plane(results: Results) -> Figure:
    """Draw points with the loss of the mean output by kind, and on Frye's plane, by index."""
    points = on_plane(results)
    kinds = [*POINTS, *SEARCHED]
    colors = dict.fromkeys(POINTS, CRITICAL) | {"found": FOUND, "trained": NEITHER}
    generic = min(FRYE.layers[1:3]) * FRYE.layers[-1] / FRYE.n_parameters
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.2), sharex=True)
        for row, kind in enumerate(kinds):  # points that coincide are spread over the row
            own = points["index"][points.points == kind]
            heights = row + np.linspace(-0.2, 0.2, len(own))
            left.scatter(own, heights, s=12, color=colors[kind], lw=0, alpha=0.8)
        left.set(xlabel="index", ylim=(len(kinds) - 0.5, -0.5))
        left.set_yticks(range(len(kinds)), [KINDS[kind] for kind in kinds])
        right.scatter(points["index"], points.loss, s=9, c=[colors[k] for k in points.points], lw=0)
        right.set(xlabel="index", ylabel=r"$L(\theta)$")
        for ax in (left, right):
            ax.axvline(generic, color=TRUE, ls=":", lw=0.8, zorder=0)
        right.text(
            generic - 0.005,
            0.5,
            "generic\nstar points",
            ha="right",
            fontsize=8,
            transform=right.get_xaxis_transform(),
        )
    return figure
