"""Kernels of a layer: sum weight rows of the spikes that arrive, integrate, compare, reset, fire.

All of a position's timesteps are computed while its voltages stay in registers; spikes come and go
as bits, channels side by side. Everything is integers: a snapped network's sums are multiples of
one power of two, so fixed-point numbers of 32 bits (16 for weights of few bits) hold them exactly,
and any order of the terms gives the same result.

Ways to sum:

- *patterns*: eight inputs are one byte of spikes, and a table has the summed rows of all its 256
  patterns. One vector addition stands for eight inputs whether they spike or not: for narrow
  layers, whose tables stay in the cache. *Short patterns* of five or six inputs take half as many
  additions more from tables of a quarter of the size.
- *events*: a list of the inputs that spiked; one addition a spike. For wide and quiet layers.
- *tiles*: products of matrices of bytes, where the processor has them (``tiles.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llvmlite import ir

from snnconvert.backends.cpu.kernels.emitter import (
    DOUBLE,
    INT,
    LONG,
    SHORT,
    WORD,
    Emitter,
    constants,
    vector,
)

Method = Literal["patterns", "short_patterns", "events", "tiles"]

HEADER = 18
"""Arguments in front of the feeds."""

FEED = 7
"""Arguments of a feed."""

UNIT = 16
"""Inputs whose tables of patterns belong together."""

GROUPS: Mapping[Method, tuple[int, ...]] = {"patterns": (8, 8), "short_patterns": (6, 5, 5)}
"""How many inputs of a unit a row stands for, one group after the other."""

STAGGER = 192
"""Bytes between the tables of two groups. All of them are asked for the row of no spikes most of
the time; side by side these rows would share a few sets of the first-level cache."""

COPIED = 16
"""Events of a tap that are copied at once."""

ITEM = 4
"""Bytes of an entry in a list of rows."""

FEEDS, SCRATCH, TABLE, BLOCK, SOURCE = 11, 12, 13, 14, 1
"""Places of the number of feeds, of the scratch memory, of the rows of events and of their bytes a
block of channels; and of a feed's source in its own arguments."""

ROWS, DIAGONAL = 0, 1
"""Kinds of feeds: rows of a table for all channels, or one weight a channel."""


@dataclass(frozen=True)
class Form:
    """What a kernel is compiled for.

    Attributes
    ----------
    method : {"patterns", "short_patterns", "events", "tiles"}
    lanes : int
        Channels in a vector: 16, or 32 of narrow numbers.
    vectors : int
        Vectors in a block of channels, whose voltages stay in registers.
    steps : int
        Timesteps computed at once.
    blocks : int
        Blocks of channels.
    width : int
        Bytes of spikes a position and step in the sources of patterns; 0: they differ.
    narrow : bool
        Sums of a step are 16-bit numbers instead of 32-bit ones.
    weight_bytes : int
        Of the numbers in rows of events: those of a (partial) sum, or half of them; of the weights
        in tiles: as many as hold them. Other numbers are as wide as sums.
    together_rows : int
        Rows of events that are summed in 16 bits before the sum is made one of 32 bits; 0: each
        row is.
    to_zero : bool
        Reset to zero instead of by subtraction.
    fires : bool
        False: the sums are written out instead (a readout).
    analog : bool
        Voltages, thresholds and biases are float64: what arrives is a constant current.
    """

    method: Method
    lanes: int
    vectors: int
    steps: int
    blocks: int = 1
    width: int = 0
    narrow: bool = False
    weight_bytes: int = 4
    together_rows: int = 0
    to_zero: bool = False
    fires: bool = True
    analog: bool = False

    @property
    def name(self) -> str:
        """Name of the compiled function."""
        end = ("zero" if self.to_zero else "subtract") if self.fires else "read"
        width = "analog" if self.analog else "narrow" if self.narrow else "wide"
        if self.weight_bytes < self.sum_bytes:
            width += f"_rows{8 * self.weight_bytes}"
        width += f"_by{self.together_rows}" if self.together_rows else ""
        size = f"{self.lanes}x{self.vectors}x{self.blocks}_{self.steps}x{self.width}"
        return f"{self.method}_{size}_{width}_{end}"

    @property
    def channels(self) -> int:
        """Channels of a block."""
        return self.lanes * self.vectors

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of weights, all channels."""
        return self.blocks * self.channels * self.weight_bytes

    @property
    def groups(self) -> list[tuple[int, int, int]]:
        """Of each group of a unit: its first input, its inputs, the first byte of its rows."""
        found, first, place = [], 0, 0
        for inputs in GROUPS[self.method]:
            found.append((first, inputs, place))
            first, place = first + inputs, place + self._table_bytes(inputs)
        return found

    @property
    def unit_bytes(self) -> int:
        """Bytes from the tables of one unit to those of the next."""
        return sum(self._table_bytes(inputs) for inputs in GROUPS[self.method])

    def _table_bytes(self, inputs: int) -> int:
        return (self.row_bytes << inputs) + STAGGER

    @property
    def sum_bytes(self) -> int:
        """Bytes of a sum."""
        return 2 if self.narrow else 4

    @property
    def partial_bytes(self) -> int:
        """Bytes of a sum of rows of events."""
        return 2 if self.together_rows else self.sum_bytes

    @property
    def paired(self) -> bool:
        """Whether rows of events hold two numbers in the space of one sum."""
        return self.method == "events" and self.weight_bytes < self.partial_bytes


class LayerWriter:
    """Writes one kernel.

    Arguments: 0 first position, 1 last position, 2 steps, 3 voltages, 4 counts, 5 biases, 6 bytes
    of biases a position, 7 thresholds, 8 bytes of thresholds a position, 9 spikes out (or sums),
    10 their bytes a position, 11 feeds, 12 scratch for lists, 13 rows of events, 14 their bytes a
    block of channels, 15 voltages before the first step, 16 their bytes a position, 17 what the
    counts are masked by before it: 0 or -1. A feed: kind, source spikes (or ends of events),
    starts of the taps, taps (offset into the source; address of the table, or number of the first
    row of events), bytes of the source a step, bytes of its channels, first byte of a diagonal
    feed's channels. (Tiles read starts, taps and the last one in ways of their own.)
    """

    def __init__(self, form: Form) -> None:
        self.form, self.e = form, Emitter(form.name)
        e = self.e
        (self.first, self.last, self.steps, self.voltages, self.counts, self.biases) = (
            e.argument(i) for i in range(6)
        )
        self.bias_stride, self.thresholds, self.threshold_stride = (
            e.argument(i) for i in range(6, 9)
        )
        self.out, self.out_position, self.feeds, self.scratch, self.table, self.table_block = (
            e.argument(i) for i in range(9, 15)
        )
        self.initial, self.initial_stride, self.counted = (e.argument(i) for i in range(15, 18))
        self.narrow = SHORT if form.narrow else INT
        self.sums = vector(self.narrow, form.lanes)
        self.wide = vector(INT, form.lanes)
        self.state = vector(DOUBLE if form.analog else INT, form.lanes)
        self.number_bytes = 8 if form.analog else 4
        self.partial = vector(ir.IntType(8 * form.partial_bytes), form.lanes)
        self.vector_bytes = form.lanes * form.weight_bytes
        self.block_bytes = self.vector_bytes * form.vectors
        self.channels = form.channels
        self.out_step = form.blocks * (form.channels // 8 if form.fires else 4 * form.channels)

    def emit(self) -> str:
        """Return the module's text."""
        e, form = self.e, self.form
        positions = (self.first, self.last)
        if form.method == "events":
            # The rows of one block of channels fit a cache that those of all do not.
            with e.loop(LONG(0), LONG(form.blocks)) as block, e.loop(*positions) as position:
                self._list_events(position)
                self._block(position, block)
        else:
            with e.loop(*positions) as position, e.loop(LONG(0), LONG(form.blocks)) as block:
                self._block(position, block)
        return e.text()

    def _begin(self, position: Any, block: Any) -> tuple[State | None, list[Any]]:
        """Return the neurons of a block of channels, None for a readout, and their biases."""
        e, form = self.e, self.form
        neuron = e.multiply(
            e.add(e.multiply(position, LONG(form.blocks)), block), LONG(self.channels)
        )
        inside = e.multiply(block, LONG(self.number_bytes * self.channels))
        bias = e.add(self.biases, e.multiply(position, self.bias_stride), inside)
        size = self.number_bytes * form.lanes
        biases = [e.load(bias, self.state, size * k) for k in range(form.vectors)]
        state = State(self, neuron, position, inside) if form.fires else None
        return state, biases

    def _block(self, position: Any, block: Any) -> None:
        e, form = self.e, self.form
        state, biases = self._begin(position, block)
        whole = e.multiply(e.builder.sdiv(self.steps, LONG(form.steps)), LONG(form.steps))
        for first, last, together in ((LONG(0), whole, form.steps), (whole, self.steps, 1)):
            if form.steps == 1 and first is whole:
                continue
            with e.loop(first, last, together) as step:
                sums = self._sums(position, block, step, together)
                for j in range(together):
                    self._finish(state, position, block, e.add(step, LONG(j)), sums[j], biases)
        if state is not None:
            state.write_back()

    def _finish(
        self, state: Any, position: Any, block: Any, step: Any, sums: Any, biases: Any
    ) -> None:
        e, form = self.e, self.form
        out = e.add(
            self.out, e.multiply(position, self.out_position), e.multiply(step, LONG(self.out_step))
        )
        for k in range(form.vectors):
            current = biases[k]
            if not form.analog:
                arrived = e.get(sums[k])
                wide = e.builder.sext(arrived, self.wide) if form.narrow else arrived
                current = e.add(wide, biases[k])
            if state is None:
                place = e.add(out, e.multiply(block, LONG(4 * self.channels)))
                e.store(current, place, 4 * form.lanes * k)
                continue
            bits = state.advance(k, current)
            place = e.add(out, e.multiply(block, LONG(self.channels // 8)))
            e.store(bits, place, form.lanes // 8 * k)

    def _sums(self, position: Any, block: Any, step: Any, together: int) -> list[list[Any]]:
        """Return variables with the sums of `together` steps."""
        e, form = self.e, self.form
        zero = ir.Constant(self.sums, None)
        sums = [[e.variable(zero) for _ in range(form.vectors)] for _ in range(together)]
        if form.analog:
            return sums
        if form.method == "events":
            self._add_events(sums, step, block)
        with e.loop(LONG(0), self.feeds) as f:
            feed = Feed(e, f)
            with feed.taps(position) as (source, table):
                source = e.add(source, e.multiply(step, feed.step))
                if form.method != "events":
                    e.choose(
                        e.equal(feed.kind, LONG(ROWS)),
                        lambda: self._add_patterns(sums, feed, source, table, block),
                        lambda: self._add_diagonal(sums, feed, source, table, block),
                    )
                else:
                    with e.when(e.equal(feed.kind, LONG(DIAGONAL))):
                        self._add_diagonal(sums, feed, source, table, block)
        return sums

    def _add_patterns(self, sums: Any, feed: Any, source: Any, table: Any, block: Any) -> None:
        e, form = self.e, self.form
        inside = e.add(table, e.multiply(block, LONG(self.block_bytes)))
        if form.width:
            for step, unit, word, bit in self._units(source, len(sums)):
                self._add_unit(sums[step], inside, unit * form.unit_bytes, word, bit)
            return
        units = e.shift_right(feed.width, 1)
        with e.loop(LONG(0), units) as unit:
            rows = e.add(inside, e.multiply(unit, LONG(form.unit_bytes)))
            at = e.add(source, e.multiply(unit, LONG(UNIT // 8)))
            for j, step_sums in enumerate(sums):
                word = e.load_wide(e.add(at, e.multiply(feed.step, LONG(j))), SHORT)
                self._add_unit(step_sums, rows, 0, word, 0)

    def _units(self, source: Any, steps: int) -> Iterator[tuple[int, int, Any, int]]:
        """Yield (step, unit, spikes, its first bit in them).

        Four units come with one load: loads are what the kernel has most of.
        """
        e, size, each = self.e, steps * self.form.width, UNIT // 8
        for place in range(0, size, each):
            inside = place % WORD
            if place - inside + WORD > size:
                word, inside = e.load_wide(source, SHORT, place), 0
            elif inside == 0:
                word = e.load(source, LONG, place)
            step, byte = divmod(place, self.form.width)
            yield step, byte // each, word, 8 * inside

    def _add_unit(self, sums: Any, tables: Any, offset: int, word: Any, bit: int) -> None:
        """Add a row of each group of a unit, whose spikes begin at a bit of a word."""
        e, row = self.e, self.form.row_bytes
        shift = row.bit_length() - 1
        for first, inputs, place in self.form.groups:
            if row == 1 << shift:
                moved = e.shift_right(word, bit + first - shift)
                pattern = e.builder.and_(moved, LONG((1 << inputs) - 1 << shift))
            else:
                moved = e.shift_right(word, bit + first)
                pattern = e.multiply(e.builder.and_(moved, LONG((1 << inputs) - 1)), LONG(row))
            self._add_row(sums, e.add(tables, pattern), offset + place)

    def _add_row(self, sums: Any, address: Any, offset: int = 0) -> None:
        e = self.e
        for k, total in enumerate(sums):
            row = self._row(address, offset + self.vector_bytes * k)
            e.set(total, e.add(e.get(total), row))

    def _row(self, address: Any, offset: int) -> Any:
        return self.e.load(address, self.sums, offset)

    def _add_diagonal(self, sums: Any, feed: Any, source: Any, table: Any, block: Any) -> None:
        """Add the weights of the channels that spiked."""
        e, form = self.e, self.form
        size = form.lanes * form.sum_bytes
        weights = e.add(table, e.multiply(block, LONG(size * form.vectors)))
        channels = e.add(source, feed.shift, e.multiply(block, LONG(self.channels // 8)))
        mask_type, zero = ir.IntType(form.lanes), ir.Constant(self.sums, None)
        for k in range(form.vectors):
            row = e.load(weights, self.sums, size * k)
            for j, step_sums in enumerate(sums):
                at = e.add(channels, e.multiply(feed.step, LONG(j)))
                bits = e.load(at, mask_type, form.lanes // 8 * k)
                chosen = e.builder.bitcast(bits, vector(ir.IntType(1), form.lanes))
                arrived = e.builder.select(chosen, row, zero)
                e.set(step_sums[k], e.add(e.get(step_sums[k]), arrived))

    def _add_events(self, sums: Any, step: Any, block: Any) -> None:
        """Add the rows in the list of a step: events come one step at a time."""
        e, form = self.e, self.form
        ends = e.add(self.scratch, e.multiply(step, LONG(8)))
        first, last = e.load(ends, LONG), e.load(ends, LONG, 8)
        rows = e.add(self.table, e.multiply(block, self.table_block))
        if not form.together_rows:
            for total, arrived in zip(sums[0], self._summed(rows, first, last), strict=True):
                e.set(total, arrived)
            return
        some = ITEM * form.together_rows
        with e.loop(first, last, some) as begin:
            end = e.minimum(e.add(begin, LONG(some)), last)
            for total, part in zip(sums[0], self._summed(rows, begin, end), strict=True):
                e.set(total, e.add(e.get(total), e.builder.sext(part, self.sums)))

    def _summed(self, rows: Any, first: Any, last: Any) -> list[Any]:
        """Return the sums of a list's rows, as wide as partial sums.

        Numbers of half the width are added in pairs (see `tables.py`): with `p` = `high` 2^b +
        `low`, the sums of `p` and of `high` tell that of `low`, modulo 2^(2b) as all sums are. A
        shift and an addition are cheaper than making every number wider.
        """
        e, form = self.e, self.form
        paired = form.paired
        kind = vector(self.partial.element, form.lanes // 2) if paired else self.partial
        bits, zero = 8 * form.weight_bytes, ir.Constant(kind, None)
        totals = [e.variable(zero) for _ in range(form.vectors)]
        highs = [e.variable(zero) for _ in range(form.vectors if paired else 0)]
        with e.loop(first, last, ITEM) as item:
            address = self._event_row(rows, item)
            for k, total in enumerate(totals):
                row = e.load(address, kind, self.vector_bytes * k)
                e.set(total, e.add(e.get(total), row))
                if paired:
                    high = e.builder.ashr(row, constants(kind.element, [bits] * kind.count))
                    e.set(highs[k], e.add(e.get(highs[k]), high))
        if not paired:
            return [e.get(total) for total in totals]
        count = e.shift_right(e.builder.sub(last, first), ITEM.bit_length() - 1)
        raised = e.multiply(count, LONG(1 << (bits - 1)))
        more = e.splat(e.builder.trunc(raised, kind.element), kind.count)
        both = constants(INT, range(form.lanes))
        found = []
        for total, high in zip(map(e.get, totals), map(e.get, highs), strict=True):
            moved = e.builder.shl(high, constants(kind.element, [bits] * kind.count))
            low = e.builder.sub(e.builder.sub(total, moved), more)
            found.append(e.builder.shuffle_vector(low, high, both))
        return found

    def _event_row(self, rows: Any, item: Any) -> Any:
        """Return the address of the row whose number is in a list."""
        return self.e.add(
            rows, self.e.multiply(self.e.load_wide(item, INT), LONG(self.block_bytes))
        )

    def _list_events(self, position: Any) -> None:
        """Gather the rows' numbers of each step: the scratch begins with where each list ends.

        Where fewer are copied than at once, what is written beyond the end is overwritten by the
        next tap.
        """
        e = self.e
        items = e.variable(e.add(self.scratch, e.multiply(self.steps, LONG(8)), LONG(8)))
        with e.loop(LONG(0), self.steps) as step:
            e.store(e.get(items), e.add(self.scratch, e.multiply(step, LONG(8))))
            with e.loop(LONG(0), self.feeds) as f:
                feed = Feed(e, f)
                with e.when(e.equal(feed.kind, LONG(ROWS))), feed.taps(position) as tap:
                    self._copy_events(step, tap, items)
        e.store(e.get(items), e.add(self.scratch, e.multiply(self.steps, LONG(8))))

    def _copy_events(self, step: Any, tap: Any, items: Any) -> None:
        e = self.e
        ends, row = tap
        ends = e.add(ends, e.multiply(step, LONG(8)))
        first, last = e.load(ends, LONG), e.load(ends, LONG, 8)
        rows = e.splat(e.builder.trunc(row, INT), COPIED)
        to = e.get(items)
        # The first ones are copied whether they are there or not: a branch would be guesswork.
        self._copy(first, to, rows)
        with e.loop(e.add(first, LONG(2 * COPIED)), last, 2 * COPIED) as at:
            self._copy(at, e.add(to, e.multiply(e.builder.sub(at, first), LONG(2))), rows)
        count = e.builder.sub(last, first)
        e.set(items, e.add(to, e.multiply(count, LONG(2))))

    def _copy(self, channels: Any, to: Any, rows: Any) -> None:
        """Write the rows' numbers of so many channels."""
        numbers = self.e.load(channels, vector(SHORT, COPIED))
        wide = self.e.builder.zext(numbers, vector(INT, COPIED))
        self.e.store(self.e.add(wide, rows), to)


class Feed:
    """The arguments of one feed."""

    def __init__(self, e: Emitter, index: Any) -> None:
        self.e = e
        at = e.add(e.arguments_address, LONG(8 * HEADER), e.multiply(index, LONG(8 * FEED)))
        (self.kind, self.source, self.starts, self.table, self.step, self.width) = (
            e.load(at, LONG, 8 * i) for i in range(6)
        )
        self.shift = e.load(at, LONG, 48)

    def taps(self, position: Any) -> Any:
        """Repeat what is written inside for each tap: source address, table (or its row)."""
        return _Taps(self.e, self.starts, self.table, self.source, position)


class _Taps:
    def __init__(self, e: Emitter, starts: Any, taps: Any, source: Any, position: Any) -> None:
        at = e.add(starts, e.multiply(position, LONG(8)))
        self._e, self._taps, self._source = e, taps, source
        self._loop = e.loop(e.load(at, LONG), e.load(at, LONG, 8))

    def __enter__(self) -> Any:
        e, tap = self._e, self._loop.__enter__()
        at = e.add(self._taps, e.multiply(tap, LONG(16)))
        return e.add(self._source, e.load(at, LONG)), e.load(at, LONG, 8)

    def __exit__(self, *error: Any) -> None:
        self._loop.__exit__(*error)


class State:
    """Voltages and counts of a block of channels, in registers from the first step to the last."""

    def __init__(self, layer: LayerWriter, neuron: Any, position: Any, inside: Any) -> None:
        e, form = layer.e, layer.form
        self.layer, self.e = layer, e
        self.voltage = e.add(layer.voltages, e.multiply(neuron, LONG(layer.number_bytes)))
        self.count = e.add(layer.counts, e.multiply(neuron, LONG(4)))
        threshold = e.add(layer.thresholds, e.multiply(position, layer.threshold_stride), inside)
        initial = e.add(layer.initial, e.multiply(position, layer.initial_stride), inside)
        size, kinds = layer.number_bytes * form.lanes, range(form.vectors)
        self.v = [e.variable(e.load(initial, layer.state, size * k)) for k in kinds]
        mask = e.splat(e.builder.trunc(layer.counted, INT), form.lanes)
        counts = (e.load(self.count, layer.wide, 4 * form.lanes * k) for k in kinds)
        self.n = [e.variable(e.builder.and_(count, mask)) for count in counts]
        self.thresholds = [e.load(threshold, layer.state, size * k) for k in kinds]
        if not form.analog:
            # Processors of 256 bits have no "at least", and would compare and negate.
            one = constants(INT, [1] * form.lanes)
            self.below = [e.builder.sub(threshold, one) for threshold in self.thresholds]

    def advance(self, k: int, current: Any) -> Any:
        """Take one step; return the spikes as bits."""
        e, builder, form = self.e, self.e.builder, self.layer.form
        v, threshold = e.get(self.v[k]), self.thresholds[k]
        if form.analog:
            u = builder.fadd(v, current)
            fired, less = builder.fcmp_ordered(">=", u, threshold), builder.fsub(u, threshold)
        else:
            u = builder.add(v, current)
            fired, less = builder.icmp_signed(">", u, self.below[k]), builder.sub(u, threshold)
        left = ir.Constant(self.layer.state, None) if form.to_zero else less
        e.set(self.v[k], builder.select(fired, left, u))
        count = e.get(self.n[k])
        e.set(self.n[k], builder.sub(count, builder.sext(fired, self.layer.wide)))
        return builder.bitcast(fired, ir.IntType(form.lanes))

    def write_back(self) -> None:
        """Store voltages and counts."""
        layer, lanes = self.layer, self.layer.form.lanes
        for k, (v, n) in enumerate(zip(self.v, self.n, strict=True)):
            self.e.store(self.e.get(v), self.voltage, layer.number_bytes * lanes * k)
            self.e.store(self.e.get(n), self.count, 4 * lanes * k)
