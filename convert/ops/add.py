"""Add, Sub, Sum, Mean, Neg."""

from __future__ import annotations

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import floating, unwrapped
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.sums import Term, add_terms


@operator("Add", since=7)
def import_add(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum of activations and constants: connections into one node add up."""
    unwrapped(node, build, (0, 1))
    add_terms(node, build, [Term(0), Term(1)])


@operator("Sub", since=7)
def import_sub(node: OnnxNode, build: GraphBuilder) -> None:
    """Difference of activations and constants."""
    unwrapped(node, build, (0, 1))
    add_terms(node, build, [Term(0), Term(1, -1.0)])


@operator("Sum", since=6)
def import_sum(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum of any number of activations and constants."""
    add_terms(node, build, [Term(index) for index in range(len(node.inputs))])


@operator("Mean", since=6)
def import_mean(node: OnnxNode, build: GraphBuilder) -> None:
    """Mean of any number of activations and constants."""
    count = len(node.inputs)
    for index in range(count):
        if build.depends_on_input(node, index):
            floating(node, build.activation(node, index))
    add_terms(node, build, [Term(index, 1 / count) for index in range(count)])


@operator("Neg", since=6)
def import_neg(node: OnnxNode, build: GraphBuilder) -> None:
    """Negation: a scale of -1."""
    unwrapped(node, build, (0,))  # of int8, -128 has no opposite
    add_terms(node, build, [Term(0, -1.0)])
