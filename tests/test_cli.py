import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autocrit_lite import __version__, cli
from autocrit_lite.papers import claims
from autocrit_lite.papers import registry as experiments
from autocrit_lite.papers.claims import Claim
from autocrit_lite.runner import notebooks, paths
from tests.synthetic import Synthetic


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    """A checkout with one experiment, which has no notebook, and an empty results folder."""
    folder = tmp_path / "checkout"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    monkeypatch.setattr(paths, "checkout", lambda: folder)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(tmp_path / "results"))
    monkeypatch.setitem(experiments.REGISTRY, "synthetic", Synthetic)
    return folder


@pytest.fixture
def autocrit(capsys):
    """Call the command; return its status, its output and its lines on stderr."""

    def call(*arguments):
        try:
            status = cli.main(arguments)
        except SystemExit as leaving:
            status = leaving.code
        output, errors = capsys.readouterr()
        return status, output, errors.splitlines()

    return call


RUN = ("run", "synthetic")
SETTING = (*RUN, "-p")
BAD = [
    (),
    ("fly",),
    ("run",),
    ("run", "sinthetic"),
    (*RUN, "extra"),
    (*RUN, "--profile", "fast"),
    (*RUN, "--profile"),
    (*RUN, "--prof", "quick"),
    (*RUN, "--workers", "0"),
    (*RUN, "--workers", "-2"),
    (*RUN, "--workers", "two"),
    (*RUN, "--workers", "1.5"),
    (*RUN, "--workers", "2", "--dask", "tcp://127.0.0.1:8786"),
    (*RUN, "--dask", "127.0.0.1"),
    (*RUN, "--dask", "tcp://127.0.0.1"),
    (*RUN, "--device", "tpu"),
    (*RUN, "--device", "gpu"),
    (*SETTING, "runs"),
    (*SETTING, "run", "3"),
    (*SETTING, "profile", "paper"),
    (*SETTING, "runs", "0"),
    (*SETTING, "runs", "2.0"),
    (*SETTING, "runs", "many"),
    (*SETTING, "runs", "True"),
    (*SETTING, "runs", "2", "-p", "runs", "3"),
    (*SETTING, "seed", "-1"),
    (*SETTING, "scale", "0"),
    (*SETTING, "scale", "1e3"),
    (*SETTING, "scale", "large"),
    (*SETTING, "layers", "[]3"),
    (*SETTING, "layers", "[2, 'a']"),
    (*SETTING, "window", "[1, 2, 3]"),
    (*SETTING, "window", "[2, 1]"),
    (*SETTING, "window", "[0, 1e400]"),
    (*SETTING, "seconds", "1e400"),
    (*SETTING, "kind", "round"),
    (*SETTING, "exact", "yes"),
    (*SETTING, "limit", "0"),
    ("claims", "--format", "pdf"),
    ("verify", "synthetic", "--sample", "0"),
    ("verify", "nothing"),
    ("archive",),
    ("archive", "nothing"),
    ("list", "synthetic"),
    ("notebooks",),
    ("notebooks", "a", "b"),
]


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_bad_arguments_are_refused_with_one_line_and_status_2(autocrit, tmp_path, arguments):
    status, output, errors = autocrit(*arguments)
    assert status == 2
    assert output == ""
    [line] = errors
    assert line.startswith("autocrit-lite")
    assert ": error: " in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "sinthetic"), "experiment must be one of 'quartic', "),
        ((*SETTING, "run", "3"), "synthetic has no setting 'run'; it has runs, size"),
        ((*SETTING, "runs", "2.0"), "runs must be an integer, not 2.0"),
        ((*RUN, "--workers", "two"), "argument --workers: must be a positive integer, not 'two'"),
        ((*RUN, "--device", "gpu"), "GPU"),
    ],
)
def test_the_line_names_what_is_wrong(autocrit, arguments, words):
    assert words in autocrit(*arguments)[2][0]


def test_settings_of_which_no_task_can_be_made_are_bad_arguments(autocrit, monkeypatch):
    def stages(self):
        raise ValueError("size is odd")

    monkeypatch.setattr(Synthetic, "stages", stages)
    assert autocrit(*RUN) == (2, "", ["autocrit-lite: error: size is odd"])


def test_help_shows_examples(autocrit):
    status, output, _ = autocrit("--help")
    assert status == 0
    for verb in ("list", "run", "notebooks", "reproduce", "claims", "verify", "archive"):
        assert f"  autocrit-lite {verb}" in output
        assert autocrit(verb, "--help")[0] == 0
    assert "Exit status: 0 done, 1 something failed" in output
    assert autocrit("--version")[1].strip() == __version__


def test_run_computes_once_and_list_counts(autocrit):
    status, output, errors = autocrit(*RUN, "--workers", "1")
    assert (status, output) == (0, "synthetic (quick): 5 tasks, 5 of them computed now\n")
    assert errors[-1].startswith("synthetic (quick): 4/4")
    assert autocrit(*RUN)[1] == "synthetic (quick): 5 tasks, 0 of them computed now\n"
    assert autocrit(*RUN, "--workers", "1", "--force")[1].endswith("5 of them computed now\n")
    row = next(line for line in autocrit("list")[1].splitlines() if line.startswith("synthetic"))
    assert row.split() == ["synthetic", "5", "of", "5", "5", "of", "9", "0", "of", "9"]


def test_failures_are_one_line_each_and_status_1(autocrit):
    status, output, errors = autocrit(*SETTING, "trouble", "raise", "--workers", "1")
    assert (status, output) == (1, "")
    assert [line for line in errors if "error:" in line] == errors[-1:]
    assert "ArithmeticError: no such luck" in errors[-1]


def test_a_cluster_that_does_not_answer_is_a_failure(autocrit, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("autocrit_lite.runner.parallel.CONNECT_SECONDS", 0.5)
    status, _, errors = autocrit(*RUN, "--dask", "tcp://127.0.0.1:9")
    assert status == 1
    assert "tcp://127.0.0.1:9" in errors[-1]


def test_results_are_archived_and_verified(autocrit, checkout, tmp_path, monkeypatch):
    run = (*RUN, "--profile", "paper", "--workers", "1")
    status, _, errors = autocrit("archive", "synthetic")
    assert status == 1
    assert errors == [
        "autocrit-lite: error: 9 of 9 results are missing: "
        "run `autocrit-lite run synthetic --profile paper`"
    ]
    autocrit(*run)
    status, output, _ = autocrit("archive", "synthetic")
    assert status == 0
    files = sorted((checkout / "data" / "archive" / "synthetic").iterdir())
    assert [line.split()[0] for line in output.splitlines()] == [str(path) for path in files]
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(tmp_path / "empty"))
    assert autocrit(*run)[1] == "synthetic (paper): 9 tasks, 0 of them computed now\n"
    verify = ("verify", "--sample", "3", "--workers", "1")
    status, output, errors = autocrit(*verify)
    assert status == 0
    assert output.splitlines()[0] == "synthetic: reproduced"
    assert "3 tasks made here" in output
    assert errors[0].startswith("chosen with --seed ")
    status, output, errors = autocrit("verify", "--sample", "1", "--workers", "1")
    assert status == 1
    assert output.startswith("synthetic: no difference found, too little for a claim: ")
    assert "tasks of 1 kinds, where there are 2" in errors[-1]
    monkeypatch.setattr(Synthetic, "schema_version", 2)
    status, output, errors = autocrit(*verify, "--seed", "5")
    assert (status, output) == (1, "synthetic: differs\n")
    assert errors[0] == "chosen with --seed 5"
    assert "9 archived results belong to no task" in errors[-2]


def test_claims_come_in_four_formats(autocrit):
    status, output, _ = autocrit("claims", "--format", "json")
    assert status == 0
    names = {"id", "source", "printed", "measured", "interval", "scale", "verdict", "why"}
    assert all(names <= claim.keys() for claim in json.loads(output))
    count = len(json.loads(output))
    assert len(autocrit("claims")[1].splitlines()) == count + 1
    assert len(autocrit("claims", "--format", "markdown")[1].splitlines()) == count + 2
    html = autocrit("claims", "--format", "html")[1]
    assert html.count("<tr id=") == count


def test_a_claim_without_measurement_and_reason_is_a_failure(autocrit, monkeypatch):
    measured = Claim("a", "§1", "what", "1", 1.0, None, "paper", "reproduced", "same")
    silent = Claim("b", "§2", "what else", "2")
    monkeypatch.setattr(claims, "claims", lambda: [measured, silent])
    status, output, errors = autocrit("claims")
    assert status == 1
    assert len(output.splitlines()) == 3
    assert errors == ["autocrit-lite: error: claim b has no measurement and no reason"]


def test_without_a_checkout_the_error_says_what_to_do(autocrit, monkeypatch):
    def missing():
        raise FileNotFoundError("clone it")

    monkeypatch.setattr(paths, "checkout", missing)
    monkeypatch.delenv(paths.RESULTS_VARIABLE)
    for arguments in (RUN, ("reproduce",), ("archive", "synthetic")):
        status, _, errors = autocrit(*arguments)
        assert status == 1
        assert errors[0].startswith("autocrit-lite: error: clone it")
        assert len(errors) == 1
    assert "name a folder in AUTOCRIT_LITE_RESULTS" in autocrit(*RUN)[2][0]
    status, output, errors = autocrit("list")  # the package knows its experiments
    assert status == 0
    assert any(line.startswith("synthetic") for line in output.splitlines())
    assert errors == ["autocrit-lite: clone it"]


@pytest.mark.parametrize("installed", [True, False])
def test_notebooks_are_unpacked_once(autocrit, checkout, tmp_path, monkeypatch, installed):
    source = tmp_path / "shipped" if installed else checkout
    monkeypatch.setattr(paths, "SHIPPED", tmp_path / "shipped")
    (source / "notebooks").mkdir(parents=True, exist_ok=True)
    (source / "data" / "archive" / "synthetic").mkdir(parents=True)
    files = {"notebooks/01_b.ipynb", "notebooks/00_a.ipynb", "data/mnist.npz", "data/README.md"}
    for name in (*files, "data/archive/synthetic/01.npz"):
        (source / name).write_text(name)
    folder = tmp_path / "new" / "folder"
    status, output, errors = autocrit("notebooks", str(folder))
    assert (status, errors) == (0, [])
    assert output.startswith(f"2 notebooks are in {folder / 'notebooks'}. ")
    assert 'pip install "autocrit-lite[notebooks]"' in output
    assert "data/archive/" in output
    found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.*")}
    assert found == {name: name for name in files} | {"pyproject.toml": notebooks.MARK}
    monkeypatch.undo()  # the checkout is looked for as always
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site" / "autocrit_lite" / "r" / "p.py"))
    monkeypatch.chdir(folder / "notebooks")
    assert paths.checkout() == folder
    assert paths.archive() == folder / "data" / "archive"
    monkeypatch.setattr(paths, "SHIPPED", source)
    (folder / "pyproject.toml").unlink()
    (folder / "notebooks" / "00_a.ipynb").unlink()
    (folder / "notebooks" / "01_b.ipynb").write_text("mine")
    status, output, [error] = autocrit("notebooks", str(folder))
    assert (status, output) == (2, "")
    assert f"{folder / 'notebooks' / '01_b.ipynb'} is there already" in error
    assert not (folder / "notebooks" / "00_a.ipynb").exists()
    assert (folder / "notebooks" / "01_b.ipynb").read_text() == "mine"
    (tmp_path / "file").touch()
    status, output, [error] = autocrit("notebooks", str(tmp_path / "file"))
    assert (status, output) == (2, "")
    assert "file" in error


def test_without_notebooks_none_can_be_unpacked(autocrit, tmp_path, monkeypatch):
    def missing():
        raise FileNotFoundError("clone it")

    monkeypatch.setattr(paths, "SHIPPED", tmp_path / "nowhere")
    monkeypatch.setattr(paths, "checkout", missing)
    assert autocrit("notebooks", str(tmp_path / "new")) == (
        1,
        "",
        ["autocrit-lite: error: clone it"],
    )


COMMAND = Path(sys.executable).parent / "autocrit-lite"


def test_output_may_end_early():
    process = subprocess.Popen(
        [COMMAND, "claims"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()  # as head does when it has seen enough
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_the_installed_command_is_this_one():
    done = subprocess.run(
        [COMMAND, "--version"], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout.strip() == __version__


@pytest.mark.parametrize("value", ["-1e-3", "-5.", "-inf", "-[1]", "-x", "-1"])
def test_what_follows_a_name_is_its_value(autocrit, value):
    status, _, errors = autocrit(*SETTING, "scale", value)
    assert status == 2
    assert len(errors) == 1
    assert "scale must be" in errors[0]
    number = {"-1e-3": "-0.001", "-5.": "-5.0", "-1": "-1"}.get(value, value)
    assert number in errors[0]


def test_a_missing_value_is_still_missed(autocrit):
    for arguments in ((*SETTING, "scale"), (*SETTING, "scale", "--workers", "2")):
        status, _, errors = autocrit(*arguments)
        assert status == 2
        assert "expected 2 arguments" in errors[-1]


def test_more_workers_than_tasks_are_not_started(autocrit):
    status, output, _ = autocrit(*RUN, "--workers", "9999999")
    assert status == 0
    assert "5 tasks, 5 of them computed now" in output


def test_a_terminal_without_the_characters_gets_replacements():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for verb in (["list"], ["claims"], ["claims", "--format", "json"], ["--help"]):
        done = subprocess.run([COMMAND, *verb], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()


@pytest.mark.parametrize("variable", [paths.RESULTS_VARIABLE, paths.FIGURES_VARIABLE])
def test_a_variable_that_names_no_folder_is_named(variable, tmp_path, monkeypatch):
    look = {paths.RESULTS_VARIABLE: paths.results, paths.FIGURES_VARIABLE: paths.figures}[variable]
    arguments = () if variable == paths.RESULTS_VARIABLE else ("quick",)
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(tmp_path / "nowhere")
    for text, what in ((file, "a file"), (link, "a link to what is not there"), (" ", "' '")):
        monkeypatch.setenv(variable, str(text))
        with pytest.raises((OSError, ValueError), match=f"{variable}.*{what}"):
            look(*arguments)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/mine")
    assert look(*arguments) == tmp_path / "mine"


def test_a_folder_that_cannot_be_made_is_named(autocrit, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(tmp_path / "file" / "below"))
    status, _, errors = autocrit(*RUN)
    assert status == 1
    assert len(errors) == 1
    assert paths.RESULTS_VARIABLE in errors[0]


def test_a_working_folder_that_is_gone_is_said(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    text = "import os; from autocrit_lite import cli; os.rmdir(os.getcwd()); cli.main(['list'])"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=gone, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_too_little_memory_is_one_line(autocrit, monkeypatch):
    def full(kind):
        raise MemoryError("unable to allocate 4.77 GiB for x")

    monkeypatch.setattr(cli, "_kind", full)
    status, _, errors = autocrit(*RUN)
    assert status == 1
    assert errors == ["autocrit-lite: error: too little memory: unable to allocate 4.77 GiB for x"]


ROOT = Path(__file__).resolve().parents[1]
