"""Write curves as linear maps and bounded ramps, each ramp one population of neurons.

A function of straight pieces becomes exactly that. For others the fit of the calibration is taken;
before calibration a fit to a standard density stands in, so that the structure is known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.fit_ramps import RampBudget, fit_ramps, standard_density
from snnconvert.convert.functions import Expression
from snnconvert.convert.graph import Add, Affine, Curve, Graph, Node, Relu
from snnconvert.convert.linear import Scale
from snnconvert.convert.piecewise import Pieces, straight_pieces
from snnconvert.convert.ramps import Ramps

_LONGEST_TEXT = 120


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
        ramps = node.op.ramps or provisional_ramps(node.op.function, budget or RampBudget())
        nodes += _by_ramps(graph, node, ramps)
        approximations.append(_approximation(node, node.op, ramps))
    return graph.with_nodes(nodes, approximations=tuple(approximations))


@lru_cache(maxsize=1024)
def provisional_ramps(function: Expression, budget: RampBudget) -> Ramps:
    """Return a fit to the standard density."""
    return fit_ramps(function, standard_density(function), budget)


def _approximation(node: Node, curve: Curve, ramps: Ramps) -> Approximation:
    count = len(ramps.slopes)
    text = str(curve.function)
    if len(text) > _LONGEST_TEXT:
        text = f"a function of {curve.function.size} operations"
    detail = f"{text} by {count} ramp{'s' if count != 1 else ''}"
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

    def ramp(self, slope: float, start: float, relu: Relu, sign: float = 1.0) -> None:
        """Add ``slope * relu(sign * (x - start))``."""
        number = len(self.terms) + 1
        flip = self._scale(-1.0) if sign < 0 else ()
        shift = Affine(flip, np.full(self.ones, -sign * start))
        shifted = self._add(f"shifted{number}", shift, self.node.inputs[0])
        neurons = self._add(f"ramp{number}", relu, shifted)
        self.terms.append(self._add(f"slope{number}", Affine(self._scale(slope)), neurons))

    def total(self, offset: float, slope: float = 0.0) -> list[Node]:
        """Return the nodes; the last one has the curve's name and value.

        The slope is that of a function without a kink.
        """
        bias = np.full(self.ones, offset)
        if self.terms:
            result = replace(self.node, op=Add(bias), inputs=tuple(self.terms))
        else:
            result = replace(self.node, op=Affine(self._scale(slope), bias))
        return [*self.nodes, result]


def _by_ramps(graph: Graph, node: Node, ramps: Ramps) -> list[Node]:
    parts = _Parts(graph, node)
    for slope, start, width in zip(ramps.slopes, ramps.starts, ramps.widths, strict=True):
        relu = Relu(float(width), threshold=np.full(parts.ones, width))
        parts.ramp(float(slope), float(start), relu)
    return parts.total(ramps.offset)


def _exactly(graph: Graph, node: Node, pieces: Pieces) -> list[Node]:
    """Write straight pieces: bounded ramps between kinks, rectifiers for what has no end."""
    parts = _Parts(graph, node)
    kinks, slopes = pieces.kinks, pieces.slopes.tolist()
    if not len(kinks):
        return parts.total(pieces.intercept, slopes[0])
    first, *inner, last = slopes
    if first:
        parts.ramp(-first, float(kinks[0]), Relu(), sign=-1.0)
    for slope, start, width in zip(inner, kinks[:-1], np.diff(kinks), strict=True):
        if slope:
            parts.ramp(slope, float(start), Relu(float(width)))
    if last:
        parts.ramp(last, float(kinks[-1]), Relu())
    return parts.total(float(pieces.values[0]))
