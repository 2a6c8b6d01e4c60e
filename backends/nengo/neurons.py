"""The neuron models as Nengo neuron types.

Other simulators than ``nengo.Simulator`` need builders for them: register one for
:class:`SignedIntegrateAndFire`, :class:`TernaryIntegrateAndFire` or
:class:`GradedIntegrateAndFire`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snnconvert.backends.nengo.engine import nengo
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.neurons import spike_values


class SignedIntegrateAndFire(nengo.neurons.NeuronType):  # type: ignore[misc]  # nengo has no types
    """Integrate-and-fire without leak, at most one spike a step, no lower bound on the voltage.

    Each step, with spikes of height 1/dt::

        voltage += J dt
        spike    = voltage >= threshold and start <= step < stop
        voltage -= threshold where spike    (reset "subtract")
        voltage  = 0         where spike    (reset "zero")

    Unlike ``nengo.SpikingRectifiedLinear`` a negative current lowers the voltage, so that it
    cancels charge of other steps, and the initial voltage is given, not random.

    For constant J with x = J dt in [0, threshold] and an initial voltage v in [0, threshold), T
    steps of a window that is open give ``floor((v + x T) / threshold)`` spikes with reset by
    subtraction.

    Parameters
    ----------
    threshold : float or (n_neurons,) array
        Positive; in units of current times seconds.
    reset : {"subtract", "zero"}
    start, stop : int, int or None
        Steps in which the neurons may fire, counted from the start of the simulation or from the
        last restart.
    restart_every : int, optional
        Steps after which the voltages return to where they began.
    initial_state : dict, optional
        ``{"voltage": array or distribution}``; 0 by default.
    """

    negative = False
    spiking = True
    state: ClassVar[dict[str, Any]] = {"voltage": nengo.dists.Choice([0.0])}

    threshold = nengo.params.NdarrayParam("threshold", shape=("...",), readonly=True)
    reset = nengo.params.EnumParam("reset", values=("subtract", "zero"), readonly=True)
    start = nengo.params.IntParam("start", low=0, readonly=True)
    stop = nengo.params.IntParam("stop", low=0, optional=True, readonly=True)
    restart_every = nengo.params.IntParam("restart_every", low=1, optional=True, readonly=True)

    def __init__(
        self,
        threshold: float | FloatArray = 1.0,
        reset: str = "subtract",
        start: int = 0,
        stop: int | None = None,
        restart_every: int | None = None,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(initial_state)
        self.threshold = np.array(threshold, np.float64)
        self.reset = reset
        self.start = start
        self.stop = stop
        self.restart_every = restart_every

    @property
    def clocked(self) -> bool:
        """Whether steps differ: neurons may not fire in all of them, or restart in some."""
        return self.start > 0 or self.stop is not None or self.restart_every is not None

    def make_state(self, n_neurons: int, rng: Any = np.random, dtype: Any = None) -> dict[str, Any]:
        """Return the voltages; where steps differ also a clock and the voltages to restart at."""
        state: dict[str, Any] = super().make_state(n_neurons, rng=rng, dtype=dtype)
        if self.clocked:
            state["clock"] = np.zeros(1, np.int64)
            state["initial_voltage"] = state["voltage"].copy()
        return state

    def step(
        self,
        dt: float,
        J: FloatArray,
        output: FloatArray,
        voltage: FloatArray,
        clock: npt.NDArray[np.int64] | None = None,
        initial_voltage: FloatArray | None = None,
    ) -> None:
        """Advance `voltage` in place by one step and write the spikes to `output`."""
        rate = round(1 / dt)
        now, firing = self._tick(clock)
        if now == 0:
            voltage[:] = initial_voltage
        # Dividing gives back exactly what was multiplied by 1/dt; multiplying by dt need not.
        np.divide(J, rate, out=output)
        voltage += output
        spikes = voltage >= self.threshold
        if not firing:
            spikes[:] = False
        if self.reset == "subtract":
            voltage -= spikes * self.threshold
        else:
            voltage[spikes] = 0.0
        np.multiply(spikes, rate, out=output)

    def _tick(self, clock: npt.NDArray[np.int64] | None) -> tuple[int, bool]:
        """Advance the clock; return the step (-1 without a clock) and whether neurons may fire."""
        if clock is None:
            return -1, True
        now = int(clock[0])
        clock[0] = 0 if now + 1 == self.restart_every else now + 1
        return now, self.start <= now and (self.stop is None or now < self.stop)

    def rates(self, x: Any, gain: Any, bias: Any) -> FloatArray:
        """Return the rates in Hz for small dt: rates below 1/dt, resets without overshoot."""
        return np.asarray(np.maximum(self.current(x, gain, bias), 0.0) / self.threshold)

    def gain_bias(self, max_rates: Any, intercepts: Any) -> tuple[FloatArray, FloatArray]:
        """Return the gain and bias that give `max_rates` (Hz) at x = 1, 0 at `intercepts`."""
        gain = np.asarray(max_rates, np.float64) * self.threshold / (1.0 - np.asarray(intercepts))
        return gain, -np.asarray(intercepts) * gain

    def max_rates_intercepts(self, gain: Any, bias: Any) -> tuple[FloatArray, FloatArray]:
        """Return the inverse of :meth:`gain_bias`."""
        return (gain + bias) / self.threshold, -np.asarray(bias) / gain


class TernaryIntegrateAndFire(SignedIntegrateAndFire):
    """Integrate-and-fire whose negative spikes take back positive ones: the model ``signed``.

    Each step, with spikes of height 1/dt or -1/dt::

        voltage += J dt
        spike    = +1 if voltage >= threshold
                   -1 if voltage < 0 and count > 0
                    0 otherwise, and outside start <= step < stop
        voltage -= threshold * spike
        count   += spike

    Parameters as for :class:`SignedIntegrateAndFire`, without `reset`.
    """

    negative = True

    def __init__(
        self,
        threshold: float | FloatArray = 1.0,
        start: int = 0,
        stop: int | None = None,
        restart_every: int | None = None,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(threshold, "subtract", start, stop, restart_every, initial_state)

    def make_state(self, n_neurons: int, rng: Any = np.random, dtype: Any = None) -> dict[str, Any]:
        """Return the state of the plain neuron, and the sums of the spikes sent so far."""
        state = super().make_state(n_neurons, rng=rng, dtype=dtype)
        return state | {"count": np.zeros(n_neurons, np.int64)}

    def step(  # type: ignore[override]  # Nengo passes what make_state returned, by name
        self,
        dt: float,
        J: FloatArray,
        output: FloatArray,
        voltage: FloatArray,
        count: npt.NDArray[np.int64],
        clock: npt.NDArray[np.int64] | None = None,
        initial_voltage: FloatArray | None = None,
    ) -> None:
        """Advance `voltage` and `count` in place by one step and write the spikes to `output`."""
        rate = round(1 / dt)
        now, firing = self._tick(clock)
        if now == 0:
            voltage[:] = initial_voltage
            count[:] = 0
        np.divide(J, rate, out=output)
        voltage += output
        spikes = np.zeros(voltage.shape, np.int64)
        if firing:
            spikes += voltage >= self.threshold
            spikes -= (voltage < 0) & (count > 0)
        voltage -= spikes * self.threshold
        count += spikes
        np.multiply(spikes, rate, out=output)


class GradedIntegrateAndFire(SignedIntegrateAndFire):
    """Integrate-and-fire whose spikes carry whole numbers: the model ``graded:K``.

    Each step, with spikes as high as their payload times 1/dt::

        voltage += J dt
        spike    = clip(floor(voltage / threshold), 0, highest), 0 outside start <= step < stop
        voltage -= threshold * spike

    Parameters
    ----------
    highest : int
        Largest payload.
    threshold, start, stop, restart_every, initial_state
        As for :class:`SignedIntegrateAndFire`, which has a `reset` besides.
    """

    highest = nengo.params.IntParam("highest", low=1, readonly=True)

    def __init__(
        self,
        highest: int,
        threshold: float | FloatArray = 1.0,
        start: int = 0,
        stop: int | None = None,
        restart_every: int | None = None,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(threshold, "subtract", start, stop, restart_every, initial_state)
        self.highest = highest

    def step(
        self,
        dt: float,
        J: FloatArray,
        output: FloatArray,
        voltage: FloatArray,
        clock: npt.NDArray[np.int64] | None = None,
        initial_voltage: FloatArray | None = None,
    ) -> None:
        """Advance `voltage` in place by one step and write the payloads to `output`."""
        rate = round(1 / dt)
        now, firing = self._tick(clock)
        if now == 0:
            voltage[:] = initial_voltage
        np.divide(J, rate, out=output)
        voltage += output
        payload = np.zeros(voltage.shape)
        if firing:
            np.clip(np.floor(voltage / self.threshold), 0, self.highest, out=payload)
        voltage -= payload * self.threshold
        np.multiply(payload, rate, out=output)


def neuron_type(neuron: str, **options: Any) -> SignedIntegrateAndFire:
    """Return the neuron type of a model by its name; `options` as its parameters.

    ``reset`` is left out where the type has none.
    """
    if neuron == "if":
        return SignedIntegrateAndFire(**options)
    options.pop("reset")
    if neuron == "signed":
        return TernaryIntegrateAndFire(**options)
    return GradedIntegrateAndFire(spike_values(neuron).highest, **options)
