"""ReLU units in Fig. 1 and other widths in Fig. 3 of Frye et al. 2021, on few short runs."""

import numpy as np
import pytest

from autocrit_lite.networks.activations import ACTIVATIONS
from autocrit_lite.papers.frye_2021.linear_vs_nonlinear import NETWORKS
from autocrit_lite.papers.frye_2021.other_networks import (
    WIDTHS,
    OtherNetworks,
    more_flat_when_wider,
    relu_beside_swish,
)
from autocrit_lite.runner.results import Results
from autocrit_lite.runner.store import Store


@pytest.fixture(scope="module")
def experiment():
    return OtherNetworks.from_profile(
        "paper", n_samples=60, trajectories=2, runs=4, max_iterations=2, batch=3
    )


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"))
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def test_every_network_has_all_its_runs(experiment, results):
    assert results["end"].shape == (4, 4)
    for k, network in enumerate(experiment.networks):
        study = experiment.study(network)
        starts = study.train_for_starts()["theta_start"]
        losses = study.objective().linearize(starts).value
        np.testing.assert_allclose(results["start_loss"][k], losses, rtol=1e-12)


def test_the_networks_are_those_of_the_figures_but_for_units_and_widths(experiment):
    relu = experiment.study("relu").objective()
    assert relu.net.layers == NETWORKS["nonlinear"].layers
    assert relu.net.activation == "relu" in ACTIVATIONS
    assert experiment.study("one").network.layers == WIDTHS["one"]
    assert experiment.study("one").is_the_papers
    half, one, twice = (np.array(WIDTHS[name][1:-1]) for name in ("half", "one", "twice"))
    np.testing.assert_array_equal(2 * half, one)
    np.testing.assert_array_equal(2 * one, twice)


def swish(ends):
    squared = np.zeros((1, len(ends), 2))
    squared[0, :, 1] = ends
    dims = {"point_squared_gradient_norm": ("network", "run", "point")}
    return Results({"point_squared_gradient_norm": squared}, dims, {"network": ("nonlinear",)})


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1e3, "reproduced"), (1.0, "differs"), (1e-3, "differs")]
)
def test_relu_is_worse_if_its_runs_end_at_larger_gradients(factor, verdict):
    rng = np.random.default_rng(0)
    ends = np.exp(rng.normal(size=50))
    (said,) = relu_beside_swish(factor * ends, swish(ends)).values()
    assert said.verdict == verdict
    assert abs(said.value - 0.5) == {1.0: 0.0}.get(factor, pytest.approx(0.5, abs=0.02))


@pytest.mark.parametrize(
    ("means", "verdict"), [((0.1, 0.4, 0.8), "reproduced"), ((0.8, 0.4, 0.1), "differs")]
)
def test_width_counts_if_the_share_of_flat_iterates_grows(means, verdict):
    rng = np.random.default_rng(0)
    flat = np.array(means)[:, None] + rng.uniform(-0.1, 0.1, size=(3, 50))
    (said,) = more_flat_when_wider(flat, 10).values()
    assert said.verdict == verdict


def test_width_does_not_count_by_chance():
    flat = np.tile(np.linspace(0.0, 1.0, 50), (3, 1))
    (said,) = more_flat_when_wider(flat, 10).values()
    assert said.value == pytest.approx(0.0, abs=1e-12)
    assert said.verdict == "differs"


def test_runs_come_evenly_from_the_trajectories():
    with pytest.raises(ValueError, match="runs must be a multiple of the 10 trajectories, not 7"):
        OtherNetworks.from_profile("paper", runs=7)
