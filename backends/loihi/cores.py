"""What a Loihi core holds, and what a tile of a population takes of it.

The counts are those that nengo-loihi checks after it has split a network: compartments, input
axons, output-axon slots and bits of synapse memory. They follow ``nengo_loihi.conv``,
``split_blocks`` and ``SynapseConfig.bits_per_axon`` of release 1.1.0; a test compares them with
built networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from snnconvert.backends.loihi.synapses import (
    DenseSynapses,
    SharedKernel,
    SparseSynapses,
    Synapses,
)

Counts = npt.NDArray[np.int64]
Ranges = list[tuple[int, int]]

WEIGHT_BITS = 8
RUN = 64
RUN_OVERHEAD_BITS = 10
MEMORY_UNIT_BITS = 64
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)
SLOTS_PER_PIXEL = 2
"""Output-axon slots of a convolution's axon (nengo-loihi's default ``pop_type``, 32)."""
BASES = 256
"""An axon's compartment offset is below this; larger ones need their own copy of the weights."""


@dataclass(frozen=True)
class Usage:
    """What one core holds, or may hold.

    Attributes
    ----------
    compartments, input_axons, output_axons, synapse_bits : int
    """

    compartments: int
    input_axons: int
    output_axons: int
    synapse_bits: int


LIMITS = Usage(1024, 4096, 4096, 1024 * 1024)
CORES_PER_CHIP = 128

LIMIT_NAMES = {
    "compartments": "compartments",
    "input_axons": "input axons",
    "output_axons": "output-axon slots",
    "synapse_bits": "bits of synapse memory",
}


def exceeded(usage: Usage) -> tuple[str, int, int] | None:
    """Return (limit, needed, available) of the first limit that is exceeded."""
    for field in fields(Usage):
        needed, available = getattr(usage, field.name), getattr(LIMITS, field.name)
        if needed > available:
            return LIMIT_NAMES[field.name], needed, available
    return None


def memory_bits(weights: int, index_bits: int) -> int:
    """Return the synapse memory of the weights that one axon reaches.

    Runs of up to 64 weights share a header, and each takes whole memory units.
    """
    whole, rest = divmod(weights, RUN)
    bits = whole * _run_bits(RUN, index_bits)
    return bits + (_run_bits(rest, index_bits) if rest else 0)


def _run_bits(weights: int, index_bits: int) -> int:
    bits = weights * (WEIGHT_BITS + index_bits) + RUN_OVERHEAD_BITS
    return -(-bits // MEMORY_UNIT_BITS) * MEMORY_UNIT_BITS


def index_bits(largest: int) -> int:
    """Return the width of an index field that holds `largest`."""
    needed = math.ceil(math.log2(largest + 1)) if largest > 0 else 0
    return next((bits for bits in INDEX_BITS if bits >= needed), INDEX_BITS[-1] + 1)


@dataclass(frozen=True)
class Tiling:
    """How a population is cut into tiles, one a core.

    Attributes
    ----------
    shape : tuple of int
        The population's.
    tile : tuple of int
        The extent of a tile along each axis; the last tiles of an axis may be smaller.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]

    @cached_property
    def ranges(self) -> list[Ranges]:
        """The [start, stop) of the tiles along each axis."""
        return [
            [(start, min(start + size, extent)) for start in range(0, extent, size)]
            for extent, size in zip(self.shape, self.tile, strict=True)
        ]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(len(r) for r in self.ranges)

    @property
    def cores(self) -> int:
        """Number of tiles."""
        return math.prod(self.counts)

    @cached_property
    def tile_of(self) -> Counts:
        """The tile that each neuron is in, (size,), tiles counted in C order."""
        indices = [
            np.repeat(np.arange(len(r)), [stop - start for start, stop in r]) for r in self.ranges
        ]
        grid = np.meshgrid(*indices, indexing="ij")
        flat = np.ravel_multi_index(tuple(g.reshape(-1) for g in grid), self.counts)
        return np.asarray(flat, np.int64)

    @property
    def compartments(self) -> Counts:
        """Neurons of each tile, shape `counts`."""
        sizes = np.ones((), np.int64)
        for r in self.ranges:
            sizes = np.multiply.outer(sizes, np.array([stop - start for start, stop in r]))
        return sizes


def input_usage(synapses: Synapses, tiling: Tiling) -> tuple[Counts, Counts]:
    """Return the input axons and synapse bits of every tile of the target.

    Returns
    -------
    two int arrays of shape ``tiling.counts``
    """
    if isinstance(synapses, SharedKernel):
        return _KernelUsage(synapses, tiling).usage()
    if isinstance(synapses, DenseSynapses):
        inputs = synapses.weight.shape[1]
        bits = [inputs * memory_bits(int(n), 0) for n in tiling.compartments.reshape(-1)]
        axons = np.full(tiling.counts, inputs)
        return axons, np.array(bits).reshape(tiling.counts)
    return _sparse_usage(synapses, tiling)


def _sparse_usage(synapses: SparseSynapses, tiling: Tiling) -> tuple[Counts, Counts]:
    tiles, weights = _axons_of_tiles(synapses, tiling)[1:]
    widths = np.array([memory_bits(n, 0) for n in range(int(weights.max(initial=0)) + 1)])
    axons = np.bincount(tiles, minlength=tiling.cores)
    bits = np.bincount(tiles, weights=widths[weights], minlength=tiling.cores)
    return axons.reshape(tiling.counts), bits.astype(np.int64).reshape(tiling.counts)


def _axons_of_tiles(synapses: SparseSynapses, tiling: Tiling) -> tuple[Counts, Counts, Counts]:
    """Return the distinct (source neuron, target tile) pairs and the weights of each."""
    matrix = synapses.matrix.tocoo()
    rows, columns = matrix.coords
    pair = columns.astype(np.int64) * tiling.cores + tiling.tile_of[rows]
    if tiling.cores == 1:  # an unsplit target keeps an axon even for sources without a weight
        sources = np.arange(matrix.shape[1])
        return sources, np.zeros_like(sources), np.bincount(pair, minlength=matrix.shape[1])
    distinct, weights = np.unique(pair, return_counts=True)
    return distinct // tiling.cores, distinct % tiling.cores, weights


def output_usage(synapses: Synapses, source: Tiling, target: Tiling) -> Counts:
    """Return the output-axon slots that every tile of the source needs for these synapses.

    Returns
    -------
    int array of shape ``source.counts``
    """
    if isinstance(synapses, SharedKernel):
        return _KernelUsage(synapses, target).output_slots(source)
    if isinstance(synapses, DenseSynapses):
        return np.asarray(source.compartments * target.cores)
    sources = _axons_of_tiles(synapses, target)[0]
    slots = np.bincount(source.tile_of[sources], minlength=source.cores)
    return slots.reshape(source.counts)


class _Axis:
    """The geometry of a kernel along one axis, cut into the target's tiles.

    Parameters
    ----------
    labels : (kernel size,) int array
        Taps with the same label have equal weights.
    extent, stride, pad : int
        Of the source, and of the convolution.
    ranges : list of (start, stop)
        The target's tiles.
    """

    def __init__(self, labels: Counts, extent: int, stride: int, pad: int, ranges: Ranges) -> None:
        self.labels, self.ranges = labels, ranges
        position = np.arange(extent) + pad
        size = len(labels)
        # source position p feeds output o through tap p + pad - stride * o
        self.lowest = np.maximum(-(-(position - size + 1) // stride), 0)
        self.highest = np.minimum(position // stride, ranges[-1][1] - 1)
        self.position, self.stride = position, stride

    def reaching(self, start: int, stop: int) -> Counts:
        """Return the source positions that feed outputs [start, stop)."""
        first, last = np.maximum(self.lowest, start), np.minimum(self.highest, stop - 1)
        return np.flatnonzero(first <= last)

    def tiles_reached(self) -> Counts:
        """Return, for each source position, how many tiles it feeds."""
        reached = np.zeros(len(self.position), np.int64)
        for start, stop in self.ranges:
            reached[self.reaching(start, stop)] += 1
        return reached

    def patterns(self, start: int, stop: int, *, shared: bool) -> list[tuple[tuple[int, ...], int]]:
        """Return (taps used, first output within the tile) for each position that reaches it.

        Parameters
        ----------
        start, stop : int
            The tile.
        shared : bool
            Whether taps of equal weights count as one.
        """
        found = []
        for p in self.reaching(start, stop):
            first = max(int(self.lowest[p]), start)
            last = min(int(self.highest[p]), stop - 1)
            taps = self.position[p] - self.stride * np.arange(first, last + 1)
            named = self.labels[taps] if shared else taps
            found.append((tuple(int(t) for t in named), first - start))
        return found


class _KernelUsage:
    """Axons and memory of a convolution whose target is cut into tiles.

    nengo-loihi stores the weights that a pixel reaches once for all pixels that use the same taps
    (unsplit target) or that have equal weights at equal relative positions (split target).
    """

    def __init__(self, kernel: SharedKernel, tiling: Tiling) -> None:
        self.kernel = kernel
        # a fully connected target is a flat list: its neurons are the channels of one position
        ranges = (
            tiling.ranges if len(tiling.ranges) == 3 else [tiling.ranges[0], [(0, 1)], [(0, 1)]]
        )
        if len(tiling.shape) == 2:
            ranges = [tiling.ranges[0], [(0, 1)], tiling.ranges[1]]
        self.channels = ranges[0]
        self.counts = tiling.counts
        self.split = tiling.cores > 1
        self.rows, self.columns = (
            _Axis(
                _equal_taps(kernel.weight, axis),
                kernel.input_shape[1 + axis],
                kernel.strides[axis],
                kernel.pads[axis],
                ranges[1 + axis],
            )
            for axis in (0, 1)
        )

    def usage(self) -> tuple[Counts, Counts]:
        """Return input axons and synapse bits of every tile."""
        shape = (len(self.channels), len(self.rows.ranges), len(self.columns.ranges))
        axons, bits = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        whole = math.prod(self.kernel.input_shape[1:])
        for r, rows in enumerate(self.rows.ranges):
            for c, columns in enumerate(self.columns.ranges):
                pixels = len(self.rows.reaching(*rows)) * len(self.columns.reaching(*columns))
                axons[:, r, c] = pixels if self.split else whole
                for k, (start, stop) in enumerate(self.channels):
                    if k == 0 or stop - start != self.channels[k - 1][1] - self.channels[k - 1][0]:
                        stored = self._stored_bits(rows, columns, stop - start)
                    bits[k, r, c] = stored
        return axons.reshape(self.counts), bits.reshape(self.counts)

    def _stored_bits(self, rows: tuple[int, int], columns: tuple[int, int], channels: int) -> int:
        width, height = columns[1] - columns[0], rows[1] - rows[0]
        row_patterns = self.rows.patterns(*rows, shared=self.split)
        column_patterns = self.columns.patterns(*columns, shared=self.split)
        entries = set()
        largest = 0
        by_base = height * width > BASES
        for row_taps, row in set(row_patterns) if by_base else {(t, 0) for t, _ in row_patterns}:
            for column_taps, column in (
                set(column_patterns) if by_base else {(t, 0) for t, _ in column_patterns}
            ):
                page = (row * width + column) // BASES
                entries.add((row_taps, column_taps, page))
                span = (len(row_taps) - 1) * width + len(column_taps) - 1
                index = (channels - 1) * height * width + span + page * BASES
                largest = max(largest, index)
        bits = index_bits(largest)
        inputs = self.kernel.input_shape[0]
        return sum(memory_bits(inputs * channels * len(r) * len(c), bits) for r, c, _ in entries)

    def output_slots(self, source: Tiling) -> Counts:
        """Return the slots of every tile of the source."""
        reached_rows, reached_columns = self.rows.tiles_reached(), self.columns.tiles_reached()
        if not self.split:  # the axons of unused pixels are kept
            reached_rows, reached_columns = (
                np.ones_like(reached_rows),
                np.ones_like(reached_columns),
            )
        pixels = np.multiply.outer(reached_rows, reached_columns) * len(self.channels)
        ranges: Sequence[Ranges] = source.ranges
        if len(source.shape) == 2:
            ranges = [ranges[0], [(0, 1)], ranges[1]]
        sums = [
            [int(pixels[slice(*r), slice(*c)].sum()) for c in ranges[2]] for r in ranges[1]
        ]  # fmt: skip
        slots = np.array(sums) * SLOTS_PER_PIXEL
        return np.broadcast_to(slots, (len(ranges[0]), *slots.shape)).reshape(source.counts)


def _equal_taps(weight: npt.NDArray[np.floating], axis: int) -> Counts:
    """Label the kernel's slices along a spatial axis; equal slices get the same label."""
    slices = np.moveaxis(weight, 2 + axis, 0)
    slices = np.ascontiguousarray(slices.reshape(len(slices), -1).astype(np.float32))
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(s.tobytes(), len(known)) for s in slices])
