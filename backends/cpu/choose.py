"""Which kernel is cheapest for a layer, from its shape and how often its inputs spike.

Costs are nanoseconds for one position and one step, fitted to measurements with 64 and 32 bytes a
register (benchmarks/README.md); what counts is how they compare.
They decide speed alone: every kernel gives the same spikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.layer import GROUPS, UNIT, Method
from snnconvert.backends.cpu.kernels.native import processor
from snnconvert.backends.cpu.kernels.tiles import TILE

MOST_TABLE = 2**26
"""Bytes of a layer's tables of patterns."""

PER_ROW, PER_REGISTER = 0.12, 0.17
"""Finding a row of patterns, and adding what one register holds of it."""

PER_EVENT, PER_EVENT_REGISTER = 0.08, 0.16
"""The same for a row of an event."""

PER_LIST, PER_TAP, PER_BYTE = 17.0, 1.5, 1.0
"""Going through a list of any length, copying the events of a tap into it, and finding those of a
byte of spikes."""

PER_PRODUCT, PER_CHUNK, PER_COLUMN = 6.5, 0.55, 0.8
"""A product of two tiles, of sixteen steps; writing the bytes of 64 inputs, and putting together
the sums of sixteen channels."""

OF_PATTERNS = ((2**17, 1.0), (2**19, 1.3), (2**21, 2.4), (MOST_TABLE, 3.5))
"""How much longer a row of patterns takes from a table of up to so many bytes."""

OF_EVENTS = ((2**17, 1.0), (2**20, 1.4), (2**23, 1.8), (MOST_TABLE, 2.5))
"""The same for rows of events."""


def density(arriving: Arriving, steps: int) -> float:
    """Return the share of the source's neurons and `steps` that spiked, in the samples at hand.

    Other steps of the source's memory may never have been written.
    """
    bits = arriving.bits[:, :, arriving.first : arriving.first + steps]
    return float(np.bitwise_count(bits).mean(dtype=np.float64)) / 8 if bits.size else 0.0


def cheapest(layer: EventLayer, arriving: Sequence[Arriving], steps: int, usual: int) -> Method:
    """Return the method for a layer under the spikes that arrive in some steps.

    `usual` are the steps that a kernel will mostly be called for.

    Tables are those of all its feeds, also of those that bring nothing yet.
    """
    parts = [part for part in arriving if not layer.feeds[part.feed].diagonal]
    tables = [
        len(taps.weights) * padded(taps.weights.shape[1])
        for taps in layer.feeds
        if not taps.diagonal
    ]
    inputs = sum(tables)
    costs = {method: _of_patterns(layer, parts, inputs, method) for method in GROUPS}
    costs["events"] = _of_events(layer, parts, steps, inputs)
    if layer.tiled:
        costs["tiles"] = _of_tiles(layer, parts, usual)
    return min(costs, key=lambda method: costs[method])


def _of_patterns(
    layer: EventLayer, parts: Sequence[Arriving], inputs: int, method: Method
) -> float:
    """Return the cost of patterns: infinite where their tables are too large."""
    rows = sum(1 << size for size in GROUPS[method])
    number = layer.form(method).sum_bytes
    table = inputs // UNIT * rows * layer.channels * number
    if table > MOST_TABLE:
        return math.inf
    arrived: float = sum(_taps_each(layer, part) * part.bits.shape[-1] for part in parts)
    registers = _registers(layer.channels * number)
    each = PER_ROW + PER_REGISTER * registers * _farther(OF_PATTERNS, table)
    return arrived * 8 / UNIT * len(GROUPS[method]) * each


def _of_events(layer: EventLayer, parts: Sequence[Arriving], steps: int, inputs: int) -> float:
    events = taps = width = 0.0
    for part in parts:
        each, arrived = _taps_each(layer, part), part.bits.shape[-1]
        taps += each
        events += each * 8 * arrived * density(part, steps)
        width += part.bits.shape[1] * arrived / layer.positions
    table = inputs * layer.channels * layer.numbers.weight_bytes
    registers = _registers(layer.channels * layer.form("events").partial_bytes)
    row = PER_EVENT + PER_EVENT_REGISTER * registers * _farther(OF_EVENTS, table)
    return PER_LIST + taps * PER_TAP + width * PER_BYTE + events * row


def _of_tiles(layer: EventLayer, parts: Sequence[Arriving], steps: int) -> float:
    """Return the cost of products of tiles, which does not depend on the spikes."""
    form = layer.form("tiles")
    chunks = sum(layer.chunks(part.feed) for part in parts)
    columns = form.vectors * form.weight_bytes * form.blocks
    products = columns * chunks * -(-steps // TILE)
    return products / steps * PER_PRODUCT + chunks * form.blocks * PER_CHUNK + columns * PER_COLUMN


def _taps_each(layer: EventLayer, part: Arriving) -> float:
    return len(layer.feeds[part.feed].sources) / max(layer.positions, 1)


def _registers(size: int) -> float:
    return max(size / processor().register_bytes, 1.0)


def _farther(sizes: Sequence[tuple[int, float]], table: int) -> float:
    """Return how much longer a row takes from a table of that size."""
    return next((times for size, times in sizes if table <= size), sizes[-1][1])
