"""Take Softmax, LogSoftmax, Sigmoid and ArgMax off the ends of the graph.

A readout gives logits in ANN units; these functions are applied to the decoded logits.
"""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.curves.functions import SIGMOID
from snnconvert.convert.graph import Affine, Curve, Graph, Node, OutputFunction
from snnconvert.convert.linear import Reshape
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes


def split_output_functions(graph: Graph) -> Graph:
    """Return the graph with outputs in front of their trailing functions.

    A reshape behind the last of them goes too: the order of the values stays.
    """
    outputs, functions = [], []
    already = graph.output_functions or ((),) * len(graph.outputs)
    for name, later in zip(graph.outputs, already, strict=True):
        front, taken = _split(graph, name)
        outputs.append(front)
        functions.append((*taken, *later))
    split = replace(graph, outputs=tuple(outputs), output_functions=tuple(functions))
    return drop_dead_nodes(split)


def _split(graph: Graph, output: str) -> tuple[str, tuple[OutputFunction, ...]]:
    """Return the value in front of an output's functions, and the functions."""
    front, taken = output, list[OutputFunction]()
    node = graph[output]
    while True:
        function = _output_function(node)
        if function is not None:
            taken.insert(0, function)
            front = node.inputs[0]
        elif not _keeps_values(node, reshaped=not taken):
            return front, tuple(taken)
        node = graph[node.inputs[0]]


def _output_function(node: Node) -> OutputFunction | None:
    if isinstance(node.op, Curve) and node.op.function == SIGMOID:
        return OutputFunction("Sigmoid")
    return node.op if isinstance(node.op, OutputFunction) else None


def _keeps_values(node: Node, *, reshaped: bool) -> bool:
    if not isinstance(node.op, Affine) or node.op.bias is not None:
        return False
    return all(reshaped and isinstance(operator, Reshape) for operator in node.op.operators)
