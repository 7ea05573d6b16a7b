"""Check on a GPU that everything which follows its arrays finds there what it finds on the CPU.

It needs the package's folder, NumPy, SciPy, pandas, autograd, array-api-compat, threadpoolctl,
joblib and CuPy, and no test runner. It prints a line for each check and exits with 1 if one fails.
"""

import sys
import time
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import autocrit_lite as al
from autocrit_lite.devices import require_device, to_device, to_numpy

LOSSES = ("mse", "cross_entropy", "softmax_mse")
ACTIVATIONS = ("linear", "swish", "tanh", "sigmoid", "softplus", "relu")


def index_targeted_newton(objective, theta, **options):
    """Search for points of index 1."""
    return al.index_targeted_newton(objective, theta, index=1, **options)


FINDERS = (
    al.newton_mr,
    al.newton_tr,
    al.gradient_norm_minimization,
    al.exact_newton,
    al.damped_newton,
    al.levenberg_marquardt,
    al.saddle_free_newton,
    index_targeted_newton,
)
TOLERANCE = 1e-10
"""Of a difference relative to the largest number: well conditioned problems lose few digits."""


def difference(found, expected):
    """Return the largest difference of an array from NumPy's, relative to the largest number."""
    assert type(found).__module__.startswith("cupy"), "the result left the GPU"
    return np.max(np.abs(to_numpy(found) - expected)) / max(np.max(np.abs(expected)), 1e-300)


def curvature(activation, loss, batch):
    """Value, gradient, products and matrices of a network's loss."""
    rng = np.random.default_rng(0)
    net = al.MLP((5, 4, 6, 3), activation)
    X = rng.normal(size=(200, 5))
    Y = rng.normal(size=(200, 3)) if loss == "mse" else rng.integers(0, 3, 200)
    near = al.NetworkObjective(net, X, Y, loss=loss, l2=1e-2)
    far, shape = near.to_device("gpu"), (*batch, net.n_parameters)
    theta, v, block = (rng.normal(size=s) for s in (shape, shape, (*batch, 3, shape[-1])))
    p, q = near.linearize(theta), far.linearize(far.asarray(theta))
    pairs = [
        (q.value, p.value),
        (q.gradient, p.gradient),
        (q.hessian(), p.hessian()),
        (far.value_and_gradient(far.asarray(theta))[1], p.gradient),
    ]
    for u in (v, block):
        pairs.append((q.hvp(far.asarray(u)), p.hvp(u)))
    return max(difference(*pair) for pair in pairs)


def solver(n, rank, batch, dense):
    """Systems, singular or not: the kernel where they are stacks of matrices, else the text."""
    rng = np.random.default_rng(n + rank)
    spectra = np.zeros((batch, n))
    spectra[:, :rank] = rng.choice([-1.0, 1.0], (batch, rank)) * rng.uniform(0.5, 2, (batch, rank))
    Q = np.linalg.qr(rng.normal(size=(batch, n, n)))[0]
    A = (Q * spectra[:, None, :]) @ Q.transpose(0, 2, 1)
    A = 0.5 * (A + A.transpose(0, 2, 1))
    b = rng.normal(size=(batch, n))
    b[::2] = (A @ b[:, :, None])[::2, :, 0]
    exact = np.stack(
        [np.linalg.pinv(a, 1e-8, hermitian=True) @ x for a, x in zip(A, b, strict=True)]
    )
    far, there = to_device(A, "gpu"), to_device(b, "gpu")
    if dense:
        return difference(al.minres_qlp(far, there, 1e-13).x, exact)
    if batch == 1:
        return difference(al.minres_qlp(far[0, :, :], there[0, :], 1e-13).x[None, :], exact)
    return difference(
        al.minres_qlp(lambda v: (far @ v[:, :, None])[:, :, 0], there, 1e-13).x, exact
    )


def finder(find, batch):
    """A few iterations on a loss whose Hessians are well conditioned."""
    rng = np.random.default_rng(3)
    net = al.MLP((3, 2, 3))
    X = rng.normal(size=(30, 3))
    near = al.NetworkObjective(net, X, X, l2=30.0)
    theta = 0.5 * rng.normal(size=(*batch, net.n_parameters))
    far = near.to_device("gpu")
    expected = find(near, theta, max_iterations=3)
    found = find(far, far.asarray(theta), max_iterations=3)
    here = to_numpy(found)
    assert np.array_equal(here.stop_reason, expected.stop_reason)
    assert np.array_equal(here.iterations, expected.iterations)
    # relative to the start, since the iterates shrink to the minimum at zero
    far_off = np.max(np.abs(here.theta - expected.theta)) / np.max(np.abs(theta))
    return max(far_off, difference(found.value, expected.value))


def spectrum():
    """All eigenvalues of a dense Hessian, less its zero rows."""
    from autocrit_lite.linalg.large_spectra import live_spectrum

    rng = np.random.default_rng(4)
    A = rng.normal(size=(90, 90))
    A += A.T
    A[:, 7] = A[7, :] = 0.0
    _, found = live_spectrum(to_device(A, "gpu"))
    expected = np.linalg.eigvalsh(np.delete(np.delete(A, 7, 0), 7, 1))
    return np.max(np.abs(found - expected)) / np.max(np.abs(expected))


def experiment():
    """A quick experiment's starts on a GPU are those of the CPU, and so is what binds it."""
    import tempfile
    from dataclasses import replace

    from autocrit_lite.papers.frye_2021.random_labels import RandomLabels
    from autocrit_lite.runner.store import Store

    small = RandomLabels.from_profile(
        "quick", trajectories=1, starts=2, epochs=20, max_iterations=2, batch=2
    )
    found = []
    for device in ("cpu", "gpu"):
        with tempfile.TemporaryDirectory() as folder:
            store, chosen = Store(Path(folder)), replace(small, device=device)
            chosen.run(workers=1, store=store)
            arrays = [store.read(task).arrays for task in chosen.tasks()]
            found.append([chosen.binding(each) for each in arrays])
    assert len(found[0]) == len(found[1])
    return max(
        np.max(np.abs(ours[name] - theirs[name]))
        for ours, theirs in zip(*found, strict=True)
        for name in theirs
    )


def checks():
    """Yield the name of each check with the call that makes it."""
    for activation in ACTIVATIONS:
        for loss in LOSSES:
            for batch in ((), (4,)):
                name = f"curvature of {activation}, {loss}, batch {batch}"
                yield name, lambda a=activation, x=loss, b=batch: curvature(a, x, b)
    for n, rank in ((40, 40), (40, 30), (300, 300), (300, 200)):
        for batch, dense in ((1, True), (7, True), (1, False), (7, False)):
            name = (
                f"solver, n = {n}, rank {rank}, {batch} systems, {'dense' if dense else 'products'}"
            )
            yield name, lambda n=n, r=rank, b=batch, d=dense: solver(n, r, b, d)
    for find in FINDERS:
        for batch in ((), (4,)):
            yield f"{find.__name__}, batch {batch}", lambda f=find, b=batch: finder(f, b)
    yield "spectrum", spectrum
    yield "experiment", experiment


def main():
    """Make all checks; return the exit status."""
    require_device("gpu")
    failed = 0
    for name, check in checks():
        start = time.perf_counter()
        try:
            far = check()
            text = f"differs by {far:.1e}"
            passed = far <= TOLERANCE
        except Exception:
            text, passed = traceback.format_exc(), False
        failed += not passed
        seconds = time.perf_counter() - start
        print(f"{'ok' if passed else 'FAILED'}  {name}: {text} ({seconds:.1f} s)", flush=True)
    print(f"{failed} failed" if failed else "all passed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
