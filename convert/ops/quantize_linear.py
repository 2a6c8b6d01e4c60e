"""QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx

from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.quantisation import (
    Quantisation,
    add_dequantised,
    add_quantised,
    read_quantisation,
)
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.quantiser import DynamicQuantise

MICROSOFT = "com.microsoft"


@operator("QuantizeLinear", since=1, domain=MICROSOFT)
@operator("QuantizeLinear", since=10)
def import_quantize_linear(node: OnnxNode, build: GraphBuilder) -> None:
    """Round to levels: neurons whose threshold is the range of levels, if that begins at 0."""
    x = build.activation(node)
    add_quantised(node, build, x, _read(node, build, x, _output_type(node)))


@operator("DequantizeLinear", since=1, domain=MICROSOFT)
@operator("DequantizeLinear", since=10)
def import_dequantize_linear(node: OnnxNode, build: GraphBuilder) -> None:
    """Integers as real values: a scale and a shift."""
    value = build.required(node, 0)
    if isinstance(value, Constant):  # of Microsoft's domain; ONNX's own is folded
        build.fold(node, _dequantised_constant(node, build, value).astype(np.float32))
        return
    add_dequantised(node, build, value, _read(node, build, value, value.dtype))


@operator("DynamicQuantizeLinear", since=11)
def import_dynamic_quantize_linear(node: OnnxNode, build: GraphBuilder) -> None:
    """Round to a range that each batch sets: left out, its scale taken as 1."""
    if len(node.outputs) < 3 or not all(node.outputs):
        raise node.invalid("it has three outputs: integers, their scale and their zero point")
    x = build.activation(node)
    op = DynamicQuantise((node.outputs[0], node.outputs[1], node.outputs[2]))
    # What reads the integers is linear in them and is multiplied by the scale later: both may be
    # replaced by the real values and a scale of 1.
    rounded = build.add(node, op, [x], x.shape, label="levels", dtype="uint8")
    build.alias(node, rounded)
    build.fold(node, np.ones((), np.float32), 1)
    build.fold(node, np.zeros((), np.uint8), 2)
    build.approximated(node, "its rounding to 256 levels between the batch's extremes is left out")


def _read(node: OnnxNode, build: GraphBuilder, x: Activation, dtype: str) -> Quantisation:
    if node.integer("block_size", 0):
        raise node.unsupported(
            "quantisation of an activation in blocks",
            why="only weights may have scales of blocks",
            hint="quantise activations with one scale, or one a channel",
        )
    axis = 0
    scale = build.value(node, 1)
    if isinstance(scale, Constant) and scale.array.size > 1:
        axis = node.inner_axis(node.integer("axis", 1), x.rank)
    return read_quantisation(node, build, 1, 2, shape=x.shape, axis=axis, dtype=dtype)


def _output_type(node: OnnxNode) -> str:
    code = node.integer("output_dtype", 0)
    if not code:
        return "uint8"
    if code not in onnx.helper.get_all_tensor_dtypes():
        raise node.invalid(f"output_dtype is the unknown element type {code}")
    return str(onnx.helper.tensor_dtype_to_np_dtype(code))


def _dequantised_constant(node: OnnxNode, build: GraphBuilder, value: Constant) -> FloatArray:
    integers = build.weight(node, 0)
    axis = node.integer("axis", 1)
    axis = node.axis(axis, integers.ndim) if -integers.ndim <= axis < integers.ndim else 0
    shape = integers.shape
    how = read_quantisation(node, build, 1, 2, shape=shape, axis=axis, dtype=str(value.array.dtype))
    return how.dequantised(integers)
