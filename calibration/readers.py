"""Every form that rows come in, read as batches of raw arrays by input name.

Files, folders and arrays are open at once; iterables and readers are asked for one batch after
the other. What can be read only once is kept in memory, so that every reader can start again.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.archive import read_arrays
from snnconvert.calibration.names import UNNAMED, match_names
from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import Shape
from snnconvert.convert.rows import RowChoice

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
RawBatch: TypeAlias = tuple[Arrays, Arrays]
"""Rows by input name, and their labels by output name (``UNNAMED`` where they name none)."""

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
)
"""What NumPy and zipfile raise for damaged, encrypted and hostile archives."""


class Reader(Protocol):
    """Rows that can be read again and again."""

    @property
    def rows(self) -> int | None:
        """How many; None where only a whole pass tells."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed about the data."""

    def batches(self, size: int) -> Iterator[RawBatch]:
        """Yield batches of at most `size` rows."""


@runtime_checkable
class IndexedReader(Reader, Protocol):
    """Rows that can be read in any order."""

    def part(self, name: str, rows: RowChoice) -> npt.NDArray[Any]:
        """Return some rows of an input."""

    def all_labels(self) -> Arrays:
        """Return the labels of all rows by output name."""


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Rows that are all there: arrays with the rows along axis 0."""

    samples: Arrays
    labels: Arrays
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The length of the arrays."""
        return len(next(iter(self.samples.values())))

    def part(self, name: str, rows: RowChoice) -> npt.NDArray[Any]:
        """Return some rows of an input."""
        return self.samples[name][rows]

    def all_labels(self) -> Arrays:
        """Return the labels of all rows by output name."""
        return self.labels

    def batches(self, size: int) -> Iterator[RawBatch]:
        """Yield slices."""
        for begin in range(0, self.rows, size):
            part = slice(begin, begin + size)
            labels = {n: array[part] if array.ndim else array for n, array in self.labels.items()}
            yield {name: array[part] for name, array in self.samples.items()}, labels


@dataclass(eq=False)
class StreamReader:
    """Rows from an iterable of batches or of single samples.

    Attributes
    ----------
    source : iterable
        Of arrays or tensors, of (samples, labels) tuples, or of dictionaries by input name.
    inputs : dict of shapes
        Of the network, by name, in order.
    what : str
    keep : bool
        Whether `source` can be read only once and is kept.
    outputs : sequence of str
        Names of the network's outputs.
    """

    source: Iterable[Any]
    inputs: Mapping[str, Shape]
    what: str
    keep: bool
    outputs: Sequence[str] = ()
    rows: int | None = None
    notes: tuple[str, ...] = ()
    _kept: list[RawBatch] = field(default_factory=list)
    _iterator: Iterator[Any] | None = None

    def batches(self, size: int) -> Iterator[RawBatch]:
        """Yield batches as they come, cut where they are larger than `size`."""
        for samples, labels in self._replayed() if self.keep else map(self._read, self.source):
            yield from ArrayReader(samples, labels).batches(size)

    def _replayed(self) -> Iterator[RawBatch]:
        """Yield what was read before, then read on: a pass may have stopped half-way."""
        yield from list(self._kept)
        if self._iterator is None:
            self._iterator = iter(self.source)
        for item in self._iterator:
            self._kept.append(self._read(item))
            yield self._kept[-1]

    def _read(self, item: Any) -> RawBatch:
        if isinstance(item, Mapping):
            arrays = {str(key): to_array(entry) for key, entry in item.items()}
            named = match_names(
                arrays, list(self.inputs), self.what, "a batch of the iterable", self.outputs
            )
            return self._batched(named.samples, named.labels)
        parts = list(item) if isinstance(item, tuple | list) else [item]
        expected, labelled = len(self.inputs), max(len(self.outputs), 1)
        if len(parts) not in (expected, expected + 1, expected + labelled):
            noun = "input" if expected == 1 else "inputs"
            raise DataError(
                f"a batch of {self.what} data holds {len(parts)} entries, "
                f"the network has {expected} {noun}",
                hint="yield arrays, (samples, labels) tuples or dictionaries by input name",
            )
        arrays = dict(zip(self.inputs, map(to_array, parts), strict=False))
        return self._batched(arrays, self._labels(parts[expected:]))

    def _labels(self, parts: Sequence[Any]) -> Arrays:
        """Name the labels of a tuple: one entry, a dictionary, or one for each output."""
        if len(parts) == 1 and isinstance(parts[0], Mapping):
            return {str(name): to_array(entry) for name, entry in parts[0].items()}
        names = [UNNAMED] if len(parts) == 1 else self.outputs[: len(parts)]
        return dict(zip(names, map(to_array, parts), strict=True))

    def _batched(self, samples: Arrays, labels: Arrays) -> RawBatch:
        """Give a single sample, told by its rank, the batch axis that it lacks."""
        if all(samples[name].ndim == len(shape) for name, shape in self.inputs.items()) and all(
            samples[name].shape == tuple(shape) for name, shape in self.inputs.items()
        ):
            samples = {name: array[None] for name, array in samples.items()}
            labels = {name: array[None] for name, array in labels.items()}
        lengths = {len(array) if array.ndim else 0 for array in samples.values()}
        if len(lengths) > 1:
            raise DataError(
                f"the inputs of a batch of {self.what} data have different numbers of rows: "
                f"{sorted(lengths)}"
            )
        rows = lengths.pop()
        for name, array in labels.items():
            check_label_count(array, rows, self.what, name)
        return samples, labels


def open_reader(
    data: Any, inputs: Mapping[str, Shape], what: str, outputs: Sequence[str] = ()
) -> Reader:
    """Return a reader of the data, whatever form it has; `outputs` are the names of labels.

    Raises
    ------
    DataError
        If it has none that is known, or a file cannot be read.
    """
    if isinstance(data, str | Path):
        return _open_path(Path(data), inputs, what, outputs)
    if isinstance(data, Mapping):
        arrays = {str(key): to_array(entry) for key, entry in data.items()}
        return _array_reader(arrays, inputs, what, "the dictionary", outputs)
    if callable(getattr(data, "get_next", None)):
        return _open_data_reader(data, inputs, what, outputs)
    if hasattr(data, "__array__") or _is_nested_numbers(data):
        return _array_reader({"x": to_array(data)}, inputs, what, "the array", outputs)
    if isinstance(data, Iterable):
        return StreamReader(data, inputs, what, isinstance(data, Iterator), outputs)
    raise DataError(
        f"{what} data of type {type(data).__name__} is not understood",
        hint="give an array, a dictionary by input name, a .npz or .npy file, a folder of images, "
        "or an iterable of batches",
    )


def to_array(entry: Any) -> npt.NDArray[Any]:
    """Return an array; a tensor is detached and brought to the host first."""
    for step in ("detach", "cpu"):
        if not isinstance(entry, np.ndarray) and callable(getattr(entry, step, None)):
            entry = getattr(entry, step)()
    try:
        return np.asarray(entry)
    except ValueError as error:
        raise DataError("rows of different shapes cannot form one array", why=str(error)) from error


def check_label_count(labels: npt.NDArray[Any], rows: int, what: str, output: str = "") -> None:
    """Raise DataError if there is not one label a row."""
    if labels.ndim == 0 or len(labels) != rows:
        given = len(labels) if labels.ndim else 1
        raise DataError(
            f"{what} data has {given:,} labels for {rows:,} rows",
            where=f"output {output!r}" if output else "",
        )


def _is_nested_numbers(data: Any) -> bool:
    """Tell a list of numbers, however nested, from a list of batches."""
    if not isinstance(data, list):
        return False
    while isinstance(data, Sequence) and not isinstance(data, str | bytes) and len(data):
        data = data[0]
        if isinstance(data, tuple):
            return False
    return isinstance(data, int | float | complex | str | bytes | np.number | np.bool_)


def _array_reader(
    arrays: Arrays, inputs: Mapping[str, Shape], what: str, where: str, outputs: Sequence[str]
) -> ArrayReader:
    named = match_names(arrays, list(inputs), what, where, outputs)
    for name, array in named.samples.items():
        if not array.ndim:
            raise DataError(f"{what} data for input {name!r} is a single number", where=where)
    lengths = {name: len(a) for name, a in named.samples.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(
            f"the inputs of {what} data have different numbers of rows: {listed}", where=where
        )
    unused = ", ".join(named.unused)
    notes: tuple[str, ...] = ()
    if unused:
        notes = (f"{what} data, {where}: arrays that no input needs were left out: {unused}",)
    return ArrayReader(named.samples, named.labels, notes)


def _open_data_reader(
    data: Any, inputs: Mapping[str, Shape], what: str, outputs: Sequence[str]
) -> StreamReader:
    """Read onnxruntime's CalibrationDataReader, which returns None at its end."""

    def batches() -> Iterator[Any]:
        while (batch := data.get_next()) is not None:
            yield batch

    return StreamReader(batches(), inputs, what, True, outputs)


def _open_path(
    path: Path, inputs: Mapping[str, Shape], what: str, outputs: Sequence[str]
) -> Reader:
    if path.is_dir():
        if next(path.glob("x_*.npz"), None) is not None:
            return _open_toolbox_folder(path, inputs, what, outputs)
        from snnconvert.calibration.images import ImageFolder

        return ImageFolder.open(path, inputs, what)
    if not path.exists():
        raise DataError(f"{what} data: no such file: {path}")
    if path.suffix not in (".npz", ".npy"):
        raise DataError(
            f"{what} data: {path.name} is neither a .npz nor a .npy file, nor a folder",
            hint="save arrays with numpy.savez(file, x=x, y=y)",
        )
    return _array_reader(load_arrays(path, what), inputs, what, str(path), outputs)


def _open_toolbox_folder(
    path: Path, inputs: Mapping[str, Shape], what: str, outputs: Sequence[str]
) -> ArrayReader:
    """Read a dataset folder of SNN Toolbox: x_norm.npz, or x_test.npz with y_test.npz."""
    order = ("x_norm", "x_test") if what == "calibration" else ("x_test", "x_norm")
    name = next((n for n in order if (path / f"{n}.npz").exists()), None)
    if name is None:
        raise DataError(f"{what} data: {path} holds neither x_norm.npz nor x_test.npz")
    arrays = {"x": _only(path / f"{name}.npz", what)}
    labels = path / f"y_{name[2:]}.npz"
    if labels.exists():
        arrays["y"] = _only(labels, what)
    return _array_reader(arrays, inputs, what, str(path / f"{name}.npz"), outputs)


def _only(path: Path, what: str) -> npt.NDArray[Any]:
    arrays = load_arrays(path, what)
    if len(arrays) != 1:
        raise DataError(f"{what} data: {path} holds {len(arrays)} arrays, expected 1")
    return next(iter(arrays.values()))


def load_arrays(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a .npz file by name, or that of a .npy file as ``x``; large ones mapped.

    Raises
    ------
    DataError
        If the file cannot be read, or holds pickled objects.
    """
    try:
        return read_arrays(path)
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{what} data: {path} holds pickled objects, which are never loaded",
                why="unpickling runs code from the file",
                hint="save plain numeric arrays",
            ) from error
        raise DataError(f"{what} data: {path} cannot be read", why=str(error)) from error
