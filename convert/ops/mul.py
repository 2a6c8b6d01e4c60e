"""Mul, Div."""

from __future__ import annotations

from snnconvert.convert.curves.functions import X
from snnconvert.convert.graph import Curve
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.elementwise import (
    add_curve,
    floating,
    shared_operands,
    unwrapped,
)
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, stretch, without_batch
from snnconvert.convert.linear import FloatArray, Scale

GATE_HINT = "use a network without gates (squeeze-and-excite, attention), or cut the graph"


@operator("Mul", since=7)
def import_mul(node: OnnxNode, build: GraphBuilder) -> None:
    """Product with a constant: a scale; of functions of one value: a fitted curve."""
    unwrapped(node, build, (0, 1))
    if build.depends_on_input(node, 0) and build.depends_on_input(node, 1):
        shared = shared_operands(node, build, (0, 1))
        if shared is not None:
            add_curve(node, build, shared, shared.expressions[0] * shared.expressions[1])
            return
        raise node.unsupported(
            "product of two activations",
            why="rates add up at a neuron, they do not multiply",
            hint=GATE_HINT,
            code="product-of-activations",
        )
    dynamic = 0 if build.depends_on_input(node, 0) else 1
    _scale(node, build, build.activation(node, dynamic), build.weight(node, 1 - dynamic))


@operator("Div", since=7)
def import_div(node: OnnxNode, build: GraphBuilder) -> None:
    """Quotient by a constant: a scale; of functions of one value: a fitted curve."""
    if build.depends_on_input(node, 1):
        floating(node, build.activation(node, 1))
        shared = shared_operands(node, build, (0, 1))
        if shared is not None:
            add_curve(node, build, shared, shared.expressions[0] / shared.expressions[1])
            return
        if not build.depends_on_input(node, 0):
            x = build.activation(node, 1)
            inverse = build.add(node, Curve(1 / X), [x], x.shape, label="reciprocal")
            _scale(node, build, inverse, build.weight(node, 0))
            return
        raise node.unsupported(
            "division by an activation",
            why="rates add up at a neuron, they do not divide",
            hint=GATE_HINT,
            code="product-of-activations",
        )
    x = floating(node, build.activation(node, 0))
    _scale(node, build, x, 1 / build.weight(node, 1))


def _scale(node: OnnxNode, build: GraphBuilder, x: Activation, constant: FloatArray) -> None:
    factor = without_batch(build, node, constant, x.rank)
    shape = broadcast_shape(node, x.shape, factor.shape)
    build.affine(node, x, (*stretch(build, node, x.shape, shape), Scale(shape, factor)))
