"""Deep graphs in which early spikes and rounding offsets add up, with their networks and rows."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray, ReduceSum
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network
from tests.graphs import Sketch, samples_for


def deep(
    depth: int = 5, rows: int = 32, quantile: float = 0.99
) -> tuple[Graph, Network, dict[str, FloatArray]]:
    """Convolutions and a sum over all positions, in which the offset of a channel adds up."""
    sketch = Sketch(1)
    value = sketch.input((2, 6, 6))
    for _ in range(depth):
        value = sketch.relu(sketch.conv(value, 6, pad=1))
    pooled = sketch.affine(value, ReduceSum((6, 6, 6), (1, 2)))
    graph = lower(sketch.graph(sketch.dense(pooled, 5)))
    samples = samples_for(graph, rows)
    return graph, network_of(graph, samples, quantile), samples


def network_of(graph: Graph, samples: dict[str, FloatArray], quantile: float = 0.99) -> Network:
    """The network of a graph, each channel's threshold a quantile of its activations."""
    found = graph.evaluate(samples, [n.name for n in graph.activations])
    scales = {
        name: np.maximum(
            np.quantile(a, quantile, axis=(0, *range(2, a.ndim)), keepdims=True)[0], 0.05
        )
        for name, a in found.items()
    }
    return build_network(graph, scales)
