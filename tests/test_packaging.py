"""The files that describe the project agree with each other and name nothing they should not."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*lists):
    parsed = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


WANTED = requirements(PROJECT["dependencies"], PROJECT["optional-dependencies"]["dev"])


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
    assert set(PROJECT["optional-dependencies"]) == {
        "gpu", "gpu-cuda13", "torch", "jax", "dask", "dev", "bench", "book", "browser",
    }  # fmt: skip


def test_citation_names_the_version_and_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
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
