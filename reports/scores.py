"""How good one output is: against its labels, against the ANN's output, after every timestep."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from snnconvert.convert.linear import Shape
from snnconvert.reports.checkpoint import Resumable
from snnconvert.reports.class_metrics import AGREEMENT, PIXEL_AGREEMENT
from snnconvert.reports.metric import Better, Metric
from snnconvert.reports.readings import Array, OutputLayout, Reading
from snnconvert.reports.tally import Bounds, tally
from snnconvert.reports.targets import Target, class_axis, decides, read_targets
from snnconvert.reports.value_metrics import Correlation, RelativeError

Against: TypeAlias = Literal["labels", "ann"]

INTERVALS = {
    "wilson": "Wilson 1927, of a share of rows",
    "linear": "normal approximation over rows",
    "bootstrap": "1000 bootstrap samples of the rows, at the last timestep",
    "none": None,
}


@dataclass(frozen=True)
class MetricText:
    """What a number of the report means.

    Attributes
    ----------
    name, title : str
    direction : {"higher", "lower"}
        Which values are better.
    low, high : float
        Its range; infinite where it has no end.
    share : bool
        Whether it is a share.
    against : {"labels", "ann"}
        What the outputs are compared with: without labels, the ANN's.
    interval : str or None
        How its intervals are made.
    held_bytes : int
        Outputs that are held at once for it: 0 for all but a user's function.
    """

    name: str = "accuracy"
    title: str = "accuracy"
    direction: Better = "higher"
    low: float = 0.0
    high: float = 1.0
    share: bool = True
    against: Against = "labels"
    interval: str | None = INTERVALS["wilson"]
    held_bytes: int = 0

    def worse_by(self, value: float, than: float) -> float:
        """Return how much worse a value is than another; negative where it is better."""
        return than - value if self.direction == "higher" else value - than

    def to_json(self) -> dict[str, Any]:
        """Return the fields, infinite ends as None."""
        ends = [end if math.isfinite(end) else None for end in (self.low, self.high)]
        return {
            "name": self.name,
            "title": self.title,
            "direction": self.direction,
            "range": ends,
            "share": self.share,
            "against": self.against,
            "interval": self.interval,
            "held_bytes": self.held_bytes,
        }


@dataclass(frozen=True)
class ScoreRow:
    """How good an output is after `timesteps` steps of the readout window.

    Attributes
    ----------
    timesteps : int
    latency : int
        Steps from the first input to this answer.
    value : float or None
        The metric; None where it is not defined.
    accuracy : float or None
        Share of samples whose answer is the label; None where the metric knows no such answer, and
        without labels.
    agreement : float or None
        Share of decisions that are the ANN's; None for outputs that are numbers.
    ci95 : (float, float) or None
        Interval of the value.
    relative_error, correlation : float or None
        To the ANN's output; None for decisions.
    also : dict of float
        Other metrics by name.
    """

    timesteps: int
    latency: int
    value: float | None
    accuracy: float | None = None
    agreement: float | None = None
    ci95: Bounds | None = None
    relative_error: float | None = None
    correlation: float | None = None
    also: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnResult:
    """The ANN on the same samples.

    Attributes
    ----------
    value : float or None
        The metric; None without labels, like everything else here.
    accuracy : float or None
        Where the metric knows one.
    ci95 : (float, float) or None
        Interval of the value.
    only_ann_correct, only_snn_correct : int or None
        Samples that only one of the two got right, the spiking network at its last timestep.
    difference : float or None
        Value of the spiking network minus the ANN's.
    difference_ci95 : (float, float) or None
        Paired interval.
    also : dict of float
        Other metrics by name.
    """

    value: float | None = None
    accuracy: float | None = None
    ci95: Bounds | None = None
    only_ann_correct: int | None = None
    only_snn_correct: int | None = None
    difference: float | None = None
    difference_ci95: Bounds | None = None
    also: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputScore:
    """One output over all samples.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the ONNX output, batch not counted.
    metric : MetricText
    rows : tuple of ScoreRow
        One for every t = 1..T.
    ann : AnnResult
    """

    name: str
    shape: Shape
    metric: MetricText
    rows: tuple[ScoreRow, ...]
    ann: AnnResult


@dataclass(frozen=True)
class Standing:
    """How good outputs are on some rows, for a rung of the ladder.

    Attributes
    ----------
    value : float or None
        The metric against the labels; None without them.
    agreement : float or None
        Share of decisions that are the ANN's.
    relative_error : float or None
        To the ANN's output, where there are no decisions.
    """

    value: float | None
    agreement: float | None
    relative_error: float | None


class Standings(Protocol):
    """Says how good outputs are on parts of the rows."""

    def standing(self, outputs: Array) -> Standing:
        """Return how good other outputs (n, *shape) of the readout are, on the first n rows."""

    def ends(self, rows: int) -> tuple[Standing, Standing]:
        """Return how good the ANN is, and the target at T, on the first rows."""


class Judge:
    """How one output is judged: its labels, its metrics, and the ANN's output.

    Parameters
    ----------
    layout : OutputLayout
    ann_scores : (N, *shape) array
        The ANN's values in front of the output functions, or any that decide alike (the softmax).
    ann_finished : (N, *given) array
        The ANN's output.
    labels : array or None
        See `read_targets`.
    metric : Metric or None
        None chooses by the labels.

    Raises
    ------
    DataError
        If labels do not fit.
    """

    def __init__(
        self,
        layout: OutputLayout,
        ann_scores: Array,
        ann_finished: Array,
        labels: Array | None,
        metric: Metric | None = None,
    ) -> None:
        rows = len(ann_scores)
        self.layout, self.count = layout, rows
        self.target = None if labels is None else read_targets(labels, layout, metric, rows)
        self.axis = class_axis(layout) if self.target is None else self.target.axis
        scores = ann_scores.reshape(1, rows, *layout.shape)
        finished = ann_finished.reshape(1, rows, *layout.given)
        self.ann = Reading(layout, self.axis, scores, finished)
        self.like_ann = self._like_ann(metric)

    def _like_ann(self, metric: Metric | None) -> Target:
        """Return the ANN's output as a target: the first metric says how near it is."""
        known = metric if self.target is None else self.target.metrics[0]
        reads = "rows" if known is None else known.reads
        if reads == "classes" or (reads == "rows" and decides(self.layout)):
            decided = self.ann.decided[0]
            agreement = AGREEMENT if decided.shape[1] == 1 else PIXEL_AGREEMENT
            return Target((agreement,), self.axis, max(self.ann.classes.shape[2], 2), decided)
        return Target((RelativeError(), Correlation()), self.axis, 0, self.ann.entries[0])

    @property
    def headline(self) -> Metric:
        """The metric against the labels, without them how near the ANN's output is."""
        return (self.target or self.like_ann).metrics[0]

    def reading(self, outputs: Array) -> Reading:
        """Return how metrics read outputs (steps, n, *shape) of the readout."""
        rounded = self.layout.rounded
        return Reading(self.layout, self.axis, outputs if rounded is None else rounded(outputs))

    def text(self, timesteps: int) -> MetricText:
        """Return what the headline's numbers mean."""
        metric = self.headline
        held = 0
        if metric.reads == "rows":
            held = 4 * timesteps * self.count * math.prod(self.layout.given)
        return MetricText(
            metric.name,
            metric.title,
            metric.better,
            metric.low,
            metric.high,
            metric.share,
            "ann" if self.target is None else "labels",
            INTERVALS[metric.interval],
            held,
        )


class OutputTally(Resumable):
    """Scores one output after every timestep, batch by batch.

    Parameters
    ----------
    judge : Judge
    timesteps : int
    """

    growing = ("_labelled", "_like_ann")

    def __init__(self, judge: Judge, timesteps: int) -> None:
        self.judge, self.timesteps = judge, timesteps
        target = judge.target
        self._labelled = (
            [] if target is None else [tally(m, target, timesteps) for m in target.metrics]
        )
        self._like_ann = [tally(m, judge.like_ann, timesteps) for m in judge.like_ann.metrics]
        self._headline = (self._labelled or self._like_ann)[0]

    def add(self, here: slice, outputs: Array) -> None:
        """Take in the outputs of the rows `here`, (T, n, *shape); in order."""
        reading = self.judge.reading(outputs)
        for each in (*self._labelled, *self._like_ann):
            each.add(here, reading)

    def result(self, latency: int) -> OutputScore:
        """Return the scores; `latency` comes before the first timestep."""
        judge = self.judge
        curves = self._curves()
        intervals = self._headline.intervals()
        names = [m.name for m in judge.target.metrics] if judge.target is not None else []
        values = self._headline.curve() if not names else curves[names[0]]
        rows = tuple(
            ScoreRow(
                timesteps=t + 1,
                latency=latency + t + 1,
                value=values[t],
                ci95=intervals[t],
                also={name: curves[name][t] for name in names[1:]},
                **{
                    name: curves[name][t]
                    for name in ("accuracy", "agreement", "relative_error", "correlation")
                    if name in curves
                },
            )
            for t in range(self.timesteps)
        )
        layout = judge.layout
        return OutputScore(layout.name, layout.given, judge.text(self.timesteps), rows, self._ann())

    def _curves(self) -> dict[str, list[float | None]]:
        judge = self.judge
        metrics = (*(judge.target.metrics if judge.target else ()), *judge.like_ann.metrics)
        tallies = (*self._labelled, *self._like_ann)
        return {m.name: t.curve() for m, t in zip(metrics, tallies, strict=True)}

    def _ann(self) -> AnnResult:
        """Return the ANN's result and the paired comparison."""
        judge = self.judge
        if judge.target is None:
            return AnnResult()
        head = self._labelled[0]
        names = [m.name for m in judge.target.metrics]
        values = {n: t.of(judge.ann) for n, t in zip(names, self._labelled, strict=True)}
        own, value = head.curve()[-1], values[names[0]]
        bounds, only = head.paired(judge.ann)
        return AnnResult(
            value=value,
            accuracy=values.get("accuracy"),
            ci95=head.interval_of(judge.ann),
            only_ann_correct=None if only is None else only[0],
            only_snn_correct=None if only is None else only[1],
            difference=None if own is None or value is None else own - value,
            difference_ci95=bounds,
            also={name: values[name] for name in names[1:]},
        )

    def standing(self, outputs: Array) -> Standing:
        """Return how good other outputs (n, *shape) of the readout are, on the first n rows."""
        return self._standing(self.judge.reading(np.asarray(outputs)[None]), len(outputs))

    def interval_of(self, outputs: Array) -> Bounds | None:
        """Return the 95 % interval of the headline for other outputs (N, *shape), on all rows."""
        return self._headline.interval_of(self.judge.reading(np.asarray(outputs)[None]))

    def ends(self, rows: int) -> tuple[Standing, Standing]:
        """Return how good the ANN is, and these outputs at T, on the first rows."""
        return self._standing(self.judge.ann, rows), self._standing(None, rows)

    def _standing(self, reading: Reading | None, rows: int) -> Standing:
        def found(each: Any) -> float | None:
            value = each.final(rows) if reading is None else each.of(reading, rows)
            return None if value is None else float(value)

        near = found(self._like_ann[0])
        decisions = self.judge.like_ann.metrics[0].name == "agreement"
        return Standing(
            value=found(self._labelled[0]) if self._labelled else None,
            agreement=near if decisions else None,
            relative_error=None if decisions else near,
        )
