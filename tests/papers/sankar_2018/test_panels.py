"""The figures and tables on spectra show the results they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.papers.sankar_2018 import panels, tables
from autocrit_lite.papers.sankar_2018.digit_spectra import TOLERANCES, bulk, nearest_laws
from autocrit_lite.points.flat_directions import SIGNS, SOURCES, null_space
from autocrit_lite.points.spectral_laws import kolmogorov_smirnov
from autocrit_lite.runner.results import Results

ROWS = ("first", "none", "second")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def results():
    """Results of two trials of three rows, of which one has no spectrum."""
    T = len(TOLERANCES)
    counts = np.full((3, 2, T, 3), np.nan)
    counts[0], counts[2] = [1, 5, 4], [0, 2, 8]
    counts[0, 1, :, 0], counts[0, 0, -1] = 3, [0, 10, 0]
    rest = np.full((3, 2, T), np.nan)
    rest[0], rest[2] = 1, -3
    sources = np.full((3, 2, 5), np.nan)
    sources[0], sources[2] = [4, 0, 0, 0, 0], [2, 3, 0, 0, 0]
    arrays = {"counts": counts, "rest": rest, "rescaled": 0 * rest, "sources": sources}
    arrays |= {"most_negative": np.array([7.0, 7.0, np.nan])}
    arrays |= {"eigenvalues": np.tile([-3.0, 2.0, np.nan], (3, 2, 1)), "zero_rows": np.ones((3, 2))}
    dims = {
        "counts": ("row", "trial", "tolerance", "sign"),
        "rest": ("row", "trial", "tolerance"),
        "rescaled": ("row", "trial", "tolerance"),
        "sources": ("row", "trial", "source"),
        "most_negative": ("row",),
        "eigenvalues": ("row", "trial", "eigenvalue"),
        "zero_rows": ("row", "trial"),
    }
    labels = {"row": ROWS, "tolerance": TOLERANCES, "sign": SIGNS, "source": SOURCES}
    return Results(arrays, dims, labels)


def test_sources_stacks_the_parts_beside_what_was_measured(results):
    ax = panels.sources(results, (1e-12,)).axes[0]
    bars = {(bar.get_x(), bar.get_width()) for bar in ax.patches if bar.get_width()}
    assert bars == {(0, 4), (0, 2), (4, 1), (2, 3)}  # the rest of the second is below 0
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [5, 2])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    low, high = ax.get_ylim()
    assert low > high  # the first row is the uppermost


def test_spectra_are_sorted_with_zeros_at_the_floor(results):
    (ax,) = panels.spectra(results, ["first"]).axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [panels.FLOOR, 2.0, 3.0])


def test_source_map_colours_dead_pixels_and_dead_units():
    net = MLP((4, 2, 2), activation="relu")
    theta = net.flatten([(np.ones((2, 4)), np.array([0.0, -9.0])), (np.eye(2), np.zeros(2))])
    X = np.random.default_rng(0).uniform(0.1, 1.0, (9, 4))
    X[:, 2] = 0.0
    labels = np.arange(9) % 2
    H = NetworkObjective(net, X, labels, loss="cross_entropy").linearize(theta).hessian()
    pixels, weights, hessian = panels.source_map(net, X, H, null_space(net, theta, X)).axes
    pixel, unit = (to_rgba(panels.SOURCE_COLORS[name]) for name in ("dead inputs", "dead units"))
    assert tuple(pixels.images[0].get_array()[1, 0]) == pytest.approx(pixel)
    drawn = weights.images[0].get_array()
    expected = [[to_rgba("white")] * 4, [unit] * 4]
    expected[0][2] = expected[1][2] = pixel
    np.testing.assert_allclose(drawn, expected)
    np.testing.assert_array_equal(hessian.images[0].get_array().mask, H == 0.0)


def course():
    arrays = {
        "course_epoch": np.array([[0.0, 1.0]] * 2),
        "course_eigenvalues": np.array([[[-1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0], [-1.0, 1.0]]]),
        "course_error": np.array([[0.9, 0.1], [0.8, 0.2]]),
        "course_known_zeros": np.array([[1, 1], [1, 0]]),
    }
    dims = {name: ("trial", "point", "course_eigenvalue")[: a.ndim] for name, a in arrays.items()}
    return Results(arrays, dims)


def test_training_has_a_dot_for_each_point_and_lines_for_zeros():
    left, right, bar = panels.training(course()).axes
    offsets = [dots.get_offsets().tolist() for dots in left.collections]
    assert offsets == [[[0.5, 0.9], [0.0, 0.1]], [[0.5, 0.8], [0.5, 0.2]]]
    assert left.get_title() == "negative: 50.0% before training, 25.0% after"
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", "1/8", "1"]
    assert [list(line.get_ydata()) for line in right.lines[:2]] == [[1, 1], [1, 0]]
    assert [line.get_linestyle() for line in right.lines[-2:]] == [":", ":"]


def test_bulk_against_laws_draws_distribution_functions_whose_gap_is_the_distance():
    eigenvalues = 0.3 * np.random.default_rng(0).standard_normal(400) ** 3
    (ax,) = panels.bulk_against_laws(eigenvalues).axes
    measured, wigner, _ = ax.lines
    distance = kolmogorov_smirnov(bulk(eigenvalues), nearest_laws(eigenvalues)[0][0])
    x, y = wigner.get_data()
    gap = np.abs(np.interp(x, *measured.get_data()) - y).max()
    assert gap == pytest.approx(distance, abs=0.01)
    assert wigner.get_label().startswith("Wigner: distance ")
    assert ax.get_xscale() == "symlog"
    assert 0.0 in ax.get_xticks()


def small_networks():
    signs = np.array([[[[1, 5, 3], [2, 5, 2]]], [[[3, 0, 1], [3, 9, 1]]]])
    dims = {"small_signs": ("small_loss", "small_method", "small_trial", "sign")}
    labels = {"small_loss": ("cross_entropy", "softmax_mse"), "small_method": ("Adam",)}
    return Results({"small_signs": signs}, dims, labels | {"library_method": ()})


def test_losses_has_a_dot_for_each_trial_and_the_papers_lines():
    table = tables.negative_shares(small_networks())
    assert table.negative.tolist() == [0.25, 0.5, 0.75, 0.75]
    (ax,) = panels.losses(small_networks()).axes
    drawn = np.concatenate([dots.get_offsets()[:, 1] for dots in ax.collections[:-1]])
    assert sorted(drawn.tolist()) == [0.25, 0.5, 0.75, 0.75]
    (line,) = ax.collections[-1].get_segments()
    assert line[0, 1] == pytest.approx(2274 / (2274 + 15958))  # Table 1


def test_negative_lists_counts_beside_their_bound(results):
    table = tables.negative(results)
    assert list(table.index) == ["first", "second"]
    assert table["at most"].tolist() == ["7", ""]
    assert table["below −1e-12"].tolist() == ["2 ± 1", "0 ± 0"]


def test_rounded_signs_takes_half_of_what_the_tolerance_calls_zero(results):
    results["counts"][0, :, 9] = [1, 9, 0]  # 1e-8
    assert tables.rounded_signs(results, "first").iloc[0] == 1 + 0.5 * (9 - 5)


def test_plus_minus_leaves_out_what_is_not_there():
    values = np.array([[1.0, 3.0], [np.nan, np.nan]])
    assert tables.plus_minus(values, ".1f") == ["2.0 ± 1.4", ""]
    assert tables.plus_minus(values[:, :1]) == ["1 ± 0", ""]


def test_what_table_1_leaves_for_zeros():
    printed = tables.printed()
    assert printed.left["momentum"] == 19885 - 15877 - 2383
    assert printed.zero["momentum"] == 1620  # Table 3, not Table 7
