"""Fan-out: how many weights one spike of each neuron meets, borders and zero weights included.

The fan-out of an input of a chain of linear operators is the number of non-zeros in its column of
the chain's matrix. The matrix of a large convolution has billions of entries, so it is built only
where paths through the chain can join; everywhere else counting paths gives the same number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    IntArray,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    TransposedConvolution,
    chain_output_shape,
    weights_of,
    with_weights,
)

BLOCK_ENTRIES = 20_000_000
"""Entries of a product that are held at once when paths join."""


def fan_out(chain: Chain, input_shape: Shape) -> npt.NDArray[np.int64]:
    """Return the number of non-zero weights that each input value meets.

    Parameters
    ----------
    chain : tuple of LinearOperator
        Taken as one matrix: an average pooling and the convolution behind it are one weight a
        pair of values.
    input_shape : tuple of int

    Returns
    -------
    (input size,) int64 array
        In C order of `input_shape`.
    """
    chain = _merge_pointwise(chain)
    paths = _count_paths(chain, input_shape)
    if _paths_are_pairs(chain):
        return paths
    return _column_counts(chain, paths)


def connections(chain: Chain, input_shape: Shape) -> int:
    """Return the number of weights in use, those that happen to be zero included."""
    present = tuple(
        op if (w := weights_of(op)) is None else with_weights(op, np.ones_like(w)) for op in chain
    )
    return int(fan_out(present, input_shape).sum())


def is_injection(chain: Chain) -> bool:
    """Tell whether every output reads at most one input: a current, not a sum of products."""
    return all(_reads_one(operator) for operator in chain)


def _merge_pointwise(chain: Chain) -> Chain:
    """Join convolutions of which one is pointwise: linear bottlenecks, separable convolutions.

    They are the common chains whose paths join, and one kernel is far smaller than the matrix.
    """
    merged: list[LinearOperator] = []
    for operator in chain:
        previous = merged[-1] if merged else None
        if isinstance(previous, Convolution) and isinstance(operator, Convolution):
            if _is_pointwise(operator):
                merged[-1] = _join(previous, operator, geometry=previous)
                continue
            if _is_pointwise(previous):
                merged[-1] = _join(previous, operator, geometry=operator)
                continue
        merged.append(operator)
    return tuple(merged)


def _is_pointwise(convolution: Convolution) -> bool:
    unpadded = all(pad == (0, 0) for pad in convolution.pads)
    single = all(size == 1 for size in convolution.weight.shape[2:])
    return unpadded and single and all(stride == 1 for stride in convolution.strides)


def _join(first: Convolution, second: Convolution, *, geometry: Convolution) -> Convolution:
    """Return two convolutions as one with the window of the one that is not pointwise."""
    inner, outer = _ungrouped(first), _ungrouped(second)
    product = np.einsum("omq,mip->oipq", outer, inner)
    weight = product.reshape(*product.shape[:2], *geometry.weight.shape[2:])
    return replace(geometry, input_shape=first.input_shape, weight=weight, groups=1)


def _ungrouped(convolution: Convolution) -> FloatArray:
    """Return the kernel over all input channels, taps flattened: (out, in, taps)."""
    weight = convolution.weight.reshape(*convolution.weight.shape[:2], -1)
    per_group_in, per_group_out = weight.shape[1], len(weight) // convolution.groups
    full = np.zeros((len(weight), per_group_in * convolution.groups, weight.shape[2]))
    for g in range(convolution.groups):
        outs, ins = slice(g * per_group_out, (g + 1) * per_group_out), g * per_group_in
        full[outs, ins : ins + per_group_in] = weight[outs]
    return full


def _count_paths(chain: Chain, input_shape: Shape) -> npt.NDArray[np.int64]:
    """Count the ways from each input to any output along non-zero weights."""
    ways: FloatArray = np.ones(chain_output_shape(chain, input_shape))
    for operator in reversed(chain):
        ways = _ways_back(operator, ways)
    return ways.reshape(-1).astype(np.int64)


def _paths_are_pairs(chain: Chain) -> bool:
    """Tell whether no two paths join the same input and output.

    So it is when every input is passed to at most one place up to some operator, and every output
    is read from one place after it.
    """
    for position, operator in enumerate(chain):
        if not _passes_to_one(operator):
            return all(_reads_one(later) for later in chain[position + 1 :])
    return True


def _passes_to_one(operator: LinearOperator) -> bool:
    if isinstance(operator, Select):
        used = [i[i >= 0] for i in operator.indices if i is not None]
        return all(len(np.unique(index)) == len(index) for index in used)
    if isinstance(operator, SumPool):
        window = operator.window
        apart = all(s >= k for s, k in zip(window.strides, window.size, strict=True))
        return apart and all(d == 1 for d in window.dilations)
    return isinstance(operator, Reshape | Transpose | Scale | ReduceSum)


def _reads_one(operator: LinearOperator) -> bool:
    return isinstance(operator, Reshape | Transpose | Scale | Select)


def _column_counts(chain: Chain, paths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count the non-zeros of each column of the product, a block of columns at a time."""
    matrices = [sp.csc_array(operator.to_sparse()) for operator in chain]
    counts = np.zeros(paths.size, np.int64)
    for block in _blocks(paths):
        product = sp.csc_array(matrices[0][:, block])
        for matrix in matrices[1:]:
            product = sp.csc_array(matrix @ product)
        product.eliminate_zeros()
        counts[block] = np.diff(product.indptr)
    return counts


def _blocks(paths: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Cut the columns so that no block of the product has more than BLOCK_ENTRIES entries."""
    edges = np.searchsorted(
        np.cumsum(paths), np.arange(BLOCK_ENTRIES, int(paths.sum()) + 1, BLOCK_ENTRIES)
    )
    cuts = np.unique([0, *edges, paths.size])
    for start, stop in pairwise(cuts):
        yield slice(int(start), int(stop))


def _ways_back(operator: LinearOperator, ways: FloatArray) -> FloatArray:
    """Pull the ways from the outputs back to the inputs: the 0/1 pattern, transposed."""
    shape = operator.input_shape
    if isinstance(operator, Reshape):
        return ways.reshape(shape)
    if isinstance(operator, Transpose):
        return ways.transpose(np.argsort(operator.permutation))
    if isinstance(operator, Scale):
        return np.asarray(ways * (operator.factor != 0))
    if isinstance(operator, ReduceSum):
        return np.broadcast_to(ways, shape)
    if isinstance(operator, Select):
        return _gather_back(operator.sources(), ways, shape)
    if isinstance(operator, SumPool):
        taps = operator.window.view(_positions(shape), fill=-1)[0]
        extra = (1,) * (taps.ndim - ways.ndim)
        spread = np.broadcast_to(ways.reshape(*ways.shape, *extra), taps.shape)
        return _gather_back(taps, spread, shape)
    if isinstance(operator, Dense):
        axis = operator.axis % len(shape)
        pattern = (operator.weight != 0).astype(np.float64)
        return np.asarray(np.moveaxis(np.moveaxis(ways, axis, -1) @ pattern, -1, axis))
    if isinstance(operator, Convolution):
        return _convolution_back(operator, ways)
    if isinstance(operator, TransposedConvolution):
        used = replace(operator, weight=(operator.weight != 0).astype(np.float64))
        return np.asarray(used.adjoint.apply(ways[None])[0])
    if isinstance(operator, Matrix):
        present = operator.matrix.copy()
        present.data = (present.data != 0).astype(np.float64)
        return np.asarray(present.T @ ways.reshape(-1)).reshape(shape)
    raise TypeError(f"no rule for the paths through {type(operator).__name__}")


def _positions(shape: Shape) -> IntArray:
    return np.arange(int(np.prod(shape))).reshape(1, *shape)


def _gather_back(sources: IntArray, ways: FloatArray, shape: Shape) -> FloatArray:
    """Add the ways of each output to the input that it reads (-1: none)."""
    used = sources >= 0
    total = np.bincount(sources[used], weights=ways[used], minlength=int(np.prod(shape)))
    return np.asarray(total, np.float64).reshape(shape)


def _convolution_back(operator: Convolution, ways: FloatArray) -> FloatArray:
    """Transpose the convolution's pattern, one kernel tap at a time."""
    shape, groups = operator.input_shape, operator.groups
    rank, channels = len(operator.strides), operator.weight.shape[1]
    if channels > 1 and operator.weight.all():  # all channels of a group then have the same ways
        one = replace(operator, input_shape=(groups, *shape[1:]), weight=operator.weight[:, :1])
        return np.repeat(_convolution_back(one, ways), channels, axis=0)
    taps = operator.window.view(_positions(shape), fill=-1)[0]
    taps = taps.reshape(*taps.shape[: 1 + rank], -1)  # (in channels, *positions, taps)
    pattern = (operator.weight != 0).astype(np.float64)
    pattern = pattern.reshape(groups, pattern.shape[0] // groups, pattern.shape[1], -1)
    outputs = ways.reshape(groups, ways.shape[0] // groups, -1)
    back = np.zeros(shape)
    for tap in range(taps.shape[-1]):
        arriving = np.einsum("goi,gop->gip", pattern[..., tap], outputs)
        sources = taps[..., tap]
        back += _gather_back(sources, arriving.reshape(sources.shape), shape)
    return back
