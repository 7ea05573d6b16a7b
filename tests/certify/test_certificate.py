import numpy as np
import pytest
from flint import arb, ctx, fmpq, fmpq_poly

import autocrit_lite as al
from autocrit_lite.certify.activations import ACTIVATIONS
from autocrit_lite.certify.balls import Balls
from autocrit_lite.certify.certificate import certify
from autocrit_lite.certify.emptiness import nothing_near
from autocrit_lite.certify.enclosures import NetworkEnclosure
from autocrit_lite.networks.objective import network_loss

from .problems import FLAT, polynomial, quadratic, quartic


def test_the_minimum_of_a_parabola_is_certified():
    found = certify(polynomial(0.0, 0.3, 1.0), np.array([-0.1]))
    assert found.proven
    assert found.index == 0
    exact = -0.3 / 2.0  # within rounding of what 0.3 stands for
    assert abs(found.theta[0] + found.theta_low[0] - exact) <= found.radius + 1e-16
    assert found.value[0] <= -(0.3**2) / 4.0 + 1e-17
    assert found.value[1] >= -(0.3**2) / 4.0 - 1e-17


def test_a_degenerate_point_is_refused_and_an_empty_place_is_proven_empty():
    fourth = certify(polynomial(0.0, 0.0, 0.0, 0.0, 1.0), np.array([0.0]))
    assert not fourth.proven
    assert "singular" in fourth.why
    cubic = polynomial(0.0, 1e-3, 0.0, 1.0)  # x³ + εx, ε > 0: no critical point at all
    assert not certify(cubic, np.array([0.0])).proven
    empty = nothing_near(cubic, np.array([0.0]))
    assert empty.radius > 1e-3
    # a critical point that is there is never inside what is proven empty
    around = polynomial(0.0, -1.0, 0.0, 1.0 / 3.0)  # critical at ±1
    for x in np.linspace(-3.0, 3.0, 25):
        assert nothing_near(around, np.array([x])).radius <= abs(abs(x) - 1.0) + 1e-15


def test_the_quartics_critical_point_is_proven_and_its_flat_points_are_empty():
    found = certify(quartic(), np.array([-2.9, 0.05]))
    assert found.proven
    assert found.index == 0
    assert np.linalg.norm(found.theta - [-3.0, 0.0]) <= found.radius + 1e-16
    assert found.value[0] <= 6.25 <= found.value[1]
    for x in (FLAT, -FLAT):
        assert nothing_near(quartic(), np.array([x, 0.0])).radius > 0.1
        assert not certify(quartic(), np.array([x, 0.0])).proven


def real_roots(coefficients):
    """Return the real roots of Σ c_k x^k, balls of FLINT that hold one each."""
    with ctx.workprec(300):
        found = fmpq_poly(coefficients).numer().complex_roots()
        return [arb(root.real) for root, _ in found if root.imag == 0]


@pytest.mark.parametrize("seed", range(100))
def test_what_is_proven_of_polynomials_is_true(seed):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=rng.integers(1, 5)) * 10.0 ** rng.uniform(-1.0, 1.0)
    slope = np.polynomial.polynomial.polyfromroots(roots)
    f = [0.0, *(slope / np.arange(1, len(slope) + 1))]
    critical = real_roots([k * fmpq(*float(c).as_integer_ratio()) for k, c in enumerate(f)][1:])
    start = rng.choice(roots) + 10.0 ** rng.uniform(-8.0, -1.0) * rng.normal()
    found = certify(polynomial(*map(float, f)), np.array([start]))
    there = 3.0 * rng.normal()
    empty = nothing_near(polynomial(*map(float, f)), np.array([there]))
    with ctx.workprec(300):
        assert not any(abs(x - there) < empty.radius for x in critical)
        if found.proven:
            away = [abs(x - found.theta[0] - found.theta_low[0]) for x in critical]
            assert len([distance for distance in away if distance < found.unique_within]) == 1
            (x,) = (x for x, d in zip(critical, away, strict=True) if d <= found.radius)
            bends = [k * (k - 1) * arb(c) * x ** (k - 2) for k, c in enumerate(f[2:], 2)]
            assert found.index == int(sum(bends, arb(0)) < 0)


@pytest.mark.parametrize("seed", range(20))
def test_random_quadratics_have_the_inertia_that_they_were_given(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    Q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    eigenvalues = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-4.0, 2.0, n)
    H = (Q * eigenvalues) @ Q.T
    H = 0.5 * (H + H.T)
    b = rng.normal(size=n)
    found = certify(quadratic(H, b), np.linalg.solve(H, b) + 1e-5 * rng.normal(size=n))
    assert found.proven
    assert found.index == np.sum(eigenvalues < 0.0)
    moved = certify(quadratic(H, b), found.theta + 10.0 * found.radius * rng.normal(size=n))
    distance = np.linalg.norm(found.theta - moved.theta + found.theta_low - moved.theta_low)
    assert distance <= found.radius + moved.radius + 1e-15 * np.linalg.norm(found.theta)


CASES = [
    ((3, 4, 2), "swish", True, "mse"),
    ((3, 4, 5, 3), "swish", True, "cross_entropy"),
    ((2, 3, 3, 2, 2), "tanh", False, "mse"),
    ((2, 3, 2), "sigmoid", True, "cross_entropy"),
    ((3, 2, 3), "linear", False, "mse"),
]


def objective(layers, activation, bias, loss, l2=0.1, samples=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(samples, layers[0]))
    Y = rng.integers(0, layers[-1], samples)
    Y = Y if loss == "cross_entropy" else rng.normal(size=(samples, layers[-1]))
    return al.NetworkObjective(al.MLP(layers, activation, bias), X, Y, loss=loss, l2=l2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_balls_of_a_network_hold_its_derivatives(case):
    own = objective(*case)
    enclosure = NetworkEnclosure(own)
    rng = np.random.default_rng(1)
    theta = rng.normal(size=own.net.n_parameters)
    low = 1e-17 * rng.normal(size=theta.shape)
    value, gradient = enclosure.gradient(theta, low)
    point = own.linearize(theta)
    assert abs(float(value.mid()) - point.value) < 1e-13
    np.testing.assert_allclose([float(g.mid()) for g in gradient], point.gradient, atol=1e-13)
    H = enclosure.hessian(theta, low)
    assert np.max(H.radius) < 1e-10
    error = np.abs(H.middle - point.hessian())
    assert np.all(error <= H.radius + 1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_third_derivatives_found_by_sampling_are_below_the_bound(case):
    own = objective(*case)
    rng = np.random.default_rng(2)
    theta = rng.normal(size=own.net.n_parameters)
    for radius in (1e-3, 1e-1):
        K = NetworkEnclosure(own).third(theta, np.zeros_like(theta), radius)
        H = own.linearize(theta).hessian()
        for _ in range(20):
            v = rng.normal(size=theta.shape)
            step = radius * rng.uniform() * v / np.linalg.norm(v)
            change = np.linalg.norm(own.linearize(theta + step).hessian() - H, 2)
            assert change <= K * np.linalg.norm(step) + 1e-12


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_minima_of_networks_are_certified(case):
    own = objective(*case)
    start = 0.5 * np.random.default_rng(3).normal(size=own.net.n_parameters)
    trace = al.saddle_free_newton(own, start, 500, squared_gradient_tolerance=1e-20)
    found = certify(own, trace.theta)
    assert found.proven
    assert found.index == 0
    assert found.radius < 1e-12
    assert found.value[0] <= own.linearize(found.theta).value + 1e-14
    assert "exactly one critical point" in str(found)


def test_what_is_wrong_with_an_argument_is_said_by_name():
    own = objective((2, 2, 2), "swish", True, "mse")
    with pytest.raises(TypeError, match="objective must be a NetworkObjective, or have"):
        certify(lambda theta: theta, np.zeros(2))
    with pytest.raises(ValueError, match=r"theta must have shape \(12,\), not \(3,\)"):
        certify(own, np.zeros(3))
    with pytest.raises(ValueError, match="theta must be finite"):
        certify(own, np.full(12, np.nan))
    relu = objective((2, 2, 2), "softplus", True, "mse")
    with pytest.raises(ValueError, match="activations swish, tanh"):
        certify(relu, np.zeros(12))
    net = al.MLP((2, 2, 2), "swish", True)
    softmax = al.NetworkObjective(net, np.eye(2), np.array([0, 1]), "softmax_mse")
    with pytest.raises(ValueError, match='loss "mse" or "cross_entropy", not softmax_mse'):
        certify(softmax, np.zeros(12))


# --- the arithmetic ---


def exact(balls, rng):
    """Return numbers inside balls, at their ends half of the time."""
    sign = rng.choice([-1.0, 1.0, 0.0], balls.middle.shape)
    return balls.middle.astype(np.longdouble) + sign * balls.radius * (1.0 - 1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_computed_from_numbers_in_balls_is_in_the_balls(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3.0, 3.0)

    def random(*shape):
        return Balls(scale * rng.normal(size=shape), 10.0 ** rng.uniform(-12.0, -3.0, shape))

    A, B, C = random(4, 5), random(5, 3), random(4, 5)
    a, b, c = (exact(x, rng) for x in (A, B, C))
    for balls, numbers in ((A + C, a + c), (A - C, a - c), (A * C, a * c), (A @ B, a @ b)):
        assert np.all(np.abs(numbers - balls.middle) <= balls.radius)
    far = Balls(np.abs(C.middle) + 1.0, C.radius * 1e-3)
    quotient, numbers = A / far, a / exact(far, rng)
    assert np.all(np.abs(numbers - quotient.middle) <= quotient.radius)
    assert np.all(np.abs(a.sum(axis=0) - A.sum().middle) <= A.sum().radius)
    assert np.linalg.norm(a.astype(float), 2) <= A.spectral_norm()


def test_radii_hold_the_rounding_of_exact_numbers():
    """Of 1/3 + 1/3 and the like, with nothing but rounding."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 40)) / 3.0
    product = Balls.of(a) @ Balls.of(b)
    exactly = np.asarray(a, np.longdouble) @ np.asarray(b, np.longdouble)
    assert np.all(np.abs(exactly - product.middle) <= product.radius)
    assert np.all(product.radius > 0.0)
    times = Balls.of(a) * Balls.of(b)
    exactly = np.asarray(a, np.longdouble) * np.asarray(b, np.longdouble)
    assert np.all(np.abs(exactly - times.middle) <= times.radius)


def fourth(name, z):
    """Return σ⁗."""
    s = 1 / (1 + (-z).exp())
    f = s * (1 - s)
    if name == "tanh":
        t = z.tanh()
        return (1 - t * t) * t * (16 - 24 * t * t)
    if name in ("linear", "relu"):
        return arb(0)
    of_sigmoid = f * (1 - 2 * s) * (1 - 12 * f)
    return of_sigmoid if name == "sigmoid" else 4 * f * (1 - 6 * f) + z * of_sigmoid


def sigmoid_of(z):
    return 1 / (1 + (-z).exp())


BASES = {
    "tanh": arb.tanh,
    "linear": lambda z: arb(1),
    "relu": lambda z: arb(int(z.mid() > 0)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_suprema_of_the_derivatives_are_proven(name):
    """On [−40, 40] by subdivision; beyond, all differ from their limits by less than 1e-15."""
    activation, largest = ACTIVATIONS[name], np.zeros(4)
    middle = [(k + 0.5) / 2048 for k in range(-6 * 2048, 6 * 2048)]
    far = [sign * (6.0 + (k + 0.5) / 256) for k in range(34 * 256) for sign in (1, -1)]
    for width, points in ((0.5 / 2048, middle), (0.5 / 256, far)):
        for point in points:
            z = arb(point, width)
            base = BASES.get(name, sigmoid_of)(z)
            _, first = activation.lower(z, base)
            values = [first, *activation.upper(z, base), fourth(name, z)]
            largest = np.maximum(largest, [float(x.abs_upper()) for x in values])
    assert np.all(largest <= activation.suprema)
    assert np.all(largest >= 0.98 * np.array(activation.suprema))  # and they are no wild guesses


def test_the_network_loss_is_the_one_that_autograd_differentiates():
    own = objective((3, 4, 5, 3), "swish", True, "cross_entropy")
    theta = np.random.default_rng(5).normal(size=own.net.n_parameters)
    X, y = own._data
    expected = network_loss(own.net, theta, X, y, "cross_entropy", 0.1)
    value, _ = NetworkEnclosure(own).gradient(theta, np.zeros_like(theta))
    assert abs(float(value.mid()) - expected) < 1e-14
