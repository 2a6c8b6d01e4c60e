"""The neurons of one population on a device: one step after the other, all samples at once.

The laws are those of ``convert/neurons``; voltages are float64, exact on the grids of
``snap.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from snnconvert.backends.cpu.layout import per_neuron
from snnconvert.convert.network import Population
from snnconvert.convert.neurons import SpikeValues, model_name, spike_values


@dataclass(frozen=True, eq=False)
class DeviceMembranes:
    """What a step advances in place: (n, size) tensors; `events` of plain neurons is `counts`."""

    voltage: torch.Tensor
    counts: torch.Tensor
    events: torch.Tensor


@dataclass(frozen=True, eq=False)
class DeviceNeurons:
    """A population's parameters, one a neuron, in stored order."""

    model: str
    threshold: torch.Tensor
    v_init: torch.Tensor
    to_zero: bool
    values: SpikeValues

    @classmethod
    def of(cls, population: Population, device: torch.device) -> DeviceNeurons:
        """Take the parameters of a population."""
        values = spike_values(population.neuron)
        threshold, v_init = (
            torch.tensor(per_neuron(np.asarray(p), population.shape), device=device)
            for p in (population.threshold, population.v_init)
        )
        model = "if" if values.binary else model_name(population.neuron)
        return cls(model, threshold, v_init, population.reset == "zero", values)

    def membranes(self, samples: int) -> DeviceMembranes:
        """Return the state of so many samples before the first step."""
        voltage = self.v_init.repeat(samples, 1)
        counts = torch.zeros(voltage.shape, dtype=torch.int64, device=voltage.device)
        return DeviceMembranes(voltage, counts, counts if self.values.binary else counts.clone())

    def advance(
        self,
        membranes: DeviceMembranes,
        constant: torch.Tensor | None,
        sums: torch.Tensor | None,
        spikes: torch.Tensor | None,
        steps: int,
    ) -> None:
        """Advance the membranes by some steps.

        Parameters
        ----------
        membranes : DeviceMembranes
        constant : (1 or n, size) float64 tensor or None
            Added in every step.
        sums : (steps, n, size) tensor or None
            What arrives.
        spikes : (steps, n, size) tensor or None
            Receives what is sent; None: outside the firing window.
        steps : int
        """
        voltage = membranes.voltage
        for t in range(steps):
            if constant is not None:
                voltage += constant
            if sums is not None:
                voltage += sums[t]
            if spikes is not None:
                spikes[t] = self._fire(membranes)

    def _fire(self, membranes: DeviceMembranes) -> torch.Tensor:
        voltage, counts = membranes.voltage, membranes.counts
        if self.model == "signed":
            up = voltage >= self.threshold
            down = (voltage < 0) & (counts > 0)
            sent = up.to(torch.int64) - down.to(torch.int64)
        elif self.model == "graded":
            payload = torch.floor(voltage / self.threshold).clamp_(0, self.values.highest)
            sent = payload.to(torch.int64)
        else:
            sent = (voltage >= self.threshold).to(torch.int64)
        if self.to_zero:
            voltage.masked_fill_(sent != 0, 0.0)
        else:
            voltage -= sent * self.threshold
        counts += sent
        if membranes.events is not counts:
            membranes.events.add_(sent != 0)
        return sent
