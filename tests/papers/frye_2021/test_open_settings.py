"""The open settings of Frye et al. 2021, varied together, on few runs of few iterations."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from autocrit_lite.papers.frye_2021.open_settings import FIGURES, Cell, OpenSettings
from autocrit_lite.runner.results import Results
from autocrit_lite.runner.store import Store
from autocrit_lite.statistics import score

SMALL = {
    "figures": ("Fig. 5",),
    "initializations": ("unit_rows", "he"),
    "epochs_times": (1,),
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


@pytest.mark.parametrize(("figure", "count", "of"), [("Fig. 3", 12, 48), ("Fig. 5", 48, 96)])
def test_main_effects_of_the_chosen_combinations_are_orthogonal(figure, count, of):
    cells = OpenSettings.from_profile("paper", figures=(figure,)).cells()
    every = OpenSettings.from_profile("paper", figures=(figure,), fraction=False).cells()
    assert len(cells) == len(set(cells)) == count
    assert len(every) == of
    assert set(cells) < set(every)
    varied = [name for name in Cell._fields if len({getattr(cell, name) for cell in every}) > 1]
    for name, other in combinations(varied, 2):
        pairs = Counter((getattr(cell, name), getattr(cell, other)) for cell in cells)
        assert len(set(pairs.values())) == 1, (name, other)
        levels = {(getattr(cell, name), getattr(cell, other)) for cell in every}
        assert set(pairs) == levels


def test_each_figure_has_its_own_open_settings():
    experiment = OpenSettings.from_profile("paper")
    for cell in experiment.cells():
        study = experiment.study(cell)
        usual = FIGURES[cell.figure].from_profile("paper")
        assert type(study) is type(usual)
        assert (study.epochs, study.l2, study.rtol) == (cell.epochs, cell.l2, cell.rtol)
        assert study.epochs in (usual.epochs, 5 * usual.epochs)
        if cell.figure == "Fig. 5":
            assert not cell.scaling
        else:
            assert study.scaling == cell.scaling
            assert study.l2 == usual.l2


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
        assert np.all(found["largest_residual"][found["flat"] > 0.0] > 0.9)
        assert np.all((found["flat"] >= 0.0) & (found["flat"] <= 1.0))


def made(experiment, **changed):
    shape = (len(experiment.cells()), 20)
    arrays = {"end": np.full(shape, 1e-7), "flat": np.zeros(shape)}
    arrays["largest_residual"] = np.full(shape, 0.3)
    for name, (where, value) in changed.items():
        arrays[name][where] = value
    return Results(arrays, dict.fromkeys(arrays, ("cell", "run")))


def test_what_the_paper_counts_is_counted(experiment):
    results = made(experiment, end=((0, slice(5)), 1e-9), flat=((1, slice(10)), 0.02))
    table = experiment.table(results, "Fig. 5")
    assert table["not critical"].tolist() == [0.75, 1.0, 1.0, 1.0]
    assert table["flat"].tolist() == [0.0, 0.5, 0.0, 0.0]
    assert table["rtol"].tolist() == [cell.rtol for cell in experiment.cells()]
    assert "l2" not in table  # one level


def test_the_distance_is_least_where_the_shares_are_the_papers(experiment):
    runs = (2, slice(13)), (2, slice(12))
    results = made(experiment, end=((2, slice(7)), 1e-9), flat=(runs[1], 0.1))
    table = experiment.table(results, "Fig. 5")
    assert table["distance"].idxmin() == 2
    count, of = 13, 20  # 0.65 beside 0.66, and 0.6 beside 0.62
    expected = score(count, of, 33, 50) ** 2 + score(12, of, 31, 50) ** 2
    np.testing.assert_allclose(table["distance"][2], expected, rtol=1e-12)


def test_effects_are_means_over_the_cells_of_a_level(experiment):
    results = made(experiment, flat=((1, slice(10)), 0.02))
    table, effects = experiment.table(results, "Fig. 5"), experiment.effects(results, "Fig. 5")
    cell = experiment.cells()[1]
    assert effects.loc[("rtol", cell.rtol), "flat"] == 0.25
    assert effects.loc[("initialization", cell.initialization), "flat"] == 0.25
    assert effects["flat"].sum() == 0.25 * len({"initialization", "rtol", "iterate"})
    assert len(table) == 4


@pytest.mark.parametrize(
    "settings", [{"rtols": (1e-3, 1e-3)}, {"iterates": ("x_0",)}, {"epochs_times": (0,)}]
)
def test_bad_settings_are_refused_by_name(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        OpenSettings.from_profile("paper", **settings)
