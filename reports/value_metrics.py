"""Metrics of numbers: mean errors, R2, and how near two sets of outputs are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.linear import FloatArray
from snnconvert.reports.metric import SummedMetric, ratio
from snnconvert.reports.readings import Reading


@dataclass(frozen=True)
class MeanError(SummedMetric):
    """Mean of |output - target| ("mae") or of its square ("mse") over all entries."""

    name: str = "mae"
    title: str = "mean absolute error"
    power: int = 1
    better = "lower"
    high = math.inf
    reads = "values"
    interval = "linear"

    def of_targets(self, targets: FloatArray, classes: int) -> FloatArray:
        """Return the number of entries."""
        return np.full((len(targets), 1), float(targets.shape[1]))

    def of_outputs(self, reading: Reading, targets: FloatArray) -> FloatArray:
        """Return the sum of the errors."""
        error = np.abs(reading.entries - targets)
        return np.asarray((error**self.power).sum(axis=2)[..., None])

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the mean."""
        return ratio(outputs[..., 0], targets[..., 0])


@dataclass(frozen=True)
class R2(SummedMetric):
    """Share of the targets' variance that the outputs explain, all entries together.

    ``1 - sum (output - target)^2 / sum (target - its entry's mean over the rows)^2``: 1 is perfect,
    0 what the means would reach.
    """

    name: str = "r2"
    title: str = "R²"
    better = "higher"
    low = -math.inf
    reads = "values"
    interval = "bootstrap"

    def of_targets(self, targets: FloatArray, classes: int) -> FloatArray:
        """Return one, the squares, and the targets, taken from the mean of all rows."""
        # A sum of squares far from zero would drown the variance in rounding.
        centred = targets - targets.mean(axis=0)
        squares = (centred**2).sum(axis=1)
        return np.column_stack([np.ones(len(targets)), squares, centred])

    def of_outputs(self, reading: Reading, targets: FloatArray) -> FloatArray:
        """Return the squared error."""
        return np.asarray(((reading.entries - targets) ** 2).sum(axis=2)[..., None])

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the share."""
        rows, squares, sums = targets[..., 0], targets[..., 1], targets[..., 2:]
        spread = squares - (sums**2).sum(axis=-1) / rows
        known = spread > 1e-12 * np.maximum(squares, 1e-300)
        return 1 - ratio(outputs[..., 0], np.where(known, spread, 0.0))


@dataclass(frozen=True)
class RelativeError(SummedMetric):
    """``||output - target|| / ||target||`` over all rows and entries."""

    name: str = "relative_error"
    title: str = "relative error"
    better = "lower"
    high = math.inf
    reads = "values"
    interval = "bootstrap"

    def of_targets(self, targets: FloatArray, classes: int) -> FloatArray:
        """Return the squares."""
        return np.asarray((targets**2).sum(axis=1)[:, None])

    def of_outputs(self, reading: Reading, targets: FloatArray) -> FloatArray:
        """Return the squared error."""
        return np.asarray(((reading.entries - targets) ** 2).sum(axis=2)[..., None])

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the ratio of the norms."""
        return np.sqrt(ratio(outputs[..., 0], targets[..., 0]))


@dataclass(frozen=True)
class Correlation(SummedMetric):
    """Pearson's r over all rows and entries."""

    name: str = "correlation"
    title: str = "correlation"
    better = "higher"
    low = -1.0
    reads = "values"
    interval = "bootstrap"

    def of_targets(self, targets: FloatArray, classes: int) -> FloatArray:
        """Return entries, sum and squares."""
        count = np.full(len(targets), float(targets.shape[1]))
        return np.column_stack([count, targets.sum(axis=1), (targets**2).sum(axis=1)])

    def of_outputs(self, reading: Reading, targets: FloatArray) -> FloatArray:
        """Return sum, squares and products with the targets."""
        y = reading.entries
        return np.stack([y.sum(axis=2), (y**2).sum(axis=2), (y * targets).sum(axis=2)], axis=2)

    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return r."""
        n, x, xx = targets[..., 0], targets[..., 1], targets[..., 2]
        y, yy, xy = outputs[..., 0], outputs[..., 1], outputs[..., 2]
        spread_x, spread_y = xx - x * x / n, yy - y * y / n
        # What cancellation leaves of a constant is below this share of its sum of squares.
        known = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
        product = np.where(known, spread_x * spread_y, 0.0)
        return np.clip(ratio(xy - x * y / n, np.sqrt(product)), -1.0, 1.0)
