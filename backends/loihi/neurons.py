"""The neurons of the chip as Nengo neuron types, and how nengo-loihi builds them.

nengo-loihi's own rectified linear neuron clips the membrane at zero from below and lets a 4096th
part of each current leak into the next step. Ours keep negative charge and forget the current.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from snnconvert.backends.loihi.nengo_modules import nengo, nengo_loihi
from snnconvert.convert.linear import FloatArray

DECAY_UNITS = 4096
"""A current that decays by ``decay_u`` keeps ``(4095 - decay_u) / 4096`` of itself."""


class ResetToZero(nengo.neurons.NeuronType):  # type: ignore[misc]  # nengo has no types
    """Integrate-and-fire as one compartment of a Loihi core computes it.

    Each step, with spikes of height 1/dt::

        voltage = max(voltage + J dt, min_voltage)
        spike   = voltage > threshold          (strictly)
        voltage = 0 where spike                (the overshoot is lost)

    For constant J with x = J dt > 0 the neuron fires every ``floor(threshold / x) + 1`` steps,
    so T steps give ``T // (floor(threshold / x) + 1)`` spikes.

    Parameters
    ----------
    threshold : float or (n_neurons,) array
        Positive, in units of current times seconds.
    min_voltage : float
        At most 0; the chip can hold ``1 - 2**k`` of its own units, nengo-loihi rounds to that.
    """

    negative = False
    spiking = True
    state: ClassVar[dict[str, Any]] = {"voltage": nengo.dists.Choice([0.0])}

    threshold = nengo.params.NdarrayParam("threshold", shape=("...",), readonly=True)
    min_voltage = nengo.params.NumberParam("min_voltage", high=0, readonly=True)

    def __init__(self, threshold: float | FloatArray = 1.0, min_voltage: float = -1.0) -> None:
        super().__init__()
        self.threshold = np.array(threshold, np.float64)
        self.min_voltage = min_voltage

    def step(self, dt: float, J: FloatArray, output: FloatArray, voltage: FloatArray) -> None:
        """Advance `voltage` in place by one step and write the spikes to `output`."""
        voltage += J * dt
        np.maximum(voltage, self.min_voltage, out=voltage)
        spikes = voltage > self.threshold
        voltage[spikes] = 0.0
        np.divide(spikes, dt, out=output)

    def rates(self, x: Any, gain: Any, bias: Any) -> FloatArray:
        """Return the rates in Hz for small dt: rates far below 1/dt."""
        return np.asarray(np.maximum(self.current(x, gain, bias), 0.0) / self.threshold)

    def gain_bias(self, max_rates: Any, intercepts: Any) -> tuple[FloatArray, FloatArray]:
        """Return the gain and bias that give `max_rates` (Hz) at x = 1, 0 at `intercepts`."""
        gain = np.asarray(max_rates, np.float64) * self.threshold / (1.0 - np.asarray(intercepts))
        return gain, -np.asarray(intercepts) * gain

    def max_rates_intercepts(self, gain: Any, bias: Any) -> tuple[FloatArray, FloatArray]:
        """Return the inverse of :meth:`gain_bias`."""
        gain, bias = np.asarray(gain, np.float64), np.asarray(bias, np.float64)
        return (gain + bias) / self.threshold, -bias / gain


class MemorylessCompartment(nengo_loihi.block.Compartment):  # type: ignore[misc]  # no types
    """A compartment whose current is the sum of this step's spikes and nothing else.

    nengo-loihi writes ``decay_u * 4095 - 1`` to the chip, which for its own largest decay, 1,
    leaves a 4096th of the current. 4096/4095 gives the register's maximum, 4095. It then needs
    no correction of the other parameters for the filter (``scale_u``).
    """

    def _configure_filter(self, tau_s: float, dt: float) -> None:
        self.decay_u[:] = DECAY_UNITS / (DECAY_UNITS - 1)
        self.scale_u = False


@nengo_loihi.builder.Builder.register(ResetToZero)  # type: ignore[untyped-decorator]  # no types
def build_reset_to_zero(model: Any, neuron: ResetToZero, neurons: Any, block: Any) -> None:
    """Configure a block's compartments as these neurons."""
    compartment = MemorylessCompartment(block.n_neurons, label=block.label)
    compartment.bias[:] = block.compartment.bias
    compartment.configure_relu(vth=neuron.threshold / model.dt, dt=model.dt)
    compartment.vmin = neuron.min_voltage / model.dt
    block.compartment = compartment
