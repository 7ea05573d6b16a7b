"""JAX and PyTorch as objectives: their derivatives, in the same solver and the same finder.

A finder's arrays stay CuPy's (or NumPy's, on a CPU) and are handed over without a copy.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.gpu_sections import Machine, cupy_machine


def network_loss(net, theta, X, Y, sigmoid):
    """Return the mean squared error of a swish network at one θ (n,), in any library."""
    a = X
    for layer, ((weights, biases), shape) in enumerate(zip(net.slices, net.shapes, strict=True)):
        if layer:
            a = a * sigmoid(a)
        a = a @ theta[weights].reshape(shape).T + theta[biases]
    return ((a - Y) ** 2).mean()


@dataclass
class Peer:
    """A loss whose derivatives another library makes, at a batch of points."""

    asarray: Any  # NumPy -> the finder's arrays
    give: Any  # the finder's arrays -> the library's
    take: Any  # and back
    value_and_gradient_of: Any
    product: Any
    hessians: Any
    hessian_cost: float

    def value_and_gradient(self, theta):
        value, gradient = self.value_and_gradient_of(self.give(theta))
        return self.take(value), self.take(gradient)

    def linearize(self, theta):
        return PeerPoint(self, self.give(theta), *self.value_and_gradient(theta))


@dataclass
class PeerPoint:
    peer: Peer
    theta: Any
    value: Any
    gradient: Any

    def hvp(self, v):
        return self.peer.take(self.peer.product(self.theta, self.peer.give(v)))

    def hessian(self):
        return self.peer.take(self.peer.hessians(self.theta))


def handing_over(on_gpu):
    """Return the machine of the finder's arrays, and how to make them of NumPy's and others."""
    if not on_gpu:
        return Machine(), np.asarray, np.from_dlpack
    import cupy

    return cupy_machine(), cupy.asarray, cupy.from_dlpack


def jax_peer(objective, on_gpu=True):
    """``jax.jit`` of everything, ``jax.vmap`` over points; dense Hessians one after the other."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    if on_gpu and jax.default_backend() != "gpu":
        raise RuntimeError("JAX finds no GPU")
    X, Y = (jnp.asarray(array) for array in objective._data)

    def f(theta):
        return network_loss(objective.net, theta, X, Y, jax.nn.sigmoid)

    def product(theta, v):
        return jax.jvp(jax.grad(f), (theta,), (v,))[1]

    machine, asarray, take = handing_over(on_gpu)
    hessian = jax.hessian(f)

    def give(x):
        machine.synchronise()  # JAX computes in a stream of its own
        return jnp.from_dlpack(x)

    return machine, Peer(
        asarray,
        give,
        lambda x: take(x.block_until_ready()),
        jax.jit(jax.vmap(jax.value_and_grad(f))),
        jax.jit(jax.vmap(product)),
        jax.jit(lambda theta: jax.lax.map(hessian, theta)),
        float(objective.net.n_parameters),
    )


def torch_peer(objective, on_gpu=True):
    """``torch.func``: ``vmap`` over points; dense Hessians 64 columns of a point at a time."""
    import torch

    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no GPU")
    device = "cuda" if on_gpu else "cpu"
    X, Y = (torch.as_tensor(array, device=device) for array in objective._data)
    n = objective.net.n_parameters

    def f(theta):
        return network_loss(objective.net, theta, X, Y, torch.sigmoid)

    gradient = torch.func.grad(f)

    def product(theta, v):
        return torch.func.jvp(gradient, (theta,), (v,))[1]

    def hessian(theta):
        columns = torch.func.vmap(lambda v: product(theta, v), chunk_size=64)
        return columns(torch.eye(n, dtype=torch.float64, device=device))

    def value_and_gradient(theta):
        gradient, value = torch.func.vmap(torch.func.grad_and_value(f))(theta)
        return value, gradient

    machine, asarray, take = handing_over(on_gpu)

    def back(x):
        if on_gpu:
            torch.cuda.synchronize()
        return take(x.detach().contiguous())

    return machine, Peer(
        asarray,
        torch.from_dlpack,
        back,
        value_and_gradient,
        torch.func.vmap(product),
        lambda theta: torch.stack([hessian(row) for row in theta]),
        float(n),
    )


PEERS = {"JAX": jax_peer, "PyTorch": torch_peer}
