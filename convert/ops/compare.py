"""Greater, GreaterOrEqual, Less, LessOrEqual: truth values of functions of one value."""

from __future__ import annotations

from snnconvert.convert.curves.functions import call
from snnconvert.convert.graph import Curve
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import shared_operands
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator


@operator("Greater", since=7)
def import_greater(node: OnnxNode, build: GraphBuilder) -> None:
    """Truth value for Where: part of a function of one value."""
    _compare(node, build, "greater")


@operator("GreaterOrEqual", since=12)
def import_greater_or_equal(node: OnnxNode, build: GraphBuilder) -> None:
    """Truth value for Where: part of a function of one value."""
    _compare(node, build, "greater_or_equal")


@operator("Less", since=7)
def import_less(node: OnnxNode, build: GraphBuilder) -> None:
    """Truth value for Where: part of a function of one value."""
    _compare(node, build, "less")


@operator("LessOrEqual", since=12)
def import_less_or_equal(node: OnnxNode, build: GraphBuilder) -> None:
    """Truth value for Where: part of a function of one value."""
    _compare(node, build, "less_or_equal")


def _compare(node: OnnxNode, build: GraphBuilder, name: str) -> None:
    shared = shared_operands(node, build, (0, 1))
    if shared is None:
        raise node.unsupported(
            f"{node.op_type} of different values",
            why="it compares activations as truth values; rates are numbers",
            hint="write it with Relu or Clip where it is a bound",
            code="unsupported-operator",
        )
    function = call(name, *shared.expressions)
    build.add(node, Curve(function), [shared.root], shared.root.shape, dtype="bool")
