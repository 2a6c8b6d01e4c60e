"""Identity, Dropout, Cast, CastLike: the same value under another name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from snnconvert.convert.graph import OutputFunction
from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator


@operator("Identity", since=1)
def import_identity(node: OnnxNode, build: GraphBuilder) -> None:
    """Copy under another name."""
    build.alias(node, build.activation(node))


@operator("Dropout", since=7)
def import_dropout(node: OnnxNode, build: GraphBuilder) -> None:
    """Nothing, outside of training."""
    training = build.value(node, 2) is not None and bool(build.constant(node, 2).any())
    if training or node.has_output(1):
        raise node.unsupported(
            "Dropout in training mode",
            why="it draws random numbers",
            hint="export the model in evaluation mode: model.eval()",
        )
    build.alias(node, build.activation(node))


@operator("Cast", since=6)
def import_cast(node: OnnxNode, build: GraphBuilder) -> None:
    """Another number type; only where no rounding is meant."""
    code = node.integer("to", 0)
    if code not in onnx.helper.get_all_tensor_dtypes():
        raise node.invalid(f"Cast to the unknown element type {code}")
    _cast(node, build, code)


@operator("CastLike", since=15)
def import_cast_like(node: OnnxNode, build: GraphBuilder) -> None:
    """Another number type; only where no rounding is meant."""
    like = build.required(node, 1)
    dtype = np.dtype(like.dtype) if isinstance(like, Activation) else like.array.dtype
    value = build.required(node, 0)
    if isinstance(value, Constant):  # only the type is the activation's
        build.fold(node, value.array.astype(dtype))
        return
    _cast(node, build, onnx.helper.np_dtype_to_tensor_dtype(dtype))


def _cast(node: OnnxNode, build: GraphBuilder, code: int) -> None:
    target = onnx.helper.tensor_dtype_to_np_dtype(code)
    name = onnx.TensorProto.DataType.Name(code)
    wide = name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")
    if not wide and target.kind not in "iu":
        raise node.unsupported(
            f"Cast of an activation to {name}",
            why="it rounds to a few levels; the conversion chooses its own",
            hint="convert the float model",
        )
    x = build.activation(node)
    if not wide and np.dtype(x.dtype).kind not in "biu":
        raise node.unsupported(
            f"Cast of {x.dtype} activations to {name}",
            why="it cuts off fractions, which is no linear map",
            hint="cut the graph before it with --outputs, or leave it out",
        )
    if not wide and not _fits(build, x, target):
        raise node.unsupported(
            f"Cast of {x.dtype} activations to {name}",
            why="what does not fit its range wraps around, which no neuron does",
            hint="cast to float before, or leave it out",
        )
    build.alias(node, x, dtype=str(target))


def _fits(build: GraphBuilder, x: Activation, target: np.dtype[Any]) -> bool:
    """Tell whether every value that there can be is one of the target type."""
    if x.dtype == "bool":
        return True
    held = np.iinfo(target)
    source = next(node for node in build.nodes if node.name == x.name)
    if isinstance(source.op, OutputFunction) and source.op.kind == "ArgMax":
        (before,) = (node for node in build.nodes if node.name == source.inputs[0])
        return max(before.shape) - 1 <= held.max
    given = np.iinfo(np.dtype(x.dtype))
    return held.min <= given.min and given.max <= held.max
