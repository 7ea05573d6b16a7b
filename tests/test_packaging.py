"""The files that describe the project agree with each other and name nothing they should not."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import autocrit_lite
from autocrit_lite.runner import notebooks, paths

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*lists):
    parsed = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


EXTRAS = PROJECT["optional-dependencies"]
WANTED = requirements(PROJECT["dependencies"], EXTRAS["notebooks"], EXTRAS["dev"])


def test_environment_yml_holds_the_packages_of_pyproject():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = requirements(line for line in lines if isinstance(line, str) and line != "pip")
    assert found.pop("python") == PROJECT["requires-python"]
    assert found == WANTED


def test_every_requirement_is_pinned_to_a_version_that_satisfies_it():
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert {canonicalize_name(name) for name, _ in pins} >= set(WANTED)
    for name, version in pins:
        specifier = Requirement(f"x{WANTED.get(canonicalize_name(name), '')}").specifier
        assert specifier.contains(version), f"{name}=={version} is not {specifier}"


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_jupyterlab_shows_figures():
    """The kernel draws none where MPLBACKEND is set, as it is for all that runs unseen."""
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "lab"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "env -u MPLBACKEND .venv/bin/jupyter lab" in printed.stdout


def test_the_extras_are_those_promised():
    assert set(EXTRAS) == {
        "notebooks", "gpu", "gpu-cuda13", "torch", "jax", "dask", "dev", "bench", "book", "browser",
    }  # fmt: skip


LIBRARY = """
import os, sys
from pathlib import Path

missing = sys.argv[2].split()

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
import numpy as np
import autocrit_lite as al
from autocrit_lite import cli
from autocrit_lite.runner import notebooks, paths

net = al.MLP((2, 1), activation="linear")
objective = al.NetworkObjective(net, np.eye(3, 2), np.ones((3, 1)))
theta = al.newton_mr(objective, np.ones(net.n_parameters)).theta
assert al.certify(objective, theta).proven
assert al.minres_qlp(np.eye(2), np.ones(2)).x.shape == (2,)
assert cli.main(["list"]) == 0
assert cli.main(["run", "quartic", "-p", "grid", "[2, 2]", "--workers", "1"]) == 0
paths.checkout = lambda: Path(sys.argv[1])  # without an archive, whose claims take their time
assert cli.main(["claims"]) == 0
assert cli.main(["verify"]) == 0
assert cli.main(["claims", "--format", "html"]) == cli.main(["reproduce"]) == 1
notebooks.check_parameters(Path("01_quartic.ipynb"), {})
"""


def test_the_library_needs_none_of_what_only_notebooks_need(tmp_path):
    names = [Requirement(line).name for line in EXTRAS["notebooks"]]
    modules = {"pyyaml": "yaml"}
    blocked = " ".join(modules.get(name, name) for name in names) + " IPython nbformat PIL"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_quartic.ipynb").touch()
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, str(tmp_path), blocked],
        env={**os.environ, paths.RESULTS_VARIABLE: str(tmp_path / "results")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stderr.splitlines() if "rror: " in line]
    assert len(errors) == 3, done.stderr
    for error, library in zip(errors, ("Matplotlib", "Matplotlib", "papermill"), strict=True):
        assert f"needs {library}, which cannot be imported" in error
        assert error.endswith('pip install "autocrit-lite[notebooks]"')


def test_a_wheel_holds_the_notebooks_and_no_archive(tmp_path):
    """What `autocrit-lite notebooks` unpacks, in less than 10 MB."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 10_000_000
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "/shipped/" in name}
    files = [path for pattern in notebooks.UNPACKED for path in ROOT.glob(pattern)]
    assert names == {f"autocrit_lite/shipped/{path.relative_to(ROOT)}" for path in files}
    assert sum(name.endswith(".ipynb") for name in names) == len(notebooks.choose([]))


def test_citation_names_the_version_and_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == autocrit_lite.__version__
    assert citation["license"] == PROJECT["license"]
    assert len(citation["references"]) == 4


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    # written in halves, so that this file does not name them
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "/work" + "/main"]
    hosts += ["/ro" + "ot/", "index" + "-url =", "anaconda" + ".org"]
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".npz", ".png", ".pdf", ".gz"} or not path.is_file():
            continue
        text = path.read_text()
        assert not [host for host in hosts if host in text], name
