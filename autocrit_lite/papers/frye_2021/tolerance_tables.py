"""What the solver's tolerance and other finders change, as tables for the notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ... import statistics as rules
from ...arrays import Array
from ...datasets.digits import SCALINGS
from ...networks.initialization import SCHEMES, initial_theta
from ...plotting import FINDERS
from ...points.classes import PointClass, point_class
from ...runner.experiment import generators
from ...runner.results import Results
from .ends import End
from .mnist_autoencoder import MnistAutoencoder
from .tolerance import Tolerance
from .tolerance_panels import CHOICES, ENDS, NETWORKS

VARIANTS = {
    "rtol": "tolerance {}",
    "l2": "penalty {}",
    "scaling overall": "images scaled as a whole",
    "scaling pixel": "images scaled by pixel",
    "xavier": "Glorot's initial weights",
    "he": "He's initial weights",
    "x_k": "along the last iterate",
}
"""What figures and tables call each setting of the re-runs, by its name or first word."""


INITIAL = {
    "normal": "normal, as in Frye et al. 2019",
    "he": "He et al.",
    "xavier": "Glorot & Bengio, uniform",
    "xavier_normal": "Glorot & Bengio, normal",
    "orthogonal": "orthogonal",
    "unit_rows": "rows of length one (used here)",
}
"""What tables call each way of drawing initial weights."""


def variant_names(results: Results) -> list[str]:
    """Return what to call the settings of the re-runs; the first are the paper's."""
    names = []
    for name in results.coordinates["variant"]:
        first, *rest = name.split()
        text = VARIANTS.get(name) or VARIANTS.get(first, name)
        names.append(text.format(*rest))
    return [f"{names[0]} (paper)", *names[1:]]


def by_tolerance(results: Results, point: str) -> pd.DataFrame:
    """Return medians over the Newton systems at one kind of point, by tolerance.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    point : str
        "flattest" or "last".
    """
    row = results.coordinates["point"].index(point)
    columns = {
        "iterations": "solver_iterations",
        "r": "relative_residual",
        "‖Hp + g‖/‖g‖": "residual_ratio",
        "10 times longer": "long_residual_ratio",
        "r, eigenvectors": "truncated_relative_residual",
        "‖Hp + g‖/‖g‖, eigenvectors": "truncated_residual_ratio",
    }
    index = pd.Index(results.coordinates["rtol"], name="tolerance")
    table = pd.DataFrame(
        {text: np.median(results[name][:, row], axis=0) for text, name in columns.items()}, index
    )
    table["share r > 0.9"] = np.mean(results["relative_residual"][:, row] > 0.9, axis=0)
    return table


def by_choice(results: Results, rtol: float) -> pd.DataFrame:
    """Return what r becomes at one tolerance with each thing that a solver may return.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    rtol : float
        One of its tolerances.
    """
    k = results.coordinates["rtol"].index(rtol)
    rows = {}
    for row, point in enumerate(results.coordinates["point"]):
        r, ratio = (
            results[f"choice_{n}"][:, row, k] for n in ("relative_residual", "residual_ratio")
        )
        for choice, name in enumerate(CHOICES):
            above = np.mean(r[:, choice] > 0.9)
            rows[point, name] = {
                "share r > 0.9": above,
                "‖Hp + g‖/‖g‖": np.median(ratio[:, choice]),
            }
        kinds = point_class(
            results["squared_gradient_norm"][:, row],
            results["truncated_relative_residual"][:, row, k],
            results["truncated_relative_cokernel_residual"][:, row, k],
        )
        rows[point, "eigenvectors"] = {
            "share r > 0.9": np.mean(results["truncated_relative_residual"][:, row, k] > 0.9),
            "‖Hp + g‖/‖g‖": np.median(results["truncated_residual_ratio"][:, row, k]),
            "strictly flat": np.sum(kinds == PointClass.STRICTLY_FLAT),
        }
    table = pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(list(rows)))
    return table.rename_axis(index=["iterate", "direction"])


def share_at_end(experiment: Tolerance, results: Results, cutoff: float) -> Array:
    """Return the share of ‖g‖² below a cut-off at the last iterates, (settings, starts)."""
    last = results.coordinates["point"].index("last")
    return np.asarray(results["rerun_share"][:, :, last, experiment.tolerances.index(cutoff)])


def reruns(experiment: Tolerance, results: Results) -> pd.DataFrame:
    """Return how the re-runs of each setting end.

    Parameters
    ----------
    experiment, results
        ``Tolerance`` and its results.

    Returns
    -------
    DataFrame
        Numbers of runs by how they end; medians of ‖g‖², the last step lengths and the index; and
        how many of the gradient-flat ends are flat by smaller cut-offs too.
    """
    end, at = results["rerun_end"], results["rerun_iterations"][..., None]
    squared = np.take_along_axis(results["rerun_squared_gradient_norm"], at, axis=-1)[..., 0]
    last = results.coordinates["point"].index("last")
    table = pd.DataFrame(
        {
            **{name: np.sum(end == code, axis=1) for code, (name, _) in ENDS.items()},
            "‖g‖²": np.median(squared, axis=1),
            "step length": np.median(results["rerun_late_step"], axis=1),
            "index": np.median(results["rerun_index"][..., last], axis=1),
        },
        pd.Index(variant_names(results), name="setting"),
    )
    for cutoff in (1e-4, 1e-5, 1e-7):
        strict = share_at_end(experiment, results, cutoff) >= experiment.flat_share
        table[f"flat below {cutoff:g}"] = np.sum(strict & (end == End.FLAT), axis=1)
    return table


def ever_flat(results: Results, levels: Sequence[float]) -> Array:
    """Return the share of re-runs that ever meet r > level, with its 95 % interval.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    levels : sequence of float

    Returns
    -------
    array (levels, settings, 3)
        Share, and the ends of its interval.
    """
    largest = np.nanmax(results["rerun_relative_residual"], axis=-1)
    runs = largest.shape[1]
    counts = [[int(np.sum(own > level)) for own in largest] for level in levels]
    return np.array([[(k / runs, *rules.binomial(k, runs)) for k in row] for row in counts])


def first_gradients(profile: str, seed: int | None = None, networks: int = 10) -> pd.DataFrame:
    """Return the largest ‖g‖² before any training, by initial weights and scaling of the images.

    Parameters
    ----------
    profile : {"paper", "quick"}
    seed : int, optional
        As of ``MnistAutoencoder``.
    networks : int
        10, as many as Fig. 3 has trajectories here.
    """
    columns = {}
    for scaling in SCALINGS:
        source = MnistAutoencoder.from_profile(profile, scaling=scaling, seed=seed)
        objective = source.objective()
        largest = {}
        for scheme in SCHEMES:
            rngs = generators(source.seed, (1,), networks)
            theta = np.stack([initial_theta(objective.net, scheme, rng) for rng in rngs])
            gradient = objective.value_and_gradient(theta)[1]
            largest[INITIAL.get(scheme, scheme)] = np.sum(gradient**2, axis=1).max()
        columns[f"images scaled by {scaling}"] = largest
    return pd.DataFrame(columns).rename_axis(index="initial weights")


def gradient_left(
    hessian: Array, gradient: Array, directions: Mapping[float, Array]
) -> tuple[Array, Array, dict[float, Array]]:
    """Return a gradient, and what directions leave of it, in the basis of the eigenvectors.

    Parameters
    ----------
    hessian : array (n, n)
    gradient : array (n,)
    directions : dict of arrays (n,)
        By tolerance.

    Returns
    -------
    eigenvalues, parts : array (n,)
    residuals : dict of arrays (n,)
        Qᵀ(Hp + g) by tolerance.
    """
    eigenvalues, Q = np.linalg.eigh(hessian)
    residuals = {rtol: Q.T @ (hessian @ p + gradient) for rtol, p in directions.items()}
    return eigenvalues, Q.T @ gradient, residuals


def by_finder(results: Results) -> pd.DataFrame:
    """Return how far the runs of each finder get on each network, and at what cost.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``.

    Returns
    -------
    DataFrame
        By network and finder: numbers of runs that come below the cut-offs, and the median cost in
        products of those; numbers of runs by how they end; medians over all runs.
    """
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for k, f, own in _finders(results):
        cost = results["cutoff_cost"][k, f]
        rows[own] = {}
        for c, cutoff in enumerate(results.coordinates["cutoff"]):
            there = cost[np.isfinite(cost[:, c]), c]
            rows[own][f"below {cutoff:g}"] = len(there)
            rows[own][f"cost of {cutoff:g}"] = np.median(there) if len(there) else np.nan
        for code, (name, _) in ENDS.items():
            rows[own][name] = int(np.sum(results["end"][k, f] == code))
        for text, name in (("lowest ‖g‖²", "lowest"), ("loss", "value"), ("index", "index")):
            rows[own][text] = np.median(results[name][k, f])
        rows[own]["seconds"] = np.median(results["seconds"][k, f])
    return _table(rows, ["network", "finder"])


def shares_by_end(results: Results) -> pd.DataFrame:
    """Return which share of ‖g‖² lies in small eigenspaces, for each kind of end by itself.

    A median over all runs of a finder would mix critical ends, whose tiny gradient may lie
    anywhere, with flat ones.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``.

    Returns
    -------
    DataFrame
        By network, finder and end: the number of runs, the median share below each cut-off
        relative to the largest |λ|, and the largest share of any of these runs.
    """
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for k, f, own in _finders(results):
        for code, (name, _) in ENDS.items():
            mine = results["share"][k, f][results["end"][k, f] == code]
            if not len(mine):
                continue
            rows[*own, name] = {"runs": len(mine)}
            for c, cutoff in enumerate(results.coordinates["share"]):
                rows[*own, name][f"below {cutoff:g}"] = np.median(mine[:, c])
                rows[*own, name][f"largest below {cutoff:g}"] = mine[:, c].max()
    return _table(rows, ["network", "finder", "end"])


def _finders(results: Results) -> list[tuple[int, int, tuple[str, str]]]:
    return [
        (k, f, (NETWORKS[network], FINDERS[finder]))
        for k, network in enumerate(results.coordinates["network"])
        for f, finder in enumerate(results.coordinates["finder"])
    ]


def _table(rows: dict[tuple[str, ...], dict[str, float]], names: list[str]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(list(rows), names=names)
    return pd.DataFrame(list(rows.values()), index)
