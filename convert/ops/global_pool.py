"""GlobalAveragePool, GlobalMaxPool."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.graph import MaxPool
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Scale, SumPool, Window


@operator("GlobalAveragePool", since=1)
def import_global_average_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Average over all of space: a sum, scaled."""
    x = build.activation(node)
    pool = SumPool(x.shape, _whole(node, x))
    scale = Scale(pool.output_shape, np.array(1 / math.prod(x.shape[1:])))
    build.affine(node, x, (pool, scale))


@operator("GlobalMaxPool", since=1)
def import_global_max_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Maximum over all of space."""
    x = build.activation(node)
    build.add(node, MaxPool(_whole(node, x)), [x], (x.shape[0], *[1] * (len(x.shape) - 1)))


def _whole(node: OnnxNode, x: Activation) -> Window:
    size = x.shape[1:]
    if not size:
        raise node.invalid(f"{node.op_type} needs axes behind the channels")
    return Window(size, (1,) * len(size), ((0, 0),) * len(size), (1,) * len(size))
