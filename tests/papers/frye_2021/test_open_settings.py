"""The open settings of Frye et al. 2021, varied together, on few runs of few iterations."""

import numpy as np
import pytest

from autocrit_lite.papers.frye_2021.open_settings import OpenSettings, counted
from autocrit_lite.runner.results import Results
from autocrit_lite.runner.store import Store

SMALL = {
    "initializations": ("unit_rows", "he"),
    "epochs": (5,),
    "l2s": (1e-3,),
    "rtols": (5e-4, 1e-2),
    "trajectories": 1,
    "max_iterations": 3,
}


@pytest.fixture(scope="module")
def experiment():
    return OpenSettings.from_profile("paper", **SMALL)


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"))
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def test_half_of_the_combinations_have_every_level_equally_often(experiment):
    cells = experiment.cells()
    assert len(cells) == 4
    for name in ("initialization", "rtol", "iterate"):
        levels, times = np.unique([str(getattr(c, name)) for c in cells], return_counts=True)
        assert len(levels) == 2
        assert set(times) == {2}
    every = OpenSettings.from_profile("paper", **SMALL, fraction=1).cells()
    assert len(every) == 8
    assert set(cells) < set(every)


def test_the_cells_of_one_initialization_share_their_starts_and_no_others_do(experiment, results):
    kinds = np.array([cell.initialization for cell in experiment.cells()])
    for kind in ("unit_rows", "he"):
        own = results["start_loss"][kinds == kind]
        np.testing.assert_array_equal(own, np.broadcast_to(own[0], own.shape))
    assert np.all(
        results["start_loss"][kinds == "he"][0] != results["start_loss"][kinds != "he"][0]
    )


def test_a_cell_is_searched_as_its_settings_say(experiment):
    (train, *_), searches = experiment.stages()
    trained = train.compute()
    cells = experiment.cells()
    mine = [k for k, cell in enumerate(cells) if cell.initialization == "unit_rows"]
    ends = {cells[k]: searches[k].compute(trained) for k in mine}
    (a, first), (b, second) = ends.items()
    assert (a.rtol, a.iterate) != (b.rtol, b.iterate)
    assert np.any(first["end"] != second["end"])
    for found in ends.values():
        assert np.all(found["end"] > 0.0)
        assert np.all(found["iterations"] <= experiment.max_iterations)
        # a flat iterate has an r above 0.9
        assert np.all(found["largest_residual"][found["flat"]] > 0.9)


def test_what_the_paper_counts_is_counted(experiment):
    shape = (len(experiment.cells()), 2)
    end, flat = np.full(shape, 1e-7), np.zeros(shape, dtype=bool)
    end[0], flat[1, 0] = 1e-9, True
    dims = dict.fromkeys(("end", "flat"), ("cell", "run"))
    results = Results({"end": end, "flat": flat}, dims)
    assert counted(results)["end"].sum() == end.size - 2
    table = experiment.table(results)
    assert table["end"].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert table["flat"].tolist() == [0.0, 0.5, 0.0, 0.0]
    assert table["rtol"].tolist() == [cell.rtol for cell in experiment.cells()]


@pytest.mark.parametrize(
    "settings", [{"rtols": (1e-3, 1e-3)}, {"iterates": ("x_0",)}, {"epochs": (0,)}]
)
def test_bad_settings_are_refused_by_name(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        OpenSettings.from_profile("paper", **settings)
