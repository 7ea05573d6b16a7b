"""The loss of a PyTorch module on data as an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import float_array, integer
from ..networks.torch_modules import known_loss, mlp_of, torch_library
from .library import LibraryObjective, Product

SAME = 1e-6
"""Two evaluations at the same θ may differ by so much, relatively: chosen by us, above the order of
sums on a GPU and below what dropout does."""


class TorchObjective(LibraryObjective):
    """The loss of a PyTorch module on data, as a function of the module's parameters.

    Gradient and products are those of ``torch.autograd``. ``linearize`` keeps the graph of the
    gradient, through which each product goes once backward; of the ways that PyTorch has to a
    product that is the fastest (``figures/benchmarks.md``).

    θ holds the parameters that require a gradient in the order of ``module.named_parameters()``,
    each in C order; one that is used in several places is there once. Frozen parameters and buffers
    stay as they are.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode if it has dropout or batch normalisation. The objective keeps a copy of
        its own, on the module's device and in its kind of numbers: call ``module.double()`` first,
        unless float32 is meant, in which a gradient has about 7 digits.
    loss : callable
        Takes the module's outputs and the targets, and returns a scalar, such as
        ``torch.nn.MSELoss()`` or ``torch.nn.functional.cross_entropy``.
    data : pair of array
        X (N, ...), which the module takes, and the targets Y (N, ...): tensors or NumPy arrays.
        Numbers with a point are taken in the module's kind of numbers, integers as they are.
    chunk_size : int, optional
        Goes through the samples so many at a time, to bound the memory of a product. The loss must
        then be a mean or a sum over samples. By default all at once.

    Attributes
    ----------
    n_parameters : int
        The length n of θ. The parameters given are ``objective.theta``, a NumPy array (n,).
    hint : str
        What makes the search better or faster, in a sentence; empty if nothing is known.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If an argument is not as described: the message names the layer that draws at random, uses
        batch statistics or changes its buffers, the loss that returns no scalar or does not depend
        on the parameters, the data that holds NaN.

    Notes
    -----
    A batch of points (B, n) goes through the module together (``torch.vmap``) if the module allows
    that, one by one otherwise, and so do the columns of a dense Hessian.

    Examples
    --------
    ::

        module = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(72, 10)
        ).double()
        objective = al.TorchObjective(module, torch.nn.CrossEntropyLoss(), (images, labels))
        trace = al.newton_mr(objective, objective.theta, 50)
    """

    library = "PyTorch"

    def __init__(
        self,
        module: Any,
        loss: Callable[[Any, Any], Any],
        data: tuple[Array, Array],
        *,
        chunk_size: int | None = None,
    ) -> None:
        self._torch = torch = torch_library("TorchObjective")
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module must be a torch.nn.Module, not {module!r}")
        if not callable(loss):
            raise TypeError(f"loss must be callable, not {loss!r}")
        _require_no_batch_effects(torch, module)
        self._module, self._loss = deepcopy(module), loss
        parameters = {k: p for k, p in self._module.named_parameters() if p.requires_grad}
        if not parameters:
            raise ValueError("module must have parameters that require a gradient")
        kinds = {(p.dtype, p.device) for p in self._module.parameters()}
        if len(kinds) > 1:
            raise ValueError(f"module must have parameters of one dtype on one device, not {kinds}")
        ((self._dtype, self._device),) = kinds
        if self._dtype not in (torch.float64, torch.float32):
            raise TypeError(f"module must be of float64 or float32, not {self._dtype}")
        self._names = list(parameters)
        self._shapes = [p.shape for p in parameters.values()]
        self._sizes = [p.numel() for p in parameters.values()]
        self.n_parameters = sum(self._sizes)
        self._chunks = self._data(data, chunk_size)
        self._require_repeats()
        if len(self._chunks) > 1:
            self._weigh()
        self.hint = self._hint()

    def __repr__(self) -> str:
        """Return what it is in a line, and the hint if there is one."""
        kind = f"{str(self._dtype).removeprefix('torch.')} on {self._device}"
        return f"TorchObjective of {self.n_parameters} parameters, {kind}. {self.hint}".rstrip()

    def unflatten(self, theta: Array) -> dict[str, Any]:
        """Return the parameters at theta (n,), tensors by name.

        ``module.load_state_dict(objective.unflatten(theta), strict=False)`` puts them into a
        module.

        Raises
        ------
        TypeError, ValueError
            If theta is not real, not of shape (n,), or of a third library.
        """
        return dict(self._parameters(self.one_point(theta).clone()))

    # --- arrays ---

    def _theta0(self) -> Array:
        parameters = dict(self._module.named_parameters())
        return self._torch.cat([parameters[name].detach().reshape(-1) for name in self._names])

    def _is_own(self, array: Any) -> bool:
        return isinstance(array, self._torch.Tensor)

    def _own(self, array: Array) -> Array:
        if isinstance(array, np.ndarray):  # which may be read-only, so that it is copied
            array = self._torch.from_numpy(np.array(array, order="C"))
        return array.detach().to(device=self._device, dtype=self._dtype)

    def _numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array.detach().cpu().numpy(), dtype=np.float64)

    # --- the loss ---

    def _parameters(self, theta: Array) -> Iterator[tuple[str, Any]]:
        parts = self._torch.split(theta, self._sizes)
        for name, part, shape in zip(self._names, parts, self._shapes, strict=True):
            yield name, part.view(shape)

    def _losses(self, theta: Array, X: Any, Y: Any) -> Array:
        """Return the loss of a chunk at theta (n,) or (B, n)."""

        def at(point: Array) -> Array:
            parameters = dict(self._parameters(point))
            outputs = self._torch.func.functional_call(self._module, parameters, (X,))
            return self._loss(outputs, Y)

        return at(theta) if theta.ndim == 1 else self._torch.vmap(at)(theta)

    def _evaluate(self, theta: Array) -> tuple[Array, ...]:
        value, gradients, _ = self._gradients(theta, keep=False)
        return value, sum(gradients)

    def _linearize(self, theta: Array) -> tuple[Array, Array, Product]:
        value, gradients, leaf = self._gradients(theta, keep=True)
        grad, zeros_like = self._torch.autograd.grad, self._torch.zeros_like

        def product(v: Array, block: bool) -> Array:
            def of(v: Array, block: bool) -> Array:
                parts = [
                    grad(g, leaf, v, retain_graph=True, is_grads_batched=block)[0]
                    for g in gradients
                    if g.requires_grad
                ]
                return sum(parts[1:], parts[0]) if parts else zeros_like(v)

            if not block:
                return of(v, False)
            try:
                return of(v, True)
            except Exception:  # an operation that takes no block
                return self._torch.stack([of(row, False) for row in v])

        return value, sum(g.detach() for g in gradients), product

    def _gradients(self, theta: Array, keep: bool) -> tuple[Array, list[Array], Array]:
        """Return the loss, its gradients in the chunks, and the θ of their graph."""
        value, gradients = 0.0, []
        with self._torch.enable_grad():
            leaf = theta.detach().clone().requires_grad_()  # the graph holds views of it
            for X, Y, weight in self._chunks:
                losses = self._losses(leaf, X, Y)
                losses = losses if weight == 1.0 else weight * losses
                (g,) = self._torch.autograd.grad(losses.sum(), leaf, create_graph=keep)
                gradients.append(g)
                value = value + losses.detach()
        return value, gradients, leaf

    # --- what is checked at the start ---

    def _data(self, data: Any, chunk_size: int | None) -> list[tuple[Any, Any, float]]:
        """Return the data in chunks (X, Y, weight), on the device and in the module's numbers."""
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise TypeError("data must be a pair (X, Y) of tensors or arrays")
        X, Y = (self._samples(name, array) for name, array in zip("XY", data, strict=True))
        N = X.shape[0]
        if N == 0 or Y.shape[0] != N:
            raise ValueError(f"X and Y must hold as many samples, 1 or more, not {N}, {Y.shape[0]}")
        size = N if chunk_size is None else integer("chunk_size", chunk_size, at_least=1)
        return [(x, y, x.shape[0] / N) for x, y in zip(X.split(size), Y.split(size), strict=True)]

    def _samples(self, name: str, array: Any) -> Any:
        torch = self._torch
        if not isinstance(array, torch.Tensor):
            array = np.asarray(array)
            is_integer = array.dtype.kind in "iub"
            array = torch.tensor(array if is_integer else float_array(name, array))
        if array.ndim == 0:
            raise ValueError(f"{name} must hold samples along its first axis, not be a number")
        array = array.detach().to(self._device, copy=True)
        if not array.is_floating_point():
            return array
        if not bool(torch.isfinite(array).all()):
            raise ValueError(f"{name} must be finite, but holds NaN or infinity")
        return array.to(self._dtype)

    def _require_repeats(self) -> None:
        """Raise what is wrong if the loss is no function of the parameters alone."""
        torch, theta = self._torch, self._theta0()
        X, Y, _ = self._chunks[0]
        buffers = {name: buffer.clone() for name, buffer in self._module.named_buffers()}
        with torch.enable_grad():
            first, second = (self._losses(theta.requires_grad_(), X, Y) for _ in range(2))
        if not isinstance(first, torch.Tensor) or first.shape != ():
            found = tuple(first.shape) if isinstance(first, torch.Tensor) else type(first).__name__
            raise TypeError(f"loss must return a scalar tensor, not {found}")
        if not first.requires_grad:
            raise TypeError(
                "loss(module(X), Y) must depend on the module's parameters by operations that "
                "torch.autograd knows"
            )
        if bool(abs(first - second) > SAME * abs(first)):
            raise ValueError(
                f"module and loss must repeat: they draw at random, {first.item()} and "
                f"{second.item()} at the same parameters; call module.eval() first"
            )
        for name, buffer in self._module.named_buffers():
            if not torch.equal(buffer, buffers[name]):
                raise ValueError(
                    f"module must not change when it is called: its buffer {name} does; call "
                    "module.eval() first"
                )

    def _weigh(self) -> None:
        """Give each chunk the weight 1 if the loss is a sum over samples, not a mean."""
        theta = self._theta0()
        X, Y, _ = self._chunks[0]
        if X.shape[0] == 1:
            X, Y = (self._torch.cat([chunk[i] for chunk in self._chunks[:2]]) for i in (0, 1))
        half = X.shape[0] // 2
        with self._torch.no_grad():
            parts = [(X[:half], Y[:half]), (X[half:], Y[half:])]
            whole, *halves = (float(self._losses(theta, *part)) for part in [(X, Y), *parts])
        share = half / X.shape[0]
        mean, total = share * halves[0] + (1.0 - share) * halves[1], halves[0] + halves[1]
        near = SAME * (abs(halves[0]) + abs(halves[1]))
        if abs(whole - mean) <= near:
            return
        if abs(whole - total) > near:
            raise ValueError(
                "chunk_size needs a loss that is a mean or a sum over samples: of some samples it "
                f"is {whole}, of their halves {halves[0]} and {halves[1]}"
            )
        self._chunks = [(X, Y, 1.0) for X, Y, _ in self._chunks]

    def _hint(self) -> str:
        if self._dtype == self._torch.float32:
            return "float32 leaves a gradient about 7 digits: module.double() has 16."
        try:
            mlp_of(self._torch, self._module)
            name = known_loss(self._torch, self._loss)
        except ValueError:
            return ""
        return (
            f'NetworkObjective.from_torch(module, X, Y, loss="{name}") is the same loss with '
            "derivatives in closed form, which are faster."
        )


def _require_no_batch_effects(torch: Any, module: Any) -> None:
    """Raise a ValueError that names a layer whose outputs depend on chance or on other samples."""
    norms, dropouts = torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.dropout._DropoutNd
    for name, layer in module.named_modules():
        if not layer.training:
            continue
        why = ""
        if isinstance(layer, norms):
            why = "normalises by the statistics of the batch, and changes its running ones"
        elif isinstance(layer, dropouts) and layer.p > 0.0:
            why = "drops out units at random"
        if why:
            raise ValueError(
                f"module must be in evaluation mode: its layer {name or 'itself'} "
                f"({type(layer).__name__}) {why}; call module.eval() first"
            )
