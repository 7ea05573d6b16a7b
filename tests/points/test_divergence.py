"""Runs to infinity, told from runs that stay."""

import autograd.numpy as anp
import numpy as np
import pytest

from autocrit_lite.finders import damped_newton, driver
from autocrit_lite.finders.driver import Step
from autocrit_lite.finders.line_search import Search
from autocrit_lite.objectives import AutogradObjective
from autocrit_lite.points.divergence import diverges


class Descent:
    """Gradient descent with a fixed step length."""

    def __init__(self, rate):
        self.rate = rate

    def init(self, objective, theta):
        return None

    def step(self, objective, theta, point, state):
        one = np.ones(len(theta))
        move = -self.rate * point.gradient
        return Step(Search(theta + move, one, one), move, one)


def descent(f, start, rate, iterations=600):
    return driver.find(
        Descent(rate), AutogradObjective(f), np.atleast_1d(start), iterations, 0.0, True
    )


TO_INFINITY = {  # f, start, rate; with what is known of gradient descent on it
    "exp(-x): x like log k, g like 1/k": (lambda t: anp.exp(-t[0]), 1.0, 1.0),
    "1/(1 + x²): x like k^(1/4)": (lambda t: 1.0 / (1.0 + t[0] ** 2), 2.0, 1.0),
    "log(1 + exp(-x)) + y²": (lambda t: anp.log1p(anp.exp(-t[0])) + t[1] ** 2, [1.0, 2.0], 0.4),
}
IN_BOUNDS = {
    "(x - 5)²": (lambda t: (t[0] - 5.0) ** 2, 1.0, 0.02),
    "(x - 5)⁴: x - 5 like k^(-1/2)": (lambda t: (t[0] - 5.0) ** 4, 1.0, 0.01),
    "(x - 5)⁶: x - 5 like k^(-1/4)": (lambda t: (t[0] - 5.0) ** 6, 4.0, 0.01),
    "x⁴, towards 0": (lambda t: t[0] ** 4, 2.0, 0.01),
    "a spiral in a bowl": (lambda t: 0.5 * (t[0] - 3.0) ** 2 + 0.01 * t[1] ** 2, [0.0, 9.0], 1.9),
}


@pytest.mark.parametrize("case", TO_INFINITY.values(), ids=TO_INFINITY)
def test_runs_to_infinity(case):
    found = diverges(descent(*case))
    assert found.verdict, found.why
    assert found.why == "the run goes to infinity"
    assert (np.diff(found.norms) > 0.0).all()


def test_the_power_is_that_of_gradient_descent():
    """x' = e⁻ˣ: g = 1/k. x' = 2x/(1 + x²)²: x⁴ like 8k, and g like x⁻³, k^(-3/4)."""
    cases = list(TO_INFINITY.values())
    assert diverges(descent(*cases[0])).power == pytest.approx(1.0, abs=0.02)
    assert diverges(descent(*cases[1], 4000)).power == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("case", IN_BOUNDS.values(), ids=IN_BOUNDS)
def test_runs_that_stay(case):
    found = diverges(descent(*case))
    assert not found.verdict
    assert not found.grows


@pytest.mark.parametrize("iterations", [64, 100, 200])
def test_a_newton_run_to_infinity(iterations):
    """On exp(-x) Newton's steps are all 1, and g falls faster than any power."""
    objective = AutogradObjective(lambda t: anp.exp(-t[0]))
    trace = damped_newton(objective, np.array([1.0]), iterations, record_theta=True)
    found = diverges(trace)
    assert found.verdict, found.why
    assert found.power > 1.0


def test_a_loss_that_falls_for_ever_does_not_converge():
    found = diverges(descent(lambda t: -t[0], 1.0, 1.0))
    assert (found.grows, found.loss_converges, found.gradient_falls) == (True, False, False)
    assert not found.verdict
    logarithm = diverges(descent(lambda t: -anp.log(t[0]), 1.0, 1.0))  # x like √(2k), g like 1/x
    assert (logarithm.grows, logarithm.loss_converges) == (True, False)
    assert logarithm.gradient_falls
    assert logarithm.why == "the loss does not converge"


def test_the_limit_network_must_exist():
    trace = descent(*TO_INFINITY["exp(-x): x like log k, g like 1/k"])
    assert diverges(trace, lambda t: np.exp(-t)).verdict
    assert diverges(trace, lambda t: np.tanh(t)).verdict
    wanders = diverges(trace, lambda t: np.array([np.cos(t[0]), np.sin(t[0])]))
    assert not wanders.verdict
    assert wanders.why == "what the network does, does not converge"


def test_what_it_needs():
    f, start, rate = IN_BOUNDS["(x - 5)²"]
    objective = AutogradObjective(f)
    with pytest.raises(ValueError, match=r"^trace must have at least 64 iterations, not 63"):
        diverges(descent(f, start, rate, 63))
    with pytest.raises(ValueError, match=r"^trace must be of a single run"):
        diverges(driver.find(Descent(rate), objective, np.ones((2, 1)), 64, 0.0, True))
    with pytest.raises(ValueError, match=r"^trace must have its iterates"):
        diverges(driver.find(Descent(rate), objective, np.ones(1), 64, 0.0, False))
