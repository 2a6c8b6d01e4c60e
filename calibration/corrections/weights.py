"""Refit the weights to what really arrives, so that the mean currents are the ANN's.

Quantised and uneven rates differ from the ANN's activations in ways that are partly linear in the
rates themselves: saturated channels, correlated roundings, spikes sent too early. The regression
of ``regression.py`` takes that part back, on the spikes of the populations corrected before. Errors
that the neuron hides count as none: where current and pre-activation are both below zero it is
silent either way, where both are beyond its highest rate it fires in each step either way.

This is the weight calibration of Li et al. 2021 ("A free lunch from ANN", section 3.3) on currents
in place of spikes: it has a closed form, takes seconds and needs no learning rate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.corrections.regression import refit_connections
from snnconvert.calibration.replay import ReplayState
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Readout
from snnconvert.convert.neurons import spike_values


def refit_weights(
    population: Population, state: ReplayState, preactivations: FloatArray, rows: slice
) -> Population:
    """Refit the connections into a population; return it with the bias that goes with them.

    Parameters
    ----------
    population : Population
    state : ReplayState
        Its network takes the new connections.
    preactivations : (n, *shape) array
        What the ANN has.
    rows : slice
        Those that make the correction.
    """

    def missing(population: Population) -> FloatArray:
        current = state.mean_current(population) + population.bias
        return visible_error(population, current, preactivations)

    return refit_connections(population, state, missing, rows)


def refit_readout(readout: Readout, state: ReplayState, values: FloatArray, rows: slice) -> Readout:
    """Refit the connections into a readout, for the steps that it counts.

    Parameters
    ----------
    readout : Readout
    state : ReplayState
        Its network takes the new connections.
    values : (n, *shape) array
        The ANN's outputs.
    rows : slice
        Those that make the correction.
    """
    weights = readout.step_weights(state.frames)

    def missing(readout: Readout) -> FloatArray:
        current = state.mean_current(readout, weights) + readout.bias
        return np.asarray(values / readout.scale - current, np.float32)

    return refit_connections(readout, state, missing, rows, weights=weights)


def visible_error(
    population: Population, current: FloatArray, preactivations: FloatArray
) -> FloatArray:
    """Return what is missing of the mean currents, float32, without what no spike would show.

    Parameters
    ----------
    population : Population
    current : (n, *shape) array
        Mean current of a step, with the bias.
    preactivations : (n, *shape) array
        What the ANN has.
    """
    hidden = hidden_errors(population, current, preactivations)
    return np.asarray(np.where(hidden, 0.0, preactivations - current), np.float32)


def hidden_errors(
    population: Population, current: FloatArray, preactivations: FloatArray
) -> npt.NDArray[np.bool_]:
    """Return where no spike would show what is missing of the mean currents, (n, *shape).

    Parameters as for :func:`visible_error`.
    """
    highest = spike_values(population.neuron).highest * population.amplitude
    silent = (current <= 0) & (preactivations <= 0)
    saturated = (current >= highest) & (preactivations >= highest)
    return np.asarray(silent | saturated)
