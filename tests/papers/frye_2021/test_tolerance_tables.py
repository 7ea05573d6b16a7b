"""Tables on tolerances and finders; each conclusion is drawn from its own class of runs."""

import numpy as np
import pytest

from autocrit_lite.papers.frye_2021 import tolerance_tables as tables
from autocrit_lite.papers.frye_2021.ends import End
from autocrit_lite.papers.frye_2021.finder_comparison import FinderComparison
from autocrit_lite.papers.frye_2021.tolerance_panels import ENDS, NETWORKS
from autocrit_lite.plotting import FINDERS
from autocrit_lite.runner.results import Results


def mixed():
    """Return runs of one finder, of which two end critical and one flat."""
    share = np.array([[1.0, 0.8, 0.0], [1.0, 0.6, 0.0], [0.9, 0.02, 0.0]])
    arrays = {"share": share[None, None], "end": np.array([[[End.CRITICAL] * 2 + [End.FLAT]]])}
    dims = {"share": ("network", "finder", "run", "share"), "end": ("network", "finder", "run")}
    labels = {"network": ["random_labels"], "finder": ["newton_mr"], "share": [5e-4, 1e-5, 1e-7]}
    return Results(arrays, dims, labels)


def test_a_flat_end_has_its_own_share_and_not_that_of_critical_ones():
    table = tables.shares_by_end(mixed())
    own = table.loc["Fig. 5: random labels", "Newton-MR"]
    assert own["runs"].to_dict() == {"critical": 2, "gradient-flat": 1}
    assert own["below 1e-05"].to_dict() == pytest.approx({"critical": 0.7, "gradient-flat": 0.02})
    assert own.loc["critical", "largest below 1e-05"] == 0.8


def test_the_archived_flat_ends_of_newton_mr_lie_above_1e_5_on_every_network():
    """The median over all of its runs on Fig. 5 does not tell: most of them end critical."""
    experiment = FinderComparison.from_profile("paper")
    results = experiment.results()
    table = tables.shares_by_end(results)
    for network in NETWORKS.values():
        flat = table.loc[network, "Newton-MR", "gradient-flat"]
        assert flat["runs"] > 0
        assert flat["below 1e-05"] < 0.25
        assert flat["largest below 1e-05"] < 0.5
    k, f = experiment.networks.index("random_labels"), experiment.methods.index("newton_mr")
    assert {End.CRITICAL, End.FLAT} <= set(results["end"][k, f])  # mixed: hence by class


def test_a_direction_by_eigenvectors_leaves_what_it_truncates():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    eigenvalues, parts = np.array([-1.0, 1e-6, 0.5, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])
    H, g = (Q * eigenvalues) @ Q.T, Q @ parts
    solution = -Q @ np.array([parts[0] / -1.0, 0.0, parts[2] / 0.5, parts[3] / 2.0])
    found, gradient, residuals = tables.gradient_left((H + H.T) / 2, g, {1e-3: solution})
    np.testing.assert_allclose(found, np.sort(eigenvalues), atol=1e-12)
    np.testing.assert_allclose(np.abs(gradient), np.abs(parts), atol=1e-9)
    np.testing.assert_allclose(np.abs(residuals[1e-3]), [0.0, 2.0, 0.0, 0.0], atol=1e-9)


def test_shares_of_runs_have_exact_intervals():
    r = np.zeros((2, 4, 3))
    r[0, :2, 1] = 0.95
    dims = {"rerun_relative_residual": ("variant", "start", "iteration")}
    found = tables.ever_flat(Results({"rerun_relative_residual": r}, dims), (0.5, 0.99))
    assert found.shape == (2, 2, 3)
    assert found[0, :, 0].tolist() == [0.5, 0.0]
    assert found[1, :, 0].tolist() == [0.0, 0.0]
    assert found[0, 0, 1] < 0.5 < found[0, 0, 2]
    # none of four: the upper end solves (1 - p)^4 = 0.025
    assert found[0, 1, 2] == pytest.approx(1.0 - 0.025**0.25)


def test_every_name_is_for_people():
    names = ["rtol 0.0005", "rtol 1e-10", "l2 0.1", "scaling overall", "he", "xavier", "x_k"]
    shown = tables.variant_names(Results({}, {}, {"variant": names}))
    assert shown[:3] == ["tolerance 0.0005 (paper)", "tolerance 1e-10", "penalty 0.1"]
    assert not {"he", "xavier", "x_k"} & set(shown)
    everything = [
        *shown,
        *FINDERS.values(),
        *NETWORKS.values(),
        *(name for name, _ in ENDS.values()),
    ]
    assert not [name for name in everything if "_" in name]
