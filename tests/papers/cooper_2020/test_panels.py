"""The panels draw the data they are given."""

import numpy as np

from autocrit_lite.papers.cooper_2020 import panels


def test_growth_draws_measured_dots_and_two_kinds_of_lines(ax):
    width = np.array([1, 2, 3])
    panels.growth(ax, width, {"S": width**2}, {"S": width**2}, {"S": width}, {"S": "red"})
    formula, printed, measured = ax.lines
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "None"]
    assert (formula.get_color(), measured.get_marker()) == ("red", "o")
    np.testing.assert_array_equal(printed.get_ydata(), width)
    np.testing.assert_array_equal(measured.get_ydata(), [1, 4, 9])


def test_zeros_against_promise_has_the_diagonal_in_it(ax):
    promised, zeros = np.array([10, 20]), np.array([5, 40])
    panels.zeros_against_promise(ax, promised, zeros, ["red", "blue"])
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), [[10, 5], [20, 40]])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())


def test_escape_steps_shows_runs_that_have_not_left_at_the_limit(ax):
    steps = np.array([[9.0, 19.0, 29.0], [99.0, np.nan, np.nan]])
    panels.escape_steps(ax, np.array([1.0, 0.1]), steps, 500, "red", "S")
    left, given_up = ax.collections
    np.testing.assert_array_equal(left.get_offsets()[:, 1], [10, 20, 30, 100])
    np.testing.assert_array_equal(given_up.get_offsets(), [[0.1, 500], [0.1, 500]])
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1.0, 20.0]])  # no median at 0.1


def test_index_by_kind_has_a_labelled_row_for_each_kind(ax):
    panels.index_by_kind(ax, ["a", "b"], [np.array([0.1]), np.array([0.2, 0.3])], "rb")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    np.testing.assert_array_equal(ax.collections[1].get_offsets()[:, 0], [0.2, 0.3])
    assert ax.yaxis_inverted()


def test_fates_are_told_by_colour(ax):
    panels.fates(ax, np.eye(2), np.array([True, False]), ("blue", "red"))
    colors = ax.collections[0].get_facecolors()
    assert colors[0, 0] == 1.0
    assert colors[1, 2] == 1.0
