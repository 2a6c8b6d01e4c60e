"""Remove nodes that no output needs; inputs stay."""

from __future__ import annotations

from snnconvert.convert.graph import Graph, GraphInput


def drop_dead_nodes(graph: Graph) -> Graph:
    """Return the graph without nodes that no output depends on."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return graph.with_nodes(
        n for n in graph.nodes if n.name in needed or isinstance(n.op, GraphInput)
    )
