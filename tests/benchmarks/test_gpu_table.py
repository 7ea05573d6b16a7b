"""The GPU benchmark's program, at tiny sizes, with strict arrays in place of a GPU's."""

from dataclasses import replace
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from tests.benchmarks import gpu_sections, write_gpu_table
from tests.benchmarks.gpu_sections import OPERATIONS, OURS, Machine, Scale
from tests.benchmarks.synchronisations import synchronisations
from tests.strict import as_gpu

SCALE = Scale(
    experiment=MnistAutoencoder.from_profile(
        "quick", n_samples=40, trajectories=1, starts=2, epochs=20, max_iterations=1, rtol=0.5
    ),
    batches=(1, 3),
    newton_iterations=1,
    enough=0.0,
    patience=np.inf,
    matrix=8,
    copied=8,
    eigenproblems=((5, 2),),
    pixels=4,
    hidden=2,
    copies=1,
)


@pytest.fixture
def machine(monkeypatch):
    as_gpu(monkeypatch)
    strict = array_api_strict._array_object.Array
    return Machine("gpu", waits=lambda: synchronisations(strict, array_api_strict))


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setattr(write_gpu_table, "Scale", lambda: SCALE)
    write_gpu_table.least.cache_clear()
    yield write_gpu_table.Report(tmp_path, "a machine")
    write_gpu_table.least.cache_clear()


def test_every_section_is_measured_and_shown(machine, report):
    for name in ("check", "ceilings", "spectrum", "figure", "eigenproblems"):
        for line in getattr(gpu_sections, name)(machine, SCALE):
            report.add(line)
    objective = SCALE.objective().to_device("gpu")
    for line in gpu_sections.curvature(machine, SCALE, objective, OURS):
        report.add(line)
    for line in gpu_sections.curvature(Machine(), SCALE, SCALE.objective(), "one core"):
        report.add(line)
    for line in gpu_sections.all_cores(replace(SCALE, cpu_batch=1), cores=1):
        report.add(line)

    assert not [line for line in report.found["lines"] if "text" in line]
    assert write_gpu_table.agrees(report)
    for table in ("spectrum", "eigenproblems"):
        differences = [x["value"] for x in report.lines(table) if x["column"] == "difference"]
        assert max(differences) < 1e-12
    text = report.text.read_text()
    titles = [title for table, title in write_gpu_table.TITLES.items() if table != "failed"]
    for words in (*titles, "a machine", "TFLOP/s", "waits for the device", "2 runs × 1"):
        assert words in text
    assert "The GPU is faster than all 1 cores at its best" in text
    header = next(line for line in text.splitlines() if line.startswith("| B |"))
    assert header == f"| B | {OURS} | one core | all 1 cores |"


def test_what_was_measured_before_is_kept_for_the_same_machine(report, tmp_path):
    line = {"table": "ceilings", "row": "copy", "column": "rate", "value": 1e12}
    report.add(line)
    report.add({**line, "row": "matrix product"})
    again = write_gpu_table.Report(tmp_path, "a machine")
    assert again.value("ceilings", "copy") == 1e12
    again.add({**line, "value": 2e12})
    assert again.value("ceilings", "copy") == 2e12
    assert len(again.found["lines"]) == 2
    assert write_gpu_table.Report(tmp_path, "another machine").value("ceilings", "copy") is None


def test_a_batch_that_does_not_fit_is_named_and_what_takes_too_long_left_out(monkeypatch):
    def one_time(operation, machine, scale, objective, count):
        if operation == "Hessian" and count > 1:
            raise MemoryError("cannot allocate")
        return (9.0 if operation == "product" else 1e-3), {}

    monkeypatch.setattr(gpu_sections, "one_time", one_time)
    short = replace(SCALE, patience=30.0)
    found = {
        (line["table"], line["row"]): line
        for line in gpu_sections.curvature(Machine(), short, None, OURS)
    }
    assert found["product", 3]["text"] == "not measured: too long"
    assert found["Hessian", 3]["text"] == "out of memory"
    assert found["Newton-MR iteration", 3]["seconds"] == 1e-3 / 3


def test_starts_beyond_the_figures_own_are_near_them():
    few, many = SCALE.points(2), SCALE.points(5)
    assert np.array_equal(few, many[:2])
    assert np.array_equal(few, SCALE.starts())
    assert 0.0 < np.max(np.abs(many[2:4] - few)) < 0.1


def without_gpu():
    raise RuntimeError("no GPU: none; pip install autocrit-lite[gpu]")


def test_without_a_gpu_it_is_one_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("autocrit_lite.devices.gpu", without_gpu)
    assert write_gpu_table.main(["--out", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "bench-gpu: error: no GPU: none; pip install autocrit-lite[gpu]"
    assert not any(tmp_path.iterdir())


def test_a_section_that_fails_says_why():
    (line,) = write_gpu_table.measured("unknown", OURS, 60.0)
    assert line["table"] == "failed"
    assert line["row"] == "unknown"
    assert "Error" in line["text"]


# torch.func's own, when it is first used
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["JAX", "PyTorch"])
def test_peers_compute_the_same(name):
    pytest.importorskip({"JAX": "jax", "PyTorch": "torch"}[name])
    from tests.benchmarks.gpu_peers import PEERS

    ours = SCALE.objective()
    machine, theirs = PEERS[name](ours, on_gpu=False)
    theta = SCALE.points(3)
    p, q = ours.linearize(theta), theirs.linearize(theta)
    v = np.ones_like(theta)
    pairs = [(q.value, p.value), (q.gradient, p.gradient), (q.hvp(v), p.hvp(v))]
    for found, expected in [*pairs, (q.hessian(), p.hessian())]:
        assert np.allclose(found, expected, rtol=1e-10, atol=1e-12)
    found = list(gpu_sections.curvature(machine, SCALE, theirs, name))
    assert len(found) == len(OPERATIONS) * len(SCALE.batches)
    assert not [line for line in found if "text" in line]


def test_the_page_has_the_summary_of_what_was_measured(tmp_path):
    root = write_gpu_table.ROOT
    for name in ("docs/gpu.md", "figures/benchmarks_gpu.json"):
        (tmp_path / Path(name).name).write_text((root / name).read_text())
    page = tmp_path / "gpu.md"
    assert write_gpu_table.main(["--out", str(tmp_path), "--update", str(page)]) == 0
    assert page.read_text() == (root / "docs/gpu.md").read_text()
    rows = page.read_text().split(write_gpu_table.BEGIN)[1].split("\n")
    assert sum(row.startswith("| Dense Hessian") for row in rows) == 1
