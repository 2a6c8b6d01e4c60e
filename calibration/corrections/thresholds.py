"""Search each channel's threshold and initial potential under its real currents.

The thresholds of the histogram methods are best for currents that arrive evenly. Real ones come in
bursts: a higher threshold makes a neuron wait for more of them, a lower one loses less charge at
the end. Every pair of a small grid is tried on all channels at once, and each channel takes the
pair whose decoded values are nearest to the ANN's activations.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.replay import Drive, channel_mean
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population

SHARES = (0.7, 0.85, 1.0, 1.2, 1.45, 1.8)
"""Thresholds that are tried, as shares of the given one."""

POTENTIALS = (0.25, 0.5, 0.75)
"""Initial potentials that are tried, as shares of the threshold."""

SEARCHED_ROWS = 48
"""Rows that are enough where every position of a channel counts."""


def search_thresholds(
    population: Population,
    drive: Drive,
    activations: FloatArray,
    rows: slice,
    *,
    ceiling: float | None = None,
) -> Population:
    """Return the population with each channel's best threshold and initial potential.

    Parameters
    ----------
    population : Population
        Threshold, amplitude and scale keep their ratios.
    drive : Drive
    activations : (n, *shape) array
        What the ANN has.
    rows : slice
        Those that the search is made on.
    ceiling : float, optional
        Largest activation of the population: no threshold is raised beyond.
    """
    chosen = np.arange(len(activations))[rows][:SEARCHED_ROWS]
    few, wanted = drive.of_rows(chosen), activations[chosen]
    candidates = [
        _scaled(population, share, potential, ceiling)
        for share, potential in itertools.product(SHARES, POTENTIALS)
    ]
    found = few.decoded_of_each([population, *candidates])
    best, least = population, _error(population, next(found), wanted)
    for candidate, decoded in zip(candidates, found, strict=True):
        error = _error(candidate, decoded, wanted)
        better = error < least
        least = np.where(better, error, least)
        best = _where(better, candidate, best)
    return best


def _error(population: Population, decoded: FloatArray, activations: FloatArray) -> FloatArray:
    difference = decoded - activations
    return channel_mean(population, np.square(difference, out=difference))


def _scaled(
    population: Population, share: float, potential: float, ceiling: float | None
) -> Population:
    factor = np.full(population.threshold.shape, share)
    if ceiling is not None:
        allowed = np.maximum(ceiling / population.scale, 1.0)
        factor = np.minimum(factor, allowed)
    threshold = np.asarray(population.threshold * factor)
    return replace(
        population,
        threshold=threshold,
        amplitude=np.asarray(population.amplitude * factor),
        scale=np.asarray(population.scale * factor),
        v_init=np.asarray(potential * threshold),
    )


def _where(better: npt.NDArray[np.bool_], one: Population, other: Population) -> Population:
    """Return the parameters of `one` in the channels where it is better."""
    return replace(
        one,
        **{
            name: np.where(better, getattr(one, name), getattr(other, name))
            for name in ("threshold", "amplitude", "scale", "v_init")
        },
    )
