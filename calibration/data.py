"""Calibration and evaluation rows: any form in, checked float32 batches by input name out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.layout import Layout, find_layout
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.calibration.readers import ArrayReader, Reader, check_label_count, open_reader
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import Shape

Rows: TypeAlias = dict[str, npt.NDArray[np.float32]]
Labels: TypeAlias = npt.NDArray[np.int64]


class SampleSource:
    """Preprocessed rows by input name, to be read as often as needed.

    Iterating yields dictionaries of (n, *shape) float32 arrays. Made by :func:`open_samples`.

    Attributes
    ----------
    inputs : dict of shapes
    preprocessing : Preprocessing
    what : str
        What the rows are for: "calibration", "evaluation".
    """

    def __init__(
        self,
        reader: Reader,
        inputs: Mapping[str, Shape],
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        limit: int | None,
        what: str,
        classes: int | None,
    ) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.preprocessing = preprocessing
        self.what = what
        self._reader, self._batch_size = reader, batch_size
        self._limit, self._classes = limit, classes
        self._axes = {n: preprocessing.channel_axis(s, n) for n, s in self.inputs.items()}
        self._notes: dict[str, None] = dict.fromkeys(reader.notes)
        self._layouts: dict[tuple[str, Shape], Layout] = {}
        self._seen: tuple[int, str] | None = None

    def __iter__(self) -> Iterator[Rows]:
        """Yield the rows, without labels."""
        for rows, _ in self._pass():
            yield rows

    def batches(self) -> Iterator[tuple[Rows, Labels | None]]:
        """Yield the rows with their labels (None where there are none).

        Raises
        ------
        DataError
            If labels are not one whole number a row, or out of range.
        """
        for rows, labels in self._pass():
            yield rows, self._check_labels(labels, len(next(iter(rows.values()))))

    @property
    def rows(self) -> int | None:
        """How many rows; None for a stream that was not read to its end yet."""
        if self._seen is not None:
            return self._seen[0]
        known = self._reader.rows
        return known if known is None or self._limit is None else min(known, self._limit)

    def __len__(self) -> int:
        """Return the number of rows, after a whole pass where only that tells."""
        return self._completed()[0] if self.rows is None else self.rows

    @property
    def content_hash(self) -> str:
        """Hash of the preprocessed rows: the sum of their SHA-256 digests, 64 hexadecimal digits.

        It depends neither on the order of the rows nor on the batch size. Labels do not count.
        """
        return self._completed()[1]

    @property
    def labels(self) -> Labels | None:
        """(N,) labels, None where there are none; of a stream that shuffles: of one pass.

        Raises
        ------
        DataError
            If they are not one whole number a row, or out of range.
        """
        parts = [
            self._check_labels(labels, len(next(iter(raw.values())))) for raw, labels in self._raw()
        ]
        found = [part for part in parts if part is not None]
        return np.concatenate(found) if found else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was detected and fixed so far."""
        return tuple(self._notes)

    def check(self) -> None:
        """Read all rows once, so that every error in them is raised now.

        Raises
        ------
        DataError
            As while iterating.
        """
        self._completed()

    def _completed(self) -> tuple[int, str]:
        if self._seen is None:
            for _ in self:
                pass
        assert self._seen is not None
        return self._seen

    def _pass(self) -> Iterator[tuple[Rows, npt.NDArray[Any] | None]]:
        digest, count = 0, 0
        for raw, labels in self._raw():
            rows = {name: self._prepare(name, raw[name], count) for name in self.inputs}
            digest = (digest + sum(row_digests(rows))) % 2**256
            count += len(next(iter(rows.values())))
            yield rows, labels
        if count == 0:
            raise DataError(f"{self.what} data is empty: 0 rows")
        self._seen = (count, f"{digest:064x}")

    def _raw(self) -> Iterator[tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any] | None]]:
        left = self._limit
        for samples, labels in self._reader.batches(self._batch_size):
            if left is None:
                yield samples, labels
                continue
            part = slice(0, left)
            yield (
                {name: array[part] for name, array in samples.items()},
                None if labels is None else labels[part],
            )
            left -= min(left, len(next(iter(samples.values()))))
            if not left:
                return

    def _prepare(self, name: str, raw: npt.NDArray[Any], before: int) -> npt.NDArray[np.float32]:
        if raw.dtype.kind not in "biuf":
            raise DataError(
                f"{self.what} rows for input {name!r} have dtype {raw.dtype}, which is no number",
                hint="give integers or floats",
            )
        given = tuple(raw.shape[1:])
        layout = self._layouts.get((name, given))
        if layout is None:
            layout = find_layout(given, self.inputs[name], name, self.what)
            self._layouts[name, given] = layout
            if layout.note:
                self._notes[layout.note] = None
        with np.errstate(over="ignore"):  # beyond float32: infinite, refused below
            moved = self.preprocessing.apply(layout.move(raw), self._axes[name])
        self._require_finite(name, moved, before)
        return np.ascontiguousarray(moved)

    def _require_finite(self, name: str, rows: npt.NDArray[np.float32], before: int) -> None:
        bad = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))
        if len(bad):
            raise DataError(
                f"{self.what} rows for input {name!r} hold NaN or infinite values "
                f"({len(bad)} of {len(rows)} rows of a batch; the first is row {before + bad[0]})"
            )

    def _check_labels(self, labels: npt.NDArray[Any] | None, rows: int) -> Labels | None:
        if labels is None:
            return None
        check_label_count(labels, rows, self.what)
        labels = class_numbers(labels, self.what)
        beyond = labels < 0 if self._classes is None else (labels < 0) | (labels >= self._classes)
        if beyond.any():
            last = None if self._classes is None else self._classes - 1
            allowed = "0 or more" if last is None else f"in 0 to {last}"
            raise DataError(
                f"{self.what} labels are out of range: {labels[beyond][0]} is not {allowed}"
            )
        return labels


def open_samples(
    data: Any,
    graph_inputs: Mapping[str, Shape],
    *,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    what: str = "calibration",
    classes: int | None = None,
) -> SampleSource:
    """Open rows in any form.

    Parameters
    ----------
    data : array, mapping, path, iterable of batches or CalibrationDataReader
        Rows along axis 0. A mapping or .npz file has the network's input names as keys; with one
        input also ``x``, or whatever is the only array. Labels: ``y``. A .npy file, a folder of
        images (subfolders are classes), a dataset folder of SNN Toolbox. An iterable yields
        arrays or tensors, (samples, labels) tuples or dictionaries. What can be read only once is
        kept in memory.
    graph_inputs : dict of shapes
        The network's inputs, without batch.
    preprocessing : Preprocessing, optional
        Default: samples stay what they are (cast to float32).
    batch_size : int
        Rows of a batch, at most.
    limit : int, optional
        Use the first rows only.
    what : str
        What the rows are for, as the messages say it.
    classes : int, optional
        Labels must be below it.

    Raises
    ------
    DataError
        If the data cannot be read or is empty; wrong shapes, dtypes and numbers are found here
        where the rows are in memory, and while iterating otherwise.
    UsageError
        If an option is out of range.
    """
    for name, given in (("batch_size", batch_size), ("limit", limit)):
        if given is not None and given < 1:
            raise UsageError(f"{name} must be at least 1, not {given}")
    reader = open_reader(data, graph_inputs, what)
    source = SampleSource(
        reader,
        graph_inputs,
        preprocessing or Preprocessing(),
        batch_size=batch_size,
        limit=limit,
        what=what,
        classes=classes,
    )
    if isinstance(reader, ArrayReader):
        source.check()
    return source


def load_rows(
    data: Any,
    graph_inputs: Mapping[str, Shape],
    *,
    preprocessing: Preprocessing | None = None,
    limit: int | None = None,
    what: str = "evaluation",
    classes: int | None = None,
) -> tuple[Rows, Labels | None]:
    """Return all rows by input name, preprocessed, and their labels (None where there are none).

    Parameters and errors as in :func:`open_samples`.
    """
    source = open_samples(
        data, graph_inputs, preprocessing=preprocessing, limit=limit, what=what, classes=classes
    )
    parts: list[Rows] = []
    labels: list[Labels] = []
    for rows, found in source.batches():
        parts.append(rows)
        if found is not None:
            labels.append(found)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in source.inputs}
    return joined, np.concatenate(labels) if labels else None


def row_digests(rows: Rows) -> list[int]:
    """Return the SHA-256 digest of each row, over all inputs."""
    digests = []
    for i in range(len(next(iter(rows.values())))):
        sha = hashlib.sha256()
        for name in sorted(rows):
            sha.update(f"{name}{rows[name].shape[1:]}".encode())
            sha.update(rows[name][i].astype("<f4", copy=False).tobytes())
        digests.append(int.from_bytes(sha.digest(), "big"))
    return digests


def sample_rows(source: SampleSource, count: int) -> Rows:
    """Return at most `count` rows, the same ones in the same order for any order of the source.

    Those with the smallest digests: as good as a random choice, and repeatable.
    """
    kept: list[tuple[int, Rows]] = []
    for rows in source:
        digests = row_digests(rows)
        kept += [
            (digest, {name: array[i : i + 1] for name, array in rows.items()})
            for i, digest in enumerate(digests)
        ]
        kept = sorted(kept, key=lambda pair: pair[0])[:count]
    return {name: np.concatenate([row[name] for _, row in kept]) for name in source.inputs}


def class_numbers(labels: npt.NDArray[Any], what: str) -> Labels:
    """Return labels as (N,) int64; one-hot rows (N, classes) become their class."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    numeric = labels.dtype.kind in "biuf"
    if labels.ndim == 2 and numeric and _is_one_hot(labels):
        return np.asarray(labels.argmax(axis=1), np.int64)
    if labels.ndim != 1 or not numeric or (labels != np.floor(labels)).any():
        raise DataError(
            f"{what} labels must be one whole number a row, "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    return labels.astype(np.int64)


def _is_one_hot(labels: npt.NDArray[Any]) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


__all__ = [
    "Labels",
    "Preprocessing",
    "Rows",
    "SampleSource",
    "load_rows",
    "open_samples",
    "sample_rows",
]
