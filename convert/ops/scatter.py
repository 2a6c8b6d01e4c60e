"""ScatterElements, ScatterND."""

from __future__ import annotations

from math import prod

import numpy as np

from snnconvert.convert.graph import Add
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.routing import checked_indices, routed
from snnconvert.convert.importer.shapes import without_batch
from snnconvert.convert.linear import FloatArray, IntArray, Shape


@operator("Scatter", since=9)
@operator("ScatterElements", since=11)
def import_scatter_elements(node: OnnxNode, build: GraphBuilder) -> None:
    """Values replaced, or added to, at constant positions, one position for each update."""
    full = _shape(node, build, 0)
    axis = node.axis(node.integer("axis", 0), len(full))
    indices = checked_indices(build, node, 1, full[axis])
    if indices.ndim != len(full) or indices.shape != _shape(node, build, 2):
        raise node.invalid(
            f"positions of shape {build.written(indices.shape)} do not fit updates of shape "
            f"{build.written(_shape(node, build, 2))} into a value of shape {build.written(full)}"
        )
    if any(have > want for have, want in zip(indices.shape, full, strict=True)):
        raise node.invalid("ScatterElements with more positions than values")
    place: list[IntArray] = list(np.indices(indices.shape, sparse=True))
    place[axis] = indices
    targets = np.arange(prod(full)).reshape(full)[tuple(place)]
    _scatter(node, build, full, np.broadcast_to(targets, indices.shape))


@operator("ScatterND", since=11)
def import_scatter_nd(node: OnnxNode, build: GraphBuilder) -> None:
    """Slices replaced, or added to, at constant positions."""
    full = _shape(node, build, 0)
    raw = build.constant(node, 1, why="the wiring of a spiking network is fixed")
    depth = raw.shape[-1] if raw.ndim else 0
    if not 1 <= depth <= len(full):
        raise node.invalid(
            f"positions of shape {build.written(raw.shape)} do not fit a value of shape "
            f"{build.written(full)}"
        )
    indices = checked_indices(build, node, 1, full[:depth])
    targets = np.arange(prod(full)).reshape(full)[tuple(np.moveaxis(indices, -1, 0))]
    if targets.shape != _shape(node, build, 2):
        raise node.invalid(
            f"updates of shape {build.written(_shape(node, build, 2))} do not fit positions of "
            f"shape {build.written(raw.shape)}"
        )
    _scatter(node, build, full, targets)


def _shape(node: OnnxNode, build: GraphBuilder, index: int) -> Shape:
    value = build.required(node, index)
    if isinstance(value, Activation):
        return (build.batch, *value.shape)
    return value.array.shape


def _scatter(node: OnnxNode, build: GraphBuilder, full: Shape, targets: IntArray) -> None:
    """Put what the targets do not replace and what they bring together, each wired by itself."""
    reduction = node.text("reduction", "none")
    if reduction not in ("none", "add"):
        raise node.unsupported(
            f"{node.op_type} with reduction {reduction!r}",
            why="it multiplies or compares activations",
            hint="use the reduction 'none' or 'add'",
        )
    if len(np.unique(targets)) < targets.size:
        raise node.unsupported(
            f"{node.op_type} to the same position twice",
            why="ONNX leaves open which of the values stays",
            hint="name each position once",
        )
    if len(full) < 1 or full[0] != build.batch:
        raise node.batch_axis(f"{node.op_type} into a value without a row for each sample")
    kept = np.arange(prod(full)).reshape(full)
    if reduction == "none":
        kept.reshape(-1)[targets] = -1
    brought = np.full(full, -1)
    brought.reshape(-1)[targets] = np.arange(targets.size).reshape(targets.shape)
    parts: list[Activation] = []
    bias = np.zeros(full)
    for index, sources, label in ((0, kept, "kept"), (2, brought, "updates")):
        value = build.required(node, index)
        if isinstance(value, Activation):
            chain = routed(build, node, value, sources)
            parts.append(build.affine(node, value, chain, label=label) if chain else value)
        else:
            bias += _constant_part(build.weight(node, index), sources)
    shape = full[1:]
    constant = without_batch(build, node, bias, len(full)) if bias.any() else None
    if len(parts) == 1:
        build.affine(node, parts[0], (), constant)
    else:
        build.add(node, Add(constant), parts, shape)


def _constant_part(values: FloatArray, sources: IntArray) -> FloatArray:
    return np.where(sources < 0, 0.0, values.reshape(-1)[np.maximum(sources, 0)])
