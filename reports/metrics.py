"""The metrics by name, and those made of a user's function."""

from __future__ import annotations

import importlib
import math
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.reports.class_metrics import (
    BINARY_ACCURACY,
    PIXEL_ACCURACY,
    Accuracy,
    MeanIou,
    TopK,
)
from snnconvert.reports.metric import Better, Function, Metric
from snnconvert.reports.readings import Array
from snnconvert.reports.value_metrics import R2, MeanError


@dataclass(frozen=True)
class Custom(Metric):
    """A function of all outputs and all targets.

    It gets (N, *shape) outputs as the ONNX file would give them, and the targets as they came, once
    for every timestep, once for the ANN and once for each rung of the ladder. Until then the
    outputs after every timestep are held in float32: 4 T N bytes times the entries of an output.

    Attributes
    ----------
    function : callable
        ``function(outputs, targets) -> float``.
    better : {"higher", "lower"}
        What an attribute ``better`` of the function says; "higher" without one.
    """

    function: Function
    better: Better = "higher"
    reads = "rows"
    low = -math.inf
    high = math.inf
    interval = "none"

    @property
    def name(self) -> str:
        """``module:function``."""
        function = self.function
        own = getattr(function, "__qualname__", type(function).__name__)
        return f"{getattr(function, '__module__', None) or 'unknown'}:{own}"

    @property
    def title(self) -> str:
        """The function's name alone."""
        return self.name.rpartition(":")[2].rpartition(".")[2]

    def whole(self, outputs: Array, targets: Array) -> float:
        """Return the function's number.

        Raises
        ------
        UsageError
            If it gives none, or raises.
        """
        try:
            found = self.function(outputs, targets)
        except Exception as error:  # whatever a user's function raises
            raise UsageError(
                f"metric {self.name} raised {_told(error)}", where=_place(error, self.function)
            ) from error
        try:
            return float(found)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"metric {self.name} gives a {type(found).__name__}, not a number",
                why=str(error),
            ) from error


_NAMED: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Accuracy(),
        BINARY_ACCURACY,
        PIXEL_ACCURACY,
        MeanIou(),
        MeanError(),
        MeanError("mse", "mean squared error", power=2),
        R2(),
    )
}

AUTO = "auto"


def metric_names() -> tuple[str, ...]:
    """Return the names that :func:`find_metric` knows; K stands for any number."""
    return (AUTO, *_NAMED, "topK", "miou:IGNORED")


def find_metric(given: str | Function | Metric | None) -> Metric | None:
    """Return a metric by name, or one made of a function; None for "auto".

    Parameters
    ----------
    given : str, callable or Metric
        ``accuracy``, ``topK`` for any K, ``binary_accuracy``, ``pixel_accuracy``, ``miou`` (or
        ``miou:L``, positions of label L do not count; 255 unless told), ``mae``, ``mse``, ``r2``;
        ``package.module:function``, looked for in the current folder too; a function of outputs and
        targets.

    Raises
    ------
    UsageError
        If there is none of that name; names the nearest.

    Examples
    --------
    >>> find_metric("top3").title, find_metric("mae").better
    ('top-3 accuracy', 'lower')
    """
    if given is None or isinstance(given, Metric):
        return given
    if callable(given):
        return _custom(given)
    if not isinstance(given, str):
        raise UsageError(f"a metric is a name or a function, not a {type(given).__name__}")
    if given == AUTO:
        return None
    if given in _NAMED:
        return _NAMED[given]
    if found := re.fullmatch(r"top-?([1-9][0-9]*)", given):
        return TopK(int(found[1]))
    if found := re.fullmatch(r"miou:(-?[0-9]+)", given):
        return MeanIou(int(found[1]))
    module, colon, function = given.partition(":")
    if colon and module and function:
        return _custom(_imported(module, function))
    names = metric_names()
    raise UsageError(
        f"unknown metric {given!r}",
        hint=_metric_hint(given, names),
    )


def _metric_hint(given: str, names: Sequence[str]) -> str:
    near = did_you_mean(given, names)
    return near + (" Or a" if near.endswith("?") else "; or a") + " function: package.module:name"


def _custom(function: Function) -> Custom:
    better: Any = getattr(function, "better", "higher")
    if better not in ("higher", "lower"):
        raise UsageError(f"metric {function!r}: better must be 'higher' or 'lower', not {better!r}")
    return Custom(function, better)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _place(error: Exception, function: Function) -> str:
    """Return file and line: the last of the function's own file, else where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in frames if frame.filename == file] or frames
    return f"{own[-1].filename}:{own[-1].lineno}"


def _imported(module: str, function: str) -> Function:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"metric {module}:{function} cannot be imported", why=str(error)
        ) from error
    except Exception as error:  # whatever a user's module raises
        raise UsageError(
            f"metric {module}:{function} cannot be imported", why=_told(error)
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise UsageError(f"metric {module}:{function} is a {type(found).__name__}, no function")
    return found  # type: ignore[no-any-return]
