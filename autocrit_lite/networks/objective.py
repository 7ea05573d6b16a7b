"""The loss of a network on data, with derivatives in closed form."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np
from array_api_compat import device, is_numpy_array

from ..arrays import Array, array_namespace, read_only
from ..checks import float_array, number, one_of, plain_array, theta_array
from ..devices import to_device
from .dense import dense_cost, dense_product_cost
from .derivatives import NetworkLinearization, evaluate
from .losses import LOSSES
from .mlp import MLP
from .problem import Problem
from .samples import compress as compressed
from .samples import in_chunks
from .torch_modules import known_loss, mlp_of, torch_library

CACHE = 2**17
"""Numbers in a core's share of the cache: 1 MiB, the L2 cache of the machines measured."""

DTYPES = ("float64", "float32")
"""What the passes over the samples may compute in."""


def chunk_size(net: MLP, budget: int) -> int:
    """Return how many samples go through a network together: it changes nothing but rounding.

    So many that a layer's temporary arrays stay in a core's cache, or 512 times as many for arrays
    of another library than NumPy: chosen by us, by measurement.
    """
    return max(256, budget // (3 * max(net.layers[1:])))


def network_loss(
    net: MLP, theta: Array, X: Array, Y: Array, loss: str = "mse", l2: float = 0.0
) -> Array:
    """Return the loss of a network: its readable definition, which autograd differentiates.

    Parameters
    ----------
    net : MLP
    theta : array (n,)
    X : array (N, inputs)
    Y : array (N, outputs) of targets for ``"mse"``, or (N,) of integer labels
    loss : {"mse", "cross_entropy", "softmax_mse"}
        The squared error averaged over samples and outputs, or the softmax cross-entropy
        averaged over samples (Frye et al. 2021, A.1.2), or the squared error of softmax's outputs
        against the one-hot labels, averaged over samples and outputs (the public code of Sankar &
        Balasubramanian 2018).
    l2 : float
        Adds ``l2`` times the mean of θ².

    Raises
    ------
    ValueError
        If theta or Y has another shape, or the loss another name.
    """
    one_of("loss", loss, LOSSES)
    Z = net.forward(theta, X)
    shape = Z.shape if loss == "mse" else Z.shape[:1]
    if np.shape(Y) != shape:
        raise ValueError(f"Y must have shape {shape}, not {np.shape(Y)}")
    if loss == "mse":
        value = anp.mean((Z - Y) ** 2)
    else:
        Z = Z - anp.max(Z, axis=1, keepdims=True)
        log_probability = Z - anp.log(anp.sum(anp.exp(Z), axis=1, keepdims=True))
        if loss == "cross_entropy":
            value = -anp.mean(log_probability[anp.arange(Y.shape[0]), Y])
        else:
            hot = anp.eye(Z.shape[1])[Y]
            value = anp.mean((anp.exp(log_probability) - hot) ** 2)
    return value + l2 * anp.mean(theta**2)


class NetworkObjective:
    """The loss of a network on data, with derivatives in closed form.

    ``network_loss`` defines it; the derivatives here do without autograd, and follow the arrays
    that they are given: CuPy data and parameters, CuPy results.

    Parameters
    ----------
    net : MLP
    X : array (N, inputs) of float64
    Y : array
        (N, outputs) of targets for ``"mse"``; (N,) of integer labels from 0 to outputs − 1, or
        (N, outputs) of one-hot rows, for the others.
    loss : {"mse", "cross_entropy", "softmax_mse"}
        As ``network_loss`` defines them.
    l2 : float
        Adds ``l2`` times the mean of θ² (0 by default: Frye et al. 2021, Fig. 3).
    compress : bool
        Whether a linear network with squared error replaces N samples by the square root of their
        second moments, which changes nothing but rounding. On by default, since it only saves time.
    dtype : {"float64", "float32"}
        What the passes over the samples compute in, float64 by default as all else here. θ, vectors
        and results are float64 in any case. See the notes on what float32 leaves of them.

    Attributes
    ----------
    net : MLP
    n_samples : int
        How many samples there are, N.
    hessian_cost : float
        How many Hessian-vector products cost as much as one dense Hessian, by counted operations.
    dense_product_cost : float
        How many of them cost as much as one product with the dense Hessian; more than 1 for few
        samples.
    point_bytes : int
        How much memory a point of ``linearize`` keeps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the data holds NaN or infinity.

    Notes
    -----
    A θ that holds NaN or infinity gives NaN as value and in every entry of gradient and products;
    one at which the loss overflows gives infinity or NaN. Neither raises or warns: a finder checks.

    ReLU's derivative at 0 is taken to be 0, its second derivative to be 0 everywhere, although the
    loss has no second derivative where a unit's input is exactly 0.

    With ``dtype="float32"`` the passes take half the memory and less time. Sums within a chunk of
    samples are float32's, sums over chunks float64's, so that the error of a mean does not grow
    with N. How much faster they are, and how close to float64's, is measured by
    ``tests/benchmarks/write_float32.py`` (figures/benchmarks_float32.md). Rounding leaves of a
    gradient an error in proportion to the mean length of the samples' own gradients, not to its
    length: near a critical point all digits are lost. A certificate does not hang on this: it
    computes with enclosures of its own, from the data.

    Memory, in numbers of 8 bytes, of 4 where the passes compute in float32: the objective keeps a
    copy of the data, N (inputs + outputs + 1), and another one of float64 for ``subset`` and
    ``to_device``, but not of arrays that cannot be written to. A point of ``linearize`` keeps
    N (4 hidden + 2 outputs), summed over units (3 outputs with "softmax_mse"), on top of which a
    product needs a few chunks' worth. A dense matrix, always of float64, needs its n² and up to
    n² / 2 more until it returns, for each of the points in a batch that go through the samples
    together, and T = (units of a layer)² numbers for each sample of a chunk.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> objective = NetworkObjective(MLP((3, 2, 3)), X, X, l2=1e-3)
    >>> point = objective.linearize(rng.normal(size=(5, 17)))
    >>> point.value.shape, point.gradient.shape, point.hessian().shape
    ((5,), (5, 17), (5, 17, 17))
    """

    def __init__(
        self,
        net: MLP,
        X: Array,
        Y: Array,
        loss: str = "mse",
        l2: float = 0.0,
        *,
        compress: bool = True,
        dtype: str = "float64",
    ) -> None:
        if not isinstance(net, MLP):
            raise TypeError(f"net must be an MLP, not {net!r}")
        one_of("loss", loss, LOSSES)
        one_of("compress", compress, (True, False))
        one_of("dtype", dtype, DTYPES)
        l2 = number("l2", l2, at_least=0.0, finite=True)
        X = float_array("X", X, "N", net.layers[0])
        given, Y = _targets(Y, X, net.layers[-1], loss)
        self.net, self.n_samples = net, X.shape[0]
        self._data = _kept(X), _kept(given)
        self._options: dict[str, Any] = {
            "loss": loss,
            "l2": l2,
            "compress": compress,
            "dtype": dtype,
        }
        mean_over_outputs = 1.0 if loss == "cross_entropy" else 2.0 / net.layers[-1]
        scale = mean_over_outputs / self.n_samples
        xp, place = array_namespace(X), {"dtype": Y.dtype, "device": device(X)}
        ones = xp.ones((self.n_samples, 1), **place) if net.bias else None
        constant = xp.asarray(0.0, **place)
        linear = net.activation == "linear" and loss == "mse"
        if compress and linear and self.n_samples > net.layers[0] + net.bias:
            X, Y, ones, constant = compressed(X, Y, ones)
        bytes_each = 4 if dtype == "float32" else 8
        if bytes_each == 4:
            X, Y = xp.astype(X, xp.float32), xp.astype(Y, xp.float32)
            ones = None if ones is None else xp.astype(ones, xp.float32)
        budget = 8 * (CACHE if is_numpy_array(X) else 512 * CACHE) // bytes_each
        chunks = in_chunks(X, Y, ones, chunk_size(net, budget))
        self._problem = Problem(net, loss, chunks, scale, constant, l2, budget)
        *hidden, outputs = net.layers[1:]
        kept = 3 if loss == "softmax_mse" else 2  # of each output
        self.point_bytes = bytes_each * self._problem.n_samples * (4 * sum(hidden) + kept * outputs)

    @classmethod
    def from_torch(
        cls, module: Any, X: Array, Y: Array, loss: Any = "mse", l2: float = 0.0
    ) -> NetworkObjective:
        """Return the loss of a PyTorch module that is a fully connected network, in closed form.

        θ is ``torch.nn.utils.parameters_to_vector(module.parameters())``: PyTorch lays the
        parameters out as ``MLP`` does.

        Parameters
        ----------
        module : torch.nn.Module
            ``Sequential`` of ``Linear`` layers with one of the activations ``SiLU``, ``Tanh``,
            ``Sigmoid``, ``ReLU`` or ``Identity`` after each but the last. All have biases or none.
        X, Y : array
            As for ``NetworkObjective``, or tensors; computed with in float64 whatever they are.
        loss : {"mse", "cross_entropy"} or callable
            Or ``torch.nn.MSELoss()``, ``torch.nn.CrossEntropyLoss()`` or the functions of
            ``torch.nn.functional``, with their defaults.
        l2 : float
            See ``NetworkObjective``.

        Returns
        -------
        NetworkObjective

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        TypeError, ValueError
            If an argument is not as described: the message names the layer that is not known.
            ``TorchObjective`` takes any module and loss.
        """
        torch = torch_library("NetworkObjective.from_torch")
        net = mlp_of(torch, module)
        X, Y = (a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else a for a in (X, Y))
        return cls(net, X, Y, loss if isinstance(loss, str) else known_loss(torch, loss), l2)

    # a mini-batch needs neither of these
    @cached_property
    def hessian_cost(self) -> float:
        """How many Hessian-vector products cost as much as one dense Hessian."""
        return dense_cost(self._problem)

    @cached_property
    def dense_product_cost(self) -> float:
        """How many of them cost as much as one product with the dense Hessian."""
        return dense_product_cost(self._problem)

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss, shape (...), and its gradient, shape (..., n), at theta (..., n).

        Raises
        ------
        TypeError, ValueError
            If theta is not float64, or not of shape (n,) or (B, n).
        """
        return evaluate(self._problem, self._theta(theta), second=False)[:2]

    def linearize(self, theta: Array) -> NetworkLinearization:
        """Return the loss at theta (..., n) with what its derivatives need.

        Raises
        ------
        TypeError, ValueError
            If theta is not float64, or not of shape (n,) or (B, n).
        """
        return NetworkLinearization(self._problem, self._theta(theta))

    def asarray(self, theta: Array) -> Array:
        """Return θ, NumPy's or already there, as an array of the library and device of X."""
        theta = plain_array("theta", theta)
        return self._problem.xp.asarray(theta, device=self._problem.device)

    def to_device(self, device: str) -> NetworkObjective:
        """Return the same loss with its NumPy data on a device, "cpu" or "gpu".

        Raises
        ------
        RuntimeError
            If there is no GPU: the message says what is needed.
        """
        X, Y = (to_device(array, device) for array in self._data)
        return NetworkObjective(self.net, X, Y, **self._options)

    def subset(self, rows: Array) -> NetworkObjective:
        """Return the same loss over the samples ``rows`` alone, as mini-batches need it.

        Parameters
        ----------
        rows : integer array (k,)
            Which of the N samples, from 0 to N − 1, with repetitions if need be; not a mask.

        Raises
        ------
        TypeError, ValueError
            If rows is not as described.
        """
        X, Y = self._data
        xp = self._problem.xp
        rows = xp.asarray(_row_numbers(rows, self.n_samples), device=device(X))
        parts = (read_only(xp.take(array, rows, axis=0)) for array in (X, Y))
        return NetworkObjective(self.net, *parts, **self._options)

    def _theta(self, theta: Array) -> Array:
        theta = theta_array(theta, self.net.n_parameters)
        if array_namespace(theta) is not self._problem.xp:
            raise TypeError(
                f"theta must be an array of the library that X is of ({self._problem.xp.__name__}),"
                f" not {type(theta).__name__}"
            )
        return theta


def _row_numbers(rows: Array, n_samples: int) -> Array:
    """Return the numbers of rows, shape (k,), if they are any of ``n_samples``, else raise."""
    rows = plain_array("rows", rows)
    xp = array_namespace(rows)
    if rows.ndim != 1 or rows.shape[0] == 0:
        raise ValueError(f"rows must have shape (k,), k > 0, not {tuple(rows.shape)}")
    if not xp.isdtype(rows.dtype, "integral"):
        hint = "; for a mask take its nonzero" if xp.isdtype(rows.dtype, "bool") else ""
        raise TypeError(f"rows must hold integers, not {rows.dtype}{hint}")
    _require_range("rows must hold numbers", rows, n_samples)
    return rows


def _require_range(wanted: str, numbers: Array, count: int) -> None:
    """Raise a ValueError that begins with what is ``wanted`` unless all are from 0 to count − 1."""
    xp = array_namespace(numbers)
    lowest, highest = int(xp.min(numbers)), int(xp.max(numbers))
    if lowest < 0 or highest >= count:
        raise ValueError(f"{wanted} from 0 to {count - 1}, not from {lowest} to {highest}")


def _kept(array: Array) -> Array:
    """Return what later changes of an array do not reach: a copy, unless it is read-only."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        return array
    return read_only(array_namespace(array).asarray(array, copy=True))


def _targets(Y: Array, X: Array, n_outputs: int, loss: str) -> tuple[Array, Array]:
    """Return Y as an array, and the targets, shape (N, outputs): that, or its labels one-hot."""
    n_samples = X.shape[0]
    if loss == "mse":
        Y = float_array("Y", Y, n_samples, n_outputs)
        return Y, Y
    Y = plain_array("Y", Y)
    xp = array_namespace(X, Y)
    if Y.shape == (n_samples, n_outputs):
        hot = float_array("Y", Y)
        ones = xp.sum(xp.astype(hot == 1.0, xp.int64), axis=1)
        if not bool(xp.all((hot == 0.0) | (hot == 1.0)) & xp.all(ones == 1)):
            raise ValueError("Y must hold labels or one-hot rows; probabilities are not accepted")
        return Y, hot
    if not xp.isdtype(Y.dtype, "integral"):
        raise TypeError(f"Y must hold integer labels or one-hot rows, not {Y.dtype}")
    if Y.shape != (n_samples,):
        accepted = f"({n_samples},) of labels or ({n_samples}, {n_outputs}) of one-hot rows"
        raise ValueError(f"Y must have shape {accepted}, not {tuple(Y.shape)}")
    _require_range("Y must hold labels", Y, n_outputs)
    wide = xp.astype(Y, xp.int64, copy=False)  # narrower ones may not hold all labels
    labels = xp.arange(n_outputs, dtype=xp.int64, device=device(Y))
    return Y, xp.astype(wide[:, None] == labels, xp.float64)
