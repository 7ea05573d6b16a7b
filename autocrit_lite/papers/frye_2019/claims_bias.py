"""What the experiment on sampling bias says on the numbers of Frye et al. 2019, 4.3 and 4.4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import Array
from ...runner.results import Measured, Results
from ...statistics import quantiles, verdict
from ...training.sampling import bootstrap_entropy, entropy
from .claims import CUTOFF

PAPER_SIGMAS = (1e-4, 1e-2, 1e-1)
"""Those whose signal-to-noise ratios come out as printed, but for the factor of a decibel."""

PRINTED_T = -31.2
PRINTED_SD = abs((3.05 - 3.34) / PRINTED_T) * np.sqrt(100 / 2)
"""Of the paper's bootstrap replicates: from its two means and its t over twice 100 of them."""


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
    printed = {
        "f19-entropy": (("height", 0.0), 3.05, ("height", 0.01), -31.2),
        "f19-entropy-noise": (("height", 0.01), 3.34, None, None),
        "f19-entropy-iter": (("iteration", 0.0), 2.22, ("height", 0.0), 94.9),
        "f19-entropy-iter-noise": (("iteration", 0.01), 2.50, ("height", 0.0), 68.8),
    }
    found = {}
    for name, (cell, value, other, t) in printed.items():
        if cell in cells and (other is None or other in cells):
            there = cells[other] if other else None
            found[name] = _entropy(results, cells[cell], value, there, t)
    if ("height", 0.0) in cells:
        found["f19-bias"] = _bias(results, cells["height", 0.0])
        found["f19-snr"] = _signal_to_noise(results, cells["height", 0.0])
    return found


def accepted(results: Results, cell: tuple[int, int]) -> tuple[Array, Array]:
    """Return the eigenvectors (R, N) that the accepted points of a cell keep, their trajectory."""
    ok = results["end"][cell] < CUTOFF
    return results["kept"][cell][ok], results["trajectory"][ok]


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
    results: Results,
    cell: tuple[int, int],
    printed: float,
    other: tuple[int, int] | None,
    printed_t: float | None,
) -> Measured:
    from scipy.stats import ttest_ind  # here, since it slows every start of the command

    kept, _ = accepted(results, cell)
    value = entropy(kept)
    by_trajectory = quantiles(entropies(results, cell, by_trajectory=True, replicates=2000))
    theirs = printed - 2 * PRINTED_SD, printed + 2 * PRINTED_SD
    runs = len(results["trajectory"])
    why = (
        f"{len(kept)} points of {runs} runs; bootstrap over trajectories, the paper's over runs; "
        f"{entropy(kept, zero_category=True):.3g} bits with the point at zero as one more category"
    )
    if other is None:
        return Measured(value, verdict(by_trajectory, theirs), why, by_trajectory)
    t = ttest_ind(
        entropies(results, cell if printed_t == PRINTED_T else other, by_trajectory=False),
        entropies(results, other if printed_t == PRINTED_T else cell, by_trajectory=False),
    ).statistic
    why += (
        "; t of 100 against 100 bootstrap replicates over runs as in the paper, which grows with "
        "their number and says nothing of how sure the difference is"
    )
    return Measured([value, float(t)], verdict(by_trajectory, theirs), why, by_trajectory)


def _bias(results: Results, cell: tuple[int, int]) -> Measured:
    from scipy.stats import spearmanr

    kept, _ = accepted(results, cell)
    counts = kept.sum(axis=0)
    test = spearmanr(results["eigenvalues"], counts)
    grows = test.statistic > 0 and test.pvalue < 0.01
    return Measured(
        float(test.statistic),
        "reproduced" if grows else "differs",
        f"rank correlation of the {len(counts)} eigenvalues with how often each is kept, "
        f"p = {test.pvalue:.2g}; counts by growing eigenvalue: {', '.join(map(str, counts))}",
    )


def _signal_to_noise(results: Results, cell: tuple[int, int]) -> Measured:
    power = float(results["power"][cell].mean())
    logarithms = [float(np.log10(power / sigma**2)) for sigma in PAPER_SIGMAS]
    near = np.allclose(logarithms, (6.8, 2.8, 0.8), atol=0.5)
    decibels = ", ".join(f"{10 * x:.3g}" for x in logarithms)
    return Measured(
        logarithms,
        "corrected" if near else "differs",
        "log₁₀ of mean(θ²)/σ² at σ = 1e-4, 1e-2 and 1e-1; in decibels, with their factor of 10, "
        f"{decibels}; within 0.5 of the printed counts as the same",
    )
