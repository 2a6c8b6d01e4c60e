"""Write curves as linear maps and bounded ramps, each ramp one population of neurons.

A function of straight pieces becomes exactly that. For others the fit of the calibration is taken;
before calibration a fit to a standard density stands in, so that the structure is known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.curves.fit_ramps import RampBudget, fit_ramps, standard_density
from snnconvert.convert.curves.functions import Expression
from snnconvert.convert.curves.piecewise import Pieces, straight_pieces
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.graph import Add, Affine, Curve, Graph, Node, Relu
from snnconvert.convert.linear import FloatArray, Scale

_LONGEST_TEXT = 120
_FAR = 1e4
"""Beside numbers that large a population has no levels left for values around zero."""


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
            nodes += _exactly(graph, node, node.op.function, pieces)
            continue
        ramps = node.op.ramps or provisional_ramps(node.op.function, budget or RampBudget())
        nodes += _by_ramps(graph, node, ramps)
        approximations.append(_approximation(node, node.op, ramps))
    return graph.with_nodes(nodes, approximations=tuple(approximations))


def as_ramps(graph: Graph) -> Graph:
    """Return the graph with the function of every curve that was fitted replaced by its fit."""
    return graph.with_nodes(
        replace(n, op=Curve(n.op.ramps.expression()))
        if isinstance(n.op, Curve)
        and n.op.ramps is not None
        and straight_pieces(n.op.function) is None
        else n
        for n in graph.nodes
    )


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
        """Return the nodes; the last one, ``offset + slope * x`` more, has the curve's name."""
        bias, line = np.full(self.ones, offset), Affine(self._scale(slope))
        if not self.terms:
            return [*self.nodes, replace(self.node, op=replace(line, bias=bias))]
        if slope:
            self.terms.append(self._add("line", line, self.node.inputs[0]))
        return [*self.nodes, replace(self.node, op=Add(bias), inputs=tuple(self.terms))]


def _by_ramps(graph: Graph, node: Node, ramps: Ramps) -> list[Node]:
    parts = _Parts(graph, node)
    for slope, start, width in zip(ramps.slopes, ramps.starts, ramps.widths, strict=True):
        relu = Relu(float(width), threshold=np.full(parts.ones, width))
        parts.ramp(float(slope), float(start), relu)
    return parts.total(ramps.offset)


def _exactly(graph: Graph, node: Node, function: Expression, pieces: Pieces) -> list[Node]:
    """Write straight pieces: bounded ramps between kinks, rectifiers for what has no end.

    Where the function rises or falls at zero, kinks far away become rectifiers that bend it from
    there on: what is near is not the difference of two large numbers then.
    """
    parts = _Parts(graph, node)
    kinks, slopes = pieces.kinks, pieces.slopes
    far = np.zeros(len(kinks), bool)
    if slopes[np.searchsorted(kinks, 0.0)]:
        far = np.abs(kinks) > _FAR
    above, below = far & (kinks > 0), far & (kinks < 0)
    near = slopes[below.sum() : len(slopes) - above.sum()]
    for kink, bend in zip(kinks[far], np.diff(slopes)[far], strict=True):
        parts.ramp(float(bend), float(kink), Relu(), sign=float(np.sign(kink)))
    if far.all():
        return parts.total(float(function.evaluate(np.zeros(()))), float(near[0]))
    _near(parts, kinks[~far], near.tolist())
    return parts.total(float(pieces.values[~far][0]))


def _near(parts: _Parts, kinks: FloatArray, slopes: list[float]) -> None:
    """Add the pieces between kinks, before and behind them."""
    first, *inner, last = slopes
    if first:
        parts.ramp(-first, float(kinks[0]), Relu(), sign=-1.0)
    for slope, start, width in zip(inner, kinks[:-1], np.diff(kinks), strict=True):
        if slope:
            parts.ramp(slope, float(start), Relu(float(width)))
    if last:
        parts.ramp(last, float(kinks[-1]), Relu())
