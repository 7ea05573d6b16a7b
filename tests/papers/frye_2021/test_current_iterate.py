"""Newton-MR along x_k, against iterates straight from their definition."""

import numpy as np
import pytest

from autocrit_lite.finders.line_search import ResidualSearch
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.papers.frye_2021.current_iterate import CurrentIterate, newton_mr_along_current
from autocrit_lite.papers.frye_2021.gradient_flat import as_published
from autocrit_lite.papers.frye_2021.newton_systems import last_iterates


@pytest.fixture
def system():
    """Few large eigenvalues that hold little of b, and many small ones."""
    rng = np.random.default_rng(2)
    eigenvalues = np.concatenate([np.linspace(1.0, 3.0, 5), 1e-5 * rng.uniform(-1, 1, 20)])
    b = np.concatenate([1e-2 * rng.standard_normal(5), rng.standard_normal(20)])
    return eigenvalues, b


@pytest.mark.parametrize("rtol", [1e-2, 5e-4])
def test_the_direction_is_the_iterate_at_which_the_solver_stops(system, rtol):
    eigenvalues, b = system
    found = CurrentIterate(ResidualSearch(), rtol).solve(lambda v: eigenvalues * v, b[None])
    k = int(found.iterations[0])
    before, full, _ = last_iterates(eigenvalues, b, k)
    np.testing.assert_allclose(found.x[0], full, rtol=1e-8, atol=1e-10)
    assert np.linalg.norm(full - before) > 0.01 * np.linalg.norm(full)
    r = b - eigenvalues * full
    largest = np.linalg.norm(r) / np.linalg.norm(b)  # with no ‖H‖‖x‖ beside ‖b‖
    assert 0.0 < found.relative_residual[0] < largest
    assert found.relative_cokernel_residual[0] == pytest.approx(
        np.linalg.norm(eigenvalues * r) / np.linalg.norm(r) / 3.0, rel=0.5
    )


def test_a_system_that_is_solved_is_left_as_it_is(system):
    eigenvalues = np.linspace(1.0, 2.0, 25)
    found = CurrentIterate(ResidualSearch(), 1e-10).solve(
        lambda v: eigenvalues * v, system[1][None]
    )
    np.testing.assert_allclose(found.x[0], system[1] / eigenvalues, atol=1e-8)


def test_the_search_is_newton_mr_in_all_else():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    objective = NetworkObjective(MLP((4, 3, 4)), X, X)
    start = rng.standard_normal((1, objective.net.n_parameters))
    # at so strict a tolerance the solver never stops for ‖Hr‖
    ours, theirs = (
        search(objective, start, 3, 1e-14) for search in (newton_mr_along_current, as_published)
    )
    np.testing.assert_allclose(ours.theta, theirs.theta, rtol=1e-6)
    assert ours.thetas is not None
    # at a loose one it does, and the runs part
    ours, theirs = (
        search(objective, start, 20, 0.05) for search in (newton_mr_along_current, as_published)
    )
    assert np.abs(ours.theta - theirs.theta).max() > 1e-3
