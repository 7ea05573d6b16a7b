"""The figures draw the results they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from autocrit_lite.ground_truth import critical_locus as locus
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.papers.cooper_2020 import locus_tables, panels
from autocrit_lite.papers.cooper_2020.locus_motion import POINTS, SEARCHED
from autocrit_lite.runner.results import Results


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def results_of(part, **arrays):
    """Results of one part whose arrays have more dimensions after the rows."""
    arrays = {f"{part}_{name}": np.array(array) for name, array in arrays.items()}
    dims = {name: (part, *(f"{name}_{k}" for k in range(1, a.ndim))) for name, a in arrays.items()}
    return Results(arrays, dims)


def escaping():
    steps = [[9.0, 19.0, 29.0], [99.0, np.nan, np.nan], [9.0, 9.0, 9.0]]
    rules = ["plain", "plain", "noisy"]
    return results_of(
        "escape", distance=[1.0, 0.1, 1.0], count=[2] * 3, depth=[3] * 3, rule=rules, steps=steps
    )


def test_zeroed_layers_leaves_free_what_a_locus_leaves_free():
    net = MLP((3, 4, 4, 2), "tanh")
    (ax,) = panels.zeroed_layers(net).axes
    white = [patch.get_facecolor() == to_rgba("white") for patch in ax.patches]
    expected = []
    for indices in [(1,), (2,), (1, 2)]:
        fixed = locus.fixed_coordinates(net, indices)
        expected += [fixed[part].all() for pair in net.slices for part in pair]
    assert white == expected
    texts = [text.get_text() for text in ax.texts]
    assert texts.count(r"$\bar y$") == 3
    assert f"{locus.dimension(net, (2,))} of {net.n_parameters} free" in texts


def test_escape_shows_runs_that_have_not_left_at_the_limit():
    plain, noisy = panels.escape(escaping(), ("plain", "noisy"), 500).axes
    steps = [np.asarray(dots.get_offsets())[:, 1].tolist() for dots in plain.collections[:2]]
    assert steps == [[10.0, 20.0, 30.0, 100.0], [500.0, 500.0]]
    np.testing.assert_array_equal(plain.lines[0].get_xydata(), [[1.0, 20.0]])  # no median at 0.1
    np.testing.assert_array_equal(noisy.lines[0].get_xydata(), [[1.0, 10.0]])


def test_leaving_has_medians_and_the_slope_of_what_left():
    steps = np.array([[5.0, 5.0], [100.0, 100.0], [1000.0, 1000.0]])
    results = results_of(
        "escape",
        distance=[1.0, 0.1, 0.01],
        count=[2] * 3,
        depth=[3] * 3,
        rule=["plain"] * 3,
        steps=steps,
    )
    table = locus_tables.leaving(results)
    assert table.loc[(2, 3)].tolist() == [1000.0, 100.0, 5.0, -1.0]


def test_cubic_tells_runs_that_stayed_by_colour():
    results = results_of(
        "cubic", rule=["plain"], distance=[1.0], angle=[[0.5, 3.0]], steps=[[np.nan, 4.0]]
    )
    (ax,) = panels.cubic(results, ("plain",)).axes
    colors = [tuple(color) for color in ax.collections[0].get_facecolors()]
    names = "3-core", "star"
    assert colors == [to_rgba(panels.LOCUS_COLORS[name]) for name in names]
    np.testing.assert_allclose(np.linalg.norm(ax.collections[0].get_offsets(), axis=1), 1.0)


def test_plane_has_a_labelled_row_for_each_kind():
    kinds = [*POINTS, *SEARCHED]
    index = np.linspace(0.0, 0.4, len(kinds))[:, None] * [0.0, 1.0, 0.0]  # 1e-5 is the second
    results = results_of(
        "plane",
        points=kinds,
        loss=np.linspace(1.0, 0.99, len(kinds)),
        squared_gradient_norm=np.zeros(len(kinds)),
        index=index,
    )
    left, right = panels.plane(results).axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == [panels.KINDS[kind] for kind in kinds]
    drawn = np.concatenate([dots.get_offsets() for dots in left.collections])
    np.testing.assert_allclose(drawn[:, 0], index[:, 1])
    np.testing.assert_allclose(right.collections[0].get_offsets()[:, 0], index[:, 1])
    (label,) = right.texts  # inside the axes, whatever the losses are
    place = right.transAxes.inverted().transform(
        label.get_transform().transform(label.get_position())
    )
    assert np.all((place > 0.0) & (place < 1.0))
    table = locus_tables.by_kind(results)
    assert list(table.index) == kinds
    np.testing.assert_array_equal(table["highest index"], index[:, 1].round(3))
