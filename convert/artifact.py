"""Save and load a spiking model: one zip file, JSON and plain arrays, no pickle.

``manifest.json`` holds the network, the preprocessing, the calibration and the provenance;
``arrays/N.npy`` the arrays it refers to; ``model.onnx`` the original network. The manifest carries
a format version: a newer one than ours is refused, never guessed at. Nothing is unpacked to disk,
and every field is checked against its declared type, so a hostile file is an error and no more.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.approximation import Approximation
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.declared_types import check_fields
from snnconvert.convert.errors import ArtifactError, OutputError
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    SumPool,
    Transpose,
    TransposedConvolution,
    Window,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay

FORMAT = 1
MANIFEST, MODEL = "manifest.json", "model.onnx"
SIZE_LIMIT = 4 << 30
MANIFEST_LIMIT = 64 << 20
"""Bytes unpacked; JSON takes many times its length once it is read."""

_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        AnytimeRule,
        Approximation,
        Connection,
        Convolution,
        Dense,
        Input,
        Matrix,
        Network,
        Population,
        Ramps,
        Readout,
        ReduceSum,
        Relay,
        Reshape,
        Scale,
        Select,
        SumPool,
        Transpose,
        TransposedConvolution,
        Window,
    )
}


def write_artifact(path: str | os.PathLike[str], content: Mapping[str, Any], model: bytes) -> None:
    """Write a .snn file; an existing one is replaced only when all of it is written.

    Parameters
    ----------
    path : path
    content : dict
        Dataclasses of the network, arrays, numbers, strings, lists, dictionaries.
    model : bytes
        The original ONNX model.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    arrays: list[np.ndarray[Any, Any]] = []
    record = {"format": FORMAT, "content": _encode(dict(content), arrays)}
    manifest = json.dumps(record, allow_nan=False)
    if len(manifest) > MANIFEST_LIMIT or sum(a.nbytes for a in arrays) + len(model) > SIZE_LIMIT:
        raise OutputError(f"cannot write {target}", why="the network is too large for a .snn file")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OutputError(f"cannot write {target}", why=str(error)) from error
    temporary = Path(name)
    try:
        with (
            os.fdopen(handle, "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            archive.writestr(MANIFEST, manifest)
            archive.writestr(MODEL, model)
            for i, array in enumerate(arrays):
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                archive.writestr(f"arrays/{i}.npy", buffer.getvalue())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}", why=str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_artifact(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """Read a .snn file.

    Returns
    -------
    content : dict
        As given to :func:`write_artifact` (lists come back as tuples).
    model : bytes

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, of another kind, or of a newer format.
    """
    file = Path(path)
    if file.is_dir():
        raise ArtifactError(f"{file} is a folder", hint="give the .snn file in it")
    if not file.is_file():
        raise ArtifactError(f"no such file: {file}", hint="check the path")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_size(file, sum(e.file_size for e in archive.infolist()), SIZE_LIMIT)
            _check_size(file, archive.getinfo(MANIFEST).file_size, MANIFEST_LIMIT)
            manifest = json.loads(archive.read(MANIFEST))
            _check_format(file, manifest)
            content = _decode(manifest["content"], lambda i: _read_array(archive, i))
            return dict(content), archive.read(MODEL)
    except ArtifactError:
        raise
    except PermissionError as error:
        raise ArtifactError(f"cannot read {file}", why=error.strerror or str(error)) from error
    except Exception as error:  # zlib, zipfile, json and numpy have a dozen ways to say it
        raise ArtifactError(
            f"{file} is damaged or not a .snn file",
            why=f"{type(error).__name__}: {error}",
            hint="such files are written by snnconvert MODEL.onnx, which takes the ONNX model",
        ) from error


def _check_size(file: Path, claimed: int, limit: int) -> None:
    if claimed > limit:
        raise ArtifactError(f"{file} claims to unpack to {claimed} bytes; at most {limit} are read")


def _check_format(file: Path, manifest: Any) -> None:
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{file} is not a .snn file: its manifest has no format version")
    if version > FORMAT:
        raise ArtifactError(
            f"{file} has format {version}, this version of snnconvert reads up to {FORMAT}",
            hint="install a newer snnconvert",
        )


def _read_array(archive: zipfile.ZipFile, index: int) -> np.ndarray[Any, Any]:
    with archive.open(f"arrays/{int(index)}.npy") as stream:
        array: np.ndarray[Any, Any] = np.load(io.BytesIO(stream.read()), allow_pickle=False)
    return array


def _encode(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.generic):
        return _encode(value.item(), arrays)
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, sp.csr_array):
        parts = [np.asarray(a) for a in (value.data, value.indices, value.indptr)]
        return {"csr": [_encode(p, arrays) for p in parts], "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return {"dict": [[str(k), _encode(v, arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_encode(v, arrays) for v in value]
    if is_dataclass(value) and type(value).__name__ in _TYPES:
        stored = {f.name: _encode(_as_array(getattr(value, f.name)), arrays) for f in fields(value)}
        return {"type": type(value).__name__, "fields": stored}
    raise TypeError(f"a {type(value).__name__} cannot be stored in a .snn file")


def _as_array(value: Any) -> Any:
    """Keep a NumPy number of a network an array: readers may use its shape."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _decode(value: Any, read: Callable[[int], np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(v, read) for v in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return read(value["array"])
    if "float" in value:
        return float(value["float"])
    if "csr" in value:
        data, indices, indptr = (_decode(v, read) for v in value["csr"])
        matrix = sp.csr_array((data, indices, indptr), shape=tuple(value["shape"]))
        matrix.check_format(full_check=True)  # a product trusts the indices
        return matrix
    if "dict" in value:
        return {k: _decode(v, read) for k, v in value["dict"]}
    kind = _TYPES.get(value.get("type", ""))
    if kind is None:
        raise TypeError(f"unknown kind of object {value.get('type')!r}")
    values = {k: _decode(v, read) for k, v in value["fields"].items()}
    check_fields(kind, values)
    return kind(**values)
