"""Rows of data that need not be in memory: what an evaluation asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

RowChoice: TypeAlias = slice | npt.NDArray[np.integer[Any]]


class RowArray(Protocol):
    """Rows along axis 0: an array, or anything from which some rows at a time are read."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: RowChoice, /) -> npt.NDArray[Any]:
        """Return some rows, (n, *shape)."""


Samples: TypeAlias = Mapping[str, RowArray]
"""The same rows by input name."""


def row_count(samples: Samples) -> int:
    """Return how many rows there are; 0 without inputs."""
    return len(next(iter(samples.values()), ()))


def some_rows(samples: Samples, rows: RowChoice) -> dict[str, npt.NDArray[Any]]:
    """Return some rows of every input."""
    return {name: array[rows] for name, array in samples.items()}


def in_batches(samples: Samples, size: int, stop: int | None = None) -> Iterator[slice]:
    """Yield the batches of the rows, up to `stop`."""
    count = row_count(samples) if stop is None else min(stop, row_count(samples))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
