import numpy as np
import pytest

from autocrit_lite.papers.frye_2019 import panels


def test_points_are_drawn_by_their_height_above_the_line_of_the_true_ones(ax):
    true = np.array([0.0, 0.5, 1.0]), np.array([1.0, 2.0, 3.0])
    panels.above_the_line(ax, true, (np.array([0.5]), np.array([2.25])))
    grey, green = (group.get_offsets() for group in ax.collections)
    np.testing.assert_allclose(grey, [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(green, [[0.5, 0.25]], atol=1e-12)


def test_distances_have_a_dot_for_each_run_and_a_bar_at_the_median(ax):
    distance = np.array([[1e-6, 1e-3], [3e-6, 2e-3], [2e-6, np.nan]])
    panels.distance_by_cutoff(ax, ["1e-08", "starts"], distance, np.array([[0.0] * 4] * 2))
    *strips, bars = ax.collections
    drawn = [np.sort(np.ma.compressed(strip.get_offsets()[:, 1])) for strip in strips]
    np.testing.assert_allclose(drawn[0], [1e-6, 2e-6, 3e-6])
    np.testing.assert_allclose(drawn[1], [1e-3, 2e-3])
    medians = [segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(medians, [2e-6, 1.5e-3])


def test_counts_of_all_trajectories_lie_on_one_another(ax):
    kept = np.array([[True, False], [True, True], [False, True]])
    panels.eigenvector_counts(ax, kept, np.array([0, 0, 1]), 2)
    tops = [bar.get_y() + bar.get_height() for bar in ax.patches]
    assert tops == [2, 1, 2, 2]


def test_entropies_are_drawn_with_their_spread(ax):
    replicates = np.array([[1.0, 3.0], [2.0, 2.0]])
    panels.entropy_by_noise(ax, [0.0, 1e-2], replicates, "height", "blue")
    (line,) = (line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(line.get_xdata(), [1e-3, 1e-2])
    np.testing.assert_allclose(line.get_ydata(), [2.0, 2.0])


def test_what_was_found_is_counted_once(ax):
    panels.discovery_curve(ax, np.array([4, 4, 7, 4, 9]), "blue", "-")
    assert ax.lines[0].get_ydata().tolist() == [1, 1, 2, 2, 3]


def test_the_densities_of_indices_have_area_one(ax):
    true = np.linspace(0.0, 0.5, 50)
    panels.index_margin(ax, true, np.array([0.1, 0.12, 0.2]))
    x, y = ax.lines[-1].get_data()
    assert np.sum(y) * (x[1] - x[0]) == pytest.approx(1.0, abs=0.05)
    assert 0.05 < x[np.argmax(y)] < 0.2
    assert x.min() >= 0.0


def test_one_index_alone_has_no_density_and_no_warning(ax):
    panels.index_margin(ax, np.linspace(0.0, 0.5, 50), np.zeros(3))


def test_true_points_are_parted_by_how_often_they_were_found(ax):
    panels.times_found(ax, np.linspace(0.0, 1.0, 6), np.array([0, 3, 1, 0, 30, 9]))
    counts = [sum(bar.get_height() for bar in group) for group in ax.containers]
    assert counts == [2, 1, 2, 1]


def test_numbers_are_drawn_over_their_limits(ax):
    intervals = np.array([[1.0, 3.0], [np.nan, np.nan]])
    panels.number_by_limit(ax, [10, 128], np.array([2.0, 5.0]), intervals, 4.0)
    line, paper = ax.lines
    assert line.get_ydata().tolist() == [2.0, 5.0]
    assert list(paper.get_ydata()) == [4.0, 4.0]
    assert ax.collections[0].get_segments()[0][:, 1].tolist() == [1.0, 3.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "128"]


def test_losses_are_drawn_as_their_distribution(ax):
    losses = [np.array([1.0, 2.0]), np.array([3.0])]
    panels.losses_by_limit(ax, np.array([1.0, 2.0, 3.0]), [10, 128], losses)
    true, first, second = ax.lines[:3]
    assert true.get_label() == "all true points"
    at_two = np.asarray(first.get_ydata())[np.asarray(first.get_xdata()) == 2.0]
    assert at_two.max() == 1.0
    assert np.asarray(second.get_xdata())[1:].tolist() == [3.0]
    assert not np.array_equal(first.get_color(), second.get_color())


def test_shares_of_eigenvectors_have_a_row_for_each_limit(ax):
    shares = np.array([[0.0, 0.5], [1.0, 0.25], [0.1, 0.2]])
    panels.eigenvectors_by_limit(ax, [10, 25, 128], shares)
    np.testing.assert_array_equal(ax.images[0].get_array(), shares)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["10", "25", "128"]
