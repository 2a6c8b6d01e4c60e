"""Make neurons of quantisers: ``L`` levels above zero are a threshold and ``L`` timesteps.

A quantiser whose lowest level is zero is ``scale * clip(round(x / scale), 0, L)``. A staged
integrate-and-fire population with threshold ``scale * L`` that starts at half of it spikes
``clip(floor(x / scale + 1/2), 0, L)`` times in ``L`` steps: the same, but for halves, which
onnxruntime rounds to even. Other quantisers are no rectifier: their rounding is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.curves.functions import SIGMOID
from snnconvert.convert.graph import (
    Add,
    Affine,
    Clip,
    Concat,
    Curve,
    Graph,
    MaxPool,
    Node,
    OutputFunction,
    Relu,
)
from snnconvert.convert.linear import FloatArray, Scale, is_routing, weights_of
from snnconvert.convert.quantiser import DYNAMIC_LEVELS, DynamicQuantise, Quantise

SAME_SCALE = 1e-6
"""Relative difference of scales that are the same: products of numbers in single precision."""


def drop_rounded_outputs(graph: Graph) -> Graph:
    """Return the graph without quantisers that round what an output function gives."""
    rounded: dict[str, Node] = {}
    for output in graph.outputs:
        node = _original(graph, output)
        if isinstance(node.op, Quantise):
            source = _original(graph, node.inputs[0]).op
            sigmoid = isinstance(source, Curve) and source.function == SIGMOID
            if sigmoid or isinstance(source, OutputFunction):
                rounded[node.name] = node
    why = "of the probabilities: decisions are read from the logits"
    dropped = [
        Approximation(n.name, "quantiser", _dropped(n.op, why))
        for n in rounded.values()
        if isinstance(n.op, Quantise)
    ]
    nodes = [replace(n, op=Affine(())) if n.name in rounded else n for n in graph.nodes]
    return graph.with_nodes(nodes, approximations=(*graph.approximations, *dropped))


def _original(graph: Graph, name: str) -> Node:
    """Return the node that a value is a copy of."""
    node = graph[name]
    while _is_copy(node):
        node = graph[node.inputs[0]]
    return node


def lower_quantise(graph: Graph) -> Graph:
    """Return the graph with every quantiser replaced by neurons, a copy or an approximation."""
    return _Lowering(graph).run()


@dataclass(frozen=True, eq=False)
class _Range:
    """A quantiser that reads `source`, with bounds of clipping before it taken in."""

    source: str
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class _Grid:
    """Values ``0, scale, ..., scale * high``."""

    scale: float
    high: int

    def scaled(self, factor: float) -> _Grid:
        """Return the grid of values times a positive number."""
        return replace(self, scale=self.scale * factor)

    def fits(self, op: Quantise) -> bool:
        """Tell whether a quantiser leaves every value on the grid as it is."""
        close = abs(op.scale / self.scale - 1) <= SAME_SCALE
        return bool(close.all() and (op.low <= 0).all() and (op.high >= self.high).all())


def _joined(grids: list[_Grid | None]) -> _Grid | None:
    """Return the grid of values from several, if they have the same scale."""
    first = grids[0]
    if first is None or any(grid is None or grid.scale != first.scale for grid in grids):
        return None
    return replace(first, high=max(grid.high for grid in grids if grid is not None))


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.grids: dict[str, _Grid] = {}
        """Levels of the quantisers that the lowered graph still has."""
        self.nonnegative: set[str] = set()
        self.dropped: dict[str, Approximation] = {}

    def run(self) -> Graph:
        """Lower every node."""
        nodes: list[Node] = []
        for node in self.graph.nodes:
            if isinstance(node.op, Quantise):
                nodes += self._lower(node, node.op)
            elif isinstance(node.op, DynamicQuantise):
                detail = f"rounding to {DYNAMIC_LEVELS + 1} levels of a batch's range left out"
                self.dropped[node.name] = Approximation(node.name, "quantiser", detail)
                nodes.append(replace(node, op=Affine(())))
            else:
                nodes.append(node)
        functions = self._rounded_outputs()
        found = (*self.graph.approximations, *self.dropped.values())
        return self.graph.with_nodes(nodes, approximations=found, output_functions=functions)

    def _rounded_outputs(self) -> tuple[tuple[OutputFunction | Quantise, ...], ...]:
        """Let readouts round what quantisers at the end would; return the output functions."""
        functions = []
        for output, taken in zip(self.graph.outputs, self.graph.output_functions, strict=True):
            node = _original(self.graph, output)
            if isinstance(node.op, Quantise) and node.name in self.dropped:
                if self._only_leads_to(node.name, output):
                    del self.dropped[node.name]
                taken = (node.op, *taken)
            functions.append(taken)
        return tuple(functions)

    def _only_leads_to(self, name: str, output: str) -> bool:
        while name != output:
            readers = self.graph.consumers[name]
            if len(readers) != 1 or name in self.graph.outputs:
                return False
            name = readers[0].name
        return not self.graph.consumers[name]

    def _lower(self, node: Node, op: Quantise) -> list[Node]:
        grid = self._grid(node.inputs[0])
        if grid is not None and grid.fits(op):
            self.grids[node.name] = grid
            return [replace(node, op=Affine(()))]
        reach = self._reach(node, op)
        if (reach.low == 0).all() and (reach.high >= 1).all() and _equal(reach.high):
            self.nonnegative.add(node.name)
            if op.scale.size == 1:
                self.grids[node.name] = _Grid(float(op.scale.reshape(())), int(reach.high.flat[0]))
            return self._neurons(node, op, reach)
        self.dropped[node.name] = Approximation(node.name, "quantiser", _dropped(op))
        return [replace(node, op=Affine(()))]

    def _neurons(self, node: Node, op: Quantise, reach: _Range) -> list[Node]:
        levels = int(reach.high.flat[0])
        ones = (1,) * len(node.shape)
        if op.scale.size == 1:
            top = float(op.scale.reshape(())) * levels
            relu = Relu(top, threshold=np.full(ones, top), levels=levels)
            return [replace(node, op=relu, inputs=(reach.source,))]
        relu = Relu(float(levels), threshold=np.full(ones, float(levels)), levels=levels)
        into = Node(
            self.graph.unused(f"{node.name}/steps"),
            Affine((Scale(node.shape, 1 / op.scale),)),
            (reach.source,),
            node.shape,
        )
        steps = Node(self.graph.unused(f"{node.name}/relu"), relu, (into.name,), node.shape)
        out = Affine((Scale(node.shape, op.scale),))
        return [into, steps, replace(node, op=out, inputs=(steps.name,))]

    def _reach(self, node: Node, op: Quantise) -> _Range:
        """Take in the Relu and Clip nodes before a quantiser: rounding commutes with bounds."""
        reach = _Range(node.inputs[0], op.low, op.high)
        while True:
            source = self.graph[reach.source]
            bounds = _bounds(source)
            if bounds is None:
                break
            low, high = (np.rint(bound / op.scale) for bound in bounds)
            low = np.minimum(low, high)
            reach = _Range(
                source.inputs[0],
                np.clip(low, reach.low, reach.high),
                np.clip(high, reach.low, reach.high),
            )
        if self._is_nonnegative(reach.source):
            reach = replace(reach, low=np.maximum(reach.low, np.minimum(reach.high, 0)))
        return reach

    def _grid(self, name: str) -> _Grid | None:
        """Return the levels that a value has from quantisers before it, None if it has none."""
        node = self.graph[name]
        if name in self.grids:
            return self.grids[name]
        if isinstance(node.op, Affine) and node.op.bias is None:
            scales = [o.factor for o in node.op.operators if isinstance(o, Scale)]
            rest = tuple(o for o in node.op.operators if not isinstance(o, Scale))
            if is_routing(rest) and all(f.size == 1 and (f > 0).all() for f in scales):
                found = self._grid(node.inputs[0])
                return found and found.scaled(math.prod(float(f.reshape(())) for f in scales))
        if isinstance(node.op, Concat | MaxPool):
            return _joined([self._grid(source) for source in node.inputs])
        if isinstance(node.op, Relu) and node.op.ceiling is None:
            return self._grid(node.inputs[0])  # of levels from zero on
        return None

    def _is_nonnegative(self, name: str) -> bool:
        node = self.graph[name]
        op = node.op
        if isinstance(op, Relu):
            return True
        if isinstance(op, Quantise):
            return name in self.nonnegative or name in self.grids
        if isinstance(op, Clip):
            return op.low >= 0
        weights: list[FloatArray] = []
        if isinstance(op, Affine):
            weights = [w for o in op.operators if (w := weights_of(o)) is not None]
        if isinstance(op, Affine | Add):
            weights += [] if op.bias is None else [op.bias]
        elif not isinstance(op, Concat | MaxPool):
            return False
        positive = all((w >= 0).all() for w in weights)
        return positive and all(self._is_nonnegative(source) for source in node.inputs)


def _bounds(node: Node) -> tuple[float, float] | None:
    """Return the bounds that a node puts on its input; infinite ones that it passes on."""
    op = node.op
    if isinstance(op, Relu) and op.threshold is None:
        return 0.0, np.inf if op.ceiling is None else op.ceiling
    if isinstance(op, Clip):
        return op.low, op.high
    return (-np.inf, np.inf) if _is_copy(node) else None


def _is_copy(node: Node) -> bool:
    return isinstance(node.op, Affine) and not node.op.operators and node.op.bias is None


def _equal(numbers: FloatArray) -> bool:
    return bool((numbers == numbers.flat[0]).all())


def _dropped(op: Quantise, why: str = "whose levels begin below zero, as no rate does") -> str:
    """Say what is lost with a quantiser."""
    least, greatest = float((op.low * op.scale).min()), float((op.high * op.scale).max())
    step = f"{op.scale.min():.4g}"
    if op.scale.size > 1:
        step += f" to {op.scale.max():.4g}"
    return f"rounding to steps of {step} in [{least:.4g}, {greatest:.4g}] left out, {why}"
