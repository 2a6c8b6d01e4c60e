"""The signed neuron: a negative spike takes back a positive one that was sent too early."""

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


@neuron_model("signed")
@dataclass(frozen=True, eq=False)
class SignedSpikes:
    """Integrate-and-fire with spikes -1, 0 and 1, and a counter that keeps the sum from 0 on.

    Each step::

        voltage += current
        spike    = +1 if voltage >= threshold
                   -1 if voltage < 0 and count > 0
                    0 otherwise
        voltage -= threshold * spike        (reset "subtract" in both directions)
        count   += spike

    A positive spike is emitted in the step whose current carries the voltage to the threshold, a
    negative one in the step that carries it below zero, as long as there is a spike to take back.
    The reset gives the voltage back what the spike had cost.

    The voltage is ``v_init + charge - threshold * count`` at all times. Once no current arrives,
    the neuron comes to rest where ``0 <= voltage < threshold``, or where the voltage is negative
    and the count is 0; both say ``count = max(floor((v_init + charge) / threshold), 0)``: the ReLU
    of the whole charge, whatever the order in which it arrived. Without the counter the neuron
    would be linear; without the negative spike the count would be that of the highest charge on
    the way.

    For constant current x in [0, threshold] and v_init in [0, threshold) the voltage never falls
    below zero, and T steps give exactly ``floor((v_init + x T) / threshold)``, as without the
    negative spike; so it is in a fully staged run, where all charge is there before the first
    spike.

    Attributes
    ----------
    threshold, v_init : float array
        Broadcast against the neurons' shape.

    Examples
    --------
    >>> neuron = SignedSpikes(np.float64(4.0), np.float64(2.0))
    >>> state = neuron.initial_state((1,))
    >>> [int(neuron.step(np.array([x]), state)[0]) for x in (9.0, 0.0, -8.0, 0.0, -9.0)]
    [1, 1, -1, -1, 0]

    References
    ----------
    Wang et al. 2022, "Signed neuron with memory: towards simple, accurate and high-efficient
    ANN-SNN conversion", for the negative spike and the memory; their negative threshold is free,
    here it is 0, which makes the neuron come to rest at the exact count.
    """

    form: ClassVar[str] = "signed"
    resets: ClassVar[frozenset[Reset]] = frozenset({"subtract"})

    threshold: FloatArray
    v_init: FloatArray

    @classmethod
    def spike_values(cls, parameter: str | None) -> SpikeValues:
        """Return -1, 0 or 1; there is no parameter."""
        no_parameter("signed", parameter)
        return SpikeValues(-1, 1)

    @classmethod
    def from_population(cls, population: Population) -> SignedSpikes:
        """Take the parameters of a population."""
        return cls(population.threshold, population.v_init)

    def initial_state(self, shape: tuple[int, ...]) -> NeuronState:
        """Return v_init, broadcast to `shape`, and no spikes sent."""
        return NeuronState.starting_at(self.v_init, shape)

    def rate(self, current: FloatArray) -> FloatArray:
        """Return the rate for constant current as T grows, in spikes a step."""
        return np.asarray(np.clip(current / self.threshold, 0.0, 1.0))

    def step(
        self, current: FloatArray, state: NeuronState, *, firing: bool = True
    ) -> npt.NDArray[np.int8]:
        """Advance `state` in place by one step and return the spikes."""
        voltage = state.voltage
        voltage += current
        if not firing:
            return np.zeros(voltage.shape, np.int8)
        spikes = (voltage >= self.threshold).astype(np.int8)
        spikes -= (voltage < 0) & (state.count > 0)
        voltage -= spikes * self.threshold
        state.count[...] += spikes
        return spikes
