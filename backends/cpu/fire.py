"""The kernels of the neurons: integrate, compare, reset and count in one pass.

A block of neurons keeps its voltages in the first-level cache over all the steps of a chunk.
Voltages are float64; on the grids of ``snap.py`` every sum is exact, so the order of the terms
does not matter and the kernel equals the neuron's plain ``step`` bit for bit.
There is one kernel a model; that of plain neurons is written in LLVM, see ``kernels/integrate.py``.

Spikes are float64 within the loops, and subtracted as numbers, not chosen between: with 64-bit
integers or branches LLVM leaves the loops scalar where there is no AVX-512, five times as slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnconvert.backends.cpu.kernels.integrate import integrate as integrate_and_fire
from snnconvert.backends.kernel_cache import compiled

__all__ = ["integrate_and_fire", "integrate_and_fire_graded", "integrate_and_fire_signed"]

BLOCK = 512
"""Neurons in a block: its voltage, threshold, constant and count take 16 KiB."""


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

Parameters
----------
voltage, constant, sums, threshold, spikes, counts, steps, fires, first_sample
    As for :func:`integrate_and_fire`, of one set of parameters; `spikes` receives -1, 0 or 1, and
    `counts` (0 or more at the start) is the sum of the spikes.
events : (n, size) int64 array
    Incremented by the number of spikes.
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

Parameters as for :data:`integrate_and_fire_signed`, and `highest`, the largest payload; `spikes`
receives the payloads, `counts` is incremented by them, and `events` by their number.
"""
