"""Many starts to distinct critical points."""

from dataclasses import replace
from itertools import chain

import array_api_strict
import numpy as np
import pytest
from flint import arb

from autocrit_lite import (
    MLP,
    AutogradObjective,
    CriticalPoints,
    EnclosedFunction,
    NetworkObjective,
    exact_newton,
    find_critical_points,
)
from autocrit_lite.points.search import are_apart, distinct, look_at_end
from autocrit_lite.points.symmetry import moved

NET = MLP((1, 2, 1), "tanh")


@pytest.fixture(scope="module")
def objective():
    X = np.linspace(-1.0, 1.0, 9)[:, None]
    return NetworkObjective(NET, X, np.sin(2.0 * X) + 0.3, l2=0.02)


@pytest.fixture(scope="module")
def found(objective):
    starts = np.random.default_rng(0).normal(size=(6, NET.n_parameters))
    return find_critical_points(objective, starts, finder=exact_newton, max_iterations=60)


def double_well(theta):
    return (theta[0] ** 2 - 1) ** 2 + theta[1] ** 2


def test_the_wells_and_the_saddle_of_a_function_are_found_once_each():
    starts = np.array([[-1.2, 0.5], [-0.8, -1.0], [0.1, 0.2], [1.1, 0.3], [0.9, 1.0]])
    calls = []
    found = find_critical_points(
        AutogradObjective(double_well), starts, progress=lambda *of: calls.append(of)
    )
    frame = found.to_frame()
    assert len(found) == 3
    assert set(frame["kind"]) == {"critical to rounding"}
    order = np.argsort(found.theta[:, 0])
    np.testing.assert_allclose(found.theta[order], [[-1, 0], [0, 0], [1, 0]], atol=1e-9)
    assert frame["index"].to_numpy()[order].tolist() == [0.0, 0.5, 0.0]
    times = dict(zip(found.theta[:, 0].round(), frame["times"], strict=True))
    assert times == {-1.0: 2, 0.0: 1, 1.0: 2}
    assert sorted(chain(*frame["starts"])) == [0, 1, 2, 3, 4]
    assert calls == [(k, 5) for k in range(1, 6)]


class Enclosed(EnclosedFunction):
    """x² (x − 1) with enclosures, as an objective."""

    def __init__(self):
        super().__init__(
            1,
            lambda x: x[0] * x[0] * (x[0] - 1),
            lambda x: [3 * x[0] * x[0] - 2 * x[0]],
            lambda x: [[6 * x[0] - 2]],
            lambda x: [[[arb(6)]]],
        )
        self.objective = AutogradObjective(lambda x: x[0] ** 2 * (x[0] - 1))

    def linearize(self, theta):
        return self.objective.linearize(theta)

    def value_and_gradient(self, theta):
        return self.objective.value_and_gradient(theta)

    hessian_cost = dense_product_cost = 1.0


def test_a_function_with_enclosures_is_proven():
    found = find_critical_points(Enclosed(), np.array([[-0.2], [0.1], [0.9], [1.3]]))
    frame = found.to_frame()
    assert list(frame["kind"]) == ["proven", "proven"]
    assert list(frame["index"]) == [0.0, 1.0]  # by loss: the minimum at 2/3, the maximum at 0
    np.testing.assert_allclose(found.theta[:, 0], [2.0 / 3.0, 0.0], atol=1e-12)
    assert np.all(frame["radius"] < 1e-12)


def test_ends_of_a_network_are_proven_or_proven_to_be_none(found):
    frame = found.to_frame()
    assert set(frame["kind"]) <= {"proven", "not critical"}
    proven = frame[frame["kind"] == "proven"]
    assert len(proven) == len(found) > 0
    assert np.all(proven["value"].diff().dropna() >= 0.0)
    assert np.all(proven["images"] <= 8)  # 2! orders and 2² signs
    others = frame[frame["kind"] == "not critical"]
    assert np.all(others["empty_within"] >= 0.0)
    assert sorted(chain(*frame["starts"])) == list(range(6))


def test_an_image_of_a_proven_point_is_the_same_point_and_a_copy_of_another_loss_is_not(
    objective, found
):
    first = found.groups[0][0]
    image = moved(NET, first.theta, 0, np.array([1, 0]), np.array([-1.0, 1.0]))
    other = look_at_end(objective, image, certify=True)
    assert other.critical
    assert not are_apart(NET, first, other)
    assert len(distinct(NET, [first, other])) == 1
    assert len(distinct(None, [first, other])) == 2  # two points, if images do not count as one
    # with another index or another loss a point is another one
    proof = other.certificate
    for changed in ({"index": proof.index + 1}, {"value": (9.0, 9.1)}):
        assert are_apart(NET, first, replace(other, certificate=replace(proof, **changed)))


def test_points_of_one_loss_are_told_apart_by_their_places(found):
    first = found.groups[0][0]
    theta = first.theta + 0.1
    proof = replace(first.certificate, theta=theta)
    assert are_apart(NET, first, replace(first, theta=theta, certificate=proof))
    # but not if their balls may meet
    wide = replace(proof, radius=10.0)
    assert not are_apart(NET, first, replace(first, theta=theta, certificate=wide))


def test_two_processes_find_what_one_finds(objective, found):
    starts = np.random.default_rng(0).normal(size=(6, NET.n_parameters))
    again = find_critical_points(
        objective, starts[:2], finder=exact_newton, workers=2, max_iterations=60
    )
    ends = {end.start: end for group in [*found.groups, found.others] for end in group}
    for end in [*chain(*again.groups), *again.others]:
        np.testing.assert_array_equal(end.theta, ends[end.start].theta)


@pytest.mark.parametrize(("activation", "loss"), [("softplus", "mse"), ("tanh", "softmax_mse")])
def test_a_loss_that_cannot_be_proven_is_searched_without_proofs(activation, loss):
    net = MLP((1, 2, 2), activation)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 1))
    Y = rng.normal(size=(9, 2)) if loss == "mse" else rng.integers(0, 2, 9)
    objective = NetworkObjective(net, X, Y, loss, 0.1)
    starts = 0.1 * rng.normal(size=(2, net.n_parameters))
    frame = find_critical_points(objective, starts, max_iterations=30).to_frame()
    assert set(frame["kind"]) <= {"critical to rounding", "not critical"}
    with pytest.raises(TypeError, match="certify must be False, since nothing is proven"):
        find_critical_points(objective, starts, certify=True)


def test_an_objective_elsewhere_is_given_its_own_arrays():
    net = MLP((1, 2, 1), "tanh")
    X = np.linspace(-1.0, 1.0, 9)[:, None]
    there = array_api_strict.asarray(X)
    objective = NetworkObjective(net, there, there, l2=0.1)
    starts = 0.01 * np.random.default_rng(0).normal(size=(1, net.n_parameters))
    mine = find_critical_points(objective, starts, certify=False, max_iterations=30)
    same = NetworkObjective(net, X, X, l2=0.1)
    other = find_critical_points(same, starts, certify=False, max_iterations=30)
    ((a,),), ((b,),) = mine.groups, other.groups  # both end at the saddle where all is zero
    assert type(a.theta) is np.ndarray
    np.testing.assert_allclose(a.theta, b.theta, atol=1e-8)


def test_nothing_found_is_an_answer():
    plane = AutogradObjective(lambda theta: theta[0] + 0.0 * theta[1])
    found = find_critical_points(plane, np.zeros((2, 2)), max_iterations=3)
    assert len(found) == 0
    assert list(found.to_frame()["kind"]) == ["not critical"] * 2
    assert len(CriticalPoints([]).to_frame()) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"starts": np.zeros(2)}, "starts must have shape"),
        ({"starts": np.array([[np.nan, 0.0]])}, "starts must be finite"),
        ({"starts": np.zeros((0, 2))}, "starts must have shape"),
        ({"batch": 0}, "batch must be"),
        ({"workers": 0}, "workers must be"),
        (
            {"certify": True},
            "certify must be False, since nothing is proven of this loss: objective must",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    arguments = {"starts": np.zeros((1, 2)), **arguments}
    with pytest.raises((TypeError, ValueError), match=message):
        find_critical_points(AutogradObjective(double_well), **arguments)
