"""ReduceMean, ReduceSum, ReduceL1."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.curves.functions import X, call
from snnconvert.convert.graph import Curve
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.elementwise import floating
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import LinearOperator, ReduceSum, Reshape, Scale, Shape


@operator("ReduceSum", since=1)
def import_reduce_sum(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum over axes."""
    x = build.activation(node)
    axes = reduced_axes(node, build, x)
    if axes is not None:
        _reduce(node, build, x, axes)


@operator("ReduceMean", since=1)
def import_reduce_mean(node: OnnxNode, build: GraphBuilder) -> None:
    """Mean over axes: a sum, scaled."""
    x = floating(node, build.activation(node))
    axes = reduced_axes(node, build, x)
    if axes is not None:
        _reduce(node, build, x, axes, mean=True)


@operator("ReduceL1", since=1)
def import_reduce_l1(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum of magnitudes over axes: a rectifier for each sign, then a sum."""
    x = build.activation(node)
    size = Curve(call("abs", X))
    if not build.integer_list(node, "axes", 1) and node.flag("noop_with_empty_axes", 0):
        build.add(node, size, [x], x.shape)  # each magnitude is a sum of its own
        return
    axes = reduced_axes(node, build, x)
    assert axes is not None
    _reduce(node, build, build.add(node, size, [x], x.shape, label="magnitude"), axes)


def _reduce(
    node: OnnxNode, build: GraphBuilder, x: Activation, axes: Shape, *, mean: bool = False
) -> None:
    keepdims = node.flag("keepdims", 1)
    total = ReduceSum(x.shape, axes)
    chain: list[LinearOperator] = [total]
    if mean:
        count = math.prod(x.shape[axis] for axis in axes)
        chain.append(Scale(total.output_shape, np.array(1 / count)))
    if not keepdims:
        rest = tuple(extent for axis, extent in enumerate(x.shape) if axis not in axes)
        chain.append(Reshape(total.output_shape, rest))
    build.affine(node, x, tuple(chain))


def reduced_axes(node: OnnxNode, build: GraphBuilder, x: Activation) -> Shape | None:
    """Return the axes (batch not counted); None, the output set, where nothing is to be done."""
    given = build.integer_list(node, "axes", 1)
    if given:
        return node.inner_axes(given, x.rank)
    if node.flag("noop_with_empty_axes", 0):
        build.alias(node, x)
        return None
    raise node.batch_axis(
        f"{node.op_type} without axes reduces the batch",
        hint="name the axes: all but the first",
    )
