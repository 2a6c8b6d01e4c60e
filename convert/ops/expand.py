"""Expand."""

from __future__ import annotations

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import broadcast_shape, stretch


@operator("Expand", since=8)
def import_expand(node: OnnxNode, build: GraphBuilder) -> None:
    """Repetition along axes of extent 1."""
    x = build.activation(node)
    target = build.integers(node, 1)
    if min(target, default=1) < 0:
        raise node.invalid(f"shape {list(target)} is no shape")
    if len(target) > x.rank:
        raise node.batch_axis("Expand adds axes before the batch")
    if len(target) == x.rank and target[0] not in (1, build.batch):
        raise node.batch_axis("Expand repeats the batch")
    inner = target[1:] if len(target) == x.rank else target
    chain = stretch(build, node, x.shape, broadcast_shape(node, x.shape, inner))
    if chain:
        build.affine(node, x, chain)
    else:
        build.alias(node, x)
