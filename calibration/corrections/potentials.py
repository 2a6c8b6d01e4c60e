"""Correct the initial potentials so that every channel spikes as often as the ANN is active.

In a run that is not staged, deep populations answer at first to input that has not arrived in full.
Spikes sent too early cannot be taken back, charge that comes late is left over at the end: the
decoded values of a channel come out too large or too small on average. Such an offset is the same
for all positions, so it adds up in the layers behind. The initial potential pays it in advance: by
replaying calibration rows, each channel's is moved by T times the mean error of its decoded
values, on the spikes of the populations corrected before it.

The idea is the "potential correction" of Li et al. 2021, "A free lunch from ANN", section 3.3;
here it is made under the real spikes, by channel, and stays in [0, threshold), as the law of the
neuron asks for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.calibration.replay import Drive, channel_mean
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population

ROUNDS = 4
DAMPING = 0.7
HIGHEST = 1 - 2.0**-10
"""Largest initial potential as a share of the threshold: one is a spike in the first step."""


def correct_potentials(
    population: Population, drive: Drive, activations: FloatArray, rows: slice
) -> Population:
    """Return the population with potentials that bring the mean of its decoded values to the ANN's.

    Parameters
    ----------
    population : Population
        With reset by subtraction.
    drive : Drive
    activations : (n, *shape) array
        What the ANN has.
    rows : slice
        Those that make the correction.
    """
    for _ in range(ROUNDS):
        missing = channel_mean(population, (activations - drive.decoded(population))[rows])
        moved = population.v_init + DAMPING * drive.timesteps * missing
        v_init = np.clip(moved, 0.0, HIGHEST * population.threshold)
        population = replace(population, v_init=np.asarray(v_init))
    return population
