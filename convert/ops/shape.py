"""Shape, Size."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator


@operator("Shape", since=1)
def import_shape(node: OnnxNode, build: GraphBuilder) -> None:
    """Shape of an activation: a constant."""
    x = build.activation(node)
    full = np.array((build.batch, *x.shape), np.int64)
    end = node.integer("end", x.rank)
    axes = range(x.rank)[node.integer("start", 0) : end]
    build.reads_batch |= 0 in axes
    build.fold(node, full[list(axes)])


@operator("Size", since=1)
def import_size(node: OnnxNode, build: GraphBuilder) -> None:
    """Element count of an activation: a constant."""
    x = build.activation(node)
    build.reads_batch = True
    build.fold(node, np.array(math.prod(x.shape) * build.batch, np.int64))
