import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autocrit_lite import cli
from autocrit_lite.papers import registry as experiments
from autocrit_lite.runner import notebooks as reproduce
from autocrit_lite.runner import paths
from tests.runner.test_parallel import alive, wait_for
from tests.synthetic import Synthetic

PARAMETERS = """\
profile = "paper"
seed = None
count = 2
scale = 0.5
label = "none"
flag = False
"""
BODY = """\
import sys
from pathlib import Path
from autocrit_lite.runner import paths
Path(paths.figures(profile), "figure.txt").write_text(f"{profile} {seed} {count} {scale} {flag}")
print("half way", file=sys.stderr)
"""


def write(folder, name, *cells):
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[first, *map(new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, folder / "notebooks" / name)


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    monkeypatch.setattr(paths, "checkout", lambda: folder)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(tmp_path / "results"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setitem(experiments.REGISTRY, "synthetic", Synthetic)
    write(folder, "01_synthetic.ipynb", BODY)
    write(folder, "02_broken.ipynb", "raise ArithmeticError('no such luck')")
    return folder


def test_notebooks_are_executed_and_failures_reported(checkout, tmp_path, capfd):
    out = tmp_path / "build"
    arguments = ["reproduce", "--out", str(out), "-p", "seed", "3", "-p", "scale", "1e-05"]
    assert cli.main([*arguments, "-p", "flag", "True"]) == 1
    output, errors = capfd.readouterr()
    assert (out / "figures" / "figure.txt").read_text() == "quick 3 2 1e-05 True"
    rows = [line.split() for line in output.splitlines()[:3]]
    assert rows[1][:2] == ["synthetic", "OK"]
    assert rows[2][:2] == ["broken", "FAILED"]
    assert rows[1][2].replace(".", "").isdecimal()
    assert "f21-quartic-value" in output
    assert "half way" in errors
    assert "IPKernelApp" not in errors
    assert "f21-quartic-value" in (out / "claims.html").read_text(encoding="utf-8")
    assert "01_synthetic.ipynb: OK" in errors
    assert errors.splitlines()[-1].startswith("autocrit-lite: error: notebook broken failed: see ")
    assert errors.count("autocrit-lite: error:") == 1
    copy = nbformat.read(out / "01_synthetic.ipynb", as_version=4)
    assert copy.cells[1].metadata.tags == ["injected-parameters"]
    source = nbformat.read(checkout / "notebooks" / "01_synthetic.ipynb", as_version=4)
    assert source.cells[1].outputs == []
    assert "no such luck" in (out / "02_broken.ipynb").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sinthetic"], "notebook must be one of 'synthetic', 'broken', not 'sinthetic'"),
        (["-p", "sed", "3"], "01_synthetic.ipynb has no parameter 'sed'; it has profile, seed"),
        (
            ["-p", "count", "2.5"],
            "parameter 'count' of 01_synthetic.ipynb must be of the type of 2",
        ),
        (["-p", "count", "True"], "must be of the type of 2, not True"),
        (["-p", "scale", "large"], "must be of the type of 0.5, not 'large'"),
        (["-p", "label", "3"], "must be of the type of 'none', not 3"),
        (["-p", "flag", "1"], "must be of the type of False, not 1"),
        (["-p", "seed", "-1"], "seed must be at least 0, not -1"),
        (["-p", "scale", "11.0"], "scale must be above 0 and at most 10, not 11"),
        (["--profile", "fast"], "invalid choice: 'fast'"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(tmp_path, capsys, arguments, words):
    out = tmp_path / "build"
    try:
        status = cli.main(["reproduce", "--out", str(out), *arguments])
    except SystemExit as leaving:
        status = leaving.code
    [line] = capsys.readouterr().err.splitlines()
    assert status == 2
    assert words in line
    assert not out.exists()


def test_an_integer_is_good_enough_for_a_float(checkout):
    path = checkout / "notebooks" / "01_synthetic.ipynb"
    reproduce.check_parameters(path, {"profile": "quick", "scale": 2})


def test_a_checkout_without_notebooks_is_an_error(checkout, capsys):
    for path in (checkout / "notebooks").iterdir():
        path.unlink()
    assert cli.main(["reproduce"]) == 1
    assert "no notebooks in" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_stopping_ends_the_notebook_and_its_kernel(checkout, tmp_path):
    body = f"import os, time; open({str(tmp_path)!r} + f'/{{os.getpid()}}.pid', 'w').close()"
    write(checkout, "01_synthetic.ipynb", body, "time.sleep(300)")
    code = (
        "import pathlib, sys; from autocrit_lite import cli; "
        "from autocrit_lite.runner import paths; "
        f"paths.checkout = lambda: pathlib.Path({str(checkout)!r}); "
        f"sys.exit(cli.main(['reproduce', 'synthetic', '--out', {str(tmp_path / 'build')!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    [kernel] = wait_for(lambda: [int(path.stem) for path in tmp_path.glob("*.pid")], 1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "autocrit-lite: error: interrupted" in errors
    assert wait_for(lambda: [True] * (not alive(kernel)), 1)


def test_a_kernel_that_dies_is_told_within_seconds_and_the_others_go_on(checkout, tmp_path, capfd):
    write(checkout, "02_broken.ipynb", "import os; os._exit(1)")
    write(checkout, "03_last.ipynb", BODY)
    out = tmp_path / "build"
    assert cli.main(["reproduce", "broken", "last", "--out", str(out)]) == 1
    output, errors = capfd.readouterr()
    failed = [line for line in errors.splitlines() if line.startswith("autocrit-lite: error")]
    assert failed == [
        f"autocrit-lite: error: notebook broken failed: its kernel died: see {out}/02_broken.ipynb"
    ]
    assert [line.split()[1] for line in output.splitlines()[1:3]] == ["FAILED", "OK"]


SHADOWED = ("random", "yaml", "token", "code", "email", "nbformat", "click", "asyncio")


def test_odd_folders_and_what_lies_in_them_do_no_harm(checkout, tmp_path, monkeypatch, capfd):
    """Braces, brackets and signs in names; modules that raise; the user's matplotlib settings."""
    work = tmp_path / "work {profile} [1] %d $HOME"
    work.mkdir()
    for name in SHADOWED:
        (work / f"{name}.py").write_text("raise SystemExit('not this one')")
    settings = work / ".config" / "matplotlib"
    settings.mkdir(parents=True)
    for folder in (settings, work):
        (folder / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\n")
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    drawing = """\
import matplotlib.pyplot as plt
from autocrit_lite import plotting\nfrom autocrit_lite.runner import paths
with plotting.style():
    figure, ax = plt.subplots()
    ax.set_title("ok")
    plotting.save(figure, "drawn", paths.figures(profile))
assert ax.get_facecolor()[:3] == (1.0, 1.0, 1.0)
"""
    write(checkout, "02_broken.ipynb", drawing)
    assert cli.main(["reproduce", "broken", "--out", "out{seed} -x"]) == 0, capfd.readouterr()[1]
    assert (work / "out{seed} -x" / "02_broken.ipynb").is_file()
    assert (work / "out{seed} -x" / "figures" / "drawn.png").is_file()
