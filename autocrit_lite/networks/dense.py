"""The dense Hessian of a fully connected network, by matrix products.

For layers k ≤ l with inputs a and pre-activations z, the entry of W_l[p, j] and W_k[q, r] is

    Σᵢ T_lk[p, q] a_l[j] a_k[r]  +  Σᵢ D_lk[j, q] δ_l[p] a_k[r]     (the second only for k < l)

over samples i, with T_lk = ∂²f/∂z_l∂z_k, D_lk = ∂a_l/∂z_k and δ_l = ∂f/∂z_l. Both are products of
two matrices with the samples as the inner dimension. They are summed with the indices in the order
that the product gives, each unordered pair of indices once, and put in place at the end. Where the
last layer L goes by moments, T_LL = 1 and T_Lk = W_L D_Lk, and W_L multiplies the sum instead of
each sample.
"""

from __future__ import annotations

from ..arrays import Array
from .problem import Pairs, Problem, State

SLAB = 2048
"""How many rows of a factor are made at once. Chosen by us: more makes the products no faster."""

Blocks = dict[tuple[int, int], Array]
"""Arrays by layers (l, k)."""


class DenseCurvature:
    """The sums over samples that make up the dense matrix at one or more points.

    ``first[l, k]`` holds the first sum with indices (p·q, j·r), or with unordered pairs pq and jr
    if l = k. Of a last layer L that goes by moments it holds what W_L[p, s] multiplies: (s·q, j·r),
    (q, j·r) if k = L − 1 and D_Lk is diagonal, and (j, r) if k = L.
    ``second[l, k]`` holds the second sum with indices (j·q, p·r), or (p, q·r) if k = l − 1.
    """

    def __init__(self, problem: Problem, W: list[Array]) -> None:
        self.problem = problem
        self.xp = problem.xp
        self.W = problem.weights(W)
        self.first: Blocks = {}
        self.second: Blocks = {}
        self.unit_pairs, self.input_pairs = problem.pairs

    def add(self, state: State) -> None:
        """Add the sums over a chunk of samples."""
        T, D = self.output_derivatives(state), self.input_derivatives(state)
        for layer, a in enumerate(state.a):
            for k, b in enumerate(state.a[:layer]):
                is_diagonal = k == layer - 1  # D_lk, of which σ'_k is the diagonal
                if (layer, k) in T:
                    left = self.merge(T[layer, k])
                else:
                    left = state.first[k] if is_diagonal else self.merge(D[layer, k])
                self.accumulate(self.first, (layer, k), left, a, b)
                if is_diagonal:
                    left, x = state.delta[layer], state.first[k]
                else:
                    left, x = self.merge(D[layer, k]), state.delta[layer]
                self.accumulate(self.second, (layer, k), left, x, b)
            if (layer, layer) in T:
                left = self.merge(T[layer, layer])
                left = self.xp.take(left, self.unit_pairs[layer].entry, axis=-2)
                pairs = self.input_pairs[layer]
                self.accumulate(self.first, (layer, layer), left, a, a, pairs)
            else:
                total = self.first.get((layer, layer), 0.0)
                self.first[layer, layer] = total + self.problem.double(state.output)

    def output_derivatives(self, state: State) -> Blocks:
        """Return T_lk, (..., out_l, out_k, c), but not of a last layer that goes by moments."""
        xp, problem = self.xp, self.problem
        T: Blocks = {}
        for layer in reversed(range(len(self.W))):
            if layer < len(self.W) - 1:
                # T_kk = σ'_k W_lᵀ T_lk + diag(σ''_k∘∂f/∂a_l) with k = l − 1
                W = xp.matrix_transpose(self.W[layer + 1])
                if (layer + 1, layer) in T:
                    x = self.apply(W, T[layer + 1, layer])
                else:
                    x = (W @ self.W[layer + 1])[..., None] * state.first[layer][..., None, :, :]
                x *= state.first[layer][..., :, None, :]
                self.merge(x, copy=False)[..., :: x.shape[-2] + 1, :] += state.second[layer]
                T[layer, layer] = x
            elif not problem.by_moments:
                T[layer, layer] = problem.loss.matrix(state.output)
            for k in reversed(range(layer)):
                # T_lk = T_l,k+1 W_k+1 σ'_k
                if (layer, k + 1) in T:
                    W = xp.matrix_transpose(self.W[k + 1])
                    x = W[..., None, :, :] @ T[layer, k + 1]
                    x *= state.first[k][..., None, :, :]
                    T[layer, k] = x
        return T

    def input_derivatives(self, state: State) -> Blocks:
        """Return D_lk, shape (..., in_l, out_k, c), for k < l − 1; D_k+1,k is diagonal, σ'_k."""
        D: Blocks = {}
        for k in range(len(self.W) - 2):
            x = self.W[k + 1][..., None] * state.first[k][..., None, :, :]
            for layer in range(k + 2, len(self.W)):
                x *= state.first[layer - 1][..., :, None, :]
                D[layer, k] = x
                if layer < len(self.W) - 1:
                    x = self.apply(self.W[layer], x)
        return D

    def apply(self, W: Array, x: Array) -> Array:
        """Return W x, (..., out, m, c), of x (..., in, m, c), in one matrix product."""
        flat = self.xp.reshape(x, (*x.shape[:-2], -1))
        return self.xp.reshape(
            self.problem.matmul(W, flat), (*x.shape[:-3], W.shape[-2], *x.shape[-2:])
        )

    def merge(self, x: Array, copy: bool | None = None) -> Array:
        """Return x (..., i, j, c) with the indices i and j as one, (..., i·j, c)."""
        shape = (*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])
        return self.xp.reshape(x, shape, copy=copy)

    def permute(self, x: Array, order: tuple[int, ...]) -> Array:
        """Return x with its last four axes in another order."""
        lead = x.ndim - 4
        return self.xp.permute_dims(x, (*range(lead), *(lead + axis for axis in order)))

    def accumulate(
        self, blocks: Blocks, key: tuple[int, int], left: Array, x: Array, y: Array,
        pairs: Pairs | None = None,
    ) -> None:  # fmt: skip
        """Add to a block the sum over samples of ``left`` times all x[j] y[r], in columns (j·r).

        With ``pairs`` those of the unordered pairs alone. They are made in slabs.
        """
        width = 1 if pairs else y.shape[-2]
        n_columns = pairs.first.shape[0] if pairs else x.shape[-2] * width
        if key not in blocks:
            shape = (*left.shape[:-1], n_columns)
            blocks[key] = self.xp.zeros(shape, dtype=self.xp.float64, device=self.problem.device)
        step = max(1, SLAB // width) * width
        for start in range(0, n_columns, step):
            where = slice(start, min(start + step, n_columns))
            if pairs:
                slab = self.xp.take(x, pairs.first[where], axis=-2)
                slab *= self.xp.take(y, pairs.second[where], axis=-2)
            else:
                rows = slice(start // width, where.stop // width)
                slab = self.merge(x[..., rows, None, :] * y[..., None, :, :])
            self.problem.matmul(left, self.xp.matrix_transpose(slab), blocks[key][..., where], True)

    def place(self, H: Array) -> None:
        """Write the scaled sums into the dense matrices H (..., n, n)."""
        net, bias = self.problem.net, int(self.problem.net.bias)
        for blocks in (self.first, self.second):
            for block in blocks.values():
                block *= self.problem.scale
        for layer, (n_out, n_in) in enumerate(net.shapes):
            for k, (k_out, k_in) in enumerate(net.shapes[: layer + 1]):
                units = max(1, SLAB**2 // ((n_in + bias) * k_out * (k_in + bias)))
                for p in range(0, n_out, units):
                    rows = slice(p, min(p + units, n_out))
                    self.write(H, self.block(layer, k, rows), layer, k, rows)

    def block(self, layer: int, k: int, rows: slice) -> Array:
        """Return the entries (..., p, q, j, r) of both sums, for units p in ``rows``."""
        xp, net = self.xp, self.problem.net
        n_in, k_in = (net.layers[m] + net.bias for m in (layer, k))
        k_out, p = net.layers[k + 1], rows.stop - rows.start
        first = self.first[layer, k]
        batch = first.shape[:-2]
        W = self.W[layer][..., rows, :]
        if layer < len(self.W) - 1 or not self.problem.by_moments:
            if k == layer:
                units, inputs = self.unit_pairs[layer], self.input_pairs[layer]
                first = xp.take(
                    first, units.number[rows.start * k_out : rows.stop * k_out], axis=-2
                )
                first = xp.take(first, inputs.number, axis=-1)
            else:
                first = first[..., rows.start * k_out : rows.stop * k_out, :] + 0.0
        elif k == layer:
            eye = xp.eye(k_out, dtype=xp.float64, device=self.problem.device)[rows, :]
            first = eye[..., None, None] * first[..., None, None, :, :]
        elif k == layer - 1:
            first = W[..., None] * first[..., None, :, :]
        else:
            first = W @ xp.reshape(first, (*batch, W.shape[-1], -1))
        total = xp.reshape(first, (*batch, p, k_out, n_in, k_in))
        if k < layer:
            second = self.second[layer, k]
            if k == layer - 1:
                # where input j of the layer is unit q of the layer below
                second = xp.reshape(second[..., rows, :], (*batch, p, k_out, k_in))
                self.merge(total, copy=False)[..., :: n_in + 1, :] += second
            else:
                second = xp.reshape(second, (*batch, n_in - net.bias, k_out, -1, k_in))
                second = self.permute(second[..., rows, :], (2, 1, 0, 3))
                total[..., : n_in - net.bias, :] += second
        return total

    def write(self, H: Array, block: Array, layer: int, k: int, rows: slice) -> None:
        """Write a block (..., p, q, j, r) and its transpose where H has the parameters' order."""
        of_rows = self.places(layer, rows)
        of_columns = self.places(k, slice(0, self.problem.net.layers[k + 1]))
        for here, j in of_rows:
            for there, r in of_columns:
                part = self.permute(block[..., j, r], (0, 2, 1, 3))
                self.write_part(H[..., here, there], part)
                if k < layer:
                    self.write_part(H[..., there, here], self.permute(part, (2, 3, 0, 1)))

    def write_part(self, view: Array, part: Array) -> None:
        """Write a part (..., i, j, k, l) where ``view`` (..., i·j, k·l) lies in H."""
        # splitting an axis never copies, so that this writes into H
        view = self.xp.reshape(view, (*view.shape[:-2], *part.shape[-4:]), copy=False)
        view[...] = part

    def places(self, layer: int, units: slice) -> list[tuple[slice, slice]]:
        """Return where in θ some units' weights lie and their inputs j, and likewise the biases."""
        n_in = self.problem.net.layers[layer]
        weights, biases = self.problem.net.slices[layer]
        first, stop = units.start, units.stop
        found = [
            (slice(weights.start + first * n_in, weights.start + stop * n_in), slice(0, n_in)),
            (slice(biases.start + first, biases.start + stop), slice(n_in, n_in + 1)),
        ]
        return found[: 1 + self.problem.net.bias]


def dense_cost(problem: Problem) -> float:
    """Return how many Hessian-vector products cost as much as a dense Hessian.

    Counted in multiply-adds of the matrix products. Each of the n² entries put in place counts as
    six: chosen by us, as it is moved about six times, and it matters for few samples only.
    """
    net, last = problem.net, len(problem.net.layers) - 2
    dense = 0
    for layer, (p, j) in enumerate(net.shapes):
        moments = problem.by_moments and layer == last
        a_l = j + net.bias
        for k, (q, r) in enumerate(net.shapes[:layer]):
            a_k = r + net.bias
            left = (q if k == layer - 1 else j * q) if moments else p * q
            dense += left * a_l * a_k + (p * q * a_k if k == layer - 1 else j * q * p * a_k)
        dense += a_l**2 if moments else p * (p + 1) // 2 * a_l * (a_l + 1) // 2
    return (dense + 6 * net.n_parameters**2 / problem.n_samples) / product_cost(problem)


def dense_product_cost(problem: Problem) -> float:
    """Return how many Hessian-vector products cost as much as one with the dense Hessian."""
    return problem.net.n_parameters**2 / (problem.n_samples * product_cost(problem))


def product_cost(problem: Problem) -> int:
    """Return the multiply-adds of a Hessian-vector product, for each sample."""
    cost, last = 0, len(problem.net.layers) - 2
    for layer, (p, j) in enumerate(problem.net.shapes):
        a_l = j + problem.net.bias
        if problem.by_moments and layer == last:
            cost += 2 * j * a_l + j * j + 2 * p * j
        else:
            cost += 2 * p * a_l + (4 * p * j if layer else 0)
    return cost
