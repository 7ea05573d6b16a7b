"""Null vectors of Hessians against dense Hessians and dense ranks of small networks."""

import numpy as np
import pytest

from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.points.flat_directions import (
    SOURCES,
    counts,
    dependencies,
    forced_zeros,
    most_negative,
    null_space,
    places,
    without_dead,
)

CASES = {
    "one hidden layer": ((6, 4, 3), "relu", True, "cross_entropy"),
    "two hidden layers": ((8, 5, 4, 3), "relu", True, "cross_entropy"),
    "three hidden layers": ((6, 4, 4, 4, 3), "relu", True, "cross_entropy"),
    "squared error of softmax": ((6, 4, 3), "relu", True, "softmax_mse"),
    "without biases": ((6, 4, 3), "relu", False, "cross_entropy"),
    "squared error": ((7, 4, 7), "relu", True, "mse"),
    "sigmoid": ((7, 4, 7), "sigmoid", True, "mse"),
}


def problem(case, seed):
    """A network with a dead input, dependent inputs, an input seen once and a dead unit."""
    layers, activation, bias, loss = CASES[case]
    rng = np.random.default_rng(seed)
    net = MLP(layers, activation, bias)
    X = rng.integers(0, 3, (60, layers[0])) * (rng.random((60, layers[0])) < 0.3)
    X = X.astype(float)
    X[:, 0] = 0.0
    X[:, 2] = 2.0 * X[:, 1]
    X[1:, 3], X[0, 3] = 0.0, 1.0
    Y = X if loss == "mse" else rng.integers(0, layers[-1], 60)
    theta = rng.standard_normal(net.n_parameters)
    weights, biases = places(net)[0]
    theta[weights[1]], theta[biases[1:2]] = -1.0, -5.0
    if len(biases) == 0:
        theta[weights[1]] = -1.0  # the data are not negative
    return net, theta, X, Y, loss


def point(case, seed):
    net, theta, X, Y, loss = problem(case, seed)
    return NetworkObjective(net, X, Y, loss=loss).linearize(theta)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
class TestNullSpace:
    def test_the_hessian_is_zero_on_every_null_vector(self, case, seed):
        net, theta, X, _, loss = problem(case, seed)
        H = point(case, seed).hessian()
        for source, vectors in null_space(net, theta, X, loss).vectors().items():
            # dependencies are of rounded numbers
            np.testing.assert_allclose(H @ vectors, 0.0, atol=1e-12, err_msg=source)

    def test_each_source_adds_what_the_rank_of_the_union_grows_by(self, case, seed):
        net, theta, X, _, loss = problem(case, seed)
        known = null_space(net, theta, X, loss)
        union, grown, rank = np.zeros((net.n_parameters, 0)), {}, 0
        for source, vectors in known.vectors().items():
            union = np.hstack([union, vectors])
            now = int(np.linalg.matrix_rank(union)) if union.size else 0
            grown[source], rank = now - rank, now
        assert known.ranks() == grown
        assert list(grown) == list(SOURCES)

    def test_no_more_zero_eigenvalues_are_promised_than_there_are(self, case, seed):
        net, theta, X, _, loss = problem(case, seed)
        zero = np.sum(np.abs(np.linalg.eigvalsh(point(case, seed).hessian())) < 1e-11)
        known = sum(null_space(net, theta, X, loss).ranks().values())
        assert known <= zero
        if len(net.shapes) == 2 and net.activation == "relu":
            assert known == zero  # nothing else makes zeros here

    def test_rescalings_are_null_directions_but_for_the_gradient(self, case, seed):
        net, theta, X, _, loss = problem(case, seed)
        known, here = null_space(net, theta, X, loss), point(case, seed)
        found = known.rescaling(here.gradient)
        if net.activation != "relu":
            assert len(found) == 0
            return
        signs = np.stack(list(known.scalings()))
        np.testing.assert_allclose(
            here.hvp(signs * theta), -signs * here.gradient, atol=1e-12, rtol=1e-9
        )
        union = np.hstack(list(known.vectors().values()))
        U, s, _ = np.linalg.svd(union, full_matrices=False)
        U = U[:, s > 1e-10 * s.max()]
        V = (signs * theta).T
        Q = np.linalg.qr(V - U @ (U.T @ V))[0]
        expected = np.linalg.svd(here.hessian() @ Q, compute_uv=False)[::-1]
        np.testing.assert_allclose(found, expected, atol=1e-10)
        # where the gradient vanishes they all are
        assert np.all(known.rescaling(np.zeros_like(theta)) == 0.0)

    def test_without_dead_inputs_and_units_the_hessian_only_loses_zero_rows(self, case, seed):
        net, theta, X, Y, loss = problem(case, seed)
        small = without_dead(net, theta, X)
        whole = point(case, seed)
        part = NetworkObjective(small.net, small.X, Y, loss=loss).linearize(small.theta)
        np.testing.assert_allclose(part.value, whole.value, rtol=1e-14)
        H = whole.hessian()
        np.testing.assert_allclose(part.hessian(), H[np.ix_(small.kept, small.kept)], atol=1e-13)
        assert not np.delete(H, small.kept, axis=0).any()
        assert len(small.kept) < net.n_parameters


def test_a_layer_that_is_dead_altogether_keeps_one_unit():
    net = MLP((2, 3, 2), "relu")
    theta = net.flatten([(np.ones((3, 2)), np.full(3, -9.0)), (np.ones((2, 3)), np.zeros(2))])
    X = np.ones((4, 2))
    small = without_dead(net, theta, X)
    assert small.net.layers == (2, 1, 2)
    ranks = null_space(net, theta, X).ranks()
    # 9 weights and biases below, 6 weights above; of the output biases one direction is flat
    assert (ranks["dead units"], ranks["softmax shift"]) == (15, 1)


def test_dependencies_of_columns():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 4))
    A = np.column_stack([A, A[:, 0] - 3.0 * A[:, 1], 1e-6 * A[:, 2]])
    u = dependencies(A)
    assert u.shape == (6, 2)
    np.testing.assert_allclose(A @ u, 0.0, atol=1e-5)
    assert np.linalg.matrix_rank(u) == 2
    assert dependencies(A[:, :4]).shape == (4, 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("layers", "activation", "bias", "loss", "most"),
    [
        ((6, 4, 3), "relu", True, "cross_entropy", 8),
        ((6, 4, 3), "relu", True, "mse", 12),
        ((6, 4, 3), "linear", False, "cross_entropy", 8),
        ((6, 4, 5, 3), "relu", True, "cross_entropy", 30),
        ((2, 3, 8, 3), "relu", True, "cross_entropy", 25),  # with the second layer
        ((2, 3, 9), "linear", True, "mse", 9),  # with the last one
        ((6, 3), "relu", True, "cross_entropy", 0),
    ],
)
def test_no_more_eigenvalues_are_negative_than_can_be(layers, activation, bias, loss, most, seed):
    rng = np.random.default_rng(seed)
    net = MLP(layers, activation, bias)
    X = rng.standard_normal((50, layers[0]))
    Y = rng.integers(0, 3, 50) if loss == "cross_entropy" else rng.standard_normal((50, layers[-1]))
    theta = 2.0 * rng.standard_normal(net.n_parameters)
    H = NetworkObjective(net, X, Y, loss=loss).linearize(theta).hessian()
    eigenvalues = np.linalg.eigvalsh(H)
    negative = np.sum(eigenvalues < -1e-12 * np.abs(eigenvalues).max() - 1e-15)
    assert most_negative(net, loss) == most
    assert negative <= most, eigenvalues[: most + 2]
    if len(layers) == 3 and loss == "cross_entropy" and activation == "relu":
        assert negative == most  # the bound is met


def test_units_that_curve_have_no_such_bound():
    with pytest.raises(ValueError, match="activation must be"):
        most_negative(MLP((6, 4, 3), "swish"))
    for loss in ("hinge", "softmax_mse"):
        with pytest.raises(ValueError, match="loss must be one of"):
            most_negative(MLP((6, 4, 3), "relu"), loss)


def test_the_squared_error_of_softmax_goes_beyond_the_bound_of_the_cross_entropy():
    rng = np.random.default_rng(0)
    net = MLP((6, 4, 3), "relu")
    X, Y = rng.standard_normal((50, 6)), rng.integers(0, 3, 50)
    theta = 2.0 * rng.standard_normal(net.n_parameters)
    H = NetworkObjective(net, X, Y, loss="softmax_mse").linearize(theta).hessian()
    assert np.sum(np.linalg.eigvalsh(H) < -1e-6) > most_negative(net)


@pytest.mark.parametrize("seed", range(3))
def test_small_rows_force_as_many_zeros_as_they_say(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-8, 0, 30)
    A = rng.standard_normal((30, 30)) * scale * scale[:, None]
    H = A + A.T
    tolerances = 10.0 ** np.arange(-8.0, 1.0)
    forced = forced_zeros(np.linalg.norm(H, axis=1), tolerances)
    zero = counts(np.linalg.eigvalsh(H), tolerances)[:, 1]
    assert np.all(forced <= zero)
    assert forced[-1] > 0


def test_counts_add_up_and_are_sharp_at_the_tolerance():
    eigenvalues = np.array([-2.0, -1e-3, -0.0, 0.0, 1e-3, 5.0])
    found = counts(eigenvalues, np.array([0.0, 1e-3, 1.0]), zero_rows=4)
    assert found.tolist() == [[2, 6, 2], [1, 8, 1], [1, 8, 1]]


@pytest.mark.parametrize(
    ("eigenvalues", "tolerances", "message"),
    [
        ([-1.0, 0.0, 1.0], [0.1, -0.5], "tolerances must be at least 0, not"),
        ([-1.0, 0.0, 1.0], [np.nan], "tolerances must be at least 0, not"),
        ([-1.0, 0.0, np.nan], [0.1], "eigenvalues must be finite"),
        ([1.0, 0.0, -1.0], [0.1], "eigenvalues must be a vector of ascending numbers, not"),
        ([[-1.0, 1.0]], [0.1], "eigenvalues must be a vector of ascending numbers, not"),
    ],
)
def test_what_cannot_be_counted_is_refused(eigenvalues, tolerances, message):
    with pytest.raises(ValueError, match=message):
        counts(np.array(eigenvalues), np.array(tolerances))


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (np.full(43, np.nan), "gradient must be finite"),
        (np.zeros(42), r"gradient must have shape \(43,\), not \(42,\)"),
        (np.zeros((2, 43)), r"gradient must have shape \(43,\), not \(2, 43\)"),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused(gradient, message):
    net, theta, X, _, loss = problem("one hidden layer", 0)
    with pytest.raises(ValueError, match=message):
        null_space(net, theta, X, loss).rescaling(gradient)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": MLP((6, 3))}, "net must be an MLP with a hidden layer"),
        ({"theta": np.zeros(3)}, "theta must have shape"),
        ({"theta": np.zeros((2, 43))}, "theta must have shape"),
        ({"theta": np.full(43, np.inf)}, "theta must be finite"),
        ({"X": np.zeros((5, 2))}, "X must have shape"),
        ({"X": np.zeros((0, 6))}, r"X must have shape \(N, 6\), N > 0, not \(0, 6\)"),
        ({"loss": "hinge"}, "loss must be one of"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    net, theta, X, _, loss = problem("one hidden layer", 0)
    with pytest.raises(ValueError, match=message):
        null_space(**{"net": net, "theta": theta, "X": X, "loss": loss, **change})
    if "loss" not in change:
        with pytest.raises(ValueError, match=message):
            without_dead(**{"net": net, "theta": theta, "X": X, **change})
