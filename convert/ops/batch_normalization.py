"""BatchNormalization."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import FloatArray, Scale


@operator("BatchNormalization", since=7)
def import_batch_normalization(node: OnnxNode, build: GraphBuilder) -> None:
    """Normalisation by stored statistics: a scale and a bias for each channel."""
    if node.flag("training_mode", 0) or any(node.has_output(i) for i in range(1, 5)):
        raise node.unsupported(
            "BatchNormalization in training mode",
            why="it normalises by the statistics of the batch",
            hint="export the model in evaluation mode: model.eval()",
        )
    per_channel = node.flag("spatial", 1)
    x = build.activation(node)
    scale, shift, mean, variance = (
        _parameter(node, build, x, index, per_channel) for index in range(1, 5)
    )
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    build.affine(node, x, (Scale(x.shape, factor),), shift - mean * factor)


def _parameter(
    node: OnnxNode, build: GraphBuilder, x: Activation, index: int, per_channel: bool
) -> FloatArray:
    array = build.weight(node, index)
    expected = x.shape[:1] if per_channel else x.shape
    if not x.shape or array.shape != expected:
        raise node.invalid(
            f"{node.input_name(index)} of shape {list(array.shape)} does not fit an input of "
            f"shape {list(x.shape)} without batch"
        )
    return array.reshape(-1, *[1] * (len(x.shape) - 1)) if per_channel else array
