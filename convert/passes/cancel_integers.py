"""Take out the way through integers: quantised values stay in real units.

A quantiser's real values become integers, ``x / scale + zero point``, and a DequantizeLinear turns
them back. In between stand operators that only copy or compare: they do the same to the real
values, since the map is monotone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnconvert.convert.graph import Affine, Concat, Graph, MaxPool, Node, Op
from snnconvert.convert.linear import FloatArray, Scale, apply_chain, is_routing
from snnconvert.convert.quantiser import Quantise

CLOSE = 1e-9
"""Products of a number and its reciprocal, and zero points so scaled, are this close."""


@dataclass(frozen=True, eq=False)
class _View:
    """A value that is ``factor * real + shift`` of another node's."""

    real: str
    factor: FloatArray
    shift: FloatArray

    @property
    def uniform(self) -> bool:
        """Whether every element has the same factor and shift."""
        return self.factor.size == self.shift.size == 1


def cancel_integers(graph: Graph) -> Graph:
    """Return the graph with dequantised values read from the quantiser directly."""
    return _Cancellation(graph).run()


class _Cancellation:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.views: dict[str, _View] = {}
        self.nodes: list[Node] = []
        self.taken = {node.name for node in graph.nodes}

    def run(self) -> Graph:
        """Follow every node."""
        for node in self.graph.nodes:
            self.nodes.append(self._visit(node))
        return self.graph.with_nodes(self.nodes)

    def _visit(self, node: Node) -> Node:
        """Note what real value a node is a view of; return it, or a copy of that value."""
        op = node.op
        views = [self.views.get(source) for source in node.inputs]
        seen = [view for view in views if view is not None]
        if isinstance(op, Affine) and not seen:
            if isinstance(self.graph[node.inputs[0]].op, Quantise):
                self._begin(node, op)
        elif isinstance(op, Affine) and len(op.operators) == 1 and self._undoes(op, seen[0]):
            return replace(node, op=Affine(()), inputs=(seen[0].real,))
        elif isinstance(op, Affine) and is_routing(op.operators) and seen[0].uniform:
            self._carry(node, _routed(op, self.graph[node.inputs[0]], seen[0]), seen)
        elif (isinstance(op, MaxPool) and seen and seen[0].uniform) or (
            isinstance(op, Concat) and len(seen) == len(views) and _alike(seen)
        ):
            self._carry(node, op, seen)
        return node

    def _begin(self, node: Node, op: Affine) -> None:
        if len(op.operators) == 1 and isinstance(op.operators[0], Scale):
            factor = op.operators[0].factor
            if (factor > 0).all():
                shift = np.zeros_like(factor) if op.bias is None else op.bias
                self.views[node.name] = _View(node.inputs[0], factor, shift)

    @staticmethod
    def _undoes(op: Affine, view: _View) -> bool:
        scale = op.operators[0]
        if not isinstance(scale, Scale):
            return False
        bias = np.zeros(()) if op.bias is None else op.bias
        whole = view.factor * scale.factor
        rest = view.shift * scale.factor + bias
        tolerance = CLOSE * (np.abs(view.shift * scale.factor) + np.abs(scale.factor))
        return bool((np.abs(whole - 1) <= CLOSE).all() and (np.abs(rest) <= tolerance).all())

    def _carry(self, node: Node, op: Op, views: list[_View]) -> None:
        """Add the node's counterpart on real values."""
        name = f"{node.name}/real"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self.nodes.append(Node(name, op, tuple(view.real for view in views), node.shape))
        self.views[node.name] = replace(views[0], real=name)


def _alike(views: list[_View]) -> bool:
    first = views[0]
    return all(
        view.uniform
        and view.factor.reshape(()) == first.factor.reshape(())
        and view.shift.reshape(()) == first.shift.reshape(())
        for view in views
    )


def _routed(op: Affine, source: Node, view: _View) -> Affine:
    """Return what copies real values as `op` copies integers; padding becomes real too."""
    reached = apply_chain(op.operators, np.ones((1, *source.shape)))[0]
    shift, factor = float(view.shift.reshape(())), float(view.factor.reshape(()))
    padding = 0.0 if op.bias is None else op.bias
    constant = np.asarray((shift * (reached - 1) + padding) / factor)
    return Affine(op.operators, constant if constant.any() else None)
