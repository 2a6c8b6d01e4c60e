"""Build the ``nengo.Network`` of a Network: nodes, ensembles, connections, probes.

Everything between two nodes is a current in Nengo's sense, a sum of weights times spikes of height
1/dt; weights behind an analog input are multiplied by 1/dt to the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.neurons import SignedIntegrateAndFire
from snnconvert.backends.nengo.processes import (
    GatedCurrent,
    MeanReadout,
    PresentSample,
    StepDelay,
)
from snnconvert.backends.nengo.transforms import chain_to_transforms
from snnconvert.convert.linear import Chain, FloatArray, Scale
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from snnconvert.convert.simplify import simplify_chain


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
        Passthrough nodes: relays, and the summed current of each output.
    probes : dict of nengo.Probe
        Spikes of the layers and the outputs; empty if none were asked for.
    """

    network: Any
    inputs: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)


def build_network(executable: Network, *, dt: float, seed: int, probes: bool) -> Parts:
    """Build the ``nengo.Network``.

    Parameters
    ----------
    executable : Network
        Normalised and on exact grids (``backends.base.prepare``).
    dt : float
        1/dt is a whole number.
    seed : int
    probes : bool
    """
    rate = round(1 / dt)
    parts = Parts(nengo.Network(label=executable.name, seed=seed))
    with parts.network:
        for node in executable.nodes:
            if isinstance(node, Input):
                parts.inputs[node.name] = nengo.Node(PresentSample(node, dt), label=node.name)
            elif isinstance(node, Population):
                parts.layers[node.name] = _ensemble(node, rate)
                _bias_node(node, rate, parts.layers[node.name].neurons)
            else:
                label = f"{node.name}/current" if isinstance(node, Readout) else node.name
                size = int(np.prod(node.shape))
                parts.sums[node.name] = nengo.Node(size_in=size, label=label)
            if isinstance(node, Readout):
                _bias_node(node, rate, parts.sums[node.name])
                parts.outputs[node.name] = nengo.Node(MeanReadout(node), label=node.name)
                nengo.Connection(
                    parts.sums[node.name], parts.outputs[node.name], synapse=None, label=node.name
                )
        for connection in executable.connections:
            _connect(executable, connection, parts, rate)
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


def _ensemble(population: Population, rate: int) -> Any:
    """Return the ensemble of a population; nothing about it is left to chance."""
    n = population.size
    return nengo.Ensemble(
        n,
        dimensions=1,
        neuron_type=SignedIntegrateAndFire(
            threshold=_scalar_or_vector(population.threshold, population.shape),
            reset=population.reset,
            start=population.start,
            stop=population.stop,
            initial_state={"voltage": _vector(population.v_init, population.shape)},
        ),
        gain=np.ones(n),
        bias=_vector(population.bias, population.shape) * rate * _always_biased(population),
        encoders=np.ones((n, 1)),
        eval_points=np.zeros((1, 1)),
        label=population.name,
    )


def _always_biased(node: Population | Readout) -> bool:
    return node.bias_start == 0 and node.bias_stop is None


def _bias_node(node: Population | Readout, rate: int, target: Any) -> None:
    """Add a node for the bias where the target holds none itself."""
    if not np.any(node.bias) or (isinstance(node, Population) and _always_biased(node)):
        return
    current = _vector(node.bias, node.shape) * rate
    if not _always_biased(node):
        current = GatedCurrent(current, node.bias_start, node.bias_stop)
    label = f"{node.name}/bias"
    nengo.Connection(nengo.Node(current, label=label), target, synapse=None, label=label)


def _connect(executable: Network, connection: Connection, parts: Parts, rate: int) -> None:
    """Connect two nodes; passthrough nodes stand where a chain needs several transforms."""
    source = executable[connection.source]
    chain = connection.operators
    if isinstance(source, Input) and source.encoding == "current":
        chain = _times(chain, source.shape, rate)
    label = f"{connection.source}->{connection.target}"
    before = _sender(parts, connection.source)
    transforms = chain_to_transforms(chain, int(np.prod(source.shape)))
    for position, transform in enumerate(transforms, start=1):
        after = (
            _receiver(parts, connection.target)
            if position == len(transforms)
            else nengo.Node(size_in=transform.size_out, label=f"{label}/{position}")
        )
        delay = connection.delay if position == 1 else 0
        synapse = StepDelay(delay) if delay else None
        nengo.Connection(before, after, transform=transform, synapse=synapse, label=label)
        before = after


def _times(chain: Chain, shape: tuple[int, ...], rate: int) -> Chain:
    """Return the chain multiplied by a whole number: exact for weights on a grid."""
    return simplify_chain((Scale(shape, np.full((1,) * len(shape), float(rate))), *chain))


def _sender(parts: Parts, name: str) -> Any:
    if name in parts.layers:
        return parts.layers[name].neurons
    return parts.inputs[name] if name in parts.inputs else parts.sums[name]


def _receiver(parts: Parts, name: str) -> Any:
    return parts.layers[name].neurons if name in parts.layers else parts.sums[name]


def _vector(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return one value a neuron."""
    return np.broadcast_to(np.asarray(values, np.float64), shape).reshape(-1).copy()


def _scalar_or_vector(values: FloatArray, shape: tuple[int, ...]) -> FloatArray | float:
    vector = _vector(values, shape)
    return float(vector[0]) if (vector == vector[0]).all() else vector
