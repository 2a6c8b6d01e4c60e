"""Slice."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import select
from snnconvert.convert.linear import IntArray


@operator("Slice", since=1)
def import_slice(node: OnnxNode, build: GraphBuilder) -> None:
    """Part of the input along some axes, with steps in either direction."""
    x = build.activation(node)
    starts = build.integer_list(node, "starts", 1)
    ends = build.integer_list(node, "ends", 2)
    if starts is None or ends is None:
        raise node.invalid("Slice without starts or ends")
    given = build.integer_list(node, "axes", 3)
    axes = tuple(range(len(starts))) if given is None else given
    steps = (1,) * len(starts) if build.value(node, 4) is None else build.integers(node, 4)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.invalid("Slice with starts, ends, axes and steps of different lengths")
    if len({node.axis(axis, x.rank) for axis in axes}) < len(axes):
        raise node.invalid(f"an axis is named twice in {list(axes)}")
    if 0 in steps:
        raise node.invalid("Slice with a step of 0")
    indices: list[IntArray | None] = [None] * len(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        position = node.axis(axis, x.rank)
        extent = build.batch if position == 0 else x.shape[position - 1]
        kept = np.arange(*slice(start, end, step).indices(extent))
        if len(kept) == extent and step > 0:
            continue
        if position == 0:
            raise node.batch_axis("Slice takes part of the batch")
        indices[position - 1] = kept
    if all(index is None for index in indices):
        build.alias(node, x)
    else:
        build.affine(node, x, (select(build, node, x, indices),))
