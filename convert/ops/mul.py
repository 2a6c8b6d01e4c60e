"""Mul, Div."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, stretch, without_batch
from snnconvert.convert.linear import FloatArray, Scale

GATE_HINT = "use a network without gates (squeeze-and-excite, attention), or cut the graph"


@operator("Mul", since=7)
def import_mul(node: OnnxNode, build: GraphBuilder) -> None:
    """Product of an activation with a constant: a scale."""
    if build.depends_on_input(node, 0) and build.depends_on_input(node, 1):
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
    """Quotient of an activation and a constant: a scale."""
    if build.depends_on_input(node, 1):
        raise node.unsupported(
            "division by an activation",
            why="rates add up at a neuron, they do not divide",
            hint=GATE_HINT,
            code="product-of-activations",
        )
    x = build.activation(node, 0)
    if np.dtype(x.dtype).kind in "iu":
        raise node.unsupported(
            "division of whole numbers",
            why="ONNX rounds the quotient, which is no linear map",
            hint="cast to float before",
        )
    _scale(node, build, x, 1 / build.weight(node, 1))


def _scale(node: OnnxNode, build: GraphBuilder, x: Activation, constant: FloatArray) -> None:
    factor = without_batch(build, node, constant, x.rank)
    shape = broadcast_shape(node, x.shape, factor.shape)
    build.affine(node, x, (*stretch(build, node, x.shape, shape), Scale(shape, factor)))
