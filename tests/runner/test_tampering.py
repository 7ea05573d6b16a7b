"""A result cannot change unseen: nbval fails on a notebook if one archived number is altered."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autocrit_lite import cli
from autocrit_lite.papers import claims
from autocrit_lite.papers.frye_2021.quartic import ENDS, Quartic
from autocrit_lite.runner import archive, paths
from autocrit_lite.runner.store import checksum

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = "notebooks/01_quartic.ipynb"
SHOWN = {"directions": "minres_qlp", "step_rule": "carry"}
"""The task whose numbers the notebook's claims are about."""


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of what the notebook needs: the package, its archive, the notebook."""
    for part in ("autocrit_lite", "data/archive/quartic"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "notebooks").mkdir()
    for part in ("pyproject.toml", NOTEBOOK):
        shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


def alter(checkout, *, with_its_checksum):
    """Let one archived run, from the right and to the flat point, have ended critical instead."""
    folder = checkout / "data" / "archive"
    parts = [archive.unpack(path.read_bytes()) for path in (folder / "quartic").glob("*.npz")]
    records = [record for _, part in parts for record in part]
    (record,) = [r for r in records if SHOWN.items() <= r.configuration.items()]
    from_the_right = record.arrays["theta"][:, 0, 0] > 2.0
    flat = record.arrays["end"] == ENDS.index("flat point")
    record.arrays["end"][(from_the_right & flat).argmax()] = ENDS.index("critical point")
    if with_its_checksum:
        record.header["checksum"] = checksum(record.header, record.arrays)
    archive.pack(folder, "quartic", "paper", records)


def nbval(checkout):
    """Compare the notebook with what it prints now, as `make test` does."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        paths.FIGURES_VARIABLE: str(checkout / "figures"),
        paths.RESULTS_VARIABLE: str(checkout / "results"),
    }
    environment.pop("MPLBACKEND", None)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:randomly", "-q"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", NOTEBOOK],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def measured(checkout, monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: checkout)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(checkout / "results"))
    _, found = claims.stored_claims(Quartic)
    return found["f21-quartic-basin"].value


@pytest.mark.slow  # `make test` says the same of every notebook in its place
def test_nbval_passes_on_the_archive_as_it_is(checkout):
    done = nbval(checkout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nbval_fails_if_one_archived_number_is_altered(checkout, monkeypatch):
    before = measured(checkout, monkeypatch)
    alter(checkout, with_its_checksum=True)
    assert measured(checkout, monkeypatch) == before + 1  # the altered archive is believed
    done = nbval(checkout)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Cell outputs differ" in done.stdout
    line = r"{} \d+ of (\d+) runs to"  # the flat point: one fewer than as committed
    now, committed = (re.search(line.format(sign), done.stdout) for sign in ("-", r"\+"))
    assert int(now[1]) == int(committed[1]) - 1


def test_without_its_checksum_an_altered_number_is_not_even_read(checkout, monkeypatch, caplog):
    alter(checkout, with_its_checksum=False)
    monkeypatch.setattr(paths, "checkout", lambda: checkout)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(checkout / "results"))
    assert claims.stored_claims(Quartic) is None
    assert "checksum does not agree" in caplog.text


def test_the_command_prints_claims_as_json_objects(monkeypatch, capsys):
    monkeypatch.setattr(claims, "REGISTRY", {"quartic": Quartic})  # the others take their time
    assert cli.main(["claims", "--format", "json"]) == cli.DONE
    ledger = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    wanted = {"id", "source", "printed", "measured", "interval", "scale", "verdict", "why"}
    assert all(wanted <= entry.keys() for entry in ledger.values())
    value = ledger["f21-quartic-value"]
    assert value["scale"] == "paper"
    assert value["interval"][0] <= value["measured"] <= value["interval"][1]
    assert value["verdict"] == "reproduced"
    assert value["printed"]
    assert value["why"]
