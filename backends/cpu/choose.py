"""Which kernel is cheapest for a layer, from its shape and how often its inputs spike.

Costs are nanoseconds for one position and one step, fitted to measurements on a processor of
2.5 GHz (benchmarks/README.md); what counts is how they compare. They decide speed alone: every
kernel gives the same spikes.
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

PER_ROW, PER_VECTOR = 0.3, 0.6
"""Finding a row, and adding one vector of it."""

PER_TAP, PER_BYTE = 3.5, 0.5
"""Copying the events of a tap into the list, and finding those of a byte of spikes."""


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
    rows_table, pattern_table = (sum(blocks_of_rows) * each * row for each in (8, PATTERNS))
    for part in parts:
        taps, width = layer.feeds[part.feed], part.bits.shape[-1]
        each = len(taps.sources) / max(layer.positions, 1)
        patterns += each * width
        events += each * 8 * width * density(part, steps)
    taps_each = sum(len(layer.feeds[p.feed].sources) for p in parts) / max(layer.positions, 1)
    lists = taps_each * PER_TAP + sum(part.bits.shape[-1] for part in parts) * PER_BYTE
    slow, quick = _memory(pattern_table, 2**23), _memory(rows_table, 2**20)
    by_pattern = patterns * (PER_ROW + PER_VECTOR * vectors * slow)
    by_pattern = math.inf if pattern_table > MOST_TABLE else by_pattern
    by_event = lists + events * (PER_ROW + PER_VECTOR * vectors * quick)
    return "patterns" if by_pattern <= by_event else "events"


def _memory(table: int, cache: int) -> float:
    """Return how much longer a vector takes from a table of that size."""
    return 1.0 if table <= cache // 8 else 1.3 if table <= cache else 2.5
