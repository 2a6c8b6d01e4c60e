"""The kernel of a layer whose sums are products of matrices of bytes: Intel's AMX.

A product of two tiles, 16 x 64 spikes and 64 x 16 weights, takes 16 cycles: so many that layers
whose neurons spike in one step of ten are cheaper when every silent input is multiplied too.
Weights of more than a byte are digits of base 256, from -128 to 127, each with its own product.

A position's steps are the rows of the spikes' tiles, its inputs their columns: sixteen, 32 or 64
channels of a tap are a *slot*, and 64 columns a *chunk*. A slot whose tap a position lacks, beyond
the border, is silent.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from snnconvert.backends.cpu.kernels.emitter import BYTE, INT, LONG, WORD, constants, vector
from snnconvert.backends.cpu.kernels.layer import (
    DIAGONAL,
    ROWS,
    Feed,
    Form,
    LayerWriter,
    State,
)

TILE = 16
"""Rows of a tile: steps, or groups of four inputs; outputs in a row."""

CHUNK = 64
"""Inputs of a tile: bytes of a row."""

TILE_BYTES = TILE * CHUNK

STEP_TILES, COLUMNS = 2, 3
"""Tiles of steps and columns of tiles that are computed together: six of eight registers hold sums.
A product is there after 52 cycles, and the next one of the same sum waits for it."""

FURTHEST = STEP_TILES * TILE
"""Steps that are computed together."""

SPIKES, WEIGHTS = 6, 7
"""The other registers."""

SLOTS = {2: 16, 4: 32}
"""Inputs of a slot, by the bytes of the source's channels; 64 of any other source."""

SHAPES = bytes([1, *[0] * 15, *[CHUNK, 0] * 8, *[0] * 16, *[TILE] * 8, *[0] * 8])
"""What tells the processor that all eight tiles have 16 rows of 64 bytes."""

_NONE = ir.VoidType()


def slot_inputs(width: int) -> int:
    """Return the inputs of a slot, of a source whose channels are so many bytes."""
    return SLOTS.get(width, CHUNK)


def scratch_numbers(form: Form, chunks: int) -> int:
    """Return the 64-bit numbers of scratch memory for so many chunks of inputs."""
    tiles = STEP_TILES * (form.vectors * form.weight_bytes + chunks)
    return (tiles * TILE_BYTES + WORD * FURTHEST + CHUNK) // 8


class TileWriter(LayerWriter):
    """Writes the kernel.

    Arguments: those of every layer's; number 13 is the address of bytes without spikes. Of a feed
    of rows: source spikes, offsets of each position's slots into them (negative: silent), weights
    (blocks of channels, columns, chunks, tiles), bytes of the source a step, bytes of its channels,
    chunks.
    """

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        e = self.e
        self.columns = form.vectors * form.weight_bytes
        aligned = e.builder.and_(e.add(self.scratch, LONG(CHUNK - 1)), LONG(-CHUNK))
        self.words = aligned
        self.products = e.add(aligned, LONG(WORD * FURTHEST))
        self.inputs = e.add(self.products, LONG(self.columns * STEP_TILES * TILE_BYTES))

    def emit(self) -> str:
        """Return the module's text."""
        e = self.e
        self._call("ldtilecfg", self._shapes())
        blocks, positions = (LONG(0), LONG(self.form.blocks)), (self.first, self.last)
        with e.loop(*blocks) as block, e.loop(*positions) as position:
            state, biases = self._begin(position, block)
            with e.loop(LONG(0), self.steps, FURTHEST) as step:
                left = e.builder.sub(self.steps, step)
                e.choose(
                    e.builder.icmp_signed(">", left, LONG(TILE)),
                    lambda: self._piece(position, block, step, STEP_TILES, state, biases),
                    lambda: self._piece(position, block, step, 1, state, biases),
                )
            if state is not None:
                state.write_back()
        self._call("tilerelease")
        return e.text()

    def _shapes(self) -> Any:
        """Return a pointer to the tiles' shapes."""
        content = bytearray(SHAPES)
        shapes = self.e.variable(ir.Constant(ir.ArrayType(BYTE, len(content)), content))
        return self.e.builder.bitcast(shapes, BYTE.as_pointer())

    def _call(self, name: str, *arguments: Any) -> None:
        kind = ir.FunctionType(_NONE, [argument.type for argument in arguments])
        function = self.e.module.declare_intrinsic(f"llvm.x86.{name}", (), kind)
        self.e.builder.call(function, arguments)

    def _piece(
        self, position: Any, block: Any, step: Any, tiles: int, state: State | None, biases: Any
    ) -> None:
        """Compute up to 16 steps, or 32, of a position and block of channels."""
        e = self.e
        last = e.minimum(e.add(step, LONG(tiles * TILE)), self.steps)
        self._spread(position, step, last, tiles)
        groups = -(-self.columns // COLUMNS)
        edges = [self.columns * group // groups for group in range(groups + 1)]
        for first, end in itertools.pairwise(edges):
            self._multiply(block, range(first, end), tiles)
        with e.loop(step, last) as at:
            sums = self._products(e.builder.sub(at, step), tiles)
            with e.loop(LONG(0), self.feeds) as f:
                feed = Feed(e, f)
                with (
                    e.when(e.equal(feed.kind, LONG(DIAGONAL))),
                    feed.taps(position) as (source, table),
                ):
                    source = e.add(source, e.multiply(at, feed.step))
                    self._add_diagonal([sums], feed, source, table, block)
            self._finish(state, position, block, at, sums, biases)

    def _spread(self, position: Any, step: Any, last: Any, tiles: int) -> None:
        """Write the bytes of a position's inputs, chunk by chunk."""
        e = self.e
        steps, to = e.builder.sub(last, step), e.variable(self.inputs)
        with e.loop(LONG(0), self.feeds) as f:
            feed = Feed(e, f)
            with e.when(e.equal(feed.kind, LONG(ROWS))):
                narrow = e.equal(feed.width, LONG(2))
                middle = e.equal(feed.width, LONG(4))
                wide = e.builder.not_(e.builder.or_(narrow, middle))
                for condition, bits in ((narrow, 16), (middle, 32), (wide, 64)):
                    with e.when(condition):
                        self._spread_feed(feed, position, step, steps, bits, to, tiles)

    def _spread_feed(
        self, feed: Feed, position: Any, step: Any, steps: Any, bits: int, to: Any, tiles: int
    ) -> None:
        e, each = self.e, CHUNK // bits
        chunks = feed.shift
        slots = e.add(feed.starts, e.multiply(position, chunks, LONG(8 * each)))
        begin = e.add(feed.source, e.multiply(step, feed.step))
        with e.loop(LONG(0), chunks) as chunk:
            at = e.add(slots, e.multiply(chunk, LONG(8 * each)))
            sources = [self._source(begin, e.load(at, LONG, 8 * slot)) for slot in range(each)]
            words, between = sources[0], feed.step
            if each > 1:
                words, between = self.words, LONG(WORD)
                e.store(self._together(sources, bits, tiles), words)
            with e.loop(LONG(0), steps) as j:
                word = e.load(e.add(words, e.multiply(j, between)), LONG)
                spikes = e.builder.bitcast(word, vector(ir.IntType(1), CHUNK))
                row = e.add(e.get(to), e.multiply(j, LONG(CHUNK)))
                e.store(e.builder.zext(spikes, vector(BYTE, CHUNK)), row)
            e.set(to, e.add(e.get(to), LONG(tiles * TILE_BYTES)))

    def _together(self, sources: Sequence[Any], bits: int, tiles: int) -> Any:
        """Return words of 64 bits, one a step: slots side by side, the steps of each in memory."""
        steps = tiles * TILE
        parts = [self.e.load(source, vector(ir.IntType(bits), steps)) for source in sources]
        order = [half + j for j in range(steps) for half in (0, steps)]
        while len(parts) > 1:
            bits *= 2
            pairs = zip(parts[::2], parts[1::2], strict=True)
            both = [self.e.builder.shuffle_vector(*p, constants(INT, order)) for p in pairs]
            parts = [self.e.builder.bitcast(b, vector(ir.IntType(bits), steps)) for b in both]
        return parts[0]

    def _source(self, begin: Any, offset: Any) -> Any:
        """Return where the first step of a slot is read."""
        builder = self.e.builder
        missing = builder.icmp_signed("<", offset, LONG(0))
        return builder.select(missing, self.table, self.e.add(begin, offset))

    def _multiply(self, block: Any, columns: Sequence[int], tiles: int) -> None:
        """Multiply all inputs with some columns of tiles of weights."""
        e = self.e
        sums = {(c, t): n for n, (c, t) in enumerate(itertools.product(columns, range(tiles)))}
        for number in sums.values():
            self._call("tilezero", BYTE(number))
        at = e.variable(self.inputs)
        with e.loop(LONG(0), self.feeds) as f:
            feed = Feed(e, f)
            with e.when(e.equal(feed.kind, LONG(ROWS))), e.loop(LONG(0), feed.shift) as chunk:
                tables = {c: self._tile_of(feed, block, c, chunk) for c in columns}
                held = None
                for t in range(tiles):
                    self._load_tile(SPIKES, e.add(e.get(at), LONG(t * TILE_BYTES)))
                    # The other way round the second time: it begins with the tile that is there.
                    for c in columns if t % 2 == 0 else reversed(columns):
                        if c != held:
                            self._load_tile(WEIGHTS, tables[c])
                        held = c
                        self._call("tdpbusd", *map(BYTE, (sums[c, t], SPIKES, WEIGHTS)))
                e.set(at, e.add(e.get(at), LONG(tiles * TILE_BYTES)))
        for (c, t), number in sums.items():
            to = self._pointer(e.add(self.products, LONG((c * tiles + t) * TILE_BYTES)))
            self._call("tilestored64", BYTE(number), to, LONG(CHUNK))

    def _tile_of(self, feed: Feed, block: Any, column: int, chunk: Any) -> Any:
        """Return the address of a tile of weights."""
        e = self.e
        number = e.add(e.multiply(block, LONG(self.columns)), LONG(column))
        tile = e.add(e.multiply(number, feed.shift), chunk)
        return e.add(feed.table, e.multiply(tile, LONG(TILE_BYTES)))

    def _load_tile(self, tile: int, address: Any) -> None:
        self._call("tileloadd64", BYTE(tile), self._pointer(address), LONG(CHUNK))

    def _pointer(self, address: Any) -> Any:
        return self.e.builder.inttoptr(address, BYTE.as_pointer())

    def _products(self, step: Any, tiles: int) -> list[Any]:
        """Return variables with the sums of a step: digits of weights put together."""
        e, digits = self.e, self.form.weight_bytes
        row = e.add(self.products, e.multiply(step, LONG(CHUNK)))
        found = []
        for k in range(self.form.vectors):
            total = ir.Constant(self.wide, None)
            for digit in reversed(range(digits)):
                place = (k * digits + digit) * tiles * TILE_BYTES
                total = e.builder.shl(total, constants(INT, [8] * self.form.lanes))
                total = e.add(total, e.load(row, self.wide, place))
            found.append(e.variable(total))
        return found
