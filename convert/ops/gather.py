"""Gather."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import select
from snnconvert.convert.linear import LinearOperator, Reshape

EMBEDDING_REASON = "an embedding is looked up, rates carry values"
EMBEDDING_HINT = "cut the graph behind it with --inputs"


@operator("Gather", since=1)
def import_gather(node: OnnxNode, build: GraphBuilder) -> None:
    """Values at constant positions along an axis."""
    if isinstance(build.required(node, 0), Constant):
        raise node.unsupported(
            "Gather from a constant at positions that the input gives",
            why=EMBEDDING_REASON,
            hint=EMBEDDING_HINT,
            code="unsupported-operator",
        )
    x = build.activation(node, 0)
    axis = node.inner_axis(node.integer("axis", 0), x.rank)
    positions = build.constant(node, 1, why="the wiring of a spiking network is fixed")
    if positions.dtype.kind not in "iu":
        raise node.invalid("positions of Gather are no integers")
    extent = x.shape[axis]
    if (positions < -extent).any() or (positions >= extent).any():
        raise node.invalid(f"a position of Gather is outside of an axis of {extent} values")
    kept = positions.reshape(-1).astype(np.int64) % extent
    picked = select(build, node, x, [kept if a == axis else None for a in range(len(x.shape))])
    shape = (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :])
    chain: list[LinearOperator] = [picked]
    if shape != picked.output_shape:
        chain.append(Reshape(picked.output_shape, shape))
    build.affine(node, x, tuple(chain))
