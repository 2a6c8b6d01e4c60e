"""Run samples on nengo-loihi's own emulator, one by one: the oracle of the integer engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.loihi.chip import Chip
from snnconvert.backends.loihi.engine import EngineResult

Ints = npt.NDArray[np.int32]


class Emulator:
    """The chip in the simulator that nengo-loihi built for it.

    Parameters
    ----------
    chip : Chip
    readouts : sequence of str
        Layers whose voltages are kept.
    """

    def __init__(self, chip: Chip, readouts: Sequence[str]) -> None:
        self.chip = chip
        self.readouts = tuple(readouts)
        self.emulator: Any = chip.simulator.sims["emulator"]
        slices = self.emulator.block_info.slices
        self.places: dict[str, npt.NDArray[np.int64]] = {}
        for name in chip.ensembles:
            cores = chip.of_layer(name)
            place = np.zeros(sum(len(c.neurons) for c in cores), np.int64)
            for core in cores:
                here = slices[core.block]
                place[core.neurons] = np.arange(here.start, here.stop)
            self.places[name] = place

    def reset(self) -> None:
        """Return to the state before the first step; nengo-loihi has no reset of its own."""
        compartment = self.emulator.compartment
        for name in ("input", "current", "voltage", "ref_count", "spike_count"):
            getattr(compartment, name)[:] = 0
        compartment.spiked[:] = False
        for spikes in self.emulator.synapses.spikes_in.values():
            spikes.clear()
        self.chip.simulator.clear_probes()
        self.emulator.t = 0

    def run(self, bias: Mapping[str, Ints], samples: int, steps: int) -> EngineResult:
        """Simulate `samples` samples for `steps` steps; all spikes are recorded.

        Parameters
        ----------
        bias : dict of (N, size) int32 arrays
            Biases of the layers whose bias differs between samples.
        samples, steps : int
        """
        result = EngineResult()
        for name, place in self.places.items():
            result.spikes[name] = np.zeros((samples, steps, len(place)), np.bool_)
            if name in self.readouts:
                result.voltages[name] = np.zeros((samples, steps, len(place)), np.int32)
        for sample in range(samples):
            self.reset()
            for name, rows in bias.items():
                self.emulator.compartment.bias[self.places[name]] = rows[sample]
            for t in range(steps):
                self._step()
                for name, place in self.places.items():
                    result.spikes[name][sample, t] = self.emulator.compartment.spiked[place]
                for name in self.readouts:
                    voltage = self.emulator.compartment.voltage
                    result.voltages[name][sample, t] = voltage[self.places[name]]
        for name, trains in result.spikes.items():
            result.counts[name] = trains.sum(axis=1, dtype=np.int64)
        return result

    def _step(self) -> None:
        with warnings.catch_warnings():
            # Currents beyond 21 bits wrap; the engine counts every one of them.
            warnings.filterwarnings("ignore", "Overflow in q0", UserWarning)
            self.chip.simulator.step()
