"""Write curves as linear maps and bounded ramps, each ramp one population of neurons.

A function of straight pieces becomes exactly that. For others the fit of the calibration is taken;
before calibration a fit to a standard density stands in, so that the structure is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.fit_ramps import RampBudget, fit_ramps, standard_density
from snnconvert.convert.graph import Add, Affine, Curve, Graph, Node, Relu
from snnconvert.convert.linear import Scale
from snnconvert.convert.piecewise import Pieces, straight_pieces
from snnconvert.convert.ramps import Ramps


def lower_curves(graph: Graph, budget: RampBudget | None = None) -> Graph:
    """Return the graph with every Curve replaced by ramps."""
    nodes: list[Node] = []
    approximations = list(graph.approximations)
    for node in graph.nodes:
        if not isinstance(node.op, Curve):
            nodes.append(node)
            continue
        pieces = straight_pieces(node.op.function)
        if pieces is not None:
            nodes += _exactly(graph, node, pieces)
            continue
        ramps = node.op.ramps or provisional_ramps(node.op, budget or RampBudget())
        nodes += _by_ramps(graph, node, ramps)
        approximations.append(_approximation(node, node.op, ramps))
    return graph.with_nodes(nodes, approximations=tuple(approximations))


def provisional_ramps(curve: Curve, budget: RampBudget) -> Ramps:
    """Return a fit to the standard density."""
    return fit_ramps(curve.function, standard_density(curve.function), budget)


def _approximation(node: Node, curve: Curve, ramps: Ramps) -> Approximation:
    count = len(ramps.heights)
    detail = f"{curve.function} by {count} ramp{'s' if count != 1 else ''}"
    if ramps.slope:
        detail += " and a linear part"
    return Approximation(node.name, "curve", detail, ramps.rms_error, ramps.max_error)


class _Parts:
    """Builds the nodes of one curve: neurons over shifted inputs, and their weighted sum."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph, self.node = graph, node
        self.nodes: list[Node] = []
        self.terms: list[str] = []
        self.ones = (1,) * len(node.shape)

    def _add(self, suffix: str, op: Affine | Relu, source: str) -> str:
        name = self.graph.unused(f"{self.node.name}/{suffix}")
        self.nodes.append(Node(name, op, (source,), self.node.shape))
        return name

    def _scale(self, by: float) -> tuple[Scale, ...]:
        return (Scale(self.node.shape, np.full(self.ones, by)),)

    def linear(self, slope: float) -> None:
        """Add ``slope * x``."""
        if slope:
            source = self.node.inputs[0]
            self.terms.append(self._add("linear", Affine(self._scale(slope)), source))

    def ramp(self, height: float, start: float, relu: Relu, sign: float = 1.0) -> None:
        """Add ``height * relu(sign * (x - start))``."""
        number = len(self.terms) + 1
        flip = self._scale(-1.0) if sign < 0 else ()
        shift = Affine(flip, np.full(self.ones, -sign * start))
        shifted = self._add(f"shifted{number}", shift, self.node.inputs[0])
        neurons = self._add(f"ramp{number}", relu, shifted)
        self.terms.append(self._add(f"height{number}", Affine(self._scale(height)), neurons))

    def total(self, offset: float) -> list[Node]:
        """Return the nodes; the last one has the curve's name and value."""
        bias = np.full(self.ones, offset)
        if not self.terms:
            result = replace(self.node, op=Affine(self._scale(0.0), bias))
        else:
            result = replace(self.node, op=Add(bias), inputs=tuple(self.terms))
        return [*self.nodes, result]


def _by_ramps(graph: Graph, node: Node, ramps: Ramps) -> list[Node]:
    parts = _Parts(graph, node)
    parts.linear(ramps.slope)
    for height, start, width in zip(ramps.heights, ramps.starts, ramps.widths, strict=True):
        relu = Relu(float(width), threshold=np.full(parts.ones, width))
        parts.ramp(float(height), float(start), relu)
    return parts.total(ramps.offset)


def _exactly(graph: Graph, node: Node, pieces: Pieces) -> list[Node]:
    """Write straight pieces: bounded ramps between kinks, rectifiers for what has no end.

    The side that goes on with the slope nearer to zero gives the linear part, so a leaky rectifier
    takes one population.
    """
    parts = _Parts(graph, node)
    slopes, kinks = pieces.slopes, pieces.kinks
    slope = float(min(slopes[0], slopes[-1], key=abs))
    parts.linear(slope)
    if not len(kinks):
        return parts.total(pieces.intercept)
    rises = slopes - slope
    if rises[0]:
        parts.ramp(float(-rises[0]), float(kinks[0]), Relu(), sign=-1.0)
    for i, rise in enumerate(rises[1:-1]):
        if rise:
            parts.ramp(float(rise), float(kinks[i]), Relu(float(kinks[i + 1] - kinks[i])))
    if rises[-1]:
        parts.ramp(float(rises[-1]), float(kinks[-1]), Relu())
    return parts.total(float(pieces.values[0] - slope * kinks[0]))
