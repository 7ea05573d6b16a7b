import array_api_strict
import numpy as np
import pytest

from autocrit_lite import AutogradObjective
from autocrit_lite.ground_truth.quartic import Quartic
from autocrit_lite.training.optimizers import (
    Adagrad,
    Adam,
    GradientDescent,
    Momentum,
    Nesterov,
    NoisySGD,
    PerturbedGradientDescent,
    TrainingStopReason,
    train,
)

RULES = [
    GradientDescent(0.003),
    Momentum(0.003),
    Nesterov(0.003),
    Adam(0.05),
    Adagrad(0.5),
    NoisySGD(0.003),
    PerturbedGradientDescent(0.003),
]
STARTS = np.random.default_rng(0).uniform(-2, 2, (4, 2))


class Quadratic:
    """½ θᵀ diag(curvature) θ at points (..., n)."""

    hessian_cost = 1.0

    def __init__(self, curvature):
        self.curvature = np.array(curvature)

    def value_and_gradient(self, theta):
        gradient = self.curvature * theta
        return 0.5 * np.sum(theta * gradient, axis=-1), gradient


def generators(count, seed=0):
    return [np.random.default_rng([seed, b]) for b in range(count)]


def test_gradient_descent_on_a_quadratic_is_a_power():
    objective, start = Quadratic([1.0, 3.0, -0.5]), np.array([1.0, -2.0, 0.1])
    trajectory = train(objective, start, GradientDescent(0.1), 20)
    powers = (1 - 0.1 * objective.curvature) ** np.arange(21)[:, None]
    np.testing.assert_allclose(trajectory.theta, powers * start, rtol=1e-13)
    np.testing.assert_allclose(trajectory.value, objective.value_and_gradient(powers * start)[0])
    np.testing.assert_array_equal(trajectory.iteration, np.arange(21))
    np.testing.assert_array_equal(trajectory.final, trajectory.theta[-1])
    assert trajectory.iterations == 20
    assert trajectory.stop_reason is TrainingStopReason.COMPLETED


def test_momentum_is_the_heavy_ball():
    theta = train(Quartic(), STARTS[0], Momentum(0.004, 0.8), 30).theta
    gradient = Quartic().value_and_gradient(theta)[1]
    expected = theta[1:-1] - 0.004 * gradient[1:-1] + 0.8 * (theta[1:-1] - theta[:-2])
    np.testing.assert_allclose(theta[2:], expected, rtol=1e-12)
    np.testing.assert_allclose(theta[1], theta[0] - 0.004 * gradient[0], rtol=1e-15)


def test_nesterov_passes_through_the_points_that_it_looks_ahead_to():
    theta, velocity, ahead = STARTS[0], np.zeros(2), []
    for _ in range(30):
        ahead.append(theta + 0.8 * velocity)
        gradient = Quartic().value_and_gradient(ahead[-1])[1]
        velocity = 0.8 * velocity - 0.004 * gradient
        theta = theta + velocity
    trajectory = train(Quartic(), STARTS[0], Nesterov(0.004, 0.8), 29)
    np.testing.assert_allclose(trajectory.theta, ahead, rtol=1e-11)


def test_adam_is_algorithm_1():
    theta, m, v = STARTS[0], 0, 0
    for t in range(1, 21):
        gradient = Quartic().value_and_gradient(theta)[1]
        m, v = 0.7 * m + 0.3 * gradient, 0.9 * v + 0.1 * gradient**2
        step = 0.05 * (m / (1 - 0.7**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-3)
        theta = theta - step
    trajectory = train(Quartic(), STARTS[0], Adam(0.05, 0.7, 0.9, 1e-3), 20)
    np.testing.assert_allclose(trajectory.final, theta, rtol=1e-12)


def test_adagrad_divides_by_the_root_of_the_summed_squares():
    theta, squares = STARTS[0], 0
    for _ in range(20):
        gradient = Quartic().value_and_gradient(theta)[1]
        squares = squares + gradient**2
        theta = theta - 0.3 * gradient / (np.sqrt(squares) + 1e-10)
    trajectory = train(Quartic(), STARTS[0], Adagrad(0.3), 20)
    np.testing.assert_allclose(trajectory.final, theta, rtol=1e-12)


def test_noisy_sgd_adds_noise_of_one_length_in_all_directions():
    theta = train(
        Quadratic(np.zeros(5)), np.zeros(5), NoisySGD(0.1, 2.0), 2000, rng=np.random.default_rng(1)
    ).theta
    steps = np.diff(theta, axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.2, rtol=1e-9)
    # five standard errors of a mean of 2000
    assert np.all(np.abs(steps.mean(axis=0)) < 5 * 0.2 / np.sqrt(5 * 2000))
    covariance = steps.T @ steps / len(steps)
    np.testing.assert_allclose(covariance, 0.04 / 5 * np.eye(5), atol=0.04 / 5 * 0.2)


def test_perturbed_descent_jumps_within_the_ball_and_waits():
    rule = PerturbedGradientDescent(rate=0.1, radius=0.5, threshold=1e-9, wait=3)
    theta = train(
        Quadratic(np.zeros(3)), np.zeros(3), rule, 8000, rng=np.random.default_rng(2)
    ).theta
    lengths = np.linalg.norm(np.diff(theta, axis=0), axis=1)
    jumps = np.flatnonzero(lengths)
    np.testing.assert_array_equal(jumps, np.arange(0, 8000, 4))
    radii = lengths[jumps] / 0.5
    assert radii.max() < 1 + 1e-9
    # uniform in the ball: the cubes of the radii are uniform in [0, 1]
    assert abs(np.mean(radii**3) - 0.5) < 5 / np.sqrt(12 * len(radii))
    assert abs(np.mean(radii**3 < 0.2) - 0.2) < 5 * 0.4 / np.sqrt(len(radii))


def test_perturbed_descent_leaves_a_saddle_where_descent_stays():
    objective = AutogradObjective(lambda t: 0.5 * t[0] ** 2 - 0.5 * t[1] ** 2 + 0.25 * t[1] ** 4)
    start = np.array([0.5, 0.0])
    plain = train(objective, start, GradientDescent(0.1), 300)
    np.testing.assert_allclose(plain.final, [0, 0], atol=1e-9)
    escaped = train(
        objective, start, PerturbedGradientDescent(0.1), 300, rng=np.random.default_rng(3)
    )
    np.testing.assert_allclose(np.abs(escaped.final), [0, 1], atol=0.02)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_run_does_not_depend_on_the_others_of_its_batch(rule):
    batch = train(Quartic(), STARTS, rule, 50, rng=generators(4))
    assert batch.theta.shape == (4, 51, 2)
    assert batch.value.shape == batch.kept_value.shape == (4, 51)
    for b in range(4):
        single = train(Quartic(), STARTS[b], rule, 50, rng=generators(4)[b])
        run = batch.run(b)
        for name in ("theta", "iteration", "value", "final"):
            np.testing.assert_array_equal(getattr(single, name), getattr(run, name))
    some = train(Quartic(), STARTS[2:], rule, 50, rng=generators(4)[2:])
    np.testing.assert_array_equal(some.theta, batch.theta[2:])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_lowers_the_loss(rule):
    trajectory = train(Quartic(), STARTS, rule, 1500, rng=generators(4))
    np.testing.assert_allclose(trajectory.final, np.broadcast_to([-3, 0], (4, 2)), atol=0.05)


def test_a_run_that_overflows_ends_and_the_others_go_on():
    starts = np.array([[-2.0, 1.0], [300.0, 1.0], [-1.0, 0.5]])
    trajectory = train(Quartic(), starts, GradientDescent(0.01), 40)
    assert trajectory.stop_reason.tolist() == [0, 1, 0]
    assert trajectory.iterations[0] == trajectory.iterations[2] == 40
    assert 0 < trajectory.iterations[1] < 20
    assert np.all(np.isfinite(trajectory.final))
    ended = trajectory.iterations[1]
    assert np.all(np.isfinite(trajectory.value[1, : ended + 1]))
    assert np.all(np.isnan(trajectory.value[1, ended + 1 :]))
    assert np.all(np.isnan(trajectory.theta[1, ended + 1 :]))
    np.testing.assert_array_equal(trajectory.theta[1, ended], trajectory.final[1])
    run = trajectory.run(1)
    assert run.stop_reason is TrainingStopReason.NON_FINITE
    assert run.theta.shape == (ended + 1, 2)
    assert np.all(np.isfinite(run.theta))
    alone = train(Quartic(), starts[1], GradientDescent(0.01), 40)
    np.testing.assert_array_equal(alone.theta, run.theta)


def test_a_start_without_a_finite_loss_is_all_that_its_run_keeps():
    trajectory = train(Quartic(), np.array([1e200, 0.0]), GradientDescent(), 5)
    assert trajectory.stop_reason is TrainingStopReason.NON_FINITE
    assert trajectory.iterations == 0
    np.testing.assert_array_equal(trajectory.theta, [[1e200, 0.0]])
    np.testing.assert_array_equal(trajectory.value, [np.nan])


def test_an_early_end_is_kept_when_iterates_are_dropped():
    starts = np.array([[0.0, 1.0], [1.0, 1.0]])  # the first coordinate grows by −1.2 each step
    trajectory = train(
        Quadratic([22.0, 1.0]), starts, GradientDescent(0.1), 3000, memory=20 * 8 * 4
    )
    assert trajectory.stop_reason.tolist() == [0, 1]
    assert len(trajectory.iteration) <= 20
    run = trajectory.run(1)
    assert run.iteration[-1] == run.iterations
    assert 1900 < run.iterations < 2000
    assert run.iterations not in trajectory.iteration
    np.testing.assert_array_equal(run.theta[-1], run.final)
    assert np.all(np.isfinite(run.kept_value))


def test_thinning_keeps_to_the_memory_and_resolves_the_steep_beginning():
    objective, start = Quadratic([1.0, 1e-3]), np.array([1.0, 1.0])
    every = train(objective, start, GradientDescent(0.05), 5000)
    trajectory = train(objective, start, GradientDescent(0.05), 5000, memory=100 * 8 * 2)
    assert 25 <= len(trajectory.theta) <= 100
    assert trajectory.iteration[0] == 0
    assert trajectory.iteration[-1] == 5000
    np.testing.assert_array_equal(trajectory.value, every.value)
    np.testing.assert_array_equal(trajectory.theta, every.theta[trajectory.iteration])
    # half of the loss is lost in the first fifty steps of five thousand
    gaps = -np.diff(trajectory.kept_value)
    assert gaps.max() < 0.1 * np.ptp(every.value)
    assert np.diff(trajectory.iteration).max() < 0.1 * 5000
    assert np.sum(trajectory.iteration < 50) > 15


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_arrays_of_another_module_stay_in_it(rule):
    device = array_api_strict.Device("device1")
    starts = array_api_strict.asarray(STARTS, device=device)
    there = train(Quartic(), starts, rule, 20, rng=generators(4))
    here = train(Quartic(), STARTS, rule, 20, rng=generators(4))
    for strict, expected in (
        (there.theta, here.theta),
        (there.final, here.final),
        (there.run(1).theta, here.run(1).theta),
    ):
        assert strict.device == device
        back = np.from_dlpack(strict.to_device(array_api_strict.Device("CPU_DEVICE")))
        np.testing.assert_allclose(back, expected, rtol=1e-12)
    np.testing.assert_allclose(there.value, here.value, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"theta0": np.zeros((2, 2, 2))}, ValueError, "theta0 must have shape"),
        ({"theta0": np.zeros((0, 2))}, ValueError, "theta0 must hold at least one start"),
        ({"theta0": np.array([0.0, np.nan])}, ValueError, "theta0 must be finite"),
        ({"theta0": np.zeros(2, dtype=complex)}, TypeError, "theta0 must hold real numbers"),
        ({"objective": lambda theta: 1.0}, TypeError, "objective must be one, such as"),
        ({"rule": "adam"}, TypeError, "rule must be one of the rules"),
        ({"iterations": -1}, ValueError, "iterations must be at least 0"),
        ({"iterations": 1.5}, TypeError, "iterations must be an integer"),
        ({"memory": 10}, ValueError, "memory must be at least 64"),
        ({"rule": NoisySGD()}, TypeError, "rng must be a numpy.random.Generator, not None"),
        ({"rule": NoisySGD(), "theta0": STARTS, "rng": np.random.default_rng(0)}, TypeError,
         "rng must be a sequence of 4 generators"),
        ({"rule": NoisySGD(), "theta0": STARTS[:1], "rng": [0]}, TypeError, "each of rng must be"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(arguments, error, says):
    good = {
        "objective": Quartic(),
        "theta0": STARTS[0],
        "rule": GradientDescent(),
        "iterations": 3,
    }
    with pytest.raises(error, match=says):
        train(**{**good, **arguments})


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: GradientDescent(-0.1), ValueError, "rate must be at least 0"),
        (lambda: GradientDescent(np.inf), ValueError, "rate must be at least 0 and finite"),
        (lambda: GradientDescent("fast"), TypeError, "rate must be a number"),
        (lambda: Momentum(momentum=1.0), ValueError, "momentum must be .* below 1"),
        (lambda: Adam(beta2=1.5), ValueError, "beta2 must be .* below 1"),
        (lambda: NoisySGD(noise=np.nan), ValueError, "noise must be"),
    ],
)
def test_bad_constants_are_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_single_trajectory_holds_no_runs():
    with pytest.raises(ValueError, match="of one run already"):
        train(Quartic(), STARTS[0], GradientDescent(), 3).run(0)
