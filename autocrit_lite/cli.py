"""The command ``autocrit-lite``: exit status 0 done, 1 something failed, 2 bad arguments."""

from __future__ import annotations

import argparse
import ast
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__
from .checks import one_of
from .datasets import mnist
from .devices import DEVICES, require_device
from .papers import claims
from .papers.registry import REGISTRY
from .runner import archive, paths
from .runner.experiment import (
    PROFILES,
    Experiment,
    FailedTasksError,
    MissingResultsError,
)
from .runner.store import Record, Store

DONE, FAILED, BAD_ARGUMENTS = 0, 1, 2

EXAMPLES = """\
examples:
  autocrit-lite list
  autocrit-lite run quartic --profile quick --workers 2
  autocrit-lite run quartic --profile paper -p max_iterations 200
  autocrit-lite run quartic --profile paper --dask tcp://127.0.0.1:8786
  autocrit-lite run mnist_autoencoder --profile paper --device gpu
  autocrit-lite notebooks my_folder
  autocrit-lite reproduce --profile quick --out build
  autocrit-lite reproduce quartic --profile quick -p recompute True
  autocrit-lite claims --format markdown
  autocrit-lite verify quartic
  autocrit-lite archive quartic
  autocrit-lite data fetch mnist

Results are written to the folder AUTOCRIT_LITE_RESULTS, by default results/ of the checkout.
A run that was stopped goes on where it was when it is started again.
Exit status: 0 done, 1 something failed (one line on stderr for each), 2 bad arguments.
"""


class BadArgumentsError(Exception):
    """The arguments were refused; nothing has been run."""


class Parser(argparse.ArgumentParser):
    """Refuses bad arguments with one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with status 2."""
        self.exit(BAD_ARGUMENTS, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, by default those of the process; return its status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may not have all characters
            stream.reconfigure(errors="replace")
    parsed = build_parser().parse_args(guarded(sys.argv[1:] if arguments is None else arguments))
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        status: int = parsed.command(parsed)
        return status
    except BadArgumentsError as error:
        return _complain(error, BAD_ARGUMENTS)
    except BrokenPipeError:  # the reader of stdout, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (FailedTasksError, MissingResultsError, OSError, RuntimeError, ImportError) as error:
        return _complain(error, FAILED)
    except MemoryError as error:
        return _complain(
            f"too little memory: {error}" if str(error) else "too little memory", FAILED
        )
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept, and the same command goes on", 1)
    finally:
        signal.signal(signal.SIGTERM, previous)


GUARD = "\0"
"""Before values that begin with a dash, which argparse takes for options."""
PATHS = ("--out", "--folder", "--update")


def guarded(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a guard before values that only look like options.

    What follows ``-p NAME`` is a value unless it is an option's name; so is what follows an option
    that wants a path.
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        value = found[i - 1] in PATHS if i else False
        value = value or (i > 1 and found[i - 2] in ("-p", "--parameter"))
        if value and argument.startswith("-") and not re.match(r"--[a-z]|-[ph]$", argument):
            found[i] = GUARD + argument
    return found


def _path(text: str) -> Path:
    return Path(text.removeprefix(GUARD)).expanduser()


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _complain(error: object, status: int) -> int:
    for line in str(error).splitlines():
        print(f"autocrit-lite: error: {line}", file=sys.stderr)
    return status


def build_parser() -> Parser:
    """Return the parser of the command's arguments."""
    parser = Parser(
        prog="autocrit-lite",
        description="Four papers on the critical points of neural-network losses, recomputed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def verb(name: str, command: object, text: str, *shared: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        if "profile" in shared:
            sub.add_argument("--profile", choices=PROFILES, default="quick", help="default: quick")
        if "parameters" in shared:
            sub.add_argument(
                "-p",
                "--parameter",
                nargs=2,
                action="append",
                default=[],
                metavar=("NAME", "VALUE"),
                help="a setting other than the profile's; may be repeated",
            )
        return sub

    verb("list", list_command, "the experiments, their notebooks and what is stored of each")

    sub = verb("run", run_command, "compute what is missing", "profile", "parameters")
    sub.add_argument("name", metavar="NAME", help="an experiment; see `autocrit-lite list`")
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--workers", type=_positive, help="processes; default: one for each core")
    where.add_argument("--dask", type=_address, metavar="ADDRESS", help="tcp://host:port")
    sub.add_argument("--device", choices=DEVICES, help="default: the experiment's own, cpu")
    sub.add_argument("--force", action="store_true", help="compute every task anew")

    text = "unpack the notebooks, and the data that they need at profile quick, into a folder"
    sub = verb("notebooks", notebooks_command, text)
    sub.add_argument("folder", type=_path, metavar="DIR", help="made if it is missing")

    text = "execute the notebooks through papermill, then print the claims"
    sub = verb("reproduce", reproduce_command, text, "profile", "parameters")
    sub.add_argument("names", nargs="*", metavar="NAME", help="notebooks; default: all")
    sub.add_argument("--out", type=_path, default=Path("build"), help="default: build/")

    sub = verb("claims", claims_command, "every number that the papers print beside ours")
    sub.add_argument("--format", choices=(*claims.FORMATS, "html"), default="table")
    text = "write what the archived results say into these Markdown files, between their marks"
    sub.add_argument("--update", type=_path, nargs="+", metavar="FILE", help=text)

    sub = verb("verify", verify_command, "recompute archived tasks at random and compare")
    sub.add_argument("names", nargs="*", metavar="NAME", help="experiments; default: all archived")
    text = "tasks of each at most; default: as many as it takes to claim that it is reproduced"
    sub.add_argument("--sample", type=_positive, metavar="K", help=text)
    sub.add_argument("--seed", type=_positive, help="of the choice; default: another every time")
    sub.add_argument("--workers", type=_positive, help="processes; default: one for each core")

    text = "pack the stored paper-scale results of an experiment into data/archive/"
    sub = verb("archive", archive_command, text)
    sub.add_argument("name", metavar="NAME")

    text = "download the original data, which only some experiments need"
    sub = verb("data", data_command, text)
    sub.add_argument("action", choices=("fetch",), help="download what is missing; verify all")
    sub.add_argument("name", choices=("mnist",), help="the 70,000 images, 12 MB")
    text = f"default: mnist/ in {paths.DATA_VARIABLE}, or else in data/ of the checkout"
    sub.add_argument("--folder", type=_path, help=text)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text!r}")
    return int(text)


def _address(text: str) -> str:
    if not re.fullmatch(r"[a-z]+://\S+:\d+", text):
        raise argparse.ArgumentTypeError(f"must be like tcp://host:port, not {text!r}")
    return text


def _parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the values of ``-p NAME VALUE``: Python literals, or else texts."""
    parameters: dict[str, Any] = {}
    for name, guarded_text in pairs:
        text = guarded_text.removeprefix(GUARD)
        if name in parameters:
            raise BadArgumentsError(f"parameter {name!r} is given twice")
        try:
            parameters[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parameters[name] = text
    return parameters


def _kind(name: str) -> type[Experiment]:
    try:
        return REGISTRY[one_of("experiment", name, REGISTRY)]
    except ValueError as error:
        raise BadArgumentsError(error) from None


def list_command(parsed: argparse.Namespace) -> int:
    """Print the experiments with what is stored of each."""
    try:
        notebooks, folder = paths.notebooks(), archive_folder()
    except FileNotFoundError as error:  # the package knows its experiments without a clone
        print(f"autocrit-lite: {error}", file=sys.stderr)
        notebooks, folder = {}, None
    try:
        store = Store.default()
    except FileNotFoundError:
        store = None
    rows = []
    for name, kind in REGISTRY.items():
        quick, paper = (kind.from_profile(profile).tasks() for profile in ("quick", "paper"))
        kept = archive.parts(folder, name) if folder else ()
        archived = {key for _, part in kept for key in part}
        counts = [
            sum(store.path(task).is_file() for task in tasks) if store else 0
            for tasks in (quick, paper)
        ]
        counts.append(sum(task.key in archived for task in paper))
        totals = (len(quick), len(paper), len(paper))
        stored = [f"{n} of {total}" for n, total in zip(counts, totals, strict=True)]
        rows.append([name, notebooks[name].name if name in notebooks else "", *stored])
    head = ["experiment", "notebook", "quick results", "paper results", "archived"]
    print(claims.text_table(head, rows))
    return DONE


def run_command(parsed: argparse.Namespace) -> int:
    """Compute what is missing of an experiment."""
    kind = _kind(parsed.name)
    overrides = _parameters(parsed.parameter)
    try:
        if parsed.device:
            if not parsed.dask:  # else it is the cluster's workers that need it
                require_device(parsed.device)
            if "device" in kind.__dataclass_fields__:
                overrides["device"] = parsed.device
            elif parsed.device == "gpu":
                raise ValueError(f"{kind.name} does not run on a GPU")
        experiment = kind.from_profile(parsed.profile, **overrides)
        total = len(experiment.tasks())
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadArgumentsError(error) from None
    computed = experiment.run(
        workers=parsed.workers,
        dask=parsed.dask,
        force=parsed.force,
        archive=parsed.profile == "paper",
    )
    print(f"{kind.name} ({parsed.profile}): {total} tasks, {computed} of them computed now")
    return DONE


NEXT = """\
{count} notebooks are in {folder}. With pip install "autocrit-lite[notebooks]":
  jupyter lab {folder}
As shipped they read results at the papers' scale from data/archive/, which is in the repository
only: in each notebook's cell of parameters set profile = "quick", which computes a small version
from scratch, or clone the repository.\
"""


def notebooks_command(parsed: argparse.Namespace) -> int:
    """Unpack the notebooks into a folder, and say what else they need."""
    from .runner.notebooks import unpack

    try:
        copies = unpack(parsed.folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadArgumentsError(error) from None
    print(NEXT.format(count=len(copies), folder=parsed.folder / "notebooks"))
    return DONE


def reproduce_command(parsed: argparse.Namespace) -> int:
    """Execute notebooks, print what became of them and the claims."""
    from .papers.page import page
    from .runner.notebooks import reproduce

    try:
        executions = reproduce(
            parsed.names, parsed.profile, _parameters(parsed.parameter), parsed.out, REGISTRY
        )
    except (TypeError, ValueError) as error:
        raise BadArgumentsError(error) from None
    rows = [
        [e.name, "OK" if e.ok else "FAILED", f"{e.seconds:.1f} s", str(e.output)]
        for e in executions
    ]
    print(claims.text_table(["notebook", "status", "time", "executed copy"], rows), end="\n\n")
    ledger, file = claims.claims(), parsed.out / "claims.html"
    file.write_text(page(ledger), encoding="utf-8")
    print(f'The papers\' numbers beside ours are in {file}. Those of the scale "paper" are the')
    print("archive's; what the notebooks have just computed is in the copies' last cells.\n")
    print(claims.render(ledger), claims.scorecard(ledger), sep="\n\n")
    failed = [
        f"notebook {e.name} failed{': ' * bool(e.why)}{e.why}: see {e.output}"
        for e in executions
        if not e.ok
    ]
    return _complain("\n".join(failed), FAILED) if failed else DONE


def claims_command(parsed: argparse.Namespace) -> int:
    """Print every claim; fail if one is not measured and has no reason."""
    if parsed.update:
        try:
            for path in parsed.update:
                claims.update(path)
        except (OSError, ValueError) as error:
            raise BadArgumentsError(error) from None
        return DONE
    ledger = claims.claims()
    if parsed.format == "html":
        from .papers.page import page  # here, since Matplotlib slows every start

        print(page(ledger), end="")
    else:
        print(claims.render(ledger, parsed.format))
    silent = [f"claim {c.id} has no measurement and no reason" for c in ledger if not c.why]
    return _complain("\n".join(silent), FAILED) if silent else DONE


def verify_command(parsed: argparse.Namespace) -> int:
    """Recompute archived tasks and compare."""
    from .runner.verify import verify

    folder = archive_folder()
    kinds = [_kind(name) for name in parsed.names]
    kinds = kinds or [kind for kind in REGISTRY.values() if any(archive.parts(folder, kind.name))]
    seed = parsed.seed or int(np.random.SeedSequence().generate_state(1)[0])
    print(f"chosen with --seed {seed}", file=sys.stderr)
    problems = []
    for kind in kinds:
        rng = np.random.default_rng(seed)
        found = verify(kind, folder, parsed.sample, rng, parsed.workers)
        print("\n  ".join([f"{kind.name}: {found.verdict}", *found.told]))
        problems += [f"{kind.name}: {line}" for line in found.problems or found.missing]
    return _complain("\n".join(problems), FAILED) if problems else DONE


def archive_command(parsed: argparse.Namespace) -> int:
    """Pack the stored paper-scale results of an experiment."""
    kind = _kind(parsed.name)
    store = Store.default()
    fresh = Store(store.results)
    tasks = kind.from_profile("paper").tasks()
    found = [fresh.read(task) or store.read(task) for task in tasks]
    records: list[Record] = [record for record in found if record is not None]
    if len(records) < len(tasks):
        raise MissingResultsError(
            f"{len(tasks) - len(records)} of {len(tasks)} results are missing: "
            f"run `autocrit-lite run {kind.name} --profile paper`"
        )
    for path in archive.pack(archive_folder(), kind.name, "paper", records):
        print(f"{path}  {path.stat().st_size:,} bytes")
    return DONE


def data_command(parsed: argparse.Namespace) -> int:
    """Download the files of MNIST that are missing, and verify all of them."""
    try:
        for path in mnist.fetch(parsed.folder):
            print(f"{path}  {path.stat().st_size:,} bytes, verified")
    except ValueError as error:
        return _complain(error, FAILED)
    return DONE


def archive_folder() -> Path:
    """Return the archive of the checkout."""
    return paths.checkout() / "data" / "archive"


if __name__ == "__main__":
    sys.exit(main())
