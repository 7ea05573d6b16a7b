"""The panels on spectra draw the data they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from autocrit_lite import plotting, plotting_spectra
from autocrit_lite.spectra import Semicircle


@pytest.fixture
def ax():
    with plotting.style():
        figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_counts_by_tolerance_has_a_line_for_each_sign_and_one_for_exact_zeros(ax):
    counts = np.array([[3, 4, 5], [2, 6, 4]])
    plotting_spectra.counts_by_tolerance(
        ax, np.array([1e-9, 1e-3]), counts, ["negative", "zero", "positive"], 2
    )
    *lines, exact = ax.lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], counts.T)
    assert exact.get_ydata()[0] == 2
    assert ax.get_xscale() == "log"


def test_zeros_by_source_stacks_the_parts_beside_what_was_measured(ax):
    parts = {"dead inputs": np.array([4, 2]), "the rest": np.array([1, -3])}
    plotting_spectra.zeros_by_source(ax, ["first", "second"], parts, np.array([5, 2]))
    left = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert left == [(0, 4), (0, 2), (4, 1), (2, 0)]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [5, 2])
    low, high = ax.get_ylim()
    assert low > high  # the first row is the uppermost


def test_ordered_magnitudes_sorts_and_shows_zeros_at_the_floor(ax):
    plotting_spectra.ordered_magnitudes(ax, {"a": np.array([2.0, -3.0, 0.0])}, floor=1e-9)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1e-9, 2.0, 3.0])


def test_error_against_negative_has_a_dot_for_each_point(ax):
    error, share = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[0.1, 0.0], [0.2, 0.1]])
    plotting_spectra.error_against_negative(ax, error, share, np.array([0.0, 1.0]))
    offsets = [dots.get_offsets() for dots in ax.collections]
    np.testing.assert_array_equal(offsets, np.stack([share, error], axis=-1))


def test_zeros_by_epoch_has_a_line_for_each_trial_and_tolerance(ax):
    zeros = {1e-12: np.array([[3, 2], [5, 4]]), 1e-3: np.array([[9, 8], [7, 6]])}
    known = np.array([[2, 2], [3, 3]])
    plotting_spectra.zeros_by_epoch(ax, np.array([0.0, 1.0]), zeros, known)
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn == [[3, 2], [5, 4], [9, 8], [7, 6], [2, 2], [3, 3]]
    assert [line.get_linestyle() for line in ax.lines[-2:]] == [":", ":"]


def test_bulk_against_laws_draws_the_density(ax):
    law = Semicircle(centre=0.0, radius=1.0)
    eigenvalues = np.linspace(-1.0, 1.0, 50)
    plotting_spectra.bulk_against_laws(ax, eigenvalues, {"Wigner": law}, [0.25])
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, law.density(x))
    assert ax.lines[0].get_label() == "Wigner: distance 0.25"
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    assert area == pytest.approx(1.0)
