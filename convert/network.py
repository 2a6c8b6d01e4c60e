"""The spiking network: the only thing that a backend sees.

The law of one timestep for the plain neuron (the other ones: ``convert/neurons``), in the order of
``Network.nodes``::

    current  = sum over connections of W (amplitude_source * spikes_source[t - delay])
               + (bias if bias_start <= t < bias_stop)
    voltage += current
    spike    = (voltage >= threshold) and (start <= t < stop)
    voltage -= threshold where spike       (reset "subtract")
    voltage  = 0         where spike       (reset "zero")

An analog :class:`Input` contributes ``W x`` while its window is open; a :class:`Relay` passes a
weighted sum on in the same step; a :class:`Readout` integrates and never fires.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import Chain, FloatArray, Shape

Reset: TypeAlias = Literal["subtract", "zero"]
Encoding: TypeAlias = Literal["current", "events"]


@dataclass(frozen=True, eq=False)
class Input:
    """Where samples enter.

    Attributes
    ----------
    name : str
        The ONNX input's name.
    shape : tuple of int
        One sample's shape, without batch.
    encoding : {"current", "events"}
        ``current``: the sample is an analog current, constant while the window is open.
        ``events``: a sample carries its own leading time axis, one frame a step
        ((N, T, *shape)); frames beyond the last are zero.
    start, stop : int, int or None
        Steps during which the current flows; None: to the end of the run.
    bound : float
        Largest magnitude seen in calibration; scales the grid of exact sums.
    grid : float or None
        Samples are rounded to multiples of it (None: not rounded). See ``snap.py``.
    """

    name: str
    shape: Shape
    encoding: Encoding = "current"
    start: int = 0
    stop: int | None = None
    bound: float = 1.0
    grid: float | None = None


@dataclass(frozen=True, eq=False)
class Population:
    """Integrate-and-fire neurons of one shape.

    Arrays broadcast against ``shape``: a scalar, one entry a channel ``(C, 1, 1)``, or one a
    neuron.

    Attributes
    ----------
    name : str
        The name of the ONNX node that it stands for (suffixed where one node became several).
    shape : tuple of int
    threshold : float array
        Positive.
    amplitude : float array
        What one spike carries into the outgoing connections.
    scale : float array
        ANN units of a rate of 1: activation is estimated by ``scale * spikes / T``. Equals
        `amplitude` until the network is normalised.
    bias : float array
        Added to the voltage in each step of the bias window.
    v_init : float array
        Voltage before the first step, in [0, threshold).
    reset : {"subtract", "zero"}
    start, stop : int, int or None
        Firing window.
    bias_start, bias_stop : int, int or None
        Bias window.
    neuron : str
        Name of the neuron model (``convert/neurons``), with its parameter: "graded:4".
    tensor : str or None
        Name of the Graph node whose value the rate stands for.
    channel_axis : int
        Axis of `shape` along which thresholds vary.
    """

    name: str
    shape: Shape
    threshold: FloatArray
    amplitude: FloatArray
    scale: FloatArray
    bias: FloatArray
    v_init: FloatArray
    reset: Reset = "subtract"
    start: int = 0
    stop: int | None = None
    bias_start: int = 0
    bias_stop: int | None = None
    neuron: str = "if"
    tensor: str | None = None
    channel_axis: int = 0

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Relay:
    """A weighted sum that several nodes use: passed on in the same step, no neuron."""

    name: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Readout:
    """An integrator that never fires; its mean current is the output in ANN units.

    Decoded after k steps of its window ``[start, ...)``: the mean current of the steps
    ``(floor(discard k), k]``. An unstaged network sends unevenly at first, and spikes sent before
    late inhibition arrived cannot be taken back; leaving out the first steps leaves them out.
    Where the mean is `rising`, the j-th step behind them counts j-fold: what the first ones bring
    fades out, and so does the rounding at the cut.

    Attributes
    ----------
    name : str
        The ONNX output's name.
    shape : tuple of int
    bias : float array
        In ANN units, added in each step of the bias window.
    scale : float array
        The accumulated value is multiplied by it (1 unless weights were made integers).
    start : int
        First step that counts: the latency of a staged network.
    discard : float
        Share of the steps, in [0, 1), that decoding leaves out at the start of the window.
    rising : bool
        Whether later steps count more.
    bias_start, bias_stop : int, int or None
    tensor : str or None
        Name of the Graph node whose value is decoded.
    """

    name: str
    shape: Shape
    bias: FloatArray
    scale: FloatArray
    start: int = 0
    discard: float = 0.0
    rising: bool = False
    bias_start: int = 0
    bias_stop: int | None = None
    tensor: str | None = None

    @property
    def steps_counted(self) -> str:
        """Which steps are decoded, in words."""
        which = f"all but the first {100 * self.discard:g} %" if self.discard else "all"
        return f"{which}, later ones more" if self.rising else which

    def step_weights(self, steps: int) -> FloatArray:
        """Return the share of each step in what is decoded after `steps`, (steps,) float64."""
        counted = steps - math.floor(self.discard * steps)
        weights = np.arange(1.0, counted + 1) if self.rising else np.ones(counted)
        return np.concatenate([np.zeros(steps - counted), weights / weights.sum()])

    def mean(self, currents: FloatArray) -> FloatArray:
        """Return the weighted mean of the currents of all steps, (steps, ...)."""
        return weighted_sum(self.step_weights(len(currents)), currents)


def weighted_sum(weights: FloatArray, frames: npt.NDArray[Any]) -> FloatArray:
    """Return the sum of (frames, ...) times (frames,) weights.

    Not a product of matrices, whose last bits depend on the processor's threads.
    """
    return np.asarray(np.einsum("t,t...->...", weights, frames))


NetworkNode: TypeAlias = Input | Population | Relay | Readout


@dataclass(frozen=True, eq=False)
class Connection:
    """A chain of linear operators from one node to another.

    Attributes
    ----------
    source, target : str
    operators : tuple of LinearOperator
        Empty: one-to-one.
    delay : int
        Steps between a spike and its arrival; 0 arrives in the same step.
    """

    source: str
    target: str
    operators: Chain = ()
    delay: int = 0


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in topological order, and connections.

    Attributes
    ----------
    name : str
    nodes : tuple of Input, Population, Relay, Readout
        Every connection leads from an earlier to a later node.
    connections : tuple of Connection
    timesteps : int or None
        The window that the firing windows were made for; None: any.
    weight_bits : int or None
        Weights are rounded to signed integers of that many bits before a run (None: not).
    fine : bool
        Weights keep as many bits as sums in float64 allow, not only as many as sums in float32
        do: for quantised networks, whose integers are to come out exactly.
    """

    name: str
    nodes: tuple[NetworkNode, ...]
    connections: tuple[Connection, ...]
    timesteps: int | None = None
    weight_bits: int | None = None
    fine: bool = False

    def __post_init__(self) -> None:
        position = {node.name: i for i, node in enumerate(self.nodes)}
        if len(position) != len(self.nodes):
            raise ValueError(f"network {self.name!r}: node names are not unique")
        for connection in self.connections:
            unknown = {connection.source, connection.target}.difference(position)
            if unknown:
                raise ValueError(
                    f"network {self.name!r}: connection {connection.source} -> "
                    f"{connection.target} names {unknown.pop()!r}, which is no node"
                )
            if position[connection.source] >= position[connection.target]:
                raise ValueError(
                    f"network {self.name!r}: connection {connection.source} -> "
                    f"{connection.target} does not follow the order of the nodes"
                )
            source, target = self[connection.source], self[connection.target]
            arrives = source.shape
            for operator in connection.operators:
                if operator.input_shape != arrives:
                    raise ValueError(
                        f"network {self.name!r}: connection {source.name} -> {target.name} has a "
                        f"{type(operator).__name__} for shape {operator.input_shape} where "
                        f"{arrives} arrives"
                    )
                arrives = operator.output_shape
            if arrives != target.shape:
                raise ValueError(
                    f"network {self.name!r}: connection {source.name} -> {target.name} brings "
                    f"shape {arrives}, the target has {target.shape}"
                )

    @cached_property
    def _by_name(self) -> dict[str, NetworkNode]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> NetworkNode:
        return self._by_name[name]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs, in order."""
        return tuple(n for n in self.nodes if isinstance(n, Input))

    @property
    def populations(self) -> tuple[Population, ...]:
        """The populations, in order."""
        return tuple(n for n in self.nodes if isinstance(n, Population))

    @property
    def readouts(self) -> tuple[Readout, ...]:
        """The readouts, in order."""
        return tuple(n for n in self.nodes if isinstance(n, Readout))

    @property
    def relays(self) -> tuple[Relay, ...]:
        """The relays, in order."""
        return tuple(n for n in self.nodes if isinstance(n, Relay))

    @cached_property
    def _incoming(self) -> dict[str, tuple[Connection, ...]]:
        table: dict[str, list[Connection]] = {node.name: [] for node in self.nodes}
        for connection in self.connections:
            table[connection.target].append(connection)
        return {name: tuple(found) for name, found in table.items()}

    @cached_property
    def _outgoing(self) -> dict[str, tuple[Connection, ...]]:
        table: dict[str, list[Connection]] = {node.name: [] for node in self.nodes}
        for connection in self.connections:
            table[connection.source].append(connection)
        return {name: tuple(found) for name, found in table.items()}

    def incoming(self, name: str) -> tuple[Connection, ...]:
        """Return the connections into a node."""
        return self._incoming[name]

    def outgoing(self, name: str) -> tuple[Connection, ...]:
        """Return the connections out of a node."""
        return self._outgoing[name]

    def replace_nodes(self, nodes: Iterable[NetworkNode]) -> Network:
        """Return a copy in which the given nodes take the place of those of the same name."""
        new = {node.name: node for node in nodes}
        return replace(self, nodes=tuple(new.get(node.name, node) for node in self.nodes))

    @property
    def neurons(self) -> int:
        """Number of spiking neurons."""
        return sum(p.size for p in self.populations)

    @property
    def reset(self) -> Reset:
        """The reset of the populations ("subtract" when there are none)."""
        return self.populations[0].reset if self.populations else "subtract"

    def latency(self, timesteps: int) -> int:
        """Return the steps from the first input to the end of a readout window of `timesteps`."""
        return max((r.start for r in self.readouts), default=0) + timesteps


def with_reset(network: Network, reset: Reset) -> Network:
    """Return the network with every population's reset set."""
    return network.replace_nodes(replace(p, reset=reset) for p in network.populations)
