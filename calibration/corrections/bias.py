"""Correct the biases so that every channel's decoded values have the mean of the ANN's.

Quantisation and early spikes shift the mean of a channel, and every layer behind adds up the shift
over its whole fan-in. The bias takes it back, a little in each step: unlike an initial potential,
it can do so without limit, and it leaves the first steps to the input. The shift is measured on the
spikes of the populations corrected before, and again after each damped move, because a channel
answers to it through its threshold.

The "bias correction" of Nagel et al. 2019 ("Data-free quantization through weight equalization and
bias correction") and of Li et al. 2021 ("A free lunch from ANN", section 3.2), here in rounds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.calibration.replay import Drive, channel_mean
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population

ROUNDS = 4
DAMPING = 0.7


def correct_bias(
    population: Population, drive: Drive, activations: FloatArray, rows: slice
) -> Population:
    """Return the population with the biases that its decoded values ask for.

    Parameters
    ----------
    population : Population
    drive : Drive
    activations : (n, *shape) array
        What the ANN has.
    rows : slice
        Those that make the correction.
    """
    for _ in range(ROUNDS):
        missing = channel_mean(population, (activations - drive.decoded(population))[rows])
        population = replace(population, bias=np.asarray(population.bias + DAMPING * missing))
    return population
