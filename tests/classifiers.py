"""A small classifier of three hidden layers, for tests of what each layer loses."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.convert.spiking_model import SpikingModel

WIDTHS = (6, 24, 20, 16, 4)


def classifier(
    widths: tuple[int, ...] = WIDTHS, seed: int = 5, *, softmax: bool = False
) -> onnx.ModelProto:
    """Fully connected layers with a ReLU between them, and at will a Softmax behind them."""
    rng = np.random.default_rng(seed)
    nodes, constants, value = [], {}, "x"
    for k, (fan_in, fan_out) in enumerate(pairwise(widths)):
        last = k == len(widths) - 2
        weight = rng.normal(0, (2 / fan_in) ** 0.5, (fan_in, fan_out))
        constants[f"w{k}"] = weight.astype(np.float32)
        constants[f"b{k}"] = rng.normal(0, 0.1, fan_out).astype(np.float32)
        affine = "y" if last else f"z{k}"
        nodes.append(make_node("Gemm", [value, f"w{k}", f"b{k}"], [affine]))
        if not last:
            nodes.append(make_node("Relu", [affine], [f"relu{k}"]))
            value = f"relu{k}"
    if softmax:
        nodes.append(make_node("Softmax", ["y"], ["p"]))
    outputs = ["p" if softmax else "y"]
    model: onnx.ModelProto = make_model(
        nodes, {"x": ["N", widths[0]]}, outputs, constants=constants
    )
    return model


def rows(count: int, seed: int = 1, width: int = WIDTHS[0]) -> np.ndarray:
    """Normal input rows."""
    return np.random.default_rng(seed).normal(0, 1, (count, width)).astype(np.float32)


def converted(timesteps: int = 16, **options: Any) -> SpikingModel:
    """The classifier as a spiking network."""
    options = {"target": "cpu"} | options
    return snnconvert.convert_model(classifier(), rows(80, 2), timesteps=timesteps, **options)
