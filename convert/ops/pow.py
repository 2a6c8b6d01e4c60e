"""Pow."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.elementwise import add_curve, shared_operands
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.ops.mul import GATE_HINT


@operator("Pow", since=7)
def import_pow(node: OnnxNode, build: GraphBuilder) -> None:
    """Power with one exponent, or of functions of one value: a fitted curve."""
    _check_whole(node, build)
    shared = shared_operands(node, build, (0, 1))
    if shared is not None:
        add_curve(node, build, shared, shared.expressions[0] ** shared.expressions[1])
        return
    if build.depends_on_input(node, 0) and build.depends_on_input(node, 1):
        raise node.unsupported(
            "power of two activations",
            why="rates add up at a neuron, they do not multiply",
            hint=GATE_HINT,
            code="product-of-activations",
        )
    raise node.unsupported(
        "Pow with constants that differ between elements or repeat its base",
        why="a curve is fitted to one function for all elements",
        hint="split the value into parts with one exponent each",
    )


def _check_whole(node: OnnxNode, build: GraphBuilder) -> None:
    """Refuse powers of whole numbers that are none: the result has the type of the base."""
    base = build.required(node, 0)
    dtype = np.dtype(base.dtype) if isinstance(base, Activation) else base.array.dtype
    if dtype.kind not in "iu":
        return
    exponent = build.required(node, 1)
    if isinstance(exponent, Constant):
        numbers = build.numbers(node, 1)
        if ((numbers >= 0) & (numbers == np.rint(numbers))).all():
            return
    raise node.unsupported(
        "Pow of whole numbers with exponents that are fractions, negative or not fixed",
        why="ONNX cuts its result to a whole number, which is no function that neurons compute",
        hint="cast to float before",
    )
