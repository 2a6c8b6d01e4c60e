"""Fold an affine map into the affine map behind it: batch norm before or after a convolution.

The constant of the first map goes through the operators of the second, so a convolution behind a
batch norm gets a bias per position where zero-padding cuts the constant off: exact at borders.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.graph import Affine, Graph, Node
from snnconvert.convert.linear import Shape, apply_chain, is_routing
from snnconvert.convert.simplify import collapse, simplify_chain


def fold_affine(graph: Graph) -> Graph:
    """Return the graph with chains of Affine nodes merged.

    A node is merged into its reader when it has no other reader, or when it only copies values.
    """
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, Affine):
            node = _fold(graph, nodes, node, node.op)
        nodes[node.name] = node
    return graph.with_nodes(nodes.values())


def _fold(graph: Graph, nodes: dict[str, Node], node: Node, op: Affine) -> Node:
    source = nodes[node.inputs[0]]
    while isinstance(source.op, Affine) and may_fold(graph, source):
        op = _join(source.op, op, source.shape)
        node = replace(node, inputs=source.inputs)
        source = nodes[source.inputs[0]]
    return replace(node, op=replace(op, operators=simplify_chain(op.operators)))


def may_fold(graph: Graph, source: Node) -> bool:
    """Tell whether an Affine node is merged into the Affine nodes that read it."""
    assert isinstance(source.op, Affine)
    if is_routing(source.op.operators) and source.op.bias is None:
        return True
    return len(graph.consumers[source.name]) == 1 and source.name not in graph.outputs


def _join(first: Affine, second: Affine, middle: Shape) -> Affine:
    bias = second.bias
    if first.bias is not None:
        constant = np.broadcast_to(np.asarray(first.bias, np.float64), middle)
        passed = apply_chain(second.operators, constant[None])[0]
        bias = passed if bias is None else passed + bias
    return Affine(first.operators + second.operators, None if bias is None else collapse(bias))
