"""Random rows that stand in where no calibration data are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnconvert.calibration.data import Rows
from snnconvert.convert.linear import Shape

SYNTHETIC_ROWS = 128
LARGEST_WHOLE_NUMBER = 255


def synthetic_rows(
    shapes: Mapping[str, Shape], dtypes: Mapping[str, str], seed: int
) -> tuple[Rows, str]:
    """Return seeded random rows that every input can take, and what they are in words.

    Parameters
    ----------
    shapes : dict of tuple of int
        Without batch, by input name.
    dtypes : dict of str
        NumPy's name of each input's type in the file: inputs of whole numbers get whole numbers.
    seed : int
    """
    rng = np.random.default_rng(seed)
    rows: Rows = {}
    drawn = []
    for name, shape in shapes.items():
        highest = _highest(np.dtype(dtypes[name]))
        if highest is None:
            rows[name] = rng.random((SYNTHETIC_ROWS, *shape), np.float32)
            drawn.append((name, "in [0, 1)"))
        else:
            whole = rng.integers(0, highest, (SYNTHETIC_ROWS, *shape), endpoint=True)
            rows[name] = whole.astype(np.float32)
            drawn.append((name, f"of whole numbers from 0 to {highest}"))
    if len({text for _, text in drawn}) == 1:
        return rows, drawn[0][1]
    return rows, ", ".join(f"{text} for {name!r}" for name, text in drawn)


def _highest(dtype: np.dtype[Any]) -> int | None:
    if dtype.kind == "f":
        return None
    return 1 if dtype.kind == "b" else min(int(np.iinfo(dtype).max), LARGEST_WHOLE_NUMBER)
