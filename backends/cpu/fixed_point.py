"""A node's weights, thresholds and biases as integers: units of one power of two.

On the grids of ``snap.py`` every number that a spike-fed node sums is a multiple of a power of
two. Taken as integers, sums and voltages are exact as long as they fit 32 bits; :attr:`longest`
says for how many steps that is certain. Sums of a step fit 16 bits where weights have few bits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.cpu.taps import Taps, channels_of, positions_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Readout
from snnconvert.convert.snap import common_power_of_two

LANES = 16
"""Channels are padded to a multiple of it."""

FEWEST_ROWS = 32
"""Rows that must be summed in 16 bits at once to save more than widening the sum costs."""

NEVER = 2**31 - 1
"""A threshold out of reach."""

LARGEST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Integers of one node; arrays are (1 or positions, padded channels) int32.

    Attributes
    ----------
    unit : float
        What 1 stands for.
    weights : tuple of int32 arrays
        Of each feed, as in ``Taps``.
    bias, threshold, v_init : arrays
        Thresholds of padded channels are never reached.
    narrow : bool
        Whether the sums of every step fit 16 bits.
    weight_bytes : int
        Bytes that hold every weight, those of diagonal feeds apart; no more than the sums need.
    digits : int
        Digits of base 256, from -128 to 127, that hold every weight, modulo 2^32.
    rows_together : int
        How many of these weights always sum to 16 bits; 0 where too few do for it to pay, and
        where all do.
    longest : int
        Steps for which voltages certainly fit 32 bits; a readout's sums are those of one step.
    """

    unit: float
    weights: tuple[npt.NDArray[np.int32], ...]
    bias: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.int32]
    v_init: npt.NDArray[np.int32]
    narrow: bool
    weight_bytes: int
    digits: int
    rows_together: int
    longest: int


def padded(channels: int) -> int:
    """Return the number of channels in memory."""
    return -(-channels // LANES) * LANES


def by_position(parameter: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return a parameter that broadcasts against `shape` as (1 or positions, channels)."""
    full = np.broadcast_to(np.asarray(parameter, np.float64), shape)
    rows = full.reshape(channels_of(shape), positions_of(shape)).T
    return rows[:1] if (rows == rows[:1]).all() else np.ascontiguousarray(rows)


def fixed_point(node: Population | Readout, feeds: Sequence[Taps]) -> FixedPoint | None:
    """Return the integers of a node; None where 32 bits do not hold them."""
    neuron = (node.threshold, node.v_init) if isinstance(node, Population) else ()
    parameters = [by_position(p, node.shape) for p in (node.bias, *neuron)]
    numbers = [*parameters, *(taps.weights for taps in feeds)]
    units = [common_power_of_two(array) for array in numbers if np.any(array)]
    unit = min(units, default=1.0)
    largest = max((float(np.abs(array).max(initial=0.0)) for array in numbers), default=0.0)
    if largest / unit > LARGEST:
        return None
    weights = tuple(np.asarray(taps.weights / unit).astype(np.int32) for taps in feeds)
    whole = [np.asarray(p / unit) for p in parameters]
    bias, threshold, v_init = (
        whole if neuron else (whole[0], np.full((1, 1), NEVER), np.zeros((1, 1)))
    )
    rising, falling = _bounds(feeds, weights, node.shape)
    narrow = bool(rising.max(initial=0) < 2**15 and falling.max(initial=0) <= 2**15)
    step = max((rising + np.maximum(bias, 0)).max(), (falling - np.minimum(bias, 0)).max(), 1)
    room = LARGEST - 1 - max((float(np.abs(p).max()) for p in whole[1:]), default=0.0)
    channels = channels_of(node.shape)
    weight = max((int(np.abs(w).max(initial=0)) for w in weights if w.ndim > 2), default=0)
    together = (2**15 - 1) // weight if not narrow and 0 < weight <= 2**15 // FEWEST_ROWS else 0
    return FixedPoint(
        unit,
        weights,
        _padded(bias, channels, 0),
        _padded(threshold, channels, NEVER),
        _padded(v_init, channels, 0),
        narrow,
        _weight_bytes(weight, narrow, in_16_bits=narrow or together > 0),
        next(n for n in (1, 2, 3, 4) if n == 4 or weight <= 127 * (256**n - 1) // 255),
        together,
        math.floor(room / float(step)) if neuron or step > room else sys.maxsize,
    )


def _weight_bytes(weight: int, narrow: bool, *, in_16_bits: bool) -> int:
    """Return the bytes of a row's numbers: those of what they are summed in, or half of them."""
    if narrow and weight >= 2**7:
        return 2
    return next(b for b in ((1, 2) if in_16_bits else (2, 4)) if weight < 2 ** (8 * b - 1))


def _padded(rows: FloatArray, channels: int, fill: int) -> npt.NDArray[np.int32]:
    full = np.full((len(rows), padded(channels)), fill, np.int32)
    full[:, :channels] = rows
    return full


def _bounds(
    feeds: Sequence[Taps], weights: Sequence[npt.NDArray[np.int32]], shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return the most by which a step's spikes raise and lower each sum, (positions, channels)."""
    totals = np.zeros((2, positions_of(shape), channels_of(shape)))
    for taps, block in zip(feeds, weights, strict=True):
        signs = np.maximum(block, 0), np.maximum(-block, 0)
        columns = [s if taps.diagonal else s.sum(axis=1, dtype=np.int64) for s in signs]
        counts = sp.csr_array(
            (np.ones(len(taps.blocks)), taps.blocks, taps.starts),
            shape=(len(taps.starts) - 1, len(block)),
        )
        for total, column in zip(totals, columns, strict=True):
            total += np.asarray(counts @ column)
    return totals[0], totals[1]
