"""The chip's integer network as a :class:`Network`, for whoever reads networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.loihi.blueprint import Blueprint, Layer, neurons_of
from snnconvert.backends.loihi.extract import IntegerLayer, IntegerNetwork
from snnconvert.convert.linear import FloatArray, Matrix, Scale
from snnconvert.convert.network import (
    Connection,
    Network,
    NetworkNode,
    Population,
    Readout,
)


def executable_network(blueprint: Blueprint, integers: IntegerNetwork) -> Network:
    """Return the integer network under the chip's conventions.

    A connection takes one step; thresholds are one larger than the chip's, because it fires above
    them; voltages start at 0; readouts count from the step in which the sample can have reached
    them. Analog inputs are scaled to integer units but not rounded to the bias registers. With
    input neurons, those are populations.
    """
    network = blueprint.network
    nodes: dict[str, NetworkNode] = {node.name: node for node in network.inputs}
    connections: list[Connection] = []
    for layer in blueprint.layers:
        own = integers[layer.name]
        node = nodes[layer.name] = _node(network, layer, own, blueprint.latency)
        for drive in layer.drives:
            scale = Scale(node.shape, own.scale.reshape(node.shape))
            connections.append(Connection(drive.input, node.name, (*drive.chain, scale)))
        for synapses in integers.incoming(layer.name):
            matrix = sp.csr_array(synapses.matrix.T.astype(np.float64))
            operator = Matrix(nodes[synapses.source].shape, matrix, node.shape)
            connections.append(Connection(synapses.source, node.name, (operator,), delay=1))
    return Network(network.name, tuple(nodes.values()), tuple(connections))


def _node(network: Network, layer: Layer, own: IntegerLayer, latency: int) -> Population | Readout:
    shape = layer.shape if layer.kind == "input" else network[layer.name].shape

    def shaped(values: npt.NDArray[Any]) -> FloatArray:
        return np.asarray(values, np.float64).reshape(shape)

    bias = shaped(layer.bias * own.scale if layer.drives else own.bias)
    original = None if layer.kind == "input" else network[layer.name]
    if isinstance(original, Readout):
        scale = np.asarray(original.scale / shaped(own.scale))
        return replace(original, bias=bias, scale=scale, start=latency)
    zero, one = np.zeros((1,) * len(shape)), np.ones((1,) * len(shape))
    if not isinstance(original, Population):
        bound = next(n.bound for n in network.inputs if neurons_of(n) == layer.name)
        scale = one * layer.threshold[0] * bound
        original = Population(layer.name, shape, one, one, scale, zero, zero)
    return replace(
        original,
        threshold=shaped(own.threshold) + 1.0,
        amplitude=one,
        bias=bias,
        v_init=zero,
        reset="zero",
    )
