"""What CONTRIBUTING.md tells one to do works, done to a copy of the package."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\S+?\.py(?:: \w+)?)\n(.*?)```", TEXT, re.S))


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the package, with the tests that the recipes build on."""
    for part in ("autocrit_lite", "tests/finders"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "tests/__init__.py", "tests/networks/test_derivatives.py"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


def add(copy, name):
    """Write a block to its file, or as the first entry of the table that its first line names."""
    file, _, table = name.partition(": ")
    path = copy / file
    if not table:
        assert not path.exists()
        path.write_text(BLOCKS[name], encoding="utf-8")
        return
    new, count = re.subn(
        rf"^{table}: .*\{{\n", lambda m: m[0] + BLOCKS[name], path.read_text("utf-8"), flags=re.M
    )
    assert count == 1
    path.write_text(new, encoding="utf-8")


def python(copy, *arguments):
    """Run Python in the copy, whose package then hides the installed one; return its stdout."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pytest_in(copy, *arguments):
    return python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def test_the_house_is_drawn_as_the_code_is():
    specification = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    house = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(house)
    assert house.updated(TEXT) == TEXT, "run python docs/house.py"
    assert "finders: driver" in TEXT


def test_every_python_block_says_where_it_belongs():
    assert len(BLOCKS) == TEXT.count("```python\n") == 4


@pytest.mark.parametrize("title", ["finder", "network", "experiment"])
def test_every_file_named_exists(title):
    (section,) = [s for s in TEXT.split("\n## ") if s.split("\n")[0].split(":")[0].find(title) > 0]
    prose = re.sub(r"```python\n.*?```", "", section, flags=re.S)
    files = set(re.findall(r"`((?:autocrit_lite|tests|notebooks)/[\w/.]+)`", prose))
    assert files
    assert [f for f in files if "NN_" not in f and not (ROOT / f).exists()] == []


def test_the_finder_recipe(copy):
    add(copy, "autocrit_lite/finders/cauchy.py")
    add(copy, "tests/finders/test_cauchy.py")
    for package in ("autocrit_lite/finders/__init__.py", "autocrit_lite/__init__.py"):
        path = copy / package
        module = ".cauchy" if "finders" in package else ".finders"
        text = path.read_text("utf-8").replace("__all__ = [\n", '__all__ = [\n    "cauchy",\n')
        path.write_text(f"{text}\nfrom {module} import cauchy\n", encoding="utf-8")
    assert "3 passed" in pytest_in(copy, "tests/finders/test_cauchy.py")
    exported = "import autocrit_lite as al; print(al.cauchy.__module__, 'cauchy' in al.__all__)"
    assert python(copy, "-c", exported).split() == ["autocrit_lite.finders.cauchy", "True"]


def test_the_network_recipe(copy):
    add(copy, "autocrit_lite/networks/activations.py: ACTIVATIONS")
    report = pytest_in(copy, "tests/networks/test_derivatives.py", "-k", "sine and agree")
    assert int(re.search(r"(\d+) passed", report)[1]) > 20


def test_the_experiment_recipe(copy):
    add(copy, "autocrit_lite/papers/frye_2021/quartic_share.py")
    path = copy / "autocrit_lite/papers/registry.py"
    lines = "from .frye_2021.quartic_share import QuarticShare\nfrom .frye_2021.random"
    text = path.read_text("utf-8").replace("from .frye_2021.random", lines)
    text = re.sub(r"^KINDS: .*\(\n", lambda m: m[0] + "    QuarticShare,\n", text, flags=re.M)
    path.write_text(text, encoding="utf-8")
    program = """
from pathlib import Path
from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.runner.store import Store
store = Store(Path("results"), Path("archive"))
experiment = REGISTRY["quartic_share"].from_profile("quick")
print(experiment.run(workers=1, store=store), experiment.run(workers=1, store=store))
results = experiment.load(store=store)
print(results["squared_gradient_norm"].shape, experiment.claims(results)["share"].value)
"""
    tasks, found = python(copy, "-c", program).splitlines()
    assert tasks == "2 0"
    shape, share = found.rsplit(" ", 1)
    assert shape == "(2, 20)"
    assert 0.2 < float(share) < 1.0


def test_the_blocks_are_formatted_and_pass_the_linter(copy):
    for name in BLOCKS:
        add(copy, name)
    python(copy, "-m", "ruff", "check", "--no-cache", ".")
    python(copy, "-m", "ruff", "format", "--no-cache", "--check", ".")
