"""What the notebooks say of runs, by class; and the figures that show them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from autocrit_lite.finders import FinderStopReason
from autocrit_lite.papers import page
from autocrit_lite.papers.frye_2021 import panels, tables
from autocrit_lite.papers.frye_2021.gradient_flat import CUTOFFS, DIMS, POINTS, SHARES
from autocrit_lite.papers.frye_2021.random_labels import RandomLabels
from autocrit_lite.plotting import CRITICAL, FLAT, NEITHER
from autocrit_lite.points.classes import PointClass
from autocrit_lite.runner.results import Results

KIND = np.array([0, 0, 1, 1, 1, 2])
SMALL = np.array([0.9, 0.8, 0.01, 0.03, 0.02, 0.5])
RUNS, ITERATIONS = len(KIND), 5


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def results():
    """Return results of six runs: two critical, three gradient-flat, one neither."""
    rng = np.random.default_rng(0)
    end = np.where(KIND == 0, 1e-10, 1e-5) * np.arange(1.0, RUNS + 1)
    r = rng.uniform(0.0, 0.8, (RUNS, ITERATIONS))
    r[KIND == 1, 3] = 0.95
    of_points = {
        "class": KIND,
        "squared_gradient_norm": end,
        "relative_residual": r[:, 3],
        "relative_residual_frobenius": r[:, 3],
        "residual_ratio": np.ones(RUNS),
        "index": np.arange(RUNS) / RUNS,
        "value": np.arange(RUNS) + 1.0,
    }
    arrays = {
        "squared_gradient_norm": np.geomspace(np.ones(RUNS), end, ITERATIONS).T,
        "value": np.ones((RUNS, ITERATIONS)),
        "relative_residual": r,
        **{f"point_{name}": np.stack([x, x], axis=1) for name, x in of_points.items()},
        "gradient_share": np.tile(np.stack([SMALL, np.ones(RUNS)], axis=1)[:, None], (1, 2, 1)),
        "stop_reason": np.array([2, 2, 3, 3, 3, 2]),
    }
    trained = {
        "train_epoch": np.arange(3),
        "train_loss": np.array([[3.0, 2.0, 1.0]]),
        "train_squared_gradient_norm": np.array([[0.3, 0.2, 0.1]]),
    }
    runs = Results.of(arrays, DIMS, "run")
    return runs | Results.of(trained, DIMS) | Results({}, {}, {"point": POINTS, "share": SHARES})


def test_medians_are_those_of_a_class_of_its_own(results):
    frame = tables.by_class(results)
    column = frame[f"share at |λ| < {SHARES[0]:g}"]
    for point in POINTS:
        assert column[point].to_dict() == {
            "critical": pytest.approx(0.85),
            "gradient-flat": 0.02,
            "neither": 0.5,
        }
    assert frame["runs"]["last"].tolist() == [2, 3, 1]


def test_the_text_on_shares_has_a_line_for_each_class(results):
    lines = tables.shares(results).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines[:3]] == [
        "flattest, 2 critical",
        "flattest, 3 gradient-flat",
        "flattest, 1 neither",
    ]
    assert "2.00% (3.0%) at |λ| < 1e-05" in lines[1]


def test_a_zero_gradient_has_no_share(results):
    results["gradient_share"][0] = np.nan
    lines = tables.shares(results).splitlines()
    assert lines[1].startswith("  flattest, 1 critical: 80.00% (80.0%)")


def test_stops_are_counted_by_their_sentence(results):
    frame = tables.stops(results)
    assert frame["runs"][FinderStopReason.MAX_ITERATIONS.sentence] == 3
    assert frame["runs"][FinderStopReason.LINE_SEARCH_FAILED.sentence] == 3


def test_the_summary_says_nothing_of_the_paper_without_its_numbers(results):
    experiment = RandomLabels()
    text = tables.summary(experiment, results, page.Beside([]).frame(), "More.")
    assert "2 of 6 runs" in text
    assert "hardly any" in text
    assert "- More." in text
    assert "statements of the paper hold" not in text
    assert "no number of it is about these settings" in text
    columns = ["statement", "paper", "here", "verdict"]
    rows = [["runs", "9", "8", "differs"], ["others", "1", "1", "reproduced"]]
    text = tables.summary(experiment, results, pd.DataFrame(rows, columns=columns))
    assert "1 of 2 statements of the paper hold here." in text
    assert "- runs: 9 in the paper, 8 here." in text


def test_a_large_share_is_called_one(results):
    results["gradient_share"][KIND == 1, :, 0] = 0.6
    text = tables.summary(RandomLabels(), results, page.Beside([]).frame())
    assert "a good part of the gradient is in the kernel" in text


def test_a_page_without_claims_says_so():
    beside = page.Beside([])
    assert str(beside) == repr(beside) == page.NOTHING
    assert page.NOTHING in beside._repr_html_()
    assert list(beside.frame()) == ["statement", "paper", "here", "interval", "verdict"]


def test_cliffs_are_counted_by_name():
    steep, slow = 10.0 ** -np.arange(20.0), 0.5 ** np.arange(20.0)
    traces = {"steep": np.stack([steep, slow]), "slow": slow[None]}
    assert tables.cliffs(traces)["with a cliff"].to_dict() == {"steep": 1, "slow": 0}
    frame = tables.cliffs_by_rule(traces)
    assert frame.loc[("steep", "within 5 iterations")].tolist() == [1, 0, 0]
    assert frame.loc[("steep", "within 10 iterations")].tolist() == [1, 1, 1]


def test_random_labels_are_flat_to_the_solver_only_and_critical_points_in_the_kernel():
    share = tables.by_class(RandomLabels().load())[f"share at |λ| < {SHARES[0]:g}"]["flattest"]
    assert share["gradient-flat"] < 0.05
    assert share["critical"] > 0.5


def test_representatives_are_in_the_middle_of_their_classes(results):
    end = results["point_squared_gradient_norm"][:, 1]
    found = panels.representatives(KIND, end)
    assert found == {
        PointClass.NEITHER: 5,
        PointClass.STRICTLY_FLAT: 3,
        PointClass.CRITICAL: 1,
    }


def test_four_panels_show_the_runs_in_the_colours_of_their_classes(results):
    figure = panels.four_panels(results)
    runs, index, *strips = figure.axes
    assert runs.get_title("left") == "A   2 of 6 runs end below the cut-off"
    thick = {line.get_color() for line in runs.lines if line.get_linewidth() == 2.0}
    assert thick == {CRITICAL, FLAT, NEITHER}
    np.testing.assert_array_equal(runs.lines[0].get_ydata(), results["squared_gradient_norm"][0])
    np.testing.assert_array_equal(index.collections[0].get_offsets()[:, 1], np.arange(1.0, 7.0))
    np.testing.assert_array_equal(strips[1].lines[0].get_ydata(), results["relative_residual"][3])
    titles = [ax.get_title("left").strip() for ax in strips[-2:]]
    assert titles == ["C   last $r$: 50% above 0.9", "largest $r$: 50% above 0.9"]
    beyond = strips[-1].lines[1]
    assert beyond.get_color() == FLAT
    assert np.all(beyond.get_xdata() > 0.9)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "critical: 2 runs",
        "gradient-flat: 3 runs",
        "neither: 1 runs",
    ]


def test_shares_by_class_has_a_dot_for_each_run_at_its_share(results):
    small, large = panels.shares_by_class(results).axes
    drawn = [group.get_offsets()[:, 0].tolist() for group in small.collections]
    assert drawn == [[0.9, 0.8], [0.01, 0.03, 0.02], [0.5]]
    heights = small.collections[1].get_offsets()[:, 1]
    assert np.all(np.abs(heights - 1.0) <= 0.25)
    assert [text.get_text() for text in small.texts] == [
        "median 85.0%",
        "median 2.0%",
        "median 50.0%",
    ]
    assert all(text.get_text() == "median 100.0%" for text in large.texts)


def test_bars_add_up_the_shares_of_eigenvectors_that_are_near():
    eigenvalues, share = np.array([-1.0, 1e-3, 1e-3, 0.0]), np.array([0.1, 0.3, 0.4, 0.2])
    (ax,) = panels.share_by_eigenvalue({"end": (eigenvalues, share, FLAT)}, rtol=1e-2).axes
    bars = {round(np.log10(bar.get_x()), 1): bar.get_height() for bar in ax.patches}
    found = sorted(height for height in bars.values() if height > 0.0)
    np.testing.assert_allclose(found, [0.1, 0.2, 0.7])
    assert ax.get_title("left") == r"end: 90% of $\|g\|^2$ in the grey band"
    np.testing.assert_allclose(ax.lines[1].get_ydata()[-1], 1.0)


def test_images_are_drawn_as_they_are_and_dead_pixels_counted():
    seen = np.arange(32.0).reshape(2, 16)
    ink = np.ones((28, 28))
    ink[0, :5] = 0.0
    figure = panels.images({"seen": seen}, ["a", "b"], ink, 20)
    first, second, map_of_ink = figure.axes
    np.testing.assert_array_equal(first.images[0].get_array(), seen[0].reshape(4, 4))
    assert second.get_title() == "b"
    assert map_of_ink.get_title() == "5 of 784 pixels\nnever have ink"
    (strip,) = panels.images({"seen": np.ones((1, 6))}).axes
    assert strip.images[0].get_array().shape == (1, 6)


def test_training_is_not_in_the_colours_of_the_classes(results):
    loss, norm = panels.training(results).axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(norm.lines[0].get_ydata(), [0.3, 0.2, 0.1])
    drawn = {line.get_color() for ax in (loss, norm) for line in ax.lines}
    assert not drawn & {color for _, color in panels.CLASSES.values()}


def test_labelled_draws_each_sample_once():
    X, labels = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    (ax,) = panels.labelled(X, labels).axes
    drawn = [group.get_offsets().tolist() for group in ax.collections]
    assert drawn == [X[labels == 0].tolist(), X[labels == 1].tolist()]


def test_two_networks_draw_runs_with_a_cliff_thick_and_true_points_for_the_linear_one(results):
    both = {name: np.stack([x, x]) for name, x in results.arrays.items()}
    points = np.full((2, RUNS, len(CUTOFFS)), 0.5)
    both |= {"cutoff_index": points, "cutoff_loss": points}
    both |= {"true_index": np.array([0.1]), "true_loss": np.array([2.0])}
    dims = {name: tuple(f"{name} {k}" for k in range(x.ndim)) for name, x in both.items()}
    cliffs = np.zeros((2, RUNS), dtype=bool)
    cliffs[0, 1] = True
    figure = panels.two_networks(Results(both, dims), ["linear", "nonlinear"], cliffs)
    A, B, C, D = figure.axes
    assert A.get_title("left") == "A   linear: 2 of 6 runs end below the cut-off"
    assert sum(line.get_linewidth() == 1.6 for line in A.lines) == 1
    assert sum(line.get_linewidth() == 1.6 for line in C.lines) == 0
    np.testing.assert_array_equal(B.collections[0].get_offsets(), [[0.1, 2.0]])
    assert len(B.collections) == len(D.collections) + 1


def test_full_steps_draw_what_was_measured():
    at = {
        "eigenvalues": np.array([-2.0, 1.0]),
        "iterations": [1, 2],
        "r": [0.1, 0.01],
        "solved": [1.0, 5.0],
        "cutoffs": [1e-3, 1e-2],
        "truncated": [0.5, 0.25],
    }
    spectrum, solved, cut = panels.full_steps({"linear": at}).axes
    np.testing.assert_array_equal(spectrum.lines[0].get_ydata(), [1.0, 2.0])
    assert [list(line.get_ydata()) for line in solved.lines[:2]] == [[1.0, 5.0], [0.1, 0.01]]
    assert list(cut.lines[0].get_ydata()) == [0.5, 0.25]
