"""PyTorch modules that are fully connected networks, and the losses that are known here."""

from __future__ import annotations

from typing import Any

from ..checks import missing
from .mlp import MLP

ACTIVATIONS = {
    "SiLU": "swish",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "ReLU": "relu",
    "Identity": "linear",
}
"""PyTorch's names of activations, and those of ``MLP``."""


def torch_library(wanted_by: str) -> Any:
    """Return PyTorch.

    Raises
    ------
    ImportError
        If it is not installed: the message says who wants it and how to get it.
    """
    try:
        import torch
    except ImportError as error:
        raise missing(wanted_by, "PyTorch", "torch", error) from None
    return torch


def mlp_of(torch: Any, module: Any) -> MLP:
    """Return the network that a module computes, whose θ has the module's parameters in order.

    Raises
    ------
    TypeError
        If it is no module.
    ValueError
        If it is not ``Sequential`` of ``Linear``, with the same activation of ``ACTIVATIONS`` after
        each but the last: the message says which layer is not as it must be.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {module!r}")
    layers = list(_layers(torch, module))
    linear = [layer for layer in layers if type(layer) is torch.nn.Linear]
    if not linear or type(layers[0]) is not torch.nn.Linear:
        raise ValueError("module must be a Sequential that begins with a Linear")
    if len({id(parameter) for layer in linear for parameter in layer.parameters()}) < sum(
        1 + (layer.bias is not None) for layer in linear
    ):
        raise ValueError("module must not use a parameter in two places")
    if any(not parameter.requires_grad for parameter in module.parameters()):
        raise ValueError("module must not have frozen parameters: θ would hold them")
    biases = {layer.bias is not None for layer in linear}
    if len(biases) > 1:
        raise ValueError("module must have biases in all of its Linear layers, or in none")
    # what stands between two Linear layers, and after the last
    between: list[list[str]] = []
    for layer in layers:
        if type(layer) is torch.nn.Linear:
            between.append([])
        elif type(layer) is not torch.nn.Identity:
            between[-1].append(ACTIVATIONS[type(layer).__name__])
    *hidden, last = between
    if last:
        raise ValueError(f"module must end with a Linear, not with an activation ({last[0]})")
    kinds = {tuple(names) for names in hidden} or {()}
    if len(kinds) > 1 or max(map(len, kinds)) > 1:
        raise ValueError(f"module must have the same activation after each layer, not {kinds}")
    ((*names,),) = kinds
    sizes = [linear[0].in_features, *(layer.out_features for layer in linear)]
    return MLP(sizes, names[0] if names else "linear", biases.pop())


def _layers(torch: Any, module: Any) -> Any:
    """Yield the layers of a module of nested Sequentials; raise what is none that is known."""
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    if any(getattr(module, name) for name in hooks):
        raise ValueError(f"module must have no hooks, as {type(module).__name__} has")
    if type(module) is torch.nn.Sequential:
        for layer in module:
            yield from _layers(torch, layer)
        return
    own = getattr(torch.nn, type(module).__name__, None)
    known = type(module) is own and type(module).__name__ in {"Linear", *ACTIVATIONS}
    if not known:
        accepted = ", ".join(ACTIVATIONS)
        raise ValueError(
            f"module must consist of Sequential, Linear and one of {accepted}, not of "
            f"{type(module).__name__}"
        )
    yield module


def known_loss(torch: Any, loss: Any) -> str:
    """Return "mse" or "cross_entropy" if a loss is PyTorch's own of that name, as it comes.

    Raises
    ------
    ValueError
        If it is another one.
    """
    nn, functional = torch.nn, torch.nn.functional
    if loss is functional.mse_loss or (type(loss) is nn.MSELoss and loss.reduction == "mean"):
        return "mse"
    if loss is functional.cross_entropy or (
        type(loss) is nn.CrossEntropyLoss
        and loss.reduction == "mean"
        and loss.weight is None
        and loss.label_smoothing == 0.0
        and loss.ignore_index < 0
    ):
        return "cross_entropy"
    raise ValueError(
        f"loss must be MSELoss() or CrossEntropyLoss() with their defaults, not {loss!r}"
    )
