"""The Newton systems solved to several tolerances, and the runs repeated, at tiny size."""

from dataclasses import replace

import numpy as np
import pytest

from autocrit_lite import minres_qlp
from autocrit_lite.finders import FinderStopReason
from autocrit_lite.linalg.minres_qlp import StopReason
from autocrit_lite.linalg.residuals import residual_indices
from autocrit_lite.papers.frye_2021.ends import End, EndRule, late
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.papers.frye_2021.newton_systems import (
    CHOICES,
    INDICES,
    LEVELS,
    Diagonal,
    last_iterates,
    resolve,
    within,
)
from autocrit_lite.papers.frye_2021.tolerance import Tolerance
from autocrit_lite.runner.experiment import Experiment, MissingResultsError
from autocrit_lite.runner.store import Store

TOLERANCES = (1e-2, 1e-3, 5e-4)
SMALL = {
    "n_samples": 100,
    "trajectories": 2,
    "starts": 1,
    "epochs": 40,
    "max_iterations": 4,
    "rerun_iterations": 4,
    "rerun_starts": 2,
    "tolerances": TOLERANCES,
    "rtols": (1e-2, 5e-4),
    "l2s": (1e-1,),
    "initializations": ("he",),
}


@pytest.fixture
def systems():
    """Three systems of ten unknowns, with one eigenvalue of 1e-3 and one of 1e-8."""
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate([[1e-3, -1e-8], np.linspace(-1.0, 2.0, 8)])
    Q = np.linalg.qr(rng.standard_normal((3, 10, 10)))[0]
    return Q @ (eigenvalues[:, None] * np.swapaxes(Q, 1, 2)), rng.standard_normal((3, 10))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"))
    experiment = Tolerance.from_profile("quick", **SMALL)
    experiment.run(workers=1, store=store)
    return experiment, experiment.load(store=store)


def solved(H, g, rtol):
    n = g.shape[-1]
    return minres_qlp(H, -g, rtol=rtol, maxit=n, maxxnorm=np.inf, acondlim=np.inf)


def test_the_eigenbasis_changes_no_solution():
    """Of systems that meet the tolerances long before the Lanczos vectors lose what they have."""
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate([np.zeros(5), rng.uniform(0.5, 2.0, 55)])
    eigenvalues[::2] *= -1.0
    Q = np.linalg.qr(rng.standard_normal((3, 60, 60)))[0]
    systems = Q @ (eigenvalues[:, None] * np.swapaxes(Q, 1, 2)), rng.standard_normal((3, 60))
    systems[1][0] = systems[0][0] @ systems[1][0]  # in the range of H
    found = resolve(*systems, TOLERANCES)
    assert np.all(found["solver_iterations"] < 40)
    for row, (H, g) in enumerate(zip(*systems, strict=True)):
        for k, rtol in enumerate(TOLERANCES):
            dense = solved(H, g, rtol)
            indices = residual_indices(H, g, dense.x)
            assert found["solver_stop_reason"][row, k] == dense.stop_reason
            ours = [found[name][row, k] for name in INDICES]
            # r and r_H by the solver's norm, the ratio, then both by Frobenius'
            theirs = [dense.relative_residual, dense.relative_cokernel_residual]
            theirs += [indices.residual_ratio, indices.relative_residual]
            theirs += [indices.relative_cokernel_residual]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)


def test_the_truncated_direction_leaves_what_lies_in_the_eigenspaces_dropped(systems):
    H, g = systems
    cutoffs = (1e-2, 1e-5)
    found = resolve(H, g, cutoffs)
    np.testing.assert_allclose(
        found["truncated_residual_ratio"] ** 2, found["share"], rtol=1e-9, atol=1e-20
    )
    for row in range(len(g)):
        for k, cutoff in enumerate(cutoffs):
            p = -np.linalg.pinv(H[row], rcond=cutoff, hermitian=True) @ g[row]
            indices = residual_indices(H[row], g[row], p)
            for name in ("relative_residual", "relative_cokernel_residual"):
                assert found[f"truncated_{name}_frobenius"][row, k] == pytest.approx(
                    getattr(indices, name), rel=1e-5, abs=1e-11
                )


def test_shares_are_those_of_the_projections():
    eigenvalues = np.array([[-4.0, 1e-3, 2.0]])
    parts = np.array([[3.0, 1.0, 2.0]])
    shares = within(eigenvalues, parts, (1.0, 0.5, 1e-3, 1e-5))
    np.testing.assert_allclose(shares, np.array([[14.0, 5.0, 1.0, 0.0]]) / 14.0)
    H, g = np.diag(eigenvalues[0])[None], parts
    below = resolve(H, g, (1e-2,))["share_below"][0]
    expected = [1 / 14 if level >= 1e-3 else 0.0 for level in LEVELS[:-1]]
    np.testing.assert_allclose(below[:-1], expected)
    assert below[-1] == pytest.approx(1.0)


def test_the_three_choices_are_the_iterates_that_the_solver_passes_through():
    rng = np.random.default_rng(1)
    eigenvalues, b = rng.uniform(-1.0, 3.0, 40), rng.standard_normal(40)
    seen = [np.zeros(40)]
    minres_qlp(Diagonal(eigenvalues), b, rtol=1e-10, callback=lambda x: seen.append(x.copy()))
    for k in (1, 2, 5, 9):
        before, full, short = last_iterates(eigenvalues, b, k)
        np.testing.assert_allclose(before, seen[k - 1], atol=1e-10)
        np.testing.assert_allclose(full, seen[k], atol=1e-10)
        # a projection of the full one
        assert short @ (full - short) == pytest.approx(0.0, abs=1e-9)
        assert np.linalg.norm(b - eigenvalues * full) <= np.linalg.norm(b - eigenvalues * short)


def test_the_short_one_is_the_shortest_where_the_system_is_singular():
    eigenvalues = np.array([2.0, -1.0, 0.5, 0.0])
    b = np.array([1.0, 1.0, 1.0, 1.0])
    short = last_iterates(eigenvalues, b, 4)[CHOICES.index("short")]
    np.testing.assert_allclose(short, [0.5, -1.0, 2.0, 0.0], atol=1e-9)


def test_what_is_returned_at_a_flat_point_decides_r():
    rng = np.random.default_rng(2)
    eigenvalues = np.concatenate([np.linspace(1.0, 3.0, 5), 1e-5 * rng.uniform(-1, 1, 20)])
    g = np.concatenate([1e-2 * rng.standard_normal(5), rng.standard_normal(20)])
    found = resolve(np.diag(eigenvalues)[None], g[None], (5e-4, 1e-12))
    loose = {name: x[0, 0] for name, x in found.items() if x.ndim > 1}
    assert loose["solver_stop_reason"] == StopReason.LEAST_SQUARES
    before, full, short = loose["choice_relative_residual"]
    assert before == pytest.approx(loose["relative_residual"])
    assert full < before < 0.9 < short
    # flat to the loose tolerance alone
    assert loose["residual_ratio"] > 0.9
    assert found["truncated_residual_ratio"][0].tolist() == pytest.approx([1.0, 0.0], abs=1e-3)


def test_the_re_runs_start_where_figure_3_does(own):
    experiment, results = own
    assert experiment.source() == MnistAutoencoder(
        profile="quick",
        **{k: SMALL[k] for k in ("n_samples", "trajectories", "starts", "epochs")},
        max_iterations=4,
        batch=5,
    )
    source = experiment.source()
    starts = source.train_and_sample()["theta_start"]
    squared = np.sum(source.objective().value_and_gradient(starts)[1] ** 2, axis=1)
    first = results["rerun_squared_gradient_norm"][:, :, 0]
    np.testing.assert_allclose(first[:2], np.broadcast_to(squared, (2, 2)), rtol=2e-5)
    penalised = replace(source, l2=0.1).objective()
    squared = np.sum(penalised.value_and_gradient(starts)[1] ** 2, axis=1)
    variants = results.coordinates["variant"]
    assert variants == ["rtol 0.0005", "rtol 0.01", "l2 0.1", "scaling overall", "he", "x_k"]
    np.testing.assert_allclose(first[variants.index("l2 0.1")], squared, rtol=2e-5)
    assert not np.isclose(first[-2], first[0], rtol=1e-3).any()
    np.testing.assert_array_equal(first[-1], first[0])


def test_own_points_are_those_of_the_first_variant(own):
    experiment, results = own
    objective = experiment.source().objective()
    theta = results["rerun_theta"][0]
    assert results["relative_residual"].shape == (2, 2, len(TOLERANCES))
    for run in range(2):
        point = objective.linearize(theta[run])
        assert results["squared_gradient_norm"][run] == pytest.approx(
            np.sum(point.gradient**2, axis=1)
        )
    k = TOLERANCES.index(5e-4)
    np.testing.assert_allclose(results["share"], results["rerun_share"][0], rtol=1e-6)
    flattest = np.nanmax(results["rerun_relative_residual"][0], axis=1)
    np.testing.assert_allclose(results["relative_residual"][:, 0, k], flattest, rtol=0.1)


def test_archived_points_are_read_or_missed_with_one_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOCRIT_LITE_RESULTS", str(tmp_path))
    settings = {**SMALL, "rerun_iterations": 1, "rerun_starts": 1, "points": "archived"}
    experiment = Tolerance.from_profile("quick", **settings)
    with pytest.raises(MissingResultsError, match="of mnist_autoencoder have no result"):
        experiment.run(workers=1)
    assert not (tmp_path / "tolerance").exists()
    experiment.source().run(workers=1)
    theirs = experiment.source().load()
    experiment.run(workers=1)
    ours = experiment.load()
    np.testing.assert_allclose(
        ours["squared_gradient_norm"], theirs["point_squared_gradient_norm"], rtol=1e-9
    )
    k = TOLERANCES.index(5e-4)
    np.testing.assert_allclose(
        ours["relative_residual"][..., k], theirs["point_relative_residual"], rtol=0.1
    )


def test_the_ends_of_runs_are_told_by_the_settings(own):
    experiment, results = own
    share = results["rerun_share"][:, :, 1, TOLERANCES.index(experiment.flat_cutoff)]
    last = results["rerun_squared_gradient_norm"][..., -1]
    assert np.all(last >= experiment.critical)
    flat = results["rerun_end"] == End.FLAT
    np.testing.assert_array_equal(flat, share >= experiment.flat_share)
    assert experiment.claims(results) == {}


def test_a_stalled_run_is_none_whose_gradient_is_flat_or_small():
    failed = int(FinderStopReason.LINE_SEARCH_FAILED)
    limit = int(FinderStopReason.MAX_ITERATIONS)
    squared = np.array([1e-9, 1e-2, 1e-2, 1e-2])
    share = np.array([0.0, 0.9, 0.0, 0.0])
    reason = np.array([failed, failed, failed, limit])
    codes = EndRule().ends(squared, share, np.full(4, 0.5), np.full(4, 0.1), reason)
    assert codes.tolist() == [End.CRITICAL, End.FLAT, End.STALLED, End.UNDERWAY]


def test_a_run_that_moves_in_one_sense_has_not_stalled():
    limit = int(FinderStopReason.MAX_ITERATIONS)
    assert EndRule().ends(1e-2, 0.0, 0.05, 1e-4, limit) == End.STALLED
    assert EndRule().ends(1e-2, 0.0, -0.05, -1e-4, limit) == End.STALLED
    # few iterations, or many, of which each does little
    assert EndRule().ends(1e-2, 0.0, 0.05, 0.025, limit) == End.UNDERWAY
    assert EndRule().ends(1e-2, 0.0, 0.9, 1e-4, limit) == End.UNDERWAY
    # ‖g‖ doubles
    assert EndRule().ends(1e-2, 0.0, -3.0, -0.1, limit) == End.UNDERWAY
    assert EndRule(slow=1e-5).ends(1e-2, 0.0, 0.05, 1e-4, limit) == End.UNDERWAY


def test_late_looks_at_the_last_part_of_a_run_alone():
    squared = np.where(np.arange(101) < 90, np.exp(-np.arange(101.0)), 1e-3)
    steps = np.where(np.arange(101) < 90, 1.0, 1e-6)
    assert late(squared, steps, np.asarray(100), 0.1) == (0.0, 0.0, 1e-6)
    fall, pace, step = late(squared, steps, np.asarray(80), 0.1)
    assert fall == pytest.approx(1.0 - np.exp(-8.0))
    assert pace == pytest.approx(1.0 - np.exp(-0.5))
    assert step == 1.0
    fall, pace, step = late(squared, steps, np.asarray(0), 0.1)
    assert (fall, pace) == (0.0, 0.0)
    assert np.isnan(step)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rtols", {"rtols": (1e-2,)}),
        ("flat_cutoff", {"flat_cutoff": 0.3}),
        ("rerun_starts", {"rerun_starts": 101}),
        ("points", {"points": "all"}),
        ("layers must begin with 16 and end with 16", {"layers": (1, 2)}),
    ],
)
def test_bad_settings_are_refused_by_name(name, settings):
    with pytest.raises(ValueError, match=name):
        Tolerance.from_profile("paper", **settings)


def test_fig_3_is_looked_up_in_the_store_that_is_given(tmp_path, monkeypatch):
    """It is in the archive, and not in this one."""

    def started(self, **options):
        raise AssertionError("work was started")

    monkeypatch.setattr(Experiment, "run", started)
    with pytest.raises(MissingResultsError, match="mnist_autoencoder"):
        Tolerance.from_profile("paper").run(workers=1, store=Store(tmp_path / "none"))
