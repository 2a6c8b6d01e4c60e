"""Histograms of positive values by channel that do not depend on the order of the data.

Every bin's edges follow from the exponent of the channel's largest value alone, so streaming the
same values in any order, in batches of any size, or merging two halves ends in the same counts,
bit for bit. Memory is bounded: ``BINS`` counters a channel.

The bins are those of a small floating-point format with gradual underflow: 256 to an octave in the
upper seven octaves, equal widths below. A bin is at most 1/256 of its value wide, or 2**-15 of
twice the channel's maximum. When a larger octave appears, pairs of bins merge, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray

Counts: TypeAlias = npt.NDArray[np.int64]

MANTISSA_BITS = 8
OCTAVES = 7
PER_OCTAVE = 2**MANTISSA_BITS
BINS = (OCTAVES + 1) * PER_OCTAVE
"""Counters a channel: the octaves, and the equal widths below them."""

_FLOAT_MANTISSA = 23
_DROPPED_BITS = _FLOAT_MANTISSA - MANTISSA_BITS
_EXPONENT_BIAS = 127
_TINY = np.finfo(np.float32).tiny
"""The smallest normal number: what is smaller counts as zero."""

_PENDING = 2**20


@dataclass(frozen=True, eq=False)
class Distribution:
    """Positive values of one population part as bins, and how many values there were in all.

    Attributes
    ----------
    counts : (bins,) int64 array
        Of values in each bin.
    edges : (bins + 1,) float64 array
        Rising; bin i is [edges[i], edges[i + 1]).
    total : int
        Values in all, those that are not positive included.
    maximum : float
        The largest value, exactly; 0 when none is positive.
    """

    counts: Counts
    edges: FloatArray
    total: int
    maximum: float

    @property
    def positive(self) -> int:
        """How many values are positive."""
        return int(self.counts.sum())

    @cached_property
    def centres(self) -> FloatArray:
        """The middle of each bin, at most the maximum."""
        return np.minimum((self.edges[:-1] + self.edges[1:]) / 2, self.maximum)

    def quantile(self, share: float) -> float:
        """Return the quantile of all values, negative ones taken as zero.

        Interpolates linearly between order statistics as ``numpy.quantile`` does, within a bin as
        if its values were spread evenly: exact to the width of a bin. ``share=1`` is the maximum.
        """
        if share >= 1.0 or not self.total:
            return self.maximum
        below = np.concatenate([[0], np.cumsum(self.counts)]) + self.total - self.positive
        rank = share * (self.total - 1) + 0.5  # value number i stands at rank i + 1/2
        if rank <= below[0]:
            return 0.0
        return min(float(np.interp(rank, below, self.edges)), self.maximum)


class ChannelHistogram:
    """Counts of positive float32 values by channel; order-independent and mergeable.

    Parameters
    ----------
    channels : int

    Attributes
    ----------
    top : (channels,) int32 array
        Exponent of each channel's largest value, as float32 stores it, at least 1.
    total : int
        Values of each channel so far.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.top = np.ones(channels, np.int32)
        self.total = 0
        self._maximum = np.zeros(channels, np.float32)
        self._counts: Counts = np.zeros((channels, BINS), np.int64)
        self._pending: list[npt.NDArray[np.float32]] = []
        self._pending_values = 0

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Count finite values of shape (channels, n); those that are not positive only in total."""
        assert values.shape[0] == self.channels and values.dtype == np.float32
        self.total += values.shape[1]
        if values.size:
            largest = values.max(axis=1)
            self._maximum = np.maximum(self._maximum, np.where(largest < _TINY, 0, largest))
            self._pending.append(values)
            self._pending_values += values.size
        if self._pending_values >= _PENDING:
            self._flush()

    def merge(self, other: ChannelHistogram) -> None:
        """Add what another histogram of as many channels counted."""
        assert other.channels == self.channels
        self._flush()
        other._flush()
        top = np.maximum(self.top, other.top)
        self._raise_top(top)
        self._counts += _lowered_counts(other.counts, top - other.top)
        self._maximum = np.maximum(self._maximum, other._maximum)
        self.total += other.total

    @property
    def counts(self) -> Counts:
        """(channels, BINS) counts of positive values."""
        self._flush()
        return self._counts

    @property
    def maximum(self) -> FloatArray:
        """(channels,) largest values, exactly; 0 where none is positive."""
        return self._maximum.astype(np.float64)

    def channel(self, index: int) -> Distribution:
        """Return the distribution of one channel."""
        return self.merged(slice(index, index + 1))

    def merged(self, channels: slice = slice(None)) -> Distribution:
        """Return the distribution of some channels together, by default of all."""
        counts, tops = self.counts[channels], self.top[channels]
        top = tops.max(initial=1)
        return Distribution(
            _lowered_counts(counts, top - tops).sum(axis=0),
            _edges(int(top)),
            self.total * len(counts),
            float(self._maximum[channels].max(initial=0.0)),
        )

    def _flush(self) -> None:
        if not self._pending:
            return
        values = np.concatenate(self._pending, axis=1)
        self._pending, self._pending_values = [], 0
        channel, position = np.nonzero(values >= _TINY)
        bits = values[channel, position].view(np.int32)
        self._raise_top(np.maximum(self.top, self._maximum.view(np.int32) >> _FLOAT_MANTISSA))
        index = channel * BINS + _bin(bits, self.top[channel])
        size = self.channels * BINS
        self._counts += np.bincount(index, minlength=size).reshape(self.channels, BINS)

    def _raise_top(self, top: npt.NDArray[np.int32]) -> None:
        self._counts = _lowered_counts(self._counts, top - self.top)
        self.top = top


def _bin(bits: npt.NDArray[np.int32], top: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the bins of positive normal float32 values, given as their bits."""
    exponent = bits >> _FLOAT_MANTISSA
    mantissa = (bits & ((1 << _FLOAT_MANTISSA) - 1)) | (1 << _FLOAT_MANTISSA)
    return np.asarray(_place(mantissa >> _DROPPED_BITS, top - exponent), np.int32)


def _place(
    significand: npt.NDArray[np.int32], below: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return the bin of a significand in [256, 512), `below` octaves under the top."""
    octave = np.maximum(OCTAVES - 1 - below, 0)
    shift = np.clip(below - (OCTAVES - 1), 0, 31)
    return np.asarray((significand >> shift) + octave * PER_OCTAVE)


def _lowered_counts(counts: Counts, octaves: npt.NDArray[np.int32]) -> Counts:
    """Return the counts after the top of each channel rose by some octaves."""
    lowered = counts.copy()
    for rise in np.unique(octaves[octaves > 0]):
        rows = np.flatnonzero(octaves == rise)
        moved = np.zeros((BINS, len(rows)), np.int64)
        np.add.at(moved, _lowered_bins(int(rise)), counts[rows].T)
        lowered[rows] = moved.T
    return lowered


def _lowered_bins(rise: int) -> npt.NDArray[np.int64]:
    """Return where each bin lies after the top rose by `rise` octaves."""
    bins = np.arange(BINS)
    octave = np.maximum(bins // PER_OCTAVE - 1, 0)
    significand = bins - octave * PER_OCTAVE
    return np.asarray(_place(significand, OCTAVES - 1 - octave + rise), np.int64)


def _edges(top: int) -> FloatArray:
    """Return the (BINS + 1,) edges of the bins below the octave that float32 calls `top`."""
    bins = np.arange(BINS + 1)
    octave = np.maximum(bins // PER_OCTAVE - 1, 0)
    exponent = top - _EXPONENT_BIAS - (OCTAVES - 1) - MANTISSA_BITS
    return np.asarray(np.ldexp((bins - octave * PER_OCTAVE).astype(np.float64), octave + exponent))
