"""The claims of Frye et al. 2021, on made-up results of which the answer is known."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from autocrit_lite import statistics
from autocrit_lite.finders import damped_newton
from autocrit_lite.ground_truth.quartic import CRITICAL_POINT, Quartic
from autocrit_lite.papers.frye_2021.claims import (
    figure_1,
    figure_3,
    figure_4,
    figure_5,
    other_finders,
    other_settings,
    shape,
)
from autocrit_lite.papers.frye_2021.ends import End, has_cliff, is_superlinear
from autocrit_lite.papers.frye_2021.finder_comparison import FinderComparison
from autocrit_lite.papers.frye_2021.gradient_flat import CUTOFFS
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.papers.frye_2021.tolerance import Tolerance
from autocrit_lite.points.classes import PointClass
from autocrit_lite.runner.experiment import MissingResultsError
from autocrit_lite.runner.results import Results

RUNS = 100


@pytest.fixture(autouse=True)
def few_replicates(monkeypatch):
    monkeypatch.setattr(statistics, "REPLICATES", 200)


def results(**arrays):
    """Results of 100 runs that look like the paper's Fig. 3, some arrays of them replaced."""
    index = np.linspace(0.05, 0.4, RUNS)
    r = np.full((RUNS, 6), 0.3)
    r[1:, 2] = 0.6
    r[:89, 3] = 0.95
    r[:50, 4] = 0.995
    squared = np.full((RUNS, 2), 1e-5)
    squared[40:, 1] = 1e-7
    squared[:3, 1] = 1e-12
    loss = 0.1 + 5.0 * index**2
    kinds = np.full((RUNS, 2), PointClass.NEITHER)
    kinds[:20] = PointClass.STRICTLY_FLAT
    kinds[:3] = PointClass.CRITICAL
    loss[:3], index[:3] = 1.0, 0.1
    made = {
        "relative_residual": r,
        "relative_cokernel_residual": np.full_like(r, 1e-5),
        "residual_ratio": np.ones_like(r),
        "point_relative_residual": np.stack([r.max(axis=1), r[:, 3]], axis=1),
        "point_relative_cokernel_residual": np.full((RUNS, 2), 1e-5),
        "point_squared_gradient_norm": squared,
        "point_value": np.stack([loss, loss], axis=1),
        "point_index": np.stack([index, index], axis=1),
        "point_class": kinds,
        "point_iteration": np.full((RUNS, 2), (100, 500)),
        "train_squared_gradient_norm": np.array([[5e1, 1e-2, 1e-4]]),
        "mean_loss": np.array(1.0),
        **arrays,
    }
    dims = {name: tuple(f"{name}{k}" for k in range(np.ndim(x))) for name, x in made.items()}
    return Results(made, dims)


def test_shares_as_in_the_paper_are_reproduced():
    found = figure_3(results())
    for id, value in (("half", 0.99 + 0.01 * 1), ("09", 0.89), ("099", 0.5)):
        claim = found[f"f21-ae-{id}"]
        assert claim.value == pytest.approx(value, abs=0.011)
        assert claim.verdict == "reproduced"
        assert claim.interval[0] <= claim.value <= claim.interval[1]


def test_other_shares_differ():
    r = np.full((RUNS, 6), 0.3)
    found = figure_3(results(relative_residual=r))
    assert all(found[f"f21-ae-{id}"].verdict == "differs" for id in ("half", "09", "099"))
    assert found["f21-ae-09"].value == 0.0


def test_norms_as_in_the_paper_are_reproduced():
    found = figure_3(results())
    level, least, most = found["f21-ae-norm"].value
    assert (level, least, most) == (1e-5, 1e-4, 5e1)
    # all flat runs at one value that is not the printed one
    assert found["f21-ae-norm"].verdict == "differs"
    squared = np.full((RUNS, 2), 1e-5)
    squared[:20, 1] = np.geomspace(1e-6, 1e-4, 20)
    assert figure_3(results(point_squared_gradient_norm=squared))["f21-ae-norm"].verdict == (
        "reproduced"
    )
    training = np.array([[0.3, 1e-4]])
    changed = results(point_squared_gradient_norm=squared, train_squared_gradient_norm=training)
    assert figure_3(changed)["f21-ae-norm"].verdict == "differs"
    assert found["f21-ae-blue"].value == 1e-12
    assert found["f21-ae-bulk"].value == 0.63
    assert found["f21-ae-bulk"].verdict == "reproduced"


def test_shape_of_loss_and_index():
    found = figure_3(results())
    assert found["f21-ae-convex"].verdict == "reproduced"
    assert found["f21-ae-last"].verdict == "reproduced"
    made = results()
    index = made["point_index"]
    concave = np.sqrt(index)
    assert figure_3(results(point_value=concave))["f21-ae-convex"].verdict == "differs"
    shuffled = np.array(made["point_value"])
    shuffled[:, 1] = np.random.default_rng(0).permutation(shuffled[:, 1])
    found = figure_3(results(point_value=shuffled))
    assert found["f21-ae-convex"].verdict == "reproduced"
    assert found["f21-ae-last"].verdict == "differs"
    # where all flattest iterates are late ones, nothing could have changed
    late = np.full((RUNS, 2), (450, 500))
    assert figure_3(results(point_iteration=late))["f21-ae-last"].verdict == "differs"


def test_a_majority_is_shown_and_not_only_compatible():
    """54 of 100 are compatible with 33 of 50, and may be no majority."""
    squared = np.full((RUNS, 2), 1e-9)
    squared[:54] = 1e-6
    made = {
        "theta_start": np.zeros((RUNS, 1160)),
        "theta_point": np.zeros((RUNS, 2, 1160)),
        "n_labels": np.array(50),
        "correct": np.array([48, 50]),
        "point_squared_gradient_norm": squared,
    }
    found = figure_5(results(**made))
    assert found["f21-mem-end"].verdict == "reproduced"
    assert found["f21-mem-most"].verdict == "differs"
    assert found["f21-mem-most"].value == 0.54


def test_critical_points_at_the_mean():
    assert figure_3(results())["f21-ae-mean"].value == 1.0
    other = figure_3(results(mean_loss=np.array(2.0)))["f21-ae-mean"]
    assert (other.value, other.verdict) == (0.0, "differs")
    none = np.full((RUNS, 2), PointClass.NEITHER)
    assert figure_3(results(point_class=none))["f21-ae-mean"].verdict == "differs"


CLASSIFIER = {
    "accuracy": np.linspace(0.91, 0.92, 10),
    "logistic_accuracy": np.array(0.868),
    "n_labels": np.array(10_000),
}


def test_claims_on_the_classifier():
    flat_at_end = np.full((RUNS, 2), 0.95)
    other = results(point_relative_residual=flat_at_end)
    own = results(**CLASSIFIER, point_relative_residual=np.full((RUNS, 2), 0.3))
    found = figure_4(own, other)
    assert {claim.verdict for claim in found.values()} == {"reproduced"}
    assert found["f21-cls-end"].value == [0.0, 1.0]
    assert figure_4(own, own)["f21-cls-end"].verdict == "differs"
    assert figure_4(own, None)["f21-cls-end"].verdict == "not possible here"
    poor = results(
        **{
            **CLASSIFIER,
            "accuracy": np.linspace(0.88, 0.91, 10),
            "logistic_accuracy": 0.8 * other["mean_loss"],
        }
    )
    found = figure_4(poor, None)
    assert found["f21-cls-acc"].verdict == found["f21-logreg"].verdict == "differs"


def test_claims_on_shuffled_labels():
    squared = np.full((RUNS, 2), 1e-9)
    squared[:66] = 1e-6
    kinds = np.where(squared < 1e-8, PointClass.CRITICAL, PointClass.NEITHER)
    r = np.full((RUNS, 6), 0.3)
    r[:62, 1] = 0.99
    made = {
        "theta_start": np.zeros((RUNS, 1160)),
        "theta_point": np.zeros((RUNS, 2, 1160)),
        "n_labels": np.array(50),
        "correct": np.array([48, 50]),
        "point_squared_gradient_norm": squared,
        "point_class": kinds,
        "relative_residual": r,
        "point_value": np.full((RUNS, 2), np.log(2.0)),
        "point_index": np.zeros((RUNS, 2)),
    }
    found = figure_5(results(**made))
    assert {claim.verdict for claim in found.values()} == {"reproduced"}
    assert found["f21-mem-end"].value == 0.66
    assert found["f21-mem-flat"].value == 0.62
    assert found["f21-mem-min"].value == 34
    changed = {**made, "point_index": np.full((RUNS, 2), 0.1), "correct": np.array([40, 50])}
    changed["relative_cokernel_residual"] = np.full_like(r, 1e-2)
    found = figure_5(results(**changed))
    for id in ("min", "train", "flat"):
        assert found[f"f21-mem-{id}"].verdict == "differs"


def test_cliffs_of_other_heights_and_widths():
    squared = np.stack([10.0 ** -np.arange(12.0), 10.0 ** (-0.5 * np.arange(12.0))])
    assert has_cliff(squared).tolist() == [True, False]
    assert has_cliff(squared, decades=5.0).tolist() == [True, True]
    assert has_cliff(squared, width=5).tolist() == [False, False]
    assert has_cliff(squared, decades=5.0, width=5).tolist() == [True, False]


def test_superlinear_convergence_on_the_quartic():
    """The rules are fixed here: runs to the critical point have it, runs that end elsewhere not."""
    starts = np.stack(np.meshgrid(np.linspace(-5, 5, 11), [-3.0, 0.5, 4.0]), axis=-1).reshape(-1, 2)
    trace = damped_newton(Quartic(), starts, 200)
    arrived = np.linalg.norm(trace.theta - CRITICAL_POINT, axis=1) < 1e-6
    fast = is_superlinear(trace.squared_gradient_norm)
    assert 5 <= arrived.sum() <= 28
    assert not np.any(fast & ~arrived)
    assert np.mean(fast[arrived]) > 0.8
    assert_array_equal(has_cliff(trace.squared_gradient_norm), arrived)


def test_claims_on_both_networks():
    steps = np.arange(30.0)
    squared = np.stack([10.0**-steps, 10.0 ** (-steps / 5)])[:, None, :].repeat(RUNS, axis=1)
    end = np.stack([np.full((RUNS, 2), 1e-29), np.full((RUNS, 2), 1e-6)])
    index, loss = np.full((2, RUNS, len(CUTOFFS)), 0.2), np.full((2, RUNS, len(CUTOFFS)), 1.0)
    loss[:, :, CUTOFFS.index(1e-2)] = 1.5
    made = {
        "squared_gradient_norm": squared,
        "point_squared_gradient_norm": end,
        "cutoff_index": index,
        "cutoff_loss": loss,
        "true_index": np.array([0.0, 0.2, 0.5]),
        "true_loss": np.array([0.0, 1.0, 2.0]),
    }
    found = figure_1(results(**made), 0, 1)
    assert found["f21-linear"].value == pytest.approx([1.0, 0.0, 0.25])
    assert found["f21-nonlinear"].value == pytest.approx([0, 23.0])
    assert {claim.verdict for claim in found.values()} == {"reproduced"}
    found = figure_1(results(**made), 1, 0)
    assert {claim.verdict for claim in found.values()} == {"differs"}
    # one run of 100 is no difference from none of 100, ten are
    fast = squared.copy()
    for runs, verdict in ((1, "reproduced"), (10, "differs")):
        fast[1, :runs] = 10.0 ** -np.minimum(2.0**steps, 30.0)
        found = figure_1(results(**{**made, "squared_gradient_norm": fast}), 0, 1)
        claim = found["f21-nonlinear"]
        assert (claim.value[0], claim.verdict) == (runs, verdict)
        assert "Those runs end at ‖g‖² = 1e-06 or above" in claim.why


def test_the_curvature_of_loss_over_index_has_no_units():
    index = np.repeat(np.linspace(0.0, 1.0, 11), 3)
    for a, b, c, d in ((1.0, 0.0, 1.0, 0.0), (0.01, 0.2, 100.0, -3.0), (7.0, -1.0, 1e-6, 5.0)):
        (rank, _), (bend, interval) = shape(a * index + b, c * index**2 + d)
        assert rank == pytest.approx(1.0)
        assert bend == pytest.approx(1.0, rel=1e-8)
        assert interval[0] > 0.5


@pytest.fixture
def again():
    """Two variants of two runs. The first run of the second variant ends early, at 1e-9."""
    squared = np.array([[[1e-1, 1e-2, 1e-3], [1e-2, 1e-3, 1e-7]]] * 2)
    squared[1, 0] = [3.0, 1e-9, np.nan]
    r = np.array([[[0.2, 0.95, np.nan], [0.2, 0.6, np.nan]], [[0.2, 0.1, np.nan]] * 2])
    arrays = {
        "rerun_squared_gradient_norm": squared,
        "rerun_relative_residual": r,
        "rerun_iterations": np.array([[2, 2], [1, 2]]),
        "rerun_end": np.array([[End.FLAT, End.FLAT], [End.CRITICAL, End.UNDERWAY]]),
        "rerun_value": np.array([[[5.0, 5.0]] * 2, [[5.0, 0.98], [5.0, 5.0]]]),
        "rerun_index": np.array([[[0.5, 0.5]] * 2, [[0.5, 0.25], [0.5, 0.5]]]),
    }
    dims = {name: ("variant", "start", f"{name}_{x.ndim}")[: x.ndim] for name, x in arrays.items()}
    return Results(arrays, dims, {"variant": ("first", "he")})


@pytest.fixture
def compared():
    cost = np.full((1, 2, 2, 1), np.nan)
    cost[0, 1, 0] = 500.0
    arrays = {
        "cutoff_cost": cost,
        "value": np.array([[[5.0, 5.0], [1.0, 5.0]]]),
        "index": np.array([[[0.5, 0.5], [0.25, 0.5]]]),
    }
    first = ("network", "finder", "run")
    dims = {"cutoff_cost": (*first, "cutoff"), "value": first, "index": first}
    return Results(
        arrays, dims, {"network": ("mnist_autoencoder",), "finder": ("newton_mr", "damped_newton")}
    )


def test_what_other_settings_say(again):
    found = other_settings(again)
    some = "2 of the starts run again with other settings: "
    assert found["f21-ae-half"] == some + "100% with first, 0% with he."
    assert found["f21-ae-09"] == some + "50% with first, 0% with he."
    assert found["f21-ae-099"] == some + "0% with first, 0% with he."
    # at the last iterate of each run, though that of one is not the last of the array
    assert found["f21-ae-bulk"] == some + "50% with first, 100% with he."
    assert found["f21-ae-blue"].endswith(" 0.001 with first, none with he.")
    assert found["f21-ae-norm"].endswith("The largest ‖g‖² of 2 starts: 0.1 with first, 3 with he.")
    assert found["f21-ae-mean"].endswith("0 with first, 1 (loss, index 0.98, 0.25) with he.")


def test_what_other_finders_say(compared):
    (text,) = other_finders(compared).values()
    assert text.endswith("below it from 2 starts, and end: damped_newton 1 (loss, index 1, 0.25).")
    compared["cutoff_cost"][...] = np.nan
    assert other_finders(compared)["f21-ae-mean"].endswith("from 2 starts, and end: none.")


def test_the_claims_hold_what_there_is_of_these(again, compared, monkeypatch):
    def missing(self, store=None):
        raise MissingResultsError

    experiment = MnistAutoencoder.from_profile("paper")
    results = experiment.load()
    monkeypatch.setattr(Tolerance, "load", missing)
    monkeypatch.setattr(FinderComparison, "load", missing)
    alone = experiment.claims(results)["f21-ae-mean"].why
    assert "run again" not in alone
    monkeypatch.setattr(Tolerance, "load", lambda self, store=None: again)
    assert experiment.claims(results)["f21-ae-mean"].why.startswith(f"{alone} 2 of the starts")
    monkeypatch.setattr(FinderComparison, "load", lambda self, store=None: compared)
    assert experiment.claims(results)["f21-ae-mean"].why.endswith(
        "damped_newton 1 (loss, index 1, 0.25)."
    )
    # they are about the settings of the archive, and no others
    other = dataclasses.replace(experiment, seed=1)
    assert other.claims(results)["f21-ae-mean"].why == alone
