"""Trilu, CumSum."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Dense, Scale


@operator("Trilu", since=14)
def import_trilu(node: OnnxNode, build: GraphBuilder) -> None:
    """Upper or lower triangle of the last two axes: a mask."""
    upper = node.flag("upper", 1)
    x = build.activation(node)
    offset = 0 if build.value(node, 1) is None else _number(node, build)
    if len(x.shape) < 2:
        raise node.batch_axis("Trilu of the batch axis")
    ones = np.ones(x.shape[-2:])
    offset = max(-(2**31), min(offset, 2**31))
    mask = np.triu(ones, offset) if upper else np.tril(ones, offset)
    build.affine(node, x, (Scale(x.shape, mask),))


@operator("CumSum", since=11)
def import_cum_sum(node: OnnxNode, build: GraphBuilder) -> None:
    """Cumulative sum along an axis: a triangular matrix."""
    exclusive, reverse = node.flag("exclusive", 0), node.flag("reverse", 0)
    x = build.activation(node)
    axis = node.inner_axis(_number(node, build), x.rank)
    extent = x.shape[axis]
    build.budget.charge(8 * extent * extent, node.place)
    matrix = np.tri(extent, k=-1 if exclusive else 0)
    build.affine(node, x, (Dense(x.shape, matrix.T.copy() if reverse else matrix, axis),))


def _number(node: OnnxNode, build: GraphBuilder) -> int:
    numbers = build.integers(node, 1)
    if len(numbers) != 1:
        raise node.invalid(f"input {node.input_name(1)!r} is no single number")
    return numbers[0]
