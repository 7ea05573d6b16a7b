"""Every mistake that an objective of one's own can make is found, and called by its name."""

import autograd.numpy as anp
import numpy as np
import pytest

from autocrit_lite import (
    MLP,
    AutogradObjective,
    NetworkObjective,
    check_objective,
    from_functions,
)

N = 5
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, N))
A = A + A.T
TWIST = RNG.normal(size=(N, N))
TWIST = TWIST - TWIST.T
THETA = RNG.normal(size=N)


class Right:
    """f(θ) = ½ θᵀAθ + Σ sin θ, at one point or a batch; each mistake changes one method."""

    hessian_cost = float(N)

    def loss(self, theta):
        return 0.5 * np.sum(theta * (theta @ A), axis=-1) + np.sum(np.sin(theta), axis=-1)

    def gradient(self, theta):
        return theta @ A + np.cos(theta)

    def product(self, theta, v):
        sines = np.sin(theta)
        return v @ A - (sines if v.ndim == theta.ndim else sines[..., None, :]) * v

    def matrix(self, theta):
        return A - np.sin(theta)[..., None] * np.eye(N)

    def value_and_gradient(self, theta):
        return self.loss(theta), self.gradient(theta)

    def linearize(self, theta):
        return Point(self, theta.copy())


class Point:
    def __init__(self, objective, theta):
        self.objective, self.theta = objective, theta
        self.value, self.gradient = objective.value_and_gradient(theta)

    def hvp(self, v):
        return self.objective.product(self.theta, v)

    def hessian(self):
        return self.objective.matrix(self.theta)


def wrong(**methods):
    """Return an objective that is right but for these methods, each given the right one first."""
    names = {
        name: lambda self, *args, f=f, name=name: f(getattr(super(kind, self), name), *args)
        for name, f in methods.items()
    }
    kind = type("Wrong", (Right,), names)
    return kind()


def stale():
    """What it was at the first theta of a shape, for ever: a cache that is never emptied."""
    kept = {}
    return lambda right, theta, *v: right(kept.setdefault(theta.shape, theta.copy()), *v)


def latest():
    """The products at the point that was linearised last, for every point."""
    seen = {}

    class Latest(Right):
        def linearize(self, theta):
            seen[theta.shape] = theta.copy()
            return super().linearize(theta)

        def product(self, theta, v):
            return super().product(seen[theta.shape], v)

    return Latest()


def mutating(right, theta):
    theta *= 1.0 + 1e-9
    return right(theta)


def mixed(right, theta):
    return right(theta) + (1e-3 * theta.mean(axis=0) if theta.ndim == 2 else 0.0)


def drawn():
    rng = np.random.default_rng(0)
    return lambda right, theta: right(theta) * (1.0 + 1e-6 * rng.normal())


MISTAKES = {
    "sign": (wrong(gradient=lambda g, x: -g(x)), "the gradient has the wrong sign"),
    "factor": (wrong(gradient=lambda g, x: 2.0 * g(x)), "the gradient is 2 times itself"),
    "sign of the product": (
        wrong(product=lambda p, x, v: -p(x, v), matrix=lambda m, x: -m(x)),
        "hvp has the wrong sign",
    ),
    "factor of the product": (
        wrong(product=lambda p, x, v: 0.5 * p(x, v)),
        "hvp is 0.5 times itself",
    ),
    "transposed": (
        wrong(product=lambda p, x, v: p(x, v) + v @ TWIST),
        "hvp is not symmetric",
    ),
    "affine": (wrong(product=lambda p, x, v: p(x, v) + 1.0), "hvp is not linear"),
    "float32": (
        wrong(gradient=lambda g, x: g(x).astype(np.float32)),
        "the gradient must be float64, not float32",
    ),
    "shape of the loss": (
        wrong(loss=lambda f, x: f(x)[..., None]),
        r"the loss must have shape \(\), not \(1,\)",
    ),
    "stale gradient": (wrong(gradient=stale()), "the gradient is that of another point"),
    "stale product": (wrong(product=stale()), "hvp is that of another point"),
    "product at the latest point": (latest(), "hvp is that of another point"),
    "mixed losses": (
        wrong(loss=lambda f, x: f(x) + 0.1 * (x.ndim == 2)),
        "points of a batch are mixed: the loss",
    ),
    "mixed gradients": (wrong(gradient=mixed), "the points of a batch are mixed: the gradient"),
    "no batch": (
        wrong(gradient=lambda g, x: g(x) if x.ndim == 1 else g(x[0])),
        r"the gradient must have shape \(3, 5\), not \(5,\)",
    ),
    "undefined beside theta": (
        wrong(loss=lambda f, x: f(x) if np.abs(x - THETA).max() in (0.0,) else np.nan),
        "the loss is NaN or infinite",
    ),
    "n": (
        wrong(gradient=lambda g, x: np.append(g(x), 0.0)),
        r"the gradient must have shape \(5,\), not \(6,\)",
    ),
    "writes to theta": (wrong(gradient=mutating), "value_and_gradient writes to theta"),
    "NaN": (wrong(loss=lambda f, x: np.nan * f(x)), "the loss is NaN or infinite"),
    "NaN in the gradient": (
        wrong(gradient=lambda g, x: np.where(np.arange(N) == 2, np.nan, g(x))),
        "the gradient is NaN or infinite",
    ),
    "another matrix": (
        wrong(matrix=lambda m, x: m(x) + 1e-3 * np.eye(N)),
        r"hessian\(\) times v is not hvp\(v\)",
    ),
    "matrix not symmetric": (
        wrong(matrix=lambda m, x: m(x) + 1e-3 * TWIST),
        r"hessian\(\) is not symmetric",
    ),
    "block": (
        wrong(product=lambda p, x, v: p(x, v) if v.ndim == x.ndim else p(x, v[..., ::-1, :])),
        r"hvp of a block \(k, n\) is not that of its rows",
    ),
    "random": (wrong(loss=drawn()), r"differ|changes from call to call"),
    "one wrong entry": (
        wrong(gradient=lambda g, x: g(x) + 1e-3 * (np.arange(N) == 1)),
        "the gradient is not the derivative of the loss",
    ),
    "product of another Hessian": (
        wrong(product=lambda p, x, v: p(x, v) + 1e-3 * v),
        "hvp is not the derivative of the gradient",
    ),
}


@pytest.mark.parametrize(("objective", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_called_by_its_name(objective, message):
    with pytest.raises(ValueError, match=message):
        check_objective(objective, THETA)


def network(**options):
    rng = np.random.default_rng(1)
    net = MLP((3, 4, 2), **options)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    return NetworkObjective(net, X, Y), rng.normal(size=net.n_parameters)


RIGHT = {
    "by hand": (Right(), THETA),
    "by hand, far out": (Right(), 1e3 * THETA),
    "autograd": (AutogradObjective(lambda theta: (theta @ theta) ** 2), THETA),
    "swish": network(),
    "relu": network(activation="relu"),
    "linear": network(activation="linear", bias=False),
    "functions": (
        from_functions(Right().value_and_gradient, Right().product, n=N),
        THETA,
    ),
    "batched functions": (
        from_functions(Right().value_and_gradient, Right().product, n=N, batched=True),
        THETA,
    ),
    "undefined at a distance": (
        AutogradObjective(lambda theta: -anp.sum(anp.log(0.051 - theta))),
        np.zeros(3),
    ),
    "one parameter": (AutogradObjective(lambda theta: theta[0] ** 3), np.array([2.0])),
}


@pytest.mark.parametrize(("objective", "theta"), RIGHT.values(), ids=RIGHT.keys())
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_said_of_what_is_right(objective, theta, seed):
    before = theta.copy()
    assert check_objective(objective, theta, rng=np.random.default_rng(seed)) is None
    assert np.array_equal(theta, before)


def test_an_objective_in_float32_passes_at_its_own_tolerance():
    single = np.float32

    class Single(Right):
        def loss(self, theta):
            return super().loss(theta.astype(single)).astype(single).astype(float)

        def gradient(self, theta):
            x = theta.astype(single)
            return (x @ A.astype(single) + np.cos(x)).astype(float)

        def product(self, theta, v):
            return super().product(theta, v).astype(single).astype(float)

        def matrix(self, theta):
            return super().matrix(theta).astype(single).astype(float)

    check_objective(Single(), THETA, rtol=1e-2)
    with pytest.raises(ValueError, match=r"hvp|gradient"):
        check_objective(Single(), THETA)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"objective": lambda theta: 1.0}, TypeError, "objective must be one"),
        ({"theta": np.zeros((2, N))}, ValueError, r"theta must have shape \(n,\)"),
        ({"theta": np.full(N, np.nan)}, ValueError, "theta must be finite"),
        ({"rtol": 0.0}, ValueError, "rtol must be above 0"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    arguments = {"objective": Right(), "theta": THETA, **change}
    with pytest.raises(error, match=message):
        check_objective(arguments.pop("objective"), arguments.pop("theta"), **arguments)


def test_an_objective_must_say_what_its_hessian_costs():
    kind = type("Silent", (Right,), {"hessian_cost": None})
    with pytest.raises(TypeError, match=r"objective\.hessian_cost must be a number"):
        check_objective(kind(), THETA)
