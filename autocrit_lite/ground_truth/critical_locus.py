"""The star and core loci of Cooper 2020 (arXiv 2005.04210).

The networks have ℓ layers of weights M₁ … M_ℓ and biases b₁ … b_ℓ, layer widths
m₀ … m_ℓ, activations a_i = σ(M_i a_{i−1} + b_i) and N samples, which the paper calls n; here n is
the number of parameters, which the paper calls d. The paper's loss is the sum of the squared
errors; the loss ``"mse"`` of this package is that divided by N·m_ℓ, and so are its Hessian and
its eigenvalues: the paper's 2N is 2/m_ℓ here.

For distinct indices k₁ < … < k_m between 1 and ℓ − 1, the locus C_{k₁…k_m} (§3.1.1) holds the
points with

    M_ℓ = 0,  M_{k₁} = … = M_{k_m} = 0,  b_{k₁} = … = b_{ℓ−1} = 0,  b_ℓ = mean of the targets ȳ.

One index makes the star locus S_k, two or more the core loci. The paper prints the *sum* of the
targets. With it ∂L/∂b_ℓ = 2(N − 1) Σ_α y_α, which does not vanish: the sum has to be the mean.

Why the points are critical: M_k = 0 cuts the network, so that the activations behind it are the
same for all samples, and M_ℓ = 0 makes the output ȳ, so that the residuals r_α = ȳ − y_α add up to
zero. Hence Σ_α r_α a_{ℓ−1,α}ᵀ = (Σ_α r_α) aᵀ = 0, and M_ℓ = 0 stops everything further back. The
argument uses neither σ(0) = 0 nor b_k = … = b_{ℓ−1} = 0: with M_k = M_ℓ = 0 and b_ℓ = ȳ a point is
critical whatever the hidden biases are. The loci are parts of larger sets of critical points.

References
----------
Cooper, The critical locus of overparameterized neural networks, arXiv 2005.04210, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..arrays import Array
from ..checks import float_array, generator, integer, number, theta_array
from ..networks.activations import ACTIVATIONS
from ..networks.mlp import MLP


def sample(
    net: MLP, Y: Array, layers: Sequence[int], rng: np.random.Generator, size: int | None = None
) -> Array:
    """Draw points of the star locus S_k or of the core locus C_{k₁…k_m}.

    The free coordinates are Gaussian: weights of variance 1/(inputs of the layer), so that the
    activations neither die out nor blow up with the width, and biases of variance 1 (chosen by
    us: any density on the linear space would do).

    Parameters
    ----------
    net : MLP
        With biases, and at least two layers of weights.
    Y : array (N, outputs)
        The targets.
    layers : sequence of int
        The distinct indices k₁ … k_m, each between 1 and ℓ − 1; one for the star locus.
    rng : numpy.random.Generator
    size : int, optional
        How many points to draw.

    Returns
    -------
    theta : array (n,), or (size, n) if a size is given

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net, Y = MLP((3, 4, 4, 4, 2), "tanh"), rng.normal(size=(5, 2))
    >>> theta = sample(net, Y, layers=(1, 3), rng=rng)
    >>> bool(np.all(net.forward(theta, rng.normal(size=(5, 3))) == Y.mean(axis=0)))
    True
    """
    center, fixed = _center(net, Y), fixed_coordinates(net, layers)
    shape = () if size is None else (integer("size", size),)
    deviations = np.ones(net.n_parameters)
    for (weights, _), (_, n_in) in zip(net.slices, net.shapes, strict=True):
        deviations[weights] = n_in**-0.5
    free = generator("rng", rng).normal(size=(*shape, net.n_parameters)) * deviations
    return np.where(fixed, center, free)


def fixed_coordinates(net: MLP, layers: Sequence[int]) -> Array:
    """Return which coordinates of θ the locus C_{k₁…k_m} fixes, a boolean array (n,).

    Parameters
    ----------
    net : MLP
    layers : sequence of int
        The distinct indices k₁ … k_m.

    Raises
    ------
    TypeError, ValueError
        If the network has no biases or an index is not an integer, out of range or repeated.
    """
    depth, indices = _depth(net), _indices(net, layers)
    fixed = np.zeros(net.n_parameters, dtype=bool)
    for layer, (weights, biases) in enumerate(net.slices, start=1):
        fixed[weights] = layer in indices or layer == depth
        fixed[biases] = layer >= indices[0]
    return fixed


def distance(net: MLP, theta: Array, Y: Array, layers: Sequence[int]) -> Array:
    """Return the Euclidean distance of each θ from the locus C_{k₁…k_m}.

    Parameters
    ----------
    net : MLP
    theta : array (n,) or (B, n)
    Y : array (N, outputs)
        The targets.
    layers : sequence of int
        The distinct indices k₁ … k_m.

    Returns
    -------
    distance : array () or (B,)
    """
    center, fixed = _center(net, Y), fixed_coordinates(net, layers)
    theta = theta_array(theta, net.n_parameters)
    return np.linalg.norm((theta - center)[..., fixed], axis=-1)


def membership(net: MLP, theta: Array, Y: Array, tolerance: float) -> Array:
    """Return which star loci S₁ … S_{ℓ−1} each θ lies on.

    This also tells the core loci, because C_{k₁…k_m} is S_{k₁} ∩ … ∩ S_{k_m}.

    Parameters
    ----------
    net : MLP
    theta : array (n,) or (B, n)
    Y : array (N, outputs)
        The targets.
    tolerance : float
        The largest Euclidean distance from a locus that counts as lying on it.

    Returns
    -------
    member : boolean array (ℓ − 1,) or (B, ℓ − 1)
        Column k − 1 is for S_k.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net, Y = MLP((3, 4, 4, 4, 2), "tanh"), rng.normal(size=(5, 2))
    >>> membership(net, sample(net, Y, layers=(1, 3), rng=rng), Y, tolerance=1e-12).tolist()
    [True, False, True]
    """
    tolerance = number("tolerance", tolerance, at_least=0.0)
    distances = [distance(net, theta, Y, (k,)) for k in range(1, _depth(net))]
    return np.stack(distances, axis=-1) <= tolerance


def dimension(net: MLP, layers: Sequence[int]) -> int:
    """Return the dimension of C_{k₁…k_m}, an affine subspace of the parameter space (§3.1.1).

    It is n − ((m_{ℓ−1} + 1) m_ℓ + Σ_{k ∈ layers} m_{k−1} m_k + Σ_{j=k₁}^{ℓ−1} m_j).
    """
    indices, m, depth = _indices(net, layers), net.layers, _depth(net)
    codimension = (m[-2] + 1) * m[-1]
    codimension += sum(m[k - 1] * m[k] for k in indices)
    codimension += sum(m[j] for j in range(indices[0], depth))
    return net.n_parameters - codimension


def largest_component(net: MLP, count: int) -> tuple[tuple[int, ...], int]:
    """Return the indices and the dimension of the largest locus with ``count`` indices.

    The star locus (count 1) and the core locus (count 2) are unions of affine subspaces; their
    dimension is that of the largest one (§3.1.1). With all hidden layers of width w, inputs a and
    outputs b, n = (ℓ − 2)w² + (ℓ + a + b − 1)w + b, and `dimension` gives

        star:  (ℓ − 2)w² for k = 1,         (ℓ − 3)w² + (a + k − 1)w for k ≥ 2,
        core:  (ℓ − 3)w² for k₁ = 1,        (ℓ − 4)w² + (a + k₁ − 1)w for k₁ ≥ 2:

    fixing M₁ costs only a·w coordinates instead of w². So k = 1 is the largest star component as
    soon as w ≥ a + ℓ − 2, and k₁ = 1 the largest of the core as soon as w ≥ a + ℓ − 3. Proposition
    6.1 prints the values of k = 2 and k₁ = 2 (`printed_dimension`), which §3.1.1's own maximum
    exceeds.

    Parameters
    ----------
    net : MLP
    count : int
        How many indices, between 1 and ℓ − 1.

    Examples
    --------
    >>> net = MLP((2, 9, 9, 9, 9, 1), "tanh")
    >>> largest_component(net, 1), printed_dimension(net, 1)
    (((1,), 243), 189)
    """
    depth = _depth(net)
    integer("count", count, at_least=1, at_most=depth - 1)
    best = max(combinations(range(1, depth), count), key=lambda layers: dimension(net, layers))
    return best, dimension(net, best)


def printed_dimension(net: MLP, count: int) -> int:
    """Return the dimension that Proposition 6.1 prints for the star (1) or core (2) locus.

    (ℓ − 3)w² + (a + 1)w and (ℓ − 4)w² + (a + 1)w, for hidden layers that all have the width w.

    Raises
    ------
    ValueError
        If the hidden widths differ, count is neither 1 nor 2, or ℓ < count + 2.
    """
    depth, widths = _depth(net), set(net.layers[1:-1])
    if count not in (1, 2):
        raise ValueError(f"count must be 1 (star) or 2 (core), not {count!r}")
    if len(widths) != 1 or depth < count + 2:
        raise ValueError(
            f"net must have hidden layers of one width and at least {count + 2} layers of weights, "
            f"not sizes {net.layers}"
        )
    width = widths.pop()
    return (depth - 2 - count) * width**2 + (net.layers[0] + 1) * width


def hessian_eigenvalues(net: MLP, theta: Array, X: Array, Y: Array, layers: Sequence[int]) -> Array:
    """Return the spectrum that the Hessian of the loss ``"mse"`` must have on C_{k₁…k_m}.

    Let k be the largest index. To second order in a step δ, with s = σ′(0),

        L(θ + δ) − L(θ) = (N ‖δb_ℓ‖² + 2 tr(δM_ℓ J δM_k C)) / (N m_ℓ),
        J = s^{ℓ−k} M_{ℓ−1} ⋯ M_{k+1}          (m_{ℓ−1}, m_k),
        C = Σ_α a_{k−1,α} (ȳ − y_α)ᵀ           (m_{k−1}, m_ℓ).

    The terms in the other parameters are the same for all samples and vanish with Σ_α (ȳ − y_α).
    So the eigenvalues of the summed loss are 2N, m_ℓ times, ±2 σ_i(J) σ_j(C) for all pairs of
    nonzero singular values, and zero. With two or more indices a_{k−1} = 0 and C = 0, which leaves
    m_ℓ positive eigenvalues and n − m_ℓ zeros; Theorem 3.2 prints 1 and n − 1, right for m_ℓ = 1.
    A point of the star locus is a strict saddle of index rank(J)·rank(C) unless J or C is zero.

    Parameters
    ----------
    net : MLP
        Its activation must have σ(0) = 0 and a derivative at 0.
    theta : array (n,)
        A point on the locus.
    X : array (N, inputs)
    Y : array (N, outputs)
    layers : sequence of int
        The distinct indices k₁ … k_m of the locus that θ lies on.

    Returns
    -------
    eigenvalues : array (n,)
        In ascending order.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described or θ is further than 1e-8 from the locus (chosen by
        us: the rounding of b_ℓ passes, a point of another locus does not).
    """
    depth, k = _depth(net), _indices(net, layers)[-1]
    slope = _slope_at_zero(net)
    theta = float_array("theta", theta, net.n_parameters, finite=False)
    if distance(net, theta, Y, layers) > 1e-8:
        raise ValueError(f"theta must lie on the locus of layers {tuple(layers)}")
    n_samples, n_outputs = Y.shape
    matrices = [W for W, _ in net.unflatten(theta)]
    J = slope ** (depth - k) * np.eye(net.layers[k])
    for layer in range(k + 1, depth):
        J = matrices[layer - 1] @ J
    C = hidden_activations(net, theta, X, k - 1).T @ (Y.mean(axis=0) - Y)
    products = np.outer(
        np.linalg.svd(J, compute_uv=False), np.linalg.svd(C, compute_uv=False)
    ).ravel()
    nonzero = np.concatenate([np.full(n_outputs, 2.0 * n_samples), 2.0 * products, -2.0 * products])
    zeros = np.zeros(net.n_parameters - nonzero.size)
    return np.sort(np.concatenate([nonzero, zeros])) / (n_samples * n_outputs)


def hidden_activations(net: MLP, theta: Array, X: Array, layer: int) -> Array:
    """Return the activations (N, m_layer) of a hidden layer, from 1 to ℓ − 1; layer 0 is X."""
    theta = float_array("theta", theta, net.n_parameters, finite=False)
    X = float_array("X", X, "N", net.layers[0])
    if integer("layer", layer, at_most=_depth(net) - 1) == 0:
        return X
    part = MLP(net.layers[: layer + 1], net.activation, net.bias)
    return ACTIVATIONS[net.activation](part.forward(theta[: part.n_parameters], X))


def _depth(net: MLP) -> int:
    """Return ℓ, the number of layers of weights, after checking that the loci are defined."""
    if not net.bias or len(net.layers) < 3:
        raise ValueError(f"net must have biases and at least one hidden layer, not {net}")
    return len(net.layers) - 1


def _indices(net: MLP, layers: Sequence[int]) -> tuple[int, ...]:
    """Return the indices k₁ < … < k_m, checked and sorted."""
    last = _depth(net) - 1
    if isinstance(layers, (str, int, np.integer)) or len(layers) == 0:
        raise ValueError(f"layers must hold one index or more, not {layers!r}")
    indices = tuple(sorted(integer("every index in layers", k, at_least=1) for k in layers))
    if indices[-1] > last or len(set(indices)) < len(indices):
        raise ValueError(f"layers must be distinct and between 1 and {last}, not {tuple(layers)}")
    return indices


def _center(net: MLP, Y: Array) -> Array:
    """Return the point (n,) of all loci nearest to zero: b_ℓ the mean of the targets, else 0."""
    Y = float_array("Y", Y, "N", net.layers[-1])
    _depth(net)  # without biases there is no b_ℓ to set
    center = np.zeros(net.n_parameters)
    center[net.slices[-1][1]] = np.mean(Y, axis=0)
    return center


def _slope_at_zero(net: MLP) -> float:
    """Return σ′(0), after checking that σ(0) = 0 and that it has a derivative there."""
    value, slope, _ = ACTIVATIONS[net.activation].derivatives(np.zeros(1), np, False)
    if net.activation == "relu" or value[0] != 0.0:
        raise ValueError(
            f"net's activation must have σ(0) = 0 and a derivative there, not {net.activation!r}"
        )
    return float(slope[0])
