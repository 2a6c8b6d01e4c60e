"""What presents samples, gates biases, delays spikes and decodes outputs inside the network.

``Simulator.reset`` starts a sample afresh; with ``restart_every`` that also happens within a
simulation, after so many steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from snnconvert.backends.nengo.engine import nengo
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Input, Readout
from snnconvert.convert.snap import round_input

Step: TypeAlias = Callable[[float, FloatArray], FloatArray]


class PresentSample(nengo.Process):  # type: ignore[misc]  # nengo has no types
    """An input: the sample that was set plus what other nodes send, while the window is open.

    Values are rounded to the input's grid, so sums stay exact whoever sends them. A current has
    the ANN's units; events are spikes of height 1/dt.

    Parameters
    ----------
    node : Input
    dt : float
        Seconds a step that the weights behind the input were made for.
    restart_every : int, optional
    """

    def __init__(self, node: Input, dt: float, restart_every: int | None = None) -> None:
        size = int(np.prod(node.shape))
        super().__init__(default_size_in=size, default_size_out=size, default_dt=dt)
        self.node = node
        self.dt = dt
        self.restart_every = restart_every
        self._lead = ("T",) if node.encoding == "events" else ()
        self._frames: FloatArray = np.zeros((0, size))
        self.clear()

    @property
    def sample(self) -> FloatArray:
        """The sample on its grid: (*shape) for a current, (T, *shape) for events.

        Set it before or between runs; it stays until another is set.
        """
        frames = self._frames.reshape(-1, *self.node.shape)
        return frames if self._lead else frames[0]

    @sample.setter
    def sample(self, values: Any) -> None:
        array = np.asarray(values)
        own = array.shape[len(self._lead) :]
        if array.ndim < len(self._lead) or own != self.node.shape:
            needed = ", ".join([*self._lead, *map(str, self.node.shape)])
            raise DataError(
                f"a sample of input {self.node.name!r} has shape {array.shape}, "
                f"the network needs ({needed})"
            )
        self._frames = round_input(self.node, array).reshape(-1, self.default_size_out)

    def clear(self) -> None:
        """Present zeros: only what other nodes send enters."""
        self.sample = np.zeros((0, *self.node.shape) if self._lead else self.node.shape)

    def make_state(
        self, shape_in: Any, shape_out: Any, dt: float, dtype: Any = None
    ) -> dict[str, Any]:
        """Return no state; refuse a Simulator for which the weights were not made."""
        if dt != self.dt:
            raise UsageError(
                f"the network was emitted for dt={self.dt:g}, the Simulator runs at dt={dt:g}",
                hint=f"emit it with dt={dt:g}, or simulate with dt={self.dt:g}",
            )
        return {}

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: dict[str, Any]
    ) -> Step:
        """Return the function of one step (called by Nengo's builder and by reset)."""
        rate, node, zeros = round(1 / dt), self.node, np.zeros(self.default_size_out)
        height = rate if self._lead else 1

        def step(time: float, arriving: FloatArray) -> FloatArray:
            t = step_index(time, rate, self.restart_every) - node.start
            if t < 0 or (node.stop is not None and t >= node.stop - node.start):
                return zeros
            if self._lead:
                own = self._frames[t] if t < len(self._frames) else zeros
            else:
                own = self._frames[0]
            if arriving.any():
                own = own + round_input(node, arriving / height)
            return own * height

        return step


class GatedCurrent(nengo.Process):  # type: ignore[misc]  # nengo has no types
    """A constant current from step `start` until before step `stop` (None: to the end).

    Parameters
    ----------
    current : (n,) float array
    start, stop : int, int or None
    restart_every : int, optional
    """

    def __init__(
        self, current: FloatArray, start: int, stop: int | None, restart_every: int | None = None
    ) -> None:
        super().__init__(default_size_out=len(current))
        self.current = current
        self.start = start
        self.stop = stop
        self.restart_every = restart_every

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: dict[str, Any]
    ) -> Callable[[float], FloatArray]:
        """Return the function of one step."""
        rate, zeros = round(1 / dt), np.zeros_like(self.current)

        def step(time: float) -> FloatArray:
            t = step_index(time, rate, self.restart_every)
            still = self.stop is None or t < self.stop
            return self.current if self.start <= t and still else zeros

        return step


class MeanReadout(nengo.Process):  # type: ignore[misc]  # nengo has no types
    """The mean of a current in the readout's window so far, in ANN units; 0 before.

    Decoded after each step as ``backends.base.decode`` does: the first share of the steps that the
    readout discards is left out, later steps count more where it is rising.

    Parameters
    ----------
    node : Readout
    restart_every : int, optional
    """

    def __init__(self, node: Readout, restart_every: int | None = None) -> None:
        size = int(np.prod(node.shape))
        super().__init__(default_size_in=size, default_size_out=size)
        self.node = node
        self.restart_every = restart_every

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: dict[str, Any]
    ) -> Step:
        """Return the function of one step, which begins with sums of nothing."""
        rate, node, zeros = round(1 / dt), self.node, np.zeros(shape_out)
        scale = np.broadcast_to(node.scale, node.shape).reshape(-1)
        total, earlier = np.zeros(shape_in), np.zeros(shape_in)  # earlier: of the sums before
        # Sums at the end of the discarded share and of every later step: a shape that grows, which
        # a signal of Nengo's cannot have.
        sums: deque[FloatArray] = deque()

        def step(time: float, current: FloatArray) -> FloatArray:
            t = step_index(time, rate, self.restart_every)
            if t == 0:
                total[:] = 0.0
                earlier[:] = 0.0
                sums.clear()
            np.add(total, current / rate, out=total)
            steps = t + 1 - node.start
            if steps < 1:
                return zeros
            counted, before = steps - math.floor(node.discard * steps), zeros
            if node.discard:
                if steps == 1:
                    sums.append(zeros)
                sums.append(total.copy())
                while len(sums) > counted + 1:
                    np.subtract(earlier, sums.popleft(), out=earlier)
                before = sums[0]
            weighted = counted * total - earlier
            np.add(earlier, total, out=earlier)
            if node.rising:
                return np.asarray(weighted * scale / (counted * (counted + 1) / 2))
            return np.asarray((total - before) * scale / counted)

        return step


class StepDelay(nengo.synapses.Synapse):  # type: ignore[misc]  # nengo has no types
    """A synapse that delays by whole steps; ``StepDelay(1)`` is ``synapse=0``.

    Parameters
    ----------
    steps : int
        At least 1.
    restart_every : int, optional
    """

    def __init__(self, steps: int, restart_every: int | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.restart_every = restart_every

    def make_state(
        self, shape_in: Any, shape_out: Any, dt: float, dtype: Any = None, y0: Any = None
    ) -> dict[str, Any]:
        """Return what is on its way: Nengo itself holds the last of the steps."""
        return {"waiting": np.zeros((self.steps - 1, *shape_in), dtype)}

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: dict[str, Any]
    ) -> Step:
        """Return the function of one step."""
        rate, waiting, zeros = round(1 / dt), state["waiting"], np.zeros(shape_out)

        def step(time: float, arriving: FloatArray) -> FloatArray:
            t = step_index(time, rate, self.restart_every)
            if t + 1 == self.restart_every:  # what leaves now would arrive after the restart
                waiting[:] = 0.0
                return zeros
            if not len(waiting):
                return arriving
            slot = t % len(waiting)
            leaving = waiting[slot].copy()
            waiting[slot] = arriving
            return np.asarray(leaving)

        return step


def step_index(time: float, rate: int, restart_every: int | None = None) -> int:
    """Return the step, from 0 or the last restart, of Nengo's time (dt in the first step)."""
    step = round(time * rate) - 1
    return step % restart_every if restart_every else step
