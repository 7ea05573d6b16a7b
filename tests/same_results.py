"""Show that changed code gives the results that are archived, and note its checksum then.

    python tests/same_results.py quartic tolerance

The code of the commit that made an archive (its headers name it) and the present code each compute
the experiment at the quick profile, on this machine, one after the other, unless what decides its
results is the same code in both. If all arrays but times agree to rounding,
tests/deciding_code.json gets the checksum of the present code, to which
tests/test_deciding_code.py holds it. If not, the archive is older than the code: raise the
experiment's schema version, compute it anew and archive it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autocrit_lite.papers.registry import REGISTRY  # noqa: E402
from autocrit_lite.runner.archive import parts  # noqa: E402
from autocrit_lite.runner.store import Store  # noqa: E402
from autocrit_lite.runner.verify import differences  # noqa: E402
from tests.deciding_code import checksum  # noqa: E402

NOTED = ROOT / "tests" / "deciding_code.json"


def state(kind):
    """Return what is noted of an experiment whose results the present code gives."""
    return {
        "schema_version": kind.schema_version,
        "code": checksum(kind.__module__, kind.__name__),
    }


def noted():
    """Return what is noted of the experiments whose archive is not older than their code."""
    return json.loads(NOTED.read_text(encoding="utf-8"))


def note(name, value):
    """Write what is noted of one experiment."""
    every = (noted() if NOTED.exists() else {}) | {name: value}
    text = json.dumps({x: every[x] for x in REGISTRY if x in every}, indent=1)
    NOTED.write_text(text + "\n", encoding="utf-8")


def export(commit, folder):
    """Put the code of a commit into a folder."""
    command = ["git", "-C", str(ROOT), "archive", commit]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")


def computed(name, code, results):
    """Run an experiment at the quick profile with the code in a folder; return its store."""
    environment = os.environ | {"PYTHONPATH": str(code), "AUTOCRIT_LITE_RESULTS": str(results)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "autocrit_lite.cli", "run", name, "--profile", "quick"]
    subprocess.run(command, env=environment, cwd=code, check=True, stdout=subprocess.DEVNULL)
    return Store(results)


def same_code(kind, folder):
    """Return whether the code in a folder decides the same results for sure."""
    try:
        before = checksum(kind.__module__, kind.__name__, folder)
    except KeyError:  # the class was elsewhere
        return False
    return before == checksum(kind.__module__, kind.__name__)


def changed(name, folder):
    """Return what the present code computes otherwise than that which made the archive."""
    kind = REGISTRY[name]
    headers = [
        r.header for _, part in parts(ROOT / "data" / "archive", name) for r in part.values()
    ]
    if any(header["schema_version"] != kind.schema_version for header in headers) or not headers:
        return [f"the archive has no results of schema version {kind.schema_version}"]
    now, problems, compared = None, [], set()
    tasks = kind.from_profile("quick").tasks()
    for commit in sorted({header["commit"] for header in headers}):
        if " " in commit or commit == "unknown":
            problems.append(f"results were made by code that is no commit: {commit}")
            continue
        code = folder / commit
        code.mkdir()
        try:
            export(commit, code)
        except subprocess.CalledProcessError as error:
            problems.append(f"{commit} cannot be had: {error.stderr.decode().strip()}")
            continue
        if same_code(kind, code):
            compared |= {task.key for task in tasks}
            continue
        now = now or computed(name, ROOT, folder / "now")
        before = computed(name, code, folder / f"results of {commit}")
        for task in tasks:
            old, new = before.read(task), now.read(task)
            assert new is not None
            if old is not None:  # else the task is younger than that commit
                compared.add(task.key)
                lines = differences(kind, old.arrays, new.arrays)
                problems += [f"{commit[:12]}, task {task.key[:12]}: {line}" for line in lines]
    never = [task.key[:12] for task in tasks if task.key not in compared]
    if never and not problems:
        problems.append(f"no commit of the archive has the tasks {', '.join(never)}")
    return problems


def main(arguments=None):
    """Compare, and note what agrees; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=REGISTRY, metavar="EXPERIMENT")
    failed = False
    for name in parser.parse_args(arguments).names:
        with tempfile.TemporaryDirectory() as folder:
            problems = changed(name, Path(folder))
        for line in problems:
            print(f"{name}: {line}")
        print(f"{name}: {'other results' if problems else 'the same results'}", flush=True)
        if not problems:
            note(name, state(REGISTRY[name]))
        failed |= bool(problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
