"""Metrics gathered batch by batch: after every timestep, for the ANN, and for parts of the rows."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeAlias

import numpy as np

from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import FloatArray
from snnconvert.reports.checkpoint import Resumable, State
from snnconvert.reports.metric import Metric, SummedMetric
from snnconvert.reports.metrics import Custom
from snnconvert.reports.readings import Array, Reading
from snnconvert.reports.statistics import (
    interval_of_sums,
    paired_difference_interval,
    percentile_interval,
    ratio_interval,
    resampled,
    wilson_interval,
)
from snnconvert.reports.targets import Target

Bounds: TypeAlias = tuple[float, float]

HELD_BYTES = 4 << 30
"""What outputs may take that are held for a user's function."""


class Tally(Protocol):
    """One metric of one output."""

    def add(self, here: slice, reading: Reading) -> None:
        """Take in the outputs of the rows `here`, (T, n, ...); in order."""

    def state(self) -> State:
        """Return what was taken in, see ``checkpoint.py``."""

    def restore(self, state: State) -> None:
        """Take up what was taken in before."""

    def curve(self) -> list[float | None]:
        """Return the metric after every timestep; None where it is not defined."""

    def intervals(self) -> list[Bounds | None]:
        """Return its 95 % interval after every timestep."""

    def of(self, reading: Reading, rows: int | None = None) -> float | None:
        """Return the metric of other outputs (1, N, ...) of the same, or the first, rows."""

    def final(self, rows: int) -> float | None:
        """Return the metric at T on the first rows."""

    def interval_of(self, reading: Reading) -> Bounds | None:
        """Return the 95 % interval of the metric of other outputs."""

    def paired(self, reading: Reading) -> tuple[Bounds | None, tuple[int, int] | None]:
        """Compare with other outputs (the ANN's) at T, row by row.

        Returns the 95 % interval of the difference and, where a row is right or wrong, how many
        rows only the other and only this one got right.
        """


def tally(metric: Metric, target: Target, timesteps: int) -> Tally:
    """Return an empty tally."""
    if isinstance(metric, SummedMetric):
        return SummedTally(metric, target, timesteps)
    assert isinstance(metric, Custom)
    return CustomTally(metric, target, timesteps)


class SummedTally(Resumable):
    """A metric that is a function of sums over rows.

    Parameters
    ----------
    metric : SummedMetric
    target : Target
    timesteps : int
    """

    growing = ("_sums", "_moments", "_last")

    def __init__(self, metric: SummedMetric, target: Target, timesteps: int) -> None:
        self.metric, self.targets = metric, target.rows
        self.given = metric.of_targets(target.rows, target.classes)
        self.timesteps = timesteps
        self._sums: FloatArray | None = None
        self._moments = np.zeros((timesteps, 2))
        self._last: list[FloatArray] = []

    def add(self, here: slice, reading: Reading) -> None:
        """Add up what the rows contribute."""
        parts = self.metric.of_outputs(reading, self.targets[here])
        total = parts.sum(axis=1)
        self._sums = total if self._sums is None else self._sums + total
        if self.metric.interval == "linear":
            one, counted = parts[..., 0], self.given[here, 0]
            self._moments += np.stack([(one**2).sum(axis=1), one @ counted], axis=1)
        self._last.append(parts[-1])

    @property
    def sums(self) -> FloatArray:
        """(T, k) sums over all rows."""
        assert self._sums is not None
        return self._sums

    @property
    def last(self) -> FloatArray:
        """(N, k) contributions at T."""
        if len(self._last) > 1:
            self._last = [np.concatenate(self._last)]
        return self._last[0]

    def curve(self) -> list[float | None]:
        """Return the metric of the sums."""
        total = self.given.sum(axis=0)
        return [_known(v) for v in self.metric.value(self.sums, total)]

    def intervals(self) -> list[Bounds | None]:
        """Return the intervals that the metric has."""
        n = len(self.given)
        if self.metric.interval == "wilson":
            return [wilson_interval(round(s), n) for s in self.sums[:, 0]]
        if self.metric.interval == "linear":
            g, gg = float(self.given[:, 0].sum()), float((self.given[:, 0] ** 2).sum())
            return [
                self._clipped(interval_of_sums(n, s, g, ss, sg, gg))
                for s, (ss, sg) in zip(self.sums[:, 0], self._moments, strict=True)
            ]
        return [*[None] * (self.timesteps - 1), self._interval(self.last)]

    def of(self, reading: Reading, rows: int | None = None) -> float | None:
        """Return the metric of other outputs."""
        count = reading.size[1] if rows is None else rows
        sums = self._contributions(reading)[:count].sum(axis=0)
        return _known(self.metric.value(sums, self.given[:count].sum(axis=0)))

    def final(self, rows: int) -> float | None:
        """Return the metric at T on the first rows."""
        sums, given = self.last[:rows].sum(axis=0), self.given[:rows].sum(axis=0)
        return _known(self.metric.value(sums, given))

    def interval_of(self, reading: Reading) -> Bounds | None:
        """Return the interval of other outputs."""
        return self._interval(self._contributions(reading))

    def paired(self, reading: Reading) -> tuple[Bounds | None, tuple[int, int] | None]:
        """Compare row by row."""
        own, other = self.last, self._contributions(reading)
        if self.metric.interval == "wilson":
            right, theirs = own[:, 0] > 0, other[:, 0] > 0
            only = (int((theirs & ~right).sum()), int((right & ~theirs).sum()))
            return paired_difference_interval(*only, len(own)), only
        if self.metric.interval == "linear":
            return ratio_interval(own[:, 0] - other[:, 0], self.given[:, 0]), None
        return self._resampled(lambda w, g: self._value(w @ own, g) - self._value(w @ other, g))

    def _contributions(self, reading: Reading) -> FloatArray:
        rows = reading.size[1]
        return np.asarray(self.metric.of_outputs(reading, self.targets[:rows])[0])

    def _interval(self, parts: FloatArray) -> Bounds | None:
        if self.metric.interval == "wilson":
            return wilson_interval(round(parts[:, 0].sum()), len(parts))
        if self.metric.interval == "linear":
            return self._clipped(ratio_interval(parts[:, 0], self.given[:, 0]))
        return self._resampled(lambda w, g: self._value(w @ parts, g))[0]

    def _value(self, sums: FloatArray, given: FloatArray) -> FloatArray:
        return self.metric.value(sums, given)

    def _resampled(self, value: Any) -> tuple[Bounds | None, None]:
        """Return the percentile interval of a statistic over resampled rows."""
        n = len(self.given)
        if n < 2:
            return None, None
        values = [value(weights, weights @ self.given) for weights in resampled(n)]
        return percentile_interval(np.concatenate(values)), None

    def _clipped(self, bounds: Bounds | None) -> Bounds | None:
        if bounds is None:
            return None
        low, high = bounds
        return max(low, self.metric.low), min(high, self.metric.high)


class CustomTally(Resumable):
    """A user's function, which sees all rows at once.

    Parameters
    ----------
    metric : Custom
    target : Target
    timesteps : int

    Raises
    ------
    DataError
        While rows are added, if they take more than ``HELD_BYTES``.
    """

    growing = ("_held",)

    def __init__(self, metric: Custom, target: Target, timesteps: int) -> None:
        self.metric, self.targets, self.timesteps = metric, target.rows, timesteps
        self._held: list[Array] = []

    def add(self, here: slice, reading: Reading) -> None:
        """Hold the outputs."""
        outputs = _float32(reading.finished)
        needed = outputs.nbytes // outputs.shape[1] * len(self.targets)
        if needed > HELD_BYTES:
            raise DataError(
                f"metric {self.metric.name} needs all outputs at once: {needed:,} bytes, "
                f"at most {HELD_BYTES:,} are held",
                hint="evaluate fewer rows (--num-samples) or timesteps, or use a built-in metric",
            )
        self._held.append(outputs)

    def curve(self) -> list[float | None]:
        """Return the function's number for each timestep."""
        whole = np.concatenate(self._held, axis=1)
        self._held = [whole]
        return [_known(self.metric.whole(outputs, self.targets)) for outputs in whole]

    def intervals(self) -> list[Bounds | None]:
        """Return None: nothing is known about the function."""
        return [None] * self.timesteps

    def of(self, reading: Reading, rows: int | None = None) -> float | None:
        """Return the function's number for other outputs."""
        count = reading.size[1] if rows is None else rows
        outputs = _float32(reading.finished)[0][:count]
        return _known(self.metric.whole(outputs, self.targets[:count]))

    def final(self, rows: int) -> float | None:
        """Return the function's number at T on the first rows."""
        last = np.concatenate([part[-1] for part in self._held])
        return _known(self.metric.whole(last[:rows], self.targets[:rows]))

    def interval_of(self, reading: Reading) -> Bounds | None:
        """Return None."""
        return None

    def paired(self, reading: Reading) -> tuple[Bounds | None, tuple[int, int] | None]:
        """Return nothing."""
        return None, None


def _float32(outputs: Array) -> Array:
    """Return floats as the ONNX file would give them; class numbers as they are."""
    return outputs.astype(np.float32, copy=False) if outputs.dtype.kind == "f" else outputs


def _known(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
