"""Metrics of decisions between classes: accuracy, top-k, mean intersection over union."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnconvert.convert.linear import FloatArray
from snnconvert.reports.metric import Interval, SummedMetric, ratio
from snnconvert.reports.readings import Array, Labels, Reading


@dataclass(frozen=True)
class Accuracy(SummedMetric):
    """Share of right decisions among those that have a label.

    One decision a row ("accuracy"), one an entry of several yes-or-no outputs
    ("binary_accuracy"), or one a position of a label map ("pixel_accuracy").
    """

    name: str = "accuracy"
    title: str = "accuracy"
    interval: Interval = "wilson"
    better = "higher"
    share = True
    reads = "classes"

    def of_targets(self, targets: Labels, classes: int) -> FloatArray:
        """Return the number of labels."""
        return np.asarray((targets >= 0).sum(axis=1, dtype=np.float64)[:, None])

    def of_outputs(self, reading: Reading, targets: Labels) -> FloatArray:
        """Return the number of right decisions."""
        right = (reading.decided == targets).sum(axis=2, dtype=np.float64)
        return np.asarray(right[..., None])

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the share."""
        return ratio(outputs[..., 0], targets[..., 0])


@dataclass(frozen=True)
class TopK(SummedMetric):
    """Share of rows whose label is among the k largest scores; of equal scores the first wins.

    Attributes
    ----------
    k : int
    """

    k: int = 5
    better = "higher"
    share = True
    reads = "classes"
    interval = "wilson"

    @property
    def name(self) -> str:
        """``top`` and k."""
        return f"top{self.k}"

    @property
    def title(self) -> str:
        """In words."""
        return f"top-{self.k} accuracy"

    def of_targets(self, targets: Labels, classes: int) -> FloatArray:
        """Return one a row."""
        return np.ones((len(targets), 1))

    def of_outputs(self, reading: Reading, targets: Labels) -> FloatArray:
        """Return whether fewer than k classes come before the label's."""
        scores = reading.classes[..., 0]
        label = np.broadcast_to(targets[:, 0][:, None], (*scores.shape[:2], 1))
        own = np.take_along_axis(scores, label, axis=2)
        earlier = np.arange(scores.shape[2]) < targets[:, :1]
        before = (scores > own) | ((scores == own) & earlier)
        return np.asarray(before.sum(axis=2) < self.k, np.float64)[..., None]

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the share."""
        return ratio(outputs[..., 0], targets[..., 0])


@dataclass(frozen=True)
class MeanIou(SummedMetric):
    """Mean over classes of intersection over union, all positions of all rows together.

    Classes that neither labels nor answers hold do not count.

    Attributes
    ----------
    ignore : int
        The label of positions that do not count.
    """

    ignore: int = 255
    name: str = "miou"
    title: str = "mean IoU"
    better = "higher"
    share = True
    reads = "classes"
    interval = "bootstrap"

    def of_targets(self, targets: Labels, classes: int) -> FloatArray:
        """Return the positions of each class."""
        return np.asarray(_class_counts(targets[None], classes, targets[None] >= 0)[0])

    def of_outputs(self, reading: Reading, targets: Labels) -> FloatArray:
        """Return the right positions of each class, then those that were answered with it."""
        classes = max(reading.classes.shape[2], 2)
        valid = np.broadcast_to(targets >= 0, reading.decided.shape)
        right = _class_counts(reading.decided, classes, reading.decided == targets)
        return np.concatenate([right, _class_counts(reading.decided, classes, valid)], axis=2)

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the mean."""
        classes = outputs.shape[-1] // 2
        right, answered = outputs[..., :classes], outputs[..., classes:]
        union = answered + targets - right
        shares = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
        return ratio(shares.sum(axis=-1), (union > 0).sum(axis=-1))


def _class_counts(labels: Labels, classes: int, counted: Array) -> FloatArray:
    """Count each class in the last axis of (steps, n, positions) labels."""
    steps, rows, _ = labels.shape
    row = np.arange(steps * rows).reshape(steps, rows, 1)
    index = (row * classes + labels)[counted]
    counts = np.bincount(index.reshape(-1), minlength=steps * rows * classes)
    return np.asarray(counts, np.float64).reshape(steps, rows, classes)


AGREEMENT = Accuracy("agreement", "agreement with the ANN")
PIXEL_AGREEMENT = Accuracy("agreement", "agreement with the ANN", "linear")
PIXEL_ACCURACY = Accuracy("pixel_accuracy", "pixel accuracy", "linear")
BINARY_ACCURACY = Accuracy("binary_accuracy", "binary accuracy", "linear")
