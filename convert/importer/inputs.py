"""Shapes and types of a model's inputs, with what the caller knows about them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto, TypeProto, ValueInfoProto

from snnconvert.convert.errors import (
    ModelFileError,
    OpenShapeError,
    UsageError,
    did_you_mean,
)
from snnconvert.convert.importer.builder import MAX_ELEMENTS
from snnconvert.convert.importer.structure import Structure
from snnconvert.convert.linear import Shape

MAX_EXTENT = 2**31 - 1


@dataclass(frozen=True)
class InputSpec:
    """One input of the network.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        Without batch; None if the file leaves it open, or if it has no batch axis.
    dtype : str
        NumPy's name of its type in the file.
    batch : int or None
        The extent of axis 0 that the file insists on.
    obstacle : str
        Why the input cannot be one of a spiking network, "" if it can.
    stated : str
        The shape as the file writes it, for messages.
    """

    name: str
    shape: Shape | None
    dtype: str = "float32"
    batch: int | None = None
    obstacle: str = ""
    stated: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the file leaves open a shape that the network needs."""
        return self.shape is None and not self.obstacle

    @property
    def example(self) -> str:
        """A shape that fits what the file states, as the command line takes it."""
        extents = self.stated.strip("()").split(", ")[1:]
        if not extents:
            return "3,32,32"
        return ",".join(e if e.isdigit() else "32" for e in extents)


def read_inputs(
    model: ModelProto, structure: Structure, input_shapes: Mapping[str, Sequence[int]]
) -> tuple[InputSpec, ...]:
    """Return the inputs of a model in order.

    Parameters
    ----------
    model : ModelProto
    structure : Structure
    input_shapes : dict of sequence of int
        Shapes without batch; the name "" stands for the only input.

    Raises
    ------
    ModelFileError
        If a stated extent makes no sense.
    UsageError
        If a given shape does not fit, or names no input.
    """
    given = _by_name(structure.inputs, input_shapes)
    described = {info.name: info for info in model.graph.input}
    missing = [name for name in structure.inputs if name not in described]
    if missing:
        described |= _inner_descriptions(model, missing)
    return tuple(
        _read_input(name, described.get(name, ValueInfoProto()), given.get(name))
        for name in structure.inputs
    )


def ask_for_open_shapes(specs: Sequence[InputSpec]) -> None:
    """Ask for every shape that the file leaves open: nothing can be judged without.

    Raises
    ------
    OpenShapeError
    """
    found = [spec for spec in specs if spec.is_open]
    if not found:
        return
    listed = ", ".join(f"{spec.name!r}: {spec.stated}" for spec in found)
    several = len(found) > 1
    names = [f"{spec.name}:" if len(specs) > 1 else "" for spec in found]
    flags = [
        "--input-shape " + shlex.quote(name + spec.example)
        for name, spec in zip(names, found, strict=True)
    ]
    raise OpenShapeError(
        f"inputs have open shapes: {listed}"
        if several
        else f"input {found[0].name!r} has an open shape: {found[0].stated}",
        why="the number of neurons must be known before the network runs",
        hint=f"state {'them' if several else 'it'} without the batch, for instance "
        + " ".join(flags),
    )


def _by_name(names: tuple[str, ...], shapes: Mapping[str, Sequence[int]]) -> dict[str, Shape]:
    given: dict[str, Shape] = {}
    for name, shape in shapes.items():
        if not name and len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} inputs: say which one the shape is for",
                hint="inputs: " + ", ".join(names),
            )
        if name and name not in names:
            raise UsageError(
                f"the model has no input {name!r}", hint=did_you_mean(name, list(names))
            )
        extents = tuple(shape)
        if not all(0 < e <= MAX_EXTENT for e in extents):
            raise UsageError(f"input shape {list(extents)} must be whole numbers of at least 1")
        given[name or names[0]] = extents
    return given


def _inner_descriptions(model: ModelProto, names: list[str]) -> dict[str, ValueInfoProto]:
    """Return what is known about tensors inside of the graph, inferred only if not written."""
    written = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    if any(name not in written for name in names):
        try:
            inferred = onnx.shape_inference.infer_shapes(model)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
            return written  # what is not known is asked for
        written = {info.name: info for info in inferred.graph.value_info} | written
    return written


def _read_input(name: str, info: ValueInfoProto, given: Shape | None) -> InputSpec:
    if info.HasField("type") and not info.type.HasField("tensor_type"):
        kind = str(info.type.WhichOneof("value"))
        return InputSpec(name, None, obstacle=f"it is no tensor ({kind.removesuffix('_type')})")
    tensor = info.type.tensor_type
    dtype = _dtype(name, tensor)
    if not dtype:
        return InputSpec(name, None, obstacle="its element type is no real number")
    dims = None if not tensor.HasField("shape") else [_dim(name, d) for d in tensor.shape.dim]
    if dims == []:
        return InputSpec(name, None, dtype, obstacle="it is a single number, without batch axis")
    batch = (dims[0] or None) if dims else None
    rest = dims[1:] if dims else None
    stated = "(" + ", ".join(_written(d) for d in tensor.shape.dim) + ")" if dims else "unknown"
    if given is not None:
        _check_given(name, given, rest, stated)
        rest = list(given)
    shape = None if rest is None or None in rest else tuple(e for e in rest if e is not None)
    if shape is not None and 0 in shape:
        raise ModelFileError(f"input {name!r} is empty: its shape is {stated}")
    if shape is not None and math.prod(shape) * (batch or 1) > MAX_ELEMENTS:
        raise ModelFileError(
            f"input {name!r} has the shape {stated}, the limit is {MAX_ELEMENTS:,} elements"
        )
    return InputSpec(name, shape, dtype, batch, stated=stated)


def _dtype(name: str, tensor: TypeProto.Tensor) -> str:
    kind = tensor.elem_type or onnx.TensorProto.FLOAT
    if kind not in onnx.helper.get_all_tensor_dtypes():
        raise ModelFileError(f"input {name!r} has the unknown element type {kind}")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    return "" if dtype.kind in "OSUc" else str(dtype)


def _dim(name: str, dim: onnx.TensorShapeProto.Dimension) -> int | None:
    """Return the extent, None where it is open; Paddle writes -1 for that."""
    if not dim.HasField("dim_value") or dim.dim_value == -1:
        return None
    if not 0 <= dim.dim_value <= MAX_EXTENT:
        raise ModelFileError(f"input {name!r} has an axis of extent {dim.dim_value:,}")
    return int(dim.dim_value)


def _written(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"


def _check_given(name: str, given: Shape, stated: list[int | None] | None, written: str) -> None:
    if stated is None:
        return
    fits = len(given) == len(stated) and all(
        want is None or have == want for have, want in zip(given, stated, strict=True)
    )
    if not fits:
        raise UsageError(
            f"input shape {list(given)} does not fit {name!r}, which the file gives as {written}",
            hint="give every axis but the first, which is the batch",
        )
