"""The same losses and derivatives by autocrit_lite, autograd, JAX, PyTorch and curvlinops.

Each peer is a function of a problem that returns, under "product", "gradient" and "Hessian", calls
that compute them at the problem's point. As a program, with the name of a peer and of a problem,
this times the calls. Each peer imports its library itself, and is to be timed in its own process:
autocrit_lite, for one, changes how the C library hands out memory, from which autograd profits.
"""

import json
import sys
import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A network of the papers; ``name`` says which."""

    name: str
    layers: tuple
    activation: str
    bias: bool
    loss: str
    l2: float
    n_samples: int = 10_000

    @property
    def data(self):
        """Inputs, targets or labels, a point, and a direction, the same in every process."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(self.n_samples, self.layers[0]))
        Y = X if self.loss == "mse" else rng.integers(0, self.layers[-1], self.n_samples)
        n = sum(q * (p + self.bias) for p, q in zip(self.layers, self.layers[1:], strict=False))
        return X, Y, rng.normal(size=n) / 3.0, rng.normal(size=n)

    def layer_parameters(self, theta):
        """Return weights and biases of each layer: any library's slices of θ."""
        start, found = 0, []
        for n_in, n_out in zip(self.layers, self.layers[1:], strict=False):
            middle = start + n_in * n_out
            stop = middle + n_out * self.bias
            W = theta[start:middle].reshape(n_out, n_in)
            found.append((W, theta[middle:stop] if self.bias else None))
            start = stop
        return found


# Frye et al. 2019; 2021, Figs 1C-D, 3, 4 and 5. The papers do not print λ.
PROBLEMS = [
    Problem("16-4-16 linear", (16, 4, 16), "linear", False, "mse", 0.0),
    Problem("16-16-4-16 swish", (16, 16, 4, 16), "swish", False, "mse", 1e-3),
    Problem("16-8-16-16 swish", (16, 8, 16, 16), "swish", True, "mse", 0.0),
    Problem("16-12-8-10 swish", (16, 12, 8, 10), "swish", True, "cross_entropy", 1e-3),
    Problem("32-32-4-2 swish", (32, 32, 4, 2), "swish", False, "cross_entropy", 1e-3, 50),
]

OPERATIONS = ("gradient", "product", "Hessian")
EXPONENTIALS = 40_000
"""How many numbers ``exponentials`` is timed on: a layer's units times samples of a chunk."""
COLUMNS = 64
"""Columns of a Hessian at once, where a peer lets its user choose: all take many gigabytes."""


def autocrit_lite(problem, points=1, **options):
    """Linearised once, as the finders do; the gradient is that of a line search."""
    from autocrit_lite import MLP, NetworkObjective

    X, Y, theta, v = problem.data
    if points > 1:
        theta, v = (np.stack([x * (1.0 + i / points) for i in range(points)]) for x in (theta, v))
    net = MLP(problem.layers, problem.activation, problem.bias)
    objective = NetworkObjective(net, X, Y, problem.loss, problem.l2, **options)
    point = objective.linearize(theta)
    return {
        "product": lambda: point.hvp(v),
        "gradient": lambda: objective.value_and_gradient(theta)[1],
        "Hessian": point.hessian,
    }


def of_linear_network(**options):
    """Return ``autocrit_lite`` with other options, for the linear network alone."""

    def peer(problem):
        return autocrit_lite(problem, **options) if problem.activation == "linear" else {}

    return peer


def network(problem, theta, X, sigmoid, linear):
    """Return the outputs, in any library."""
    a = X
    for layer, (W, b) in enumerate(problem.layer_parameters(theta)):
        if layer and problem.activation == "swish":
            a = a * sigmoid(a)
        a = linear(a, W, b)
    return a


def autograd(problem):
    """``autograd.hessian_vector_product``, ``grad`` and ``hessian``."""
    import autograd.numpy as anp
    from autograd import grad, hessian, hessian_vector_product

    X, Y, theta, v = problem.data

    def linear(a, W, b):
        return a @ W.T if b is None else a @ W.T + b

    def f(theta):
        Z = network(problem, theta, X, lambda z: 0.5 * (1.0 + anp.tanh(0.5 * z)), linear)
        if problem.loss == "mse":
            value = anp.mean((Z - Y) ** 2)
        else:
            Z = Z - anp.max(Z, axis=1, keepdims=True)
            total = anp.log(anp.sum(anp.exp(Z), axis=1))
            value = anp.mean(total - Z[anp.arange(len(Y)), Y])
        return value + problem.l2 * anp.mean(theta**2)

    product, gradient, dense = hessian_vector_product(f), grad(f), hessian(f)
    return {
        "product": lambda: product(theta, v),
        "gradient": lambda: gradient(theta),
        "Hessian": lambda: dense(theta),
    }


def _jax(problem):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    X, Y, theta, v = map(jnp.asarray, problem.data)

    def linear(a, W, b):
        return a @ W.T if b is None else a @ W.T + b

    def f(theta):
        Z = network(problem, theta, X, jax.nn.sigmoid, linear)
        if problem.loss == "mse":
            value = jnp.mean((Z - Y) ** 2)
        else:
            log_p = jax.nn.log_softmax(Z)
            value = -jnp.mean(jnp.take_along_axis(log_p, Y[:, None], axis=1))
        return value + problem.l2 * jnp.mean(theta**2)

    return jax, f, theta, v


def jax(problem):
    """``jax.jit`` of everything; a product is forward over reverse mode."""
    jax, f, theta, v = _jax(problem)
    gradient = jax.jit(jax.grad(f))
    dense = jax.jit(jax.hessian(f)).lower(theta).compile()
    product = jax.jit(lambda theta, v: jax.jvp(jax.grad(f), (theta,), (v,))[1])
    return {
        "product": lambda: product(theta, v).block_until_ready(),
        "gradient": lambda: gradient(theta).block_until_ready(),
        "Hessian": lambda: dense(theta).block_until_ready(),
    }


def jax_linearized(problem):
    """``jax.linearize`` of the gradient once, then its linear map compiled."""
    jax, f, theta, v = _jax(problem)
    product = jax.jit(jax.linearize(jax.grad(f), theta)[1])
    return {"product": lambda: product(v).block_until_ready()}


def _torch(problem):
    import torch
    from torch.nn import functional

    torch.set_default_dtype(torch.float64)
    X, Y, theta, v = map(torch.from_numpy, problem.data)

    def f(theta):
        Z = network(problem, theta, X, torch.sigmoid, functional.linear)
        # written out, since mse_loss has no forward-mode derivative of its gradient
        squared = problem.loss == "mse"
        value = torch.mean((Z - Y) ** 2) if squared else functional.cross_entropy(Z, Y)
        return value + problem.l2 * torch.mean(theta**2)

    return torch, f, theta, v


def torch_double_backward(problem):
    """``torch.autograd.grad`` of the gradient, whose graph is kept."""
    torch, f, theta, v = _torch(problem)
    theta = theta.clone().requires_grad_()
    (kept,) = torch.autograd.grad(f(theta), theta, create_graph=True)
    return {
        "product": lambda: torch.autograd.grad(kept, theta, v, retain_graph=True)[0],
        "gradient": lambda: torch.autograd.grad(f(theta), theta)[0],
        "Hessian": lambda: torch.autograd.functional.hessian(f, theta),
    }


def torch_func(problem):
    """``torch.func``: ``jvp`` of ``grad``, ``grad``, and forward over reverse mode."""
    torch, f, theta, v = _torch(problem)
    gradient = torch.func.grad(f)

    def product(v):
        return torch.func.jvp(gradient, (theta,), (v,))[1]

    dense = torch.func.vmap(product, chunk_size=COLUMNS)
    return {
        "product": lambda: product(v),
        "gradient": lambda: gradient(theta),
        "Hessian": lambda: dense(torch.eye(len(theta))),
    }


def curvlinops(problem):
    """``HessianLinearOperator`` on the data as one batch, times a vector or columns of 1."""
    torch, _, theta, v = _torch(problem)
    from curvlinops import HessianLinearOperator
    from torch import nn

    # silu and mse_loss have no forward-mode derivative of their gradients
    class Swish(nn.Module):
        def forward(self, z):
            return z * torch.sigmoid(z)

    class SquaredError(nn.MSELoss):
        def forward(self, Z, Y):
            return torch.mean((Z - Y) ** 2)

    modules = []
    for layer, (W, b) in enumerate(problem.layer_parameters(theta)):
        if layer and problem.activation == "swish":
            modules.append(Swish())
        module = nn.Linear(W.shape[1], W.shape[0], bias=problem.bias)
        module.weight.data = W.clone()
        if problem.bias:
            module.bias.data = b.clone()
        modules.append(module)
    model = nn.Sequential(*modules)
    X, Y, *_ = map(torch.from_numpy, problem.data)
    loss = SquaredError() if problem.loss == "mse" else nn.CrossEntropyLoss()
    H = HessianLinearOperator(
        model, loss, list(model.parameters()), [(X, Y)], check_deterministic=False
    )
    penalty, columns = 2.0 * problem.l2 / len(theta), torch.eye(len(theta)).split(COLUMNS, dim=1)
    return {
        "product": lambda: (H @ v + penalty * v).detach(),
        "Hessian": lambda: torch.cat([H @ e + penalty * e for e in columns], dim=1).detach(),
    }


def autograd_keeping_memory(problem):
    """autograd where the C library keeps freed memory, as it does beside autocrit_lite."""
    np.empty(31 * 2**20, dtype=np.uint8)
    return autograd(problem)


PEERS = {
    "autocrit_lite": autocrit_lite,
    "threads in BLAS": autocrit_lite,
    "without compression": of_linear_network(compress=False),
    "64 points": of_linear_network(points=64),
    "64 points without compression": of_linear_network(points=64, compress=False),
    "autograd": autograd,
    "autograd, memory kept": autograd_keeping_memory,
    "JAX, jit": jax,
    "JAX, linearized": jax_linearized,
    "PyTorch, double backward": torch_double_backward,
    "torch.func": torch_func,
    "curvlinops": curvlinops,
}


def matrix_product(n):
    """Return a product of two n × n matrices, as a call."""
    A = np.random.default_rng(0).normal(size=(n, n))
    return lambda: A @ A


def exponentials(n):
    """Return exp of n numbers, as a call that makes no array."""
    x = np.random.default_rng(0).normal(size=n)
    y = np.empty_like(x)
    return lambda: np.exp(x, out=y)


def seconds(call):
    """Return the result of a call, and the time of the fastest of those that fit in half a second.

    The fastest is what the machine's other work disturbs least. A call of more than three seconds
    is made once; a shorter one not less than five times after a first.
    """
    times = []
    while len(times) < 6 or sum(times) < 0.5:
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
        if times[0] > 3.0:
            break
    return np.asarray(result), min(times[1:] or times)


def main(name, problem, *operations):
    """Print, for some operations of a peer, their seconds and v·g or v·Hv, as JSON."""
    calls = PEERS[name](problem)
    *_, v = problem.data
    found = {}
    for operation in operations:
        if operation in calls:
            result, time = seconds(calls[operation])
            while result.shape[:1] != v.shape:
                result = result[0]  # of a batch, the problem's own point
            checksum = v @ result @ v if result.ndim == 2 else v @ result
            found[operation] = [time, float(checksum)]
    found["matrix product"] = [seconds(matrix_product(1024))[1], None]
    found["exponentials"] = [seconds(exponentials(EXPONENTIALS))[1], None]
    print(json.dumps(found))


if __name__ == "__main__":
    _, peer, network_name, *names = sys.argv
    main(peer, next(problem for problem in PROBLEMS if problem.name == network_name), *names)
