"""Check values against the types that a dataclass declares: for what comes from a file."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np


def check_fields(
    kind: type, values: Mapping[str, Any], names: Mapping[str, Any] | None = None
) -> None:
    """Check that every value has the type of its field.

    Parameters
    ----------
    kind : dataclass
    values : dict
        By name of field; what is missing or unknown is left to the constructor.
    names : dict, optional
        Types that the module of `kind` imports for type checkers only.

    Raises
    ------
    TypeError
        If one has another type.
    """
    hints = _hints(kind) if names is None else get_type_hints(kind, localns=dict(names))
    for name, value in values.items():
        if name in hints and not conforms(value, hints[name]):
            raise TypeError(f"{kind.__name__}.{name} cannot be {_describe(value)}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def conforms(value: Any, hint: Any) -> bool:
    """Tell whether a value has a type as annotations write it."""
    origin, parameters = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(conforms(value, option) for option in parameters)
    if origin is Literal:
        return isinstance(value, str) and value in parameters
    if origin is tuple:
        return isinstance(value, tuple) and _entries_conform(value, parameters)
    if origin is dict:
        return isinstance(value, dict) and all(
            conforms(k, parameters[0]) and conforms(v, parameters[1]) for k, v in value.items()
        )
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _entries_conform(entries: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
    if len(parameters) == 2 and parameters[1] is Ellipsis:
        return all(conforms(entry, parameters[0]) for entry in entries)
    return len(entries) == len(parameters) and all(map(conforms, entries, parameters))


def _describe(value: Any) -> str:
    text = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
