"""Compare two Graphs that should be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from snnconvert.convert.graph import Node


def first_difference(ours: Sequence[Node], theirs: Sequence[Node]) -> str | None:
    """Return the name of the first node that differs, None if all are equal."""
    for one, other in zip(ours, theirs, strict=False):
        if not _same(one, other):
            return one.name
    return None if len(ours) == len(theirs) else ours[-1].name


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if is_dataclass(one):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)
