"""Write the part of a model that is converted, in a form that onnxruntime reads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import ModelProto, ValueInfoProto

from snnconvert.convert.importer.file import opsets
from snnconvert.convert.importer.inputs import InputSpec
from snnconvert.convert.importer.structure import Structure, find_schema, unique_names

RUNTIME_OPSET = 26
RUNTIME_IR_VERSION = 13
"""The newest that onnxruntime 1.31 reads; onnx 1.23 knows newer ones."""


def cut_model(model: ModelProto, structure: Structure, specs: tuple[InputSpec, ...]) -> ModelProto:
    """Return a model of the nodes between the chosen inputs and outputs."""
    cut = ModelProto()
    cut.ir_version = max(model.ir_version, 4)  # older ones want initialisers among the inputs
    cut.opset_import.extend(model.opset_import)
    cut.producer_name = model.producer_name
    cut.graph.name = model.graph.name or "graph"
    wanted = {node.position for node in structure.nodes}
    cut.graph.node.extend(
        node for position, node in enumerate(model.graph.node, start=1) if position in wanted
    )
    cut.graph.initializer.extend(structure.initialisers.values())
    cut.graph.sparse_initializer.extend(structure.sparse_initialisers.values())
    own = {info.name: info for info in model.graph.input}
    cut.graph.input.extend(own.get(spec.name) or _input_info(spec) for spec in specs)
    known = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    cut.graph.output.extend(
        known.get(name) or ValueInfoProto(name=name) for name in structure.outputs
    )
    return cut


def _input_info(spec: InputSpec) -> ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    shape = None if spec.shape is None else [spec.batch or "batch", *spec.shape]
    return onnx.helper.make_tensor_value_info(spec.name, kind, shape)


def fix_batch(model: ModelProto, batch: int) -> ModelProto:
    """Return the model with the extent of the batch written into its inputs."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    constants = {tensor.name for tensor in fixed.graph.initializer}
    for info in fixed.graph.input:
        if info.name not in constants and info.type.tensor_type.shape.dim:
            info.type.tensor_type.shape.dim[0].dim_value = batch
    return fixed


def rename_twins(model: ModelProto) -> ModelProto:
    """Return the model with different names for its nodes: onnxruntime insists on that."""
    counts = Counter(node.name for node in model.graph.node if node.name)
    if max(counts.values(), default=1) == 1:
        return model
    renamed = ModelProto()
    renamed.CopyFrom(model)
    for node, name in zip(renamed.graph.node, unique_names(model.graph.node, ()), strict=True):
        node.name = name
    return renamed


def readable_by_onnxruntime(model: ModelProto) -> ModelProto:
    """Return the model under older version numbers if its operators mean the same there.

    onnx knows opsets before onnxruntime does. Most operators do not change from one to the next,
    so the same file is valid under an older number; a model that needs the new one stays as it is.
    """
    opset = opsets(model)[""]
    if opset <= RUNTIME_OPSET and model.ir_version <= RUNTIME_IR_VERSION:
        return model
    for node in model.graph.node:
        schema = find_schema(node.op_type, opset, "") if not node.domain else None
        if schema is not None and schema.since_version > RUNTIME_OPSET:
            return model
    older = ModelProto()
    older.CopyFrom(model)
    older.ir_version = min(older.ir_version, RUNTIME_IR_VERSION)
    for entry in older.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, RUNTIME_OPSET)
    return older
