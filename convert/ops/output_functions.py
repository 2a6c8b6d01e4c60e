"""Softmax, LogSoftmax, ArgMax: functions of a network's output."""

from __future__ import annotations

import math

from snnconvert.convert.graph import OutputFunction
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Reshape


@operator("Softmax", since=13)
def import_softmax(node: OnnxNode, build: GraphBuilder) -> None:
    """Softmax along one axis: applied to the decoded output."""
    _softmax(node, build, OutputFunction("Softmax"))


@operator("LogSoftmax", since=13)
def import_log_softmax(node: OnnxNode, build: GraphBuilder) -> None:
    """LogSoftmax along one axis: applied to the decoded output."""
    _softmax(node, build, OutputFunction("LogSoftmax"))


@operator("Softmax", since=1)
def import_flat_softmax(node: OnnxNode, build: GraphBuilder) -> None:
    """Softmax over an axis and all behind it: applied to the decoded output."""
    _flat_softmax(node, build, OutputFunction("Softmax"))


@operator("LogSoftmax", since=1)
def import_flat_log_softmax(node: OnnxNode, build: GraphBuilder) -> None:
    """LogSoftmax over an axis and all behind it: applied to the decoded output."""
    _flat_softmax(node, build, OutputFunction("LogSoftmax"))


@operator("ArgMax", since=1)
def import_arg_max(node: OnnxNode, build: GraphBuilder) -> None:
    """Index of the maximum along one axis: applied to the decoded output."""
    if node.flag("select_last_index", 0):
        raise node.unsupported(
            "ArgMax with select_last_index",
            why="of equal values the first is taken",
            hint="leave the attribute out",
        )
    keepdims = node.flag("keepdims", 1)
    x = build.activation(node)
    axis = node.inner_axis(node.integer("axis", 0), x.rank)
    kept = (1,) if keepdims else ()
    shape = (*x.shape[:axis], *kept, *x.shape[axis + 1 :])
    build.add(node, OutputFunction("ArgMax", axis, keepdims), [x], shape, dtype="int64")


def _softmax(node: OnnxNode, build: GraphBuilder, function: OutputFunction) -> None:
    x = build.activation(node)
    axis = node.inner_axis(node.integer("axis", -1), x.rank)
    build.add(node, OutputFunction(function.kind, axis), [x], x.shape)


def _flat_softmax(node: OnnxNode, build: GraphBuilder, function: OutputFunction) -> None:
    """Import the older meaning: all axes from `axis` on are taken as one."""
    x = build.activation(node)
    axis = node.inner_axis(node.integer("axis", 1), x.rank)
    together = math.prod(x.shape[axis:])
    extents = [a for a, extent in enumerate(x.shape) if a >= axis and extent == together]
    if extents:  # the other axes have extent 1
        build.add(node, OutputFunction(function.kind, extents[0]), [x], x.shape)
        return
    flat = (*x.shape[:axis], together)
    flattened = build.affine(node, x, (Reshape(x.shape, flat),), label="flat")
    op = OutputFunction(function.kind, axis)
    softmax = build.add(node, op, [flattened], flat, label="softmax")
    build.affine(node, softmax, (Reshape(flat, x.shape),))
