"""Layers that spikes alone feed: integers, spikes as bits, one kernel for all steps of a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.calls import Arguments, Calls, Membranes, Workspace, header
from snnconvert.backends.cpu.fixed_point import LANES, FixedPoint, padded
from snnconvert.backends.cpu.kernels.compiled import layer_kernel
from snnconvert.backends.cpu.kernels.index import SLACK, events_of
from snnconvert.backends.cpu.kernels.layer import (
    BLOCK,
    DIAGONAL,
    FEED,
    FEEDS,
    HEADER,
    ROWS,
    SOURCE,
    TABLE,
    Form,
    Method,
)
from snnconvert.backends.cpu.kernels.native import processor
from snnconvert.backends.cpu.kernels.tiles import FURTHEST, scratch_numbers
from snnconvert.backends.cpu.sent import Bits
from snnconvert.backends.cpu.slots import chunks_of, fit_tiles, slots_of
from snnconvert.backends.cpu.tables import Table, make_rows, make_table
from snnconvert.backends.cpu.taps import Taps, channels_of, positions_of
from snnconvert.convert.network import Population, Readout

LARGEST_BLOCK = 4
"""Vectors of channels whose patterns are summed together."""

SUMMING = 8
"""Registers for the sums of events: half of those that the poorest processors have."""

ACCUMULATORS = 16
"""Sums in registers: vectors times steps."""

MOST_STEPS = 64
"""Steps that a kernel's form is chosen for where they are not known yet."""

WIDEST = 8
"""Bytes of spikes whose sums are written out one after the other in a kernel."""


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
class LayerTables:
    """Weights as kernels read them.

    Attributes
    ----------
    own : list of array or None
        Of each feed: patterns, tiles, or one weight a channel; None: rows of events.
    rows : (blocks of channels, rows, channels) array
        Of events, all feeds; of tiles one row of bytes: an input that never spikes.
    first : list of int
        The first row of each feed.
    """

    own: list[Table | None]
    rows: Table
    first: list[int]


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
        self._tables: dict[Method, LayerTables] = {}
        self._places: dict[tuple[int, int, Method], npt.NDArray[np.int64]] = {}
        self._forms: dict[tuple[Method, int], Form] = {}
        self._silent = np.zeros((1, self.channels), np.int32)
        self._never = np.full((1, self.channels), np.iinfo(np.int32).max, np.int32)

    @cached_property
    def tiled(self) -> bool:
        """Whether this processor and the layer's taps allow tiles."""
        rows = [taps for taps in self.feeds if not taps.diagonal]
        return processor().tiles and bool(rows) and all(map(fit_tiles, rows))

    def tells(self, arriving: Sequence[Arriving]) -> bool:
        """Whether what arrives says how a layer is computed best: rows do, or all that it has."""
        diagonal = [self.feeds[part.feed].diagonal for part in arriving]
        return bool(arriving) and (not all(diagonal) or all(f.diagonal for f in self.feeds))

    def form(self, method: Method, steps: int = MOST_STEPS) -> Form:
        """Return the form of the kernel for so many steps."""
        key = (method, steps)
        if key not in self._forms:
            self._forms[key] = self._form(method, steps)
        return self._forms[key]

    def _form(self, method: Method, steps: int) -> Form:
        if method == "events":
            return self._form_of_events()
        if method == "tiles":
            vectors, blocks = _blocks(self.channels // LANES, LARGEST_BLOCK)
            digits = self.numbers.digits
            return Form(method, LANES, vectors, 1, blocks, weight_bytes=digits, **self._kind())
        narrow = self.numbers.narrow
        lanes = self._lanes(narrow)
        vectors, blocks = _blocks(self.channels // lanes, LARGEST_BLOCK)
        return Form(
            method,
            lanes,
            vectors,
            _together(steps, ACCUMULATORS // vectors),
            blocks,
            width=self._width(),
            narrow=narrow,
            weight_bytes=2 if narrow else 4,
            **self._kind(),
        )

    def _form_of_events(self) -> Form:
        narrow = self.numbers.narrow
        rows = 0 if narrow else self.numbers.rows_together
        short = narrow or rows > 0
        lanes = self._lanes(short)
        largest = SUMMING * processor().register_bytes // (lanes * (2 if short else 4))
        vectors, blocks = _blocks(self.channels // lanes, max(largest, 1))
        return Form(
            "events",
            lanes,
            vectors,
            1,
            blocks,
            narrow=narrow,
            weight_bytes=self.numbers.weight_bytes,
            together_rows=rows,
            **self._kind(),
        )

    def _kind(self) -> dict[str, bool]:
        if isinstance(self.node, Readout):
            return {"to_zero": False, "fires": False}
        return {"to_zero": self.node.reset == "zero", "fires": True}

    def _lanes(self, short: bool) -> int:
        """Return the channels of a vector: twice as many of short numbers."""
        return 2 * LANES if short and self.channels % (2 * LANES) == 0 else LANES

    def _width(self) -> int:
        """Return the bytes of the sources of rows, 0 where they differ or are many."""
        widths = {padded(f.weights.shape[1]) // 8 for f in self.feeds if not f.diagonal}
        return widths.pop() if len(widths) == 1 and max(widths) <= WIDEST else 0

    def tables(self, method: Method) -> LayerTables:
        """Return the tables of a method, made at the first use, under the program's lock.

        Kernels hold their addresses: they must not be made twice.
        """
        if method not in self._tables:
            form, weights = self.form(method), self.numbers.weights
            rows, first = make_rows(weights if method == "events" else (), form, self._arena)
            if method == "tiles":
                widest = max(padded(w.shape[1]) // 8 for w in weights if w.ndim > 2)
                rows = np.zeros((1, FURTHEST * widest + 8), np.uint8)
            own = [
                make_table(w, form, self._arena) if method != "events" or w.ndim == 2 else None
                for w in weights
            ]
            self._tables[method] = LayerTables(own, rows, first)
        return self._tables[method]

    def membranes(self, counts: npt.NDArray[np.int32], memory: Workspace) -> Membranes:
        """Return the state before the first step, with room for counts (n, positions, channels)."""
        return memory.membranes(self.node.name, counts, self.numbers.v_init)

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
        memory: Workspace,
        calls: Calls,
    ) -> None:
        """Add the calls that advance all samples by some steps.

        Parameters
        ----------
        method : {"patterns", "short_patterns", "events", "tiles"}
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
        memory : Workspace
        calls : Calls
        """
        length = steps.stop - steps.start
        kernel = layer_kernel(self.form(method, length))
        bias = self.numbers.bias if biased else self._silent
        threshold = self.numbers.threshold if firing else self._never
        head, more = header(membranes, out, steps, bias, threshold)
        head[FEEDS] = len(arriving)
        if arriving:
            rows = self.tables(method).rows
            head[TABLE], head[BLOCK] = rows.ctypes.data, rows.strides[0]
        feeds = [self._feed(method, part) for part in arriving]
        arguments = np.concatenate([head, *(feed for feed, _ in feeds)])
        more = np.concatenate([more, *(further for _, further in feeds)])
        listed = [
            (HEADER + FEED * at + SOURCE, part)
            for at, part in enumerate(arriving)
            if method == "events" and not self.feeds[part.feed].diagonal
        ]
        scratch = self._scratch(method, length, arriving)
        held = [membranes.voltage, membranes.counts, out, *(part.bits for part in arriving)]
        for sample in range(len(out)):
            own = arguments + sample * more
            for place, part in listed:
                ends = events_of(part.bits[sample], memory, str(part.feed), calls)
                held.append(ends)
                own[place] = ends.ctypes.data + 8 * part.first
            calls.add(kernel, own, self.positions, held, scratch)

    def _feed(self, method: Method, part: Arriving) -> tuple[Arguments, Arguments]:
        """Return the arguments of a feed for the first sample, and what further ones add."""
        taps, bits = self.feeds[part.feed], part.bits
        width, step = bits.strides[1], bits.strides[2]
        source, next_source = bits.ctypes.data + part.first * step, bits.strides[0]
        shift = taps.shift // 8 if taps.diagonal else 0
        if method == "events" and not taps.diagonal:  # the source is a list, made for each sample
            width, step, source, next_source = 8 * (bits.shape[2] + 1), 8, 0, 0
        places = self._tap_places(part.feed, width, method)
        starts, table = taps.starts.ctypes.data, places.ctypes.data
        if method == "tiles" and not taps.diagonal:
            own = self.tables(method).own[part.feed]
            assert own is not None
            starts, table, shift = places.ctypes.data, own.ctypes.data, self.chunks(part.feed)
        kind = DIAGONAL if taps.diagonal else ROWS
        more = np.zeros(FEED, np.int64)
        more[SOURCE] = next_source
        own_arguments = [kind, source, starts, table, step, bits.shape[3], shift]
        return np.array(own_arguments, np.int64), more

    def _tap_places(self, feed: int, width: int, method: Method) -> npt.NDArray[np.int64]:
        """Return, for each tap, where its position begins in the source, and its table or row.

        Of tiles: where the slots of each position begin.
        """
        key = (feed, width, method)
        places = self._places.get(key)
        if places is None:
            taps = self.feeds[feed]
            tiles = method == "tiles" and not taps.diagonal
            places = slots_of(taps, width) if tiles else self._taps_and_tables(feed, width, method)
            # Kernels hold its address: of two threads that make it, both must take one.
            places = self._places.setdefault(key, places)
        return places

    def _taps_and_tables(self, feed: int, width: int, method: Method) -> npt.NDArray[np.int64]:
        taps, tables = self.feeds[feed], self.tables(method)
        table = tables.own[feed]
        places = np.empty((len(taps.sources), 2), np.int64)
        places[:, 0] = taps.sources * width
        if table is None:
            places[:, 1] = tables.first[feed] + taps.blocks * taps.weights.shape[1]
        else:
            places[:, 1] = table.ctypes.data + taps.blocks * table.strides[0]
        return places

    def chunks(self, feed: int) -> int:
        """Return the chunks of 64 inputs of a feed of rows."""
        blocks, inputs = self.feeds[feed].weights.shape[:2]
        return chunks_of(blocks, inputs)

    def _scratch(self, method: Method, steps: int, arriving: Sequence[Arriving]) -> int:
        """Return the 64-bit numbers that a kernel may write: lists or tiles of a position."""
        feeds = [part.feed for part in arriving if not self.feeds[part.feed].diagonal]
        if method == "tiles":
            return scratch_numbers(self.form(method), sum(map(self.chunks, feeds)))
        if method != "events":
            return 0
        most = 0
        for taps in (self.feeds[feed] for feed in feeds):
            most += int(np.diff(taps.starts).max(initial=0)) * taps.weights.shape[1]
        return (steps + 1) * (most // 2 + 2) + SLACK


def _blocks(groups: int, largest: int) -> tuple[int, int]:
    """Return the vectors of a block of channels, and the blocks."""
    vectors = max(v for v in range(1, largest + 1) if groups % v == 0)
    return vectors, groups // vectors


def _together(steps: int, most: int) -> int:
    """Return how many steps are computed together: a power of two that leaves few over."""
    return max(
        (1 << k for k in range(most.bit_length()) if 1 << k <= most),
        key=lambda count: (-(steps % count) - steps / count, count),
    )
