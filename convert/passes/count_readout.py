"""Put spiking neurons on the outputs, so that an answer is a spike count."""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.graph import Graph, Node, Relu


def count_readout(graph: Graph) -> Graph:
    """Return the lowered graph with a Relu behind every output that is not one already.

    A count cannot be negative: logits below zero become zero, the largest stays the largest as
    long as it is positive.
    """
    nodes = list(graph.nodes)
    outputs = []
    for name in graph.outputs:
        node = graph[name]
        if not isinstance(node.op, Relu):
            node = Node(f"{name}/count", Relu(), (name,), node.shape)
            nodes.append(node)
        outputs.append(node.name)
    return replace(graph, nodes=tuple(nodes), outputs=tuple(outputs))
