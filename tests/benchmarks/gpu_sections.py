"""What the GPU benchmark measures. As a program, with a section and a column, this prints it.

``write_gpu_table.py`` runs each section in a process of its own, and puts together the lines of
JSON that come: each has a "table", a "row", a "column", and "seconds", a "value" or a "text".
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autocrit_lite import FRYE_2021, MLP, NetworkObjective, devices, minres_qlp, newton_mr
from autocrit_lite.datasets.mnist import shipped_digits
from autocrit_lite.devices import to_device, to_numpy
from autocrit_lite.linalg.large_spectra import live_spectrum
from autocrit_lite.networks.initialization import initial_theta
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.runner.store import Store, new_record
from tests.benchmarks.synchronisations import synchronisations

OURS = "autocrit_lite"
OPERATIONS = ("product", "Hessian", "Newton-MR iteration")
AGREEMENT = 1e-10


@dataclass(frozen=True)
class Machine:
    """Where the work is done: how to wait for it, to count such waits, and to free memory."""

    device: str = "cpu"
    synchronise: Callable[[], Any] = lambda: None
    waits: Callable[[], Any] = nullcontext
    release: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Scale:
    """How much is measured. The experiment is Fig. 3 of Frye et al. 2021 at the paper's scale."""

    experiment: MnistAutoencoder = field(default_factory=MnistAutoencoder)
    batches: tuple[int, ...] = (1, 10, 100, 1000)
    newton_iterations: int = 3
    cpu_batch: int = 5
    enough: float = 0.5
    patience: float = 30.0
    matrix: int = 8192
    copied: int = 2**28
    eigenproblems: tuple[tuple[int, int], ...] = ((128, 100), (552, 10), (552, 100))
    pixels: int = 784
    hidden: int = 25
    copies: int = 6

    def objective(self) -> NetworkObjective:
        """Return the loss of Fig. 3 with NumPy data."""
        return self.experiment.objective()

    def starts(self) -> np.ndarray:
        """Return the starts of Fig. 3, from the archive if it has them."""
        task = self.experiment.stages()[0][0]
        record = Store.default().read(task)
        return (task.compute() if record is None else record.arrays)["theta_start"]

    def points(self, count: int) -> np.ndarray:
        """Return so many starts (count, n): beyond theirs, the same ones moved a little."""
        starts = self.starts()
        rng = np.random.default_rng(0)
        times = -(-count // len(starts))
        moved = [starts + 1e-3 * k * rng.normal(size=starts.shape) for k in range(times)]
        return np.concatenate(moved)[:count]


def cupy_machine():
    """Return the GPU as CuPy has it."""
    import cupy

    devices.gpu()

    def release():
        cupy.get_default_memory_pool().free_all_blocks()

    return Machine(
        "gpu",
        lambda: cupy.cuda.Device().synchronize(),
        lambda: synchronisations(cupy.ndarray, cupy),
        release,
    )


def seconds(call, machine, enough):
    """Return the time of the fastest call of those that fit in ``enough`` seconds, after a first.

    The first compiles what it needs. A call of more than three seconds is made once more only.
    """
    call()
    machine.synchronise()
    times = []
    while not times or (sum(times) < enough and times[0] < 3.0):
        start = time.perf_counter()
        call()
        machine.synchronise()
        times.append(time.perf_counter() - start)
    return min(times)


def difference(found, expected):
    """Return the largest difference relative to the largest number."""
    return float(np.max(np.abs(to_numpy(found) - expected)) / np.max(np.abs(expected)))


def check(machine, scale):
    """One linearisation and one solve: the relative differences from the CPU's results."""
    near = scale.objective()
    theta = scale.points(8)
    far, there = near.to_device(machine.device), to_device(theta, machine.device)
    p, q = near.linearize(theta), far.linearize(there)
    v = np.random.default_rng(0).normal(size=theta.shape)
    H, g = p.hessian(), p.gradient
    # a shift that leaves a condition number of about 100, so that rounding is not what decides
    eigenvalues = np.linalg.eigvalsh(H)
    shift = eigenvalues[:, 0] - 0.01 * np.max(np.abs(eigenvalues), axis=1)
    solved = minres_qlp(H, -g, 1e-14, shift=shift).x
    solved_there = minres_qlp(
        q.hessian(), -q.gradient, 1e-14, shift=to_device(shift, machine.device)
    )
    pairs = {
        "loss": (q.value, p.value),
        "gradient": (q.gradient, g),
        "Hessian-vector product": (q.hvp(to_device(v, machine.device)), p.hvp(v)),
        "Hessian": (q.hessian(), H),
        "solution of (H + μ)p = −g": (solved_there.x, solved),
    }
    for row, pair in pairs.items():
        yield {"table": "check", "row": row, "column": "difference", "value": difference(*pair)}


def ceilings(machine, scale):
    """The rates of a product of float64 matrices, and of copying."""
    rng = np.random.default_rng(0)
    A = to_device(rng.normal(size=(scale.matrix, scale.matrix)), machine.device)
    flops = 2.0 * scale.matrix**3 / seconds(lambda: A @ A, machine, scale.enough)
    yield {"table": "ceilings", "row": "matrix product", "column": "rate", "value": flops}
    x = to_device(np.ones(scale.copied), machine.device)
    rate = 16.0 * scale.copied / seconds(lambda: x + 0.0, machine, scale.enough)
    yield {"table": "ceilings", "row": "copy", "column": "rate", "value": rate}


def curvature(machine, scale, objective, column):
    """Times for a point of products, Hessians and iterations of Newton-MR, by batch."""
    for operation in OPERATIONS:
        last, calls = 0.0, 2 * scale.newton_iterations if operation == OPERATIONS[2] else 2
        for count in scale.batches:
            line = {"table": operation, "row": count, "column": column}
            if 10.0 * last * calls > scale.patience:
                yield {**line, "text": "not measured: too long"}
                continue
            try:
                last, more = one_time(operation, machine, scale, objective, count)
                yield {**line, "seconds": last / count}
                if column == OURS:
                    for name, value in more.items():
                        yield {"table": "iterations", "row": count, "column": name, "value": value}
            except Exception as error:  # whatever a library raises, the others are measured
                yield {**line, "text": reason(error)}
                break
            finally:
                machine.release()


def one_time(operation, machine, scale, objective, count):
    """Return the seconds of an operation on a batch, and what else is known of it."""
    theta = objective.asarray(scale.points(count))
    v = objective.asarray(np.random.default_rng(1).normal(size=tuple(theta.shape)))
    if operation == OPERATIONS[2]:

        def call():
            rtol = scale.experiment.rtol
            return newton_mr(objective, theta, scale.newton_iterations, rtol, **FRYE_2021)

        with machine.waits() as waits:
            trace = to_numpy(call())
        k = scale.newton_iterations
        longest = float(np.sum(np.nanmax(trace.solver_iterations[:, :k], axis=0)))
        more = {"solver iterations": longest / k}
        if waits is not None:
            more["waits for the device"] = waits.total / k
        start = time.perf_counter()
        call()
        machine.synchronise()
        return (time.perf_counter() - start) / k, more
    point = objective.linearize(theta)
    calls = {"product": lambda: point.hvp(v), "Hessian": point.hessian}
    return seconds(calls[operation], machine, scale.enough), {}


def reason(error):
    """Return in a few words why something could not be measured."""
    text = f"{type(error).__name__}: {error}".replace("\n", " ").replace("|", "/")
    if "memory" in text.lower() or "RESOURCE_EXHAUSTED" in text:
        return "out of memory"
    return text[:80]


def rate_of_one(operation, scale, count):
    """Return the points a second of one process on one core."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return count / one_time(operation, Machine(), scale, scale.objective(), count)[0]


def all_cores(scale, cores=None):
    """Times for a point with a process on each core."""
    import joblib

    cores = joblib.cpu_count() if cores is None else cores
    with joblib.Parallel(n_jobs=cores) as parallel:
        for operation in OPERATIONS:
            count = scale.cpu_batch if operation == OPERATIONS[2] else 1
            rates = parallel(
                joblib.delayed(rate_of_one)(operation, scale, count) for _ in range(cores)
            )
            line = {"table": operation, "row": count, "column": f"all {cores} cores"}
            yield {**line, "seconds": 1.0 / sum(rates)}


def eigenproblems(machine, scale):
    """Eigendecompositions of a batch in one call, and of one matrix after the other."""
    xp = np if machine.device == "cpu" else devices.gpu().xp
    rng = np.random.default_rng(0)
    for n, count in scale.eigenproblems:
        A = rng.normal(size=(count, n, n))
        H = to_device(A + A.transpose(0, 2, 1), machine.device)
        calls = {
            "in one call": lambda H=H: xp.linalg.eigh(H),
            "one by one": lambda H=H: [xp.linalg.eigh(H[i, :, :]) for i in range(H.shape[0])],
        }
        for name, call in calls.items():
            line = {"table": "eigenproblems", "row": f"n = {n}, B = {count}", "column": name}
            try:
                yield {**line, "seconds": seconds(call, machine, scale.enough) / count}
            except Exception as error:
                yield {**line, "text": reason(error)}
        expected = np.linalg.eigvalsh(to_numpy(H[0, :, :]))
        far = difference(xp.linalg.eigh(H)[0][0, :], expected)
        line = {"table": "eigenproblems", "row": f"n = {n}, B = {count}", "column": "difference"}
        yield {**line, "value": far}


def spectrum(machine, scale):
    """The Hessian of a classifier of MNIST images, and all its eigenvalues.

    The images that are shipped stand for six times as many.
    """
    images, labels = shipped_digits()
    X = images.reshape(len(images), -1)[:, : scale.pixels] / 255.0
    X, labels = np.tile(X - X.mean(axis=0), (scale.copies, 1)), np.tile(labels, scale.copies)
    net = MLP((scale.pixels, scale.hidden, 10), "relu")
    theta = initial_theta(net, "he", np.random.default_rng(0))
    near = NetworkObjective(net, X, labels, loss="cross_entropy")
    objective = near.to_device(machine.device)
    point = objective.linearize(objective.asarray(theta))
    machine.synchronise()
    row = f"n = {net.n_parameters}, N = {len(X)}"
    start = time.perf_counter()
    H = point.hessian()
    machine.synchronise()
    middle = time.perf_counter()
    yield {"table": "spectrum", "row": row, "column": "Hessian", "seconds": middle - start}
    norms, eigenvalues = live_spectrum(H)
    machine.synchronise()
    end = time.perf_counter()
    yield {"table": "spectrum", "row": row, "column": "eigenvalues", "seconds": end - middle}
    yield {"table": "spectrum", "row": row, "column": "both", "seconds": end - start}
    # the sums of squares of a symmetric matrix's eigenvalues and of its elements are equal
    squares = float(np.sum(norms**2))
    far = abs(float(np.sum(eigenvalues**2)) - squares) / squares
    yield {"table": "spectrum", "row": row, "column": "difference", "value": far}


def figure(machine, scale):
    """All searches of Fig. 3, from the starts that the archive has."""
    experiment = replace(scale.experiment, device=machine.device)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), Store.default().archive)
        training, searches = experiment.stages()
        if store.read(training[0]) is None:
            store.write(training[0], new_record(training[0], training[0].compute(), 0.0))
        start = time.perf_counter()
        experiment.run(workers=1, store=store)
        whole = time.perf_counter() - start
        found = [store.read(task).arrays for task in searches]
    runs = sum(len(arrays["iterations"]) for arrays in found)
    row = f"{runs} runs × {experiment.max_iterations} iterations, {len(searches)} batch"
    yield {"table": "figure", "row": row, "column": "seconds", "seconds": whole}
    steps = float(sum(arrays["iterations"].sum() for arrays in found))
    yield {"table": "figure", "row": row, "column": "accepted steps", "value": steps}


def lines(section, column, scale):
    """Yield what a section measures in a column."""
    if section == "peers":
        from tests.benchmarks import gpu_peers

        machine, objective = gpu_peers.PEERS[column](scale.objective())
        return curvature(machine, scale, objective, column)
    if section == "cpu":
        if column == "all cores":
            return all_cores(scale)
        few = replace(scale, batches=scale.batches[:2])
        return curvature(Machine(), few, scale.objective(), column)
    machine = cupy_machine()
    if section == "curvature":
        return curvature(machine, scale, scale.objective().to_device("gpu"), column)
    return globals()[section](machine, scale)


if __name__ == "__main__":
    for line in lines(*sys.argv[1:], Scale()):
        print(json.dumps(line), flush=True)
