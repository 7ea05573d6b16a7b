"""The tables of ``critical_locus``, and what they say on the paper's claims."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...arrays import Array
from ...ground_truth import critical_locus as locus
from ...ground_truth.flat_subspace import guaranteed_zeros
from ...networks.mlp import MLP
from ...runner.experiment import Arrays
from ...runner.results import Measured, Results
from .locus_points import CONVERGED, CRITICAL, UNCLEAR


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
        "c20-star": star(points),
        "c20-core": core(points[points["count"] > 1]),
        "c20-dim-s": dimension(dimensions, breaking, 1),
        "c20-dim-c": dimension(dimensions, breaking, 2),
        "c20-dim-m": global_minima(minima),
        "c20-flat": flat(table(results, "found"), dimensions),
        "c20-growth": growth(dimensions, minima),
        "c20-cubic": cubic(results),
    }


def star(points: pd.DataFrame) -> Measured:
    """Theorem 3.1: every point is critical, with the mean of the targets for b_ℓ."""
    critical = points.gradient_norm < CRITICAL
    printed = points.printed_gradient_norm < CRITICAL
    return Measured(
        f"{critical.sum()} of {len(points)} points",
        "corrected" if critical.all() and not printed.all() else "differs",
        f"with b_ℓ the mean of the targets ‖∇L‖ is at most {points.gradient_norm.max():.0e}; with "
        f"the printed sum it is 2(N − 1)‖Σy‖, and {printed.sum()} points are critical",
    )


def core(points: pd.DataFrame) -> Measured:
    """Theorem 3.2: m_ℓ positive eigenvalues, each 2N for the summed loss, and else zeros."""
    wrong = (points.positive != points.outputs) | (points.negative != 0)
    printed = (points.positive != 1) | (points.negative != 0)
    with_sum = (points.printed_positive != 1) | (points.printed_negative != 0)
    return Measured(
        "m_ℓ, 0, n − m_ℓ",
        "corrected" if not wrong.any() and printed.any() else "differs",
        f"{wrong.sum()} of {len(points)} points have other counts; 1, 0, n − 1 fails at "
        f"{printed.sum()}, all with m_ℓ > 1, and at {with_sum.sum()} with the printed b_ℓ; the "
        f"positive ones are 2N to {points.from_two_n.max():.0e}",
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


def dimension(dimensions: pd.DataFrame, breaking: Array, count: int) -> Measured:
    """§3.1.1 and Proposition 6.1: the dimensions of the star (1) and core (2) loci."""
    chosen = (dimensions["count"] == count).to_numpy()
    own, greatest = dimensions[chosen], largest(dimensions, count)
    # the last layer's bias is fixed with reason; those before it are looked at
    hidden = np.arange(6) < np.array([text.count("-") for text in own.layers])[:, None] - 1
    biases = np.any(breaking[chosen, 6:] & hidden, axis=1)
    agree, printed = own["rank"] == own.formula, greatest.measured == greatest.printed
    last = greatest.iloc[-1]
    return Measured(
        f"{agree.sum()} of {len(own)} components as §3.1.1; largest as Prop. 6.1: "
        f"{printed.sum()} of {len(greatest)} networks",
        "corrected" if agree.all() and not printed.all() else "differs",
        f"{last.layers}: measured {last.measured}, Prop. 6.1 {last.printed}, the maximum of §3.1.1 "
        f"{last.maximum}; off the locus, steps in {count} of its {count + 1} zero matrices end "
        f"criticality at {np.sum(own.order == count)} of {len(own)} components, steps in a hidden "
        f"bias at {biases.sum()}",
    )


def global_minima(minima: pd.DataFrame) -> Measured:
    """§4: at a global minimum the nullity and the dimension are d − bn (here n − bN)."""
    reached = minima[minima.loss < CONVERGED]
    expected = reached.n_parameters - reached.outputs * reached.samples
    zeros, dimension = reached.zeros == expected, reached.dimension == expected
    return Measured(
        f"{zeros.sum()} and {dimension.sum()} of {len(reached)} minima",
        "reproduced" if len(reached) and zeros.all() and dimension.all() else "differs",
        f"zero eigenvalues, and dimension of the manifold of critical points around, at the "
        f"{len(reached)} of {len(minima)} trained networks with loss below {CONVERGED:.0e}",
    )


def flat(found: pd.DataFrame, dimensions: pd.DataFrame) -> Measured:
    """Theorem 5.15 and its corollaries, at found critical points and at points of the loci."""
    points = found[found.converged]
    deep = points.layers.str.count("-") > 2
    printed, corrected, uniform = (
        [f"{np.sum(points[name][part] == 1)} of {part.sum()}" for part in (~deep, deep)]
        for name in ("short_printed", "short_corrected", "short_uniform")
    )
    walk = points.walk_output_change[points.clear].max()
    exact = dimensions.slice_zeros == dimensions.flat
    missing = dimensions.slice_zeros < dimensions.flat_printed
    fails = (points.short_corrected == 1).any() or missing.any()
    wide = ""
    if deep.any():
        least, most = guaranteed(points[deep]).min(), points.printed[deep].max()
        wide = f"With two hidden layers the sizes alone make {least} zeros at any point, where at "
        wide += f"most {most} are promised. "
    return Measured(
        f"too few zeros at {printed[0]} points found with one hidden layer, {printed[1]} with two",
        ("corrected" if exact.all() else "differs") if fails else "reproduced",
        f"with r̃ in place of r {' and '.join(corrected)}, with the number of samples "
        f"(Corollary 5.18) {' and '.join(uniform)}: a zero block makes zero eigenvalues "
        f"at minima only. {wide}The linear space is there (walks of length 100 move outputs by at "
        f"most {walk:.0e}); within the last layer it is smaller than printed at {missing.sum()} of "
        f"{len(dimensions)} locus points",
    )


def guaranteed(points: pd.DataFrame) -> Array:
    """Return the zeros (rows,) that the sizes of each network and data set alone make."""
    pairs = zip(points.layers, points.samples, strict=True)
    return np.array([guaranteed_zeros(network(layers), int(N)) for layers, N in pairs])


def growth(dimensions: pd.DataFrame, minima: pd.DataFrame) -> Measured:
    """Propositions 6.1 and 6.2: how the dimensions grow with the width, by fitted parabolas."""
    deep = _four_layers(minima[minima.loss < CONVERGED])
    width = np.array([network(layers).layers[1] for layers in deep.layers])
    star, core = (_four_layers(largest(dimensions, count)) for count in (1, 2))
    curves = {
        "M": (width, deep.dimension),
        "S": (star.width, star.measured),
        "C": (core.width, core.measured),
        "linear space": (width, deep.flat_dimension),
    }
    fits = {name: np.polyfit(np.asarray(x), np.asarray(y), 2) for name, (x, y) in curves.items()}
    order = ["quadratic" if abs(fit[0]) > 1e-6 else "linear" for fit in fits.values()]
    M, S, C, space = order
    return Measured(
        f"{M}, {S}, {space}",
        "corrected" if order == ["quadratic"] * 3 + ["linear"] else "differs",
        f"the core locus C: {C}. Coefficients of m² at depth 4: "
        + ", ".join(f"{name} {round(fit[0], 6) + 0.0:g}" for name, fit in fits.items())
        + "; Prop. 6.1 prints 2 for M, 1 for S and 0 for C, the last two those of other components",
    )


def _four_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks 2-m-m-m-2."""
    return rows[rows.layers.str.match(r"2-(\d+)-\1-\1-2$")]


def cubic(results: Results) -> Measured:
    """§3.2: by plain gradient descent from x³ + y³'s quadrant no run leaves, from elsewhere all."""
    plain = results["cubic_rule"] == "plain"
    angle = results["cubic_angle"][plain]
    inside, left = angle <= np.pi / 2, np.isfinite(results["cubic_steps"][plain])
    end = results["cubic_end_distance"][plain][inside]
    slow = np.min(np.abs(np.stack([angle, angle - np.pi / 2, angle - 2 * np.pi])), axis=0)
    stayed = ~inside & ~left
    near = f", all within {np.degrees(slow[stayed].max(initial=0.0)):.2g}° of the quadrant"
    return Measured(
        f"{np.sum(inside & ~left)} of {inside.sum()} starts in the quadrant",
        "reproduced" if not np.any(inside & left) and left[~inside].mean() > 0.9 else "differs",
        f"end within {end.max():.0e} of the saddle; of the {np.sum(~inside)} starts elsewhere "
        f"{stayed.sum()} have not left yet" + near * bool(stayed.any()),
    )
