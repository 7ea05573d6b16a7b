"""The experiments on gradient-flat regions, on little data and for few iterations."""

import numpy as np
import pytest

from autocrit_lite import MLP, newton_mr
from autocrit_lite.linalg.inertia import morse_index
from autocrit_lite.papers.frye_2021.gradient_flat import CUTOFFS, HISTORIES, POINTS, SHARES
from autocrit_lite.papers.frye_2021.linear_vs_nonlinear import NETWORKS, LinearVsNonlinear
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.papers.frye_2021.mnist_classifier import MnistClassifier, logistic_accuracy
from autocrit_lite.papers.frye_2021.random_labels import RandomLabels
from autocrit_lite.points.classes import is_gradient_flat, point_class
from autocrit_lite.runner.results import rounded
from autocrit_lite.runner.store import Store

SMALL = {
    "n_samples": 100,
    "trajectories": 2,
    "starts": 2,
    "epochs": 40,
    "max_iterations": 8,
    "batch": 3,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("results"))


def computed(kind, store, **settings):
    experiment = kind.from_profile("paper", **{**SMALL, **settings})
    experiment.run(workers=1, store=store)
    return experiment, experiment.load(store=store)


@pytest.fixture(scope="module")
def autoencoder(store):
    return computed(MnistAutoencoder, store)


@pytest.fixture(scope="module")
def objective(autoencoder):
    return autoencoder[0].objective()


def test_the_network_is_that_of_figure_3(objective):
    assert objective.net == MLP((16, 8, 16, 16), "swish", bias=True)
    assert objective.net.n_parameters == 552


def test_the_last_batch_is_smaller(autoencoder):
    runs = [task.configuration["runs"] for task in autoencoder[0].stages()[1]]
    assert runs == [[0, 3], [3, 4]]


def test_starts_are_iterates_of_training(autoencoder, objective):
    _, results = autoencoder
    loss, _ = objective.value_and_gradient(results["theta_start"])
    for t, own in enumerate(loss.reshape(2, 2)):
        trained = results["train_loss"][t]
        assert results["train_epoch"][[0, -1]].tolist() == [0, 40]
        # fewer than 200 epochs: all are kept
        assert np.all(np.min(np.abs(own[:, None] - trained), axis=1) < 1e-12)
    _, gradient = objective.value_and_gradient(results["theta_trained"])
    np.testing.assert_allclose(
        results["train_squared_gradient_norm"][:, -1], np.sum(gradient**2, axis=1), rtol=1e-9
    )


def test_histories_and_first_iterates_are_those_of_newton_mr(autoencoder, objective):
    _, results = autoencoder
    trace = newton_mr(objective, results["theta_start"][:3], 8, 5e-4, record_theta=True)
    for name in HISTORIES:
        np.testing.assert_allclose(results[name][:3], getattr(trace, name), rtol=2e-5)
    np.testing.assert_allclose(results["theta_first"][:3], trace.theta_first, rtol=1e-7)
    np.testing.assert_allclose(results["theta_point"][:3, 1], trace.theta, rtol=1e-12)
    flattest = trace.thetas[np.arange(3), np.nanargmax(trace.relative_residual, axis=1)]
    np.testing.assert_allclose(results["theta_point"][:3, 0], flattest, rtol=1e-12)


def test_what_is_told_of_the_points_is_so(autoencoder, objective):
    _, results = autoencoder
    for k in range(len(POINTS)):
        point = objective.linearize(np.ascontiguousarray(results["theta_point"][:, k]))
        H, g = point.hessian(), point.gradient
        np.testing.assert_allclose(results["point_value"][:, k], point.value, rtol=1e-12)
        squared = np.sum(g**2, axis=1)
        np.testing.assert_allclose(results["point_squared_gradient_norm"][:, k], squared, rtol=1e-9)
        np.testing.assert_array_equal(results["point_index"][:, k], morse_index(H))
        eigenvalues = results["eigenvalues"][:, k]
        trace = np.trace(H, axis1=1, axis2=2)
        np.testing.assert_allclose(eigenvalues.sum(axis=1), trace, rtol=1e-3)
        for run in range(4):
            lam, Q = np.linalg.eigh(H[run])
            np.testing.assert_allclose(eigenvalues[run], lam, rtol=2e-5, atol=1e-12)
            for s, cut in enumerate(SHARES):
                kernel = Q[:, np.abs(lam) < cut]
                share = np.sum((kernel.T @ g[run]) ** 2) / squared[run]
                assert results["gradient_share"][run, k, s] == pytest.approx(share, abs=1e-9)


def test_the_flattest_point_has_the_largest_r(autoencoder):
    _, results = autoencoder
    r = results["relative_residual"]
    np.testing.assert_array_equal(results["point_iteration"][:, 0], np.nanargmax(r, axis=1))
    np.testing.assert_array_equal(results["point_iteration"][:, 1], results["iterations"])
    largest = results["point_relative_residual"][:, 0]
    np.testing.assert_allclose(largest, np.nanmax(r, axis=1), rtol=1e-3)
    # the Frobenius norm is at least the 2-norm, hence r is smaller
    frobenius = results["point_relative_residual_frobenius"]
    assert np.all(frobenius <= results["point_relative_residual"] * (1 + 1e-9))
    np.testing.assert_array_equal(
        results["point_class"],
        point_class(
            results["point_squared_gradient_norm"],
            results["point_relative_residual"],
            results["point_relative_cokernel_residual"],
        ),
    )


def test_the_first_crossing_of_no_cutoff_is_the_start(autoencoder, objective):
    _, results = autoencoder
    assert CUTOFFS[-1] == np.inf
    np.testing.assert_array_equal(results["cutoff_iteration"][:, -1], 0.0)
    point = objective.linearize(results["theta_start"])
    np.testing.assert_allclose(results["cutoff_loss"][:, -1], point.value, rtol=1e-12)
    np.testing.assert_array_equal(results["cutoff_index"][:, -1], morse_index(point.hessian()))
    norms, iteration = results["squared_gradient_norm"], results["cutoff_iteration"]
    for run in range(4):
        for column, cutoff in enumerate(CUTOFFS):
            below = np.flatnonzero(norms[run] < cutoff)
            first = below[0] if below.size else np.nan
            np.testing.assert_equal(iteration[run, column], first)


def test_the_mean_image_is_the_best_constant_output(autoencoder, objective):
    _, results = autoencoder
    # no weights in the last layer, and the mean of the targets, 0 after the z-score, as its biases
    assert results["mean_loss"] == pytest.approx(objective.value_and_gradient(np.zeros(552))[0])


def test_a_search_from_the_same_start_differs_by_what_rounding_makes_of_it(autoencoder, store):
    _, results = autoencoder
    experiment, single = computed(MnistAutoencoder, store, batch=1, max_iterations=3)
    np.testing.assert_array_equal(single["theta_start"], results["theta_start"])
    bound = [
        experiment.binding({name: found[name] for name in ("cutoff_loss", "cutoff_index")})
        for found in (single, results)
    ]
    for name, one in bound[0].items():
        np.testing.assert_allclose(one, bound[1][name], rtol=1e-12)
    # the solver's hundreds of iterations amplify it, up to its tolerance
    np.testing.assert_allclose(single["value"][:, 1], results["value"][:, 1], rtol=1e-2)


def test_the_scaling_changes_the_data(store, autoencoder):
    _, overall = computed(MnistAutoencoder, store, scaling="overall", max_iterations=1)
    assert overall["mean_loss"] < autoencoder[1]["mean_loss"]


def test_binding_and_distributions_are_of_what_a_task_stores(autoencoder, store):
    experiment, results = autoencoder
    train, find = (store.read(stage[0]).arrays for stage in experiment.stages())
    assert list(experiment.binding(train)) == ["theta_start"]
    bound = experiment.binding(find)
    np.testing.assert_array_equal(bound["cutoff_loss"], results["cutoff_loss"][:3, -1])
    assert list(bound) == ["cutoff_loss", "cutoff_index"]
    assert experiment.distributions(train) == {}
    end = experiment.distributions(find)["end"]
    np.testing.assert_allclose(
        end, np.log10(results["point_squared_gradient_norm"][:3, POINTS.index("last")])
    )


def test_the_classifier_learns_and_is_told_how_well(store):
    experiment, results = computed(MnistClassifier, store, n_samples=200, epochs=200)
    net = experiment.objective().net
    assert (net.layers, net.bias, net.n_parameters) == ((16, 12, 8, 10), True, 398)
    assert np.all(results["accuracy"] > 0.8)
    assert results["logistic_accuracy"] > 0.8
    assert set(experiment.claims(results)) >= {"f21-cls-09", "f21-cls-acc", "f21-logreg"}


def test_logistic_regression_finds_the_boundary():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    labels = (X[:, 0] + 0.5 * rng.standard_normal(300) > 0).astype(np.int64)
    assert logistic_accuracy(X, labels) == pytest.approx(np.mean((X[:, 0] > 0) == labels), abs=0.05)


def test_random_labels_are_memorised(store):
    experiment, results = computed(RandomLabels, store, n_samples=50, epochs=200, max_iterations=4)
    net = experiment.objective().net
    assert (net.layers, net.bias) == ((32, 32, 4, 2), False)
    claims = experiment.claims(results)
    assert claims["f21-mem-n"].verdict == "reproduced"
    assert np.all(results["correct"] >= 45)
    flat = is_gradient_flat(results["relative_residual"], results["relative_cokernel_residual"])
    assert claims["f21-mem-flat"].value == flat.any(axis=1).mean()


@pytest.fixture(scope="module")
def both(store):
    return computed(LinearVsNonlinear, store, n_samples=200, epochs=100, max_iterations=5)


def test_both_networks_see_the_same_data_and_only_one_is_penalised(both):
    experiment, results = both
    studies = [experiment.study(network) for network in ("linear", "nonlinear")]
    assert [study.l2 for study in studies] == [0.0, experiment.l2]
    assert experiment.l2 > 0.0
    sizes = [net.n_parameters for net in NETWORKS.values()]
    assert sizes == [128, 384]
    for k, (study, n) in enumerate(zip(studies, sizes, strict=True)):
        theta = results["theta_start"][k]
        assert np.all(np.isfinite(theta[:, :n]))
        assert np.all(np.isnan(theta[:, n:]))
        value, _ = study.objective().value_and_gradient(theta[:, :n].copy())
        np.testing.assert_allclose(results["value"][k, :, 0], value, rtol=2e-5)
    assert results["true_loss"].shape == (2517,)
    assert results["train_loss"][0].min() > results["true_loss"].min() - 1e-9


def test_one_network_alone_gives_the_same_runs(both, store):
    _, results = both
    experiment, alone = computed(
        LinearVsNonlinear, store, n_samples=200, epochs=100, max_iterations=5, networks=["linear"]
    )
    np.testing.assert_array_equal(alone["value"][0], results["value"][0])
    assert experiment.claims(alone) == {}
    assert set(both[0].claims(results)) == {
        "f21-linear",
        "f21-nonlinear",
        "f21-linear-fast",
    }


def test_rounding_keeps_the_digits_asked_for():
    x = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.linspace(-280, 280, 1000)
    for bits in (8, 16, 24):
        assert np.max(np.abs(rounded(x, bits) / x - 1.0)) <= 2.0**-bits
    np.testing.assert_array_equal(rounded(np.array([np.nan, np.inf, 0.0])), [np.nan, np.inf, 0.0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (MnistAutoencoder, {"scaling": "row"}),
        (MnistAutoencoder, {"momentum": 1.0}),
        (MnistAutoencoder, {"batch": 0}),
        (MnistClassifier, {"l2": -1.0}),
        (RandomLabels, {"n_samples": 32}),
        (LinearVsNonlinear, {"networks": ()}),
        (LinearVsNonlinear, {"networks": ("linear", "linear")}),
    ],
)
def test_bad_settings_are_refused_by_name(kind, settings):
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        kind.from_profile("paper", **settings)
