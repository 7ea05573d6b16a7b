"""What other settings and finders say on Fig. 3, on made-up results whose answer is known."""

import dataclasses

import numpy as np
import pytest

from autocrit_lite.papers.frye_2021 import finder_comparison, tolerance
from autocrit_lite.papers.frye_2021.claims import other_finders, other_settings
from autocrit_lite.papers.frye_2021.ends import End
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.runner.experiment import MissingResultsError
from autocrit_lite.runner.results import Results


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
    assert found["f21-ae-half"] == some + "100% with first, 0% with he"
    assert found["f21-ae-09"] == some + "50% with first, 0% with he"
    assert found["f21-ae-099"] == some + "0% with first, 0% with he"
    # at the last iterate of each run, though that of one is not the last of the array
    assert found["f21-ae-bulk"] == some + "50% with first, 100% with he"
    assert found["f21-ae-blue"].endswith(" 0.001 with first, none with he")
    assert found["f21-ae-norm"].endswith("the largest ‖g‖² of 2 starts: 0.1 with first, 3 with he")
    assert found["f21-ae-mean"].endswith("0 with first, 1 (loss, index 0.98, 0.25) with he")


def test_what_other_finders_say(compared):
    (text,) = other_finders(compared).values()
    assert text.endswith("below it from 2 starts, and end: damped_newton 1 (loss, index 1, 0.25)")
    compared["cutoff_cost"][...] = np.nan
    assert other_finders(compared)["f21-ae-mean"].endswith("from 2 starts, and end: none")


def test_the_claims_hold_what_there_is_of_these(again, compared, monkeypatch):
    def missing(self, store=None):
        raise MissingResultsError

    experiment = MnistAutoencoder.from_profile("paper")
    results = experiment.load()
    monkeypatch.setattr(tolerance.Tolerance, "load", missing)
    monkeypatch.setattr(finder_comparison.FinderComparison, "load", missing)
    alone = experiment.claims(results)["f21-ae-mean"].why
    assert "run again" not in alone
    monkeypatch.setattr(tolerance.Tolerance, "load", lambda self, store=None: again)
    assert experiment.claims(results)["f21-ae-mean"].why.startswith(f"{alone}; 2 of the starts")
    monkeypatch.setattr(
        finder_comparison.FinderComparison, "load", lambda self, store=None: compared
    )
    assert experiment.claims(results)["f21-ae-mean"].why.endswith(
        "damped_newton 1 (loss, index 1, 0.25)"
    )
    # they are about the settings of the archive, and no others
    other = dataclasses.replace(experiment, seed=1)
    assert other.claims(results)["f21-ae-mean"].why == alone
