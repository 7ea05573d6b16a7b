"""When finders form dense Hessians, and what they refuse because it would not fit."""

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.finders import driver, hessian_operator
from autocrit_lite.finders.hessian_operator import HessianOperator
from tests.finders.problems import Counted, saddle

N = 4
OBJECTIVE = saddle(np.arange(1.0, N + 1.0), c=0.1)


def matrices_formed(runs, dense_product_cost=0.0):
    """Return how often a batch's Hessians are formed in three products, one of which pays."""
    objective = Counted(OBJECTIVE, 1.0)
    objective.dense_product_cost = dense_product_cost
    theta = np.random.default_rng(0).normal(size=(runs, N))
    H = HessianOperator(objective, theta, objective.linearize(theta))
    for _ in range(3):
        np.testing.assert_allclose(H(theta), OBJECTIVE.linearize(theta).hvp(theta), rtol=1e-12)
    assert objective.products == (1 if objective.hessians else 3)
    return objective.hessians


def test_the_matrices_of_a_batch_are_limited_together(monkeypatch):
    assert matrices_formed(3) == 1
    monkeypatch.setattr(hessian_operator, "AUTO_BYTES", 8 * 3 * N**2)
    assert matrices_formed(3) == 1
    assert matrices_formed(4) == 0


def test_matrices_that_do_not_stay_in_the_caches_cost_what_reading_them_costs(monkeypatch):
    assert matrices_formed(3, 0.9) == 1
    assert matrices_formed(3, 1.0) == 0
    monkeypatch.setattr(hessian_operator, "CACHED_BYTES", 8 * 2 * N**2)
    assert matrices_formed(2, 0.9) == 1
    assert matrices_formed(3, 0.9) == 0
    assert matrices_formed(3, 0.9 / hessian_operator.READ) == 1


def test_one_large_run_may_have_a_matrix_and_many_middling_ones_none():
    assert 8 * 1 * 4096**2 <= hessian_operator.AUTO_BYTES < 8 * 16 * 1482**2
    # batches of five runs of the papers' networks stay in the caches
    assert hessian_operator.CACHED_BYTES >= 8 * 5 * 552**2


class Untouchable:
    hessian_cost = 1.0

    def linearize(self, theta):
        raise AssertionError("work has started")


NEED_MATRICES = [
    al.exact_newton,
    al.damped_newton,
    al.saddle_free_newton,
    lambda o, x: al.index_targeted_newton(o, x, index=1),
    lambda o, x: al.newton_mr(o, x, dense=True),
]


@pytest.mark.parametrize("finder", NEED_MATRICES)
@pytest.mark.parametrize("shape", [(34_330,), (100, 2000)])
def test_what_would_not_fit_is_refused_before_work_starts(finder, shape):
    with pytest.raises(ValueError, match=r"theta0 must be of fewer parameters or fewer starts.*Gi"):
        finder(Untouchable(), np.zeros(shape))


@pytest.mark.parametrize(
    "finder",
    [
        lambda o, x: al.saddle_free_newton(o, x, 2, krylov_dimension=2),
        lambda o, x: al.index_targeted_newton(o, x, 2, index=1, krylov_dimension=2),
        lambda o, x: al.newton_mr(o, x, 2),
        lambda o, x: al.newton_tr(o, x, 2),
        lambda o, x: al.gradient_norm_minimization(o, x, 2),
        lambda o, x: al.levenberg_marquardt(o, x, 2),
    ],
)
def test_finders_that_make_do_without_are_not_refused(finder, monkeypatch):
    monkeypatch.setattr(driver, "MEMORY", 1)
    assert np.all(np.isfinite(finder(OBJECTIVE, np.ones((2, N))).theta))
    with pytest.raises(ValueError, match="2 x 4 parameters"):
        al.exact_newton(OBJECTIVE, np.ones((2, N)))


def test_the_limit_itself_is_allowed(monkeypatch):
    for finder, matrices in zip(NEED_MATRICES, (4, 4, 4, 4, 3), strict=True):
        monkeypatch.setattr(driver, "MEMORY", 8 * matrices * 2 * N**2)
        assert finder(OBJECTIVE, np.ones((2, N))).theta.shape == (2, N)
        with pytest.raises(ValueError, match="fewer parameters"):
            finder(OBJECTIVE, np.ones((3, N)))
