"""Fit rows to the shape that a network needs: channels first or last, a missing channel axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import Shape

_Move: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """How rows become what the network needs.

    Attributes
    ----------
    note : str
        What was changed, in words; empty when nothing was.
    """

    move: _Move
    note: str = ""


def find_layout(rows: Shape, needed: Shape, name: str, what: str) -> Layout:
    """Return how rows of one shape become rows of the needed shape.

    Only what the shapes decide is changed: rows that fit are never touched.

    Parameters
    ----------
    rows, needed : tuple of int
        Shape of one row as given, and as the network needs it (batch not counted).
    name, what : str
        Of the input, and what the rows are for ("calibration"): for the messages.

    Raises
    ------
    DataError
        If the shapes do not go together.
    """
    if rows == needed:
        return Layout(lambda x: x)
    rank = len(needed)
    if len(rows) == rank and rank >= 2:
        if (rows[-1], *rows[:-1]) == needed:
            return _noted(lambda x: np.moveaxis(x, -1, 1), rows, needed, name, "channels last")
        if (*rows[1:], rows[0]) == needed:
            return _noted(lambda x: np.moveaxis(x, 1, -1), rows, needed, name, "channels first")
    if rank >= 2 and rows in _without_channels(needed):
        return _noted(
            lambda x: x.reshape(len(x), *needed), rows, needed, name, "a missing channel axis"
        )
    if needed in _without_channels(rows):
        return _noted(
            lambda x: x.reshape(len(x), *needed), rows, needed, name, "an extra axis of extent 1"
        )
    raise DataError(
        f"{what} rows have shape {rows}, input {name!r} needs {needed}",
        hint=_hint(rows, needed),
    )


def _without_channels(shape: Shape) -> tuple[Shape, ...]:
    """Return the shape without a first or last axis of extent 1."""
    return tuple(
        rest
        for extent, rest in ((shape[:1], shape[1:]), (shape[-1:], shape[:-1]))
        if extent == (1,) and rest
    )


def _noted(move: _Move, rows: Shape, needed: Shape, name: str, found: str) -> Layout:
    return Layout(
        move,
        f"rows for input {name!r} had shape {rows}: taken as {found} and changed to {needed}",
    )


def _hint(rows: Shape, needed: Shape) -> str:
    if rows == needed[1:]:
        return "one row was given without its batch axis? use x[None]"
    extents = ", ".join(map(str, needed))
    if int(np.prod(rows)) == int(np.prod(needed)):
        return f"the sizes agree: reshape the rows with x.reshape(len(x), {extents})"
    return "the first axis counts the rows, the others must be those of the network's input"
