"""The experiments on the linear autoencoder, on a small network and little data."""

import numpy as np
import pytest

from autocrit_lite.ground_truth.plane import plane_distance
from autocrit_lite.papers.frye_2019.claims import (
    CUTOFF,
    PAPER_SIGMAS,
    figure_1_and_2,
    figure_3_and_4,
)
from autocrit_lite.papers.frye_2019.coverage import Coverage, chao1
from autocrit_lite.papers.frye_2019.linear_autoencoder import (
    CUTOFFS,
    METHODS,
    LinearAutoencoder,
)
from autocrit_lite.papers.frye_2019.sampling_bias import SamplingBias
from autocrit_lite.papers.frye_2019.solver_limit import SolverLimit
from autocrit_lite.runner.results import Results
from autocrit_lite.runner.store import Store

SMALL = {
    "n_samples": 300,
    "n_hidden": 1,
    "trajectories": 2,
    "starts": 3,
    "epochs": 300,
    "max_iterations": 400,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def experiment():
    return LinearAutoencoder.from_profile("paper", **SMALL, gnm_iterations=200)


@pytest.fixture(scope="module")
def results(experiment, store):
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def test_newton_runs_end_at_true_critical_points(results):
    m = METHODS.index("newton_mr")
    ok = results["end"][m] < CUTOFF
    assert ok.any()  # which of them the limit on iterations cuts short is chaotic
    row = results["row"][m][ok]
    error = np.abs(results["loss"][m][ok] - results["true_loss"][row])
    assert np.all(error <= results["loss_bound"][m][ok] + 1e-12)
    np.testing.assert_array_equal(results["index"][m][ok], results["true_index"][row])
    # the maps of different points, projections, are at least 1 apart
    assert np.all(results["distance"][m][ok] < 0.1)


def test_histories_hold_the_start_and_fall_to_the_end(results):
    for m in range(len(METHODS)):
        history, step = results["squared_gradient_norm"][m], results["iteration"][m]
        assert step[0] == 0
        for run, last in enumerate(results["iterations"][m]):
            assert np.all(np.isfinite(history[run, step <= last]))
            assert np.all(np.isnan(history[run, step > last]))
            assert results["end"][m, run] <= history[run, 0]


def test_every_method_begins_at_the_same_starts(experiment, results):
    first = results["squared_gradient_norm"][:, :, 0]
    np.testing.assert_allclose(first, np.broadcast_to(first[0], first.shape), rtol=1e-9)


def test_crossings_of_looser_cutoffs_come_earlier(results):
    crossing = results["cutoff_iteration"]
    assert CUTOFFS[-1] == np.inf
    np.testing.assert_array_equal(crossing[..., -1], 0.0)
    later, earlier = crossing[..., :-1], crossing[..., 1:]
    assert np.all((earlier <= later) | np.isnan(later))


def test_accepted_points_are_accurate_where_the_cutoff_is_strict(results):
    distance = plane_distance(
        results["cutoff_index"][0],
        results["cutoff_loss"][0],
        results["true_index"],
        results["true_loss"],
    )
    assert np.nanmax(distance[:, 0]) < 1e-3
    assert np.nanmax(distance[:, -1]) > 1e-2


def altered(results, name, array):
    return Results({**results.arrays, name: array}, results.dims, results.coordinates)


def test_a_spurious_point_is_counted(results):
    assert figure_1_and_2(results, METHODS)["f19-no-spurious"].value == 0
    index = results["index"].copy()
    run = np.flatnonzero(results["end"][0] < CUTOFF)[0]
    index[0, run] += 1 / 32
    claim = figure_1_and_2(altered(results, "index", index), METHODS)["f19-no-spurious"]
    assert (claim.value, claim.verdict) == (1, "differs")


def test_medians_and_failure_rates_are_those_of_the_runs(results):
    found = figure_1_and_2(results, METHODS)
    assert found["f19-iter-mr"].value == np.median(results["iterations"][0])
    low, high = found["f19-iter-mr"].interval
    assert low <= found["f19-iter-mr"].value <= high
    gnm = METHODS.index("gradient_norm_minimization")
    assert found["f19-gnm-fail"].value == np.mean(results["end"][gnm] >= CUTOFF)


def test_a_median_at_the_printed_value_is_reproduced_and_one_far_away_is_not(results):
    shape = results["iterations"].shape
    for value, verdict in ((221, "reproduced"), (10, "differs")):
        iterations = np.full(shape, value) + np.arange(shape[1]) % 2
        changed = altered(results, "iterations", iterations)
        assert figure_1_and_2(changed, METHODS)["f19-iter-mr"].verdict == verdict


def test_the_count_of_critical_points_is_that_of_the_network(results):
    claim = figure_1_and_2(results, METHODS)["f19-count"]
    assert claim.value == [1, 16]  # one hidden unit: 1 + 16 sets, one of them the minimum
    assert claim.verdict == "differs"


@pytest.fixture(scope="module")
def bias(store):
    experiment = SamplingBias.from_profile("paper", **SMALL, sigmas=(0.0, 0.3))
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def test_noise_changes_the_starts_and_not_the_power_before_it(bias):
    assert bias["start_loss"].shape == (2, 2, 6)
    assert np.all(bias["start_loss"][0, 0] != bias["start_loss"][0, 1])
    np.testing.assert_array_equal(bias["power"][:, 0], bias["power"][:, 1])


def test_the_runs_without_noise_are_those_of_figure_1(bias, results):
    np.testing.assert_array_equal(bias["row"][0, 0], results["row"][0])
    np.testing.assert_array_equal(bias["end"][0, 0], results["end"][0])


@pytest.fixture(scope="module")
def limited(store):
    experiment = SolverLimit.from_profile(
        "paper", **SMALL, gnm_iterations=200, limits_compared=(3, 25), sigmas=(0.0, 0.3)
    )
    experiment.run(workers=1, store=store)
    return experiment, experiment.load(store=store)


def test_the_default_limit_gives_the_runs_and_the_claims_of_the_figures(
    limited, experiment, results, bias
):
    study, by_limit = limited
    labels = list(by_limit.coordinates["search"])
    assert labels[0] == "newton_mr, height, 0"
    same = by_limit.coordinates["maxit"].index(25)
    for name in ("end", "row", "iterations", "cutoff_iteration"):
        for method, label in zip(METHODS, (labels[0], *labels[-2:]), strict=True):
            np.testing.assert_array_equal(
                by_limit[name][same, labels.index(label)], results[name][METHODS.index(method)]
            )
    of_newton_mr = by_limit["row"][same, :4].reshape(bias["row"].shape)
    np.testing.assert_array_equal(of_newton_mr, bias["row"])
    found = study.claims_by_limit(by_limit)
    assert list(found) == [3, 25]
    for name, measured in figure_1_and_2(results, METHODS).items():
        if not name.startswith("f19-time"):  # of other runs of the same searches
            assert found[25][name].value == measured.value
    rows = study.rows(found)
    assert list(rows.columns) == [3, 25]
    assert "f19-iter-mr" in rows.index
    assert "f19-snr" in found[25]
    assert "f19-snr" not in rows.index  # the starts are the same


def test_another_limit_gives_other_runs_but_for_the_method_without_a_solver(limited):
    _, by_limit = limited
    assert np.all(np.any(by_limit["end"][0, :-1] != by_limit["end"][1, :-1], axis=-1))
    np.testing.assert_array_equal(by_limit["end"][0, -1], by_limit["end"][1, -1])


def test_entropy_claims_on_points_of_known_entropy(bias):
    # every eigenvector is kept equally often: 4 bits
    kept = np.zeros_like(bias["kept"])
    kept[..., :, :] = np.eye(16, dtype=bool)[np.arange(6) % 2]
    uniform = {**bias.arrays, "kept": kept, "end": np.zeros_like(bias["end"])}
    changed = Results(uniform, bias.dims, {**bias.coordinates, "sigma": (0.0, 0.01)})
    found = figure_3_and_4(changed, ("height", "iteration"), (0.0, 0.01))
    assert found["f19-entropy-noise"].value == 1.0
    assert found["f19-entropy-noise"].verdict == "differs"
    assert found["f19-entropy"].value == 1.0
    # t grows with the replicates, and so the difference in bits decides
    assert found["f19-entropy-t"].verdict == "differs"
    assert "The difference is 0 bits" in found["f19-entropy-t"].why


def test_signal_to_noise_lacks_the_factor_of_ten(bias):
    claim = figure_3_and_4(bias, ("height", "iteration"), (0.0, 0.3))["f19-snr"]
    power = bias["power"][0, 0].mean()
    assert claim.value == pytest.approx([np.log10(power / sigma**2) for sigma in PAPER_SIGMAS])


def test_coverage_counts_what_was_found(store):
    small = {**SMALL, "groups": 2, "starts": 2, "sigmas": (0.0,)}
    experiment = Coverage.from_profile("paper", **small)
    experiment.run(workers=1, store=store)
    coverage = experiment.load(store=store)
    assert coverage["row"].shape == (2, 1, 2 * 2 * 2)
    ok = coverage["end"] < CUTOFF
    row = coverage["row"][ok]
    np.testing.assert_allclose(coverage["loss"][ok], coverage["true_loss"][row], atol=1e-6)
    # other trajectories in every group
    assert np.any(coverage["loss"][0, 0, :4] != coverage["loss"][0, 0, 4:])


def test_chao1_on_counts_by_hand():
    # points 1, 2, 3 once; 4 and 5 twice; 6 thrice: 6 + 3·2 / (2·3)
    rows = np.array([1, 2, 3, 4, 4, 5, 5, 6, 6, 6])
    assert chao1(rows) == (6, 7.0)
    assert chao1(np.array([3, 3, 3])) == (1, 1.0)


def test_data_and_truth_depend_on_the_seed():
    _, points = LinearAutoencoder(n_samples=300, n_hidden=1).problem()
    _, other = LinearAutoencoder(n_samples=300, n_hidden=1, seed=1).problem()
    assert np.all(points.loss != other.loss)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (LinearAutoencoder, {"methods": ()}),
        (LinearAutoencoder, {"methods": ("newton_mr", "newton_mr")}),
        (LinearAutoencoder, {"learning_rate": 0.0}),
        (SamplingBias, {"sigmas": (0.1, 0.1)}),
        (SamplingBias, {"schemes": ("depth",)}),
        (Coverage, {"sigmas": ()}),
        (Coverage, {"groups": 0}),
        (SolverLimit, {"limits_compared": (25, 25)}),
        (SolverLimit, {"limits_compared": (0,)}),
    ],
)
def test_bad_settings_are_refused_by_name(kind, settings):
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        kind.from_profile("paper", **settings)
