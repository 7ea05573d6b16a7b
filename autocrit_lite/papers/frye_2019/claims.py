"""What the experiments on the linear autoencoder say on the numbers of Frye et al. 2019.

Runs from one trajectory are not independent, so that a statistic of runs is resampled by
trajectories, the paper's having as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import statistics as rules
from ...arrays import Array
from ...ground_truth.plane import PLANE_TOLERANCE, plane_distance
from ...runner.results import Measured, Results
from ...training.sampling import bootstrap_entropy, entropy
from ..statements import Statements

CUTOFF = 1e-10
"""On ‖g‖², below which the paper accepts a point (section 4)."""

LOSS_TOLERANCE = 1e-6
"""A point is spurious if its loss is farther than this from that of the true point it is nearest
to, or its index differs at all (chosen by us: the paper judges by eye)."""

TRAJECTORIES, RUNS = 10, 150
"""Of the paper (Fig. 1)."""

Runs = dict[str, Array]
"""The results of one method by name, the first axis being that of the runs."""

measured = Statements("frye_2019", globals()).measured


def figure_1_and_2(results: Results, methods: Sequence[str]) -> dict[str, Measured]:
    """Return the claims on Figs 1 and 2, on training and on identification.

    Parameters
    ----------
    results : Results
        Of ``LinearAutoencoder``.
    methods : sequence of str
        In the order of the results' dimension ``method``.
    """
    by_method: dict[str, Runs] = {
        method: {
            name: array[m]
            for name, array in results.arrays.items()
            if results.dims[name][0] == "method"
        }
        for m, method in enumerate(methods)
    }
    for runs in by_method.values():
        runs["ok"] = runs["end"] < CUTOFF
        trajectories = len(results["train_loss"])
        runs["trajectory"] = np.repeat(np.arange(trajectories), len(runs["end"]) // trajectories)
    claims = _truth(results) | _accepted(list(by_method.values()), results)
    mr = by_method.get("newton_mr")
    if mr is not None:
        claims |= _newton_mr(mr) | _cutoffs(mr, results)
        if "newton_tr" in by_method:
            claims |= _newton_tr(mr, by_method["newton_tr"])
        if "gradient_norm_minimization" in by_method:
            claims |= _gradient_norm(mr, by_method["gradient_norm_minimization"])
    return claims


def _truth(results: Results) -> dict[str, Measured]:
    index, loss = results["true_index"], results["train_loss"]
    counts = [int(np.sum(index == 0)), int(np.sum(index > 0))]
    start, end = loss[:, 0], loss[:, -1]
    inside, of = int(np.sum(end <= 5e-6)), len(end)
    outcome: dict[str, bool | rules.Comparison] = {
        "share within 5e-6": rules.shares(inside, of, TRAJECTORIES, TRAJECTORIES),
        "start": bool(np.all((start > 1) & (start < 10))),
    }
    return measured("f19-count", counts, counts == [1, 2516]) | measured(
        "f19-train",
        [float(end.max()), float(np.median(start))],
        outcome,
        interval=(float(end.min()), float(end.max())),
        inside=inside,
        of=of,
        middle=float(np.median(end)),
    )


def _accepted(methods: list[Runs], results: Results) -> dict[str, Measured]:
    rule, exact, row, loss, index = (
        np.concatenate([runs[name][runs["ok"]] for runs in methods])
        for name in ("kept_by_diagonal", "kept", "row", "loss", "index")
    )
    if not len(row):
        return {}
    kept = rule.sum(axis=1)
    bad = np.abs(loss - results["true_loss"][row]) > LOSS_TOLERANCE
    spurious = int(np.sum(bad | (index != results["true_index"][row])))
    return measured(
        "f19-identify",
        int(kept.max()),
        rules.never(int(np.sum(kept > 4)), len(kept)),
        points=len(kept),
        misses=float(np.mean(np.any(rule != exact, axis=1))),
    ) | measured(
        "f19-no-spurious",
        spurious,
        rules.never(spurious, len(row)),
        points=len(row),
    )


def _newton_mr(mr: Runs) -> dict[str, Measured]:
    iterations, group, ok = mr["iterations"], mr["trajectory"], mr["ok"]
    median = rules.ratios(lambda x: float(np.median(iterations[x])), group, 221, TRAJECTORIES)
    by_trajectory = [float(np.median(iterations[group == g])) for g in np.unique(group)]
    claims = measured(
        "f19-iter-mr",
        median.value,
        median,
        runs=len(ok),
        accepted=float(ok.mean()),
        least=min(by_trajectory),
        most=max(by_trajectory),
    )
    chosen, zero = ok & (mr["row"] != 0), mr["end"][ok & (mr["row"] == 0)]
    floor = mr["end"][chosen]
    if len(floor):
        middle, interval = rules.bootstrap(lambda x: float(np.median(floor[x])), group[chosen])
        low, high = np.quantile(floor, (0.25, 0.75))
        claims |= measured(
            "f19-floor",
            middle,
            rules.about(middle, 1e-30, np.sqrt(10.0), interval),
            low=low,
            high=high,
            below=float(np.mean(floor < 1e-25)),
        )
    if len(zero):
        lowest = rules.found(int(np.sum(zero < 1e-200)), len(zero))
        claims |= measured("f19-zero", float(zero.min()), lowest, runs=len(zero))
    return claims


def _newton_tr(mr: Runs, tr: Runs) -> dict[str, Measured]:
    from scipy.stats import mannwhitneyu  # here, since it slows every start of the command

    ours, theirs, ok, group = mr["iterations"], tr["iterations"], tr["ok"], tr["trajectory"]
    median = rules.ratios(lambda x: float(np.median(theirs[x])), group, 430, TRAJECTORIES)
    after = (theirs - tr["cutoff_iteration"][:, 0])[ok]
    end = tr["end"][ok]
    pace = float(np.median((end / CUTOFF) ** (1.0 / np.maximum(after, 1.0)))) if len(end) else 1.0
    pairs = RUNS**2  # of the paper, and of ours at its scale
    test = mannwhitneyu(ours, theirs)
    scale = len(ours) * len(theirs) / pairs
    U = rules.resampled(
        lambda x: rules.mann_whitney(ours[x], theirs[x]) * pairs / len(x) ** 2,
        group,
        4768.5,
        TRAJECTORIES,
    )
    shift = 430.0 - median.value
    return (
        measured(
            "f19-iter-tr",
            median.value,
            median,
            runs=len(ok),
            accepted=float(ok.mean()),
            after=float(np.median(after)) if len(after) else np.nan,
            pace=pace,
            end=float(np.median(end)) if len(end) else np.nan,
            shift=shift,
            lower=float(np.median(end)) * pace**shift if len(end) else np.nan,
        )
        | measured(
            "f19-mwu",
            [float(test.statistic), float(test.pvalue)],
            {"U": U, "p": bool(test.pvalue < 0.01)},
            interval=(U.interval[0] * scale, U.interval[1] * scale),
            longer=float(test.statistic) / len(ours) / len(theirs),
            printed=4768.5 / pairs,
            shift=shift,
            shifted=rules.mann_whitney(ours, theirs + shift),
        )
        | _time("f19-time-tr", tr, mr, 99 / 26.5)
    )


def _gradient_norm(mr: Runs, gnm: Runs) -> dict[str, Measured]:
    ok = gnm["ok"]
    failed = int(np.sum(~ok))
    effect = rules.design_effect(~ok, gnm["trajectory"])
    claims = measured(
        "f19-gnm-fail",
        failed / len(ok),
        rules.shares(failed, len(ok), round(0.627 * RUNS), RUNS, effect),
        failed=failed,
        effect=effect,
        runs=len(ok),
        still=float(np.mean(gnm["iterations"] == 0)),
    ) | _time("f19-time-gnm", gnm, mr, 6.8 / 26.5)
    newton, descent = (runs["cutoff_iteration"][:, 0] for runs in (mr, gnm))
    there = np.isfinite(descent)
    if np.isfinite(newton).any() and there.any():

        def ratio(rows: Array) -> float:
            a, b = (x[rows][np.isfinite(x[rows])] for x in (descent, newton))
            return float(np.median(a) / np.median(b)) if len(a) and len(b) else np.nan

        value, interval = rules.bootstrap(ratio, mr["trajectory"])
        claims |= measured(
            "f19-gnm-epochs",
            value,
            rules.about(value, 100.0, np.sqrt(10.0), interval),
            runs=int(there.sum()),
        )
    return claims


def _time(id: str, runs: Runs, reference: Runs, printed: float) -> dict[str, Measured]:
    """Return the time of an iteration relative to that of another method."""
    own, other = (float(x["seconds"] / x["iterations"].sum()) for x in (runs, reference))
    seconds: dict[str, Any] = {"own": 1e3 * own, "other": 1e3 * other}
    return measured(id, own / other, rules.about(own / other, printed, 2.0), "time", **seconds)


def _cutoffs(mr: Runs, results: Results) -> dict[str, Measured]:
    """Return how far the points of Fig. 2 lie from the true ones, by cut-off."""
    distance = plane_distance(
        mr["cutoff_index"], mr["cutoff_loss"], results["true_index"], results["true_loss"]
    )
    far = np.nanquantile(distance, 0.95, axis=0)
    strict = bool(far[0] < PLANE_TOLERANCE and np.all(far[1:] >= PLANE_TOLERANCE))
    values = [float(x) for x in far]
    return measured("f19-cutoff", values, strict)


PAPER_SIGMAS = (1e-4, 1e-2, 1e-1)
"""Those whose signal-to-noise ratios come out as printed, but for the factor of a decibel."""
ENTROPIES = {
    "f19-entropy": (("height", 0.0), 3.05),
    "f19-entropy-noise": (("height", 0.01), 3.34),
    "f19-entropy-iter": (("iteration", 0.0), 2.22),
    "f19-entropy-iter-noise": (("iteration", 0.01), 2.50),
}
"""The cell of each claim, and the paper's bits."""

DIFFERENCES = {
    "f19-entropy-t": (("height", 0.0), ("height", 0.01), 3.05 - 3.34),
    "f19-entropy-iter-t": (("height", 0.0), ("iteration", 0.0), 3.05 - 2.22),
    "f19-entropy-iter-noise-t": (("height", 0.0), ("iteration", 0.01), 3.05 - 2.50),
}
"""The two cells that each t compares, and the paper's difference in bits."""


def figure_3_and_4(
    results: Results, schemes: Sequence[str], sigmas: Sequence[float]
) -> dict[str, Measured]:
    """Return the claims on Figs 3 and 4.

    Parameters
    ----------
    results : Results
        Of ``SamplingBias``.
    schemes, sigmas : sequence
        In the order of the results' dimensions.
    """
    cells = {(s, x): (i, j) for i, s in enumerate(schemes) for j, x in enumerate(sigmas)}
    claims: dict[str, Measured] = {}
    for id, (cell, bits) in ENTROPIES.items():
        if cell in cells:
            claims |= _entropy(id, results, cells[cell], bits)
    for id, (cell, other, bits) in DIFFERENCES.items():
        if cell in cells and other in cells:
            claims |= _difference(id, results, cells[cell], cells[other], bits)
    if ("height", 0.0) in cells:
        plain = cells["height", 0.0]
        claims |= _bias(results, plain) | _signal_to_noise(results, plain)
    return claims


def accepted(results: Results, cell: tuple[int, int]) -> tuple[Array, Array]:
    """Return the eigenvectors (R, N) that the accepted points of a cell keep, their trajectory."""
    ok = results["end"][cell] < CUTOFF
    return results["kept"][cell][ok], results["trajectory"][ok]


def bits(results: Results, cell: tuple[int, int], rows: Array) -> float:
    """Return the entropy of the accepted points among some runs of a cell, NaN of none."""
    kept = results["kept"][cell][rows][results["end"][cell][rows] < CUTOFF]
    return entropy(kept) if len(kept) else np.nan


def entropies(
    results: Results, cell: tuple[int, int], *, by_trajectory: bool, replicates: int = 100
) -> Array:
    """Return bootstrap entropies (replicates,) of a cell, over runs or over whole trajectories."""
    kept, trajectory = accepted(results, cell)
    return bootstrap_entropy(
        kept,
        np.random.default_rng(0),
        trajectory=trajectory if by_trajectory else None,
        replicates=replicates,
    )


def _entropy(
    id: str, results: Results, cell: tuple[int, int], printed: float
) -> dict[str, Measured]:
    kept, trajectory = accepted(results, cell)
    if not len(kept):
        return {}
    bits = rules.resampled(lambda x: entropy(kept[x]), trajectory, printed, TRAJECTORIES)
    numbers: dict[str, Any] = {"points": len(kept), "runs": len(results["trajectory"])}
    zero = entropy(kept, zero_category=True)
    return measured(id, bits.value, bits, "entropy", **numbers, zero=zero)


def _difference(
    id: str, results: Results, cell: tuple[int, int], other: tuple[int, int], printed: float
) -> dict[str, Measured]:
    """Return the claim on a t; its verdict is that of the difference in bits."""
    from scipy.stats import ttest_ind  # here, since it slows every start of the command

    if not all(len(accepted(results, of)[0]) for of in (cell, other)):
        return {}

    difference = rules.resampled(
        lambda x: bits(results, cell, x) - bits(results, other, x),
        results["trajectory"],
        printed,
        TRAJECTORIES,
    )
    few, many = (
        float(
            ttest_ind(
                entropies(results, cell, by_trajectory=False, replicates=n),
                entropies(results, other, by_trajectory=False, replicates=n),
            ).statistic
        )
        for n in (100, 400)
    )
    low, high = difference.interval
    numbers: dict[str, Any] = {
        "bits": difference.value,
        "printed": printed,
        "low": low,
        "high": high,
        "many": many,
    }
    return measured(id, few, difference, "t", **numbers)


def _bias(results: Results, cell: tuple[int, int]) -> dict[str, Measured]:
    kept, trajectory = accepted(results, cell)
    if not len(kept):
        return {}
    eigenvalues = results["eigenvalues"]
    rank, interval = rules.bootstrap(
        lambda x: rules.rank_correlation(eigenvalues, kept[x].sum(axis=0)), trajectory
    )
    counts = ", ".join(map(str, kept.sum(axis=0)))
    outcome = rules.shown(rank, interval, above=0.0)
    return measured("f19-bias", rank, outcome, eigenvalues=len(eigenvalues), counts=counts)


def _signal_to_noise(results: Results, cell: tuple[int, int]) -> dict[str, Measured]:
    power = float(results["power"][cell].mean())
    logarithms = [float(np.log10(power / sigma**2)) for sigma in PAPER_SIGMAS]
    near = np.allclose(logarithms, (6.8, 2.8, 0.8), atol=0.5)
    decibels = ", ".join(f"{10 * x:.3g}" for x in logarithms)
    verdict = "corrected" if near else "differs"
    return measured("f19-snr", logarithms, bool(near), verdict=verdict, decibels=decibels)
