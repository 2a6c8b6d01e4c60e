"""Take Softmax, LogSoftmax, Sigmoid and ArgMax off the ends of the graph.

A readout gives logits in ANN units; these functions are applied to the decoded logits.
"""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.graph import Affine, Graph, OutputFunction
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes


def split_output_functions(graph: Graph) -> Graph:
    """Return the graph with outputs in front of their trailing functions."""
    outputs, functions = [], []
    already = graph.output_functions or ((),) * len(graph.outputs)
    for name, later in zip(graph.outputs, already, strict=True):
        taken: list[OutputFunction] = []
        node = graph[name]
        while True:
            if isinstance(node.op, OutputFunction):
                taken.insert(0, node.op)
            elif not (
                isinstance(node.op, Affine) and not node.op.operators and node.op.bias is None
            ):
                break
            node = graph[node.inputs[0]]
        outputs.append(node.name if taken else name)
        functions.append((*taken, *later))
    split = replace(graph, outputs=tuple(outputs), output_functions=tuple(functions))
    return drop_dead_nodes(split)
