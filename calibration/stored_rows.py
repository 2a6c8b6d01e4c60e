"""Evaluation rows that are read when they are needed: a set may be larger than the memory.

Arrays (mapped where they lie in files) and folders of images are read in parts, as often as
asked for; few enough rows are kept as they came out of the preprocessing. A stream is read once,
into a temporary file where it is long.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.archive import MAPPED_BYTES
from snnconvert.calibration.data import Labels, SampleSource, joined_labels
from snnconvert.convert.linear import Shape
from snnconvert.convert.rows import RowArray, RowChoice

KEPT_BYTES = 2**27
"""Preprocessed rows that stay in memory: 10,000 of CIFAR-10 do."""

ROWS_AT_ONCE = 64
"""Rows that are preprocessed together before they are kept."""


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows, their labels, and what a pass over them told.

    Attributes
    ----------
    samples : dict of RowArray
        Preprocessed, by input name.
    labels : dict of arrays
        By output name, ``UNNAMED`` where they name none; {} where there are none.
    rows_hash : str
        Of the preprocessed rows in their order.
    largest : dict of float
        The largest magnitude of each input.
    notes : tuple of str
        What was changed in the rows.
    """

    samples: dict[str, RowArray]
    labels: Labels
    rows_hash: str
    largest: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.samples.values())))


def store_rows(source: SampleSource, labels: Labels | None = None) -> StoredRows:
    """Return the rows of a source, in a form that is read in parts.

    Parameters
    ----------
    source : SampleSource
    labels : dict of arrays, optional
        Of all rows, in the place of those that come with them.

    Raises
    ------
    DataError
        If the rows cannot be used, or there are not as many labels.
    """
    source.check_labels(labels)
    samples: dict[str, RowArray]
    if source.indexed:
        kept = _kept(source)
        count = len(source)
        samples = kept or {name: _IndexedRows(source, name, count) for name in source.inputs}
        own = {} if labels is not None else source.labels
    else:
        samples, own = _spooled(source, wanted=labels is None)
        count = len(source)
    if labels is not None:
        source.check_labels(labels)  # of a stream only now
        own = {name: array[:count] if array.ndim else array for name, array in labels.items()}
    return StoredRows(samples, own, source.ordered_hash, source.largest, source.notes)


def _kept(source: SampleSource) -> dict[str, RowArray]:
    """Return all rows of a source that can be read in any order.

    {} where they are too many, or lie in memory as they are.
    """
    count = source.rows or 0
    shapes = {name: (count, *shape) for name, shape in source.inputs.items()}
    if sum(map(math.prod, shapes.values())) * np.dtype(np.float32).itemsize > KEPT_BYTES:
        return {}
    one = slice(0, 1)
    if all(np.shares_memory(source.part(n, one), source.part(n, one)) for n in shapes):
        return {}
    arrays, done = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}, 0
    for rows in source.parts(ROWS_AT_ONCE):
        for name, part in rows.items():
            arrays[name][done : done + len(part)] = part
        done += len(part)
    return dict(arrays)


@dataclass(frozen=True, eq=False)
class _IndexedRows:
    """Rows of one input, preprocessed as they are read."""

    source: SampleSource
    name: str
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: RowChoice) -> npt.NDArray[np.float32]:
        if isinstance(rows, slice):
            rows = slice(*rows.indices(self.count))
        return self.source.part(self.name, rows)


def _spooled(source: SampleSource, *, wanted: bool) -> tuple[dict[str, RowArray], Labels]:
    """Read a stream once; return arrays, mapped where they are large."""
    files = {name: tempfile.SpooledTemporaryFile(MAPPED_BYTES) for name in source.inputs}  # noqa: SIM115
    shapes: dict[str, Shape] = {}
    found: list[Labels] = []
    try:
        for rows, labels in source.once():
            if wanted:
                found.append(labels)
            for name, array in rows.items():
                shapes[name] = (-1, *array.shape[1:])
                files[name].write(np.ascontiguousarray(array, np.float32).data)
        samples = {name: _array_of(file).reshape(shapes[name]) for name, file in files.items()}
    finally:
        for file in files.values():
            file.close()
    return dict(samples), joined_labels(found, source.what)


def _array_of(file: Any) -> npt.NDArray[np.float32]:
    """Return what was written; a map keeps the file that has no name."""
    length = file.tell()
    if length <= MAPPED_BYTES:
        file.seek(0)
        return np.frombuffer(file.read(), np.float32)
    file.flush()
    return np.memmap(file, np.float32, "r")
