"""Tensors of an ONNX file as arrays, believed only after their sizes are checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from snnconvert.convert.errors import ModelFileError

MAX_BYTES = 2**40
_NARROW_BITS: dict[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    TensorProto.FLOAT6E2M3: 6,
    TensorProto.FLOAT6E3M2: 6,
}


def tensor_bytes(tensor: TensorProto) -> int:
    """Return the bytes that the tensor's shape and type need.

    Raises
    ------
    ModelFileError
        If they make no sense.
    """
    dims = list(tensor.dims)
    if any(dim < 0 for dim in dims):
        raise _invalid(tensor, f"has a negative extent in its shape {dims}")
    if tensor.data_type in _NARROW_BITS:
        bits = _NARROW_BITS[tensor.data_type]
    elif tensor.data_type in onnx.helper.get_all_tensor_dtypes():
        bits = 8 * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    else:
        raise _invalid(tensor, f"has the unknown element type {tensor.data_type}")
    size = -(-int(math.prod(dims)) * bits // 8)
    if size > MAX_BYTES:
        raise _invalid(tensor, f"claims the shape {dims}, which no file can hold")
    return size


def tensor_array(tensor: TensorProto) -> npt.NDArray[Any]:
    """Return the tensor's values.

    Raises
    ------
    ModelFileError
        If the stored values are not as many as the shape says.
    """
    check_tensor(tensor)
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError) as error:
        raise _invalid(tensor, f"cannot be read: {error}") from error


def check_tensor(tensor: TensorProto) -> None:
    """Compare what is stored with what the shape needs, before anything is allocated."""
    expected = tensor_bytes(tensor)
    if tensor.HasField("segment"):
        raise _invalid(tensor, "is stored in segments, which no ONNX version defines")
    if tensor.HasField("raw_data") and tensor.data_type != TensorProto.STRING:
        stored, unit = len(tensor.raw_data), "bytes"
    else:
        stored = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
        expected, unit = _entries(tensor), "entries"
    if stored != expected:
        raise _invalid(
            tensor,
            f"has {stored:,} {unit}, its shape {list(tensor.dims)} needs {expected:,}",
        )


def _entries(tensor: TensorProto) -> int:
    size = int(math.prod(tensor.dims))
    if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * size
    bits = _NARROW_BITS.get(tensor.data_type, 8)
    return size if bits == 6 else -(-size * bits // 8)


def sparse_array(tensor: onnx.SparseTensorProto, limit: int) -> npt.NDArray[Any]:
    """Return a sparse tensor as a dense array of at most `limit` bytes."""
    values = tensor_array(tensor.values)
    indices = tensor_array(tensor.indices)
    dims = tuple(tensor.dims)
    if any(dim < 1 for dim in dims) or math.prod(dims) * values.dtype.itemsize > limit:
        raise _invalid(tensor.values, f"claims the shape {list(dims)}, too large to unfold")
    extents = np.array(dims, np.int64)
    if indices.dtype != np.int64 or indices.shape not in ((values.size,), (values.size, len(dims))):
        raise _invalid(tensor.values, "has indices that do not fit its values")
    bound = extents if indices.ndim == 2 else math.prod(dims)
    if (indices < 0).any() or (indices >= bound).any():
        raise _invalid(tensor.values, "has indices outside its shape")
    dense = np.zeros(dims, values.dtype)
    flat = np.ravel_multi_index(tuple(indices.T), dims) if indices.ndim == 2 else indices
    dense.reshape(-1)[flat] = values.reshape(-1)
    return dense


def _invalid(tensor: TensorProto, message: str) -> ModelFileError:
    return ModelFileError(f"initialiser {tensor.name!r} {message}")


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor of the model: initialisers and attributes, subgraphs and functions."""
    graphs: list[GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        if isinstance(graph, GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute_tensors(attribute)
                graphs += subgraphs(attribute)


def attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    """Yield the tensors that an attribute holds."""
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for tensor in (*sparse, *attribute.sparse_tensors):
        yield from (tensor.values, tensor.indices)


def subgraphs(attribute: AttributeProto) -> list[GraphProto]:
    """Return the graphs that an attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def embed_external_data(tensors: Iterable[TensorProto], folder: Path | None) -> bool:
    """Move data that lie in other files into the model; tell whether there were any.

    Parameters
    ----------
    tensors : iterable of TensorProto
        Changed in place.
    folder : Path or None
        The model's; None when it was not read from a file.

    Raises
    ------
    ModelFileError
        If a file is missing, too short, or outside of the folder.
    """
    found = False
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        found = True
        if folder is None:
            raise ModelFileError(
                f"initialiser {tensor.name!r} lies in another file",
                why="a model given as bytes has no folder to look in",
                hint="pass the path of the .onnx file",
            )
        tensor.raw_data = _read_external(tensor, folder)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return found


def _read_external(tensor: TensorProto, folder: Path) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _external_path(tensor, entries.get("location", ""), folder)
    expected = tensor_bytes(tensor)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(expected)))
    except ValueError as error:
        raise _invalid(tensor, "has an external offset or length that is no number") from error
    if length != expected or offset < 0:
        raise _invalid(
            tensor,
            f"has {length:,} external bytes at {offset:,}, its shape {list(tensor.dims)} "
            f"needs {expected:,}",
        )
    try:
        available = path.stat().st_size
        if offset + length > available:
            raise _invalid(
                tensor, f"needs {offset + length:,} bytes of {path.name}, which has {available:,}"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise _invalid(tensor, f"cannot be read from {path.name}: {error.strerror}") from error


def _external_path(tensor: TensorProto, location: str, folder: Path) -> Path:
    if not location or "\0" in location:
        raise _invalid(tensor, "lies in another file whose name is missing")
    root = folder.resolve()
    outside = ModelFileError(
        f"initialiser {tensor.name!r} lies in {location!r}, outside of the model's folder",
        why="a model file must not make us read other files of this computer",
        hint="put the external data beside the .onnx file, as a file and not as a link elsewhere",
    )
    if Path(location).is_absolute() or ".." in Path(location.replace("\\", "/")).parts:
        raise outside
    try:
        path = (root / location).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise _invalid(tensor, f"cannot be read from {location!r}: {error}") from error
    if not path.is_relative_to(root):
        raise outside
    if not path.is_file():
        raise ModelFileError(
            f"initialiser {tensor.name!r} lies in {location!r}, which is not there",
            hint=f"copy that file into {folder}",
        )
    return path
