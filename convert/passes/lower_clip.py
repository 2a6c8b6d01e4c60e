"""Write Clip as a bounded ramp: ``clip(x, low, high) = low + min(relu(x - low), high - low)``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.graph import Affine, Clip, Graph, Node, Relu
from snnconvert.convert.linear import Scale


def lower_clip(graph: Graph) -> Graph:
    """Return the graph with every Clip replaced by a Relu and shifts."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _lower(graph, node, node.op) if isinstance(node.op, Clip) else [node]
    return graph.with_nodes(nodes)


def _lower(graph: Graph, node: Node, clip: Clip) -> list[Node]:
    if clip.low == -np.inf and clip.high == np.inf:
        return [replace(node, op=Affine(()))]
    if clip.low >= clip.high:  # the upper bound wins, as in ONNX and NumPy
        nothing = Scale(node.shape, np.zeros((1,) * len(node.shape)))
        return [replace(node, op=Affine((nothing,), np.full((1,) * len(node.shape), clip.high)))]
    sign, origin = (1.0, clip.low) if clip.low != -np.inf else (-1.0, clip.high)
    ceiling = None if np.inf in (clip.high, -clip.low) else clip.high - clip.low
    if sign > 0 and origin == 0:
        return [replace(node, op=Relu(ceiling))]
    flip = () if sign > 0 else (Scale(node.shape, np.full((1,) * len(node.shape), -1.0)),)
    constant = np.full((1,) * len(node.shape), origin)
    shift = Affine(flip, -sign * constant)
    before = Node(graph.unused(f"{node.name}/shifted"), shift, node.inputs, node.shape)
    ramp = Node(graph.unused(f"{node.name}/ramp"), Relu(ceiling), (before.name,), node.shape)
    return [before, ramp, replace(node, op=Affine(flip, constant), inputs=(ramp.name,))]
