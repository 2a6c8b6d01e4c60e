"""ReduceMean, ReduceSum."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import LinearOperator, ReduceSum, Reshape, Scale


@operator("ReduceSum", since=1)
def import_reduce_sum(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum over axes."""
    _reduce(node, build, mean=False)


@operator("ReduceMean", since=1)
def import_reduce_mean(node: OnnxNode, build: GraphBuilder) -> None:
    """Mean over axes: a sum, scaled."""
    _reduce(node, build, mean=True)


def _reduce(node: OnnxNode, build: GraphBuilder, *, mean: bool) -> None:
    keepdims = node.flag("keepdims", 1)
    x = build.activation(node)
    given = build.integer_list(node, "axes", 1)
    if not given:
        if node.flag("noop_with_empty_axes", 0):
            build.alias(node, x)
            return
        raise node.batch_axis(
            f"{node.op_type} without axes sums over the batch",
            hint="name the axes: all but the first",
        )
    axes = node.inner_axes(given, x.rank)
    total = ReduceSum(x.shape, axes)
    chain: list[LinearOperator] = [total]
    if mean:
        count = math.prod(x.shape[axis] for axis in axes)
        chain.append(Scale(total.output_shape, np.array(1 / count)))
    if not keepdims:
        rest = tuple(extent for axis, extent in enumerate(x.shape) if axis not in axes)
        chain.append(Reshape(total.output_shape, rest))
    build.affine(node, x, tuple(chain))
