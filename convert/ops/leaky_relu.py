"""LeakyRelu, PRelu, Abs: a rectifier for each sign."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.graph import Add, Relu
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, without_batch
from snnconvert.convert.linear import FloatArray, Scale


@operator("LeakyRelu", since=6)
def import_leaky_relu(node: OnnxNode, build: GraphBuilder) -> None:
    """Another slope below zero: ``relu(x) - a * relu(-x)``."""
    _rectify(node, build, np.array(node.number("alpha", 0.01)))


@operator("PRelu", since=7)
def import_prelu(node: OnnxNode, build: GraphBuilder) -> None:
    """Another slope below zero, of any shape: ``relu(x) - a * relu(-x)``."""
    x = build.activation(node)
    slope = without_batch(build, node, build.weight(node, 1), x.rank)
    if broadcast_shape(node, x.shape, slope.shape) != x.shape:
        raise node.invalid(f"slopes of shape {list(slope.shape)} do not fit {list(x.shape)}")
    _rectify(node, build, slope)


@operator("Abs", since=6)
def import_abs(node: OnnxNode, build: GraphBuilder) -> None:
    """Magnitude: ``relu(x) + relu(-x)``."""
    _rectify(node, build, np.array(-1.0))


def _rectify(node: OnnxNode, build: GraphBuilder, slope: FloatArray) -> None:
    x = build.activation(node)
    if not slope.any():
        build.add(node, Relu(), [x], x.shape)
        return
    # A linear bypass would take one population less. But through layer after layer of bypasses the
    # network stays linear: sums that need more bits with each, and no spikes for hardware to send.
    positive = build.add(node, Relu(), [x], x.shape, label="positive")
    minus = build.affine(node, x, (Scale(x.shape, np.array(-1.0)),), label="minus")
    negative = build.add(node, Relu(), [minus], x.shape, label="negative")
    leak = build.affine(node, negative, (Scale(x.shape, -slope),), label="leak")
    build.add(node, Add(), [positive, leak], x.shape)
