"""The panels draw the data they are given; nothing else is asked of them here."""

import matplotlib.pyplot as plt
import numpy as np

from autocrit_lite import plotting


def test_squared_gradient_norm_draws_each_run_at_its_iterations(ax):
    traces = np.array([[1.0, 1e-3, 1e-6], [2.0, 0.5, np.nan]])
    plotting.squared_gradient_norm(
        ax, traces, ["black", "red"], cutoff=1e-5, floor=1e-8, iteration=np.array([0, 9, 99])
    )
    first, second, cutoff = ax.lines
    np.testing.assert_array_equal(first.get_xdata(), [1, 10, 100])
    np.testing.assert_array_equal(second.get_ydata(), traces[1])
    assert second.get_color() == "red"
    assert set(cutoff.get_ydata()) == {1e-5}
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylim()[0]) == ("log", "log", 1e-8)


def test_loss_against_index_draws_found_over_true_points(ax):
    true = np.array([0.0, 0.5]), np.array([1.0, 2.0])
    found = np.array([0.5]), np.array([2.1])
    plotting.loss_against_index(ax, true, found)
    below, above = ax.collections
    np.testing.assert_array_equal(below.get_offsets(), np.transpose(true))
    np.testing.assert_array_equal(above.get_offsets(), np.transpose(found))
    assert above.get_zorder() > below.get_zorder()


def test_trajectories_start_at_the_dots(ax):
    paths = np.array([[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [np.nan, np.nan]]])
    plotting.trajectories(ax, paths, ["blue", "red"])
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), paths[:, 0])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 3.0])


def test_direction_field_has_unit_arrows_and_none_where_there_is_no_direction(ax):
    directions = np.array([[[3.0, 4.0], [0.0, 0.0]]])
    plotting.direction_field(ax, np.array([0.0, 1.0]), np.array([0.0]), directions)
    (arrows,) = ax.collections
    np.testing.assert_allclose(arrows.U, [0.6, 0.0])
    np.testing.assert_allclose(arrows.V, [0.8, 0.0])


def test_step_length_leaves_out_steps_that_were_not_taken(ax):
    plotting.step_length(ax, np.array([[1.0, 0.5, 0.0]]), ["blue"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 0.5, np.nan])


def test_comparisons_draw_a_row_for_each_with_what_is_accepted():
    scaled = np.array([[0.5, 0.2, 0.9, -1.0, 1.0], [4.0, 3.0, 5.0, 1.0, plotting.FARTHEST]])
    marks = {"same": ("green", "o"), "other": ("red", "D"), "unused": ("blue", "s")}
    with plotting.style():
        figure, ax = plt.subplots()
        plotting.comparisons(ax, scaled, ["a", "b"], ["1 → 2", "3 → 4"], ["same", "other"], marks)
    drawn = [line.get_xdata().tolist() for line in ax.lines[:6]]
    assert drawn == [[-1.0, 1.0], [0.2, 0.9], [0.5], [1.0, plotting.FARTHEST], [3.0, 5.0], [4.0]]
    assert [line.get_color() for line in ax.lines[2:6:3]] == ["green", "red"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.texts[:2]] == ["1 → 2", "3 → 4"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["same", "other"]
    plt.close(figure)


def test_save_writes_png_and_pdf_and_the_same_bytes_each_time(tmp_path):
    written = []
    for folder in ("a", "b"):
        with plotting.style():
            figure, ax = plt.subplots()
            plotting.residual(ax, np.array([[0.1, 1.0]]), ["blue"])
        plotting.save(figure, "figure", tmp_path / folder, stamp="quick")
        plt.close(figure)
        assert [text.get_text() for text in figure.texts] == ["quick"]
        written.append([(tmp_path / folder / f"figure.{x}").read_bytes() for x in ("png", "pdf")])
    assert written[0] == written[1]
    assert written[0][0].startswith(b"\x89PNG")
    assert written[0][1].startswith(b"%PDF")
    width = int.from_bytes(written[0][0][16:20], "big")
    assert width == 200 * figure.get_figwidth()  # in the style, though saved after it


def test_landscape_shows_the_logarithm_on_the_whole_window(ax):
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 2, 4)
    values = np.full((4, 5), 10.0)
    values[0, 0] = 1000.0
    plotting.landscape(ax, x, y, values, "log")
    assert ax.get_xlim() == (-1.0, 1.0)
    assert ax.get_ylim() == (0.0, 2.0)
    levels = ax.collections[0].levels
    assert levels[0] <= 1.0
    assert levels[-1] >= 3.0
