import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autocrit_lite.runner import paths

ROOT = Path(__file__).resolve().parents[2]


def test_this_checkout_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(paths.RESULTS_VARIABLE, raising=False)
    assert paths.checkout() == ROOT
    assert paths.results() == ROOT / "results"
    assert paths.archive() == ROOT / "data" / "archive"


def test_a_named_results_folder_needs_no_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, "here")
    assert paths.results() == tmp_path / "here"


def test_notebooks_are_known_by_name_in_the_order_of_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("10_z.ipynb", "02_b_c.ipynb", "01_x.ipynb", "draft.ipynb", "03_d.py"):
        (tmp_path / "notebooks" / name).touch()
    assert list(paths.notebooks()) == ["x", "b_c", "z"]


def test_figures_go_where_the_batch_runner_says(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    monkeypatch.delenv(paths.FIGURES_VARIABLE, raising=False)
    assert paths.figures("paper") == tmp_path / "figures"
    assert paths.figures("quick") == tmp_path / "build" / "figures"
    monkeypatch.setenv(paths.FIGURES_VARIABLE, str(tmp_path / "out"))
    assert paths.figures("paper") == tmp_path / "out"
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize("inside", [True, False])
def test_an_installed_package_looks_around_the_working_folder(tmp_path, inside):
    site, clone = tmp_path / "site", tmp_path / "clone"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "autocrit_lite", site / "autocrit_lite", ignore=ignore)
    (clone / "notebooks").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    done = subprocess.run(
        [sys.executable, "-c", "from autocrit_lite.runner import paths; print(paths.checkout())"],
        cwd=clone / "notebooks" if inside else tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    if inside:
        assert done.stdout.strip() == str(clone)
    else:
        assert done.returncode == 1
        assert "clone it and work inside the clone" in done.stderr
        assert "unpack the notebooks with `autocrit-lite notebooks DIR`" in done.stderr
