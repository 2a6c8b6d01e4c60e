"""Import an ONNX model as a Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

from onnx import ModelProto

from snnconvert.convert.checking.node_verdicts import NodeVerdict
from snnconvert.convert.errors import ModelFileError, Problem, UnsupportedModelError
from snnconvert.convert.graph import Graph
from snnconvert.convert.importer.file import OnnxFile, label, opsets, read_onnx, serialise
from snnconvert.convert.importer.functions import inline_functions
from snnconvert.convert.importer.inputs import InputSpec, ask_for_open_shapes, read_inputs
from snnconvert.convert.importer.structure import Structure, read_structure
from snnconvert.convert.importer.translate import Translation, translate
from snnconvert.convert.importer.write import (
    cut_model,
    fix_batch,
    readable_by_onnxruntime,
    rename_twins,
)
from snnconvert.convert.linear import Shape

CHECK_HINT = "snnconvert check looks for a part of the model that can be converted"


@dataclass(frozen=True, eq=False)
class Imported:
    """A model as a Graph, and as bytes that onnxruntime runs.

    Attributes
    ----------
    graph : Graph or None
        None when there are problems.
    model_bytes : bytes
        One self-contained serialised ModelProto: external data embedded, functions expanded, cut
        at the inputs and outputs that were chosen.
    path : str or None
        Where it was read from.
    opset : int
    node_count : int
        Nodes in the file.
    problems : tuple of Problem
        Why it cannot be converted, in the order of the file.
    batch_fixed : int or None
        Batch extent that the file insists on; the Graph takes any.
    input_dtypes : dict of str
        NumPy's name of each input's type in the file.
    verdicts : tuple of NodeVerdict
        What became of each node of the file, in its order.
    structure : Structure
        The wiring of the part that was taken.
    shapes : dict of tuple of int
        Shape without batch of each tensor that depends on the input, as far as it is known.
    """

    graph: Graph | None
    model_bytes: bytes
    path: str | None
    opset: int
    node_count: int
    problems: tuple[Problem, ...]
    batch_fixed: int | None
    input_dtypes: dict[str, str]
    verdicts: tuple[NodeVerdict, ...]
    structure: Structure
    shapes: dict[str, Shape]


def import_onnx(
    model: str | PathLike[str] | bytes | ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Imported:
    """Import an ONNX model.

    Parameters
    ----------
    model : path, bytes or ModelProto
    input_shapes : dict of sequence of int, optional
        Shapes without batch of inputs whose shape the file leaves open; the name "" stands for
        the only input.
    inputs, outputs : sequence of str, optional
        Tensors between which the graph is cut out; default: the file's own.

    Raises
    ------
    ModelFileError
        If the file cannot be read or is no valid ONNX model.
    OpenShapeError
        If the file leaves shapes open that are not given: asked for before anything is judged.
    UsageError
        If an argument names no tensor of the model.
    UnsupportedModelError
        If the model cannot be converted; lists every reason.
    """
    imported = check_onnx(model, input_shapes=input_shapes, inputs=inputs, outputs=outputs)
    if imported.problems:
        raise UnsupportedModelError(imported.problems, model=label(imported.path), hint=CHECK_HINT)
    return imported


def check_onnx(
    model: str | PathLike[str] | bytes | ModelProto | OnnxFile,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Imported:
    """Import an ONNX model; what cannot be converted is returned as problems, not raised.

    Parameters and other errors are those of :func:`import_onnx`; a file may be one that was read.
    """
    path = None
    try:
        file = model if isinstance(model, OnnxFile) else read_onnx(model)
        path = file.path
        return _import_file(file, input_shapes or {}, inputs, outputs)
    except ModelFileError as error:
        if path is None or path in error.where or path in error.message:
            raise
        where = f"{error.where}, in {path}" if error.where else path
        raise type(error)(error.message, where=where, why=error.why, hint=error.hint) from error


def _import_file(
    file: OnnxFile,
    input_shapes: Mapping[str, Sequence[int]],
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
) -> Imported:
    model = inline_functions(file.model)
    structure = read_structure(model, inputs, outputs)
    specs = read_inputs(model, structure, input_shapes)
    ask_for_open_shapes(specs)
    found = translate(structure, specs, model.ByteSize())
    opset = opsets(file.model)[""]
    graph = None
    if not found.problems:
        name = file.model.graph.name or label(file.path)
        graph = Graph(
            name, found.nodes, found.outputs, structure.outputs, opset=opset, notes=found.notes
        )
    return Imported(
        graph,
        _runnable(file, model, structure, specs, found),
        file.path,
        opset,
        len(file.model.graph.node),
        found.problems,
        found.batch_fixed,
        {spec.name: spec.dtype for spec in specs},
        found.verdicts,
        structure,
        found.shapes,
    )


def _runnable(
    file: OnnxFile,
    model: ModelProto,
    structure: Structure,
    specs: tuple[InputSpec, ...],
    found: Translation,
) -> bytes:
    """Return the file as it is, where it can stay as it is."""
    if structure.cut:
        model = cut_model(model, structure, specs)
    if found.batch_fixed is not None and any(spec.batch is None for spec in specs):
        model = fix_batch(model, found.batch_fixed)
    model = readable_by_onnxruntime(rename_twins(model))
    if model is file.model and file.original is not None:
        return file.original
    return serialise(model)
