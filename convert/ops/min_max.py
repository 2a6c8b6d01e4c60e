"""Min, Max."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from snnconvert.convert.curves.functions import call, is_rectifying
from snnconvert.convert.graph import Add, Clip, Relu
from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.elementwise import add_curve, shared_operands
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, stretch, without_batch
from snnconvert.convert.linear import Chain, FloatArray, Scale

LARGEST_VARIED_BOUND = 1e5
"""Single precision keeps values of 0.01 apart beside it."""


@operator("Min", since=6)
def import_min(node: OnnxNode, build: GraphBuilder) -> None:
    """Minimum of activations and constants: ``b - relu(b - a)``, and upper bounds."""
    _import(node, build, upper=True)


@operator("Max", since=6)
def import_max(node: OnnxNode, build: GraphBuilder) -> None:
    """Maximum of activations and constants: ``b + relu(a - b)``, and lower bounds."""
    _import(node, build, upper=False)


def _import(node: OnnxNode, build: GraphBuilder, *, upper: bool) -> None:
    indices = range(len(node.inputs))
    shared = shared_operands(node, build, indices)
    if shared is not None and not all(map(is_rectifying, shared.expressions)):
        name = "minimum" if upper else "maximum"
        add_curve(node, build, shared, reduce(lambda a, b: call(name, a, b), shared.expressions))
        return
    values = [build.required(node, index) for index in indices]
    activations = list({v.name: v for v in values if isinstance(v, Activation)}.values())
    bound = _joined_bounds(node, build, values, max(x.rank for x in activations), upper=upper)
    x = activations[0]
    for position, other in enumerate(activations[1:], start=1):
        last = bound is None and position == len(activations) - 1
        x = _extreme(node, build, x, other, upper=upper, label="" if last else f"joined{position}")
    if bound is not None:
        _bounded(node, build, x, bound, upper=upper)
    elif len(activations) == 1:
        build.alias(node, x)


def _extreme(
    node: OnnxNode, build: GraphBuilder, a: Activation, b: Activation, *, upper: bool, label: str
) -> Activation:
    """Add ``b + relu(a - b)``, or ``b - relu(b - a)`` for the minimum."""
    if a.rank != b.rank:
        raise node.batch_axis(
            f"{node.op_type} of values with different numbers of axes aligns the batch of one with "
            "an inner axis of the other"
        )
    shape = broadcast_shape(node, a.shape, b.shape)
    step = label or "joined"

    def affine(x: Activation, chain: Chain, name: str) -> Activation:
        return build.affine(node, x, chain, label=f"{step}/{name}") if chain else x

    a = affine(a, stretch(build, node, a.shape, shape), "first")
    b = affine(b, stretch(build, node, b.shape, shape), "second")
    minus = (Scale(shape, np.array(-1.0)),)
    parts = [affine(a, minus, "minus"), b] if upper else [a, affine(b, minus, "minus")]
    difference = build.add(node, Add(), parts, shape, label=f"{step}/difference")
    excess = build.add(node, Relu(), [difference], shape, label=f"{step}/excess")
    if upper:
        excess = affine(excess, minus, "below")
    return build.add(node, Add(), [b, excess], shape, label=label)


def _joined_bounds(
    node: OnnxNode,
    build: GraphBuilder,
    values: Sequence[Activation | Constant],
    rank: int,
    *,
    upper: bool,
) -> FloatArray | None:
    bounds = [
        without_batch(build, node, build.numbers(node, index), rank)
        for index, value in enumerate(values)
        if not isinstance(value, Activation)
    ]
    if not bounds:
        return None
    joined = bounds[0]
    for bound in bounds[1:]:
        broadcast_shape(node, joined.shape, bound.shape)
        joined = np.minimum(joined, bound) if upper else np.maximum(joined, bound)
    return joined


def _bounded(
    node: OnnxNode, build: GraphBuilder, x: Activation, bound: FloatArray, *, upper: bool
) -> None:
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
    if (np.isinf(bound) & ((bound < 0) == upper)).any():
        raise node.unsupported(
            f"{node.op_type} with infinite bounds that no value is beyond",
            why="the result is infinite there, which no threshold gives",
            hint="look at the bounds of that node, or cut the graph before it with --outputs",
            code="non-finite-weights",
        )
    bounded = np.isfinite(bound)
    largest = np.abs(bound[bounded]).max(initial=0)
    if largest > LARGEST_VARIED_BOUND:
        raise node.unsupported(
            f"{node.op_type} with different bounds of up to {largest:.3g}",
            why="they are subtracted and added again, and values far smaller are lost in that",
            hint="give bounds that no value reaches as one bound for all, or leave them out",
        )
    # min(x, c) = c + min(x - c, 0), and likewise for the maximum.
    finite = np.where(bounded, bound, 0.0)
    centred = build.affine(node, x, (), -finite, label="centred")
    op = Clip(high=0.0) if upper else Clip(low=0.0)
    clipped = build.add(node, op, [centred], shape, label="clipped")
    if bounded.all():
        build.affine(node, clipped, (), finite)
        return
    mask = np.broadcast_to(bounded, shape).astype(np.float64)
    within = build.affine(node, clipped, (Scale(shape, mask),), finite, label="within")
    free = build.affine(node, x, (Scale(shape, 1 - mask),), label="free")
    build.add(node, Add(), [within, free], shape)
