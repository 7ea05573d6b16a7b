"""Lemma 3.3, §5 and the examples: each verdict as it is, and with the fault that turns it."""

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial import Polynomial

from autocrit_lite.papers.cooper_2020 import locus_examples, locus_lemmas, locus_points
from autocrit_lite.papers.cooper_2020.critical_locus import CriticalLocus

EXPECTED = {
    "c20-derivatives": "reproduced",
    "c20-nested": "corrected",
    "c20-slice": "reproduced",
    "c20-full-rank": "reproduced",
    "c20-line": "reproduced",
    "c20-measure-zero": "reproduced",
    "c20-lines": "reproduced",
    "c20-maxima": "corrected",
}

FAULTS = {
    "c20-derivatives": ("outside", lambda rows: rows.inside),  # M_ℓ is moved
    "c20-nested": ("origin_gradient", lambda rows: rows.center_gradient),
    "c20-slice": ("bend", lambda rows: rows.bend_before),  # the first layer is moved
    "c20-full-rank": ("slice_loss", lambda rows: rows.narrow_loss),  # Φ of rank N − 2
    "c20-line": ("slice_loss", lambda rows: rows.narrow_loss),
    "c20-lines": ("line_rises", lambda rows: rows.line_rises + 1),
    "c20-measure-zero": ("activation", lambda rows: 0 * rows.activation),  # linear called tanh
    "c20-maxima": ("bias_curvature", lambda rows: -rows.bias_curvature),
}
"""By claim a column and what it is taken to be."""


@pytest.fixture(scope="module")
def settings():
    return CriticalLocus.from_profile("quick")


@pytest.fixture(scope="module")
def others(settings):
    points = pd.DataFrame(locus_points.theorem(settings, 1, 20))
    arrays = locus_points.dimension(settings, 1, (2, 3, 4, 2))
    one = {name: array for name, array in arrays.items() if array.ndim == 1}
    return points, pd.DataFrame(one).assign(layers="2-3-4-2")


@pytest.fixture(scope="module")
def rows(settings):
    return pd.DataFrame(locus_lemmas.lemma(settings, 1, 40))


def test_each_statement_has_its_verdict(rows, others):
    found = locus_lemmas.lemmas(rows, *others)
    assert {name: measured.verdict for name, measured in found.items()} == EXPECTED


@pytest.mark.parametrize("claim", FAULTS)
def test_a_fault_turns_the_verdict(rows, others, claim):
    name, fault = FAULTS[claim]
    wrong = rows.assign(**{name: fault(rows)})
    assert locus_lemmas.lemmas(wrong, *others)[claim].verdict == "differs"


def test_points_off_the_loci_have_other_derivatives(settings, others, monkeypatch):
    sample = locus_lemmas.locus.sample
    monkeypatch.setattr(locus_lemmas.locus, "sample", lambda *args: sample(*args) + 1.0)
    wrong = pd.DataFrame(locus_lemmas.lemma(settings, 1, 5))
    assert locus_lemmas.lemmas(wrong, *others)["c20-derivatives"].verdict == "differs"


def test_half_way_to_the_minimum_is_no_critical_point(settings, others, monkeypatch):
    solve = np.linalg.lstsq
    monkeypatch.setattr(np.linalg, "lstsq", lambda A, Y, rcond: (solve(A, Y)[0] / 2.0,))
    wrong = pd.DataFrame(locus_lemmas.lemma(settings, 1, 5))
    found = locus_lemmas.lemmas(wrong, *others)
    assert {found[x].verdict for x in ("c20-full-rank", "c20-line")} == {"differs"}


def test_a_point_without_flat_directions_is_seen():
    table = {"layers": ["2-7-2"] * 2, "samples": 5, "converged": True, "clear": True}
    found = pd.DataFrame({**table, "negative": [0, 1], "walk_loss_change": 0.0})
    minima = pd.DataFrame({"layers": ["2-7-2"], "samples": 5, "loss": 0.0, "flat_dimension": 6})
    for rank, alone, verdict in (([5, 4], 0, "reproduced"), ([8, 5], 1, "differs")):
        measured = locus_lemmas.no_isolated(found, minima, np.array(rank))["c20-isolated"]
        assert (measured.value, measured.verdict) == (f"{alone} of 3 points", verdict)


def test_the_small_networks_are_what_is_said_of_them():
    example = locus_lemmas._narrow_example()
    assert example == {"narrow_gradient": 0.0, "example": 0.5}
    # JᵀJ of the outputs, twice: by hand from the columns of J
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    slope = 1.0 - np.tanh(x) ** 2
    J = np.stack([x * slope, slope, np.tanh(x), np.ones(4)])
    smallest = np.linalg.eigvalsh(2.0 * J @ J.T)[0]
    assert locus_lemmas._isolated_example() == pytest.approx(smallest, rel=1e-9)
    assert smallest > 0.01


def test_each_example_has_its_verdict():
    found = {name: measured.verdict for name, measured in locus_examples.examples().items()}
    assert found.pop("c20-ex-axis") == "corrected"
    assert set(found.values()) == {"reproduced"}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("claim", "fault", "verdict"),
    [
        ("line", (Polynomial([1.0, -2.0, 1.0]),), "reproduced"),  # (x − 1)²: (1, 0) is critical
        ("valley", (Polynomial([0.0, 0.0, 6.0, 4.0, 1.0]),), "differs"),  # no lower value
        ("valley", (-locus_examples.VALLEY,), "differs"),  # a maximum
        ("troughs", (Polynomial([0.0, 0.0, -5.0, 0.0, 5.0]),), "differs"),  # of one height
        ("troughs", (Polynomial([0.0, 1.0, 5.0, 0.0, 5.0]),), "differs"),  # one alone
        ("isolated_minima", locus_examples.plateaus(parts=1), "differs"),  # no points between
        ("saddle", (np.diag([2.0, 0.0]),), "differs"),
        ("saddle", (np.diag([2.0, -3.0]),), "differs"),
    ],
)
def test_another_function_has_another_verdict(claim, fault, verdict):
    (measured,) = getattr(locus_examples, claim)(*fault).values()
    assert measured.verdict == verdict
