"""The figures on tolerances and finders draw the data they are given."""

import matplotlib.pyplot as plt
import numpy as np

from autocrit_lite.papers.frye_2021 import tolerance_panels as panels
from autocrit_lite.papers.frye_2021.ends import End
from autocrit_lite.plotting import CRITICAL, FLAT
from autocrit_lite.runner.results import Results


def test_a_band_has_the_median_and_most_of_the_values(ax):
    values = np.random.default_rng(0).random((50, 2))
    panels.band(ax, [1e-2, 1e-5], values, "blue")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.median(values, axis=0))
    corners = ax.collections[0].get_paths()[0].vertices
    for x, column in zip((1e-2, 1e-5), values.T, strict=True):
        y = corners[corners[:, 0] == x, 1]
        np.testing.assert_allclose([y.min(), y.max()], np.quantile(column, panels.BAND))


def test_share_above_counts_and_runs_from_loose_to_strict(ax):
    values = {"blue": np.array([[0.95, 0.2], [0.91, 0.95]]), "red": np.zeros((2, 2))}
    panels.share_above(ax, np.array([1e-2, 1e-5]), values, 0.9)
    assert [list(line.get_ydata()) for line in ax.lines] == [[1.0, 0.5], [0.0, 0.0]]
    left, right = ax.get_xlim()
    assert left > 1e-2 > 1e-5 > right


def colored(ax):
    """Return the x of all dots by their colour."""
    found = {}
    for group in ax.collections:
        for x in np.ma.compressed(group.get_offsets()[:, 0]):
            found.setdefault(tuple(group.get_facecolor()[0]), []).append(float(x))
    return found


def test_dots_have_the_colour_of_their_ends_and_no_class_has_another(ax):
    codes = np.array([[End.CRITICAL, End.FLAT], [End.FLAT, End.FLAT]])
    panels.dots(ax, ["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]]), codes)
    drawn = {color: sorted(x) for color, x in colored(ax).items()}
    assert drawn == {
        plt.matplotlib.colors.to_rgba(CRITICAL): [1.0],
        plt.matplotlib.colors.to_rgba(FLAT): [2.0, 3.0, 4.0],
    }
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    lines = {panels.SOLVER, panels.EXACT, panels.LONGER, panels.OTHER}
    assert not lines & {color for _, color in panels.ENDS.values()}


def test_violins_are_drawn_in_powers_of_ten(ax):
    values = np.array([[1e-6, 1e-4, 1e-5], [1e-2, 1e-2, 1e-2]])
    panels.violins(ax, ["a", "b"], values, np.full((2, 3), End.FLAT))
    (x,) = (v for k, v in colored(ax).items() if k == plt.matplotlib.colors.to_rgba(FLAT))
    np.testing.assert_allclose(sorted(x), [-6.0, -5.0, -4.0, -2.0, -2.0, -2.0])


def test_what_is_left_of_the_gradient_adds_up_from_the_smallest_eigenvalue():
    eigenvalues, gradient = np.array([2.0, -1e-3, 0.5]), np.array([0.0, 2.0, 1.0])
    residuals = {1e-2: np.array([0.0, 2.0, 0.0])}
    figure = panels.gradient_left({"a": (eigenvalues, gradient, residuals)})
    (ax,) = figure.axes
    of_gradient, left = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(of_gradient, [0.8, 1.0, 1.0])
    np.testing.assert_allclose(left, [0.8, 0.8, 0.8])
    plt.close(figure)


def test_shares_of_runs_have_their_intervals_and_the_printed_one(ax):
    panels.shares_of_runs(ax, ["a", "b"], np.array([[0.5, 0.3, 0.7], [1.0, 0.8, 1.0]]), 0.9)
    dots, paper = ax.lines
    assert dots.get_xdata().tolist() == [0.5, 1.0]
    assert list(paper.get_xdata()) == [0.9, 0.9]
    ends = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == [[0.3, 0.7], [0.8, 1.0]]


def test_each_finder_has_a_row_on_each_network():
    rng = np.random.default_rng(0)
    arrays = {
        "squared_gradient_norm": 10.0 ** rng.uniform(-9, -2, (2, 2, 3)),
        "share": rng.random((2, 2, 3, 3)),
        "end": rng.integers(0, 4, (2, 2, 3)),
    }
    runs = ("network", "finder", "run")
    dims = {name: runs + ("share",) * (name == "share") for name in arrays}
    labels = {
        "network": ("mnist_autoencoder", "random_labels"),
        "finder": ("newton_mr", "newton_tr"),
        "share": (5e-4, 1e-5, 1e-7),
    }
    results = Results(arrays, dims, labels)
    for draw, values in (
        (panels.finders, np.log10(arrays["squared_gradient_norm"])),
        (panels.shares, arrays["share"][..., 1]),
    ):
        figure = draw(results)
        for k, ax in enumerate(figure.axes):
            drawn = [x for own in colored(ax).values() for x in own]
            assert set(np.round(values[k].ravel(), 9)) <= set(np.round(drawn, 9))
        names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert names == ["Newton-MR", "Newton-TR"]
        plt.close(figure)
