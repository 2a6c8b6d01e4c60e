"""Compute constant nodes, within bounds: ONNX's reference implementation does the arithmetic."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, TensorProto

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.tensors import sparse_array, tensor_array

Arrays: TypeAlias = Sequence[npt.NDArray[Any] | None]

MAX_CONSTANT_BYTES = 2**28
MAX_MULTIPLY_ADDS = 2**28

_ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Neg", "Abs", "Sign", "Min", "Max", "Sum", "Mean"),
    *("Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Reciprocal", "Relu", "Clip", "Erf", "Tanh"),
    *("Sigmoid", "And", "Or", "Xor", "Not", "Equal", "Greater", "GreaterOrEqual", "Less"),
    *("LessOrEqual", "Where", "Identity", "DequantizeLinear"),
    *("QuantizeLinear", "CastLike", "Sin", "Cos", "Softplus", "LeakyRelu", "PRelu", "Elu", "Selu"),
    *("HardSigmoid", "HardSwish", "Softsign", "IsNaN", "IsInf"),
)
_REARRANGING = (
    *("Shape", "Size", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split"),
    *("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL2"),
    *("ReduceSumSquare", "ReduceL1", "CumSum", "Trilu", "Dropout", "Concat", "ScatterElements"),
    *("ScatterND", "DepthToSpace", "SpaceToDepth", "ArgMax", "ArgMin", "Compress", "Softmax"),
    *("LogSoftmax", "LayerNormalization", "InstanceNormalization", "BatchNormalization"),
)
_OLDEST_REFERENCE = {"DequantizeLinear": 19, "QuantizeLinear": 19}
"""Where the reference implementation begins; the meaning for 8-bit numbers is that of opset 10."""


def is_foldable(node: OnnxNode) -> bool:
    """Tell whether the node can be computed once its inputs are constants."""
    return not node.domain and (node.op_type == "Constant" or node.op_type in _bounds())


def fold(node: OnnxNode, inputs: Arrays) -> list[npt.NDArray[Any]]:
    """Return the outputs of a node whose inputs are constants.

    Raises
    ------
    ModelFileError
        If the inputs do not fit the operator, or the result would be out of proportion.
    """
    if node.op_type == "Constant":
        return [_constant(node)]
    arrays = [None if array is None else np.asarray(array) for array in inputs]
    try:
        elements = int(_bounds()[node.op_type](node, arrays))
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError) as error:
        raise node.invalid(f"its constant inputs do not fit {node.op_type}: {error}") from error
    if elements * 8 > MAX_CONSTANT_BYTES:
        raise node.invalid(
            f"the constant that it computes would have {elements:,} elements",
            why="a small file must not fill the memory",
            hint="store large constants in the file as initialisers",
        )
    return _run_reference(node, arrays)


def _run_reference(node: OnnxNode, arrays: Arrays) -> list[npt.NDArray[Any]]:
    from onnx.reference.ops._op_list import load_op  # imported late: a third of a second

    settings = {"log": lambda *_: None, "opsets": {"": node.opset}, "verbose": 0, "new_ops": None}
    with warnings.catch_warnings():
        # NaN and overflow are found where a weight is used; here they are only passed on.
        warnings.simplefilter("ignore")
        try:
            opset = max(node.opset, _OLDEST_REFERENCE.get(node.op_type, 0))
            implementation = load_op("", node.op_type, opset)(node.proto, settings)
            results = implementation.run(*arrays)
        except ModelFileError:
            raise
        except Exception as error:  # the reference implementation raises anything on bad input
            raise node.invalid(f"its constant inputs do not fit {node.op_type}: {error}") from error
    return [np.asarray(result) for result in results]


def _constant(node: OnnxNode) -> npt.NDArray[Any]:
    if len(node.attributes) != 1:
        raise node.invalid(f"a Constant has one value, this one has {len(node.attributes)}")
    ((name, attribute),) = node.attributes.items()
    if attribute.type == AttributeProto.TENSOR:
        return tensor_array(attribute.t)
    if attribute.type == AttributeProto.SPARSE_TENSOR:
        return sparse_array(attribute.sparse_tensor, MAX_CONSTANT_BYTES)
    readers: dict[str, Callable[[], npt.NDArray[Any]]] = {
        "value_float": lambda: np.array(attribute.f, np.float32),
        "value_floats": lambda: np.array(attribute.floats, np.float32),
        "value_int": lambda: np.array(attribute.i, np.int64),
        "value_ints": lambda: np.array(attribute.ints, np.int64),
        "value_string": lambda: np.array(attribute.s, object),
        "value_strings": lambda: np.array(list(attribute.strings), object),
    }
    if name not in readers:
        raise node.invalid(f"a Constant has no form {name!r}")
    return readers[name]()


# How many elements a node's results have at most, told from its inputs without computing them.

_Bound: TypeAlias = Callable[[OnnxNode, Arrays], float]


def _present(arrays: Arrays) -> list[npt.NDArray[Any]]:
    return [array for array in arrays if array is not None]


def _numbers(arrays: Arrays, index: int) -> list[int]:
    array = arrays[index] if index < len(arrays) else None
    if array is None or array.dtype.kind not in "iu":
        raise TypeError(f"input {index} is no list of integers")
    return [int(entry) for entry in array.reshape(-1)]


def _broadcast(node: OnnxNode, arrays: Arrays) -> float:
    return float(math.prod(np.broadcast_shapes(*(array.shape for array in _present(arrays)))))


def _no_more(node: OnnxNode, arrays: Arrays) -> float:
    return sum(array.size + array.ndim for array in _present(arrays))


def _per_axis(node: OnnxNode, arrays: Arrays) -> float:
    return max(array.size for array in _present(arrays))


def _filled(node: OnnxNode, arrays: Arrays) -> float:
    extents = _numbers(arrays, 0)
    if min(extents, default=0) < 0:
        raise ValueError(f"shape {extents} has a negative extent")
    return math.prod(extents)


def _expanded(node: OnnxNode, arrays: Arrays) -> float:
    source = _present(arrays)[0]
    return float(math.prod(np.broadcast_shapes(source.shape, tuple(_numbers(arrays, 1)))))


def _tiled(node: OnnxNode, arrays: Arrays) -> float:
    return _present(arrays)[0].size * math.prod(max(count, 0) for count in _numbers(arrays, 1))


def _range(node: OnnxNode, arrays: Arrays) -> float:
    start, limit, delta = (float(array.reshape(-1)[0]) for array in _present(arrays))
    if not delta or not math.isfinite(start + limit + delta):
        raise ValueError("Range has a step of zero, or a bound that is no number")
    return float(max(0, math.ceil((limit - start) / delta)))


def _gathered(node: OnnxNode, arrays: Arrays) -> float:
    source, indices = _present(arrays)
    axis = node.integer("axis", 0)
    return float(indices.size * source.size // max(1, source.shape[axis]))


def _gathered_slices(node: OnnxNode, arrays: Arrays) -> float:
    source, indices = _present(arrays)
    depth = indices.shape[-1] + node.integer("batch_dims", 0)
    return float(indices.size // max(1, indices.shape[-1]) * math.prod(source.shape[depth:]))


def _padded(node: OnnxNode, arrays: Arrays) -> float:
    source = _present(arrays)[0]
    pads = node.integers("pads") or tuple(_numbers(arrays, 1))
    return float(math.prod(extent + 2 * max(0, *pads) for extent in source.shape))


def _product(node: OnnxNode, arrays: Arrays) -> float:
    first, second = _present(arrays)[:2]
    summed = max(1, first.shape[0 if node.integer("transA", 0) else -1])
    if first.size * second.size // summed > MAX_MULTIPLY_ADDS:
        raise ValueError("the product of two constants takes too many operations")
    return float(first.size // summed * (second.size // summed))


def _cast(node: OnnxNode, arrays: Arrays) -> float:
    if node.integer("to", 0) == TensorProto.STRING:
        raise TypeError("text is no weight")
    return _per_axis(node, arrays)


def _one_hot(node: OnnxNode, arrays: Arrays) -> float:
    first = _present(arrays)[0]
    return first.size * max(0, _numbers(arrays, 1)[0])


@cache
def _bounds() -> dict[str, _Bound]:
    return {
        **dict.fromkeys(_ELEMENTWISE, _broadcast),
        **dict.fromkeys(_REARRANGING, _no_more),
        "DequantizeLinear": _per_axis,
        "QuantizeLinear": _per_axis,
        "Cast": _cast,
        "ConstantOfShape": _filled,
        "Expand": _expanded,
        "Tile": _tiled,
        "Range": _range,
        "Gather": _gathered,
        "GatherElements": _no_more,
        "GatherND": _gathered_slices,
        "NonZero": lambda node, arrays: sum(a.size * a.ndim for a in _present(arrays)),
        "Pad": _padded,
        "MatMul": _product,
        "Gemm": _product,
        "OneHot": _one_hot,
    }
