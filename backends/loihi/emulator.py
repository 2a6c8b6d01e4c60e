"""Run samples on nengo-loihi's own emulator, one by one: the oracle of the integer engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.loihi.chip import cores_of
from snnconvert.backends.loihi.engine import EngineResult

Ints = npt.NDArray[np.int32]


class Emulator:
    """A ``nengo_loihi.Simulator`` of an emitted network.

    Parameters
    ----------
    simulator : nengo_loihi.Simulator
        On the emulator (``target="sim"``).
    ensembles : dict of str to nengo.Ensemble
        By layer.
    readouts : iterable of str
        Layers whose voltages are kept.
    """

    def __init__(
        self, simulator: Any, ensembles: Mapping[str, Any], readouts: Iterable[str] = ()
    ) -> None:
        self.simulator = simulator
        self.readouts = tuple(readouts)
        self.emulator: Any = simulator.sims["emulator"]
        slices = self.emulator.block_info.slices
        self.places = {
            name: np.zeros(ensemble.n_neurons, np.int64) for name, ensemble in ensembles.items()
        }
        for core in cores_of(simulator, ensembles):
            here = slices[core.block]
            self.places[core.layer][core.neurons] = np.arange(here.start, here.stop)

    def reset(self) -> None:
        """Return to the state before the first step; nengo-loihi has no reset of its own."""
        compartment = self.emulator.compartment
        for name in ("input", "current", "voltage", "ref_count", "spike_count"):
            getattr(compartment, name)[:] = 0
        compartment.spiked[:] = False
        for spikes in self.emulator.synapses.spikes_in.values():
            spikes.clear()
        self.simulator.clear_probes()
        self.emulator.t = 0

    def write(self, bias: Mapping[str, Ints]) -> None:
        """Write the bias registers of layers, each (size,)."""
        for name, registers in bias.items():
            self.emulator.compartment.bias[self.places[name]] = registers

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
            self.write({name: rows[sample] for name, rows in bias.items()})
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
            self.simulator.step()
