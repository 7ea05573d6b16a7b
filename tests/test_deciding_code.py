"""No archived result is older than the code that decides it: see deciding_code.py."""

import re
import shutil

import numpy as np
import pytest

from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.runner.archive import parts
from autocrit_lite.runner.store import Record
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


@pytest.mark.parametrize(
    ("beta", "answer", "is_computed", "differs"),
    [(0.5, 2.0, False, False), (0.6, 1.0, True, False), (0.6, 2.0, True, True)],
)
def test_results_are_compared_unless_the_code_is_the_same(
    tmp_path, monkeypatch, beta, answer, is_computed, differs
):
    class Results:
        def __init__(self, x):
            self.x = x

        def read(self, task):
            return Record({}, {"x": np.array(self.x)})

    def export(commit, folder):
        shutil.copytree(ROOT / PACKAGE, folder / PACKAGE)
        file = folder / PACKAGE / "finders" / "line_search.py"
        text = file.read_text(encoding="utf-8").replace("BETA = 0.5", f"BETA = {beta}")
        file.write_text(text, encoding="utf-8")

    def run(name, code, results):
        computed.append(code)
        return Results(1.0 if code == ROOT else answer)

    computed = []
    monkeypatch.setattr(same_results, "export", export)
    monkeypatch.setattr(same_results, "computed", run)
    lines = same_results.changed("quartic", tmp_path)
    assert bool(computed) == is_computed
    assert bool(lines) == differs
    assert all("x differs by up to 1.0e+00" in line for line in lines)


def test_an_archive_of_another_schema_version_is_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(REGISTRY["quartic"], "schema_version", 99)
    [line] = same_results.changed("quartic", tmp_path)
    assert "no results of schema version 99" in line


def test_same_results_are_noted_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(same_results, "NOTED", tmp_path / "noted.json")
    problems = ["task 1: loss differs"]
    monkeypatch.setattr(same_results, "changed", lambda name, folder: problems)
    assert same_results.main(["quartic"]) == 1
    assert not same_results.NOTED.exists()
    problems.clear()
    assert same_results.main(["quartic"]) == 0
    assert noted() == {"quartic": state(REGISTRY["quartic"])}


@pytest.mark.parametrize("name", REGISTRY)
def test_every_archived_result_was_made_by_committed_code(name):
    found = [r.header for _, part in parts(ROOT / "data" / "archive", name) for r in part.values()]
    made = {header["commit"] for header in found}
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in made), made
