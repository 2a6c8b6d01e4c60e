"""Put spiking neurons on the outputs, so that an answer is a spike count."""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.graph import Graph, Node, Relu


def count_readout(graph: Graph) -> Graph:
    """Return the lowered graph with a Relu behind every output that is not one already.

    A count cannot be negative: logits below zero become zero, the largest stays the largest as
    long as it is positive.
    """
    counted: dict[str, Node] = {}
    for name in graph.outputs:
        if not isinstance(graph[name].op, Relu):
            label = graph.unused(f"{name}/count")
            counted[name] = Node(label, Relu(), (name,), graph[name].shape)
    outputs = tuple(counted[name].name if name in counted else name for name in graph.outputs)
    return replace(graph, nodes=(*graph.nodes, *counted.values()), outputs=outputs)
