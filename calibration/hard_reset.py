"""Correct what reset to zero loses: one gain a channel, measured under the real spikes.

A neuron that is reset to zero loses the overshoot of every spike, so it spikes less often than
one that keeps it: for constant current x the rate is ``1 / ceil(threshold / x)``, never more than
``x / threshold``. More steps do not repair this. The lost share is much the same for all neurons of
a channel, so a larger amplitude of their spikes, ``g = sum(a r) / sum(r^2)`` over activations a and
rates r, gives most of it back. It costs nothing: targets absorb amplitudes into the next weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.replay import FITTED, HELD_OUT, Drive, Teacher, channel_mean, replay
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population

LARGEST_GAIN = 4.0
"""Gains beyond come from channels that hardly spike."""


def correct_hard_reset(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with the amplitudes that make its rates fit the ANN's activations.

    Populations are corrected in order, each under the spikes of the corrected ones before it. The
    gains are fitted on every other row, and kept where the remaining rows confirm them.

    Parameters
    ----------
    network : Network
        With reset to zero, in ANN units. Delays and windows are not looked at.
    graph : Graph
        The lowered graph that it was built from.
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows by input name; as many are used as memory allows.
    timesteps : int
        The design T.
    progress : callable, optional
        Called with the number of populations done and in all.

    Returns
    -------
    network : Network
    record : dict
        ``hard_reset``: for each population its mean gain and its relative squared error before
        and after, on the rows that the gains were not fitted on; ready for JSON.
    """
    teacher = Teacher.of(network, graph, rows, timesteps)
    if teacher.count < 2:
        return network, {"hard_reset": {}}
    correction = _Correction(teacher.activations, timesteps)
    total = len(network.populations)

    def correct(population: Population, drive: Drive) -> Population:
        corrected = correction.apply(population, drive)
        if progress is not None:
            progress(len(correction.record), total)
        return corrected

    corrected = replay(network, teacher.rows, timesteps, correct).network
    return corrected, {"hard_reset": correction.record}


@dataclass(frozen=True, eq=False)
class _Fit:
    gain: FloatArray
    before: float
    after: float


class _Correction:
    def __init__(self, activations: Mapping[str, FloatArray], timesteps: int) -> None:
        self.activations, self.timesteps = activations, timesteps
        self.record: dict[str, dict[str, float]] = {}

    def apply(self, population: Population, drive: Drive) -> Population:
        """Return the population with the amplitude that its rates call for."""
        if population.tensor is None:
            return population
        activations = self.activations[population.tensor]
        fit = _fit(population, activations, drive.counts(population) / self.timesteps)
        accepted = fit.after < fit.before
        self.record[population.name] = {
            "gain": float(fit.gain.mean()) if accepted else 1.0,
            "error_before": fit.before,
            "error_after": min(fit.after, fit.before),
        }
        if not accepted:
            return population
        amplitude = np.asarray(population.amplitude * fit.gain)
        return replace(population, amplitude=amplitude, scale=amplitude)


def _fit(population: Population, activations: FloatArray, rates: FloatArray) -> _Fit:
    """Fit the gains on some rows; measure the errors on the others."""
    estimate = np.asarray(population.amplitude * rates)
    a, e = activations[FITTED], estimate[FITTED]
    products, squares = channel_mean(population, a * e), channel_mean(population, e * e)
    gain = np.divide(products, squares, out=np.ones_like(products), where=squares > 0)
    gain = np.clip(gain, 1 / LARGEST_GAIN, LARGEST_GAIN)
    a, e = activations[HELD_OUT], estimate[HELD_OUT]
    power = float(np.square(a, dtype=np.float64).mean()) or 1.0
    before = float(np.square(a - e).mean()) / power
    return _Fit(gain, before, float(np.square(a - gain * e).mean()) / power)
