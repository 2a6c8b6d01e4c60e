"""Read an ONNX file into a ModelProto that holds all of its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import onnx
from google.protobuf.message import (  # type: ignore[import-untyped]
    DecodeError,
    EncodeError,
)
from onnx import FunctionProto, GraphProto, ModelProto

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.importer.tensors import all_tensors, embed_external_data, subgraphs

OLDEST_OPSET = 7
MAX_FILE_BYTES = 2**31 - 1
LARGEST_VERSION = 2**31 - 1
"""Of a domain: onnx looks no further."""

EXPORT_HINT = "export it with torch.onnx.export, or with tf2onnx from Keras and TensorFlow"
_MAGIC = {
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint or a .keras file",
    b"\x89HDF": "an HDF5 file, such as Keras weights",
    b"\x1f\x8b": "a gzip archive",
}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A parsed model.

    Attributes
    ----------
    model : ModelProto
        Our own copy, external data embedded.
    path : str or None
    original : bytes or None
        The file's bytes when they hold the whole model.
    """

    model: ModelProto
    path: str | None
    original: bytes | None


def label(path: str | None) -> str:
    """Return what messages call the model."""
    return "the model" if path is None else Path(path).name


def read_onnx(source: str | PathLike[str] | bytes | ModelProto) -> OnnxFile:
    """Read a model from a path, from bytes or from a ModelProto.

    Raises
    ------
    ModelFileError
        If it cannot be read, is not ONNX, or its data are incomplete or lie elsewhere.
    """
    path: Path | None = None
    if isinstance(source, ModelProto):
        content = serialise(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
    elif isinstance(source, str | PathLike):
        path = Path(source)
        content = _read(path)
    else:
        kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
        raise ModelFileError(
            f"a model is a path, bytes or an onnx.ModelProto, not {kind}",
            hint="export a network of PyTorch with torch.onnx.export, and give the file",
        )
    model = _parse(content, path)
    _check_header(model, path)
    embedded = embed_external_data(all_tensors(model), None if path is None else path.parent)
    return OnnxFile(model, None if path is None else str(path), None if embedded else content)


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder", hint="give the .onnx file in it")
        if not path.is_file():
            shipped = "" if path.suffix else "; shipped_model_path(NAME) has the shipped ones"
            raise ModelFileError(f"no such file: {path}", hint=f"check the path{shipped}")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelFileError(
                f"{path} has {path.stat().st_size:,} bytes, protobuf files have at most "
                f"{MAX_FILE_BYTES:,}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error


def serialise(model: ModelProto) -> bytes:
    """Return the model's bytes; more than 2 GiB cannot be written."""
    try:
        content: bytes = model.SerializeToString()
        return content
    except (EncodeError, ValueError) as error:
        raise ModelFileError(f"the model cannot be serialised: {error}") from error


def _parse(content: bytes, path: Path | None) -> ModelProto:
    name = "the model" if path is None else str(path)
    if not content:
        raise ModelFileError(f"{name} is empty")
    for magic, kind in _MAGIC.items():
        if content.startswith(magic):
            raise ModelFileError(f"{name} is {kind}, not ONNX", hint=EXPORT_HINT)
    try:
        model: ModelProto = ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelFileError(
            f"{name} is not an ONNX file, or it is damaged",
            why="its bytes are no complete protobuf message",
            hint="download or export it again",
        ) from error
    if not model.HasField("graph"):
        raise ModelFileError(f"{name} is not an ONNX file: it holds no graph", hint=EXPORT_HINT)
    return model


def _check_text(model: ModelProto, where: str) -> None:
    """Refuse names that are not UTF-8: protobuf hands them over as bytes, or raises here."""
    try:
        strange = next((name for name in _names(model) if not isinstance(name, str)), None)
    except UnicodeDecodeError as error:
        strange = error.object
    if strange is not None:
        raise ModelFileError(f"the model holds a name that is not text: {strange!r}", where=where)


def _names(model: ModelProto) -> Iterator[str | bytes]:
    yield from (entry.domain for entry in model.opset_import)
    for tensor in all_tensors(model):
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    graphs: list[GraphProto | FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        yield graph.name
        if isinstance(graph, GraphProto):
            for info in (*graph.input, *graph.output, *graph.value_info):
                yield info.name
                yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
        else:
            yield from (graph.domain, graph.overload, *graph.input, *graph.output)
        for node in graph.node:
            yield from (node.name, node.op_type, node.domain, node.overload)
            yield from (*node.input, *node.output)
            for attribute in node.attribute:
                yield from (attribute.name, attribute.ref_attr_name)
                graphs += subgraphs(attribute)


def _check_header(model: ModelProto, path: Path | None) -> None:
    where = "" if path is None else str(path)
    _check_text(model, where)
    if model.ir_version > onnx.IR_VERSION:
        raise ModelFileError(
            f"the model's IR version {model.ir_version} is newer than {onnx.IR_VERSION}, the "
            f"newest that onnx {onnx.__version__} knows",
            where=where,
            hint="upgrade onnx, or export for an older version",
        )
    if not model.graph.node:
        raise ModelFileError("the model's graph has no nodes", where=where)
    seen: set[str] = set()
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if domain in seen:
            raise ModelFileError(f"the model imports the domain {domain!r} twice", where=where)
        known = not domain and entry.version < 0  # check_opset says which versions there are
        if not known and not 0 <= entry.version <= LARGEST_VERSION:
            raise ModelFileError(
                f"the model imports version {entry.version:,} of the domain {domain!r}", where=where
            )
        seen.add(domain)
    check_opset(opsets(model).get("", 0), where)


def check_opset(opset: int, where: str) -> None:
    """Refuse an ONNX opset that we or the installed onnx do not know."""
    newest = onnx.defs.onnx_opset_version()
    if not opset:
        raise ModelFileError(
            "the model does not say which ONNX opset it uses", where=where, hint=EXPORT_HINT
        )
    if opset < OLDEST_OPSET:
        raise ModelFileError(
            f"the model uses ONNX opset {opset}, the oldest supported is {OLDEST_OPSET}",
            where=where,
            hint="convert it with onnx.version_converter.convert_version(model, 13)",
        )
    if opset > newest:
        raise ModelFileError(
            f"the model uses ONNX opset {opset}, the newest that onnx {onnx.__version__} knows "
            f"is {newest}",
            where=where,
            hint="upgrade onnx, or export for an older opset",
        )


def opsets(model: ModelProto) -> dict[str, int]:
    """Return the version of each domain that the model imports; "" is ONNX's own."""
    return {
        "" if entry.domain == "ai.onnx" else entry.domain: int(entry.version)
        for entry in model.opset_import
    }
