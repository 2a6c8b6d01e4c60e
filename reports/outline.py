"""Any JSON document as a few small tables: what a target's resources or a calibration hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snnconvert.reports.text import MISSING, label, percent, scalar

MOST_ROWS = 48
MOST_ENTRIES = 12
SHARES = frozenset({"utilisation"})
"""Names of tables whose fractions are shares, shown in percent."""


@dataclass(frozen=True)
class Facts:
    """Names and values.

    Attributes
    ----------
    title : str
        Empty at the top.
    rows : tuple of (str, str)
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes
    ----------
    title : str
    columns : tuple of str
    numeric : tuple of bool
        Which columns hold numbers only.
    rows : tuple of tuple of str
    left_out : int
        Rows beyond the first ``MOST_ROWS``.
    """

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    kind: str = "grid"


def outline(document: Mapping[str, Any], title: str = "") -> list[Facts | Grid]:
    """Return a nested document as tables, its single values first.

    Parameters
    ----------
    document : dict
        Plain JSON values. A list of dictionaries, or a dictionary of dictionaries with single
        values, becomes a table; other dictionaries get tables of their own.
    title : str
        Of the whole; those of the parts are joined to it.
    """
    facts = [(label(k), _inline(v)) for k, v in document.items() if not _is_nested(v)]
    found: list[Facts | Grid] = [Facts(title, tuple(facts))] if facts else []
    for key, value in document.items():
        if _is_nested(value):
            found += _nested(value, f"{title} · {label(key)}" if title else label(key))
    return found


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return len(value) > 0
    return _is_table(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _nested(value: Any, title: str) -> list[Facts | Grid]:
    if _is_table(value):
        return [_grid(title, list(value))]
    records = [v for v in value.values() if isinstance(v, Mapping) and not _has_nested(v)]
    if len(records) == len(value) > 1:
        return [_grid(title, [{"name": name, **entry} for name, entry in value.items()])]
    return outline(value, title)


def _has_nested(record: Mapping[str, Any]) -> bool:
    return any(_is_nested(v) for v in record.values())


def _grid(title: str, records: Sequence[Mapping[str, Any]]) -> Grid:
    columns = list(dict.fromkeys(key for record in records for key in record))
    numeric = tuple(
        all(_is_number(record.get(column)) for record in records)
        and any(record.get(column) is not None for record in records)
        for column in columns
    )
    shown = _share if title.rpartition(" · ")[2] in SHARES else _inline
    rows = tuple(tuple(shown(r.get(c)) for c in columns) for r in records[:MOST_ROWS])
    return Grid(
        title,
        tuple(label(column) for column in columns),
        numeric,
        rows,
        max(len(records) - MOST_ROWS, 0),
    )


def _share(value: Any) -> str:
    return percent(value) if isinstance(value, float) else _inline(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _inline(value: Any) -> str:
    """Return a value as one line of text."""
    if isinstance(value, Mapping):
        parts = [f"{label(k)}: {_inline(v)}" for k, v in value.items()]
    elif isinstance(value, list):
        parts = [_inline(entry) for entry in value]
    else:
        return scalar(value)
    if not parts:
        return MISSING
    shown = ", ".join(parts[:MOST_ENTRIES])
    left_out = len(parts) - MOST_ENTRIES
    return f"{shown}, … {left_out:,} more" if left_out > 0 else shown
