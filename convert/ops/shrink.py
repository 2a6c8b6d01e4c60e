"""Shrink, ThresholdedRelu: zero around or below a bound."""

from __future__ import annotations

from snnconvert.convert.curves.functions import X, call
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import apply_function
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator


@operator("Shrink", since=9)
def import_shrink(node: OnnxNode, build: GraphBuilder) -> None:
    """Zero within `lambd` of zero: exact where it is continuous, else a fitted curve."""
    bias, lambd = node.number("bias", 0.0), node.number("lambd", 0.5)
    inside = call("where", call("greater", X, lambd), X - bias, 0)
    apply_function(node, build, call("where", call("less", X, -lambd), X + bias, inside))


@operator("ThresholdedRelu", since=10)
def import_thresholded_relu(node: OnnxNode, build: GraphBuilder) -> None:
    """Zero up to `alpha`, which is a jump: a fitted curve, exact for an `alpha` of 0."""
    alpha = node.number("alpha", 1.0)
    apply_function(node, build, call("where", call("greater", X, alpha), X, 0))
