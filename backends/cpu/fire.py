"""The integrate-and-fire kernel: integrate, compare, reset and count in one pass.

A block of neurons keeps its voltages in the first-level cache over all the steps of a chunk.
Voltages are float64; on the grids of ``snap.py`` every sum is exact, so the order of the terms
does not matter and the kernel equals the neuron's plain ``step`` bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

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
) -> None:
    arriving = sums.shape[0] > 0
    firing = spikes.shape[0] > 0
    for sample in range(voltage.shape[0]):
        row = sample if constant.shape[0] > 1 else 0
        for first in range(0, voltage.shape[1], BLOCK):
            v = voltage[sample, first : first + BLOCK]
            steady = constant[row, first : first + BLOCK]
            limit = threshold[first : first + BLOCK]
            count = counts[sample, first : first + BLOCK]
            for t in range(steps):
                if arriving:
                    arrived = sums[t, sample, first : first + BLOCK]
                    for i in range(len(v)):
                        v[i] += steady[i] + arrived[i]
                else:
                    for i in range(len(v)):
                        v[i] += steady[i]
                if not firing:
                    continue
                out = spikes[t, sample, first : first + BLOCK]
                if to_zero:
                    for i in range(len(v)):
                        spike = v[i] >= limit[i]
                        out[i] = spike
                        count[i] += spike
                        v[i] = 0.0 if spike else v[i]
                else:
                    for i in range(len(v)):
                        spike = v[i] >= limit[i]
                        out[i] = spike
                        count[i] += spike
                        v[i] -= limit[i] if spike else 0.0


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile for threads without the interpreter's lock, cached on disk where that is possible."""
    try:
        kernel: Callable[..., None] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # Numba's word for "no folder to write the cache to"
        kernel = numba.njit(nogil=True)(function)
    return kernel


integrate_and_fire = compiled(_integrate_and_fire)
"""Advance neurons by `steps` steps.

Parameters
----------
voltage : (n, size) float64 array
    Advanced in place.
constant : (1 or n, size) float64 array
    Added in every step: bias and analog currents.
sums : (steps, n, size) float32 or float64 array
    What arrives in each step; (0, n, size): nothing.
threshold : (size,) float64 array
to_zero : bool
    Reset to zero instead of by subtraction.
spikes : (steps, n, size) float32 array
    Receives 1 where a neuron fires, else 0; (0, n, size): outside the firing window.
counts : (n, size) int64 array
    Incremented by the spikes.
steps : int
"""
