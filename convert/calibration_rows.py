"""Which rows calibrate a model: those given, those beside it, or drawn ones and a warning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnconvert.calibration.recognition import QuantisedNetwork, draw_rows, input_ranges
from snnconvert.calibration.synthetic import synthetic_rows
from snnconvert.convert.errors import DataError
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import Shape
from snnconvert.convert.onnx_import import Imported


@dataclass(frozen=True, eq=False)
class CalibrationRows:
    """Raw calibration rows and where they come from.

    Attributes
    ----------
    data : array, dict, path, iterable of batches or data reader
    given : bool
        They are real: not drawn by us.
    warnings : tuple of str
    """

    data: Any
    given: bool
    warnings: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What a person would call the data: a file's name, or the kind of object."""
        named = isinstance(self.data, str | os.PathLike)
        return Path(self.data).name if named else type(self.data).__name__

    def refuse_warnings(self) -> None:
        """Raise what is otherwise a warning.

        Raises
        ------
        DataError
        """
        if self.warnings:
            raise DataError(self.warnings[0], hint="give --calibration, or leave out --strict")


def find_calibration_rows(
    imported: Imported, exact: Graph, quantised: QuantisedNetwork | None, data: Any, seed: int
) -> CalibrationRows:
    """Return the rows given, or found beside the model, or drawn ones.

    Parameters
    ----------
    imported : Imported
    exact : Graph
        The graph up to its logits.
    quantised : QuantisedNetwork or None
        Where quantisers dictate every threshold, rows need only lie in the inputs' ranges.
    data : data or None
        What the caller gave.
    seed : int
        Of drawn rows.
    """
    found = companion(imported.path, "calibration") if data is None else data
    if found is not None:
        return CalibrationRows(found, given=True)
    if quantised is not None:
        return _rows_in_range(exact, seed)
    shapes = {node.name: node.shape for node in exact.inputs}
    return _synthetic_rows(shapes, imported.input_dtypes, seed)


def _synthetic_rows(
    shapes: Mapping[str, Shape], dtypes: Mapping[str, str], seed: int
) -> CalibrationRows:
    synthetic, drawn = synthetic_rows(shapes, dtypes, seed)
    warning = (
        f"no calibration data: thresholds come from seeded random samples {drawn} and say "
        "little about real inputs; give real training samples with --calibration"
    )
    return CalibrationRows(synthetic, given=False, warnings=(warning,))


def _rows_in_range(exact: Graph, seed: int) -> CalibrationRows:
    """Return rows in the range of the input quantisers, and a warning for inputs without one."""
    unknown = [node.name for node in exact.inputs if node.name not in input_ranges(exact)]
    listed = ", ".join(repr(name) for name in unknown)
    warning = (
        f"no calibration data: the quantisers dictate the thresholds, but the range of {listed} "
        "is taken as [0, 1]; give real samples with --calibration"
    )
    rows = draw_rows(exact, np.random.default_rng(seed))
    return CalibrationRows(rows, given=False, warnings=(warning,) if unknown else ())


def companion(path: str | None, kind: str) -> Path | None:
    """Return ``<model>.<kind>.npz`` beside a model file, if there is one."""
    if path is None:
        return None
    file = Path(path)
    found = file.with_name(f"{file.stem}.{kind}.npz")
    return found if found.is_file() else None
