"""The readout that stops early: what it reaches, after how many steps, at what cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import Emitted
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.rows import Samples, some_rows
from snnconvert.reports.checkpoint import Resumable
from snnconvert.reports.energy import EnergyEstimate, estimate_energy
from snnconvert.reports.layers import sum_of_samples
from snnconvert.reports.operations import InputActivity, Operations, count_operations
from snnconvert.reports.scores import Judge, OutputScore, OutputTally
from snnconvert.reports.tally import Bounds

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AnytimeResult:
    """What the samples' answers are worth when each stops as its margin allows.

    Every sample was simulated for all T steps; its answer was then taken from the step at which it
    would have stopped, and its operations were counted in a run of so many steps.

    Attributes
    ----------
    tolerance : float
        Share of calibration rows whose answer the rule was allowed to change.
    calibration_rows : int
    value : float or None
        The metric of the report.
    ci95 : (float, float) or None
        Interval of the value.
    agreement : float
        Share of answers that are the ANN's.
    changed : float
        Share of answers that are others than after all T steps.
    mean_timesteps, mean_latency : float
        Steps of the readout window, and from the first input.
    histogram : tuple of int
        Samples that stop after t = 1..T steps.
    fixed_timesteps : int or None
        First timestep after which the same run, stopped for all samples at once, is at least as
        good; None where it never is.
    operations : Operations
        Means over the samples, each until its stop.
    """

    tolerance: float
    calibration_rows: int
    value: float | None
    ci95: Bounds | None
    agreement: float
    changed: float
    mean_timesteps: float
    mean_latency: float
    histogram: tuple[int, ...]
    fixed_timesteps: int | None
    operations: Operations

    @property
    def energy(self) -> tuple[EnergyEstimate, ...]:
        """Estimates until the stop."""
        return estimate_energy(self.operations)


def why_not_anytime(judge: Judge) -> str:
    """Return why an output cannot be stopped by its margin; empty where it can."""
    decisions = judge.like_ann.metrics[0].name == "agreement"
    if decisions and judge.ann.decided.shape[2] == 1:
        return ""
    found = "many decisions a row" if decisions else "numbers, not classes"
    return (
        f"anytime stops a sample when its class is clear; output {judge.layout.name!r} is "
        f"{found} (metric {judge.headline.name})"
    )


class AnytimeRecorder(Resumable):
    """Finds each sample's stop, batch by batch.

    Parameters
    ----------
    rule : AnytimeRule
    judge : Judge
        Of the output that the rule watches.
    """

    growing = ("_stops", "_outputs", "_changed")

    def __init__(self, rule: AnytimeRule, judge: Judge) -> None:
        self.rule, self.judge = rule, judge
        self._stops: list[npt.NDArray[np.int64]] = []
        self._outputs: list[FloatArray] = []
        self._changed = 0

    def add(self, outputs: FloatArray) -> None:
        """Take in the outputs (T, n, *shape) of the next rows."""
        reading = self.judge.reading(outputs)
        stops = self.rule.stops(reading.classes[..., 0])
        rows = np.arange(len(stops))
        self._stops.append(stops)
        self._outputs.append(outputs[stops - 1, rows])
        decided = reading.decided[..., 0]
        self._changed += int((decided[stops - 1, rows] != decided[-1]).sum())

    @property
    def stops(self) -> npt.NDArray[np.int64]:
        """(N,) steps after which each sample stops."""
        return np.concatenate(self._stops)

    def result(
        self, tally: OutputTally, score: OutputScore, latency: int, operations: Operations
    ) -> AnytimeResult:
        """Return what was reached.

        Parameters
        ----------
        tally : OutputTally
            With all rows added.
        score : OutputScore
            Its result.
        latency : int
            Steps in front of the readout window.
        operations : Operations
            Until each sample's stop.
        """
        stops, outputs = self.stops, np.concatenate(self._outputs)
        standing = tally.standing(outputs)
        assert standing.agreement is not None
        value = standing.agreement if score.metric.against == "ann" else standing.value
        reached = (
            row.timesteps
            for row in score.rows
            if value is not None
            and row.value is not None
            and score.metric.worse_by(row.value, value) <= 0
        )
        return AnytimeResult(
            tolerance=self.rule.tolerance,
            calibration_rows=self.rule.rows,
            value=value,
            ci95=tally.interval_of(outputs),
            agreement=standing.agreement,
            changed=self._changed / len(stops),
            mean_timesteps=float(stops.mean()),
            mean_latency=float(stops.mean()) + latency,
            histogram=tuple(np.bincount(stops, minlength=self.rule.timesteps + 1)[1:].tolist()),
            fixed_timesteps=next(reached, None),
            operations=operations,
        )


def operations_until(
    stops: npt.NDArray[np.int64],
    emitted: Emitted,
    samples: Samples,
    *,
    latency: int,
    batch_size: int,
    ann_macs: float,
    progress: Callable[[int, int], None] | None = None,
) -> Operations:
    """Return the mean operations of samples that stop at different steps.

    Samples that stop together run again for so many steps: what comes first does not depend on
    what would have come after.

    Parameters
    ----------
    stops : (N,) int64 array
    emitted : Emitted
    samples : dict of (N, *shape) arrays
        Read in batches.
    latency : int
        Steps in front of the readout window.
    batch_size : int
    ann_macs : float
    progress : callable, optional
        Called with the samples done and in all.
    """
    network, done = emitted.executable, 0
    parts: list[tuple[int, Operations]] = []
    for timesteps in np.unique(stops).tolist():
        rows = np.flatnonzero(stops == timesteps)
        steps = latency + timesteps
        activity = InputActivity(network, steps)
        spikes = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
        for start in range(0, len(rows), batch_size):
            batch = some_rows(samples, rows[start : start + batch_size])
            result = emitted.run(batch, timesteps)
            activity.add(batch)
            for name, total in spikes.items():
                total += sum_of_samples(result.event_counts(name), steps)
            done += len(next(iter(batch.values())))
            if progress is not None:
                progress(done, len(stops))
        counted = count_operations(
            network, spikes, activity, samples=len(rows), steps=steps, ann_macs=ann_macs
        )
        parts.append((len(rows), counted))
    return _mean(parts)


def _mean(parts: list[tuple[int, Operations]]) -> Operations:
    """Return the mean, each part weighted by its samples; `steps` are those of the longest."""
    total = sum(count for count, _ in parts)

    def mean(values: list[float]) -> float:
        return sum(n * v for (n, _), v in zip(parts, values, strict=True)) / total

    by_source = parts[0][1].synops_by_source
    found: dict[str, Any] = {
        field.name: mean([getattr(operations, field.name) for _, operations in parts])
        for field in fields(Operations)
        if field.name not in ("steps", "synops_by_source")
    }
    return Operations(
        steps=max(operations.steps for _, operations in parts),
        synops_by_source={
            name: mean([operations.synops_by_source[name] for _, operations in parts])
            for name in by_source
        },
        **found,
    )
