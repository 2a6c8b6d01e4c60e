"""The neurons of one population in memory order, and which kernel advances them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.layout import per_neuron
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population
from snnconvert.convert.neurons import SpikeValues, model_name, spike_values


@dataclass(frozen=True, eq=False)
class Membranes:
    """What a step of some samples advances in place.

    Attributes
    ----------
    voltage : (n, size) or (sets, n, size) float64 array
        Sets, where plain neurons are advanced with several sets of parameters.
    counts : int64 array of the same shape
        Sum of the spikes.
    events : int64 array of the same shape
        Number of spikes; the same array as `counts` where every spike is 1.
    """

    voltage: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population's parameters, one a neuron, in stored order.

    Attributes
    ----------
    model : str
    threshold, v_init : (size,) or (sets, size) float64 arrays
    to_zero : bool
    values : SpikeValues
    """

    model: str
    threshold: npt.NDArray[np.float64]
    v_init: npt.NDArray[np.float64]
    to_zero: bool
    values: SpikeValues

    @classmethod
    def of(cls, population: Population) -> Neurons:
        """Take the parameters of a population."""
        values = spike_values(population.neuron)
        return cls(
            "if" if values.binary else model_name(population.neuron),
            per_neuron(population.threshold, population.shape),
            per_neuron(population.v_init, population.shape),
            population.reset == "zero",
            values,
        )

    @classmethod
    def of_each(cls, populations: Sequence[Population]) -> Neurons:
        """Take several sets of parameters of plain neurons: thresholds, initial potentials."""
        each = [cls.of(population) for population in populations]
        threshold = np.stack([neurons.threshold for neurons in each])
        return replace(each[0], threshold=threshold, v_init=np.stack([n.v_init for n in each]))

    def membranes(self, samples: int) -> Membranes:
        """Return the state of so many samples before the first step."""
        voltage = np.repeat(self.v_init[..., None, :], samples, axis=-2)
        counts = np.zeros(voltage.shape, np.int64)
        return Membranes(voltage, counts, counts if self.values.binary else counts.copy())

    def advance(
        self,
        membranes: Membranes,
        constant: FloatArray,
        sums: FloatArray,
        spikes: npt.NDArray[Any],
        steps: int,
        *,
        fires: bool,
        first_sample: int = 0,
    ) -> None:
        """Advance the membranes by some steps and write the spikes; see ``fire.py``.

        Of several sets of parameters spikes are not written.
        """
        kernels = _kernels()
        state = (membranes.voltage, constant, sums, self.threshold)
        counters = (membranes.counts, membranes.events)
        span = (steps, fires, first_sample)
        if self.model == "signed":
            kernels.integrate_and_fire_signed(*state, spikes, *counters, *span)
        elif self.model == "graded":
            highest = float(self.values.highest)
            kernels.integrate_and_fire_graded(*state, highest, spikes, *counters, *span)
        else:
            kernels.integrate_and_fire(*state, self.to_zero, spikes, membranes.counts, *span)


@cache
def _kernels() -> ModuleType:
    """Return the compiled kernels, or where Numba is missing the same functions in NumPy."""
    compiled = find_spec("numba") is not None
    return import_module(f"snnconvert.backends.cpu.{'fire' if compiled else 'plain_fire'}")
