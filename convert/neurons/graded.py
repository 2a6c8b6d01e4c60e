"""The graded neuron: a spike carries a whole number, so that one step can say more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons.registry import (
    NeuronState,
    SpikeValues,
    neuron_model,
    spike_values,
)

LARGEST_PAYLOAD = 255
"""Eight bits: what chips with graded spikes carry at least."""


@neuron_model("graded")
@dataclass(frozen=True, eq=False)
class GradedSpikes:
    """Integrate-and-fire with payloads: up to `highest` unit spikes in one step, as one event.

    Each step::

        voltage += current
        spike    = clip(floor(voltage / threshold), 0, highest)
        voltage -= threshold * spike        (reset "subtract")

    The spike is emitted in the step whose current carries the voltage to the threshold, and
    carries as many thresholds as the voltage holds; the reset takes all of them away.

    For constant current x in [0, highest * threshold] and v_init in [0, threshold), T steps give
    payloads that add up to exactly ``floor((v_init + x T) / threshold)``: highest * T + 1 levels
    where binary spikes have T + 1. In a fully staged run the sum is
    ``clip(floor((v_init + charge) / threshold), 0, highest * T)``. ``graded:1`` is the plain
    neuron.

    A cascade of n thresholds ``threshold * 2**j``, each fired and subtracted in turn, sends the
    binary digits of the same payload: it is ``graded:K`` with K = 2**n - 1.

    Attributes
    ----------
    threshold, v_init : float array
        Broadcast against the neurons' shape.
    highest : int
        Largest payload, K in ``graded:K``.

    Examples
    --------
    >>> neuron = GradedSpikes(np.float64(4.0), np.float64(2.0), 3)
    >>> state = neuron.initial_state((1,))
    >>> [int(neuron.step(np.array([x]), state)[0]) for x in (9.0, 9.0, 17.0, 0.0)]
    [2, 3, 3, 1]

    References
    ----------
    Li and Zeng 2022, "Efficient and accurate conversion of spiking neural network with burst
    spikes", for several spikes in one step.
    """

    form: ClassVar[str] = "graded:K"
    resets: ClassVar[frozenset[Reset]] = frozenset({"subtract"})

    threshold: FloatArray
    v_init: FloatArray
    highest: int

    @classmethod
    def spike_values(cls, parameter: str | None) -> SpikeValues:
        """Return 0 to K for the parameter K."""
        if not parameter:
            raise UsageError(
                "neuron model 'graded' needs the largest payload of a spike",
                hint="for example --neuron graded:4",
            )
        highest = int(parameter) if parameter.isdecimal() else 0
        if not 1 <= highest <= LARGEST_PAYLOAD:
            raise UsageError(
                f"neuron model 'graded:K' needs a whole number K from 1 to {LARGEST_PAYLOAD}, "
                f"not {parameter!r}",
                hint="for example --neuron graded:4",
            )
        return SpikeValues(0, highest)

    @classmethod
    def from_population(cls, population: Population) -> GradedSpikes:
        """Take the parameters of a population."""
        highest = spike_values(population.neuron).highest
        return cls(population.threshold, population.v_init, highest)

    def initial_state(self, shape: tuple[int, ...]) -> NeuronState:
        """Return v_init, broadcast to `shape`, and no spikes sent."""
        return NeuronState.starting_at(self.v_init, shape)

    def rate(self, current: FloatArray) -> FloatArray:
        """Return the mean payload a step for constant current as T grows."""
        return np.asarray(np.clip(current / self.threshold, 0.0, self.highest))

    def step(
        self, current: FloatArray, state: NeuronState, *, firing: bool = True
    ) -> npt.NDArray[Any]:
        """Advance `state` in place by one step and return the payloads (0: no spike)."""
        dtype = SpikeValues(0, self.highest).dtype
        voltage = state.voltage
        voltage += current
        if not firing:
            return np.zeros(voltage.shape, dtype)
        payload = np.clip(np.floor(voltage / self.threshold), 0, self.highest)
        voltage -= payload * self.threshold
        state.count[...] += payload.astype(np.int64)
        return payload.astype(dtype)
