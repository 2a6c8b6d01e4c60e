"""What a refused node would have given, so that the nodes behind it can be judged too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, TypeProto

from snnconvert.convert.importer.builder import MAX_ELEMENTS, Activation, Constant, Value
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.structure import find_schema
from snnconvert.convert.importer.tensors import subgraphs

LARGEST_INFERRED_CONSTANT = 2**12
"""Elements; shapes and axes are shorter, and weights say enough by their shape."""


def promised_outputs(
    node: OnnxNode, values: Mapping[str, Value], batch: int
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and type of those outputs that ONNX's definition fixes.

    Parameters
    ----------
    node : OnnxNode
        One that was refused.
    values : dict of Value
        What its inputs are.
    batch : int
        Extent of axis 0; an output with another one is left out.
    """
    schema = find_schema(node.op_type, node.opset, node.domain)
    if schema is None or any(subgraphs(attribute) for attribute in node.proto.attribute):
        return {}
    types: dict[str, TypeProto] = {}
    data: dict[str, TensorProto] = {}
    for name in filter(None, node.inputs):
        value = values[name]
        if isinstance(value, Activation):
            types[name] = _type(value.dtype, (batch, *value.shape))
        elif isinstance(value, Constant) and value.array.dtype.kind not in "OSU":
            types[name] = _type(str(value.array.dtype), value.array.shape)
            if value.array.size <= LARGEST_INFERRED_CONSTANT:
                data[name] = onnx.numpy_helper.from_array(value.array, name)
        else:
            return {}
    versions = [onnx.helper.make_opsetid(node.domain, node.opset)]
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, node.proto, types, data, opset_imports=versions
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError):
        return {}  # what ONNX cannot tell stays unjudged
    promised = {name: _promise(kind, batch) for name, kind in found.items()}
    return {name: promise for name, promise in promised.items() if promise is not None}


def _type(dtype: str, shape: tuple[int, ...]) -> TypeProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_type_proto(kind, shape)


def _promise(kind: TypeProto, batch: int) -> tuple[tuple[int, ...], str] | None:
    tensor = kind.tensor_type
    extents = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    if not extents or extents[0] != batch or not all(0 < e <= MAX_ELEMENTS for e in extents):
        return None
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind not in "fiub" or float(np.prod(extents[1:], dtype=float)) > MAX_ELEMENTS:
        return None
    return tuple(extents[1:]), str(dtype)
