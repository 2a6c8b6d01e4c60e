"""Rows of a search: some make thresholds, some judge, and the rest is never shown to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.data import Labels, Rows, load_rows, row_digests
from snnconvert.calibration.names import UNNAMED
from snnconvert.calibration.partition import held_out, shared_with
from snnconvert.calibration.readers import check_label_count, to_array
from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import Shape
from snnconvert.convert.report_rows import shared_text

LEAST_ROWS = 12
"""Fewer calibration rows cannot be divided into parts that say anything."""


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Raw rows by input name and labels by output name.

    Attributes
    ----------
    x : dict of (N, *shape) arrays
    y : dict of (N, ...) arrays
        {} where there are none.
    """

    x: Rows
    y: Labels

    def __len__(self) -> int:
        return len(next(iter(self.x.values())))

    def where(self, chosen: npt.NDArray[Any]) -> LabelledRows:
        """Return the rows of a mask, or of positions in their order."""
        return LabelledRows(
            {name: array[chosen] for name, array in self.x.items()},
            {name: array[chosen] for name, array in self.y.items()},
        )

    def first(self, count: int) -> LabelledRows:
        """Return the first rows."""
        return self.where(np.arange(min(count, len(self))))


@dataclass(frozen=True, eq=False)
class Division:
    """What each row is for.

    Attributes
    ----------
    thresholds : LabelledRows
        Make the thresholds and corrections of trials.
    judging : LabelledRows
        Judge the trials, in the order of their digests.
    search : LabelledRows
        Both: they make those of the choice.
    final : LabelledRows
        Give the final figures; no trial sees them.
    held_out : bool
        Whether they were taken from the calibration rows.
    warnings : tuple of str
    """

    thresholds: LabelledRows
    judging: LabelledRows
    search: LabelledRows
    final: LabelledRows
    held_out: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of rows."""
        return {
            "thresholds": len(self.thresholds),
            "judging": len(self.judging),
            "final": len(self.final),
            "final_from": "calibration" if self.held_out else "evaluation",
        }


def read_rows(
    data: Any, labels: Any, shapes: Mapping[str, Shape], outputs: tuple[str, ...], what: str
) -> LabelledRows:
    """Return raw rows with the labels that come with them, or beside them.

    Raises
    ------
    DataError
        If they cannot be used.
    """
    x, y = load_rows(data, shapes, what=what, outputs=outputs)
    if labels is not None:
        given = labels if isinstance(labels, Mapping) else {UNNAMED: labels}
        y = {str(name): to_array(array) for name, array in given.items()}
        for array in y.values():
            check_label_count(array, len(next(iter(x.values()))), what)
    return LabelledRows(x, y)


def divide(calibration: LabelledRows, evaluation: LabelledRows | None) -> Division:
    """Divide rows by their digests, so that equal rows are never on both sides.

    Parameters
    ----------
    calibration : LabelledRows
    evaluation : LabelledRows, optional
        The final rows, but for those that are calibration rows as well; default: one calibration
        row in three.

    Raises
    ------
    DataError
        If there are too few rows, or every evaluation row is a calibration row.
    """
    digests = row_digests(calibration.x)
    if len(set(digests)) < LEAST_ROWS:
        raise DataError(
            f"{len(set(digests))} different calibration rows are too few to search with",
            why="some make thresholds, others judge, and others yet give the final figures",
            hint=f"give at least {LEAST_ROWS}; some hundred say something",
        )
    warnings: tuple[str, ...] = ()
    if evaluation is None:
        out = held_out(digests)
        search, final = calibration.where(~out), calibration.where(out)
        digests = [d for d, kept in zip(digests, out, strict=True) if not kept]
    else:
        search, final = calibration, evaluation
        known = shared_with(row_digests(evaluation.x), digests)
        if known.all():
            raise DataError(
                "every evaluation row is a calibration row: none is left that the search never saw",
                hint="give other --eval rows, or none: then calibration rows are kept apart",
            )
        if known.any():
            final = evaluation.where(~known)
            warnings = (f"{shared_text(int(known.sum()))}; left out of the final figures",)
    judged = held_out(digests, 2)
    order = [i for i in np.argsort(_ranks(digests)) if judged[i]]
    return Division(
        search.where(~judged),
        search.where(np.array(order)),
        search,
        final,
        evaluation is None,
        warnings,
    )


def _ranks(digests: list[int]) -> list[int]:
    """Return small numbers in the order of the digests, which no machine integer holds."""
    ranks = {digest: rank for rank, digest in enumerate(sorted(set(digests)))}
    return [ranks[d] for d in digests]
