"""Clip."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.graph import Clip
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator

FLOAT32_MAX = float(np.finfo(np.float32).max)


@operator("Clip", since=6)
def import_clip(node: OnnxNode, build: GraphBuilder) -> None:
    """Bounds on both sides: with a lower bound of 0, neurons whose rate is bounded."""
    low = _bound(node, build, "min", 1, -np.inf)
    high = _bound(node, build, "max", 2, np.inf)
    x = build.activation(node)
    # ONNX applies the lower bound first: where the bounds cross, the upper one wins.
    build.add(node, Clip(min(low, high), high), [x], x.shape)


def _bound(node: OnnxNode, build: GraphBuilder, name: str, index: int, missing: float) -> float:
    """Return a bound that is an attribute before opset 11, an optional input from then on."""
    if name in node.attributes:
        bound = node.number(name, missing)
    elif build.value(node, index) is None:
        return missing
    else:
        array = build.numbers(node, index, why="a neuron's threshold must be known")
        if array.size != 1:
            raise node.invalid(f"bound {name!r} is no single number")
        bound = float(array.reshape(-1)[0])
    if np.isnan(bound):
        raise node.unsupported(
            f"bound {name!r} of node {node.name!r} is NaN",
            why="no threshold can be computed from it",
            code="non-finite-weights",
        )
    # Exporters write the largest float32 where they mean no bound.
    return bound if abs(bound) < FLOAT32_MAX else float(np.copysign(np.inf, bound))
