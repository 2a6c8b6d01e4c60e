"""Write MaxPool as a tree of plain neurons: ``max(a, b) = b + relu(a - b)``.

Windows are taken axis by axis (the maximum is separable), each axis as a balanced tree of which a
level is one population. Window positions outside the data repeat a position inside, which leaves
the maximum unchanged for values of either sign. Where rates are pooled, the tree's neurons take
over the thresholds of the pooled population: then the staged tree is the maximum of the quantised
values exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.graph import Add, Affine, Concat, Graph, MaxPool, Node, Relu
from snnconvert.convert.linear import IntArray, Scale, Select, Shape, is_routing


def relu_before_max_pool(graph: Graph) -> Graph:
    """Return the graph with ``relu(maxpool(x))`` rewritten as ``maxpool(relu(x))``.

    Both are monotone, so they commute; the pooled values then are rates of a population. A Relu
    moves in front of all of several poolings in a row, not of one that pools rates already.
    """
    while any(_relu_behind(graph, node) for node in graph.nodes):
        graph = _swap(graph)
    return graph


def _relu_behind(graph: Graph, node: Node) -> Node | None:
    """Return the Relu that is the only reader of a MaxPool of signed values, else None."""
    readers = graph.consumers[node.name]
    if not isinstance(node.op, MaxPool) or node.name in graph.outputs or len(readers) != 1:
        return None
    (relu,) = readers
    return relu if isinstance(relu.op, Relu) and not _is_routed(graph, node.inputs[0]) else None


def _swap(graph: Graph) -> Graph:
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name in renamed:
            continue
        relu = _relu_behind(graph, node)
        inputs = tuple(renamed.get(i, i) for i in node.inputs)
        if relu is None:
            nodes.append(replace(node, inputs=inputs))
            continue
        renamed[relu.name] = node.name
        shape = graph[node.inputs[0]].shape
        nodes.append(replace(relu, inputs=inputs, shape=shape, tensor=None))
        nodes.append(replace(node, inputs=(relu.name,), tensor=relu.tensor))
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return graph.with_nodes(nodes, outputs=outputs)


def lower_max_pool(graph: Graph) -> Graph:
    """Return the graph with every MaxPool replaced by its tree."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.op, MaxPool):
            nodes += _Tree(graph, node, node.op).build()
        else:
            nodes.append(node)
    return graph.with_nodes(nodes)


def _is_routed(graph: Graph, name: str) -> bool:
    """Tell whether a value only copies rates of populations, so that it has their thresholds."""
    node = graph[name]
    if isinstance(node.op, Relu):
        return True
    if isinstance(node.op, Affine):
        copies = is_routing(node.op.operators) and node.op.bias is None
        return copies and _is_routed(graph, node.inputs[0])
    if isinstance(node.op, Concat | MaxPool):
        return all(_is_routed(graph, source) for source in node.inputs)
    return False


class _Tree:
    """Builds the nodes of one pooling tree."""

    def __init__(self, graph: Graph, node: Node, pool: MaxPool) -> None:
        self.node, self.pool = node, pool
        self.source = graph[node.inputs[0]]
        self.relu = Relu(follows=node.name if _is_routed(graph, self.source.name) else None)
        self.graph = graph
        self.nodes: list[Node] = []
        self.count = 0

    def build(self) -> list[Node]:
        """Return the nodes; the last one has the pool's name and value."""
        current = self.source
        for axis in range(1, len(self.source.shape)):
            current = self._pooled(current, axis, self._taps(current, axis))
        return [*self.nodes, replace(self.node, op=Affine(()), inputs=(current.name,))]

    def _pooled(self, current: Node, axis: int, taps: IntArray) -> Node:
        """Take the maximum of the taps (positions, taps) along an axis.

        All pairs of one level are one population, and what two windows share is compared once.
        """
        waiting: list[Node] = []
        while taps.shape[1] > 1:
            count = taps.shape[1] // 2
            if taps.shape[1] % 2:
                waiting.append(self._tap(current, axis, taps[:, -1]))
            pairs = taps[:, : 2 * count].reshape(-1, 2)
            pairs, place = np.unique(pairs, axis=0, return_inverse=True)
            taps = place.reshape(len(taps), count)
            current = self._maximum(*(self._tap(current, axis, side) for side in pairs.T))
        waiting.append(self._tap(current, axis, taps[:, 0]))
        result = waiting[0]
        for value in waiting[1:]:
            result = self._maximum(value, result)
        return result

    def _taps(self, current: Node, axis: int) -> IntArray:
        window, a = self.pool.window, axis - 1
        extent = current.shape[axis]
        starts = np.arange(self.node.shape[axis]) * window.strides[a] - window.pads[a][0]
        reach = starts[:, None] + np.arange(window.size[a]) * window.dilations[a]
        inside = (reach >= 0) & (reach < extent)
        offsets = np.arange(window.size[a])
        distance = (
            np.abs(offsets[:, None] - offsets)[None] + np.where(inside, 0, extent + 9**9)[:, None]
        )
        nearest = distance.argmin(axis=2)  # (positions, taps): the closest tap inside the data
        clamped = np.take_along_axis(reach, nearest, axis=1)
        distinct = dict((tuple(tap), tap) for tap in clamped.T)
        return np.stack(list(distinct.values()), axis=1)

    @staticmethod
    def _along(shape: Shape, axis: int, index: IntArray) -> tuple[IntArray | None, ...]:
        return tuple(index if a == axis else None for a in range(len(shape)))

    def _add(self, suffix: str, node: Node) -> Node:
        self.count += 1
        named = replace(node, name=self.graph.unused(f"{self.node.name}/{suffix}{self.count}"))
        self.nodes.append(named)
        return named

    def _tap(self, current: Node, axis: int, index: IntArray) -> Node:
        if np.array_equal(index, np.arange(current.shape[axis])):
            return current
        select = Select(current.shape, self._along(current.shape, axis, index))
        return self._add("tap", Node("", Affine((select,)), (current.name,), select.output_shape))

    def _maximum(self, a: Node, b: Node) -> Node:
        minus = Scale(b.shape, np.full((1,) * len(b.shape), -1.0))
        negative = self._add("negative", Node("", Affine((minus,)), (b.name,), b.shape))
        difference = self._add("difference", Node("", Add(), (a.name, negative.name), b.shape))
        excess = self._add("max", Node("", self.relu, (difference.name,), b.shape))
        return self._add("joined", Node("", Add(), (b.name, excess.name), b.shape))
