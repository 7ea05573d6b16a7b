"""No archived result is older than the code that decides it: see deciding_code.py."""

import shutil

import pytest

from autocrit_lite.papers.registry import REGISTRY
from tests import same_results
from tests.deciding_code import PACKAGE, ROOT, checksum
from tests.same_results import noted, state

WAYS_OUT = """
The code that decides the results of {name} is not that which gave the archived ones. Either
- they are other results now: raise its schema_version, compute it anew and archive it
  (`autocrit-lite run {name} --profile paper`, `autocrit-lite archive {name}`); or
- they are the same: show it.
Both end with `python tests/same_results.py {name}`, which compares and notes the new code.
"""


@pytest.mark.parametrize("name", REGISTRY)
def test_no_archived_result_is_older_than_the_code_that_decides_it(name):
    known = noted().get(name)
    if known is None:
        pytest.xfail(f"the archive of {name} is older than its code, or not compared with it yet")
    assert state(REGISTRY[name]) == known, WAYS_OUT.format(name=name)


SADDLES = "degenerate_saddles"


@pytest.mark.parametrize(
    ("path", "old", "new", "seen", "unseen"),
    [
        ("finders/line_search.py", "BETA = 0.5", "BETA = 0.6", ["quartic", "tolerance"], [SADDLES]),
        ("finders/exact_newton.py", "CUTOFF = 1e-12", "CUTOFF = 1e-11", ["quartic"], ["tolerance"]),
        (
            "papers/sankar_2018/digits_training.py",
            "< training.stop",
            "<= 0",
            [SADDLES],
            ["quartic"],
        ),
        (
            "papers/frye_2021/random_labels.py",
            "entropy",
            "entrophy",
            ["random_labels"],
            ["quartic"],
        ),
        # a docstring, an annotation, the message of an error, a comment
        ("finders/newton_mr.py", "The finder behind", "What is behind", [], ["quartic"]),
        ("finders/newton_mr.py", "rtol: float", "rtol: int", [], ["quartic"]),
        ("finders/driver.py", "at least one start", "a start", [], ["quartic"]),
        ("finders/line_search.py", "# ", "# indeed: ", [], ["quartic"]),
        # what is made of results later
        (
            "papers/frye_2021/gradient_flat.py",
            "np.maximum(last",
            "np.minimum(last",
            [],
            ["tolerance"],
        ),
        ("papers/frye_2021/claims.py", " + ", " - ", [], ["mnist_autoencoder"]),
        ("runner/store.py", "3600.0", "36.0", [], ["random_labels"]),
    ],
)
def test_a_change_is_seen_if_it_can_change_a_result(tmp_path, path, old, new, seen, unseen):
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE)
    file = tmp_path / PACKAGE / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    for name in (*seen, *unseen):
        own = REGISTRY[name].__module__, REGISTRY[name].__name__
        assert (checksum(*own, tmp_path) != checksum(*own)) == (name in seen)


def test_same_results_are_noted_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(same_results, "NOTED", tmp_path / "noted.json")
    problems = ["task 1: loss differs"]
    monkeypatch.setattr(same_results, "changed", lambda name, folder: problems)
    assert same_results.main(["quartic"]) == 1
    assert not same_results.NOTED.exists()
    problems.clear()
    assert same_results.main(["quartic"]) == 0
    assert noted() == {"quartic": state(REGISTRY["quartic"])}
