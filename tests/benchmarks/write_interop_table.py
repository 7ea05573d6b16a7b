"""Time a product through TorchObjective and JaxObjective beside the same by the library alone.

It writes figures/benchmarks_interop.md, and needs the packages of requirements-bench.txt.
"""

import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402

NETWORKS = ((16, 24, 16, 16), (784, 125, 10))
N_SAMPLES = 1000
ROUNDS, SECONDS = 30, 10.0
"""At least so many rounds, and as many more as fit into the time."""
LIBRARIES = ("numpy", "torch", "jax", "jaxlib")
INTRODUCTION = f"""\
# A product through an adapter and by the library alone

One Hessian-vector product at a point that is linearised: by PyTorch's or JAX's own calls, and
through `TorchObjective` or `JaxObjective`, given the library's arrays and given NumPy's, as a
finder gives them. Fully connected networks with tanh and squared error on {N_SAMPLES} samples, in
float64. The three alternate; the time is the processor's, of all threads, which other work on the
machine disturbs least, and the median of the rounds. What an adapter adds is in brackets, the
median of what it adds in a round.
"""


def data(layers):
    """Return inputs, targets, a point and a vector."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(N_SAMPLES, layers[0])), rng.normal(size=(N_SAMPLES, layers[-1]))
    n = sum(q * (p + 1) for p, q in pairwise(layers))
    return X, Y, rng.normal(size=n) / np.sqrt(layers[0]), rng.normal(size=n)


def pytorch(layers):
    """Return the three products, as calls that return NumPy arrays when they are converted."""
    import torch

    X, Y, theta, v = data(layers)
    parts = []
    for n_in, n_out in pairwise(layers):
        parts += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    module = torch.nn.Sequential(*parts[:-1]).double()
    objective = al.TorchObjective(module, torch.nn.MSELoss(), (X, Y))
    leaf = torch.tensor(theta, requires_grad=True)
    inputs, targets = torch.tensor(X), torch.tensor(Y)
    sizes = [p.numel() for p in module.parameters()]
    pieces = zip(module.named_parameters(), leaf.split(sizes), strict=True)
    state = {name: piece.view(p.shape) for (name, p), piece in pieces}
    loss = torch.nn.functional.mse_loss(
        torch.func.functional_call(module, state, (inputs,)), targets
    )
    (kept,) = torch.autograd.grad(loss, leaf, create_graph=True)
    point, own = objective.linearize(theta), torch.tensor(v)
    return (
        lambda: torch.autograd.grad(kept, leaf, own, retain_graph=True)[0],
        lambda: point.hvp(own),
        lambda: point.hvp(v),
    )


def jax(layers):
    """Return the three products, as calls that wait for their results."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    X, Y, theta, v = data(layers)
    inputs, targets, own = map(jnp.asarray, (X, Y, v))

    def f(theta):
        start, a = 0, inputs
        for layer, (n_in, n_out) in enumerate(pairwise(layers)):
            middle, stop = start + n_in * n_out, start + (n_in + 1) * n_out
            a = jnp.tanh(a) if layer else a
            a = a @ theta[start:middle].reshape(n_out, n_in).T + theta[middle:stop]
            start = stop
        return jnp.mean((a - targets) ** 2)

    product = jax.jit(jax.linearize(jax.grad(f), jnp.asarray(theta))[1])
    point = al.JaxObjective(f, jnp.asarray(theta)).linearize(theta)
    return (
        lambda: product(own).block_until_ready(),
        lambda: point.hvp(own).block_until_ready(),
        lambda: point.hvp(v),
    )


def timed(calls):
    """Return the median processor time of the first call, and of all calls relative to it."""
    first = [np.asarray(call()) for call in calls]
    for other in first[1:]:
        assert np.allclose(other, first[0], rtol=1e-9, atol=1e-12 * np.max(np.abs(first[0])))
    times, begin = [], time.perf_counter()
    while len(times) < ROUNDS or time.perf_counter() - begin < SECONDS:
        row = []
        for call in calls:
            start = time.process_time()
            call()
            row.append(time.process_time() - start)
        times.append(row)
    times = np.array(times)
    return np.median(times[:, 0]), np.median(times / times[:, :1], axis=0)


def main():
    """Write the table."""
    load = os.getloadavg()[0]
    lines = ["| | n | alone | its arrays | NumPy arrays |", "|---|---:|---:|---:|---:|"]
    for name, peer in (("PyTorch", pytorch), ("JAX", jax)):
        for layers in NETWORKS:
            alone, (_, *ratios) = timed(peer(layers))
            cells = [f"{1e3 * alone * r:.3g} ms ({100.0 * (r - 1.0):+.0f} %)" for r in ratios]
            n = len(data(layers)[2])
            lines.append(f"| {name} | {n} | {1e3 * alone:.3g} ms | {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    threads = os.environ.get("OMP_NUM_THREADS", "as many as they like")
    where = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()}, "
        f"{versions}, threads: {threads}, on {os.cpu_count()} cores, of which other work kept "
        f"{load:.1f} busy (the load average at the start)."
    )
    path = ROOT / "figures" / "benchmarks_interop.md"
    path.write_text("\n".join([INTRODUCTION, *lines, "", where, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
