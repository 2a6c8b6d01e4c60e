"""A network compiled for this engine: a kernel for each connection, parameters in memory order."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from snnconvert.backends.cpu.dense import DenseKernel
from snnconvert.backends.cpu.layout import per_neuron
from snnconvert.backends.cpu.neurons import Neurons
from snnconvert.backends.cpu.plan import Plan
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Connection, Input, Network, Population, Readout


class LayerKernel(Protocol):
    """A way to compute the currents of one connection."""

    def currents(self, sent: FloatArray) -> FloatArray:
        """Map (steps, n, *stored source shape) to (steps, n, *stored target shape).

        The result may be the argument itself, or a view of it.
        """


class Program:
    """What runs of a network share.

    Attributes
    ----------
    network : Network
    plan : Plan
    kernels : dict of int to LayerKernel
        By ``id`` of the connection; connections of analog inputs have none.
    neurons : dict of str to Neurons
    biases : dict of str to (1, size) float64 array
        Of the populations and readouts whose bias is not zero.
    last_reader : dict of str to str
        The last node that reads what a node sends.
    """

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        self.kernels: dict[int, LayerKernel] = {
            id(c): DenseKernel(c.operators, network[c.source].shape, plan.sums[c.target])
            for c in network.connections
            if not is_analog(network, c)
        }
        self.neurons = {p.name: Neurons.of(p) for p in network.populations}
        self.biases = {
            n.name: per_neuron(n.bias, n.shape)[None]
            for n in network.nodes
            if isinstance(n, Population | Readout) and np.any(n.bias)
        }
        self.last_reader = {
            c.source: n.name for n in network.nodes for c in network.incoming(n.name)
        }


def is_analog(network: Network, connection: Connection) -> bool:
    """Tell whether a connection brings a current that is constant while its input is open."""
    source = network[connection.source]
    return isinstance(source, Input) and source.encoding == "current"
