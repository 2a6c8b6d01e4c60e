"""Divide rows by what they hold: equal rows stay together, and the order of the rows is no matter.

Ranks of SHA-256 digests are as good as a random choice, and repeatable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.data import SampleSource, row_digests

HELD_OUT_SHARE = 3
"""One in so many calibration rows is kept for the evaluation where there are no other rows."""


def digests_of(source: SampleSource) -> list[int]:
    """Return the SHA-256 digest of every row, in one pass."""
    return [digest for rows in source for digest in row_digests(rows)]


def held_out(digests: Sequence[int], share: int = HELD_OUT_SHARE) -> npt.NDArray[np.bool_]:
    """Return which rows are kept out: one in `share` of the distinct ones, none of fewer.

    Parameters
    ----------
    digests : sequence of int
        Of the rows; equal ones fall on the same side.
    share : int

    Examples
    --------
    >>> held_out([70, 10, 30, 70, 20, 60], share=3).tolist()
    [False, False, True, False, False, False]
    """
    ranks = {digest: rank for rank, digest in enumerate(sorted(set(digests)))}
    return np.array([ranks[d] % share == share - 1 for d in digests], dtype=bool)


def shared_with(digests: Sequence[int], others: Collection[int]) -> npt.NDArray[np.bool_]:
    """Return which rows are among others."""
    known = set(others)
    return np.array([digest in known for digest in digests], dtype=bool)
