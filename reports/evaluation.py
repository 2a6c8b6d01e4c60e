"""Evaluation: what a run of all samples gave, and everything else that report.json holds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.errors import OutputError
from snnconvert.reports.advice import DEFAULTS, Settings
from snnconvert.reports.anytime import AnytimeResult
from snnconvert.reports.diagnosis import Diagnosis
from snnconvert.reports.energy import EnergyEstimate, estimate_energy
from snnconvert.reports.ladder import Ladder, Rung, complete_ladder, ends_of_ladder
from snnconvert.reports.layers import (
    LayerStatistics,
)
from snnconvert.reports.operations import Operations
from snnconvert.reports.scores import (
    INTERVALS,
    AnnResult,
    MetricText,
    OutputScore,
    ScoreRow,
    Standings,
)
from snnconvert.reports.text import count, measure


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
    def simulation_seconds(self) -> float:
        """Time spent in the target's simulation of the samples."""
        return self.measurement.seconds

    @property
    def report_seconds(self) -> float | None:
        """Time spent on everything round it: ANN, tallies, ladder, parity; None if not measured."""
        return self.context.timing.get("report_seconds")

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
