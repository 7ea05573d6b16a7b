"""The notebooks as committed: executed in order, checked by nbval, small, with plain parameters."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MEGABYTE = 2**20


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


def code(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def tagged(cells, tag):
    return [cell for cell in cells if tag in cell.metadata.get("tags", [])]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_every_cell_was_executed_once_from_top_to_bottom(cells):
    counts = [cell.execution_count for cell in code(cells)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed_or_warned(cells):
    outputs = [output for cell in code(cells) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr" and "Warning" in o["text"]]


def test_one_cell_holds_the_parameters_as_plain_literals(cells):
    (parameters,) = tagged(cells, "parameters")
    body = ast.parse(parameters.source).body
    assert body
    for statement in body:
        assert isinstance(statement, ast.Assign), ast.unparse(statement)
        ast.literal_eval(statement.value)


def checked(cells):
    """Return the cells that nbval compares: tagged, or marked by a comment."""
    by_comment = [cell for cell in code(cells) if "# NBVAL_CHECK_OUTPUT" in cell.source]
    return tagged(cells, "nbval-check-output") + by_comment


def test_nbval_compares_some_printed_output(cells):
    assert checked(cells)
    for cell in checked(cells):
        texts = [output.get("text", "") for output in cell.outputs]
        assert any(character.isdigit() for character in "".join(texts)), cell.source
        shown = {kind for output in cell.outputs for kind in output.get("data", {})}
        assert not shown & {"image/png", "text/html"}


def test_the_shipped_parameters_are_those_of_paper_scale(cells):
    (parameters,) = tagged(cells, "parameters")
    values = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(parameters.source).body
    }
    assert values["profile"] == "paper"
    assert values["recompute"] is False


def test_it_shows_a_figure_and_is_small(path, cells):
    outputs = [output for cell in code(cells) for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < 2 * MEGABYTE


def test_shipped_data_and_figures_are_small():
    shipped = [p for folder in ("data", "figures") for p in (ROOT / folder).rglob("*")]
    assert all(p.stat().st_size < 2 * MEGABYTE for p in shipped if p.is_file())
    assert sum(p.stat().st_size for p in (ROOT / "data").rglob("*") if p.is_file()) < 40 * MEGABYTE


def test_a_checked_notebook_whose_kernel_dies_fails_soon(tmp_path):
    cells = [new_code_cell("import os; os._exit(1)"), new_code_cell("print(1)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "dies.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "tests.nbval_watch", "-q"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "2 failed" in done.stdout
    assert "the notebook's kernel died" in done.stdout
