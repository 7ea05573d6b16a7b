"""The explorer without a browser: what its frames show, and what its sliders do when they move."""

import sys

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite import explorer, plotting
from autocrit_lite.ground_truth.quartic import CRITICAL_POINT, Quartic
from autocrit_lite.points.classes import PointClass

WINDOW = {"x_range": (-5.0, 5.0), "y_range": (-4.5, 4.5)}
NET = al.MLP((3, 2, 3), activation="tanh", bias=True)


def still(start=(4.0, 1.0), **options):
    return al.explore(Quartic(), start, **{"rtol": 1e-10, "live": False, **WINDOW, **options})


def network():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 3))
    return al.NetworkObjective(NET, X, X, loss="mse"), rng.normal(size=NET.n_parameters)


def test_a_frame_shows_the_path_so_far_the_histories_and_where_the_gradient_lies():
    run = still().run
    path, norms, residual, steps, bars = run.figure(3).axes
    np.testing.assert_array_equal(np.transpose(path.lines[0].get_data()), run.thetas[:4])
    for ax, name in zip((norms, residual, steps), explorer.HISTORIES, strict=True):
        history, now = ax.lines
        drawn, known = history.get_ydata(), getattr(run.trace, name)
        np.testing.assert_array_equal(drawn[known > 0], known[known > 0])
        assert now.get_xdata() == 3
        assert now.get_ydata() == getattr(run.trace, name)[3]
    x, y = run.thetas[3]
    curvatures = np.sort([3 * x**2 - 6, 10.8 * y**2 + 10])
    assert [t.get_text() for t in bars.get_yticklabels()] == [f"λ = {c:.1e}" for c in curvatures]
    gradient = np.array([x**3 - 6 * x + 9, 3.6 * y**3 + 10 * y])
    order = np.argsort([3 * x**2 - 6, 10.8 * y**2 + 10])
    shares = (gradient**2 / np.sum(gradient**2))[order]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], shares, rtol=1e-9)


def test_the_arrow_points_down_the_slope():
    run = still().run
    path = run.figure(2).axes[0]
    (arrow,) = path.texts
    gradient = Quartic().value_and_gradient(run.thetas[2])[1]
    np.testing.assert_array_equal(arrow.xy != run.thetas[2], [True, True])
    np.testing.assert_array_equal(np.sign(arrow.xyann - np.asarray(arrow.xy)), np.sign(gradient))


def test_at_the_flat_point_a_run_is_called_gradient_flat_where_the_tolerance_makes_it_so():
    # one curvature is zero but for rounding; on y = 0 itself the solver would see no other
    run = still((np.sqrt(2.0), 1e-3)).run
    assert run.kind(0) is PointClass.STRICTLY_FLAT
    assert "GRADIENT-FLAT" in run.sentence(0)
    assert "rtol = 1e-10" in run.sentence(0)
    _, shares, size = run.bars(0)
    assert shares[np.argmin(size)] > 0.99
    colors = [bar.get_facecolor() for bar in run.figure(0).axes[-1].patches]
    assert colors[0] != colors[1]
    beside = still((1.6, 1.0)).run
    assert beside.kind(0) is PointClass.NEITHER
    assert "does not look flat" in beside.sentence(0)
    assert len({bar.get_facecolor() for bar in beside.figure(0).axes[-1].patches}) == 1


def test_the_end_at_the_critical_point_is_called_critical_and_why_it_ended_is_said():
    shown = still((-4.0, 1.0), step=99)
    assert shown.step == shown.run.last < 99
    np.testing.assert_allclose(shown.run.thetas[-1], CRITICAL_POINT, atol=1e-6)
    assert "CRITICAL" in shown.sentence()
    assert shown.run.trace.stop_reason.sentence in shown.sentence()
    assert shown.run.trace.stop_reason.sentence not in shown.run.sentence(0)


def test_every_finder_of_the_menu_has_frames():
    for finder in explorer.FINDERS:
        shown = still((-4.0, 1.0), finder=finder, max_iterations=3, step=1)
        assert shown.sentence().startswith(f"Step 1 of {shown.run.last}")
        assert finder in shown.figure().axes[1].get_title()
    assert [name for name in explorer.FINDERS if explorer.has_tolerance(name)] == [
        "Newton-MR",
        "Newton-TR",
    ]


def test_a_plane_through_a_network_is_spanned_by_the_steepest_and_the_flattest_eigenvector():
    objective, origin = network()
    shown = al.explore(objective, (0.5, -0.5), origin=origin, max_iterations=2, live=False)
    scene = shown.scene
    np.testing.assert_allclose(scene.axes @ scene.axes.T, np.eye(2), atol=1e-12)
    size = np.abs(np.linalg.eigvalsh(objective.linearize(origin).hessian()))
    product = objective.linearize(origin).hvp(scene.axes)
    np.testing.assert_allclose(np.linalg.norm(product[0]), size.max(), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(product[1]), size.min(), atol=1e-9 * size.max())
    np.testing.assert_allclose(shown.run.thetas[0], origin + 0.5 * (scene.axes[0] - scene.axes[1]))
    path = shown.figure().axes[0]
    assert (path.get_xlabel(), path.get_ylabel()) == scene.labels
    assert all(label.startswith("along λ = ") for label in scene.labels)
    names, shares, _ = shown.run.bars(0)
    assert len(names) == len(shares) == explorer.BARS < NET.n_parameters
    np.testing.assert_allclose(shares.sum(), 1.0)
    middle = scene.landscape[explorer.GRID // 2, explorer.GRID // 2]
    gradient = objective.value_and_gradient(origin)[1]
    np.testing.assert_allclose(middle, np.log10(gradient @ gradient), rtol=1e-9)


def test_directions_of_ones_own_keep_their_sense():
    objective, origin = network()
    directions = np.zeros((2, len(origin)))
    directions[0, 1], directions[1, :2] = -3.0, 2.0
    shown = al.explore(objective, origin=origin, directions=directions, live=False)
    np.testing.assert_allclose(shown.scene.axes[:, :2], [[0.0, -1.0], [1.0, 0.0]], atol=1e-12)
    assert shown.scene.labels == ("direction 1", "direction 2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"finder": "newton"}, ValueError, "finder must be one of"),
        ({"rtol": 0.5}, ValueError, "rtol must be"),
        ({"x_range": (1.0, -1.0)}, ValueError, "x_range must be two growing numbers"),
        ({"start": (9.0, 0.0)}, ValueError, "start must lie in x_range and y_range"),
        ({"start": (0.0, 0.0, 0.0)}, ValueError, "start must"),
        ({"origin": np.zeros(3)}, ValueError, "origin must be a point of the objective"),
        ({"directions": np.ones((2, 2))}, ValueError, "directions must be two that are not"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be"),
        ({"step": -1}, ValueError, "step must be"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(options, error, message):
    with pytest.raises(error, match=message):
        still(**options)


def test_something_else_than_an_objective_is_refused():
    with pytest.raises(TypeError, match="objective must be one"):
        al.explore(np.sin, live=False)


def test_without_ipywidgets_a_picture_is_shown_and_sliders_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shown = still()
    assert shown.controls == {}
    bundle = shown._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"] == shown.sentence()
    with pytest.raises(
        ImportError, match=r"ipywidgets.*pip install \"autocrit-lite\[notebooks\]\""
    ):
        still(live=True)


class Shell:
    """IPython's, as a front end that names the cell or not leaves it."""

    def __init__(self, metadata):
        self.kernel = self
        self.metadata = metadata

    def get_ipython(self):
        return self

    def get_parent(self, channel):
        return {"metadata": self.metadata} if channel == "shell" else {}


@pytest.mark.parametrize(("metadata", "live"), [({"cellId": "a"}, True), ({}, False)])
def test_sliders_are_made_where_a_front_end_names_the_cell(monkeypatch, metadata, live):
    monkeypatch.setitem(sys.modules, "IPython", Shell(metadata))
    assert explorer._is_live() is live


@pytest.fixture
def shown():
    pytest.importorskip("ipywidgets", reason="needs ipywidgets")
    return still(step=2, live=True)


def test_a_slider_moves_the_frame_and_the_sentence(shown):
    c = shown.controls
    before = c["image"].value
    assert before == shown.run.png(2)
    c["step"].value = 5
    assert shown.step == 5
    assert c["image"].value == shown.run.png(5) != before
    assert c["sentence"].value.startswith("<p aria-live='polite'>Step 5 of ")
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()


def test_a_start_a_tolerance_and_a_finder_of_the_readers_choice(shown):
    c = shown.controls
    c["step"].value = shown.run.last
    c["x"].value = -4.0
    np.testing.assert_array_equal(shown.run.thetas[0], [-4.0, 1.0])
    assert c["step"].max == c["play"].max == shown.run.last
    assert shown.step == c["step"].value <= shown.run.last
    c["rtol"].value = 1e-3
    assert shown.run.rtol == 1e-3
    c["finder"].value = "exact Newton"
    assert (shown.run.finder, shown.run.rtol, c["rtol"].disabled) == ("exact Newton", None, True)
    c["finder"].value = "Newton-TR"
    assert (shown.run.rtol, c["rtol"].disabled) == (1e-3, False)


def test_a_seed_draws_the_start_in_the_window(shown):
    c = shown.controls
    c["seed"].value = 5
    drawn = np.random.default_rng(5).uniform([-5.0, -4.5], [5.0, 4.5])
    np.testing.assert_array_equal(shown.run.thetas[0], drawn)
    assert (c["x"].value, c["y"].value) == tuple(drawn)


def test_a_film_has_its_frames_in_the_page_and_none_elsewhere():
    run = still().run
    film = run.film([0, 5, 17])
    assert film.frames == [run.png(step, 80.0) for step in (0, 5, 17)]
    assert film.texts == [run.sentence(step) for step in (0, 5, 17)]
    page = film._repr_html_()
    assert page.count("data:image/png;base64,") == 4  # and the one shown first
    assert "http" not in page
    assert run.sentence(17) in page
    assert len(page) < 500_000
    with pytest.raises(ValueError, match="a step must be"):
        run.film([run.last + 1])


def test_a_text_cannot_end_the_script_of_a_film():
    page = plotting.Film([b""], ["</script><b>"])._repr_html_()
    assert page.count("</script>") == 1
    assert "<b>" not in page


def test_the_package_is_imported_without_what_draws():
    with pytest.raises(AttributeError, match="no attribute 'explorers'"):
        al.explorers  # noqa: B018
    assert al.explore is explorer.explore
