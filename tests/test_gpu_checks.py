"""The checks of tests/gpu.py, with strict arrays in place of a GPU's."""

import numpy as np
import pytest

from autocrit_lite.devices import to_numpy
from tests import gpu
from tests.strict import as_gpu


@pytest.fixture(autouse=True)
def strict_arrays(monkeypatch):
    def difference(found, expected):
        return np.max(np.abs(to_numpy(found) - expected)) / np.max(np.abs(expected))

    as_gpu(monkeypatch)
    monkeypatch.setattr(gpu, "difference", difference)
    monkeypatch.setattr(gpu, "require_device", lambda device: None)


def test_every_kind_of_check():
    for far in (
        gpu.curvature("swish", "cross_entropy", (4,)),
        gpu.solver(40, 30, 7, True),
        gpu.solver(40, 40, 1, False),
        gpu.finder(gpu.FINDERS[0], (4,)),
        gpu.finder(gpu.FINDERS[-1], ()),
        gpu.spectrum(),
    ):
        assert far < gpu.TOLERANCE


def test_what_differs_or_breaks_fails(monkeypatch, capsys):
    def breaks():
        raise RuntimeError("broken")

    named = [("right", lambda: 0.0), ("wrong", lambda: 1e-3), ("broken", breaks)]
    monkeypatch.setattr(gpu, "checks", lambda: named)
    assert gpu.main() == 1
    lines = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == ["ok  right", "FAILED  wrong", "FAILED  broken"]
    assert lines[-1] == "2 failed"
    monkeypatch.setattr(gpu, "checks", lambda: named[:1])
    assert gpu.main() == 0
