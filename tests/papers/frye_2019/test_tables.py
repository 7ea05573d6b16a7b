"""The tables of Frye et al. 2019 count what they say."""

import numpy as np
import pytest

from autocrit_lite.finders import FinderStopReason
from autocrit_lite.papers.frye_2019 import tables
from autocrit_lite.runner.results import Results


def test_searches_counts_true_points_and_those_that_a_fault_would_add():
    failed, limit = FinderStopReason.LINE_SEARCH_FAILED, FinderStopReason.MAX_ITERATIONS
    runs = {
        "end": [1e-30, 1e-12, 1e-11, 1e-3, 1e-4],
        "loss": [2.0, 1.0, 1.5, 1.7, 1.9],
        "index": [0.5, 0.0, 0.0, 0.1, 0.2],
        "row": [0, 1, 1, 1, 1],
        "stop_reason": [failed, failed, limit, failed, limit],
        "iterations": [3, 5, 7, 9, 11],
    }
    arrays = {name: np.array([values]) for name, values in runs.items()}
    dims = dict.fromkeys(arrays, ("method", "run"))
    arrays |= {"true_loss": np.array([2.0, 1.0]), "true_index": np.array([0.5, 0.0])}
    dims |= dict.fromkeys(("true_loss", "true_index"), ("point",))
    row = tables.searches(Results(arrays, dims), ["newton_mr"]).loc["Newton-MR"]
    assert row.to_dict() == {
        "runs": 5,
        "below 1e-10": 3,
        "below 1e-25": 1,
        "not exact": 1,  # the third: its loss is another
        "true points": 2,
        "iterations (median)": 7.0,
        "end at zero": 1,
        "would end at zero": 1,  # the fourth
    }


def test_coverage_counts_all_kinds_together_last():
    arrays = {
        "end": np.array([[[1e-12, 1e-12, 1.0]], [[1e-12, 1e-12, 1e-12]]]),
        "row": np.array([[[0, 0, 1]], [[2, 3, 3]]]),
    }
    dims = dict.fromkeys(arrays, ("scheme", "sigma", "run"))
    labels = {"scheme": ["height", "iteration"], "sigma": [0.0]}
    table = tables.coverage(Results(arrays, dims, labels))
    assert table["below the cut-off"].tolist() == [2, 3, 5]
    assert table["different points"].tolist() == [1, 2, 3]
    assert table.iloc[-1]["runs"] == 6


def test_noise_is_told_in_decibels():
    kept = np.zeros((1, 2, 2, 4), dtype=bool)
    kept[..., 0] = True
    arrays = {"end": np.full((1, 2, 2), 1e-12), "kept": kept, "power": np.full((1, 2, 2), 0.04)}
    runs = ("scheme", "sigma", "run")
    dims = {"end": runs, "kept": (*runs, "eigenvector"), "power": runs, "trajectory": ("run",)}
    labels = {"scheme": ["height"], "sigma": [0.0, 0.02]}
    table = tables.starts(Results(arrays | {"trajectory": np.array([0, 1])}, dims, labels))
    assert table["SNR / dB"].tolist() == pytest.approx([np.inf, 20.0])
    assert table["entropy"].tolist() == [0.0, 0.0]
