"""The panels on spectra draw the data they are given."""

import numpy as np
import pytest

from autocrit_lite.papers.sankar_2018 import panels
from autocrit_lite.points.spectral_laws import Semicircle, kolmogorov_smirnov


def test_counts_by_tolerance_has_a_line_for_each_sign_and_one_for_exact_zeros(ax):
    counts = np.array([[3, 4, 5], [2, 6, 4]])
    panels.counts_by_tolerance(
        ax, np.array([1e-9, 1e-3]), counts, ["negative", "zero", "positive"], 2
    )
    *lines, exact = ax.lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], counts.T)
    assert exact.get_ydata()[0] == 2
    assert ax.get_xscale() == "log"


def test_zeros_by_source_stacks_the_parts_beside_what_was_measured(ax):
    parts = {"dead inputs": np.array([4, 2]), "the rest": np.array([1, -3])}
    panels.zeros_by_source(ax, ["first", "second"], parts, np.array([5, 2]))
    left = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert left == [(0, 4), (0, 2), (4, 1), (2, 0)]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [5, 2])
    low, high = ax.get_ylim()
    assert low > high  # the first row is the uppermost


def test_ordered_magnitudes_sorts_and_shows_zeros_at_the_floor(ax):
    panels.ordered_magnitudes(ax, {"a": np.array([2.0, -3.0, 0.0])}, floor=1e-9)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1e-9, 2.0, 3.0])


def test_error_against_negative_has_a_dot_for_each_point(ax):
    error, share = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[0.1, 0.0], [0.2, 0.1]])
    panels.error_against_negative(ax, error, share, np.array([0.0, 1.0]))
    offsets = [dots.get_offsets() for dots in ax.collections]
    np.testing.assert_array_equal(offsets, np.stack([share, error], axis=-1))
    bar = ax.figure.axes[-1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", "1/8", "1"]


def test_zeros_by_epoch_has_a_line_for_each_trial_and_tolerance(ax):
    zeros = {1e-12: np.array([[3, 2], [5, 4]]), 1e-3: np.array([[9, 8], [7, 6]])}
    known = np.array([[2, 2], [3, 3]])
    panels.zeros_by_epoch(ax, np.array([0.0, 1.0]), zeros, known)
    assert ax.lines[0].get_label() == r"$\tau = 10^{-12}$"
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn == [[3, 2], [5, 4], [9, 8], [7, 6], [2, 2], [3, 3]]
    assert [line.get_linestyle() for line in ax.lines[-2:]] == [":", ":"]


def test_bulk_against_laws_draws_distribution_functions_whose_gap_is_the_distance(ax):
    law = Semicircle(centre=0.0, radius=1.0)
    eigenvalues = 0.3 * np.random.default_rng(0).standard_normal(400) ** 3
    distance = kolmogorov_smirnov(eigenvalues, law)
    panels.bulk_against_laws(ax, eigenvalues, {"Wigner": law}, [distance])
    measured, wigner = ax.lines
    x, y = wigner.get_data()
    np.testing.assert_allclose(y, law.cdf(x))
    assert (x[0], x[-1]) == pytest.approx((eigenvalues.min(), eigenvalues.max()))
    gap = np.abs(np.interp(x, *measured.get_data()) - y).max()
    assert gap == pytest.approx(distance, abs=0.01)
    assert wigner.get_label() == f"Wigner: distance {distance:.2f}"
    assert ax.get_xscale() == "symlog"
    assert 0.0 in ax.get_xticks()


def test_negative_shares_has_a_dot_for_each_trial_and_the_papers_lines(ax):
    shares = {"a": np.array([[0.1, 0.2], [0.3, np.nan]]), "b": np.array([[0.4], [0.5]])}
    panels.negative_shares(ax, ["first", "second"], shares, np.array([0.15, 0.35]))
    for line, (name, own) in zip(ax.lines, shares.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), own.ravel())
        np.testing.assert_array_equal(np.round(line.get_xdata()), np.repeat([0, 1], own.shape[1]))
    (lines,) = ax.collections
    np.testing.assert_array_equal([segment[0, 1] for segment in lines.get_segments()], [0.15, 0.35])
