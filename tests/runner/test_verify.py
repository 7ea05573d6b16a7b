"""The archive against the code; faults.py has one in every experiment."""

import numpy as np
import pytest

from autocrit_lite.runner import archive
from autocrit_lite.runner import verify as verification
from autocrit_lite.runner.agreement import LEVEL, runs_needed
from autocrit_lite.runner.store import Store
from autocrit_lite.runner.verify import differences, kind_of, verify
from tests.runner import faults
from tests.synthetic import Synthetic


def archived(folder, **settings):
    """Return a kind of experiment with settings, and its archive."""

    class Own(Synthetic):
        @classmethod
        def from_profile(cls, profile, **others):
            return super().from_profile(profile, **{**settings, **others})

    experiment, store = Own.from_profile("paper"), Store(folder / "results")
    experiment.run(workers=1, store=store)
    records = [store.read(task) for task in experiment.tasks()]
    archive.pack(folder / "archive", "synthetic", "paper", records)
    return Own, folder / "archive"


def check(kind, folder, sample=None):
    return verify(kind, folder, sample, np.random.default_rng(0), workers=1)


def changed(kind, **arrays):
    """Return a kind of experiment that solves otherwise."""

    class Changed(kind):
        def solve(self, run, read):
            found = super().solve(run, read)
            return {**found, **{name: change(found, run) for name, change in arrays.items()}}

    return Changed


def test_where_it_was_made_every_array_is_compared_to_rounding(tmp_path):
    kind, folder = archived(tmp_path)
    found = check(kind, folder)
    assert (found.verdict, found.problems, found.missing) == ("reproduced", [], [])
    assert found.told == ["2 tasks made here: all arrays but times, to 1e-12"]  # one of each kind
    rounded = changed(kind, x=lambda own, run: own["x"] * (1.0 + 1e-15))
    assert check(rounded, folder, 9).problems == []
    other = changed(kind, x=lambda own, run: own["x"] * (1.0 + 1e-10 * (run == 2)))
    [problem] = check(other, folder, 9).problems
    assert "made here: x differs by up to" in problem
    assert kind.from_profile("paper").stages()[1][2].key[:12] in problem
    flipped = changed(kind, large=lambda own, run: ~own["large"])
    assert len(check(flipped, folder, 9).problems) == 8


def test_arrays_of_the_machine_are_left_out_and_missing_ones_are_not(tmp_path):
    old = {"x": np.array([1.0, np.nan]), "seconds": np.array(2.0)}

    class Timed(Synthetic):
        of_machine = ("seconds",)

    assert differences(Timed, old, {**old, "seconds": np.array(9.0)}) == []
    assert differences(Synthetic, old, {**old, "seconds": np.array(9.0)}) != []
    assert differences(Timed, old, {"seconds": old["seconds"]}) == ["arrays [] in place of ['x']"]
    for x in ([1.0], [1.0, 2.0], [np.nan, 1.0], [1.0 + 1e-11, np.nan]):
        assert len(differences(Timed, old, {"x": np.array(x)})) == 1


def test_elsewhere_what_binds_is_compared_to_a_tolerance_and_the_rest_as_a_law(tmp_path):
    kind, folder = archived(tmp_path, runs=60)
    with faults.another_machine():
        found = check(kind, folder)
        assert (found.verdict, found.problems) == ("reproduced", [])
        needed = runs_needed(LEVEL / 2)
        assert found.told[0] == f"{needed + 1} tasks made elsewhere: binding arrays, to 1e-06"
        assert found.told[1].startswith(f"end of {needed} runs: laws that differ by ")
        near = changed(
            kind, x=lambda own, run: own["x"] + 1e-8, large=lambda own, run: ~own["large"]
        )
        assert check(near, folder).problems == []
        far = changed(kind, x=lambda own, run: own["x"] + 1e-4)
        assert len(check(far, folder).problems) == needed
        shuffled = changed(kind, end=lambda own, run: (own["end"] + 1) % 3)
        assert check(shuffled, folder, 61).problems == []
        otherwise = changed(kind, end=lambda own, run: np.array(2))
        law, side = check(otherwise, folder, 61).problems
    assert "end is distributed otherwise (Kolmogorov–Smirnov, p = " in law
    assert "end is moved to one side (sign test, p = " in side


def test_too_few_runs_or_kinds_of_task_are_no_claim(tmp_path):
    kind, folder = archived(tmp_path, runs=20)
    needed = runs_needed(LEVEL / 2)
    with faults.another_machine():
        found = check(kind, folder)
    assert not found.problems
    assert found.missing == [f"end of 20 runs, where it takes {needed}"]
    assert found.verdict.startswith("no difference found, too little for a claim: end of 20 runs")
    assert check(kind, folder, 1).missing == ["tasks of 1 kinds, where there are 2"]


def test_a_result_was_made_here_if_nothing_that_its_header_names_is_another(tmp_path, monkeypatch):
    _, folder = archived(tmp_path)
    _, records = next(archive.parts(folder, "synthetic"))
    record = next(iter(records.values()))
    assert verification.made_here(record)
    own = verification.provenance()
    for part, name in (("machine", "blas"), ("machine", "simd"), ("versions", "numpy")):
        other = {**own, part: {**own[part], name: "another"}}
        monkeypatch.setattr(verification, "provenance", lambda other=other: other)
        assert not verification.made_here(record)
    other = {**own, "machine": {**own["machine"], "cpus": 1000}}
    monkeypatch.setattr(verification, "provenance", lambda: other)
    assert verification.made_here(record)


def test_an_archive_of_other_tasks_is_found(tmp_path):
    kind, folder = archived(tmp_path)

    class More(kind):
        @classmethod
        def from_profile(cls, profile):
            return super().from_profile(profile, runs=9)

    class Next(kind):
        schema_version = 2

    assert check(More, folder).problems == ["1 tasks have no archived result"]
    assert check(Next, folder).problems == [
        "9 archived results belong to no task",
        "9 tasks have no archived result",
    ]


def test_kinds_of_tasks_are_told_by_words():
    one = {"stage": "find", "run": 1, "train": {"network": "linear", "seed": 0}}
    assert kind_of(one) == kind_of({**one, "run": 2})
    assert kind_of(one) != kind_of({**one, "train": {"network": "nonlinear", "seed": 0}})


SLOW = {"critical_locus", "degenerate_saddles", "tolerance", "finder_comparison"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in faults.FAULTS],
)
def test_a_changed_constant_is_found(tmp_path, name):
    folder = faults.archived(name, tmp_path)
    assert faults.verified(name, folder).verdict == "reproduced"
    with faults.planted(name):
        assert faults.verified(name, folder).problems
        with faults.another_machine():
            assert faults.verified(name, folder).problems


def test_every_experiment_has_a_fault():
    assert faults.FAULTS.keys() == faults.REGISTRY.keys() - {"synthetic"}
