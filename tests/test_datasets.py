from math import fsum

import numpy as np
import pytest

from autocrit_lite.datasets import gaussian


def test_gaussian_has_the_papers_size_and_covariance():
    X = gaussian(np.random.default_rng(0))
    assert X.shape == (10_000, 16)
    # five standard errors of a sample covariance
    error = 5 * np.sqrt(np.outer(np.arange(1, 17), np.arange(1, 17)) * (1 + np.eye(16)) / 10_000)
    assert np.all(np.abs(X.T @ X / len(X) - np.diag(np.arange(1, 17))) < error)


@pytest.mark.parametrize("seed", range(5))
def test_gaussian_is_centred_to_rounding(seed):
    X = gaussian(np.random.default_rng(seed))
    means = [fsum(column) / len(column) for column in X.T]  # summed without rounding
    assert np.max(np.abs(means)) < 3e-16
    once = X - X.mean(axis=0)
    assert np.max(np.abs(once.mean(axis=0))) >= np.max(np.abs(X.mean(axis=0)))


def test_gaussian_takes_other_sizes_and_repeats():
    X = gaussian(np.random.default_rng(1), n_samples=7, variances=[4.0, 1e-6])
    assert X.shape == (7, 2)
    again = gaussian(np.random.default_rng(1), n_samples=7, variances=np.array([4.0, 1e-6]))
    np.testing.assert_array_equal(X, again)
    assert np.any(gaussian(np.random.default_rng(2), n_samples=7, variances=[4.0, 1e-6]) != X)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, not 0"),
        ({"n_samples": 1}, ValueError, "n_samples must be at least 2, not 1"),
        ({"n_samples": 10.0}, TypeError, "n_samples must be an integer"),
        ({"variances": [1.0, 0.0]}, ValueError, "variances must be a vector of positive numbers"),
        ({"variances": [[1.0]]}, ValueError, "variances must be a vector"),
        ({"variances": []}, ValueError, "variances must be a vector"),
        ({"variances": [1.0, np.inf]}, ValueError, "variances must be finite"),
        ({"variances": [1, 2]}, TypeError, "variances must hold float64"),
    ],
)
def test_bad_input_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        gaussian(**{"rng": np.random.default_rng(0), **arguments})
