"""Gelu and Swish: the value times a gate that it opens itself."""

from __future__ import annotations

import math

from snnconvert.convert.curves.functions import X, call
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import apply_function
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator

_CUBIC = 0.044715


@operator("Gelu", since=20)
def import_gelu(node: OnnxNode, build: GraphBuilder) -> None:
    """Gaussian error linear unit, exact or by tanh: a fitted curve."""
    form = node.text("approximate", "none")
    if form not in ("none", "tanh"):
        raise node.invalid(f"attribute 'approximate' is {form!r}, not 'none' or 'tanh'")
    gate = call("erf", X / math.sqrt(2))
    if form == "tanh":
        gate = call("tanh", math.sqrt(2 / math.pi) * (X + _CUBIC * X**3))
    apply_function(node, build, 0.5 * X * (1 + gate))


@operator("Swish", since=24)
def import_swish(node: OnnxNode, build: GraphBuilder) -> None:
    """Gate of its own, ``x * sigmoid(alpha * x)``: a fitted curve."""
    alpha = node.number("alpha", 1.0)
    apply_function(node, build, X * call("sigmoid", alpha * X))
