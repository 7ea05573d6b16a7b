"""Fig. 1 and Definitions 2 to 4: each verdict, and the fault that turns it."""

import numpy as np
import pytest

from autocrit_lite.papers.sankar_2018 import definitions

N = np.array([100.0, 100.0])


def test_the_function_of_figure_1_has_its_properties():
    w = np.linspace(0.0, 4.0, 400_001)
    slope = definitions.slope(w)
    f = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2.0) * 1e-5])
    assert f[-1] == pytest.approx(2.0, abs=1e-6)
    assert np.all(slope >= 0.0)
    np.testing.assert_array_equal(slope[(w >= 2.0) & (w <= 3.0)], 0.0)


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [
        (definitions.slope, "corrected"),
        (lambda w: definitions.slope(w) + 0.1, "differs"),  # no plateau: the runs go on
        (lambda w: w - 2.5, "differs"),  # a minimum where the plateau is
    ],
)
def test_a_plateau_stops_gradient_descent(slope, verdict):
    assert definitions.plateau(slope)["s18-f1"].verdict == verdict


@pytest.mark.parametrize(
    ("lowest", "zeros", "verdict"),
    [
        ([-1e-3, -1e-2], [5, 6], "false"),
        ([-1e-3, 1e-3], [0, 6], "reproduced"),  # strict without zeros, and zeros at a minimum
    ],
)
def test_a_strict_saddle_may_have_zero_eigenvalues(lowest, zeros, verdict):
    (measured,) = definitions.strict(np.array(lowest), np.array(zeros)).values()
    assert measured.verdict == verdict


@pytest.mark.parametrize(("zeros", "verdict"), [([5, 6], "corrected"), ([5, 0], "differs")])
def test_a_good_saddle_needs_zero_eigenvalues(zeros, verdict):
    (measured,) = definitions.good(np.array(zeros), N, 0.01 * N, np.array([3])).values()
    assert measured.verdict == verdict
    assert "∂f/∂w jumps by 2 at" in measured.why
