"""An experiment of two stages whose tasks can be made slow or fail, for the tests of the runner."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.runner.experiment import Experiment, setting
from autocrit_lite.runner.results import Measured, Results


@dataclass(frozen=True)
class Synthetic(Experiment):
    """Linear systems with one random matrix."""

    name = "synthetic"
    quick: ClassVar = {"runs": 4}

    runs: int = setting(8, "chosen by us", at_least=1)
    size: int = setting(60, "chosen by us", at_least=1)
    seed: int = setting(0, "chosen by us")
    seconds: float = setting(0.0, "chosen by us", at_least=0.0)
    scale: float = setting(1.0, "chosen by us", above=0.0, at_most=10.0)
    layers: tuple[int, ...] = setting((2, 3), "chosen by us", at_least=1)
    window: tuple[float, float] = setting((0.0, 1.0), "chosen by us")
    kind: str = setting("plain", "chosen by us", choices=("plain", "bent"))
    exact: bool = setting(True, "chosen by us")
    limit: int | None = setting(None, "chosen by us", at_least=1)
    trouble: str = setting("", "what happens in run 3", choices=("", "raise", "die", "die once"))
    log: str = setting("", "a file to which every started task adds a line")

    def check(self):
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window must be two growing numbers, not {self.window}")

    def stages(self):
        matrix = self.task(self.matrix, stage="matrix", seed=self.seed, size=self.size)
        shared = {name: getattr(self, name) for name in ("scale", "seconds", "trouble", "log")}
        shared |= {"stage": "run", "matrix": matrix.configuration}
        runs = range(self.runs)
        return [
            [matrix],
            [self.task(partial(self.solve, run), matrix, **shared, run=run) for run in runs],
        ]

    def matrix(self):
        rng = np.random.default_rng(self.seed)
        return {"A": rng.standard_normal((self.size, self.size))}

    def solve(self, run, read):
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{run}\n")
        time.sleep(self.seconds)
        if run == 3 and self.trouble == "raise":
            raise ArithmeticError("no such\nluck")
        died = self.trouble == "die" or (self.trouble == "die once" and _first(self.log))
        if run == 3 and died:
            os.kill(os.getpid(), signal.SIGKILL)
        x = np.linalg.solve(read["A"], np.full(self.size, self.scale * (run + 1)))
        return {"x": x, "end": np.array(run % 3), "large": x > 0.0}

    def gather(self, records):
        runs = [Results.of(record.arrays, {"x": ("unknown",)}) for record in records[1:]]
        return Results.stacked(runs, run=range(self.runs))

    @staticmethod
    def binding(arrays):
        return {name: array for name, array in arrays.items() if name in ("A", "x")}

    @staticmethod
    def distributions(arrays):
        return {"end": np.atleast_1d(arrays["end"])} if "end" in arrays else {}

    def claims(self, results, store=None):
        return {"f21-quartic-basin": Measured(len(results["x"]), "differs", "synthetic")}


def _first(log):
    return Path(log).read_text().split().count("3") == 1


def main():
    """Run the command with this experiment: for tests that need a process of its own."""
    from autocrit_lite.cli import main as command

    REGISTRY["synthetic"] = sys.modules["tests.synthetic"].Synthetic
    # a shell's background job ignores Ctrl-C, and what it starts does so too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return command(sys.argv[1:])


if __name__ == "__main__":
    import tests.synthetic

    sys.exit(tests.synthetic.main())
