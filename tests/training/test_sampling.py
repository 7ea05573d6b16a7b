import array_api_strict
import numpy as np
import pytest

from autocrit_lite.ground_truth.quartic import Quartic
from autocrit_lite.training.optimizers import GradientDescent, TrainingStopReason, Trajectory, train
from autocrit_lite.training.sampling import (
    add_noise,
    bootstrap_entropy,
    entropy,
    uniform_in_height,
    uniform_in_iteration,
)


def trajectory(value, iteration=None):
    """Return a run of these losses, of which the iterates ``iteration`` are kept."""
    value = np.asarray(value, dtype=float)
    iteration = np.arange(len(value)) if iteration is None else np.asarray(iteration)
    return Trajectory(
        theta=np.column_stack((iteration, iteration)).astype(float),
        iteration=iteration,
        value=value,
        final=np.full(2, float(len(value) - 1)),
        iterations=len(value) - 1,
        stop_reason=TrainingStopReason.COMPLETED,
    )


FALLING = trajectory(np.exp(-np.arange(2001) / 50))


def test_heights_are_uniform():
    rows = uniform_in_height(FALLING, 4000, np.random.default_rng(0))
    heights = FALLING.kept_value[rows]
    for level in (0.1, 0.25, 0.5, 0.9):
        # five standard errors, and half the gap between neighbours at the top
        assert abs(np.mean(heights < level) - level) < 5 * 0.5 / np.sqrt(4000) + 0.01
    assert np.mean(rows > 1000) < 0.01


def test_heights_of_a_rising_and_falling_loss_find_the_nearest_iterate():
    value = np.array([3.0, 1.0, 2.0, 0.0, 10.0])
    rows = uniform_in_height(trajectory(value), 5000, np.random.default_rng(1))
    counts = np.bincount(rows, minlength=5) / 5000
    # the share of the heights 0 to 10 that is nearest to 3, 1, 2, 0 and 10
    np.testing.assert_allclose(counts, [0.4, 0.1, 0.1, 0.05, 0.35], atol=0.035)


def test_iterations_are_uniform_whatever_is_kept():
    rng = np.random.default_rng(2)
    counts = np.bincount(uniform_in_iteration(FALLING, 20_000, rng), minlength=2001)
    assert counts[0] > 0
    assert counts[-1] > 0
    np.testing.assert_allclose(counts.reshape(3, 667).sum(axis=1) / 20_000, 1 / 3, atol=0.02)
    thinned = trajectory(np.linspace(1, 0, 101), [0, 1, 2, 3, 4, 50, 100])
    counts = np.bincount(uniform_in_iteration(thinned, 20_000, rng)) / 20_000
    assert counts[5] == pytest.approx(0.48, abs=0.03)
    assert counts[1] == pytest.approx(0.01, abs=0.005)


def test_both_take_runs_from_training():
    trained = train(Quartic(), np.array([[-1.0, 1.0], [300.0, 1.0]]), GradientDescent(), 50)
    for b in range(2):
        run = trained.run(b)
        for draw in (uniform_in_height, uniform_in_iteration):
            rows = draw(run, 20, np.random.default_rng(3))
            assert rows.shape == (20,)
            assert np.all(np.isfinite(run.theta[rows]))
            np.testing.assert_array_equal(rows, draw(run, 20, np.random.default_rng(3)))


def test_noise_has_its_deviation():
    theta = np.random.default_rng(4).standard_normal((100, 128))
    noise = add_noise(theta, 0.02, np.random.default_rng(5)) - theta
    assert np.std(noise) == pytest.approx(0.02, rel=0.03)
    np.testing.assert_array_equal(add_noise(theta, 0.0, np.random.default_rng(5)), theta)
    device = array_api_strict.Device("device1")
    there = array_api_strict.asarray(theta, device=device)
    assert add_noise(there, 0.02, np.random.default_rng(5)).device == device


def test_entropy_counts_points_once_for_each_eigenvector():
    assert entropy(np.eye(8, dtype=bool)) == pytest.approx(3.0)
    assert entropy(np.ones((5, 16), dtype=bool)) == pytest.approx(4.0)
    assert entropy(np.array([[True, False]])) == 0.0
    # counts 3, 1 and two points at zero
    kept = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 0]], dtype=bool)
    p, q = np.array([3, 1]) / 4, np.array([3, 1, 2]) / 6
    assert entropy(kept) == pytest.approx(-np.sum(p * np.log2(p)))
    assert entropy(kept, zero_category=True) == pytest.approx(-np.sum(q * np.log2(q)))
    nothing = np.zeros((3, 4), dtype=bool)
    assert np.isnan(entropy(nothing))
    assert entropy(nothing, zero_category=True) == 0.0


def test_bootstrap_over_runs_is_what_resampling_them_gives():
    rng = np.random.default_rng(6)
    kept = rng.random((60, 5)) < [0.9, 0.5, 0.3, 0.2, 0.1]
    found = bootstrap_entropy(kept, np.random.default_rng(7), replicates=2000)
    plain = [entropy(kept[rng.integers(0, 60, 60)]) for _ in range(2000)]
    assert found.shape == (2000,)
    assert np.mean(found) == pytest.approx(np.mean(plain), abs=5 * np.std(plain) / np.sqrt(1000))
    assert np.std(found) == pytest.approx(np.std(plain), rel=0.1)


def test_bootstrap_over_trajectories_spreads_wider_where_their_points_are_alike():
    rng = np.random.default_rng(8)
    favourites = np.eye(16, dtype=bool)[[3, 5, 9, 12, 15, 15]]
    kept = np.repeat(favourites, 25, axis=0)
    kept[:, 15] |= rng.random(150) < 0.5
    trajectory = np.repeat(["a", "b", "c", "d", "e", "f"], 25)
    by_run = bootstrap_entropy(kept, rng)
    by_trajectory = bootstrap_entropy(kept, rng, trajectory=trajectory)
    assert by_run.shape == by_trajectory.shape == (100,)
    assert np.std(by_trajectory) > 2 * np.std(by_run)
    whole = bootstrap_entropy(kept, rng, trajectory=np.zeros(150), replicates=3)
    np.testing.assert_allclose(whole, entropy(kept), rtol=1e-14)
    extra = bootstrap_entropy(np.zeros((4, 3), dtype=bool), rng, zero_category=True)
    np.testing.assert_array_equal(extra, 0.0)


RNG = np.random.default_rng(0)
KEPT = np.eye(3, dtype=bool)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: uniform_in_height(np.ones(3), 2, RNG), TypeError, "must be a Trajectory"),
        (lambda: uniform_in_height(FALLING, -1, RNG), ValueError, "size must be at least 0"),
        (lambda: uniform_in_height(FALLING, 2, 0), TypeError, "rng must be"),
        (lambda: uniform_in_iteration(FALLING, 2.0, RNG), TypeError, "size must be an integer"),
        (lambda: uniform_in_height(trajectory([1.0, np.nan]), 2, RNG), ValueError, "finite loss"),
        (
            lambda: uniform_in_iteration(
                train(Quartic(), np.zeros((2, 2)), GradientDescent(), 2), 2, RNG
            ),
            ValueError,
            r"of one run; take one out of a batch by run\(b\)",
        ),
        (lambda: add_noise(np.zeros(3), -0.1, RNG), ValueError, "sigma must be at least 0"),
        (lambda: add_noise(np.zeros(3), np.inf, RNG), ValueError, "sigma must be .* finite"),
        (lambda: add_noise(np.zeros(3), 0.1, None), TypeError, "rng must be"),
        (lambda: entropy(np.eye(3)), TypeError, "kept must hold booleans"),
        (lambda: entropy(np.zeros((0, 3), dtype=bool)), ValueError, "kept must have shape"),
        (lambda: bootstrap_entropy(KEPT, 0), TypeError, "rng must be"),
        (lambda: bootstrap_entropy(KEPT, RNG, replicates=0), ValueError, "replicates must be"),
        (
            lambda: bootstrap_entropy(KEPT, RNG, trajectory=np.zeros(2)),
            ValueError,
            r"trajectory must have shape \(3,\)",
        ),
    ],
)
def test_bad_input_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()
