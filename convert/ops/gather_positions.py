"""GatherElements, GatherND."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.routing import checked_indices, positions_of, routed
from snnconvert.convert.linear import IntArray
from snnconvert.convert.ops.gather import EMBEDDING_HINT, EMBEDDING_REASON


@operator("GatherElements", since=11)
def import_gather_elements(node: OnnxNode, build: GraphBuilder) -> None:
    """Values at constant positions, one position for each output."""
    _refuse_lookup(node, build)
    x = build.activation(node, 0)
    axis = node.axis(node.integer("axis", 0), x.rank)
    full = (build.batch, *x.shape)
    indices = checked_indices(build, node, 1, full[axis])
    fits = indices.ndim == x.rank and all(
        have <= want for a, (have, want) in enumerate(zip(indices.shape, full, strict=True))
        if a != axis
    )  # fmt: skip
    if not fits:
        raise node.invalid(
            f"positions of shape {build.written(indices.shape)} do not fit a value of shape "
            f"{build.written(full)}"
        )
    place: list[IntArray] = list(np.indices(indices.shape, sparse=True))
    place[axis] = indices
    sources = positions_of(build, node, x.shape)[tuple(place)]
    build.affine(node, x, routed(build, node, x, sources))


@operator("GatherND", since=11)
def import_gather_nd(node: OnnxNode, build: GraphBuilder) -> None:
    """Slices at constant positions."""
    _refuse_lookup(node, build)
    shared = node.integer("batch_dims", 0)
    x = build.activation(node, 0)
    full = (build.batch, *x.shape)
    raw = build.constant(node, 1, why="the wiring of a spiking network is fixed")
    depth = raw.shape[-1] if raw.ndim else 0
    if not 0 <= shared < min(raw.ndim, x.rank) or not 1 <= depth <= x.rank - shared:
        raise node.invalid(
            f"positions of shape {build.written(raw.shape)} do not fit a value of {x.rank} axes"
        )
    if raw.shape[:shared] != full[:shared]:
        raise node.invalid(
            f"positions of shape {build.written(raw.shape)} do not fit a value of shape "
            f"{build.written(full)} along its first {shared} axes"
        )
    indices = checked_indices(build, node, 1, full[shared : shared + depth])
    alike = np.indices(indices.shape[:-1], sparse=True)[:shared]
    place = (*alike, *np.moveaxis(indices, -1, 0))
    sources = positions_of(build, node, x.shape)[place]
    build.affine(node, x, routed(build, node, x, sources))


def _refuse_lookup(node: OnnxNode, build: GraphBuilder) -> None:
    if isinstance(build.required(node, 0), Constant):
        raise node.unsupported(
            f"{node.op_type} from a constant at positions that the input gives",
            why=EMBEDDING_REASON,
            hint=EMBEDDING_HINT,
            code="unsupported-operator",
        )
