"""Fingerprints of networks and options: equal ones hold the same, to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp


def fingerprint(value: Any) -> str:
    """Return the SHA-256, in hexadecimal digits, of dataclasses, arrays and plain values.

    Anything else (a function) counts by its type and qualified name.

    Examples
    --------
    >>> fingerprint({"a": 1.0}) == fingerprint({"a": 1.0})
    True
    >>> fingerprint([1]) == fingerprint([1.0])
    False
    """
    sha = hashlib.sha256()
    for part in _parts(value):
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return sha.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, sp.csr_array):
        yield f"csr {value.shape}".encode()
        for array in (value.data, value.indices, value.indptr):
            yield from _parts(np.asarray(array))
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key, entry in value.items():
            yield from _parts(key)
            yield from _parts(entry)
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for entry in value:
            yield from _parts(entry)
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__qualname__.encode()
        for field in fields(value):
            yield field.name.encode()
            yield from _parts(getattr(value, field.name))
    elif value is None or isinstance(value, str | int | float | np.generic):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, bytes):
        yield value
    else:
        name = getattr(value, "__qualname__", "")
        yield f"{type(value).__qualname__} {getattr(value, '__module__', '')} {name}".encode()
