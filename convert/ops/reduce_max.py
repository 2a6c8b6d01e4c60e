"""ReduceMax, ReduceMin."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.graph import MaxPool
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import (
    Chain,
    LinearOperator,
    Reshape,
    Scale,
    Shape,
    Transpose,
    Window,
)
from snnconvert.convert.ops.reduce import reduced_axes


@operator("ReduceMax", since=1)
def import_reduce_max(node: OnnxNode, build: GraphBuilder) -> None:
    """Maximum over axes, as a pooling."""
    _reduce(node, build, 1.0)


@operator("ReduceMin", since=1)
def import_reduce_min(node: OnnxNode, build: GraphBuilder) -> None:
    """Minimum over axes: the maximum of the negated values."""
    _reduce(node, build, -1.0)


def _reduce(node: OnnxNode, build: GraphBuilder, sign: float) -> None:
    keepdims = node.flag("keepdims", 1)
    x = build.activation(node)
    axes = reduced_axes(node, build, x)
    if axes is None:
        return
    rest = tuple(1 if a in axes else e for a, e in enumerate(x.shape))
    final = rest if keepdims else tuple(e for a, e in enumerate(x.shape) if a not in axes)
    before, pooled, window = _as_pool(x, axes)
    negation = () if sign == 1 else (Scale(pooled, np.array(sign)),)
    first = build.affine(node, x, (*before, *negation), label="pooled") if before or negation else x
    shape = (pooled[0], *[1] * (len(pooled) - 1))
    if shape == final and not negation:
        build.add(node, MaxPool(window), [first], shape)
        return
    maximum = build.add(node, MaxPool(window), [first], shape, label="maximum")
    after: Chain = () if sign == 1 else (Scale(shape, np.array(sign)),)
    build.affine(node, maximum, (*after, *_reshaped(shape, final)))


def _as_pool(x: Activation, axes: Shape) -> tuple[Chain, Shape, Window]:
    """Return how the kept axes come in front as one of channels, and the window over the rest."""
    kept = tuple(a for a in range(len(x.shape)) if a not in axes)
    order = (*kept, *sorted(axes))
    size = tuple(x.shape[a] for a in sorted(axes))
    pooled = (math.prod(x.shape[a] for a in kept), *size)
    chain: list[LinearOperator] = []
    if order != tuple(range(len(order))):
        chain.append(Transpose(x.shape, order))
    chain += _reshaped(tuple(x.shape[a] for a in order), pooled)
    ones = (1,) * len(size)
    return tuple(chain), pooled, Window(size, ones, ((0, 0),) * len(size), ones)


def _reshaped(have: Shape, want: Shape) -> Chain:
    return () if have == want else (Reshape(have, want),)
