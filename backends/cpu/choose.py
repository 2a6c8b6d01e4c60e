"""Which kernel is cheapest for a layer, from its shape and how often its inputs spike.

Costs are cycles for one position and one step, fitted to measurements (benchmarks/README.md).
What they decide is speed alone: every kernel gives the same spikes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.kernels.layer import Method

FIRST_LEVEL, SECOND_LEVEL = 2**15, 2**20
"""Bytes of the caches that tables should stay in; usual sizes, a core."""

MOST_TABLE = 2**26
"""Bytes of a layer's tables of patterns."""


def density(arriving: Arriving) -> float:
    """Return the share of the source's neurons and steps that spiked, in the samples at hand."""
    bits = arriving.bits
    return float(np.bitwise_count(bits).mean(dtype=np.float64)) / 8 if bits.size else 0.0


def cheapest(layer: EventLayer, arriving: Sequence[Arriving]) -> Method:
    """Return the method for a layer."""
    patterns = events = 0.0
    table = rows_table = 0
    row = layer.channels * (2 if layer.numbers.narrow else 4)
    vectors = layer.channels / layer.lanes
    lists = 0.0
    for part in arriving:
        taps = layer.feeds[part.feed]
        if taps.diagonal:
            continue
        each = len(taps.sources) / max(layer.positions, 1)
        inputs = part.bits.shape[2] * 8
        patterns += each * inputs / 8
        events += each * inputs * density(part)
        lists += each
        table += len(taps.weights) * inputs // 8 * 256 * row
        rows_table += taps.weights.shape[0] * inputs * row
    if table > MOST_TABLE:
        return "events"
    by_pattern = patterns * vectors * _load(table / 4) + patterns * 0.4
    by_event = events * (1.5 + vectors * _load(rows_table)) + 8 * lists + 30
    return "patterns" if by_pattern <= by_event else "events"


def _load(table: float) -> float:
    """Return the cycles of adding one vector of a table of that size."""
    return 0.8 if table <= FIRST_LEVEL else 1.2 if table <= SECOND_LEVEL else 2.5
