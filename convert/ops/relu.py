"""Relu."""

from __future__ import annotations

from snnconvert.convert.graph import Relu
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator


@operator("Relu", since=6)
def import_relu(node: OnnxNode, build: GraphBuilder) -> None:
    """Rectifier: one population of integrate-and-fire neurons."""
    x = build.activation(node)
    build.add(node, Relu(), [x], x.shape)
