"""The figures on the quartic draw the data they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from autocrit_lite.papers.frye_2021 import quartic_panels

WINDOW = (-5.0, 5.0), (-4.5, 4.5)
END = np.array([1, 0, 2] + 6 * [1])
R = np.linspace(0.0, 0.9, len(END))[:, None] * np.ones(4)
R[3, 2:] = np.nan


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_runs_are_in_the_colours_of_their_ends_and_counted():
    theta = np.arange(6.0 * len(END)).reshape(len(END), 3, 2)
    norms = np.arange(1.0, 1.0 + 3 * len(END)).reshape(len(END), 3)
    figure = quartic_panels.runs(*WINDOW, theta, norms, END)
    left, right, _ = figure.axes
    drawn = [line for line in right.lines if len(line.get_xdata()) == 3]
    assert len(drawn) == len(left.lines) == len(END)
    for paths, line in zip(left.lines, drawn, strict=True):
        (run,) = np.flatnonzero(norms[:, 0] == line.get_ydata()[0])
        np.testing.assert_array_equal(paths.get_xdata(), theta[run, :, 0])
        assert line.get_color() == paths.get_color() == quartic_panels.COLORS[END[run]]
    assert [text.get_text()[:2] for text in right.texts] == ["1 ", "7 ", "1 "]


def test_along_y_0_the_curves_go_through_the_points_that_are_known():
    figure = quartic_panels.landscapes(*WINDOW)
    below = [ax for ax in figure.axes if "(x, 0)" in ax.get_ylabel()]
    (curve,) = below[0].lines
    x, f = curve.get_data()
    np.testing.assert_allclose(np.interp(-3.0, x, f), 6.25, rtol=1e-6)
    (curve,) = below[1].lines
    x, squared = curve.get_data()
    assert np.interp(-3.0, x, squared) < 1e-20
    np.testing.assert_allclose(np.interp(2**0.5, x, squared), (9 - 4 * 2**0.5) ** 2, rtol=1e-2)


def test_along_the_runs_shows_three_runs_and_the_median_of_those_to_the_flat_point():
    figure = quartic_panels.along_the_runs(R, np.where(R > 0, R, 0.0), END)
    left = figure.axes[::2]
    assert len(left) == 3
    flat = R[END == 1]
    for ax in left:
        median, run = ax.lines
        np.testing.assert_array_equal(median.get_ydata(), np.nanmedian(flat, axis=0))
        assert any(np.array_equal(run.get_ydata(), row, equal_nan=True) for row in flat)
    runs = figure.axes[1].lines[1].get_ydata()
    assert not np.any(runs == 0.0)  # a step that was not taken has no place on a log scale


def test_variants_have_a_bar_each():
    figure = quartic_panels.variants(["a", "b"], np.array([[0, 0, 1], [2, 1, 1]]))
    (ax,) = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [2, 0, 1, 2, 0, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
