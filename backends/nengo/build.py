"""Build the ``nengo.Network`` of a Network: nodes, ensembles, connections, probes.

Everything between two nodes is a current in Nengo's sense, a sum of weights times spikes of height
1/dt; weights behind an analog input are multiplied by 1/dt to the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.neurons import neuron_type
from snnconvert.backends.nengo.processes import (
    GatedCurrent,
    MeanReadout,
    PresentSample,
    StepDelay,
)
from snnconvert.backends.nengo.transforms import chain_to_transforms
from snnconvert.convert.linear import (
    Chain,
    FloatArray,
    Scale,
    Shape,
    chain_output_shape,
    weights_of,
    with_weights,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)


@dataclass(eq=False)
class Parts:
    """What a ``nengo.Network`` was built of, by the names of the Network's nodes.

    Attributes
    ----------
    network : nengo.Network
    inputs, outputs : dict of nengo.Node
        Samples go in, decoded means come out.
    layers : dict of nengo.Ensemble
    sums : dict of nengo.Node
        Passthrough nodes: relays, and what flows into each output.
    probes : dict of nengo.Probe
        Spikes of the layers and the outputs; empty if none were asked for.
    """

    network: Any
    inputs: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)


def build_network(
    executable: Network, *, dt: float, seed: int, probes: bool, restart_every: int | None
) -> Parts:
    """Build the ``nengo.Network``.

    Parameters
    ----------
    executable : Network
        Normalised and on exact grids (``backends.base.prepare``).
    dt : float
        1/dt is a whole number.
    seed : int
    probes : bool
    restart_every : int or None
        Steps after which all state begins anew.
    """
    rate = round(1 / dt)
    parts = Parts(nengo.Network(label=executable.name, seed=seed))
    builder = _Builder(executable, parts, rate, restart_every)
    with parts.network:
        for node in executable.nodes:
            builder.add(node)
        for connection in executable.connections:
            builder.connect(connection)
    if probes:
        parts.probes = add_probes(parts, parts.network)
    return parts


def add_probes(parts: Parts, network: Any) -> dict[str, Any]:
    """Add probes of all spikes and outputs to a network; return them by name."""
    with network:
        spikes = {
            name: nengo.Probe(ensemble.neurons, label=f"{name}/spikes")
            for name, ensemble in parts.layers.items()
        }
        return spikes | {n: nengo.Probe(node, label=n) for n, node in parts.outputs.items()}


@dataclass(frozen=True, eq=False)
class _Builder:
    """Adds the objects of one Network to the ``nengo.Network`` that is open."""

    executable: Network
    parts: Parts
    rate: int
    restart_every: int | None

    def add(self, node: NetworkNode) -> None:
        name, parts, restart = node.name, self.parts, self.restart_every
        if isinstance(node, Input):
            process = PresentSample(node, 1 / self.rate, restart)
            parts.inputs[name] = nengo.Node(process, label=name)
        elif isinstance(node, Population):
            parts.layers[name] = self._ensemble(node)
            self._bias_node(node, parts.layers[name].neurons)
        elif isinstance(node, Relay):
            parts.sums[name] = nengo.Node(size_in=_size(node), label=name)
        else:
            parts.sums[name] = nengo.Node(size_in=_size(node), label=f"{name}/current")
            parts.outputs[name] = nengo.Node(MeanReadout(node, restart), label=name)
            self._bias_node(node, parts.sums[name])
            nengo.Connection(parts.sums[name], parts.outputs[name], synapse=None, label=name)

    def _ensemble(self, population: Population) -> Any:
        """Return the ensemble of a population; nothing about it is left to chance."""
        n = population.size
        return nengo.Ensemble(
            n,
            dimensions=1,
            neuron_type=neuron_type(
                population.neuron,
                threshold=_scalar_or_vector(population.threshold, population.shape),
                reset=population.reset,
                start=population.start,
                stop=population.stop,
                restart_every=self.restart_every,
                initial_state={"voltage": _vector(population.v_init, population.shape)},
            ),
            gain=np.ones(n),
            bias=_vector(population.bias, population.shape)
            * self.rate
            * _always_biased(population),
            encoders=np.ones((n, 1)),
            eval_points=np.zeros((1, 1)),
            label=population.name,
        )

    def _bias_node(self, node: Population | Readout, target: Any) -> None:
        """Add a node for the bias where the target holds none itself."""
        always = _always_biased(node)
        if not np.any(node.bias) or (isinstance(node, Population) and always):
            return
        current: Any = _vector(node.bias, node.shape) * self.rate
        if not always:
            current = GatedCurrent(current, node.bias_start, node.bias_stop, self.restart_every)
        label = f"{node.name}/bias"
        nengo.Connection(nengo.Node(current, label=label), target, synapse=None, label=label)

    def connect(self, connection: Connection) -> None:
        """Connect two nodes; passthrough nodes stand where a chain needs several transforms."""
        source = self.executable[connection.source]
        chain = connection.operators
        if isinstance(source, Input) and source.encoding == "current":
            chain = _times(chain, source.shape, self.rate)
        label = f"{connection.source}->{connection.target}"
        before = self._sender(connection.source)
        transforms = chain_to_transforms(chain, _size(source))
        for position, transform in enumerate(transforms, start=1):
            if position == len(transforms):
                after = self._receiver(connection.target)
            else:
                after = nengo.Node(size_in=transform.size_out, label=f"{label}/{position}")
            late = connection.delay > 0 and position == 1
            synapse = StepDelay(connection.delay, self.restart_every) if late else None
            nengo.Connection(before, after, transform=transform, synapse=synapse, label=label)
            before = after

    def _sender(self, name: str) -> Any:
        if name in self.parts.layers:
            return self.parts.layers[name].neurons
        return self.parts.inputs[name] if name in self.parts.inputs else self.parts.sums[name]

    def _receiver(self, name: str) -> Any:
        layers = self.parts.layers
        return layers[name].neurons if name in layers else self.parts.sums[name]


def _size(node: NetworkNode) -> int:
    return int(np.prod(node.shape))


def _always_biased(node: Population | Readout) -> bool:
    return node.bias_start == 0 and node.bias_stop is None


def _times(chain: Chain, shape: Shape, factor: float) -> Chain:
    """Return the chain times a whole number, put into its last weights."""
    for position in range(len(chain) - 1, -1, -1):
        weights = weights_of(chain[position])
        if weights is not None:
            last = with_weights(chain[position], weights * factor)
            return (*chain[:position], last, *chain[position + 1 :])
    scale = np.full((1,) * len(chain_output_shape(chain, shape)), factor)
    return (*chain, Scale(chain_output_shape(chain, shape), scale))


def _vector(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return one value a neuron."""
    return np.broadcast_to(np.asarray(values, np.float64), shape).reshape(-1).copy()


def _scalar_or_vector(values: FloatArray, shape: tuple[int, ...]) -> FloatArray | float:
    vector = _vector(values, shape)
    return float(vector[0]) if (vector == vector[0]).all() else vector
