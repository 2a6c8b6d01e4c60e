"""Split."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Select


@operator("Split", since=2)
def import_split(node: OnnxNode, build: GraphBuilder) -> None:
    """Parts of a value along an axis, each a node."""
    x = build.activation(node)
    axis = node.inner_axis(node.integer("axis", 0), x.rank)
    offset = 0
    for output, extent in enumerate(_extents(node, build, x, axis)):
        if node.has_output(output):
            kept = np.arange(offset, offset + extent)
            indices = tuple(kept if a == axis else None for a in range(len(x.shape)))
            build.affine(node, x, (Select(x.shape, indices),), output=output)
        offset += extent


def _extents(node: OnnxNode, build: GraphBuilder, x: Activation, axis: int) -> list[int]:
    total, parts = x.shape[axis], len(node.outputs)
    given = build.integer_list(node, "split", 1)
    if given is not None:
        if len(given) != parts or min(given) < 1 or sum(given) != total:
            raise node.invalid(f"split {list(given)} does not fit {total} values in {parts} parts")
        return list(given)
    if node.integer("num_outputs", parts) != parts:
        raise node.invalid(f"num_outputs is not the number of outputs, {parts}")
    size = -(-total // parts)
    uneven = total - size * (parts - 1)
    if uneven < 1 or (uneven != size and "num_outputs" not in node.attributes):
        raise node.invalid(f"{total} values do not split into {parts} parts")
    return [size] * (parts - 1) + [uneven]
