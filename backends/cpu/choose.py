"""Which kernel is cheapest for a layer, from its shape and how often its inputs spike.

Costs are nanoseconds for one position and one step, fitted to measurements on processors of 2.5
to 3.1 GHz with 64 and 32 bytes a register (benchmarks/README.md); what counts is how they compare.
They decide speed alone: every kernel gives the same spikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.layer import PATTERNS, Method

MOST_TABLE = 2**26
"""Bytes of a layer's tables of patterns."""

PER_ROW, PER_VECTOR, PER_EVENT_VECTOR = 0.3, 0.6, 0.5
"""Finding a row, and adding one vector of it: of patterns, and of events."""

PER_LIST, PER_TAP, PER_BYTE = 10.0, 3.0, 0.5
"""Going through a list of any length, copying the events of a tap into it, and finding those of a
byte of spikes."""

SLOWER = ((2**17, 1.0), (2**20, 1.3), (2**23, 1.8))
"""How much longer a vector takes from a table of up to so many bytes."""

FAR = 2.5
"""The same for larger tables."""


def density(arriving: Arriving, steps: int) -> float:
    """Return the share of the source's neurons and `steps` that spiked, in the samples at hand.

    Other steps of the source's memory may never have been written.
    """
    bits = arriving.bits[:, :, arriving.first : arriving.first + steps]
    return float(np.bitwise_count(bits).mean(dtype=np.float64)) / 8 if bits.size else 0.0


def cheapest(layer: EventLayer, arriving: Sequence[Arriving], steps: int) -> Method:
    """Return the method for a layer under the spikes that arrive in some steps.

    Tables are those of all its feeds, also of those that bring nothing yet.
    """
    parts = [part for part in arriving if not layer.feeds[part.feed].diagonal]
    row = layer.channels * (2 if layer.numbers.narrow else 4)
    vectors = layer.channels / layer.form("events").lanes
    patterns = events = 0.0
    blocks_of_rows = [
        len(taps.weights) * padded(taps.weights.shape[1]) // 8
        for taps in layer.feeds
        if not taps.diagonal
    ]
    pattern_table = sum(blocks_of_rows) * PATTERNS * row
    rows_table = sum(blocks_of_rows) * 8 * layer.channels * layer.numbers.weight_bytes
    for part in parts:
        taps, width = layer.feeds[part.feed], part.bits.shape[-1]
        each = len(taps.sources) / max(layer.positions, 1)
        patterns += each * width
        events += each * 8 * width * density(part, steps)
    taps_each = sum(len(layer.feeds[p.feed].sources) for p in parts) / max(layer.positions, 1)
    width = sum(part.bits.shape[1] * part.bits.shape[-1] for part in parts) / layer.positions
    lists = PER_LIST + taps_each * PER_TAP + width * PER_BYTE
    by_pattern = patterns * (PER_ROW + PER_VECTOR * vectors * _memory(pattern_table))
    by_pattern = math.inf if pattern_table > MOST_TABLE else by_pattern
    by_event = lists + events * (PER_ROW + PER_EVENT_VECTOR * vectors * _memory(rows_table))
    return "patterns" if by_pattern <= by_event else "events"


def _memory(table: int) -> float:
    """Return how much longer a vector takes from a table of that size."""
    return next((times for size, times in SLOWER if table <= size), FAR)
