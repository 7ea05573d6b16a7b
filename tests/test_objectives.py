import array_api_strict
import numpy as np
import pytest

from autocrit_lite import MLP, AutogradObjective, NetworkObjective, from_functions, newton_mr
from autocrit_lite.networks.objective import network_loss
from tests import strict

NET = MLP((3, 4, 2), activation="tanh")


def data(seed=0, n_samples=11):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n_samples, 3)), rng.normal(size=(n_samples, 2))
    return X, Y, rng.integers(0, 2, n_samples), rng.normal(size=(5, NET.n_parameters))


def test_autograd_objective_of_a_quadratic():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 6))
    A = A + A.T
    objective = AutogradObjective(lambda theta: 0.5 * theta @ A @ theta)
    theta, v = rng.normal(size=6), rng.normal(size=(4, 6))
    point = objective.linearize(theta)
    assert np.isclose(point.value, 0.5 * theta @ A @ theta, rtol=1e-14)
    assert np.allclose(point.gradient, A @ theta, rtol=1e-13)
    assert np.allclose(point.hvp(v[0]), A @ v[0], rtol=1e-13)
    assert np.allclose(point.hvp(v), v @ A, rtol=1e-13)
    assert np.allclose(point.hessian(), A, rtol=1e-13)


def test_autograd_objective_of_a_batch_is_that_of_its_points():
    objective = AutogradObjective(lambda theta: (theta[0] ** 2) * theta[1] ** 3)
    theta = np.random.default_rng(0).normal(size=(3, 2))
    point = objective.linearize(theta)
    assert point.value.shape == (3,)
    for row, value, gradient, H in zip(
        theta, point.value, point.gradient, point.hessian(), strict=True
    ):
        one = objective.linearize(row)
        assert value == one.value
        assert np.array_equal(gradient, one.gradient)
        assert np.array_equal(H, one.hessian())
    assert objective.linearize(theta[:0]).gradient.shape == (0, 2)


def test_autograd_objective_names_bad_arguments():
    with pytest.raises(TypeError, match="f must be callable"):
        AutogradObjective(3.0)
    objective = AutogradObjective(lambda theta: theta[0] ** 2)
    with pytest.raises(TypeError, match="theta must hold real numbers"):
        objective.linearize(np.array([1j, 2]))
    with pytest.raises(ValueError, match="theta must have shape"):
        objective.linearize(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match=r"v must have shape \(2,\)"):
        objective.linearize(np.zeros(2)).hvp(np.zeros(3))
    with pytest.raises(TypeError, match=r"f must return a scalar, not an array of shape \(2,\)"):
        AutogradObjective(lambda theta: 2.0 * theta).linearize(np.zeros(2))
    with pytest.raises(TypeError, match=r"f must return a scalar, not an array of shape \(1,\)"):
        AutogradObjective(lambda theta: theta[:1] ** 2).linearize(np.zeros(2))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 1), (1, 4, 1), (4, 1, 1), (2, 4, 2)])
def test_autograd_products_want_a_vector_or_a_block_for_each_point(shape):
    point = AutogradObjective(lambda theta: theta[0] ** 4).linearize(np.array([[1.0], [2.0]]))
    assert point.hvp(np.ones((2, 3, 1))).tolist() == [[[12.0]] * 3, [[48.0]] * 3]
    with pytest.raises(ValueError, match=r"v must have shape \(2, 1\) or \(2, k, 1\), not"):
        point.hvp(np.ones(shape))


def test_mean_squared_error_averages_over_samples_and_outputs():
    X, Y, _, theta = data()
    expected = np.mean((NET.forward(theta[0], X) - Y) ** 2) + 0.3 * np.mean(theta[0] ** 2)
    for value in (
        network_loss(NET, theta[0], X, Y, l2=0.3),
        NetworkObjective(NET, X, Y, l2=0.3).value_and_gradient(theta[0])[0],
    ):
        assert np.isclose(value, expected, rtol=1e-14)


def test_cross_entropy_averages_over_samples():
    X, _, labels, theta = data()
    Z = NET.forward(theta[0], X)
    probabilities = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    expected = -np.mean(np.log(probabilities[np.arange(len(labels)), labels]))
    for value in (
        network_loss(NET, theta[0], X, labels, "cross_entropy"),
        NetworkObjective(NET, X, labels, "cross_entropy").value_and_gradient(theta[0])[0],
    ):
        assert np.isclose(value, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mae"}, "loss must be one of 'mse', 'cross_entropy', 'softmax_mse', not 'mae'"),
        ({"Y": np.zeros(11)}, r"Y must have shape \(11, 2\), not \(11,\)"),
        ({"Y": np.zeros((11, 1))}, r"Y must have shape \(11, 2\), not \(11, 1\)"),
        ({"Y": np.zeros(1, int), "loss": "cross_entropy"}, r"Y must have shape \(11,\), not"),
        ({"theta": np.zeros(33)}, r"theta must have shape \(26,\), not \(33,\)"),
    ],
)
def test_the_definition_refuses_other_losses_and_shapes(change, message):
    X, Y, _, theta = data()
    with pytest.raises(ValueError, match=message):
        network_loss(**{"net": NET, "theta": theta[0], "X": X, "Y": Y, **change})


@pytest.mark.parametrize("there", [np, array_api_strict], ids=["NumPy", "strict"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64"])
def test_labels_of_any_integer_type_are_the_same(dtype, there):
    rng = np.random.default_rng(0)
    net = MLP((3, 300))
    labels, theta = rng.integers(0, 127, 11), rng.normal(size=net.n_parameters)
    values = [
        NetworkObjective(
            net, there.asarray(X), there.asarray(Y), "cross_entropy"
        ).value_and_gradient(there.asarray(theta))[0]
        for Y in (labels, labels.astype(dtype))
    ]
    assert float(values[0]) == float(values[1])


@pytest.mark.parametrize("scale", [1e4, 1e100])
def test_cross_entropy_of_huge_logits_is_finite_and_exact(scale):
    # one layer of weights scale·I: the logits are scale·X, and the loss is scale·(max x − x_label)
    net = MLP((2, 2), activation="linear", bias=False)
    X = np.array([[1.0, -1.0], [-1.0, 1.0], [0.5, 0.25]])
    point = NetworkObjective(net, X, np.array([0, 0, 1]), "cross_entropy").linearize(
        scale * np.eye(2).ravel()
    )
    assert np.isclose(point.value, scale * (2.0 + 0.25) / 3.0, rtol=1e-14)
    # δ xᵀ of the second sample and of the third: (−1, 1) (−1, 1)ᵀ and (1, −1) (½, ¼)ᵀ
    expected = np.array([[1.0 + 0.5, -1.0 + 0.25], [-1.0 - 0.5, 1.0 - 0.25]]) / 3.0
    assert np.allclose(point.gradient, expected.ravel(), rtol=1e-14)
    assert np.all(np.isfinite(point.hessian()))


def test_data_may_come_as_lists():
    X, Y, labels, theta = data()
    assert np.array_equal(
        NetworkObjective(NET, X.tolist(), Y.tolist()).linearize(theta[0].tolist()).gradient,
        NetworkObjective(NET, X, Y).linearize(theta[0]).gradient,
    )
    assert np.array_equal(
        NetworkObjective(NET, X, labels.tolist(), "cross_entropy").linearize(theta[0]).gradient,
        NetworkObjective(NET, X, labels, "cross_entropy").linearize(theta[0]).gradient,
    )


def test_the_objective_keeps_its_own_data():
    X, Y, _, theta = data()
    objective = NetworkObjective(NET, X, Y)
    before = objective.value_and_gradient(theta[0])[0]
    X[:], Y[:] = 0.0, 1.0
    assert objective.value_and_gradient(theta[0])[0] == before


X, Y, LABELS, _ = data()
NAN_X = np.where(np.arange(3) == 1, np.nan, X)
INF_Y = np.where(np.arange(2) == 1, np.inf, Y)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"net": (3, 4, 2)}, TypeError, "net must be an MLP"),
        ({"X": X[:, :2]}, ValueError, r"X must have shape \(N, 3\), N > 0, not \(11, 2\)"),
        ({"X": X.T}, ValueError, r"X must have shape \(N, 3\)"),
        ({"X": X[0]}, ValueError, r"X must have shape \(N, 3\)"),
        ({"X": X[:0], "Y": Y[:0]}, ValueError, r"X must have shape \(N, 3\)"),
        ({"X": NAN_X}, ValueError, "X must be finite"),
        ({"X": X.astype(complex)}, TypeError, "X must hold real numbers"),
        ({"X": np.ones((11, 3), dtype=complex)}, TypeError, "X must hold real numbers"),
        ({"Y": Y[:5]}, ValueError, r"Y must have shape \(11, 2\), not \(5, 2\)"),
        ({"Y": INF_Y}, ValueError, "Y must be finite"),
        ({"Y": Y.astype(object)}, TypeError, "Y must hold real numbers"),
        ({"loss": "hinge"}, ValueError, "loss must be one of 'mse', 'cross_entropy'"),
        (
            {"loss": "cross_entropy"},
            ValueError,
            "Y must hold labels or one-hot rows; probabilities",
        ),
        ({"loss": "cross_entropy", "Y": LABELS[:5]}, ValueError, r"Y must have shape \(11,\)"),
        ({"loss": "cross_entropy", "Y": LABELS + 1}, ValueError, "labels from 0 to 1, not from 1"),
        ({"loss": "cross_entropy", "Y": LABELS - 1}, ValueError, "labels from 0 to 1, not from -1"),
        ({"l2": -1.0}, ValueError, "l2 must be at least 0"),
        ({"l2": np.nan}, ValueError, "l2 must be at least 0"),
        ({"l2": np.inf}, ValueError, "l2 must be at least 0"),
        ({"l2": "1"}, TypeError, "l2 must be a number"),
        ({"compress": "yes"}, ValueError, "compress must be one of"),
    ],
)
def test_bad_data_is_named(arguments, error, message):
    good = {"net": NET, "X": X, "Y": Y}
    with pytest.raises(error, match=message):
        NetworkObjective(**{**good, **arguments})


@pytest.mark.parametrize(
    ("theta", "error", "message"),
    [
        (np.zeros(25), ValueError, r"theta must have shape \(26,\) or \(B, 26\), not \(25,\)"),
        (np.zeros((26, 1)), ValueError, "theta must have shape"),
        (np.zeros((1, 1, 26)), ValueError, "theta must have shape"),
        (np.zeros(26, dtype=complex), TypeError, "theta must hold real numbers"),
        (np.zeros(26, dtype="U1"), TypeError, "theta must hold real numbers"),
        (array_api_strict.zeros(26), TypeError, "theta must be an array of the library"),
    ],
)
def test_bad_theta_is_named(theta, error, message):
    objective = NetworkObjective(NET, X, Y)
    for method in (objective.linearize, objective.value_and_gradient):
        with pytest.raises(error, match=message):
            method(theta)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("wrong", [(25,), (27,), (4, 25), (2, 3, 4, 26), (2, 26, 1)])
def test_products_with_the_wrong_shape_are_named(batch, wrong):
    point = NetworkObjective(NET, X, Y).linearize(np.zeros((*batch, 26)))
    with pytest.raises(ValueError, match="v must have shape"):
        point.hvp(np.zeros(wrong))
    with pytest.raises(TypeError, match="v must hold real numbers"):
        point.hvp(np.zeros((*batch, 26), dtype=complex))


def test_a_batch_of_points_wants_a_vector_for_each():
    point = NetworkObjective(NET, X, Y).linearize(np.zeros((3, 26)))
    for wrong in (np.zeros(26), np.zeros((2, 26)), np.zeros((2, 4, 26))):
        with pytest.raises(ValueError, match=r"v must have shape \(3, 26\) or \(3, k, 26\)"):
            point.hvp(wrong)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["swish", "tanh", "relu", "linear"])
def test_non_finite_theta_gives_nan_at_its_own_point_only(bad, activation):
    net = MLP((3, 4, 2), activation=activation)
    theta = np.random.default_rng(0).normal(size=(4, net.n_parameters))
    good = NetworkObjective(net, X, Y).linearize(theta)
    for entry in range(net.n_parameters):
        broken = theta.copy()
        broken[2, entry] = bad
        point = NetworkObjective(net, X, Y).linearize(broken)
        others = [0, 1, 3]
        for mine, theirs in (
            (point.value, good.value),
            (point.gradient, good.gradient),
            (point.hvp(theta), good.hvp(theta)),
            (np.diagonal(point.hessian(), axis1=1, axis2=2), None),
        ):
            assert np.all(np.isnan(mine[2]))
            assert theirs is None or np.array_equal(mine[others], theirs[others])


def test_an_overflowing_loss_is_not_finite_and_does_not_warn():
    theta = np.full((2, 26), 1e200)
    theta[1] = 0.1
    net = MLP((3, 4, 2), activation="linear")
    for compress in (True, False):
        value, gradient = NetworkObjective(net, X, Y, compress=compress).value_and_gradient(theta)
        assert not np.isfinite(value[0])
        assert not np.any(np.isfinite(gradient[0]))
        assert np.isfinite(value[1])
        assert np.all(np.isfinite(gradient[1]))


def test_empty_batches_and_blocks():
    objective = NetworkObjective(NET, X, Y)
    point = objective.linearize(np.zeros((0, 26)))
    assert point.value.shape == (0,)
    assert point.gradient.shape == point.hvp(np.zeros((0, 26))).shape == (0, 26)
    assert point.hessian().shape == (0, 26, 26)
    assert objective.linearize(np.zeros(26)).hvp(np.zeros((0, 26))).shape == (0, 26)


def test_hessian_cost_grows_with_the_network_and_counts_the_paper_network_right():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 16))
    net = MLP((16, 8, 16, 16))
    # multiply-adds for each sample, by hand: products of W, V, their transposes and outer products
    product = 2 * 8 * 17 + 2 * 16 * 9 + 4 * 16 * 8
    product += 2 * 16 * 17 + 16 * 16 + 2 * 16 * 16  # the last layer by moments
    dense = 36 * 153 + 136 * 45 + 17 * 17  # diagonal blocks: unordered pairs
    dense += 16 * 8 * 9 * 17 + 16 * 8 * 17  # layers 2 and 1
    dense += 16 * 17 * 9 + 16 * 16 * 9  # layers 3 and 2: D is diagonal
    dense += 16 * 8 * 17 * 17 + 16 * 8 * 16 * 17  # layers 3 and 1
    expected = (dense + 6 * 552**2 / 1000) / product
    objective = NetworkObjective(net, X, X)
    assert np.isclose(objective.hessian_cost, expected, rtol=1e-14)
    assert np.isclose(objective.dense_product_cost, 552**2 / (1000 * product), rtol=1e-14)


@pytest.mark.parametrize(("loss", "activation"), [("mse", "linear"), ("cross_entropy", "swish")])
def test_a_subset_is_the_loss_over_those_samples(loss, activation):
    rng = np.random.default_rng(0)
    net = MLP((4, 3, 3), activation)
    X = rng.standard_normal((30, 4))
    Y = rng.standard_normal((30, 3)) if loss == "mse" else rng.integers(0, 3, 30)
    objective = NetworkObjective(net, X, Y, loss, l2=0.1)
    assert objective.n_samples == 30
    theta, rows = rng.standard_normal(net.n_parameters), np.array([3, 3, 28, 7])
    value, _ = objective.subset(rows).value_and_gradient(theta)
    assert float(value) == pytest.approx(
        float(network_loss(net, theta, X[rows], Y[rows], loss, 0.1)), rel=1e-13
    )


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.arange(11) < 6, TypeError, "rows must hold integers, not bool; for a mask take its"),
        ([0.5], TypeError, "rows must hold integers, not float64"),
        ([2, -1], ValueError, "rows must hold numbers from 0 to 10, not from -1 to 2"),
        ([11], ValueError, "rows must hold numbers from 0 to 10, not from 11 to 11"),
        ([], ValueError, r"rows must have shape \(k,\), k > 0, not \(0,\)"),
        ([[0, 1]], ValueError, r"rows must have shape \(k,\)"),
        (3, ValueError, r"rows must have shape \(k,\)"),
        (None, ValueError, r"rows must have shape \(k,\)"),
    ],
)
def test_rows_that_are_no_samples_are_named(rows, error, message):
    with pytest.raises(error, match=message):
        NetworkObjective(NET, X, Y).subset(rows)


@pytest.mark.parametrize("of", [list, np.asarray, strict.there], ids=["list", "NumPy", "device"])
def test_rows_may_come_from_the_host_or_the_device(of):
    objective = NetworkObjective(NET, strict.there(X), strict.there(Y))
    theta = strict.there(np.zeros(26))
    value, _ = objective.subset(of([1, 1, 10])).value_and_gradient(theta)
    assert float(value) == pytest.approx(np.mean(Y[[1, 1, 10]] ** 2), rel=1e-14)
    with pytest.raises(ValueError, match="rows must hold numbers from 0 to 10, not from 1 to 11"):
        objective.subset(of([1, 11]))


def functions(batched):
    """Return f = Σ θᵢ⁴ / 12 as functions; each argument is to be read-only."""

    def value_and_gradient(theta):
        assert not theta.flags.writeable
        return np.sum(theta**4, axis=-1) / 12.0, theta**3 / 3.0

    def hvp(theta, v):
        assert not theta.flags.writeable
        assert not v.flags.writeable
        assert theta.shape == v.shape
        return theta**2 * v

    return from_functions(value_and_gradient, hvp, n=3, batched=batched)


@pytest.mark.parametrize("batched", [False, True])
def test_functions_of_ones_own_are_an_objective(batched):
    objective = functions(batched)
    rng = np.random.default_rng(0)
    for shape in ((3,), (1, 3), (4, 3)):
        theta, v = rng.normal(size=shape), rng.normal(size=shape)
        point = objective.linearize(theta)
        before = theta.copy()
        theta *= 0.0
        assert np.allclose(point.value, np.sum(before**4, axis=-1) / 12.0, rtol=1e-14)
        assert np.allclose(point.gradient, before**3 / 3.0, rtol=1e-14)
        assert np.allclose(point.hvp(v), before**2 * v, rtol=1e-14)
        block = np.stack([v, 2.0 * v], axis=-2)
        assert np.allclose(point.hvp(block)[..., 1, :], 2.0 * before**2 * v, rtol=1e-14)
        assert np.allclose(point.hessian(), before[..., None] ** 2 * np.eye(3), rtol=1e-14)
        value, gradient = objective.value_and_gradient(before)
        assert value.shape == shape[:-1]
        assert gradient.shape == shape
    assert objective.linearize(np.zeros((0, 3))).gradient.shape == (0, 3)
    assert objective.linearize(np.zeros((0, 3))).hvp(np.zeros((0, 3))).shape == (0, 3)
    assert objective.hessian_cost == 3.0
    trace = newton_mr(objective, np.ones((2, 3)), 200)
    assert np.abs(trace.theta).max() < 1e-3


def test_functions_of_another_library_get_its_arrays():
    def value_and_gradient(theta):
        return array_api_strict.sum(theta**2, axis=-1), 2.0 * theta

    for batched in (False, True):
        objective = from_functions(
            value_and_gradient, lambda theta, v: 2.0 * v, n=3, batched=batched
        )
        theta = np.arange(6.0).reshape(2, 3)
        point = objective.linearize(strict.there(theta))
        assert np.array_equal(strict.back(point.value), [5.0, 50.0])
        assert np.array_equal(strict.back(point.gradient), 2.0 * theta)
        assert np.array_equal(strict.back(point.hvp(strict.there(theta))), 2.0 * theta)
        assert np.array_equal(strict.back(point.hessian())[1], 2.0 * np.eye(3))


GOOD = {
    "value_and_gradient": lambda theta: (theta @ theta, 2.0 * theta),
    "hvp": lambda theta, v: 2.0 * v,
    "n": 3,
}
LOSS, GRADIENT = (f"the {part} that value_and_gradient returns" for part in ("loss", "gradient"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"value_and_gradient": 1.0}, TypeError, "value_and_gradient must be callable"),
        ({"hvp": None}, TypeError, "hvp must be callable"),
        ({"n": 2.0}, TypeError, "n must be an integer"),
        ({"n": 0}, ValueError, "n must be at least 1"),
        ({"n": 4}, ValueError, r"theta must have shape \(4,\)"),
        ({"batched": 1}, TypeError, "batched must be True or False"),
        ({"value_and_gradient": np.sum}, TypeError, "must return two things"),
        ({"value_and_gradient": lambda x: x}, TypeError, "must return two things"),
        (
            {"value_and_gradient": lambda x: (x[:1], x)},
            ValueError,
            rf"{LOSS} must have shape \(\), not \(1,\)",
        ),
        (
            {"value_and_gradient": lambda x: (x[0], x[:2])},
            ValueError,
            rf"{GRADIENT} must have shape \(3,\), not \(2,\)",
        ),
        (
            {"value_and_gradient": lambda x: (x[0], x.astype(np.float32))},
            TypeError,
            f"{GRADIENT} must be float64, not float32",
        ),
        (
            {"value_and_gradient": lambda x: (x[0], x.astype(str))},
            TypeError,
            f"{GRADIENT} must hold real numbers",
        ),
        (
            {"hvp": lambda theta, v: v[:, None]},
            ValueError,
            r"what hvp returns must have shape \(3,\), not \(3, 1\)",
        ),
        (
            {"batched": True},
            ValueError,
            rf"{LOSS} must have shape \(1,\), not \(1, 1\)",
        ),
    ],
)
def test_what_is_wrong_with_functions_is_named(change, error, message):
    given = {**GOOD, **change}
    if given.get("batched") is True:
        given["value_and_gradient"] = lambda theta: (theta @ theta.T, 2.0 * theta)
    with pytest.raises(error, match=message):
        from_functions(**given).linearize(np.ones(3)).hvp(np.ones(3))
