"""Calibration and evaluation rows: any form in, checked float32 batches by input name out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.layout import Layout, find_layout
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.calibration.readers import (
    ArrayReader,
    IndexedReader,
    RawBatch,
    Reader,
    StreamReader,
    check_label_count,
    open_reader,
)
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import Shape
from snnconvert.convert.rows import RowChoice

Rows: TypeAlias = dict[str, npt.NDArray[np.float32]]
Labels: TypeAlias = dict[str, npt.NDArray[Any]]
"""By output name; ``UNNAMED`` where they name none."""


@dataclass(frozen=True)
class _Seen:
    """What a whole pass told."""

    rows: int
    content_hash: str
    ordered_hash: str
    largest: dict[str, float]


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
    ) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.preprocessing = preprocessing
        self.what = what
        self._reader, self._batch_size = reader, batch_size
        self._limit = limit
        self._axes = {n: preprocessing.channel_axis(s, n) for n, s in self.inputs.items()}
        self._notes: dict[str, None] = dict.fromkeys(reader.notes)
        self._layouts: dict[tuple[str, Shape], Layout] = {}
        self._seen: _Seen | None = None
        self._single = False

    def __iter__(self) -> Iterator[Rows]:
        """Yield the rows, without labels."""
        for rows, _ in self._pass():
            yield rows

    def batches(self) -> Iterator[tuple[Rows, Labels]]:
        """Yield the rows with their labels as they came.

        Raises
        ------
        DataError
            If there are not as many labels as rows.
        """
        self.check_labels()
        yield from self._pass()

    def once(self) -> Iterator[tuple[Rows, Labels]]:
        """Yield the same in the only pass there will be: a stream is not kept.

        Raises
        ------
        DataError
        """
        if isinstance(self._reader, StreamReader):
            self._reader.keep, self._single = False, True
        yield from self.batches()

    @property
    def indexed(self) -> bool:
        """Whether rows can be read in any order."""
        return isinstance(self._reader, IndexedReader)

    def part(self, name: str, rows: RowChoice) -> npt.NDArray[np.float32]:
        """Return some preprocessed rows of an input, where they can be read in any order."""
        assert isinstance(self._reader, IndexedReader)
        return np.ascontiguousarray(self._preprocessed(name, self._reader.part(name, rows)))

    def parts(self, size: int) -> Iterator[Rows]:
        """Yield all rows, where they can be read in any order, so many at once.

        In the first pass, which looks at every row, or without looking again.
        """
        if self._seen is None:
            yield from self
            return
        for begin in range(0, self._seen.rows, size):
            rows = slice(begin, min(begin + size, self._seen.rows))
            yield {name: self.part(name, rows) for name in self.inputs}

    @property
    def rows(self) -> int | None:
        """How many rows; None for a stream that was not read to its end yet."""
        if self._seen is not None:
            return self._seen.rows
        known = self._reader.rows
        return known if known is None or self._limit is None else min(known, self._limit)

    def __len__(self) -> int:
        """Return the number of rows, after a whole pass where only that tells."""
        return self._completed().rows if self.rows is None else self.rows

    @property
    def content_hash(self) -> str:
        """Hash of the preprocessed rows: the sum of their SHA-256 digests, 64 hexadecimal digits.

        It depends neither on the order of the rows nor on the batch size. Labels do not count.
        """
        return self._completed().content_hash

    @property
    def ordered_hash(self) -> str:
        """Hash of the preprocessed rows and of their order, 64 hexadecimal digits."""
        return self._completed().ordered_hash

    @property
    def largest(self) -> dict[str, float]:
        """The largest magnitude of each input."""
        return self._completed().largest

    @property
    def labels(self) -> Labels:
        """Labels by output name, {} where there are none; of a stream that shuffles: of one pass.

        Raises
        ------
        DataError
            If there are not as many as rows, or they do not go together.
        """
        self.check_labels()
        if isinstance(self._reader, IndexedReader):
            every = self._reader.all_labels()
            return {n: a[: self._limit] if a.ndim else a for n, a in every.items()}
        return joined_labels([labels for _, labels in self._raw()], self.what)

    @property
    def labels_at_hand(self) -> Labels | None:
        """Labels of the whole data by output name; None where rows must be read for them."""
        return self._reader.labels if isinstance(self._reader, ArrayReader) else None

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

    def check_labels(self, given: Labels | None = None) -> None:
        """Compare the numbers of labels and rows, of the whole data: a limit does not hide them.

        Parameters
        ----------
        given : dict of arrays, optional
            Labels that did not come with the rows. Those of a stream that was not read to its end
            are not compared; labels that come in its batches are, as they are read.

        Raises
        ------
        DataError
        """
        known = self._reader.rows
        if known is None:
            known = self.rows if self._limit is None else None
        own = self.labels_at_hand if given is None else given
        for name, array in (own or {}).items():
            if known is not None:
                check_label_count(array, known, self.what, name)

    def _completed(self) -> _Seen:
        if self._seen is None:
            for _ in self:
                pass
        assert self._seen is not None
        return self._seen

    def _pass(self) -> Iterator[tuple[Rows, Labels]]:
        digest, count, ordered = 0, 0, hashlib.sha256()
        largest = dict.fromkeys(self.inputs, 0.0)
        for raw, labels in self._raw():
            rows = {name: self._prepare(name, raw[name], count) for name in self.inputs}
            digests = row_digests(rows)
            digest = (digest + sum(digests)) % 2**256
            ordered.update(b"".join(one.to_bytes(32, "big") for one in digests))
            for name, array in rows.items():
                largest[name] = max(largest[name], float(np.abs(array).max(initial=0.0)))
            count += len(next(iter(rows.values())))
            yield rows, labels
        if count == 0:
            raise DataError(f"{self.what} data is empty: 0 rows")
        self._seen = _Seen(count, f"{digest:064x}", ordered.hexdigest(), largest)

    def _raw(self) -> Iterator[RawBatch]:
        left = self._limit
        for samples, labels in self._reader.batches(self._batch_size):
            if left is None:
                yield samples, labels
                continue
            part = slice(0, left)
            yield (
                {name: array[part] for name, array in samples.items()},
                {name: a[part] if a.ndim else a for name, a in labels.items()},
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
        moved = self._preprocessed(name, raw)
        self._require_finite(name, moved, before)
        return np.ascontiguousarray(moved)

    def _preprocessed(self, name: str, raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        given = tuple(raw.shape[1:])
        layout = self._layouts.get((name, given))
        if layout is None:
            layout = find_layout(given, self.inputs[name], name, self.what)
            self._layouts[name, given] = layout
            if layout.note:
                self._notes[layout.note] = None
        with np.errstate(over="ignore"):  # beyond float32: infinite, refused by the caller
            return self.preprocessing.apply(layout.move(raw), self._axes[name])

    def _require_finite(self, name: str, rows: npt.NDArray[np.float32], before: int) -> None:
        bad = _not_finite(rows)
        if not bad.any():
            return
        first = before + int(bad.argmax())
        if self._single:
            raise DataError(
                f"{self.what} rows for input {name!r} hold NaN or infinite values "
                f"(the first is row {first})"
            )
        found = total = 0
        for raw, _ in self._raw():
            everywhere = _not_finite(self._preprocessed(name, raw[name]))
            found, total = found + int(everywhere.sum()), total + len(everywhere)
        raise DataError(
            f"{self.what} rows for input {name!r} hold NaN or infinite values "
            f"({found:,} of {total:,} rows; the first is row {first})"
        )


def _not_finite(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))


def open_samples(
    data: Any,
    graph_inputs: Mapping[str, Shape],
    *,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    what: str = "calibration",
    outputs: Sequence[str] = (),
) -> SampleSource:
    """Open rows in any form.

    Parameters
    ----------
    data : array, mapping, path, iterable of batches or CalibrationDataReader
        Rows along axis 0. A mapping or .npz file has the network's input names as keys; with one
        input also ``x``, or whatever is the only array. Labels: ``y``, or the output's name. A
        .npy file, a folder of images (subfolders are classes), a dataset folder of SNN Toolbox. An
        iterable yields arrays or tensors, (samples, labels) tuples or dictionaries. What can be
        read only once is kept in memory.
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
    outputs : sequence of str
        Names of the network's outputs, for labels that are called so.

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
    reader = open_reader(data, graph_inputs, what, outputs)
    source = SampleSource(
        reader,
        graph_inputs,
        preprocessing or Preprocessing(),
        batch_size=batch_size,
        limit=limit,
        what=what,
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
    outputs: Sequence[str] = (),
    labels: Labels | None = None,
) -> tuple[Rows, Labels]:
    """Return all rows by input name, preprocessed, and their labels ({} where there are none).

    Parameters and errors as in :func:`open_samples`; `labels` of all rows take the place of those
    that came with them.
    """
    source = open_samples(
        data, graph_inputs, preprocessing=preprocessing, limit=limit, what=what, outputs=outputs
    )
    batches = source.batches() if labels is None else ((rows, {}) for rows in source)
    parts, found = zip(*batches, strict=True)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in source.inputs}
    if labels is None:
        return joined, joined_labels(found, what)
    source.check_labels(labels)
    return joined, {name: array[:limit] if array.ndim else array for name, array in labels.items()}


def joined_labels(parts: Sequence[Labels], what: str) -> Labels:
    """Return the labels of all batches by output name.

    Raises
    ------
    DataError
        If some batches have none, or have them in another shape.
    """
    names = dict.fromkeys(name for part in parts for name in part)
    joined = {}
    for name in names:
        called = f" of output {name!r}" if name else ""
        having = [part[name] for part in parts if name in part]
        if len(having) != len(parts):
            raise DataError(
                f"{what} labels{called} came with {len(having)} of {len(parts)} batches"
            )
        try:
            joined[name] = np.concatenate(having)
        except ValueError as error:
            raise DataError(
                f"{what} labels{called} have different shapes in different batches",
                why=str(error),
            ) from error
    return joined


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


__all__ = [
    "Labels",
    "Preprocessing",
    "Rows",
    "SampleSource",
    "joined_labels",
    "load_rows",
    "open_samples",
    "sample_rows",
]
