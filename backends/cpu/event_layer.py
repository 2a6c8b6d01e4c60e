"""Layers that compute with spikes as bits: what the kernels of ``kernels/`` need, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.fixed_point import LANES, FixedPoint, padded
from snnconvert.backends.cpu.kernels.index import SLACK, Events
from snnconvert.backends.cpu.kernels.layer import (
    DIAGONAL,
    FEED,
    HEADER,
    PATTERNS,
    ROWS,
    Form,
    Method,
    layer_kernel,
)
from snnconvert.backends.cpu.sent import Bits
from snnconvert.backends.cpu.taps import Taps, channels_of, positions_of
from snnconvert.convert.network import Population, Readout

LARGEST_BLOCK = 4
"""Vectors of channels whose voltages stay in registers together."""

ACCUMULATORS = 16
"""Sums in registers: vectors times steps."""

WIDEST = 8
"""Bytes of spikes whose sums are written out one after the other in a kernel."""

Arguments: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Arriving:
    """The spikes of one feed.

    Attributes
    ----------
    feed : int
        Its number in the layer.
    bits : (n, positions, steps, bytes) uint8 array
        What the source sent.
    first : int
        The step in it that arrives at the first step.
    """

    feed: int
    bits: Bits
    first: int


@dataclass(frozen=True, eq=False)
class Membranes:
    """State of a layer: (n, positions, padded channels) voltages and int32 counts."""

    voltage: npt.NDArray[Any]
    counts: npt.NDArray[np.int32]


class EventLayer:
    """A population or readout that spikes alone feed.

    Parameters
    ----------
    node : Population or Readout
    feeds : sequence of Taps
        One a connection.
    numbers : FixedPoint
    arena : Arena
        Memory for tables.
    """

    def __init__(
        self, node: Population | Readout, feeds: Sequence[Taps], numbers: FixedPoint, arena: Arena
    ) -> None:
        self.node, self.feeds, self.numbers, self._arena = node, feeds, numbers, arena
        self.channels = padded(channels_of(node.shape))
        self.positions = positions_of(node.shape)
        self.fires = isinstance(node, Population)
        self.lanes = 32 if numbers.narrow and self.channels % 32 == 0 else LANES
        groups = self.channels // self.lanes
        self.vectors = max(v for v in range(1, LARGEST_BLOCK + 1) if groups % v == 0)
        self._tables: dict[Method, list[npt.NDArray[Any]]] = {}
        self._taps: dict[tuple[int, int, Method], npt.NDArray[np.int64]] = {}
        self._silent = np.zeros((1, self.channels), np.int32)
        self._never = np.full((1, self.channels), np.iinfo(np.int32).max, np.int32)

    def form(self, method: Method) -> Form:
        """Return the form of the kernel."""
        together = 1 if method == "events" else max(min(8, ACCUMULATORS // self.vectors), 1)
        reset = isinstance(self.node, Population) and self.node.reset == "zero"
        return Form(
            method,
            self.lanes,
            self.vectors,
            together,
            blocks=self.channels // (self.lanes * self.vectors),
            width=self._width() if method == "patterns" else 0,
            narrow=self.numbers.narrow,
            short=self.numbers.short and method == "events",
            to_zero=reset,
            fires=self.fires,
        )

    def _width(self) -> int:
        """Return the bytes of the sources of patterns, 0 where they differ or are many."""
        widths = {padded(f.weights.shape[1]) // 8 for f in self.feeds if not f.diagonal}
        return widths.pop() if len(widths) == 1 and max(widths) <= WIDEST else 0

    def membranes(self, n: int) -> Membranes:
        """Return the state of so many samples before the first step."""
        shape = (n, self.positions, self.channels)
        voltage = np.empty(shape, np.int32)
        voltage[...] = self.numbers.v_init
        return Membranes(voltage, np.zeros(shape, np.int32))

    def advance(
        self,
        method: Method,
        membranes: Membranes,
        arriving: Sequence[Arriving],
        out: npt.NDArray[Any],
        steps: slice,
        *,
        biased: bool,
        firing: bool,
        pool: Executor | None,
        threads: int,
    ) -> None:
        """Advance all samples by some steps.

        Parameters
        ----------
        method : {"patterns", "events"}
        membranes : Membranes
            Advanced in place.
        arriving : sequence of Arriving
            The feeds that bring something.
        out : (n, positions, steps, bytes) uint8 or (n, positions, steps, channels) int32 array
            Receives spikes, or the sums of a readout.
        steps : slice
            Those of `out` that are computed.
        biased, firing : bool
            Whether the bias flows, and whether neurons may fire.
        pool, threads : Executor, int
            Threads for parts of one sample.
        """
        kernel = layer_kernel(self.form(method))
        bias = self.numbers.bias if biased else self._silent
        threshold = self.numbers.threshold if firing else self._never
        length = steps.stop - steps.start
        room = self._scratch(length, arriving) if method == "events" else 0
        parts = split(self.positions, threads)
        for sample in range(len(out)):
            feeds, kept = self._feeds(method, arriving, sample)
            for_one = membranes.voltage[sample], membranes.counts[sample], out[sample]
            head = _header(*for_one, steps.start, length, bias, threshold)
            head[11] = len(arriving)
            run_parts(kernel, np.concatenate([head, *feeds]), parts, room, pool)
            del kept

    def _feeds(
        self, method: Method, arriving: Sequence[Arriving], sample: int
    ) -> tuple[list[Arguments], list[Any]]:
        """Return the arguments of the feeds of one sample, and what must live as long as they."""
        feeds, kept = [], []
        for part in arriving:
            taps, bits = self.feeds[part.feed], part.bits[sample]
            step = bits.strides[1]
            source, width = bits.ctypes.data + part.first * step, bits.strides[0]
            groups = shift = 0
            if taps.diagonal:
                kind, shift = DIAGONAL, taps.shift // 8
            else:
                kind, groups = ROWS, bits.shape[2]
                if method == "events":
                    events = Events(bits)
                    kept.append(events)
                    step, width = 8, 8 * bits.shape[1]
                    source = events.ends.ctypes.data + part.first * step
            places = self._places(part.feed, width, method)
            addresses = source, taps.starts.ctypes.data, places.ctypes.data
            block = self.tables(method)[part.feed].strides[0] if kind == ROWS else 0
            feeds.append(np.array([kind, *addresses, step, groups, shift, block], np.int64))
            assert len(feeds[-1]) == FEED
        return feeds, kept

    def _places(self, feed: int, width: int, method: Method) -> npt.NDArray[np.int64]:
        """Return, for each tap, where its position begins in the source, and its table."""
        key = (feed, width, method)
        if key not in self._taps:
            taps, table = self.feeds[feed], self.tables(method)[feed]
            places = np.empty((len(taps.sources), 2), np.int64)
            places[:, 0] = taps.sources * width
            rows = method == "events" and not taps.diagonal  # in front: blocks of channels
            places[:, 1] = table.ctypes.data + taps.blocks * table.strides[1 if rows else 0]
            self._taps[key] = places
        return self._taps[key]

    def _scratch(self, steps: int, arriving: Sequence[Arriving]) -> int:
        """Return the numbers that the lists of a position may take."""
        most = 0
        for part in arriving:
            taps = self.feeds[part.feed]
            if not taps.diagonal:
                most += int(np.diff(taps.starts).max(initial=0)) * taps.weights.shape[1]
        return (steps + 1) * (most + 1) + SLACK

    def tables(self, method: Method) -> list[npt.NDArray[Any]]:
        """Return the weight tables of the feeds, made at the first use."""
        if method not in self._tables:
            form = self.form(method)
            make = _row_table if method == "events" else _pattern_table
            self._tables[method] = [
                _diagonal_table(w, form) if taps.diagonal else make(w, form, self._arena)
                for taps, w in zip(self.feeds, self.numbers.weights, strict=True)
            ]
        return self._tables[method]


def _header(
    voltage: npt.NDArray[Any],
    counts: npt.NDArray[np.int32],
    out: npt.NDArray[Any],
    first: int,
    steps: int,
    bias: npt.NDArray[Any],
    threshold: npt.NDArray[Any],
) -> Arguments:
    """Return the arguments of a kernel for one sample, without positions, blocks and feeds."""
    head = np.zeros(HEADER, np.int64)
    head[2:5] = steps, voltage.ctypes.data, counts.ctypes.data
    head[5:7] = bias.ctypes.data, bias.strides[0] if len(bias) > 1 else 0
    head[7:9] = threshold.ctypes.data, threshold.strides[0] if len(threshold) > 1 else 0
    head[9:11] = out.ctypes.data + first * out.strides[1], out.strides[0]
    return head


def split(positions: int, threads: int) -> list[tuple[int, int]]:
    """Cut the positions of a sample into parts of about the same size."""
    edges = np.linspace(0, positions, min(max(threads, 1), positions) + 1).astype(int)
    return [(int(a), int(b)) for a, b in zip(edges, edges[1:], strict=False)]


def run_parts(
    kernel: Callable[[Arguments], None],
    arguments: Arguments,
    parts: Sequence[tuple[int, int]],
    room: int,
    pool: Executor | None,
) -> None:
    """Run a kernel over the parts of a sample, side by side where there is a pool."""

    def one(part: tuple[int, int]) -> None:
        own, scratch = arguments.copy(), np.empty(room, np.int64)
        own[:2] = part
        own[12] = scratch.ctypes.data
        kernel(own)

    if pool is None or len(parts) == 1:
        for part in parts:
            one(part)
    else:
        list(pool.map(one, parts))


def _row_table(weights: npt.NDArray[np.int64], form: Form, arena: Arena) -> npt.NDArray[Any]:
    """Return rows of weights, (blocks of channels, blocks of weights, inputs, channels)."""
    count, inputs, outputs = weights.shape
    full = np.zeros((count, inputs, form.blocks * form.channels), _weight_type(form))
    full[:, :, :outputs] = weights
    table = arena.zeros((form.blocks, count, inputs, form.channels), full.dtype)
    table[...] = full.reshape(count, inputs, form.blocks, -1).transpose(2, 0, 1, 3)
    return table


def _pattern_table(weights: npt.NDArray[np.int64], form: Form, arena: Arena) -> npt.NDArray[Any]:
    """Return the sums of all patterns, (blocks, groups of eight inputs, 256, channels).

    Each half of a group's table is the half before it plus the row of one more input.
    """
    blocks, inputs, outputs = weights.shape
    groups, channels = padded(inputs) // 8, form.blocks * form.channels
    rows = np.zeros((blocks, groups * 8, channels), _weight_type(form))
    rows[:, :inputs, :outputs] = weights
    rows = rows.reshape(blocks, groups, 8, channels)
    table = arena.zeros((blocks, groups, PATTERNS, channels), rows.dtype)
    for bit in range(8):
        half = 1 << bit
        np.add(table[:, :, :half], rows[:, :, bit, None], out=table[:, :, half : 2 * half])
    return table


def _diagonal_table(weights: npt.NDArray[np.int64], form: Form) -> npt.NDArray[Any]:
    table = np.zeros((len(weights), form.blocks * form.channels), _weight_type(form))
    table[:, : weights.shape[1]] = weights
    return table


def _weight_type(form: Form) -> npt.DTypeLike:
    return np.int16 if form.weight_bytes == 2 else np.int32


class AnalogLayer:
    """A population that constant currents alone drive: its spikes come from one kernel, as bits.

    Parameters
    ----------
    node : Population
    threshold, v_init, bias : (1 or positions, channels) float64 arrays
    """

    def __init__(
        self,
        node: Population,
        threshold: npt.NDArray[np.float64],
        v_init: npt.NDArray[np.float64],
        bias: npt.NDArray[np.float64],
    ) -> None:
        self.node = node
        self.count = channels_of(node.shape)
        self.channels, self.positions = padded(self.count), positions_of(node.shape)
        self._threshold = self._pad(threshold, np.inf)
        self._v_init, self._bias = self._pad(v_init, 0.0), bias
        self._never = np.full((1, self.channels), np.inf)
        blocks, to_zero = self.channels // LANES, node.reset == "zero"
        self._form = Form("patterns", LANES, 1, 1, blocks, to_zero=to_zero, analog=True)

    def _pad(self, rows: npt.NDArray[np.float64], fill: float) -> npt.NDArray[np.float64]:
        full = np.full((*rows.shape[:-1], self.channels), fill)
        full[..., : self.count] = rows
        return full

    def membranes(self, n: int) -> Membranes:
        """Return the state of so many samples before the first step."""
        shape = (n, self.positions, self.channels)
        voltage = np.empty(shape)
        voltage[...] = self._v_init
        return Membranes(voltage, np.zeros(shape, np.int32))

    def advance(
        self,
        membranes: Membranes,
        current: npt.NDArray[np.float64],
        out: Bits,
        steps: slice,
        *,
        firing: bool,
    ) -> None:
        """Advance all samples by some steps under a constant current.

        Parameters
        ----------
        membranes : Membranes
        current : (1 or n, positions, channels) float64 array
            Of a step, bias included.
        out : (n, positions, steps, bytes) uint8 array
        steps : slice
        firing : bool
        """
        kernel = layer_kernel(self._form)
        threshold = self._threshold if firing else self._never
        current = self._pad(current, 0.0)
        for sample in range(len(out)):
            bias = current[sample if len(current) > 1 else 0]
            head = _header(
                membranes.voltage[sample],
                membranes.counts[sample],
                out[sample],
                steps.start,
                steps.stop - steps.start,
                bias,
                threshold,
            )
            head[6] = bias.strides[0]
            head[1] = self.positions
            kernel(head)
