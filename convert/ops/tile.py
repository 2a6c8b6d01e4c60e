"""Tile."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Select


@operator("Tile", since=6)
def import_tile(node: OnnxNode, build: GraphBuilder) -> None:
    """Whole values repeated along axes."""
    x = build.activation(node)
    repeats = build.integers(node, 1)
    if len(repeats) != x.rank or min(repeats) < 1:
        raise node.invalid(f"repeats {list(repeats)} do not fit a value of {x.rank} axes")
    if repeats[0] != 1:
        raise node.batch_axis("Tile repeats the batch")
    build.check_size(node, [e * r for e, r in zip(x.shape, repeats[1:], strict=True)])
    if max(repeats) == 1:
        build.alias(node, x)
        return
    indices = tuple(
        None if repeat == 1 else np.tile(np.arange(extent), repeat)
        for extent, repeat in zip(x.shape, repeats[1:], strict=True)
    )
    build.affine(node, x, (Select(x.shape, indices),))
