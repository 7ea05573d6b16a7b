"""All finders for the same cost, at tiny size."""

import numpy as np
import pytest

from autocrit_lite import MLP, NetworkObjective
from autocrit_lite.finders import FinderStopReason, newton_mr
from autocrit_lite.papers.frye_2021.ends import End
from autocrit_lite.papers.frye_2021.finder_comparison import (
    CUTOFFS,
    FINDERS,
    FinderComparison,
    Meter,
    costs,
    search,
)
from autocrit_lite.runner.store import Store


@pytest.fixture
def objective():
    X = np.random.default_rng(0).standard_normal((60, 4))
    return NetworkObjective(MLP((4, 2, 4), "linear", bias=False), X, X, compress=False)


@pytest.fixture
def start(objective):
    return 0.5 * np.random.default_rng(1).standard_normal(objective.net.n_parameters)


def test_the_meter_counts_products_gradients_and_hessians(objective, start):
    meter = Meter(objective, 100.0)
    point = meter.linearize(start)
    np.testing.assert_array_equal(point.gradient, objective.linearize(start).gradient)
    point.hvp(point.gradient)
    meter.value_and_gradient(start)
    assert meter.spent == 3.0
    np.testing.assert_array_equal(point.hessian(), objective.linearize(start).hessian())
    assert meter.spent == 3.0 + objective.hessian_cost


def test_a_spent_meter_gives_nothing_more(objective, start):
    meter = Meter(objective, 2.0)
    point = meter.linearize(start)
    assert np.all(np.isfinite(point.hvp(start)))
    assert np.all(np.isnan(point.hvp(start)))
    assert np.all(np.isnan(point.hessian()))
    assert np.isnan(meter.value_and_gradient(start)[0])
    assert np.isnan(meter.linearize(start).value)
    assert np.all(np.isnan(meter.linearize(start).hessian()))
    assert meter.spent == 2.0
    assert len(meter.lowest) == 1


@pytest.mark.parametrize("name", FINDERS)
def test_every_finder_ends_with_its_budget_where_its_trace_was(objective, start, name):
    budget = 100
    found = search(FINDERS[name], objective, start, budget)
    # what is asked for last may cost more than is left, by a dense Hessian at most
    assert found["products"] <= budget + objective.hessian_cost
    first = np.sum(objective.value_and_gradient(start)[1] ** 2)
    assert found["start"] == pytest.approx(first)
    assert found["lowest"] <= found["lowest_by_cost"][-1] * (1 + 1e-4)
    assert np.all(np.diff(found["lowest_by_cost"]) <= 0.0)
    assert found["lowest_by_cost"][0] == pytest.approx(first, rel=1e-4)
    if found["spent"]:
        assert found["stop_reason"] == FinderStopReason.MAX_ITERATIONS
    shorter = search(FINDERS[name], objective, start, 50)
    both = costs(50)[-1] >= shorter["products"] * 0.9
    assert not both or shorter["lowest"] >= found["lowest"]


def test_newton_mr_is_the_same_with_and_without_a_meter(objective, start):
    found = search(FINDERS["newton_mr"], objective, start, 10_000)
    trace = newton_mr(objective, start, squared_gradient_tolerance=CUTOFFS[-1])
    assert found["stop_reason"] == FinderStopReason.CONVERGED
    assert found["iterations"] == trace.iterations
    assert found["squared_gradient_norm"] == trace.squared_gradient_norm[-1]
    assert found["squared_gradient_norm"] < CUTOFFS[-1]
    assert np.all(np.diff(found["cutoff_cost"]) >= 0.0)
    assert np.all(found["cutoff_cost"] <= found["products"])
    assert np.all(found["cutoff_seconds"] <= found["seconds"])


def test_runs_of_all_networks_are_gathered_in_their_places(tmp_path):
    methods = ("newton_mr", "levenberg_marquardt")
    experiment = FinderComparison.from_profile("quick", starts=1, budget=60, methods=methods)
    experiment.run(workers=1, store=Store(tmp_path))
    results = experiment.load(store=Store(tmp_path))
    assert results["products"].shape == (3, 2, 1)
    for task in experiment.stages()[1]:
        own = task.configuration
        n = results.coordinates["network"].index(own["train"]["network"])
        place = n, methods.index(own["method"]), 0
        record = Store(tmp_path).read(task)
        for name in ("lowest", "products", "squared_gradient_norm"):
            assert results[name][place] == record.arrays[name]
        assert results["end"][place] in list(End)
    lowest = results["lowest"][..., 0]  # no two places hold the same, but for runs that stay put
    assert len(np.unique(lowest[:, 1])) == 3
    assert np.any(lowest[:, 0] != lowest[:, 1])
    assert results.to_frame("network", "finder", "run")["value"].notna().all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("methods", {"methods": ("newton_mr", "newton_mr")}),
        ("networks", {"networks": ()}),
        ("starts", {"starts": 51}),
        ("budget", {"budget": 0}),
    ],
)
def test_bad_settings_are_refused_by_name(name, settings):
    with pytest.raises(ValueError, match=name):
        FinderComparison.from_profile("paper", **settings)
