"""Statements in words on Figs 2 to 4, on results made so that they hold, and that they do not."""

import numpy as np
import pytest

from autocrit_lite.papers.frye_2019.tendencies import LOOSE, of_figure_2, of_figures_3_and_4
from autocrit_lite.runner.results import Results

TRAJECTORIES, STARTS = 10, 6
RUNS = TRAJECTORIES * STARTS
SCHEMES, SIGMAS = ("height", "iteration"), (0.0, 1e-4, 1e-2, 1e-1)


def figure_2(error_grows_with_loss=False, shape=1.0):
    """Return results whose true points lie on the line from (0, 0) to (1, 1)."""
    rng = np.random.default_rng(0)
    loss = rng.uniform(0.1, 0.9, RUNS)
    error = 0.1 * (loss if error_grows_with_loss else 1.0 - loss)
    x = rng.uniform(0.0, 1.0, RUNS)
    arrays = {
        "train_loss": np.zeros((TRAJECTORIES, 2)),
        "cutoff_loss": np.stack([loss, x + shape * x**2], axis=-1)[None],
        "cutoff_index": np.stack([loss + error, x], axis=-1)[None],
        "true_index": np.linspace(0.0, 1.0, 1001),
        "true_loss": np.linspace(0.0, 1.0, 1001),
    }
    dims = {
        "train_loss": ("trajectory", "epoch"),
        **dict.fromkeys(("cutoff_loss", "cutoff_index"), ("method", "run", "cutoff")),
        **dict.fromkeys(("true_index", "true_loss"), ("point",)),
    }
    return Results(arrays, dims, {"cutoff": (LOOSE, np.inf)})


def verdicts(claims):
    return {id: claim.verdict for id, claim in claims.items()}


def test_errors_and_the_shape_of_the_starts_are_as_the_paper_says():
    found = of_figure_2(figure_2(), ("newton_mr",))
    assert verdicts(found) == {"f19-error-loss": "reproduced", "f19-start-shape": "reproduced"}
    assert found["f19-error-loss"].value == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize(
    ("changed", "id"),
    [({"error_grows_with_loss": True}, "f19-error-loss"), ({"shape": -0.3}, "f19-start-shape")],
)
def test_the_contrary_differs(changed, id):
    assert of_figure_2(figure_2(**changed), ("newton_mr",))[id].verdict == "differs"


def test_only_newton_mr_is_asked():
    assert of_figure_2(figure_2(), ("newton_tr",)) == {}


def sampled(cells, start_loss=None, end=1e-12):
    """Return results in which the runs of a cell keep the eigenvectors (runs,) named."""
    shape = len(SCHEMES), len(SIGMAS), RUNS
    kept = np.zeros((*shape, 16), dtype=bool)
    row = np.zeros(shape, dtype=int)
    for (s, x), which in cells.items():
        kept[s, x, np.arange(RUNS), which] = True
        row[s, x] = which
    arrays = {
        "end": np.full(shape, end),
        "kept": kept,
        "row": row,
        "start_loss": np.zeros(shape) if start_loss is None else start_loss,
        "trajectory": np.repeat(np.arange(TRAJECTORIES), STARTS),
        "eigenvalues": np.arange(1.0, 17.0),
    }
    runs = dict.fromkeys(("end", "row", "start_loss"), ("scheme", "sigma", "run"))
    dims = {
        **runs,
        "kept": ("scheme", "sigma", "run", "eigenvector"),
        "trajectory": ("run",),
        "eigenvalues": ("eigenvector",),
    }
    return Results(arrays, dims, {"scheme": SCHEMES, "sigma": SIGMAS})


FEW, MANY = np.arange(RUNS) % 2, np.arange(RUNS) % 6
HIGH = 14 + FEW


def as_the_paper_says():
    start_loss = np.zeros((2, 4, RUNS))
    start_loss[0, 3] = 1.0
    # without noise, small, middle and large noise; then uniform in iteration
    cells = {(0, 0): 2 + FEW, (0, 1): 2 + FEW, (0, 2): 2 + MANY, (0, 3): HIGH, (1, 0): 0 * FEW}
    return cells, start_loss


def test_noise_and_sampling_act_as_the_paper_says():
    found = of_figures_3_and_4(sampled(*as_the_paper_says()), SCHEMES, SIGMAS)
    ids = ("noise", "iteration", "noise-small", "noise-large", "noise-start")
    assert verdicts(found) == {f"f19-{id}": "reproduced" for id in ids}
    assert found["f19-noise"].value == pytest.approx(np.log2(6) - 1.0)
    assert found["f19-iteration"].value == pytest.approx(-1.0)
    assert found["f19-noise-large"].value == pytest.approx([12.0, 0.0])


@pytest.mark.parametrize(
    ("cell", "which", "id"),
    [
        ((0, 2), 2 + FEW, "f19-noise"),
        ((1, 0), 2 + MANY, "f19-iteration"),
        ((0, 1), 3 - FEW, "f19-noise-small"),
        ((0, 3), FEW, "f19-noise-large"),  # to the small eigenvalues
        ((0, 3), 10 + MANY, "f19-noise-large"),  # to large ones, but with a higher entropy
    ],
)
def test_each_contrary_differs(cell, which, id):
    cells, start_loss = as_the_paper_says()
    cells[cell] = which
    assert of_figures_3_and_4(sampled(cells, start_loss), SCHEMES, SIGMAS)[id].verdict == "differs"


def test_starts_of_lower_loss_differ():
    cells, start_loss = as_the_paper_says()
    found = of_figures_3_and_4(sampled(cells, -start_loss), SCHEMES, SIGMAS)
    assert found["f19-noise-start"].verdict == "differs"


def test_runs_that_are_not_accepted_are_no_points():
    found = of_figures_3_and_4(sampled(*as_the_paper_says(), end=1.0), SCHEMES, SIGMAS)
    assert "f19-noise-small" not in found
    assert found["f19-noise"].verdict == "differs"
