"""A connection as taps: which blocks of weights lead from which positions to which.

A node's values are positions times channels (axis 0 of its shape; one position where there are no
other axes). Every chain of linear operators is, for each output position, a list of taps: an input
position and a block of weights (input channels, output channels). A convolution has one block for
each place in its kernel, whatever its strides, dilations and borders; a dense layer behind a
convolution one for each position; pooling, shortcuts and depthwise convolutions have *diagonal*
blocks, one weight a channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    Reshape,
    Shape,
    chain_output_shape,
    chain_to_sparse,
    multiply_adds,
)

MOST_ENTRIES = 2**24
"""Weights that a chain may have, unrolled over its positions, to be looked at one by one."""

IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Taps:
    """What arrives at each position.

    Attributes
    ----------
    starts : (output positions + 1,) int64 array
        First tap of each output position, and the number of all taps.
    sources, blocks : (taps,) int64 arrays
        Input position and block of each tap.
    weights : (blocks, input channels, output channels) or (blocks, output channels) float64 array
        The second form is diagonal: output channel c is fed by input channel c + `shift`.
    shift : int
    """

    starts: IntVector
    sources: IntVector
    blocks: IntVector
    weights: FloatArray
    shift: int = 0

    @property
    def diagonal(self) -> bool:
        """Whether each channel is fed by one channel."""
        return self.weights.ndim == 2


def channels_of(shape: Shape) -> int:
    """Return the number of channels of a node: the extent of its first axis."""
    return shape[0] if shape else 1


def positions_of(shape: Shape) -> int:
    """Return the number of positions of a node: all axes but the first."""
    return math.prod(shape[1:])


def taps_of(chain: Chain, source: Shape) -> Taps | None:
    """Return the taps of a chain from a node of shape `source`; None where they would be too many.

    Parameters
    ----------
    chain : tuple of LinearOperator
    source : tuple of int
    """
    operators = [op for op in chain if not isinstance(op, Reshape)]
    reshaped = len(operators) < len(chain)
    if not chain:
        return _identity(source)
    if len(operators) == 1 and not reshaped and isinstance(operators[0], Convolution):
        return _of_convolution(operators[0])
    flat = len(chain_output_shape(chain, source)) == 1
    if len(operators) == 1 and flat and isinstance(chain[-1], Dense):
        return _of_dense(chain[-1].weight, source)
    if max(multiply_adds(chain), math.prod(source)) > MOST_ENTRIES:
        return None
    return _of_entries(chain, source)


def as_rows(taps: Taps, inputs: int) -> Taps | None:
    """Return diagonal taps with full blocks; None where they would be too many numbers."""
    blocks, outputs = taps.weights.shape
    if blocks * inputs * outputs > MOST_ENTRIES:
        return None
    full = np.zeros((blocks, inputs, outputs))
    into = np.arange(outputs)
    inside = (into + taps.shift >= 0) & (into + taps.shift < inputs)
    full[:, into[inside] + taps.shift, into[inside]] = taps.weights[:, inside]
    return replace(taps, weights=full, shift=0)


def _identity(shape: Shape) -> Taps:
    positions = np.arange(positions_of(shape))
    starts = np.arange(len(positions) + 1)
    return Taps(starts, positions, np.zeros_like(positions), np.ones((1, channels_of(shape))))


def _of_dense(weight: FloatArray, source: Shape) -> Taps:
    channels, positions = channels_of(source), positions_of(source)
    blocks = weight.reshape(len(weight), channels, positions).transpose(2, 1, 0)
    places = np.arange(positions)
    return Taps(np.array([0, positions]), places, places, np.asarray(blocks, np.float64))


def _of_convolution(operator: Convolution) -> Taps | None:
    weight = np.asarray(operator.weight, np.float64)
    outputs, inputs, groups = len(weight), weight.shape[1], operator.groups
    spatial = operator.input_shape[1:]
    index = np.arange(math.prod(spatial)).reshape(1, 1, *spatial)
    places = operator.window.view(index, fill=-1)[0, 0]
    positions = math.prod(operator.output_shape[1:])
    places = places.reshape(positions, -1)
    inside = places >= 0
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    # (taps, inputs, outputs)
    kernels: FloatArray = weight.reshape(outputs, inputs, -1).transpose(2, 1, 0)
    sources, blocks = places[inside], np.nonzero(inside)[1]
    if inputs == 1 and groups == outputs == operator.input_shape[0]:
        return Taps(starts, sources, blocks, np.ascontiguousarray(kernels[:, 0]))
    if groups > 1:
        if len(kernels) * outputs * operator.input_shape[0] > MOST_ENTRIES:
            return None
        kernels = _spread_groups(kernels, groups)
    return Taps(starts, sources, blocks, np.ascontiguousarray(kernels))


def _spread_groups(kernels: FloatArray, groups: int) -> FloatArray:
    """Return blocks over all input channels, zero outside each output's own group."""
    taps, inputs, outputs = kernels.shape
    full = np.zeros((taps, inputs * groups, outputs))
    each = outputs // groups
    for group in range(groups):
        own = slice(group * each, (group + 1) * each)
        full[:, group * inputs : (group + 1) * inputs, own] = kernels[:, :, own]
    return full


def _of_entries(chain: Chain, source: Shape) -> Taps | None:
    """Sort the entries of the chain's matrix into blocks; equal blocks are kept once."""
    target = chain_output_shape(chain, source)
    entries = chain_to_sparse(chain, source).tocoo()
    inner, outer = positions_of(source), positions_of(target)
    rows, columns = np.asarray(entries.row, np.int64), np.asarray(entries.col, np.int64)
    used = entries.data != 0
    rows, columns, values = rows[used], columns[used], entries.data[used]
    into, at = rows // outer, rows % outer  # output channel, output position
    out_of, place = columns // inner, columns % inner
    pairs, tap = np.unique(at * inner + place, return_inverse=True)
    starts = np.searchsorted(pairs // inner, np.arange(outer + 1))
    shifts = np.unique(out_of - into)
    inputs, outputs = channels_of(source), channels_of(target)
    if len(shifts) <= 1:
        rowwise = np.zeros((len(pairs), outputs))
        rowwise[tap, into] = values
        weights, blocks = _distinct(rowwise)
        shift = int(shifts[0]) if len(shifts) else 0
        return Taps(starts, pairs % inner, blocks, weights, shift)
    if len(pairs) * inputs * outputs > MOST_ENTRIES:
        return None
    full = np.zeros((len(pairs), inputs * outputs))
    full[tap, out_of * outputs + into] = values
    weights, blocks = _distinct(full)
    shaped = weights.reshape(-1, inputs, outputs)
    return Taps(starts, pairs % inner, blocks, shaped)


def _distinct(rows: FloatArray) -> tuple[FloatArray, IntVector]:
    """Return the rows that differ, in order, and which of them each row is."""
    if len(rows) and (rows == rows[0]).all():  # shortcuts and pooling: sorting takes ten times that
        return rows[:1], np.zeros(len(rows), np.int64)
    found, which = np.unique(rows, axis=0, return_inverse=True)
    return found, which.reshape(-1)
