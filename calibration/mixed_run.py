"""Run a network with some of its layers replaced by the ANN's: what each layer loses.

A replaced layer computes what the ANN's layer would from the mean of what reaches it, with the
file's weights, and sends it as a constant in every step: no threshold, no levels, no spikes. All
other layers spike. With every layer replaced the run is the ANN.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.replay import ReplayState, as_it_is
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Input, Network, Population, Readout
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.normalize import normalize
from snnconvert.convert.quantize import quantize_weights

Samples = Mapping[str, npt.NDArray[Any]]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MixedNetwork:
    """A spiking network and the ANN's layers that may stand in for its own.

    Attributes
    ----------
    given : Network
        In ANN units, corrected.
    running : Network
        What spikes: the given one, or its weights as integers.
    plain : Network
        In ANN units, with the file's weights and biases.
    graph : Graph
        The lowered graph.
    timesteps, holdoff : int
    """

    given: Network
    running: Network
    plain: Network
    graph: Graph
    timesteps: int
    holdoff: int

    @classmethod
    def of(cls, network: Network, graph: Graph, timesteps: int, holdoff: int) -> MixedNetwork:
        """Put a network beside the graph that it was built from."""
        scales = {
            str(p.tensor): p.threshold * spike_values(p.neuron).highest for p in network.populations
        }
        bounds = {node.name: node.bound for node in network.inputs}
        plain = build_network(graph, scales, input_bounds=bounds)
        running = network
        if network.weight_bits is not None:
            running = quantize_weights(normalize(network), network.weight_bits)
        return cls(network, running, plain, graph, timesteps, holdoff)

    @property
    def layers(self) -> tuple[str, ...]:
        """The populations, in order."""
        return tuple(p.name for p in self.given.populations)

    def population(self, name: str) -> Population:
        """Return a population in ANN units."""
        node = self.given[name]
        assert isinstance(node, Population)
        return node

    def ceiling(self, name: str) -> float | None:
        """Return the largest value of the ANN's layer; None without an end."""
        op = self.graph[str(self.population(name).tensor)].op
        return op.ceiling if isinstance(op, Relu) else None

    def activation(self, name: str, current: FloatArray) -> FloatArray:
        """Return what the ANN's layer makes of a current."""
        return np.clip(current, 0, self.ceiling(name))


@dataclass(frozen=True, eq=False)
class MixedResult:
    """What a mixed run gave.

    Attributes
    ----------
    outputs : dict of (n, *shape) float64 arrays
        Every readout at T, in ANN units.
    counts : dict of (n, *shape) int64 arrays
        Sums of the spikes of the populations that spiked.
    values : Values
        What every node stands for.
    """

    outputs: dict[str, FloatArray]
    counts: dict[str, Counts]
    values: Values

    def joined(self, others: Sequence[MixedResult], rows: Samples) -> MixedResult:
        """Return the results of parts of the rows as one."""
        if not others:
            return self
        parts = (self, *others)
        values = Values(self.values.network, rows, self.values.timesteps)
        for p in self.values.network.populations:
            values[p.name] = np.concatenate([part.values[p.name] for part in parts])
        return MixedResult(
            {k: np.concatenate([part.outputs[k] for part in parts]) for k in self.outputs},
            {k: np.concatenate([part.counts[k] for part in parts]) for k in self.counts},
            values,
        )


class Values:
    """What the nodes of a network in ANN units send on average, computed when asked for.

    Parameters
    ----------
    network : Network
        In ANN units.
    rows : dict of (n, *shape) arrays
    timesteps : int
    """

    def __init__(self, network: Network, rows: Samples, timesteps: int) -> None:
        self.network, self.timesteps = network, timesteps
        self.rows = rows
        self._known: dict[str, FloatArray] = {}

    def __getitem__(self, name: str) -> FloatArray:
        if name not in self._known:
            node = self.network[name]
            self._known[name] = self._input(node) if isinstance(node, Input) else self.current(name)
        return self._known[name]

    def __setitem__(self, name: str, value: FloatArray) -> None:
        self._known[name] = np.asarray(value, np.float64)

    def of(self, network: Network) -> Values:
        """Return the same values for the nodes of another network; relays are its own."""
        other = Values(network, self.rows, self.timesteps)
        kept = {p.name for p in network.populations}
        other._known = {name: value for name, value in self._known.items() if name in kept}
        return other

    def current(self, name: str) -> FloatArray:
        """Return the mean current of a step into a node, with its bias."""
        node = self.network[name]
        bias = node.bias if isinstance(node, Population | Readout) else np.zeros(())
        n = len(next(iter(self.rows.values())))
        total = np.zeros((n, *node.shape)) + bias
        for connection in self.network.incoming(name):
            total += apply_chain(connection.operators, self[connection.source])
        return np.asarray(total)

    def _input(self, node: Input) -> FloatArray:
        samples = np.asarray(self.rows[node.name], np.float64)
        if node.encoding == "events":
            return np.asarray(samples[:, : self.timesteps].sum(axis=1) / self.timesteps)
        return samples


def mixed_run(mixed: MixedNetwork, rows: Samples, replaced: Collection[str]) -> MixedResult:
    """Run rows with some layers replaced by the ANN's.

    Parameters
    ----------
    mixed : MixedNetwork
    rows : dict of (n, *shape) arrays
        Preprocessed.
    replaced : collection of str
        Names of populations.
    """
    state = ReplayState(mixed.running, rows, mixed.timesteps, mixed.holdoff)
    values = Values(mixed.plain, rows, mixed.timesteps)
    counts: dict[str, Counts] = {}
    for node in mixed.running.nodes:
        if not isinstance(node, Population):
            state.visit(node, as_it_is, None)
            continue
        unit = mixed.population(node.name).amplitude
        if node.name in replaced:
            values[node.name] = mixed.activation(node.name, values.current(node.name))
            state.supply(node, values[node.name] / unit)
        else:
            state.visit(node, as_it_is, None)
            sent = state.mean_sent(node.name) / node.amplitude
            counts[node.name] = np.rint(sent * mixed.timesteps).astype(np.int64)
            values[node.name] = counts[node.name] * unit / mixed.timesteps
    outputs = {r.name: r.mean(state.currents[r.name]) for r in mixed.running.readouts}
    return MixedResult(outputs, counts, values)


CAUSES = ("clipping", "rounding", "timing", "weight_bits")
"""Where a spiking layer departs from the ANN's, given the same mean input, in this order."""


@dataclass(frozen=True, eq=False)
class OwnErrors:
    """How a layer's spikes depart from what the ANN's layer makes of the same mean input.

    Attributes
    ----------
    total : float
        Norm of the difference over the norm of the ANN's value.
    parts : dict of float
        The same by cause; the differences follow one another, and may cancel.
    silent : float
        Share of the value's energy in neurons that sent nothing.
    """

    total: float
    parts: dict[str, float]
    silent: float


def own_errors(mixed: MixedNetwork, result: MixedResult, name: str) -> OwnErrors:
    """Return how a layer that spiked departs from the ANN's on what it received."""
    p, t = mixed.population(name), mixed.timesteps
    highest = spike_values(p.neuron).highest
    current = result.values.current(name)
    exact = mixed.activation(name, current)
    rounded_weights = mixed.activation(name, current + _weights_error(mixed, result, name))
    clipped = np.minimum(rounded_weights, p.amplitude * highest)
    v_init = np.asarray(p.threshold / 2) if p.reset == "subtract" else p.v_init
    levels = np.floor((t * clipped * (p.threshold / p.amplitude) + v_init) / p.threshold)
    rounded = np.clip(levels, 0, t * highest) * p.amplitude / t
    sent = result.values[name]
    power = math.sqrt(float(np.square(exact).sum()))

    def relative(a: FloatArray, b: FloatArray) -> float:
        return math.sqrt(float(np.square(a - b).sum())) / power if power else 0.0

    quiet = result.counts[name] == 0
    return OwnErrors(
        total=relative(exact, sent),
        parts={
            "clipping": relative(rounded_weights, clipped),
            "rounding": relative(clipped, rounded),
            "timing": relative(rounded, sent),
            "weight_bits": relative(exact, rounded_weights),
        },
        silent=float(np.square(exact[quiet]).sum()) / power**2 if power else 0.0,
    )


def _weights_error(mixed: MixedNetwork, result: MixedResult, name: str) -> FloatArray:
    """Return what integer weights change of a layer's mean current, in ANN units."""
    if mixed.running is mixed.given:
        return np.zeros(())
    rates = result.values.of(mixed.running)
    for source, counts in result.counts.items():
        node = mixed.running[source]
        assert isinstance(node, Population)
        rates[source] = counts * node.amplitude / mixed.timesteps
    integer = mixed.running[name]
    assert isinstance(integer, Population)
    unit = mixed.population(name).threshold / integer.threshold
    return np.asarray(rates.current(name) * unit - result.values.of(mixed.given).current(name))
