"""The oracle: the law of network.py in plain NumPy, float64, one step after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from snnconvert.backends.base import (
    Capabilities,
    RunResult,
    Samples,
    check_capabilities,
    check_options,
    check_timesteps,
    decode,
    named_samples,
    network_of,
    prepare,
    recorded_names,
)
from snnconvert.convert.errors import Problem
from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Connection, Input, Network, Population, Relay, Reset
from snnconvert.convert.neurons import neuron_of
from snnconvert.convert.snap import round_input


class ReferenceBackend:
    """Plain NumPy simulation: slow, and what every other engine is compared with."""

    name: ClassVar[str] = "reference"
    default_reset: ClassVar[Reset] = "subtract"
    capabilities: ClassVar[Capabilities] = Capabilities(
        neurons=frozenset({"if", "signed", "graded"}),
        summary="plain NumPy in float64, step by step: the oracle",
    )

    def check(self, network: Network) -> list[Problem]:
        """Return every reason why the target cannot run the network."""
        return check_capabilities(self.name, self.capabilities, network)

    def emit(self, model: Any, **options: Any) -> ReferenceSimulation:
        """Build the simulation of a SpikingModel or Network; there are no options."""
        check_options(self.name, self.capabilities, options)
        return ReferenceSimulation(prepare(network_of(model)).network)


class ReferenceSimulation:
    """A network ready to run in plain NumPy.

    Parameters
    ----------
    network : Network
        As it is to be simulated: nothing is normalised or rounded here.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.executable = network

    def run(
        self,
        x: Samples,
        timesteps: int,
        *,
        record: Sequence[str] = (),
        stop: int | None = None,
    ) -> RunResult:
        """Simulate all samples for a window of `timesteps` (see ``Emitted.run``).

        With `stop` only the first steps of that, as many as it says: all that is returned is of
        them. Every readout must have begun by then.
        """
        network = self.network
        steps = check_timesteps(network, timesteps)
        recorded = recorded_names(network, record)
        state = _State(network, named_samples(network, x))
        accumulated: dict[str, list[FloatArray]] = {r.name: [] for r in network.readouts}
        trains: dict[str, list[Any]] = {name: [] for name in recorded}
        for t in range(steps if stop is None else min(stop, steps)):
            state.advance(t)
            for name in recorded:
                trains[name].append(state.spikes[name])
            for readout in network.readouts:
                if readout.start <= t < readout.start + timesteps:
                    accumulated[readout.name].append(state.sums[readout.name].copy())
        return RunResult(
            outputs={r.name: decode(r, np.stack(accumulated[r.name])) for r in network.readouts},
            spike_counts=state.counts,
            events=state.events,
            spikes={name: np.stack(train) for name, train in trains.items()},
            latency=steps - timesteps,
        )

    def resources(self) -> dict[str, Any]:
        """Return nothing: a CPU has no limits worth a table."""
        return {}

    def fidelity(self) -> dict[str, Any]:
        """Return how the network is simulated."""
        return {"engine": "numpy float64", "delay": 0, "input": "analog current"}

    def parity(self, x: Samples, timesteps: int) -> dict[str, Any] | None:
        """Return None: this engine is what others are compared with."""
        return None


class _State:
    """States of the neurons, histories and sums of one run."""

    def __init__(self, network: Network, samples: dict[str, Any]) -> None:
        self.network = network
        self.samples = {n.name: round_input(n, samples[n.name]) for n in network.inputs}
        n = len(next(iter(self.samples.values())))
        self.analog = {
            id(c): apply_chain(c.operators, self.samples[c.source])
            for c in network.connections
            if isinstance(source := network[c.source], Input) and source.encoding == "current"
        }
        self.neurons = {p.name: neuron_of(p) for p in network.populations}
        self.states = {
            p.name: self.neurons[p.name].initial_state((n, *p.shape)) for p in network.populations
        }
        self.counts = {name: state.count for name, state in self.states.items()}
        self.events = {name: np.zeros_like(count) for name, count in self.counts.items()}
        self.sums = {r.name: np.zeros((n, *r.shape)) for r in network.readouts}
        self.spikes: dict[str, Any] = {}
        reach = {node.name: 1 for node in network.nodes}
        for c in network.connections:
            reach[c.source] = max(reach[c.source], c.delay + 1)
        self.sent: dict[str, deque[FloatArray]] = {
            name: deque(maxlen=depth) for name, depth in reach.items()
        }
        self.n = n

    def advance(self, t: int) -> None:
        """Compute step t of every node."""
        for node in self.network.nodes:
            if isinstance(node, Input):
                continue
            current = np.zeros((self.n, *node.shape))
            for connection in self.network.incoming(node.name):
                arriving = self._arriving(connection, t)
                if arriving is not None:
                    current += arriving
            if isinstance(node, Relay):
                self.sent[node.name].appendleft(current)
                continue
            if node.bias_start <= t and (node.bias_stop is None or t < node.bias_stop):
                current += node.bias
            if isinstance(node, Population):
                firing = node.start <= t and (node.stop is None or t < node.stop)
                spikes = self.neurons[node.name].step(
                    current, self.states[node.name], firing=firing
                )
                self.spikes[node.name] = spikes
                self.events[node.name] += spikes != 0
                self.sent[node.name].appendleft(spikes * np.asarray(node.amplitude, np.float64))
            else:
                self.sums[node.name] += current

    def _arriving(self, connection: Connection, t: int) -> FloatArray | None:
        source = self.network[connection.source]
        then = t - connection.delay
        if isinstance(source, Input):
            if then < source.start or (source.stop is not None and then >= source.stop):
                return None
            if source.encoding == "current":
                return self.analog[id(connection)]
            frames = self.samples[source.name]
            if then - source.start >= frames.shape[1]:
                return None
            return apply_chain(connection.operators, frames[:, then - source.start])
        sent = self.sent[connection.source]
        if connection.delay >= len(sent):
            return None
        return apply_chain(connection.operators, sent[connection.delay])
