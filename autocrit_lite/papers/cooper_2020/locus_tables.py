"""The tables of ``critical_locus``, and what they say on the paper's claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...arrays import Array
from ...ground_truth import critical_locus as locus
from ...ground_truth.flat_subspace import guaranteed_zeros
from ...networks.mlp import MLP
from ...runner.experiment import Arrays
from ...runner.results import Measured, Results
from ...statistics import never
from ..statements import Statements
from .locus_motion import CUTOFFS
from .locus_points import CONVERGED, CRITICAL, UNCLEAR

measured = Statements("cooper_2020").measured


def counted(results: Results) -> Arrays:
    """Return what is counted at the points that finders ended at, arrays (rows,).

    ``zeros`` are the certain ones, ``zeros_at_most`` those and the doubtful. ``printed`` and
    ``corrected`` are the zeros that Corollary 5.16 promises with the rank of Φ and of Φ with a row
    of ones, ``uniform`` those of Corollary 5.18. ``short_…`` says whether they are there: 0 yes,
    1 no, −1 in doubt, or not known since the run did not converge. ``clear`` says where nothing is
    in doubt.
    """
    eigenvalues = results["found_eigenvalues"]
    relative = eigenvalues / np.nanmax(np.abs(eigenvalues), axis=1, keepdims=True)
    sizes = [layers.split("-")[-2:] for layers in results["found_layers"]]
    width, outputs = np.array(sizes, dtype=np.int64).T
    zeros, zeros_at_most = (np.sum(np.abs(relative) <= size, axis=1) for size in UNCLEAR)
    known = results["found_squared_gradient_norm"] < CONVERGED
    clear, counts = known & (zeros == zeros_at_most), {}
    for name, values in (("printed", "features"), ("corrected", "extended"), ("uniform", "")):
        ranks = [results["found_samples"]] * 2
        if values:
            ranks = [np.sum(results[f"found_{values}"] > size, axis=1) for size in UNCLEAR]
        least, most = ((width + 1 - rank) * outputs for rank in ranks)
        short, there = known & (zeros_at_most < least), known & (zeros >= most)
        counts[name], counts[f"short_{name}"] = most, np.select([there, short], [0, 1], -1)
        clear = clear & (most == least)
    return counts | {
        "converged": known,
        "negative": np.sum(relative < -UNCLEAR[1], axis=1),
        "zeros": zeros,
        "zeros_at_most": zeros_at_most,
        "clear": clear,
    }


def table(results: Results, part: str) -> pd.DataFrame:
    """Return the table of a part, without the part's name before each column's."""
    frame = results.to_frame(part).drop(columns=part)
    return frame.rename(columns=lambda name: name.removeprefix(f"{part}_"))


def network(layers: str) -> MLP:
    """Return the network that a table calls "2-8-2"."""
    return MLP([int(size) for size in layers.split("-")])


def claims(results: Results) -> dict[str, Measured]:
    """Return every claim of Cooper 2020, measured."""
    points, minima = table(results, "theorem"), table(results, "minimum")
    dimensions = table(results, "dimension")
    breaking = results["dimension_breaking"]
    return {
        **star(points),
        **core(points[points["count"] > 1]),
        **dimension("c20-dim-s", dimensions, breaking, 1),
        **dimension("c20-dim-c", dimensions, breaking, 2),
        **global_minima(minima),
        **flat(table(results, "found"), dimensions),
        **growth(dimensions, minima),
        **cubic(results),
    }


def corrected(holds: bool | np.bool_, printed: bool | np.bool_) -> str | None:
    """Return "corrected" if what we say holds and what is printed does not; else None."""
    return "corrected" if holds and not printed else None


def without_exception(id: str, wrong: pd.Series, what: str, **numbers: Any) -> dict[str, Measured]:
    """Return the claim that none of many points, or lines, or others, is an exception."""
    value = f"{np.sum(~wrong)} of {len(wrong)} {what}"
    return measured(id, value, never(int(wrong.sum()), len(wrong)), **numbers)


def star(points: pd.DataFrame) -> dict[str, Measured]:
    """Theorem 3.1: every point is critical, with the mean of the targets for b_ℓ."""
    critical = points.gradient_norm < CRITICAL
    printed = points.printed_gradient_norm < CRITICAL
    return measured(
        "c20-star",
        f"{critical.sum()} of {len(points)} points",
        never(int(np.sum(~printed)), len(points)),
        verdict=corrected(critical.all(), printed.all()),
        largest=points.gradient_norm.max(),
        printed=printed.sum(),
    )


def core(points: pd.DataFrame) -> dict[str, Measured]:
    """Theorem 3.2: m_ℓ positive eigenvalues, each 2N for the summed loss, and else zeros."""
    wrong = (points.positive != points.outputs) | (points.negative != 0)
    printed = (points.positive != 1) | (points.negative != 0)
    with_sum = (points.printed_positive != 1) | (points.printed_negative != 0)
    return measured(
        "c20-core",
        f"m_ℓ, 0, n − m_ℓ at {np.sum(~wrong)} of {len(points)} points",
        never(int(printed.sum()), len(points)),
        verdict=corrected(not wrong.any(), not printed.any()),
        fails=printed.sum(),
        several=np.sum(points.outputs[printed] > 1),
        with_sum=with_sum.sum(),
        off=points.from_two_n.max(),
    )


def largest(dimensions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return for each network of one width the largest locus of ``count`` indices.

    ``measured`` is the largest rank of the differences of sampled points, ``maximum`` that of the
    formula of §3.1.1, ``printed`` that of Proposition 6.1.
    """
    own = dimensions[dimensions["count"] == count]
    ranks = own.groupby("layers", sort=False)["rank"].max()
    nets = {layers: network(layers) for layers in ranks.index}
    rows = [
        {
            "layers": layers,
            "width": net.layers[1],
            "measured": ranks[layers],
            "maximum": locus.largest_component(net, count)[1],
            "printed": locus.printed_dimension(net, count),
        }
        for layers, net in nets.items()
        if len(set(net.layers[1:-1])) == 1 and len(net.layers) >= count + 3
    ]
    return pd.DataFrame(rows)


def dimension(
    id: str, dimensions: pd.DataFrame, breaking: Array, count: int
) -> dict[str, Measured]:
    """§3.1.1 and Proposition 6.1: the dimensions of the star (1) and core (2) loci."""
    chosen = (dimensions["count"] == count).to_numpy()
    own, greatest = dimensions[chosen], largest(dimensions, count)
    # the last layer's bias is fixed with reason; those before it are looked at
    hidden = np.arange(6) < np.array([text.count("-") for text in own.layers])[:, None] - 1
    biases = np.any(breaking[chosen, 6:] & hidden, axis=1)
    agree, printed = own["rank"] == own.formula, greatest.measured == greatest.printed
    last = greatest.iloc[-1]
    return measured(
        id,
        f"{agree.sum()} of {len(own)} components as §3.1.1; largest as Prop. 6.1: "
        f"{printed.sum()} of {len(greatest)} networks",
        bool(agree.all() and printed.all()),
        verdict=corrected(agree.all(), printed.all()),
        layers=last.layers,
        measured=last.measured,
        printed=last.printed,
        maximum=last.maximum,
        steps=count,
        zeros=count + 1,
        ends=np.sum(own.order == count),
        of=len(own),
        biases=biases.sum(),
    )


def global_minima(minima: pd.DataFrame) -> dict[str, Measured]:
    """§4: at a global minimum the nullity and the dimension are d − bn (here n − bN)."""
    reached = minima[minima.loss < CONVERGED]
    expected = reached.n_parameters - reached.outputs * reached.samples
    zeros, dimension = reached.zeros == expected, reached.dimension == expected
    wrong = never(int(np.sum(~(zeros & dimension))), len(reached)) if len(reached) else False
    return measured(
        "c20-dim-m",
        f"{zeros.sum()} and {dimension.sum()} of {len(reached)} minima",
        wrong,
        reached=len(reached),
        of=len(minima),
        loss=CONVERGED,
    )


def flat(found: pd.DataFrame, dimensions: pd.DataFrame) -> dict[str, Measured]:
    """Theorem 5.15 and its corollaries, at found critical points and at points of the loci."""
    points = found[found.converged]
    deep = points.layers.str.count("-") > 2
    printed, rows_of_ones, uniform = (
        [f"{np.sum(points[name][part] == 1)} of {part.sum()}" for part in (~deep, deep)]
        for name in ("short_printed", "short_corrected", "short_uniform")
    )
    exact = dimensions.slice_zeros == dimensions.flat
    missing = dimensions.slice_zeros < dimensions.flat_printed
    short = points.short_printed == 1
    sizes = {}
    if deep.any():
        sizes["least"] = guaranteed(points[deep]).min()
        sizes["promised"] = points.printed[deep].max()
    return measured(
        "c20-flat",
        f"as printed at {np.sum(~missing)} of {len(dimensions)} points of the loci, with r̃ at "
        f"{exact.sum()}",
        never(int(missing.sum()), len(dimensions)),
        verdict=corrected(exact.all(), not missing.any()),
        walk=points.walk_output_change[points.clear].max(),
    ) | measured(
        "c20-flat-zeros",
        f"too few zeros at {printed[0]} points found with one hidden layer, {printed[1]} with two",
        never(int(short.sum()), len(points)),
        *["sizes"] * bool(sizes),
        verdict="false" if short.any() else None,
        rows_of_ones=" and ".join(rows_of_ones),
        uniform=" and ".join(uniform),
        **sizes,
    )


def guaranteed(points: pd.DataFrame) -> Array:
    """Return the zeros (rows,) that the sizes of each network and data set alone make."""
    pairs = zip(points.layers, points.samples, strict=True)
    return np.array([guaranteed_zeros(network(layers), int(N)) for layers, N in pairs])


def curves(dimensions: pd.DataFrame, minima: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what is measured of 2-m-m-m-2 by width: of the minima, the loci, the linear space."""
    deep = _four_layers(minima[minima.loss < CONVERGED])
    deep = deep.assign(width=[network(layers).layers[1] for layers in deep.layers])
    return {
        "M": deep.assign(measured=deep.dimension),
        "S": _four_layers(largest(dimensions, 1)),
        "C": _four_layers(largest(dimensions, 2)),
        "linear space": deep.assign(measured=deep.flat_dimension),
    }


def growth(dimensions: pd.DataFrame, minima: pd.DataFrame) -> dict[str, Measured]:
    """Propositions 6.1 and 6.2: how the dimensions grow with the width, by fitted parabolas."""
    found = curves(dimensions, minima)
    fits = {name: np.polyfit(own.width, own.measured, 2) for name, own in found.items()}
    order = ["quadratic" if abs(fit[0]) > 1e-6 else "linear" for fit in fits.values()]
    M, S, C, space = order
    printed = fits["S"][0] - 1.0, fits["C"][0]  # their coefficients in Prop. 6.1 are 1 and 0
    coefficients = ", ".join(f"{name} {round(fit[0], 6) + 0.0:g}" for name, fit in fits.items())
    holds = order == ["quadratic"] * 3 + ["linear"]
    return measured(
        "c20-growth",
        f"{M}, {S}, {space}",
        holds and np.allclose(printed, 0.0),
        verdict=corrected(holds, np.allclose(printed, 0.0)),
        core=C,
        coefficients=coefficients,
    )


def _four_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks 2-m-m-m-2."""
    return rows[rows.layers.str.match(r"2-(\d+)-\1-\1-2$")]


def cubic(results: Results) -> dict[str, Measured]:
    """§3.2: by plain gradient descent from x³ + y³'s quadrant no run leaves, from elsewhere all."""
    plain = results["cubic_rule"] == "plain"
    angle = results["cubic_angle"][plain]
    inside, left = angle <= np.pi / 2, np.isfinite(results["cubic_steps"][plain])
    slow = np.min(np.abs(np.stack([angle, angle - np.pi / 2, angle - 2 * np.pi])), axis=0)
    stayed = ~inside & ~left
    leaving = never(int(np.sum(inside & left)), int(inside.sum()))
    near = {"degrees": np.degrees(slow[stayed].max())} if stayed.any() else {}
    return measured(
        "c20-cubic",
        f"{np.sum(inside & ~left)} of {inside.sum()} starts in the quadrant",
        {"leaving": leaving, "elsewhere": bool(left[~inside].mean() > 0.9)},
        *["near"] * bool(near),
        end=results["cubic_end_distance"][plain][inside].max(),
        others=np.sum(~inside),
        stayed=stayed.sum(),
        **near,
    )


# --- what a notebook shows ---


def found_points(results: Results) -> pd.DataFrame:
    """Return the table "found" with the kind of each point by its loss, and its hidden layers."""
    found = table(results, "found")
    near = np.isclose(found.loss, found.mean_output_loss, rtol=1e-8)
    kinds = np.select([found.loss < CONVERGED, near], ["minimum", "mean output"], "other")
    return found.assign(kind=kinds, hidden=found.layers.str.count("-") - 1)


def corollaries(results: Results) -> pd.DataFrame:
    """Return at how many found critical points there are too few zeros, by layers and kind.

    In brackets where they might be, as eigenvalues or singular values are in doubt.
    """
    found = found_points(results)
    names = {"5.16": "short_printed", "5.16 with r̃": "short_corrected", "5.18": "short_uniform"}
    rows = {}
    for key, own in found[found.converged].groupby(["hidden", "kind"]):
        rows[key] = {"points": str(len(own))}
        for name, column in names.items():
            short, doubt = np.sum(own[column] == 1), np.sum(own[column] == -1)
            rows[key][f"too few by {name}"] = f"{short}" + f" ({doubt})" * bool(doubt)
        rows[key] |= {f"{x}, median": f"{own[x].median():.0f}" for x in ("zeros", "negative")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["hidden layers", "loss"])


def leaving(results: Results) -> pd.DataFrame:
    """Return the median steps until plain runs leave a locus, by indices, depth and distance.

    ``inf`` where more than half have not left. "slope" is that of log steps against log distance,
    over the distances below 0.5.
    """
    runs, steps = table(results, "escape"), results["escape_steps"]
    runs["steps"] = np.median(np.where(np.isfinite(steps), steps, np.inf), axis=1)
    plain = runs[runs.rule == "plain"]
    medians = plain.pivot(index=["count", "depth"], columns="distance", values="steps")
    slopes = {}
    for key, own in plain.groupby(["count", "depth"]):
        near = own[np.isfinite(own.steps) & (own.distance < 0.5)]
        line = (
            np.polyfit(np.log(near.distance), np.log(near.steps), 1) if len(near) > 1 else [np.nan]
        )
        slopes[key] = round(line[0], 2)
    return medians.assign(slope=pd.Series(slopes))


def on_plane(results: Results) -> pd.DataFrame:
    """Return the table "plane" with the index at the cut-off of Frye et al. 2021, A.2."""
    return table(results, "plane").assign(index=results["plane_index"][:, CUTOFFS.index(1e-5)])


def by_kind(results: Results) -> pd.DataFrame:
    """Return by kind of point how far loss and gradient are from those of the mean output."""
    points = on_plane(results)
    own = points.assign(off=np.abs(points.loss - 1.0)).groupby("points", sort=False)
    return pd.DataFrame(
        {
            "points": own.size(),
            "|loss − 1|, at most": own.off.max().map("{:.0e}".format),
            "‖∇L‖², at most": own.squared_gradient_norm.max().map("{:.0e}".format),
            "lowest index": own["index"].min().round(3),
            "highest index": own["index"].max().round(3),
        }
    )
