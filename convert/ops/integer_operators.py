"""Operators on integers: QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger and Microsoft's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.quantisation import Quantisation
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.through_float import (
    Operand,
    accumulator,
    on_real_values,
    quantise_result,
    read_operand,
    real_value,
)

MICROSOFT = "com.microsoft"
_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_POOLING = (*_WINDOW[:2], *_WINDOW[3:], "ceil_mode", "count_include_pad")


@operator("QLinearConv", since=10)
def import_qlinear_conv(node: OnnxNode, build: GraphBuilder) -> None:
    """Convolution of integers: that of the real values, rounded to levels."""
    operands = (Operand(0, 1, 2), Operand(3, 4, 5))
    hows = [read_operand(node, build, operand) for operand in operands]
    values = [
        real_value(node, build, operand, how, f"operand{i}")
        for i, (operand, how) in enumerate(zip(operands, hows, strict=True))
    ]
    if build.value(node, 8) is not None:
        values.append(_bias(node, build, 8, hows))
    quantise_result(node, build, on_real_values(node, build, "Conv", values, _WINDOW), 6, 7)


@operator("QLinearMatMul", since=10)
def import_qlinear_matmul(node: OnnxNode, build: GraphBuilder) -> None:
    """Matrix product of integers: that of the real values, rounded to levels."""
    operands = (Operand(0, 1, 2, axis=-2), Operand(3, 4, 5, axis=-1))
    quantise_result(node, build, _on_operands(node, build, "MatMul", operands), 6, 7)


@operator("ConvInteger", since=10)
def import_conv_integer(node: OnnxNode, build: GraphBuilder) -> None:
    """Convolution of integers, not rounded: a convolution."""
    operands = (Operand(0, None, 2), Operand(1, None, 3))
    _unrounded(node, build, _on_operands(node, build, "Conv", operands, _WINDOW))


@operator("MatMulInteger", since=10)
def import_matmul_integer(node: OnnxNode, build: GraphBuilder) -> None:
    """Matrix product of integers, not rounded: a fully connected layer."""
    operands = (Operand(0, None, 2, axis=-2), Operand(1, None, 3, axis=-1))
    _unrounded(node, build, _on_operands(node, build, "MatMul", operands))


@operator("QGemm", since=1, domain=MICROSOFT)
def import_qgemm(node: OnnxNode, build: GraphBuilder) -> None:
    """Fully connected layer of integers: that of the real values, rounded where it has a scale."""
    columns = 0 if node.flag("transB", 0) else 1
    operands = (Operand(0, 1, 2), Operand(3, 4, 5, axis=columns))
    hows = [read_operand(node, build, operand) for operand in operands]
    values = [
        real_value(node, build, operand, how, f"operand{i}")
        for i, (operand, how) in enumerate(zip(operands, hows, strict=True))
    ]
    if build.value(node, 6) is not None:
        values.append(_bias(node, build, 6, hows))
    attributes = ("alpha", "transA", "transB")
    # The integer bias is added to the sums before alpha scales them.
    result = on_real_values(node, build, "Gemm", values, attributes, beta=node.number("alpha", 1.0))
    if build.value(node, 7) is None:
        _unrounded(node, build, result, dtype="float32")
    else:
        quantise_result(node, build, result, 7, 8)


@operator("QLinearAdd", since=1, domain=MICROSOFT)
def import_qlinear_add(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum of integers: that of the real values, rounded to levels."""
    operands = (Operand(0, 1, 2), Operand(3, 4, 5))
    quantise_result(node, build, _on_operands(node, build, "Add", operands), 6, 7)


@operator("QLinearMul", since=1, domain=MICROSOFT)
def import_qlinear_mul(node: OnnxNode, build: GraphBuilder) -> None:
    """Product of integers with constants: that of the real values, rounded to levels."""
    operands = (Operand(0, 1, 2), Operand(3, 4, 5))
    quantise_result(node, build, _on_operands(node, build, "Mul", operands), 6, 7)


@operator("QLinearAveragePool", since=1, domain=MICROSOFT)
def import_qlinear_average_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Average of integers over a window: that of the real values, rounded to levels."""
    _refuse_channels_last(node)
    result = _on_operands(node, build, "AveragePool", (Operand(0, 1, 2),), _POOLING)
    quantise_result(node, build, result, 3, 4)


@operator("QLinearGlobalAveragePool", since=1, domain=MICROSOFT)
def import_qlinear_global_average_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Average of integers over space: that of the real values, rounded to levels."""
    _refuse_channels_last(node)
    result = _on_operands(node, build, "GlobalAveragePool", (Operand(0, 1, 2),))
    quantise_result(node, build, result, 3, 4)


@operator("QLinearLeakyRelu", since=1, domain=MICROSOFT)
def import_qlinear_leaky_relu(node: OnnxNode, build: GraphBuilder) -> None:
    """LeakyRelu of integers: that of the real values, rounded to levels."""
    result = _on_operands(node, build, "LeakyRelu", (Operand(0, 1, 2),), ("alpha",))
    quantise_result(node, build, result, 3, 4)


@operator("QLinearSigmoid", since=1, domain=MICROSOFT)
def import_qlinear_sigmoid(node: OnnxNode, build: GraphBuilder) -> None:
    """Sigmoid of integers: that of the real values, rounded to levels."""
    result = _on_operands(node, build, "Sigmoid", (Operand(0, 1, 2),))
    quantise_result(node, build, result, 3, 4)


@operator("QLinearConcat", since=1, domain=MICROSOFT)
def import_qlinear_concat(node: OnnxNode, build: GraphBuilder) -> None:
    """Integers side by side: the real values, rounded to one scale."""
    if len(node.inputs) < 5 or (len(node.inputs) - 2) % 3:
        raise node.invalid(f"its {len(node.inputs)} inputs are no scale, zero point and triples")
    operands = [Operand(i, i + 1, i + 2) for i in range(2, len(node.inputs), 3)]
    result = _on_operands(node, build, "Concat", operands, ("axis",))
    quantise_result(node, build, result, 0, 1)


def _on_operands(
    node: OnnxNode,
    build: GraphBuilder,
    name: str,
    operands: Sequence[Operand],
    attributes: Sequence[str] = (),
) -> Activation:
    values = [
        real_value(node, build, operand, read_operand(node, build, operand), f"operand{i}")
        for i, operand in enumerate(operands)
    ]
    return on_real_values(node, build, name, values, attributes)


def _bias(
    node: OnnxNode, build: GraphBuilder, index: int, hows: Sequence[Quantisation]
) -> Constant:
    """Return a bias of integers, whose scale is that of the sums, as real values."""
    bias = build.weight(node, index)
    scale = accumulator(*hows)
    if scale.size not in (1, bias.size) or bias.ndim != 1:
        raise node.invalid(f"a bias of shape {list(bias.shape)} does not fit {scale.size} scales")
    return Constant(np.asarray(bias * scale), node.inputs[index])


def _unrounded(
    node: OnnxNode, build: GraphBuilder, result: Activation, dtype: str = "int32"
) -> None:
    """Let the node's output be a result whose tensor is not looked at: its units may differ."""
    build.values[node.outputs[0]] = Activation(result.name, result.shape, dtype)


def _refuse_channels_last(node: OnnxNode) -> None:
    if node.flag("channels_last", 0):
        raise node.unsupported(
            "pooling of channels in the last axis",
            why="onnxruntime writes this form only when it optimises a model for itself",
            hint="convert the model as its quantiser wrote it",
        )
