"""Pad."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import select
from snnconvert.convert.linear import FloatArray, IntArray, Select

MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@operator("Pad", since=2)
def import_pad(node: OnnxNode, build: GraphBuilder) -> None:
    """Zeros, a constant or copies put around the values; negative padding crops."""
    mode = node.text("mode", "constant")
    if mode not in MODES:
        raise node.invalid(f"Pad has no mode {mode!r}")
    x = build.activation(node)
    pads = _pads(node, build, x)
    indices: list[IntArray | None] = []
    for extent, (begin, end) in zip(x.shape, pads, strict=True):
        build.check_size(node, [max(extent + begin + end, 1)])
        indices.append(_padded_axis(node, extent, begin, end, mode) if begin or end else None)
    if all(index is None for index in indices):
        build.alias(node, x)
        return
    padding = select(build, node, x, indices)
    filling = _filling(node, build) if mode == "constant" else 0.0
    bias = _bias(build, node, padding, filling) if filling else None
    build.affine(node, x, (padding,), bias)


def _pads(node: OnnxNode, build: GraphBuilder, x: Activation) -> list[tuple[int, int]]:
    """Return begin and end for each axis, batch not counted."""
    given = build.integer_list(node, "pads", 1)
    if given is None:
        raise node.invalid("Pad without pads")
    axes = range(x.rank) if build.value(node, 3) is None else build.integers(node, 3)
    if len(given) != 2 * len(axes):
        raise node.invalid(f"pads {list(given)} do not fit {len(axes)} axes")
    if len({node.axis(axis, x.rank) for axis in axes}) < len(axes):
        raise node.invalid(f"an axis is named twice in {list(axes)}")
    pads = [(0, 0)] * x.rank
    for position, axis in enumerate(axes):
        pads[node.axis(axis, x.rank)] = (given[position], given[position + len(axes)])
    if pads[0] != (0, 0):
        raise node.batch_axis("Pad adds samples to the batch")
    return pads[1:]


def _padded_axis(node: OnnxNode, extent: int, begin: int, end: int, mode: str) -> IntArray:
    """Return the source of each position along one axis, -1 where the constant stands."""
    kept = np.arange(extent)[max(-begin, 0) : extent - max(-end, 0)]
    if not kept.size:
        raise node.invalid(f"pads {begin} and {end} leave nothing of {extent} values")
    added = (max(begin, 0), max(end, 0))
    if mode == "constant":
        return np.pad(kept, added, constant_values=-1)
    if mode == "reflect" and max(added) >= kept.size:
        raise node.invalid(f"Pad cannot reflect {max(added)} of {kept.size} values")
    if mode == "edge":
        return np.pad(kept, added, mode="edge")
    return np.pad(kept, added, mode="reflect" if mode == "reflect" else "wrap")


def _filling(node: OnnxNode, build: GraphBuilder) -> float:
    if build.value(node, 2) is None:
        return node.number("value", 0.0)
    constant = build.weight(node, 2)
    if constant.size != 1:
        raise node.invalid("Pad with more than one constant")
    return float(constant.reshape(-1)[0])


def _bias(build: GraphBuilder, node: OnnxNode, padding: Select, filling: float) -> FloatArray:
    """Return the constant at the padded positions, zero elsewhere."""
    build.budget.charge(8 * int(np.prod(padding.output_shape)), node.place)
    kept = padding.apply(np.ones((1, *padding.input_shape)))[0]
    return np.asarray(np.where(kept > 0, 0.0, filling))
