"""A wide VGG-like network with activations as a trained one has them, as an ONNX file.

Eight 3x3 convolutions of 64-64-128-128-256-256-512-512 channels on 32x32 inputs, a global average
and a dense layer. Weights are He-initialised with a fixed seed. Then, layer by layer, every
channel's pre-activations on some images are brought to a mean around ``SHIFT`` and a standard
deviation of 1, as trained batch normalisation leaves them, and the outputs to 0 and 1. The shift is
chosen so that the spikes are about as dense as in the layers of the trained ResNet-20 that are no
residual sum (on average 0.066 spikes a neuron and step, 58 % of the neurons silent for 32 steps): a
plain network has only such layers. With no shift the density is 0.11 in every layer. The network is
not trained: its outputs mean nothing, and small differences grow from layer to layer.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy.ndimage import gaussian_filter

Downsampling: TypeAlias = Literal["stride", "pool"]
FloatArray: TypeAlias = npt.NDArray[np.float32]

CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
EXTENT = 32
CLASSES = 10
SEED = 20261122
SHIFT, SPREAD = -0.3, 0.3
"""Mean and standard deviation of the channels' means, in those of their pre-activations."""
OPSET = 17


def smoothed_noise(n: int, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Return images (n, 3, 32, 32) with the falling spectrum of natural ones."""
    noise = np.random.default_rng(seed).normal(size=(n, 3, EXTENT, EXTENT))
    layers = [width * gaussian_filter(noise, (0, 0, width, width)) for width in (1, 3, 9)]
    colours = np.sum(layers, axis=0) + np.mean(layers[-1], axis=1, keepdims=True)
    return np.asarray(np.clip(128 + 64 * colours / colours.std(), 0, 255), np.uint8)


def wide_network(
    images: FloatArray,
    *,
    downsampling: Downsampling = "stride",
    channels: tuple[int, ...] = CHANNELS,
    seed: int = SEED,
) -> bytes:
    """Return the network as ONNX bytes.

    Parameters
    ----------
    images : (n, 3, 32, 32) float32 array
        Preprocessed; what biases and scales of the layers are set by.
    downsampling : {"stride", "pool"}
        Where the channels double: a convolution of stride 2, or an average pooling before it.
    channels : tuple of int
        Of each convolution.
    seed : int
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, npt.NDArray[Any]] = {}
    value, inputs = "image", images.shape[1]
    for i, outputs in enumerate(channels):
        halve = i > 0 and outputs > channels[i - 1]
        if halve and downsampling == "pool":
            nodes.append(_pool(value, f"pool{i}"))
            value = f"pool{i}"
        stride = 2 if halve and downsampling == "stride" else 1
        weight = rng.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3))
        weights[f"w{i}"] = weight.astype(np.float32)
        weights[f"b{i}"] = np.zeros(outputs, np.float32)
        nodes += [_convolution(value, i, stride), helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        mean = rng.normal(SHIFT, SPREAD, outputs)
        _normalise(nodes, weights, images, str(i), mean.astype(np.float32))
        value, inputs = f"r{i}", outputs
    weights["w"] = rng.normal(0, np.sqrt(1 / inputs), (CLASSES, inputs)).astype(np.float32)
    weights["b"] = np.zeros(CLASSES, np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["average"]),
        helper.make_node("Flatten", ["average"], ["features"]),
        helper.make_node("Gemm", ["features", "w", "b"], ["c"], transB=1),
    ]
    _normalise(nodes, weights, images, "", np.zeros(CLASSES, np.float32))
    return _written(nodes, weights, images, "c")


def _convolution(value: str, i: int, stride: int) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"],
        kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride],
    )  # fmt: skip


def _pool(value: str, name: str) -> onnx.NodeProto:
    return helper.make_node("AveragePool", [value], [name], kernel_shape=[2, 2], strides=[2, 2])


def _normalise(
    nodes: list[onnx.NodeProto],
    weights: dict[str, npt.NDArray[Any]],
    images: FloatArray,
    layer: str,
    mean: FloatArray,
) -> None:
    """Give each channel of a layer's sums the mean, and a standard deviation of 1."""
    model = _written(nodes, weights, images, f"c{layer}")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images})
    axes = (0, *range(2, found.ndim))
    gain = 1 / found.std(axis=axes)
    weight = weights[f"w{layer}"]
    weights[f"w{layer}"] = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
    weights[f"b{layer}"] = mean - gain * found.mean(axis=axes)


def _written(
    nodes: list[onnx.NodeProto],
    weights: dict[str, npt.NDArray[Any]],
    images: FloatArray,
    output: str,
) -> bytes:
    extents = [CLASSES] if output == "c" else [None, None, None]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *images.shape[1:]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", *extents])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    written: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return written
