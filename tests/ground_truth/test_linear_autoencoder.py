import numpy as np
import pytest

from autocrit_lite import AutogradObjective, NetworkObjective
from autocrit_lite.datasets.gaussian import gaussian
from autocrit_lite.ground_truth.linear_autoencoder import critical_points
from autocrit_lite.networks.objective import network_loss

X = gaussian(np.random.default_rng(0))
COVARIANCE = X.T @ X / len(X)
POINTS = critical_points(COVARIANCE)
# sixteen samples with the second moments of the ten thousand
COMPRESSED = np.sqrt(16) * np.linalg.cholesky(COVARIANCE).T
SAMPLE = np.random.default_rng(1).choice(len(POINTS.sets), 40, replace=False)
CORNERS = [0, 1, 16, 17, 136, 137, 696, 697, 2516]


def objective(points, samples):
    return AutogradObjective(lambda theta: network_loss(points.net, theta, samples, samples))


def random_factor(rng, points):
    """Return the points moved along their sets by random (h, h) matrices of condition up to 4.

    Far out on a set curvatures of either sign shrink below any tolerance.
    """
    (W1, _), (W2, _) = points.net.unflatten(points.theta)
    h = points.n_hidden
    Q = np.linalg.qr(rng.standard_normal((2, len(W1), h, h))).Q
    A = (Q[0] * rng.uniform(0.5, 2.0, (len(W1), 1, h))) @ Q[1]
    W1, W2 = A @ W1, W2 @ np.linalg.inv(A)
    return np.concatenate([W.reshape(len(W), -1) for W in (W1, W2)], axis=1)


def zero_eigenvalues(points):
    rank, h = points.kept.sum(axis=1), points.n_hidden
    return h**2 - (h - rank) ** 2


def test_count_is_that_of_the_paper():
    assert len(POINTS.sets) == len(set(POINTS.sets)) == 2517
    assert np.sum(POINTS.index == 0) == 1
    assert POINTS.sets[0] == ()
    assert POINTS.sets[int(np.argmin(POINTS.loss))] == (12, 13, 14, 15)
    assert POINTS.theta.shape == (2517, 128)
    assert POINTS.index[0] == 0.5


@pytest.mark.parametrize("row", [*CORNERS, *SAMPLE.tolist()])
def test_point_agrees_with_the_numerical_hessian(row):
    at = objective(POINTS, COMPRESSED).linearize(POINTS.theta[row])
    eigenvalues = np.linalg.eigvalsh(at.hessian())
    assert at.value == pytest.approx(POINTS.loss[row], rel=1e-13)
    assert np.linalg.norm(at.gradient) < 1e-13
    assert np.sum(eigenvalues < -1e-5) == round(POINTS.index[row] * 128)
    assert np.sum(np.abs(eigenvalues) <= 1e-5) == zero_eigenvalues(POINTS)[row]


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_every_point_agrees_with_the_numerical_hessian(moved):
    theta = random_factor(np.random.default_rng(2), POINTS) if moved else POINTS.theta
    network = NetworkObjective(POINTS.net, COMPRESSED, COMPRESSED)
    for rows in np.array_split(np.arange(len(theta)), 40):
        at = network.linearize(theta[rows])
        np.testing.assert_allclose(at.value, POINTS.loss[rows], rtol=1e-10)
        assert np.max(np.linalg.norm(at.gradient, axis=1)) < 1e-10
        eigenvalues = np.linalg.eigvalsh(at.hessian())
        negative = np.sum(eigenvalues < -1e-5, axis=1)
        np.testing.assert_array_equal(negative, np.rint(POINTS.index[rows] * 128))
        zero = np.sum(np.abs(eigenvalues) <= 1e-5, axis=1)
        np.testing.assert_array_equal(zero, zero_eigenvalues(POINTS)[rows])


def test_the_sixteen_samples_stand_for_the_ten_thousand():
    theta = np.random.default_rng(3).standard_normal(128)
    small, large = (objective(POINTS, data).linearize(theta) for data in (COMPRESSED, X))
    np.testing.assert_allclose(small.value, large.value, rtol=1e-13)
    np.testing.assert_allclose(small.gradient, large.gradient, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_other_sizes_and_covariances_agree_with_the_numerical_hessian(seed):
    rng = np.random.default_rng(seed)
    n, h = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    h = min(h, n)
    A = rng.standard_normal((n, n))
    covariance = A @ A.T + 0.1 * np.eye(n)
    covariance = 0.5 * (covariance + covariance.T)
    points = critical_points(covariance, n_hidden=h)
    samples = np.sqrt(n) * np.linalg.cholesky(covariance).T
    at = objective(points, samples).linearize(random_factor(rng, points))
    assert np.max(np.abs(at.gradient)) < 1e-9 * np.max(covariance)
    np.testing.assert_allclose(at.value, points.loss, rtol=1e-8, atol=1e-10)
    eigenvalues = np.linalg.eigvalsh(at.hessian())
    tolerance = 1e-7 * np.max(np.abs(eigenvalues), axis=1, keepdims=True)
    negative = np.sum(eigenvalues < -tolerance, axis=1)
    np.testing.assert_array_equal(negative, np.rint(points.index * 2 * h * n))
    zero = np.sum(np.abs(eigenvalues) <= tolerance, axis=1)
    np.testing.assert_array_equal(zero, zero_eigenvalues(points))


def test_theta_is_in_the_layout_of_the_network():
    row = POINTS.sets.index((3, 7))
    (W1, _), (W2, _) = POINTS.net.unflatten(POINTS.theta[row])
    U = POINTS.eigenvectors[:, [3, 7]]
    np.testing.assert_allclose(W1, np.vstack((U.T, np.zeros((2, 16)))), atol=0)
    np.testing.assert_allclose(W2, W1.T, atol=0)
    np.testing.assert_allclose(POINTS.linear_map(POINTS.theta[row]), U @ U.T, atol=1e-15)
    assert np.linalg.matrix_rank(POINTS.linear_map(POINTS.theta[row])) == 2


def test_every_point_is_identified_however_it_is_factored():
    for theta in (POINTS.theta, random_factor(np.random.default_rng(4), POINTS)):
        found = POINTS.identify(theta)
        np.testing.assert_array_equal(found.row, np.arange(2517))
        np.testing.assert_array_equal(found.kept, POINTS.kept)
        assert np.max(found.distance) < 1e-10


def test_identification_is_of_the_nearest_point():
    theta = np.random.default_rng(5).standard_normal((30, 128)) * 0.35
    found = POINTS.identify(theta)
    every = POINTS.linear_map(POINTS.theta)
    for row, distance, M in zip(found.row, found.distance, POINTS.linear_map(theta), strict=True):
        distances = np.linalg.norm(every - M, axis=(1, 2))
        assert row == np.argmin(distances)
        assert distance == pytest.approx(distances[row], rel=1e-12)
    assert len(set(found.row.tolist())) > 10
    single = POINTS.identify(theta[3])
    assert single.row == found.row[3]
    assert single.row.shape == single.distance.shape == ()


def test_the_papers_rule_holds_on_the_axes_and_misses_points_off_them():
    population = critical_points(np.diag(np.arange(1.0, 17.0)))
    by_rule = population.kept_by_diagonal(population.theta)
    np.testing.assert_array_equal(by_rule, population.kept)
    # few samples turn the eigenvectors: the rule then keeps fewer than the point does
    few = gaussian(np.random.default_rng(6), n_samples=500)
    turned = critical_points(few.T @ few / len(few))
    by_rule = turned.kept_by_diagonal(turned.theta)
    assert np.any(by_rule != turned.kept)
    np.testing.assert_array_equal(turned.identify(turned.theta).kept, turned.kept)


def test_only_the_minimum_has_no_negative_curvature_and_its_value_is_the_least():
    order = np.argsort(POINTS.loss)
    assert POINTS.index[order[0]] == 0
    assert np.all(POINTS.index[order[1:]] >= 1 / 128)


@pytest.mark.parametrize(
    ("covariance", "n_hidden", "error", "says"),
    [
        (np.ones((3, 4)), 1, ValueError, "covariance must be a square"),
        (np.zeros((0, 0)), 1, ValueError, "covariance must be a square"),
        (np.diag([1j, 2, 3]), 1, TypeError, "covariance must hold real numbers"),
        (np.diag([1.0, np.nan]), 1, ValueError, "covariance must be finite"),
        (np.array([[1.0, 0.5], [0.4, 2.0]]), 1, ValueError, "covariance must be symmetric"),
        (np.eye(3), 1, ValueError, "positive, distinct eigenvalues, but has 1, 1, 1"),
        (np.diag([0.0, 1.0, 2.0]), 1, ValueError, "positive, distinct"),
        (np.diag([1.0, 2.0]), 0, ValueError, "n_hidden must be from 1 to 2"),
        (np.diag([1.0, 2.0]), 3, ValueError, "n_hidden must be from 1 to 2"),
        (np.diag([1.0, 2.0]), 1.0, TypeError, "n_hidden must be an integer"),
    ],
)
def test_bad_input_is_refused(covariance, n_hidden, error, says):
    with pytest.raises(error, match=says):
        critical_points(covariance, n_hidden)


@pytest.mark.parametrize(
    ("theta", "error", "says"),
    [
        (np.zeros(127), ValueError, r"theta must have shape \(128,\) or \(B, 128\), not \(127,\)"),
        (np.full(128, np.nan), ValueError, "theta must be finite"),
        (np.zeros(128, dtype=complex), TypeError, "theta must hold real numbers"),
    ],
)
def test_bad_theta_is_refused(theta, error, says):
    with pytest.raises(error, match=says):
        POINTS.identify(theta)
