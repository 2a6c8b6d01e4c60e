"""HardSigmoid."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.graph import Clip
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Scale


@operator("HardSigmoid", since=6)
def import_hard_sigmoid(node: OnnxNode, build: GraphBuilder) -> None:
    """One bounded ramp: ``min(max(alpha * x + beta, 0), 1)``."""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    x = build.activation(node)
    scale = Scale(x.shape, np.array(alpha))
    line = build.affine(node, x, (scale,), np.array(beta), label="line")
    build.add(node, Clip(0.0, 1.0), [line], x.shape)
