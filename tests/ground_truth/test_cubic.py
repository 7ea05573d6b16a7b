import numpy as np
import pytest

from autocrit_lite import AutogradObjective
from autocrit_lite.ground_truth.cubic import Cubic
from autocrit_lite.training.optimizers import GradientDescent, train


def test_derivatives_agree_with_autograd():
    theta = np.random.default_rng(0).normal(size=(5, 2))
    reference = AutogradObjective(lambda t: t[0] ** 3 + t[1] ** 3).linearize(theta)
    point = Cubic().linearize(theta)
    np.testing.assert_allclose(point.value, reference.value, rtol=1e-14)
    np.testing.assert_allclose(point.gradient, reference.gradient, rtol=1e-14)
    np.testing.assert_allclose(point.hessian(), reference.hessian(), rtol=1e-13, atol=1e-14)
    v = np.random.default_rng(1).normal(size=(5, 3, 2))
    np.testing.assert_allclose(point.hvp(v), v @ point.hessian(), rtol=1e-14)
    np.testing.assert_allclose(point.hvp(v[:, 0]), point.hvp(v)[:, 0], rtol=1e-14)


def test_gradient_descent_follows_the_flow_of_the_module_docstring():
    theta0, rate, steps = np.array([[0.5, 0.2], [0.5, -0.001]]), 1e-3, 5000
    end = train(Cubic(), theta0, GradientDescent(rate), steps).final
    np.testing.assert_allclose(end, theta0 / (1.0 + 3.0 * theta0 * rate * steps), rtol=1e-3)


def test_wrong_length_is_refused():
    with pytest.raises(ValueError, match="theta"):
        Cubic().value_and_gradient(np.zeros(3))
