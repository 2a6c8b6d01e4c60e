"""The neurons of one population in memory order, and which kernel advances them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

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
    voltage : (n, size) float64 array
    counts : (n, size) int64 array
        Sum of the spikes.
    events : (n, size) int64 array
        Number of spikes; the same array as `counts` where every spike is 1.
    """

    voltage: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population's parameters, one a neuron, in stored order."""

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

    def membranes(self, samples: int) -> Membranes:
        """Return the state of so many samples before the first step."""
        voltage = np.tile(self.v_init, (samples, 1))
        counts = np.zeros(voltage.shape, np.int64)
        return Membranes(voltage, counts, counts if self.values.binary else counts.copy())

    def advance(
        self,
        membranes: Membranes,
        constant: FloatArray,
        sums: FloatArray,
        spikes: FloatArray,
        steps: int,
        *,
        fires: bool,
        first_sample: int = 0,
    ) -> None:
        """Advance the membranes by some steps and write the spikes; see ``fire.py``."""
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
