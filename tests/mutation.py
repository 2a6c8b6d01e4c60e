"""Damaged models: bytes and fields of valid ONNX files, altered by a seeded generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx_grammar import Seeded, sketch_model

INTERESTING = (0, 1, -1, 2, 7, 127, 128, 255, 2**31 - 1, -(2**31), 2**62, -(2**63))
NAMES = (
    *("", "x0", "c0", "c1", "t0_0", "Conv", "Reshape", "If", "Loop", "Constant", "SAME_UPPER"),
    *("\u00e4", "/etc/passwd", "ai.onnx.ml", "com.microsoft", "linear", "axis"),
)
Generator = np.random.Generator


def valid_models(count: int, shipped: Sequence[Path] = ()) -> list[bytes]:
    """Return small valid models of the grammar, and those of files."""
    made = [sketch_model(Seeded(seed), 4).model().SerializeToString() for seed in range(count)]
    return made + [path.read_bytes() for path in shipped]


def mutate(seed: int, models: Sequence[bytes]) -> bytes:
    """Return one model with one to three alterations."""
    rng = np.random.default_rng(seed)
    content = models[int(rng.integers(len(models)))]
    for _ in range(int(rng.integers(1, 4))):
        if rng.integers(4):
            content = _altered_field(content, rng)
        else:
            content = _BYTES[int(rng.integers(len(_BYTES)))](content, rng, models)
    return content


# Bytes.


def _position(content: bytes, rng: Generator) -> int:
    return int(rng.integers(len(content) + 1))


def _overwrite(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    altered = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if altered:
            altered[int(rng.integers(len(altered)))] = int(rng.integers(256))
    return bytes(altered)


def _flip(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    altered = bytearray(content)
    if altered:
        altered[int(rng.integers(len(altered)))] ^= 1 << int(rng.integers(8))
    return bytes(altered)


def _truncate(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    return content[: _position(content, rng)]


def _remove(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    start = _position(content, rng)
    return content[:start] + content[start + int(rng.integers(1, 40)) :]


def _repeat(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    start = _position(content, rng)
    part = content[start : start + int(rng.integers(1, 200))]
    return content[:start] + part * int(rng.integers(2, 5)) + content[start:]


def _insert(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    start = _position(content, rng)
    return content[:start] + rng.bytes(int(rng.integers(1, 12))) + content[start:]


def _splice(content: bytes, rng: Generator, models: Sequence[bytes]) -> bytes:
    other = models[int(rng.integers(len(models)))]
    return content[: _position(content, rng)] + other[_position(other, rng) :]


_BYTES: tuple[Callable[[bytes, Generator, Sequence[bytes]], bytes], ...] = (
    _overwrite,
    _flip,
    _truncate,
    _remove,
    _repeat,
    _insert,
    _splice,
)

# Fields.


def _altered_field(content: bytes, rng: Generator) -> bytes:
    """Alter one field somewhere in the message tree, where the content still is a message."""
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        return content
    message: Message = model
    while True:
        fields = [field for field, _ in message.ListFields()]
        if not fields:
            break
        field = fields[int(rng.integers(len(fields)))]
        value = getattr(message, field.name)
        nested = field.type == FieldDescriptor.TYPE_MESSAGE
        if nested and rng.integers(8):
            message = value[int(rng.integers(len(value)))] if field.is_repeated else value
            continue
        _alter(message, field, rng)
        break
    altered: bytes = model.SerializeToString()
    return altered


def _alter(message: Message, field: FieldDescriptor, rng: Generator) -> None:
    value = getattr(message, field.name)
    choice = int(rng.integers(4))
    if choice == 0:
        message.ClearField(field.name)
    elif not field.is_repeated:
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            _set(message, field, rng)
    elif choice == 1:
        del value[int(rng.integers(len(value)))]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        value.add().CopyFrom(value[int(rng.integers(len(value)))])
    elif choice == 2:
        value.append(_scalar(field, rng))
    else:
        value[int(rng.integers(len(value)))] = _scalar(field, rng)


def _set(message: Message, field: FieldDescriptor, rng: Generator) -> None:
    setattr(message, field.name, _scalar(field, rng))


def _scalar(field: FieldDescriptor, rng: Generator) -> int | float | str | bytes:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        name = NAMES[int(rng.integers(len(NAMES)))]
        return name.encode() if field.type == FieldDescriptor.TYPE_BYTES else name
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return float([0.0, -1.0, 1e30, np.nan, np.inf][int(rng.integers(5))])
    number: int = INTERESTING[int(rng.integers(len(INTERESTING)))]
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        numbers = [value.number for value in field.enum_type.values]
        return int(numbers[int(rng.integers(len(numbers)))])
    if kind == FieldDescriptor.CPPTYPE_INT32:
        return max(-(2**31), min(number, 2**31 - 1))
    return max(0, number) if kind == FieldDescriptor.CPPTYPE_UINT64 else number
