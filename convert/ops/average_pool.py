"""AveragePool."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.window import Geometry, covered, read_kernel_shape, read_pooling
from snnconvert.convert.linear import FloatArray, Scale, SumPool


@operator("AveragePool", since=7)
def import_average_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Average over a sliding window: a sum, scaled."""
    size = read_kernel_shape(node)
    ceil_mode = node.flag("ceil_mode", 0)
    counts_pads = node.flag("count_include_pad", 0)
    x = build.activation(node)
    geometry = read_pooling(build, node, x, size, ceil_mode=ceil_mode)
    pool = SumPool(x.shape, geometry.window)
    build.check_size(node, pool.output_shape)
    divisor = _divisor(geometry, x, counts_pads)
    if (divisor == 0).any():
        raise node.invalid("a window lies in the padding alone")
    build.affine(node, x, (pool, Scale(pool.output_shape, 1 / divisor)))


def _divisor(geometry: Geometry, x: Activation, counts_pads: bool) -> FloatArray:
    """Return how many values each window averages: a number, or one for each position."""
    window, spatial = geometry.window, x.shape[1:]
    none = (0,) * len(spatial)
    begins = tuple(begin for begin, _ in window.pads) if counts_pads else none
    counts = covered(window, spatial, begins, geometry.stated_ends if counts_pads else none)
    full = math.prod(window.size)
    return np.asarray(float(full)) if (counts == full).all() else counts
