"""Concat."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.graph import Concat
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import without_batch
from snnconvert.convert.linear import FloatArray, Select, Shape


@operator("Concat", since=4)
def import_concat(node: OnnxNode, build: GraphBuilder) -> None:
    """Values side by side along an axis; constants among them become biases."""
    values = [build.required(node, index) for index in range(len(node.inputs))]
    activations = [value for value in values if isinstance(value, Activation)]
    rank = activations[0].rank
    axis = node.inner_axis(node.integer("axis", 1), rank)
    parts: list[Activation | FloatArray] = []
    for index, value in enumerate(values):
        parts.append(value if isinstance(value, Activation) else _row(node, build, index, rank))
    shape = _joined_shape(node, axis, [part.shape for part in parts])
    if len(activations) == len(parts):
        if len(parts) == 1:
            build.alias(node, activations[0])
        else:
            build.add(node, Concat(axis), activations, shape)
        return
    joined = activations[0]
    if len(activations) > 1:
        inner = _joined_shape(node, axis, [x.shape for x in activations])
        joined = build.add(node, Concat(axis), activations, inner, label="activations")
    build.check_size(node, shape)
    placed, bias = _place(axis, shape, joined, parts)
    build.affine(node, joined, (placed,), bias)


def _row(node: OnnxNode, build: GraphBuilder, index: int, rank: int) -> FloatArray:
    array = build.weight(node, index)
    if array.ndim != rank or array.shape[0] != build.batch:
        raise node.batch_axis(
            f"a constant of shape {build.written(array.shape)} has no value for each of "
            f"{build.samples} samples of {rank} axes"
        )
    return without_batch(build, node, array, rank)


def _joined_shape(node: OnnxNode, axis: int, shapes: list[Shape]) -> Shape:
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) > 1 or len({len(shape) for shape in shapes}) > 1:
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise node.invalid(f"shapes {listed} (without batch) do not fit along axis {axis + 1}")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _place(
    axis: int, shape: Shape, joined: Activation, parts: list[Activation | FloatArray]
) -> tuple[Select, FloatArray]:
    """Return where the joined activations go, and the constants between them."""
    index = np.full(shape[axis], -1)
    bias = np.zeros(shape)
    offset = taken = 0
    for part in parts:
        extent = part.shape[axis]
        if isinstance(part, Activation):
            index[offset : offset + extent] = np.arange(taken, taken + extent)
            taken += extent
        else:
            bias[(slice(None),) * axis + (slice(offset, offset + extent),)] = part
        offset += extent
    indices = tuple(index if a == axis else None for a in range(len(shape)))
    return Select(joined.shape, indices), bias
