"""The integrate-and-fire neuron without leak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons.registry import (
    NeuronState,
    SpikeValues,
    neuron_model,
    no_parameter,
)


@neuron_model("if")
@dataclass(frozen=True, eq=False)
class IntegrateAndFire:
    """Integrate-and-fire, at most one spike a step, no lower bound on the voltage.

    Each step::

        voltage += current
        spike    = voltage >= threshold
        voltage -= threshold where spike    (reset "subtract", "soft")
        voltage  = 0         where spike    (reset "zero", "hard")

    The spike is emitted in the step whose current carries the voltage to the threshold. Reset by
    subtraction keeps the overshoot, reset to zero loses it.

    For constant current x in [0, threshold] and v_init in [0, threshold), T steps give exactly
    ``floor((v_init + x T) / threshold)`` spikes with reset by subtraction.

    Attributes
    ----------
    threshold, v_init : float array
        Broadcast against the neurons' shape.
    reset : {"subtract", "zero"}

    Examples
    --------
    >>> neuron = IntegrateAndFire(np.float64(4.0), np.float64(2.0))
    >>> state = neuron.initial_state((1,))
    >>> [int(neuron.step(np.array([3.0]), state)[0]) for _ in range(4)]
    [1, 1, 0, 1]
    """

    form: ClassVar[str] = "if"
    resets: ClassVar[frozenset[Reset]] = frozenset({"subtract", "zero"})

    threshold: FloatArray
    v_init: FloatArray
    reset: Reset = "subtract"

    @classmethod
    def spike_values(cls, parameter: str | None) -> SpikeValues:
        """Return 0 or 1; there is no parameter."""
        no_parameter("if", parameter)
        return SpikeValues(0, 1)

    @classmethod
    def from_population(cls, population: Population) -> IntegrateAndFire:
        """Take the parameters of a population."""
        return cls(population.threshold, population.v_init, population.reset)

    def initial_state(self, shape: tuple[int, ...]) -> NeuronState:
        """Return v_init, broadcast to `shape`, and no spikes sent."""
        return NeuronState.starting_at(self.v_init, shape)

    def rate(self, current: FloatArray) -> FloatArray:
        """Return the rate for constant current as T grows, in spikes a step."""
        drive = np.clip(current / self.threshold, 0.0, 1.0)
        if self.reset == "subtract":
            return np.asarray(drive)
        steps = np.ceil(np.divide(1.0, drive, out=np.full_like(drive, np.inf), where=drive > 0))
        return np.asarray(1.0 / steps)

    def step(
        self, current: FloatArray, state: NeuronState, *, firing: bool = True
    ) -> npt.NDArray[np.bool_]:
        """Advance `state` in place by one step and return the spikes."""
        voltage = state.voltage
        voltage += current
        if not firing:
            return np.zeros(voltage.shape, np.bool_)
        spikes = np.asarray(voltage >= self.threshold)
        if self.reset == "subtract":
            voltage -= np.where(spikes, self.threshold, 0.0)
        else:
            voltage[spikes] = 0.0
        state.count[...] += spikes
        return spikes
