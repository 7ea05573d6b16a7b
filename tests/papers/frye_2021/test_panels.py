"""The panels on tolerances and finders draw the data they are given."""

import numpy as np

from autocrit_lite.papers.frye_2021 import panels


def test_by_tolerance_has_a_line_for_each_system_and_the_median_and_runs_from_loose_to_strict(ax):
    values = np.array([[0.9, 0.5], [0.7, 0.1], [0.8, 0.6]])
    panels.by_tolerance(ax, [1e-2, 1e-5], values, "r", 1)
    *each, median = ax.lines
    np.testing.assert_array_equal([line.get_ydata() for line in each], values)
    np.testing.assert_array_equal(median.get_ydata(), [0.8, 0.5])
    left, right = ax.get_xlim()
    assert left > 1e-2 > 1e-5 > right


def test_share_above_counts(ax):
    values = {"r": np.array([[0.95, 0.2], [0.91, 0.95]]), "ratio": np.zeros((2, 2))}
    panels.share_above(ax, [1e-2, 1e-5], values, 0.9)
    assert [list(line.get_ydata()) for line in ax.lines] == [[1.0, 0.5], [0.0, 0.0]]


def test_ends_by_row_stacks_counts_that_add_up_to_the_runs(ax):
    codes = np.array([[0, 0, 2], [1, 3, 3]])
    panels.ends_by_row(ax, ["a", "b"], codes, ["0", "1", "2", "3"])
    left = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert left == [(0, 2), (0, 0), (2, 0), (0, 1), (2, 1), (1, 0), (3, 0), (1, 2)]
    low, high = ax.get_ylim()
    assert low > high


def test_traps_has_a_dot_for_each_run_in_the_colour_of_its_end(ax):
    share, step = np.array([0.1, 0.95]), np.array([1e-6, 0.5])
    panels.traps(ax, share, step, np.array([2, 1]), ["0", "1", "2"], 0.81)
    dots = [group.get_offsets().tolist() for group in ax.collections]
    assert dots == [[], [[0.95, 0.5]], [[0.1, 1e-6]]]


def test_lowest_by_cost_has_a_line_for_each_run_and_finder_and_cutoff(ax):
    lowest = {"a": np.array([[1.0, 0.1], [3.0, 0.3]]), "b": np.ones((1, 2))}
    panels.lowest_by_cost(ax, [1.0, 10.0], lowest, [1e-8])
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn[:3] == [[1.0, 0.1], [3.0, 0.3], [2.0, 0.2]]
    assert drawn[3:5] == [[1.0, 1.0], [1.0, 1.0]]
    assert drawn[5] == [1e-8, 1e-8]
