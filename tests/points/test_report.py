"""What ``describe`` tells of a point against what is known of it."""

import xml.etree.ElementTree as ElementTree
from dataclasses import FrozenInstanceError

import autograd.numpy as anp
import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.finders.trace import FinderStopReason
from autocrit_lite.ground_truth.quartic import FLAT_MINIMUM, Quartic
from autocrit_lite.papers.frye_2021.gradient_flat import look_at
from autocrit_lite.points.classes import PointClass, classify, point_class
from autocrit_lite.points.picture import DECADES, by_decade
from autocrit_lite.points.report import TOLERANCES, describe
from tests.finders.problems import Counted


def quadratic(curvature, slope):
    """Return ½ θᵀ diag(curvature) θ + slopeᵀ θ, whose gradient at 0 is the slope."""
    H, b = np.asarray(curvature, dtype=float), np.asarray(slope, dtype=float)
    return al.from_functions(
        lambda x: (0.5 * x @ (H * x) + b @ x, H * x + b), lambda x, v: H * v, n=len(H)
    )


def network(seed=0, **options):
    rng = np.random.default_rng(seed)
    net = al.MLP((4, 5, 3), activation="tanh", bias=True)
    X = rng.normal(size=(50, 4))
    objective = al.NetworkObjective(net, X, np.sin(X[:, :3]), **options)
    return objective, rng.normal(size=(6, net.n_parameters))


def test_it_tells_what_the_dense_hessian_shows():
    objective, thetas = network()
    point = objective.linearize(thetas[0])
    g, H = point.gradient, point.hessian()
    values, Q = np.linalg.eigh(H)
    found = describe(objective, thetas[0])
    assert (found.n, found.dense) == (43, True)
    assert found.value == float(point.value)
    np.testing.assert_allclose(found.gradient_norm, np.linalg.norm(g), rtol=1e-12)
    assert found.index.low <= float(al.morse_index(H)) <= found.index.high
    np.testing.assert_allclose(found.eigenvalue_range, values[[0, -1]], rtol=1e-9)
    off = 1e-13 * np.max(np.abs(values))
    np.testing.assert_allclose(found.least, np.min(np.abs(values)), atol=off)
    for level, share in found.gradient_shares.items():
        parts = (Q.T @ g)[np.abs(values) <= level]
        np.testing.assert_allclose(share.value, np.sum(parts**2) / (g @ g), atol=1e-9)
    np.testing.assert_allclose(found.spectrum[0], values, atol=off)
    assert np.sum(found.spectrum[1]) == pytest.approx(1.0)
    assert np.sum(found.gradient_spectrum[1]) == pytest.approx(1.0)
    assert found.exact is not None
    length = np.linalg.norm(np.linalg.pinv(H, 1e-12, hermitian=True) @ g)
    np.testing.assert_allclose(found.exact.length, length, rtol=1e-3)
    with pytest.raises(FrozenInstanceError):
        found.value = 0.0


def test_the_direction_is_that_of_newton_mr_wherever_it_is_asked_for():
    """One definition: trace, ``classify``, ``describe`` and what the archive keeps of points.

    With a penalty, for few iterations, so that rounding does not grow.
    """
    objective, starts = network(l2=20.0)
    trace = al.newton_mr(objective, starts, 3)
    looked = look_at(objective, starts, 5e-4)[0]
    kinds = classify(objective, starts)
    for run, theta in enumerate(starts):
        dense, free = describe(objective, theta), describe(objective, theta, memory=0)
        for report in (dense, free):
            r, r_H = trace.relative_residual[run, 0], trace.relative_cokernel_residual[run, 0]
            # rounding moves what a solve leaves of g by some per cent, another rtol by a decade
            for name, wanted in {
                "relative_residual": r,
                "relative_cokernel_residual": r_H,
                "residual_ratio": trace.residual_ratio[run, 0],
            }.items():
                found = getattr(report.direction, name)
                np.testing.assert_allclose(found, wanted, rtol=0.25, atol=5e-5)
        np.testing.assert_allclose(dense.direction.length, trace.direction_norm[run, 0], rtol=1e-2)
        assert dense.kind == free.kind == kinds[run] == looked["class"][run]
        assert classify(objective, theta) == kinds[run]


def test_a_run_that_reached_its_limit_is_classified_where_it_ended():
    """The last direction of its trace is that of the iterate before."""
    flat = quadratic([1.0, 1e-9], [1e-2, 1e-3])
    trace = al.newton_mr(flat, np.zeros(2), 1)
    assert trace.stop_reason is FinderStopReason.MAX_ITERATIONS
    before = point_class(
        trace.squared_gradient_norm[0],
        trace.relative_residual[0],
        trace.relative_cokernel_residual[0],
    )
    assert (before, classify(flat, np.zeros(2))) == (PointClass.NEITHER,) * 2
    assert np.isnan(trace.relative_residual[1])
    assert describe(flat, trace.theta).kind == classify(flat, trace.theta)


def test_the_verdict_changes_with_the_tolerance():
    """λ = 1e-6 holds most of g: only to a tight tolerance does the solver go along it."""
    curvature, slope = np.array([1.0, -1.0, 1e-6]), np.array([0.05, 0.05, 1.0])
    report = describe(quadratic(curvature, slope), np.zeros(3))
    assert [d.rtol for d in report.study] == list(TOLERANCES)
    by_rtol = {d.rtol: d.kind for d in report.study}
    assert by_rtol[1e-10] is PointClass.NEITHER
    assert report.kind is by_rtol[5e-4] is PointClass.STRICTLY_FLAT
    line = report.verdicts()
    assert "STRICTLY_FLAT at rtol 1e-02, 5e-04, then NEITHER at rtol" in line
    assert line.endswith("NEITHER by the exact direction")
    tight = describe(quadratic(curvature, slope), np.zeros(3), 1e-9)
    assert tight.kind is PointClass.NEITHER
    assert 1e-9 in [d.rtol for d in tight.study]
    free = describe(quadratic(curvature, slope), np.zeros(3), memory=0)
    assert [d.kind for d in free.study] == [d.kind for d in report.study]


def test_classes_follow_the_direction_and_its_tolerance():
    flat, steeper = (quadratic([1.0, -1.0, 1e-6], [a, a, 1.0]) for a in (0.05, 0.2))
    assert classify(flat, np.zeros(3)) == PointClass.STRICTLY_FLAT
    assert classify(flat, np.zeros((2, 3)), 1e-6).tolist() == [PointClass.NEITHER] * 2
    assert classify(steeper, np.zeros(3)) == PointClass.NEITHER  # its p is too long: r is 0.76


def test_what_counts_as_zero_is_neither_negative_nor_lost():
    report = describe(quadratic([-2e-5, -5e-6, 5e-6, 1.0], np.ones(4)), np.zeros(4))
    assert report.index == (0.25, 0.25, 0.25)
    assert report.zero == (0.5, 0.5, 0.5)


def test_a_ritz_value_in_a_gap_is_no_bound_of_the_smallest(monkeypatch):
    """From a symmetric start five steps put a Ritz value at 0, where there is no eigenvalue."""
    monkeypatch.setattr("autocrit_lite.points.report.STEPS", 5)
    curvature = np.concatenate([np.linspace(-2.0, -1.0, 50), np.linspace(1.0, 2.0, 50)])
    report = describe(quadratic(curvature, np.ones(100)), np.zeros(100), memory=0)
    assert np.min(np.abs(report.gradient_spectrum[0])) < 1e-9
    assert report.least >= 1.0 - 1e-9


def test_a_limit_of_iterations_is_told():
    objective, thetas = network()
    report = describe(objective, thetas[0], maxit=2)
    assert report.study[-1].stop_reason is al.StopReason.MAXIT
    assert report.study[-1].iterations == 2
    assert "MAXIT" in str(describe(objective, thetas[0], 1e-12, maxit=2))


def test_products_alone_say_the_same_within_their_intervals():
    objective, thetas = network()
    for theta in thetas[:3]:
        exact, free = describe(objective, theta), describe(objective, theta, memory=0)
        assert not free.dense
        assert free.exact is free.proof is None
        for known, estimate in ((exact.index, free.index), (exact.zero, free.zero)):
            assert estimate.low - 1e-9 <= known.value <= estimate.high + 1e-9
        slack = 1e-9 * max(map(abs, exact.eigenvalue_range))
        assert exact.eigenvalue_range[0] - slack <= free.eigenvalue_range[0]
        assert free.eigenvalue_range[1] <= exact.eigenvalue_range[1] + slack
        assert free.least >= exact.least - slack
        for level, share in free.gradient_shares.items():
            assert share.low - 1e-9 <= exact.gradient_shares[level].value <= share.high + 1e-9
        assert "products alone" in str(free)


def test_large_problems_form_no_matrix():
    n = 30_000
    curvature = np.repeat([-1.0, 1e-7, 0.5, 3.0], [n // 10, n // 2, n // 5, n // 5])
    slope = np.full(n, 1e-3)
    objective = Counted(quadratic(curvature, slope), n)
    report = describe(objective, np.zeros(n))
    assert (report.dense, objective.hessians) == (False, 0)
    # four different eigenvalues: the steps find them all, and the index is open by the probes alone
    assert report.index.low <= 0.1 <= report.index.high < 0.12
    assert report.zero.low <= 0.5 <= report.zero.high < 0.53
    assert report.least == pytest.approx(1e-7, abs=1e-9)
    assert report.gradient_shares[1e-5].value == pytest.approx(0.5, abs=1e-3)


def test_the_memory_that_a_matrix_may_take_decides():
    objective = quadratic(np.arange(1.0, 11.0), np.ones(10))
    assert describe(objective, np.zeros(10), memory=40 * 100).dense
    assert not describe(objective, np.zeros(10), memory=40 * 100 - 1).dense


def test_critical_points_of_functions_of_ones_own():
    saddle = al.AutogradObjective(lambda t: anp.sin(t[0]) * anp.cos(t[1]))
    for report in (describe(saddle, np.ones(2)), describe(saddle, np.ones(2), memory=0)):
        assert report.kind is PointClass.NEITHER
    top = describe(saddle, np.array([np.pi / 2.0, 0.0]))
    assert (top.kind, top.index.value, top.proof) == (PointClass.CRITICAL, 1.0, None)
    bowl = quadratic([2.0, -1.0, 0.0], np.zeros(3))
    for report in (describe(bowl, np.zeros(3)), describe(bowl, np.zeros(3), memory=0)):
        assert report.kind is PointClass.CRITICAL
        assert report.gradient_norm == 0.0
        assert report.index.low <= 1 / 3 <= report.index.high + 1e-9
        assert np.isnan(report.gradient_shares[1e-5].value)
        assert "nowhere: g = 0" in str(report)
        assert "<svg" in report._repr_html_()
    plane = describe(quadratic([0.0, 0.0], [1.0, 0.0]), np.zeros(2))
    assert plane.kind is PointClass.STRICTLY_FLAT
    assert plane.eigenvalue_range == (0.0, 0.0)


def test_the_flat_line_of_the_quartic_is_flat_by_where_the_gradient_lies():
    report = describe(Quartic(), np.array(FLAT_MINIMUM))
    assert report.gradient_shares[1e-5].value == pytest.approx(1.0)
    assert report.exact.kind is PointClass.STRICTLY_FLAT
    assert (report.kind is PointClass.NEITHER) == ("flat by where g lies" in str(report))


def test_a_critical_point_is_proven_and_elsewhere_that_there_is_none():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    net = al.MLP((3, 4, 1), activation="tanh")
    objective = al.NetworkObjective(net, X, np.sin(X[:, :1]), l2=1e-1)
    theta = al.saddle_free_newton(objective, rng.normal(size=net.n_parameters)).theta
    report = describe(objective, theta)
    assert isinstance(report.proof, al.Certificate)
    assert report.proof.proven
    assert report.proof.index == round(report.index.value * report.n)
    assert "Proven: within" in str(report)
    away = describe(objective, np.ones(net.n_parameters))
    assert isinstance(away.proof, al.Emptiness)
    assert describe(objective, theta, prove=False).proof is None
    steps = al.NetworkObjective(net, X, np.zeros(200, dtype=int), loss="softmax_mse")
    assert describe(steps, theta).proof is None  # a loss that certify refuses


def test_it_prints_as_lines_and_shows_as_a_table_with_a_picture():
    objective, thetas = network()
    report = describe(objective, thetas[0])
    lines = str(report).splitlines()
    assert lines[0].startswith("A point of 43 parameters (dense Hessian")
    names = [line.split("  ")[0] for line in lines[1:]]
    for name in ("value", "‖g‖", "class", "by tolerance", "index", "‖g‖² lies", "proof"):
        assert name in names
    html = report._repr_html_()
    assert html.count("http") == 1  # the namespace alone: nothing is loaded
    table, picture = html.split("</table>")
    assert len(ElementTree.fromstring(table + "</table>")) == len(lines) - 1
    tree = ElementTree.fromstring(picture)
    assert tree.attrib["role"] == "img"
    name = "{http://www.w3.org/2000/svg}"
    assert "of eigenvalues at λ" in tree.find(f"{name}title").text
    assert len(tree.findall(f"{name}rect")) > 3


def test_bars_hold_all_shares_at_their_decades():
    values = np.array([-3.0, -0.02, 0.0, 1e-30, 5.0, 30.0])
    shares = np.array([0.1, 0.2, 0.1, 0.1, 0.2, 0.3])
    bars = by_decade(values, shares, 1)
    assert bars.sum() == pytest.approx(1.0)
    expected = {-DECADES + 1: 0.1, -DECADES + 3: 0.2, 0: 0.2, DECADES - 1: 0.2, DECADES: 0.3}
    assert {int(k) - DECADES: bars[k] for k in np.flatnonzero(bars)} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"objective": abs}, TypeError, "objective"),
        ({"theta": np.ones((1, 2))}, ValueError, "theta"),
        ({"theta": np.array([np.inf, 0.0])}, ValueError, "theta"),
        ({"rtol": 1.0}, ValueError, "rtol"),
        ({"memory": -1}, ValueError, "memory"),
        ({"memory": 1e9}, TypeError, "memory"),
        ({"maxit": 0}, ValueError, "maxit"),
        ({"prove": 1}, TypeError, "prove"),
        ({"rng": 0}, TypeError, "rng"),
    ],
)
def test_bad_arguments_are_named(options, error, text):
    given = {"objective": quadratic([1.0, 2.0], [0.0, 1.0]), "theta": np.ones(2), **options}
    with pytest.raises(error, match=text):
        describe(**given)


def test_points_where_nothing_is_finite_are_refused_and_have_no_class():
    nowhere = al.from_functions(lambda x: (np.inf, x), lambda x, v: v, n=2)
    with pytest.raises(ValueError, match="loss and its gradient are finite"):
        describe(nowhere, np.ones(2))
    assert classify(nowhere, np.ones((3, 2))).tolist() == [PointClass.UNDEFINED] * 3
    rough = al.from_functions(lambda x: (1.0, x), lambda x, v: np.nan * v, n=2)
    for memory in (0, 2**20):
        with pytest.raises(ValueError, match="Hessian is finite"):
            describe(rough, np.ones(2), memory=memory)
    with pytest.raises(TypeError, match="objective"):
        classify(None, np.ones(2))
    with pytest.raises(ValueError, match="rtol"):
        classify(rough, np.ones(2), 2.0)
