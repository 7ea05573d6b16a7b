"""Every notebook opened in JupyterLab and run there, as a reader would."""

import json
import os
import re
import secrets
import subprocess
import sys
import time

import nbformat
import pytest

from .conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATIENCE = 20 * 60
"""Seconds for a notebook, on a machine with other work: alone each takes less than a minute."""
TROUBLE = '[data-mime-type="application/vnd.jupyter.stderr"], .jp-Dialog'
"""An error or a warning among the outputs, or a message, such as that a kernel has died."""
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # all cells in the page
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false", "checkForUpdates": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on copies of the notebooks without outputs; yield its URL and token.

    Settings, kernels' files, figures and results are in a scratch folder, too.
    """
    scratch = tmp_path_factory.mktemp("lab")
    (scratch / "notebooks").mkdir()
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, scratch / "notebooks" / path.name)
    for name, values in SETTINGS.items():
        file = scratch / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "AUTOCRIT_LITE_FIGURES": str(scratch / "figures"),
        "AUTOCRIT_LITE_RESULTS": str(scratch / "results"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_DATA_DIR": str(scratch / "data"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
    }
    environment.pop("MPLBACKEND", None)  # a kernel sets its own, which shows figures
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0"]
    command += [f"--ServerApp.root_dir={scratch / 'notebooks'}"]
    command += [f"--IdentityProvider.token={token}"]
    command += ["--allow-root"] if os.name == "posix" and os.geteuid() == 0 else []
    with (scratch / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=scratch)
        try:
            yield _url(server, scratch), token
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                pytest.fail(f"JupyterLab did not stop; see {scratch / 'log.txt'}")


def _url(server, scratch):
    """Return where the server answers, once it has written that down."""
    for _ in range(600):
        for file in (scratch / "runtime").glob("jpserver-*.json"):
            if text := file.read_text():  # empty while it is written
                return json.loads(text)["url"]
        assert server.poll() is None, (scratch / "log.txt").read_text()
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start; see {scratch / 'log.txt'}")


EXPLORER = """import autocrit_lite as al
from autocrit_lite.ground_truth.quartic import Quartic
al.explore(Quartic(), (4.0, 1.0), x_range=(-5, 5), y_range=(-4.5, 4.5), rtol=1e-10)"""


def test_the_explorer_follows_the_keyboard(lab, chromium, screenshots):
    url, token = lab
    headers = {"Authorization": f"token {token}"}
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EXPLORER)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    content = {"type": "notebook", "format": "json", "content": notebook}
    page.request.put(f"{url}api/contents/explorer.ipynb", headers=headers, data=content)
    try:
        page.goto(f"{url}lab/tree/explorer.ipynb?token={token}&reset")
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        image = page.locator(".jp-NotebookPanel .widget-image")
        image.wait_for()
        assert image.evaluate("image => image.complete && image.naturalWidth") > 600
        sentence = page.locator(".jp-NotebookPanel p[aria-live]")
        for name, key, said in (
            ("step", "ArrowRight", "Step 1 of"),
            ("step", "ArrowRight", "Step 2 of"),
            ("start x", "Home", "Step 2 of"),
        ):
            before = image.get_attribute("src"), sentence.inner_text()
            slider = page.locator(".widget-slider", has_text=name).locator(".noUi-handle")
            slider.focus()
            page.keyboard.press(key)
            sentence.get_by_text(said).wait_for()
            page.wait_for_function(
                "before => document.querySelector('.widget-image').src !== before", arg=before[0]
            )
            assert sentence.inner_text() != before[1]
        assert page.locator(TROUBLE).count() == 0
        page.screenshot(path=screenshots / "explorer.png")
        page.locator(".widget-play button").first.click()
        sentence.get_by_text("The run ends").wait_for()  # a slow kernel leaves frames out
    finally:
        for session in page.request.get(f"{url}api/sessions", headers=headers).json():
            page.request.delete(f"{url}api/sessions/{session['id']}", headers=headers)
        page.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_in_jupyterlab(path, lab, chromium, screenshots, capsys):
    url, token = lab
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    explorers = sum("al.explore(" in cell.source for cell in cells)  # with sliders, no figures
    expected = sum("image/png" in output.get("data", {}) for output in outputs) - explorers
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        page.goto(f"{url}lab/tree/{path.name}?token={token}&reset")
        prompts = page.locator(".jp-NotebookPanel .jp-CodeCell .jp-InputArea-prompt")
        page.wait_for_function(
            "n => document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell').length === n",
            arg=len(cells),
        )
        # before that JupyterLab would drop the cells
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        start = time.monotonic()
        while True:
            seconds = time.monotonic() - start
            states = re.findall(r"\[(.*?)\]:", " ".join(prompts.all_inner_texts()))
            assert page.locator(TROUBLE).count() == 0, page.locator(TROUBLE).first.inner_text()
            if len(states) == len(cells) and all(state.isdecimal() for state in states):
                break
            assert seconds < 60 or any(state.strip() for state in states), "no cell was run"
            assert seconds < PATIENCE
            page.wait_for_timeout(500)
        page.wait_for_timeout(1000)  # the last outputs are drawn
        assert page.locator(TROUBLE).count() == 0, page.locator(TROUBLE).first.inner_text()
        figures = page.locator(".jp-NotebookPanel .jp-RenderedImage img")
        assert figures.count() == expected > 0
        for figure in figures.all():
            figure.scroll_into_view_if_needed()
            assert figure.is_visible()
            assert figure.evaluate("image => image.complete && image.naturalWidth") > 200
        assert page.locator(".jp-NotebookPanel .widget-image").count() == explorers
        figures.first.scroll_into_view_if_needed()
        page.screenshot(path=screenshots / f"{path.stem}.png")
    finally:
        headers = {"Authorization": f"token {token}"}
        for session in page.request.get(f"{url}api/sessions", headers=headers).json():
            page.request.delete(f"{url}api/sessions/{session['id']}", headers=headers)
        page.close()
    with capsys.disabled():
        print(f"\n{path.stem}: {len(cells)} cells in {seconds:.1f} s, {expected} figures seen")
