import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from autocrit_lite.points.spectral_laws import MarchenkoPastur, Semicircle, kolmogorov_smirnov

LAWS = [
    Semicircle(0.0, 1.0),
    Semicircle(-3.0, 0.2),
    MarchenkoPastur(1.0, 0.3),
    MarchenkoPastur(5.0, 1.0),
    MarchenkoPastur(2.0, 4.0),
]


def support(law):
    if isinstance(law, Semicircle):
        return law.centre - law.radius, law.centre + law.radius
    return tuple(law.scale * (1 + side * np.sqrt(law.ratio)) ** 2 for side in (-1, 1))


def wigner(rng, n):
    A = rng.standard_normal((n, n))
    return np.linalg.eigvalsh((A + A.T) / np.sqrt(2 * n))


def wishart(rng, n, m):
    X = rng.standard_normal((n, m))
    return np.linalg.eigvalsh(X @ X.T / m)


@pytest.mark.parametrize("law", LAWS)
def test_distribution_function_is_the_integral_of_the_density(law):
    low, high = support(law)
    assert law.cdf(low - 1e-9) == pytest.approx(law.atom if low > 0 else 0, abs=1e-12)
    assert law.cdf(high + 1) == pytest.approx(1, abs=1e-12)
    for x in np.linspace(low, high, 7)[1:]:
        area = quad(law.density, low, x, limit=200)[0]
        assert law.cdf(x) == pytest.approx(area + law.atom, abs=2e-7)


@pytest.mark.parametrize("law", LAWS)
def test_moments_are_those_that_fit_uses(law):
    low, high = support(law)
    mean, second = (
        quad(lambda x, k=k: x**k * law.density(x), low, high, limit=200)[0] for k in (1, 2)
    )
    variance = second - mean**2
    if isinstance(law, Semicircle):
        assert (mean, variance) == pytest.approx((law.centre, law.radius**2 / 4), rel=1e-5)
    else:
        assert (mean, variance) == pytest.approx((law.scale, law.ratio * law.scale**2), rel=1e-5)


def test_random_matrices_fit_their_own_law_and_not_the_other():
    rng = np.random.default_rng(0)
    eigenvalues = 7 * wigner(rng, 400) - 2
    law = Semicircle.fit(eigenvalues)
    assert (law.centre, law.radius) == pytest.approx((-2, 14), rel=0.03)
    assert kolmogorov_smirnov(eigenvalues, law) < 0.01

    eigenvalues = 3 * wishart(rng, 300, 600)
    law = MarchenkoPastur.fit(eigenvalues)
    assert (law.scale, law.ratio) == pytest.approx((3, 0.5), rel=0.03)
    assert kolmogorov_smirnov(eigenvalues, law) < 0.01
    assert kolmogorov_smirnov(eigenvalues, Semicircle.fit(eigenvalues)) > 0.05


def test_exact_zeros_are_the_atom_of_the_law():
    eigenvalues = wishart(np.random.default_rng(1), 300, 100)
    eigenvalues[:200] = 0.0  # of rank 100, to rounding
    law = MarchenkoPastur.fit(eigenvalues)
    assert law.atom == pytest.approx(2 / 3, rel=0.03)
    assert kolmogorov_smirnov(eigenvalues, law) < 0.02
    assert law.cdf(-1e-9) == 0
    assert law.cdf(0.0) == law.atom
    # the eigenvalues above zero alone miss the atom
    assert kolmogorov_smirnov(eigenvalues[200:], law) >= law.atom - 1e-12


def test_distance_agrees_with_scipy():
    eigenvalues = np.random.default_rng(2).uniform(-1, 1, 50)
    law = Semicircle(0.1, 0.9)
    expected = kstest(eigenvalues, law.cdf).statistic
    assert kolmogorov_smirnov(eigenvalues, law) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Semicircle.fit(np.ones(3)), ValueError, "eigenvalues must not all be equal"),
        (lambda: Semicircle.fit(np.zeros((2, 2))), ValueError, "eigenvalues must have shape"),
        (lambda: Semicircle.fit(np.array([0.0, np.nan])), ValueError, "eigenvalues must be finite"),
        (lambda: MarchenkoPastur.fit(np.array([-2.0, 1.0])), ValueError, "mean above 0"),
        (lambda: Semicircle(0.0, 0.0), ValueError, "radius must be above 0"),
        (lambda: Semicircle(np.nan, 1.0), ValueError, "centre must be"),
        (lambda: MarchenkoPastur(-1.0, 0.5), ValueError, "scale must be above 0"),
        (lambda: MarchenkoPastur(1.0, 0.0), ValueError, "ratio must be above 0"),
        (lambda: kolmogorov_smirnov(np.array([1j, 2]), LAWS[0]), TypeError, "real numbers"),
    ],
)
def test_bad_input_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()
