"""The kernels of the neurons: integrate, compare, reset and count in one pass.

A block of neurons keeps its voltages in the first-level cache over all the steps of a chunk.
Voltages are float64; on the grids of ``snap.py`` every sum is exact, so the order of the terms
does not matter and the kernel equals the neuron's plain ``step`` bit for bit.
There is one kernel a model: what the others need would cost the plain one its speed.

Spikes are float64 within the loops, and subtracted as numbers, not chosen between: with 64-bit
integers or branches LLVM leaves the loops scalar where there is no AVX-512, five times as slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnconvert.backends.kernel_cache import compiled

BLOCK = 512
"""Neurons in a block: its voltage, threshold, constant and count take 16 KiB."""


def _integrate_and_fire(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    to_zero: bool,
    spikes: Any,
    counts: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    kept = 0.0 if to_zero else 1.0
    # One loop serves all cases, so that it stays simple enough for LLVM to vectorise: where
    # nothing arrives zeros do, and outside the firing window no threshold is in reach.
    arrived = np.zeros(BLOCK, sums.dtype)
    fired = np.zeros(BLOCK, spikes.dtype)
    tally = np.zeros(BLOCK)
    unreachable = np.full(BLOCK, np.inf)
    for sample in range(voltage.shape[0]):
        row = sample if constant.shape[0] > 1 else 0
        for first in range(0, voltage.shape[1], BLOCK):
            last = min(first + BLOCK, voltage.shape[1])
            v = voltage[sample, first:last]
            steady = constant[row, first:last]
            cost = threshold[first:last]
            limit = cost if fires else unreachable
            tally[:] = 0.0
            for t in range(steps):
                if sums.shape[0]:
                    arrived = sums[t, first_sample + sample, first:last]
                if spikes.shape[0]:
                    fired = spikes[t, first_sample + sample, first:last]
                for i in range(v.shape[0]):
                    u = v[i] + steady[i] + arrived[i]
                    spike = np.float64(u >= limit[i])
                    fired[i] = spike
                    tally[i] += spike
                    v[i] = u - spike * (kept * cost[i] + (1.0 - kept) * u)
            for i in range(v.shape[0]):
                counts[sample, first + i] += np.int64(tally[i])


integrate_and_fire = compiled(_integrate_and_fire)
"""Advance neurons by `steps` steps.

Parameters
----------
voltage : (n, size) float64 array
    Advanced in place.
constant : (1 or n, size) float64 array
    Added in every step: bias and analog currents.
sums : (steps, N, size) float32 or float64 array
    What arrives in each step; (0, N, size): nothing.
threshold : (size,) float64 array
to_zero : bool
    Reset to zero instead of by subtraction.
spikes : (steps, N, size) float32 array
    Receives 1 where a neuron fires, else 0; (0, N, size): they are counted alone.
counts : (n, size) int64 array
    Incremented by the spikes.
steps : int
fires : bool
    Whether the steps are in the firing window.
first_sample : int
    Where the n samples begin in `sums` and `spikes`.
"""


def _integrate_and_fire_signed(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    spikes: Any,
    counts: Any,
    events: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    arrived = np.zeros(BLOCK, sums.dtype)
    fired = np.zeros(BLOCK, spikes.dtype)
    total, tally = np.zeros(BLOCK), np.zeros(BLOCK)
    # Outside the firing window neither bound is in reach.
    unreachable = np.full(BLOCK, np.inf)
    lowest = 0.0 if fires else -np.inf
    for sample in range(voltage.shape[0]):
        row = sample if constant.shape[0] > 1 else 0
        for first in range(0, voltage.shape[1], BLOCK):
            last = min(first + BLOCK, voltage.shape[1])
            v = voltage[sample, first:last]
            steady = constant[row, first:last]
            cost = threshold[first:last]
            limit = cost if fires else unreachable
            for i in range(v.shape[0]):
                total[i] = counts[sample, first + i]
            tally[:] = 0.0
            for t in range(steps):
                if sums.shape[0]:
                    arrived = sums[t, first_sample + sample, first:last]
                if spikes.shape[0]:
                    fired = spikes[t, first_sample + sample, first:last]
                for i in range(v.shape[0]):
                    u = v[i] + steady[i] + arrived[i]
                    up = np.float64(u >= limit[i])
                    down = np.float64((u < lowest) & (total[i] > 0.0))
                    spike = up - down
                    fired[i] = spike
                    total[i] += spike
                    tally[i] += up + down
                    v[i] = u - spike * cost[i]
            for i in range(v.shape[0]):
                counts[sample, first + i] = np.int64(total[i])
                events[sample, first + i] += np.int64(tally[i])


integrate_and_fire_signed = compiled(_integrate_and_fire_signed)
"""Advance signed neurons by `steps` steps.

Parameters as for :data:`integrate_and_fire`; `spikes` receives -1, 0 or 1, `counts` (0 or more at
the start) is the sum of the spikes, and `events`, (n, size) int64, is incremented by their number.
"""


def _integrate_and_fire_graded(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    highest: float,
    spikes: Any,
    counts: Any,
    events: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    arrived = np.zeros(BLOCK, sums.dtype)
    fired = np.zeros(BLOCK, spikes.dtype)
    total, tally = np.zeros(BLOCK), np.zeros(BLOCK)
    most = highest if fires else 0.0
    for sample in range(voltage.shape[0]):
        row = sample if constant.shape[0] > 1 else 0
        for first in range(0, voltage.shape[1], BLOCK):
            last = min(first + BLOCK, voltage.shape[1])
            v = voltage[sample, first:last]
            steady = constant[row, first:last]
            cost = threshold[first:last]
            total[:] = 0.0
            tally[:] = 0.0
            for t in range(steps):
                if sums.shape[0]:
                    arrived = sums[t, first_sample + sample, first:last]
                if spikes.shape[0]:
                    fired = spikes[t, first_sample + sample, first:last]
                for i in range(v.shape[0]):
                    u = v[i] + steady[i] + arrived[i]
                    payload = np.floor(u / cost[i])
                    payload = payload if payload > 0.0 else 0.0
                    payload = payload if payload < most else most
                    fired[i] = payload
                    total[i] += payload
                    tally[i] += np.float64(payload > 0.0)
                    v[i] = u - payload * cost[i]
            for i in range(v.shape[0]):
                counts[sample, first + i] += np.int64(total[i])
                events[sample, first + i] += np.int64(tally[i])


integrate_and_fire_graded = compiled(_integrate_and_fire_graded)
"""Advance graded neurons by `steps` steps.

Parameters as for :data:`integrate_and_fire`, and `highest`, the largest payload; `spikes` receives
the payloads, `counts` is incremented by them, and `events`, (n, size) int64, by their number.
"""
