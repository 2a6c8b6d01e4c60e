"""The compiled loops of the integer engine: spikes in, currents and spikes out.

A spike train of one sample is a list of neurons, ``neurons[first[t]:first[t + 1]]`` in step t.
All arithmetic is int32, as in the emulator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.kernel_cache import compiled

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

CURRENT_LIMIT = 2**21
"""The chip adds the weights of a step in 21 bits and a sign; beyond them they wrap around."""

_HALF = np.int32(CURRENT_LIMIT)
_MASK = np.int32(2 * CURRENT_LIMIT - 1)
WORD = 8
"""Spikes that are skipped together where there are none."""


@compiled
def deliver(
    current: Ints,
    neurons: Ints,
    first: Longs,
    row_pattern: Ints,
    row_base: Ints,
    pattern_first: Longs,
    run_start: Ints,
    run_length: Ints,
    run_weight: Longs,
    weights: Ints,
) -> None:
    """Add the weights of every spike to `current` (steps, targets), one step later.

    A source neuron's targets are runs of neighbours, relative to its base; source neurons whose
    targets and weights differ in the base only share a pattern.
    """
    steps = current.shape[0]
    for t in range(1, steps):
        row = current[t]
        for k in range(first[t - 1], first[t]):
            neuron = neurons[k]
            pattern = row_pattern[neuron]
            base = row_base[neuron]
            for r in range(pattern_first[pattern], pattern_first[pattern + 1]):
                start = base + run_start[r]
                length = run_length[r]
                # slices, so that the loop needs no check for negative indices and vectorises
                added = weights[run_weight[r] : run_weight[r] + length]
                sums = row[start : start + length]
                for j in range(length):
                    sums[j] += added[j]


@compiled
def fire(
    current: Ints,
    bias: Ints,
    threshold: Ints,
    lowest: Ints,
    highest: Ints,
    neurons: Ints,
    first: Longs,
    voltages: Ints,
    tally: Longs,
) -> None:
    """Integrate `current` (steps, n) and write the spike train of the layer.

    Parameters
    ----------
    current
        With no rows, no synapse arrives.
    voltages : (steps, n) or (0, n)
        Receives the voltages after each step, where it has rows.
    tally : (3,)
        Counts currents that wrapped, and voltages clipped from below and from above.
    """
    n = bias.shape[0]
    steps = first.shape[0] - 1
    fed = current.shape[0] > 0
    kept = voltages.shape[0] > 0
    voltage = np.zeros(n, np.int32)
    spikes = np.zeros(-(-n // WORD) * WORD, np.uint8)
    words = spikes.view(np.uint64)
    silence = np.zeros(n, np.int32)
    found = 0
    wrapped = 0
    below = 0
    above = 0
    first[0] = 0
    for t in range(steps):
        row = current[t] if fed else silence
        for i in range(n):  # without branches, so that it vectorises
            x = np.int32(row[i])
            y = np.int32(np.int32(np.int32(x + _HALF) & _MASK) - _HALF)
            wrapped += x != y
            v = np.int32(np.int32(voltage[i] + y) + bias[i])
            below += v < lowest[i]
            above += v > highest[i]
            v = min(max(v, lowest[i]), highest[i])
            spike = v > threshold[i]
            spikes[i] = spike
            voltage[i] = np.int32(0) if spike else v
        if kept:
            voltages[t] = voltage
        for word in range(words.shape[0]):
            if words[word] == 0:
                continue
            for i in range(word * WORD, (word + 1) * WORD):
                neurons[found] = i
                found += spikes[i]
        first[t + 1] = found
    tally[0] += wrapped
    tally[1] += below
    tally[2] += above


def empty_rows(columns: int) -> Any:
    """Return a (0, columns) int32 array: "no such current" or "voltages not kept"."""
    return np.zeros((0, columns), np.int32)
