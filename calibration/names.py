"""Tell which of several named arrays belongs to which input of the network, and which holds labels.

Known names besides the network's own: ``x`` as most of our files have it, and those that
SNN Toolbox writes (``x_norm``, ``x_test``, ``y_test``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from snnconvert.convert.errors import DataError, did_you_mean

SAMPLE_NAMES = ("x", "x_test", "x_norm", "x_train")
LABEL_NAMES = ("y", "y_test", "y_norm", "y_train", "labels", "label")


UNNAMED = ""
"""The name of labels that come without an output's name."""


@dataclass(frozen=True, eq=False)
class Named:
    """Arrays by input name, labels by output name, and the names that nobody needs.

    Labels that name no output (``y``) have the name ``UNNAMED``.
    """

    samples: dict[str, npt.NDArray[Any]]
    labels: dict[str, npt.NDArray[Any]]
    unused: tuple[str, ...] = ()


def match_names(
    arrays: Mapping[str, Any],
    inputs: Sequence[str],
    what: str,
    where: str,
    outputs: Sequence[str] = (),
) -> Named:
    """Return the arrays by input name.

    Parameters
    ----------
    arrays : mapping of arrays
    inputs : sequence of str
        Names of the network's inputs.
    what, where : str
        What the rows are for and where they come from: for the messages.
    outputs : sequence of str
        Names of the network's outputs: arrays called so are their labels.

    Raises
    ------
    DataError
        If there are no arrays, or an input's cannot be told.
    """
    if not arrays:
        raise DataError(f"{what} data holds no arrays", where=where)
    found = {name: name for name in inputs if name in arrays}
    if not found and len(inputs) == 1:
        found = _single(arrays, inputs[0], outputs)
    missing = [name for name in inputs if name not in found]
    if missing:
        raise _unknown(missing[0], arrays, what, where)
    used = set(found.values())
    labels = {name: name for name in outputs if name in arrays and name not in used}
    taken = used | set(labels)
    unnamed = next((name for name in LABEL_NAMES if name in arrays and name not in taken), None)
    if unnamed is not None:
        labels[UNNAMED] = unnamed
    return Named(
        {name: arrays[key] for name, key in found.items()},
        {name: arrays[key] for name, key in labels.items()},
        tuple(key for key in arrays if key not in used and key not in labels.values()),
    )


def _single(arrays: Mapping[str, Any], name: str, outputs: Sequence[str]) -> dict[str, str]:
    for key in SAMPLE_NAMES:
        if key in arrays:
            return {name: key}
    others = [key for key in arrays if key not in LABEL_NAMES and key not in outputs]
    return {name: others[0]} if len(others) == 1 else {}


def _unknown(missing: str, arrays: Mapping[str, Any], what: str, where: str) -> DataError:
    keys = sorted(arrays)
    return DataError(
        f"{what} data has no array for input {missing!r} (it has: {', '.join(keys)})",
        where=where,
        hint=f"name the arrays as the model's inputs are named; {did_you_mean(missing, keys)}",
    )
