"""Transpose."""

from __future__ import annotations

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Transpose


@operator("Transpose", since=1)
def import_transpose(node: OnnxNode, build: GraphBuilder) -> None:
    """Axes in another order; the batch stays in front."""
    x = build.activation(node)
    order = node.integers("perm") or tuple(reversed(range(x.rank)))
    if sorted(order) != list(range(x.rank)):
        raise node.invalid(f"perm {list(order)} is no permutation of {x.rank} axes")
    if order[0] != 0:
        raise node.batch_axis(f"Transpose moves the batch: perm {list(order)}")
    inner = tuple(axis - 1 for axis in order[1:])
    if inner == tuple(range(len(inner))):
        build.alias(node, x)
    else:
        build.affine(node, x, (Transpose(x.shape, inner),))
