"""What labels mean for an output: which metric fits them, and the form in which it reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import Shape
from snnconvert.reports.class_metrics import BINARY_ACCURACY, PIXEL_ACCURACY, Accuracy, MeanIou
from snnconvert.reports.metric import Metric
from snnconvert.reports.readings import Array, OutputLayout, vector_axis
from snnconvert.reports.value_metrics import R2, MeanError

VALUES_HINT = "for outputs that are numbers, not classes: metric mae, mse or r2"
IGNORED = 255
"""Label of pixels that do not count, unless ``miou:LABEL`` says otherwise."""


@dataclass(frozen=True, eq=False)
class Target:
    """Labels of one output, ready for its metrics.

    Attributes
    ----------
    metrics : tuple of Metric
        The headline first, then what is worth knowing beside it.
    axis : int or None
        Axis of the readout's shape that counts the classes, see `Reading`.
    classes : int
        0 where there are none.
    rows : array
        (n, positions) int64 labels, -1 where none counts; (n, entries) float64 values; or what was
        given, for a user's function.
    """

    metrics: tuple[Metric, ...]
    axis: int | None
    classes: int
    rows: Array


def read_targets(labels: Array, layout: OutputLayout, metric: Metric | None, rows: int) -> Target:
    """Return the labels of one output and the metrics that read them.

    Parameters
    ----------
    labels : (rows, ...) array
        Class numbers (rows,), one-hot rows, label maps, values of the output's shape, or anything
        with one entry a row for a user's function.
    layout : OutputLayout
    metric : Metric or None
        None chooses by the labels.
    rows : int
        Evaluated.

    Raises
    ------
    DataError
        If the labels do not fit the output or the metric.
    """
    labels = np.asarray(labels)
    if labels.ndim == 0 or len(labels) != rows:
        given = len(labels) if labels.ndim else 1
        raise DataError(f"output {layout.name!r}: {given:,} labels for {rows:,} rows")
    if metric is not None and metric.reads == "rows":
        return Target((metric,), class_axis(layout), 0, labels)
    _require_numbers(labels, layout)
    if metric is None:
        return _chosen(labels, layout)
    if metric.reads == "values":
        return _values(labels, layout, (metric,))
    return _classes(labels, layout, metric)


def class_axis(layout: OutputLayout) -> int | None:
    """Return the axis of the classes where the labels do not tell; None where there is none."""
    return vector_axis(layout.shape) if layout.class_axis is None else layout.class_axis


def decides(layout: OutputLayout) -> bool:
    """Tell whether an output without labels is taken for decisions between classes.

    It is where it ends in a Softmax, ArgMax or Sigmoid, and where it is one vector a row.
    """
    functions = layout.class_axis is not None or layout.probability
    return functions or vector_axis(layout.shape) is not None


def _long(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent > 1)


def _require_numbers(labels: Array, layout: OutputLayout) -> None:
    if labels.dtype.kind not in "biuf":
        raise DataError(
            f"labels of output {layout.name!r} have dtype {labels.dtype}, which is no number",
            hint="give class numbers, label maps or values",
        )
    if labels.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(labels).reshape(len(labels), -1).all(axis=1))
        if len(bad):
            raise DataError(
                f"labels of output {layout.name!r} hold NaN or infinite values "
                f"({len(bad):,} of {len(labels):,} rows; the first is row {bad[0]})"
            )


def _chosen(labels: Array, layout: OutputLayout) -> Target:
    """Choose the metric by the labels' type, shape and values."""
    shape, own = _long(labels.shape[1:]), _long(layout.shape)
    binary = bool(np.isin(labels, (0, 1)).all())
    whole = labels.dtype.kind in "biu"
    if not own and not shape:
        if binary or whole:
            return _classes(labels, layout, Accuracy())
        return _values(labels, layout, (MeanError(), R2()))
    if _map_axis(labels, layout) is not None or _is_one_hot(labels, layout):
        if not shape or len(own) == 1:
            return _classes(labels, layout, Accuracy())
        if whole:
            return _classes(labels, layout, MeanIou())
    if shape == own and binary and (layout.probability or (whole and 1 in layout.shape)):
        return _classes(labels, layout, BINARY_ACCURACY if len(own) == 1 else MeanIou())
    return _values(labels, layout, (MeanError(), R2()))


def _is_one_hot(labels: Array, layout: OutputLayout) -> bool:
    shape = _long(labels.shape[1:])
    if shape != _long(layout.shape) or len(shape) != 1 or not np.isin(labels, (0, 1)).all():
        return False
    return bool((labels.reshape(len(labels), -1).sum(axis=1) == 1).all())


def _map_axis(labels: Array, layout: OutputLayout) -> int | None:
    """Return the class axis without which the output has the labels' shape; None without one."""
    first: tuple[int, ...] = () if layout.class_axis is None else (layout.class_axis,)
    rank = len(layout.shape)
    for axis in dict.fromkeys((*first, *range(rank)[:1], *range(rank)[-1:], *range(rank))):
        if layout.shape[axis] < 2:
            continue
        rest = (*layout.shape[:axis], *layout.shape[axis + 1 :])
        if _long(rest) == _long(labels.shape[1:]):
            return int(axis)
    return None


def _classes(labels: Array, layout: OutputLayout, metric: Metric) -> Target:
    """Read class numbers, one-hot rows or label maps."""
    if _is_one_hot(labels, layout) and not isinstance(metric, MeanIou):
        axis = vector_axis(layout.shape)
        labels = np.asarray(labels.reshape(len(labels), -1).argmax(axis=1))
    else:
        axis = _map_axis(labels, layout)
    per_entry = axis is None and _long(labels.shape[1:]) == _long(layout.shape)
    if axis is None and not per_entry:
        raise _misfit(labels, layout, metric)
    positions = math.prod(labels.shape[1:])
    if positions > 1 and metric.name not in ("miou", "pixel_accuracy", "binary_accuracy"):
        raise DataError(
            f"metric {metric.name} takes one label a row, output {layout.name!r} has labels of "
            f"shape {labels.shape}: {positions:,} a row",
            hint="for label maps: metric miou or pixel_accuracy",
        )
    classes = 2 if axis is None else layout.shape[axis]
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise DataError(
            f"labels of output {layout.name!r} must be whole class numbers, "
            f"not {labels.dtype} with values such as {labels[labels != np.floor(labels)][0]:g}",
            hint=VALUES_HINT,
        )
    ignored = metric.ignore if isinstance(metric, MeanIou) else IGNORED
    numbers = labels.astype(np.int64).reshape(len(labels), -1)
    if positions > 1:
        numbers = np.where(labels.reshape(numbers.shape) == ignored, -1, numbers)
        numbers = _in_range(numbers, classes, layout, metric, ignored)
    else:
        numbers = _in_range(numbers, classes, layout, metric, None)
    if isinstance(metric, MeanIou):
        return Target((metric, PIXEL_ACCURACY), axis, classes, numbers)
    if metric.name.startswith("top"):
        _check_k(metric, classes, layout)
        return Target((metric, Accuracy()), axis, classes, numbers)
    return Target((metric,), axis, classes, numbers)


def _in_range(
    numbers: Array, classes: int, layout: OutputLayout, metric: Metric, ignored: int | None
) -> Array:
    lowest = 0 if ignored is None else -1
    outside = (numbers < lowest) | (numbers >= classes)
    if outside.any():
        rows = int(outside.any(axis=1).sum())
        left_out = "" if ignored is None else f"; {ignored} marks what does not count"
        raise DataError(
            f"label {numbers[outside][0]} is out of range: output {layout.name!r} has "
            f"{classes:,} classes ({rows:,} of {len(numbers):,} rows have such a label)",
            hint=f"labels are counted from 0 to {classes - 1}{left_out}; {VALUES_HINT}",
        )
    if not (numbers >= 0).any():
        raise DataError(f"no label of output {layout.name!r} counts: all are {ignored}")
    return numbers


def _check_k(metric: Metric, classes: int, layout: OutputLayout) -> None:
    k = int(metric.name.removeprefix("top"))
    if k >= classes:
        raise UsageError(
            f"metric {metric.name} is always 1: output {layout.name!r} has {classes:,} classes",
            hint="use a smaller K, or accuracy",
        )


def _values(labels: Array, layout: OutputLayout, metrics: tuple[Metric, ...]) -> Target:
    """Read numbers of the output's shape."""
    if _long(labels.shape[1:]) not in (_long(layout.given), _long(layout.shape)):
        raise _misfit(labels, layout, metrics[0])
    values = labels.astype(np.float64).reshape(len(labels), -1)
    return Target(metrics, class_axis(layout), 0, values)


def _misfit(labels: Array, layout: OutputLayout, metric: Metric) -> DataError:
    def batch(shape: Shape) -> str:
        return f"({', '.join(map(str, (len(labels), *shape)))}{'' if shape else ','})"

    fits = [] if metric.reads == "classes" else [f"values {batch(layout.given)}"]
    more = ""
    axis = class_axis(layout)
    if axis is None and len(_long(layout.shape)) > 1:
        axis = 0
    if axis is not None and layout.shape[axis] > 1:
        rest = (*layout.shape[:axis], *layout.shape[axis + 1 :])
        if metric.reads == "values" and _long(rest) == _long(labels.shape[1:]):
            more = ", or class numbers a metric of their own: accuracy, topK, miou"
        else:
            fits.append(f"class numbers {batch(() if not _long(rest) else rest)}")
    elif metric.reads == "classes":
        fits.append(f"zeros and ones {batch(layout.shape)}")
    return DataError(
        f"labels of shape {labels.shape} do not fit output {layout.name!r} of shape "
        f"{batch(layout.given)} (metric {metric.name})",
        hint=f"give {' or '.join(fits)}{more}",
    )
