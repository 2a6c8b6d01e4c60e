"""Scaler, of ONNX's domain for classical machine learning."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import FloatArray, Scale


@operator("Scaler", since=1, domain="ai.onnx.ml")
def import_scaler(node: OnnxNode, build: GraphBuilder) -> None:
    """Features brought to one range, ``(x - offset) * scale``: a scale and a bias."""
    x = build.activation(node)
    if len(x.shape) != 1:
        raise node.invalid(f"Scaler of a value of shape {list(x.shape)} without batch")
    offset, scale = (_numbers(node, name, x.shape[0]) for name in ("offset", "scale"))
    build.affine(node, x, (Scale(x.shape, scale),), -offset * scale, dtype="float32")


def _numbers(node: OnnxNode, name: str, features: int) -> FloatArray:
    """Return one number, or one for each feature."""
    numbers = np.array(node.numbers(name) or (), np.float64)
    if numbers.size not in (1, features):
        raise node.invalid(f"{numbers.size} numbers in {name!r} do not fit {features} features")
    return numbers
