"""Stochastic Lanczos quadrature against spectra that are known."""

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.linalg.spectral_density import (
    extreme_eigenvalues,
    lanczos_quadrature,
    smoothed,
    spectral_density,
)
from tests.finders.problems import strict


def diagonal(values):
    values = np.asarray(values, dtype=float)
    return al.from_functions(
        lambda x: (0.5 * x @ (values * x), values * x), lambda x, v: values * v, n=len(values)
    )


def network():
    """Return a network's loss with 252 parameters, a point, and its eigenvalues there."""
    rng = np.random.default_rng(1)
    net = al.MLP((10, 12, 10), activation="tanh", bias=False)
    X = rng.normal(size=(60, 10))
    objective = al.NetworkObjective(net, X, np.sin(X), loss="mse")
    theta = rng.normal(size=net.n_parameters) / 3.0
    return objective, theta, np.linalg.eigvalsh(objective.linearize(theta).hessian())


@pytest.mark.parametrize("steps", [1, 2, 5, 20, 60])
def test_the_bounds_of_a_quadrature_hold_for_the_measure_itself(steps):
    rng = np.random.default_rng(steps)
    values, v = np.sort(rng.standard_cauchy(60)), rng.standard_normal(60)
    shares = v**2 / (v @ v)
    found = lanczos_quadrature(lambda x: values * x, v, steps)
    np.testing.assert_allclose(np.sum(found.weights), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.nodes @ found.weights, values @ shares, rtol=1e-9, atol=1e-9)
    assert found.exhausted == (steps == 60)
    for level in np.quantile(values, np.linspace(0.01, 0.99, 30)) + 1e-9:
        exact, share = np.sum(shares[values < level]), found.below(level)
        assert share.low - 1e-9 <= exact <= share.high + 1e-9
        assert share.low <= share.value <= share.high
        size = abs(level)
        inside, share = np.sum(shares[np.abs(values) <= size]), found.within(size)
        assert share.low - 1e-9 <= inside <= share.high + 1e-9
    assert found.least >= np.min(np.abs(values)) - 1e-9 * np.max(np.abs(values))


def test_a_space_that_is_exhausted_hides_nothing():
    values = np.repeat([-2.0, 0.0, 3.0], [5, 20, 15])
    found = lanczos_quadrature(lambda x: values * x, np.ones(40), 30)
    np.testing.assert_allclose(found.nodes, [-2.0, 0.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(found.weights, [5 / 40, 20 / 40, 15 / 40], rtol=1e-9)
    assert found.exhausted
    assert found.below(1.0).low == found.below(1.0).high == pytest.approx(25 / 40)
    zero = lanczos_quadrature(lambda x: 0.0 * x, np.ones(4), 4)
    assert (zero.nodes.tolist(), zero.least, zero.exhausted) == ([0.0], 0.0, True)


def test_no_array_leaves_its_device():
    values, v = np.linspace(-1.0, 2.0, 9), np.arange(1.0, 10.0)
    there = strict(values)
    found = lanczos_quadrature(lambda x: there * x, strict(v), 5)
    here = lanczos_quadrature(lambda x: values * x, v, 5)
    np.testing.assert_allclose(found.nodes, here.nodes, rtol=1e-12)


def test_it_agrees_with_the_exact_spectrum_of_a_network():
    objective, theta, values = network()
    found = spectral_density(objective, theta)
    width = 0.05 * (values[-1] - values[0])
    at = np.linspace(values[0], values[-1], 25)
    exact = smoothed(values, np.full(len(values), 1.0 / len(values)), at, width)
    mean, error = found.density(at, width)
    assert np.sqrt(np.mean(((mean - exact) / error) ** 2)) < 2.0
    assert np.max(error) < 0.1 * np.max(exact)  # it says something
    for level in np.quantile(values, [0.02, 0.2, 0.5, 0.8, 0.98]) + 1e-9:
        share = found.below(level)
        assert share.low - 1e-12 <= np.mean(values < level) <= share.high + 1e-12
        assert 0.0 <= share.low <= share.high <= 1.0
        assert share.high - share.low < 0.3
    share = found.within(1e-5)
    assert share.low <= np.mean(np.abs(values) <= 1e-5) <= share.high


def test_smoothing_hides_what_the_steps_do_not_see():
    """All of a probe's error in a smoothed density is that of the probe."""
    objective, theta, values = network()
    H = objective.linearize(theta).hessian()
    Q, v = np.linalg.eigh(H)[1], np.random.default_rng(2).standard_normal(len(H))
    found = lanczos_quadrature(lambda x: H @ x, v, 80)
    width = 0.05 * (values[-1] - values[0])
    at = np.linspace(values[0], values[-1], 25)
    exact = smoothed(values, (Q.T @ v) ** 2 / (v @ v), at, width)
    np.testing.assert_allclose(
        smoothed(found.nodes, found.weights, at, width), exact, atol=1e-9 * np.max(exact)
    )


def test_the_ends_of_the_spectrum_have_residuals():
    objective, theta, values = network()
    found = spectral_density(objective, theta, 2, 10)
    assert len(found.extremes) > 0
    for value, residual in zip(found.extremes, found.residuals, strict=True):
        assert np.min(np.abs(values - value)) <= residual + 1e-12 * np.max(np.abs(values))
    low, high = found.range
    slack = 1e-12 * np.max(np.abs(values))
    assert values[0] - slack <= low <= high <= values[-1] + slack
    np.testing.assert_allclose([low, high], values[[0, -1]], rtol=1e-6)
    assert f"{objective.net.n_parameters} eigenvalues" in str(found)


@pytest.mark.parametrize("n", [1, 2, 5, 64, 65])
def test_few_eigenvalues(n):
    values = np.linspace(-1.0, 3.0, n)
    found = spectral_density(diagonal(values), np.ones(n), 3, 100)
    share = found.below(0.01)
    # n distinct Ritz values leave nothing open, whatever the probes' weights are
    assert share.low == share.value == share.high == pytest.approx(np.mean(values < 0.01))
    np.testing.assert_allclose(found.range, (values[0], values[-1]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found.extremes, np.unique(np.r_[values[:3], values[-3:]]), rtol=1e-6, atol=1e-9
    )


def test_what_arpack_has_not_found_is_left_out():
    """Those of Chebyshev's polynomial lie so close together that its iterations are too few."""
    values = np.cos(np.pi * (np.arange(20_000) + 0.5) / 20_000)
    found, residuals = extreme_eigenvalues(lambda v: values * v, 20_000, np.ones(20_000))
    assert len(found) == len(residuals) < 6


def test_it_repeats_and_its_probes_are_those_of_the_generator():
    objective = diagonal(np.linspace(-1.0, 1.0, 100))
    first, again = (spectral_density(objective, np.ones(100), 2, 5) for _ in range(2))
    other = spectral_density(objective, np.ones(100), 2, 5, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(first.quadratures[0].nodes, again.quadratures[0].nodes)
    assert not np.allclose(first.quadratures[0].nodes, other.quadratures[0].nodes)
    assert not np.allclose(first.quadratures[0].nodes, first.quadratures[1].nodes)


def test_products_are_counted():
    made = []
    values = np.linspace(-1.0, 1.0, 100)
    objective = al.from_functions(
        lambda x: (0.5 * x @ (values * x), values * x),
        lambda x, v: made.append(1) or values * v,
        n=100,
    )
    assert spectral_density(objective, np.ones(100), 3, 7).products == len(made) > 21


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"objective": 3}, TypeError, "objective"),
        ({"theta": np.ones((2, 3))}, ValueError, "theta"),
        ({"theta": np.full(3, np.nan)}, ValueError, "theta"),
        ({"probes": 1}, ValueError, "probes"),
        ({"steps": 0}, ValueError, "steps"),
        ({"rng": 3}, TypeError, "rng"),
    ],
)
def test_bad_arguments_are_named(options, error, text):
    given = {"objective": diagonal([1.0, 2.0, 3.0]), "theta": np.ones(3), **options}
    with pytest.raises(error, match=text):
        spectral_density(**given)


def test_bad_levels_and_widths_are_named():
    found = spectral_density(diagonal([1.0, 2.0, 3.0]), np.ones(3))
    with pytest.raises(ValueError, match="level"):
        found.within(-1.0)
    with pytest.raises(TypeError, match="level"):
        found.below("zero")
    with pytest.raises(ValueError, match="width"):
        found.density(np.zeros(2), 0.0)


def test_products_that_are_not_finite_are_an_error():
    objective = al.from_functions(lambda x: (0.0, 0.0 * x), lambda x, v: np.inf * v, n=3)
    with pytest.raises(ValueError, match="Hessian is finite"):
        spectral_density(objective, np.ones(3))
