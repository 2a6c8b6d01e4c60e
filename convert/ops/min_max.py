"""Min, Max."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.graph import Clip
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, stretch, without_batch
from snnconvert.convert.linear import FloatArray

LARGEST_VARIED_BOUND = 1e5
"""Single precision keeps values of 0.01 apart beside it."""


@operator("Min", since=6)
def import_min(node: OnnxNode, build: GraphBuilder) -> None:
    """Minimum of an activation and constants: an upper bound."""
    x, bound = _operands(node, build)
    _bounded(node, build, x, bound, upper=True)


@operator("Max", since=6)
def import_max(node: OnnxNode, build: GraphBuilder) -> None:
    """Maximum of an activation and constants: a lower bound."""
    x, bound = _operands(node, build)
    _bounded(node, build, x, bound, upper=False)


def _operands(node: OnnxNode, build: GraphBuilder) -> tuple[Activation, FloatArray | None]:
    values = [build.required(node, index) for index in range(len(node.inputs))]
    activations = {v.name: v for v in values if isinstance(v, Activation)}
    if len(activations) > 1:
        raise node.unsupported(
            f"{node.op_type} of {len(activations)} activations",
            why="it is piecewise linear, but not supported yet",
            hint="write max(a, b) as b + Relu(a - b)",
            code="unsupported-operator",
        )
    (x,) = activations.values()
    bounds = [
        without_batch(build, node, build.numbers(node, index), x.rank)
        for index, value in enumerate(values)
        if not isinstance(value, Activation)
    ]
    if not bounds:
        return x, None
    joined = bounds[0]
    for bound in bounds[1:]:
        broadcast_shape(node, joined.shape, bound.shape)
        joined = np.minimum(joined, bound) if node.op_type == "Min" else np.maximum(joined, bound)
    return x, joined


def _bounded(
    node: OnnxNode, build: GraphBuilder, x: Activation, bound: FloatArray | None, *, upper: bool
) -> None:
    if bound is None:
        build.alias(node, x)
        return
    if np.isnan(bound).any():
        raise node.unsupported(
            f"a bound of node {node.name!r} is NaN",
            why="no threshold can be computed from it",
            code="non-finite-weights",
        )
    shape = broadcast_shape(node, x.shape, bound.shape)
    repeat = stretch(build, node, x.shape, shape)
    if repeat:
        x = build.affine(node, x, repeat, label="repeated")
    if (bound == bound.reshape(-1)[:1]).all():
        level = float(bound.reshape(-1)[0])
        build.add(node, Clip(high=level) if upper else Clip(low=level), [x], shape)
        return
    if np.isfinite(bound).all() and np.abs(bound).max() > LARGEST_VARIED_BOUND:
        raise node.unsupported(
            f"{node.op_type} with different bounds of up to {np.abs(bound).max():.3g}",
            why="they are subtracted and added again, and values far smaller are lost in that",
            hint="give bounds that no value reaches as one bound for all, or leave them out",
        )
    # min(x, c) = c + min(x - c, 0), and likewise for the maximum.
    centred = build.affine(node, x, (), -bound, label="centred")
    op = Clip(high=0.0) if upper else Clip(low=0.0)
    clipped = build.add(node, op, [centred], shape, label="clipped")
    build.affine(node, clipped, (), bound)
