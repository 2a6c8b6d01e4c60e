"""Elu, Selu, Celu: exponential on the left, linear on the right."""

from __future__ import annotations

from snnconvert.convert.curves.functions import Expression, X, call
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import apply_function
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator

SELU_ALPHA = 1.67326319217681884765625
SELU_GAMMA = 1.05070102214813232421875
"""The defaults of the operator's definition."""


def _exponential(alpha: float, length: float) -> Expression:
    """Return ``x`` for positive values, ``alpha * (exp(x / length) - 1)`` below."""
    return call("relu", X) + alpha * call("expm1", call("minimum", X, 0) / length)


@operator("Elu", since=6)
def import_elu(node: OnnxNode, build: GraphBuilder) -> None:
    """Exponential linear unit: a fitted curve."""
    apply_function(node, build, _exponential(node.number("alpha", 1.0), 1.0))


@operator("Selu", since=6)
def import_selu(node: OnnxNode, build: GraphBuilder) -> None:
    """Scaled exponential linear unit: a fitted curve."""
    gamma = node.number("gamma", SELU_GAMMA)
    apply_function(node, build, gamma * _exponential(node.number("alpha", SELU_ALPHA), 1.0))


@operator("Celu", since=12)
def import_celu(node: OnnxNode, build: GraphBuilder) -> None:
    """Exponential linear unit with a continuous slope: a fitted curve."""
    alpha = node.number("alpha", 1.0)
    if alpha == 0:
        raise node.invalid("attribute 'alpha' of Celu is 0, by which it divides")
    apply_function(node, build, _exponential(alpha, alpha))
