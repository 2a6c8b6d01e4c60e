"""Evaluation: run the samples through the target in batches and gather what report.json holds."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from snnconvert.backends.base import Emitted, RunResult, check_timesteps
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.approximation import Approximation
from snnconvert.convert.errors import DataError, OutputError, UsageError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network
from snnconvert.reports.advice import DEFAULTS, Settings
from snnconvert.reports.anytime import AnytimeRecorder, AnytimeResult, operations_until
from snnconvert.reports.diagnosis import Diagnosis
from snnconvert.reports.energy import EnergyEstimate, estimate_energy
from snnconvert.reports.ladder import Ladder, Rung, complete_ladder, ends_of_ladder
from snnconvert.reports.layers import (
    LayerRecorder,
    LayerStatistics,
    recorders,
    recorders_by_activation,
)
from snnconvert.reports.operations import InputActivity, Operations, count_operations
from snnconvert.reports.scores import (
    INTERVALS,
    AnnResult,
    Judge,
    MetricText,
    OutputScore,
    OutputTally,
    ScoreRow,
    Standings,
)
from snnconvert.reports.text import count, measure

Array: TypeAlias = npt.NDArray[Any]
Activations: TypeAlias = Callable[[Mapping[str, Array]], Iterator[tuple[str, FloatArray]]]

REBUILDS = 8
"""How often a target may rebuild itself before its last build is taken as it is."""

COMPARED_ROWS = 64
"""Samples on which every layer is compared with the ANN's activation."""


@dataclass(frozen=True)
class Measurement:
    """What a run of all samples gave.

    Attributes
    ----------
    samples : int
    outputs : tuple of OutputScore
        The headline first.
    layers : tuple of LayerStatistics
        In the network's order.
    operations : Operations
    seconds : float
        Spent in the target's simulation.
    standings : Standings
        How good the headline's output is on parts of the rows.
    details : dict
        What the target said about the run: counts added up over the batches, anything else as
        the first batch has it.
    anytime : AnytimeResult or None
        What the samples' answers are worth when each stops as its margin allows.
    """

    samples: int
    outputs: tuple[OutputScore, ...]
    layers: tuple[LayerStatistics, ...]
    operations: Operations
    seconds: float
    standings: Standings
    details: dict[str, Any] = field(default_factory=dict)
    anytime: AnytimeResult | None = None

    @property
    def headline(self) -> OutputScore:
        """The output that the report is about."""
        return self.outputs[0]

    @property
    def accuracy(self) -> tuple[ScoreRow, ...]:
        """The headline after every t = 1..T."""
        return self.headline.rows

    @property
    def ann(self) -> AnnResult:
        """The ANN on the same samples."""
        return self.headline.ann

    @property
    def metric(self) -> MetricText:
        """What the headline's numbers mean."""
        return self.headline.metric

    @property
    def several(self) -> bool:
        """Whether a row holds more than one decision, so that shares are none of rows."""
        return self.metric.interval != INTERVALS["wilson"]


@dataclass(frozen=True)
class ReportContext:
    """What the report says beside the measurement. Every value must be ready for JSON.

    Attributes
    ----------
    model : dict
        The ANN: name, file, hash, opset, versions, ...
    target : str
        Name of the backend.
    fidelity : dict
        How faithful the run is: backend, engine, neuron, reset, weight bits, delay, input kind.
    calibration : dict
        Method and its configuration, data, rows, hash.
    ladder : tuple of Rung
        The rungs that only the pipeline can compute, all on the same first rows, and reasons for
        those that it did not; `ann` and `target` follow from the measurement.
    resources : dict
        What the network takes on the target; {} where nothing counts.
    parity : dict or None
        What was compared with what.
    timing : dict
        Seconds of the stages.
    approximations : tuple of Approximation
        Everything in which the lowered network is not what the file says.
    warnings, notes : tuple of str
    quantised : dict or None
        What the quantisers of a quantised network dictate, and counted ties; None for others.
    settings : Settings
        How the network was made, as far as advice depends on it.
    diagnosis : Diagnosis or None
        Which layers lose most; None where it was not asked for.
    """

    model: dict[str, Any]
    target: str
    fidelity: dict[str, Any]
    calibration: dict[str, Any]
    ladder: tuple[Rung, ...] = ()
    resources: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] | None = None
    timing: dict[str, Any] = field(default_factory=dict)
    approximations: tuple[Approximation, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quantised: dict[str, Any] | None = None
    settings: Settings = DEFAULTS
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True)
class Evaluation:
    """A spiking network compared with its ANN: everything that report.json holds.

    Attributes
    ----------
    measurement : Measurement
    context : ReportContext
    """

    measurement: Measurement
    context: ReportContext

    def __repr__(self) -> str:
        ann = "" if self.ann_value is None else f", ANN {measure(self.ann_value, self.metric, 2)}"
        rows = count(self.measurement.samples, "row")
        return (
            f"<Evaluation on target {self.context.target!r}: {self.metric.title} "
            f"{measure(self.value, self.metric, 2)} at T = {self.timesteps}{ann}, {rows}>"
        )

    @property
    def timesteps(self) -> int:
        """The readout window T."""
        return self.measurement.accuracy[-1].timesteps

    @property
    def final(self) -> ScoreRow:
        """The row at T."""
        return self.measurement.accuracy[-1]

    @property
    def accuracy(self) -> float | None:
        """Accuracy at T, in [0, 1]; None without labels, and for metrics of other kinds."""
        return self.final.accuracy

    @property
    def metric(self) -> MetricText:
        """What `value` means: its name, direction and range, and what it compares with."""
        return self.measurement.metric

    @property
    def value(self) -> float | None:
        """The metric at T; without labels how near the ANN's output is."""
        return self.final.value

    @property
    def ann_value(self) -> float | None:
        """The metric of the ANN on the same samples; None without labels."""
        return self.measurement.ann.value

    @property
    def outputs(self) -> dict[str, OutputScore]:
        """Every output's scores by its name, the headline first."""
        return {output.name: output for output in self.measurement.outputs}

    @property
    def ann_accuracy(self) -> float | None:
        """Accuracy of the ANN on the same samples; None without labels."""
        return self.measurement.ann.accuracy

    @property
    def ladder(self) -> Ladder:
        """All five rungs, the losses, and what to change.

        `ann` and `target` are taken on the rows that the others were computed on.
        """
        given = self.context.ladder
        rows = min((r.samples for r in given if r.samples), default=self.measurement.samples)
        rungs = complete_ladder((*ends_of_ladder(self.measurement.standings, rows), *given))
        return Ladder(rungs, self.metric, self.context.settings, self._noise(rows))

    def _noise(self, rows: int) -> float:
        """Return half the 95 % interval of a difference on so many rows, 0 where there is none.

        From the pairs of ANN and spiking network; without labels of their agreement.
        """
        bounds = self.measurement.ann.difference_ci95 or self.final.ci95
        if bounds is None or not rows:
            return 0.0
        return (bounds[1] - bounds[0]) / 2 * math.sqrt(self.measurement.samples / rows)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Which layers lose most; None where it was not asked for."""
        return self.context.diagnosis

    @property
    def anytime(self) -> AnytimeResult | None:
        """The readout that stops early; None where no rule was asked for."""
        return self.measurement.anytime

    @property
    def energy(self) -> tuple[EnergyEstimate, ...]:
        """Estimates, never measurements."""
        return estimate_energy(self.measurement.operations)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was detected and done on the way."""
        return self.context.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know before trusting the numbers."""
        return self.context.warnings

    def to_json(self) -> dict[str, Any]:
        """Return report.json as a dictionary: strictly valid JSON, documented in docs/report.md."""
        from snnconvert.reports.document import report_document

        return report_document(self)

    def to_csv(self) -> str:
        """Return accuracy.csv: one row for every timestep."""
        from snnconvert.reports.document import accuracy_csv

        return accuracy_csv(self)

    def to_html(self) -> str:
        """Return the report as one self-contained HTML page."""
        from snnconvert.reports.render import render_html

        return render_html(self)

    def summary(self) -> list[tuple[str, str]]:
        """Return the rows (label, text) that a terminal shows."""
        from snnconvert.reports.summary import summary_table

        return summary_table(self)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write report.json, report.html and accuracy.csv into a folder, made where it is missing.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        from snnconvert.reports.render import write_report

        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_report(self, Path(folder))
        except OSError as error:
            raise OutputError(f"cannot write {folder}", why=str(error)) from error


def evaluate(
    emitted: Emitted,
    samples: Mapping[str, Array],
    judges: Sequence[Judge],
    *,
    timesteps: int,
    batch_size: int,
    ann_macs: float,
    lowered_values: Activations | None = None,
    compared_rows: int = COMPARED_ROWS,
    anytime: AnytimeRule | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Run all samples on the target, batch by batch, and compare them with the ANN.

    Parameters
    ----------
    emitted : Emitted
        The network on its target.
    samples : dict of (N, *shape) arrays
        Preprocessed, by input name.
    judges : sequence of Judge
        For every output its labels and the ANN's on the same samples; the headline first.
    timesteps : int
        Readout window T.
    batch_size : int
        Samples simulated at once; no more outputs than a batch's are ever held.
    ann_macs : float
        Multiply-adds of the ANN, see ``operations.ann_macs``.
    lowered_values : callable, optional
        Yields (population or its graph node, ANN activation) for samples that it is given.
    compared_rows : int
        How many of the first samples it is given.
    anytime : AnytimeRule, optional
        By which each sample's answer may come before T; for the headline and `timesteps`.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    Measurement
        The same for every batch size (sums of floats up to rounding).

    Raises
    ------
    DataError
        If samples and ANN outputs do not belong together.
    UsageError
        If `timesteps` or `batch_size` is out of range.
    """
    _check(samples, judges, batch_size)
    for _ in range(REBUILDS):
        network = emitted.executable
        measured = _measure(
            network,
            emitted,
            samples,
            judges,
            timesteps=timesteps,
            batch_size=batch_size,
            ann_macs=ann_macs,
            lowered_values=lowered_values,
            compared_rows=compared_rows,
            anytime=anytime,
            progress=progress,
        )
        # A target may rebuild itself for what a batch needed: then all rows run on the new one.
        if emitted.executable is network:
            break
    return measured


def _measure(
    network: Network,
    emitted: Emitted,
    samples: Mapping[str, Array],
    judges: Sequence[Judge],
    *,
    timesteps: int,
    batch_size: int,
    ann_macs: float,
    lowered_values: Activations | None,
    compared_rows: int,
    anytime: AnytimeRule | None,
    progress: Callable[[int, int], None] | None,
) -> Measurement:
    rows = judges[0].count
    steps = check_timesteps(network, timesteps)
    tallies = [OutputTally(judge, timesteps) for judge in judges]
    activity = InputActivity(network, steps)
    compared = min(compared_rows, rows) if lowered_values is not None else 0
    recording = recorders(network, steps, compared)
    details: dict[str, Any] = {}
    seconds = 0.0
    stopping = None if anytime is None else AnytimeRecorder(anytime, judges[0])
    for start in range(0, rows, batch_size):
        here = slice(start, min(start + batch_size, rows))
        batch = {name: x[here] for name, x in samples.items()}
        began = time.perf_counter()
        result = emitted.run(batch, timesteps)
        seconds += time.perf_counter() - began
        for tally in tallies:
            layout = tally.judge.layout
            tally.add(here, result.outputs[layout.readout or layout.name])
        if stopping is not None:
            headline = judges[0].layout
            stopping.add(result.outputs[headline.readout or headline.name])
        activity.add(batch)
        for name, recorder in recording.items():
            recorder.add(result.spike_counts[name], result.event_counts(name))
        if lowered_values is not None and start < compared:
            _compare(recording, result, batch, min(here.stop, compared) - start, lowered_values)
        _add_details(details, result.details)
        if progress is not None:
            progress(here.stop, rows)
    scores = tuple(tally.result(steps - timesteps) for tally in tallies)
    stopped = None
    if stopping is not None:
        latency = steps - timesteps
        until = operations_until(
            stopping.stops,
            emitted,
            samples,
            latency=latency,
            batch_size=batch_size,
            ann_macs=ann_macs,
        )
        stopped = stopping.result(tallies[0], scores[0], latency, until)
    return Measurement(
        samples=rows,
        outputs=scores,
        layers=tuple(recorder.result() for recorder in recording.values()),
        operations=count_operations(
            network,
            {name: recorder.total for name, recorder in recording.items()},
            activity,
            samples=rows,
            steps=steps,
            ann_macs=ann_macs,
        ),
        seconds=seconds,
        standings=tallies[0],
        details=details,
        anytime=stopped,
    )


def _check(samples: Mapping[str, Array], judges: Sequence[Judge], batch_size: int) -> None:
    if batch_size < 1:
        raise UsageError(f"batch size must be at least 1, not {batch_size}")
    lengths = {name: len(x) for name, x in samples.items()}
    rows = next(iter(lengths.values()), 0)
    if not rows:
        raise DataError("no samples to evaluate")
    for name, length in lengths.items():
        if length != rows:
            raise DataError(f"input {name!r} has {length:,} samples, the first input {rows:,}")
    for judge in judges:
        if judge.count != rows:
            raise DataError(f"the ANN's outputs are for {judge.count:,} samples, not {rows:,}")


def _add_details(total: dict[str, Any], batch: Mapping[str, Any]) -> None:
    for name, value in batch.items():
        if isinstance(value, Mapping):
            _add_details(total.setdefault(name, {}), value)
        elif name in total and isinstance(value, int) and not isinstance(value, bool):
            total[name] += value
        else:
            total.setdefault(name, value)


def _compare(
    recording: Mapping[str, LayerRecorder],
    result: RunResult,
    batch: Mapping[str, Array],
    rows: int,
    lowered_values: Activations,
) -> None:
    """Compare the first rows of a batch with the ANN's activations."""
    known = recorders_by_activation(recording)
    for name, activation in lowered_values({name: x[:rows] for name, x in batch.items()}):
        if name in known:
            counts = result.spike_counts[known[name].population.name]
            known[name].compare(counts[:rows], activation)
