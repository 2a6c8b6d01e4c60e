"""The ladder: what each approximation between the ANN and its target costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

from snnconvert.reports.advice import DEFAULTS, Advice, Settings, advise
from snnconvert.reports.scores import MetricText, Standing, Standings

NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class RungText:
    """What a rung stands for, in words.

    Attributes
    ----------
    title : str
    adds : str
        The approximation that separates it from the rung before.
    remedy : str
        What to change when this step loses too much.
    """

    title: str
    adds: str
    remedy: str


RUNGS = {
    "ann": RungText("ANN", "the original network in onnxruntime", ""),
    "quantised_ann": RungText(
        "Quantised ANN",
        "activations clipped at the thresholds and rounded to the levels of T steps",
        "more timesteps (--timesteps), another method (--method), more calibration samples",
    ),
    "snn": RungText(
        "Spiking network",
        "spikes arrive unevenly, and late in deep layers",
        "more timesteps (--timesteps), staged firing (--schedule full) where the target has it",
    ),
    "integer_snn": RungText(
        "Integer spiking network",
        "weights and thresholds as integers of a few bits",
        "more bits (--weight-bits), thresholds per channel (leave out --per-layer)",
    ),
    "target": RungText(
        "On the target",
        "the target's own rules: its reset, delays, input and number formats",
        "more timesteps (--timesteps), another --target",
    ),
}
"""The rungs in order, by their names in report.json."""


@dataclass(frozen=True)
class Rung:
    """One rung.

    Attributes
    ----------
    name : str
        A key of ``RUNGS``.
    value : float or None
        The metric against the labels; None without them.
    agreement : float or None
        Share of decisions that are the ANN's; None for outputs that are numbers.
    samples : int
        Rows on which it was computed.
    reason : str
        Why it was not.
    relative_error : float or None
        To the ANN's output, for outputs that are numbers.
    """

    name: str
    value: float | None = None
    agreement: float | None = None
    samples: int = 0
    reason: str = ""
    relative_error: float | None = None

    @classmethod
    def measured(cls, name: str, standing: Standing, samples: int) -> Rung:
        """Return a rung that was computed."""
        return cls(
            name,
            standing.value,
            standing.agreement,
            samples,
            relative_error=standing.relative_error,
        )


def ends_of_ladder(standings: Standings, rows: int) -> tuple[Rung, Rung]:
    """Return the rungs `ann` and `target` of a run on its first rows.

    Differences between rungs of different rows would be differences between the rows.
    """
    ann, target = standings.ends(rows)
    return Rung.measured("ann", ann, rows), Rung.measured("target", target, rows)


def complete_ladder(rungs: Iterable[Rung]) -> tuple[Rung, ...]:
    """Return all five rungs in order; those not given say that they were not computed."""
    given = {rung.name: rung for rung in rungs}
    unknown = set(given) - set(RUNGS)
    if unknown:
        raise ValueError(f"no rung {sorted(unknown)[0]!r}; known: {', '.join(RUNGS)}")
    return tuple(given.get(name, Rung(name, reason=NOT_COMPUTED)) for name in RUNGS)


def score(rung: Rung, metric: MetricText) -> float | None:
    """Return the metric of the report, which without labels is how near the ANN's output is."""
    if metric.against == "labels":
        return rung.value
    return rung.agreement if rung.relative_error is None else rung.relative_error


def steps_down(rungs: Iterable[Rung], metric: MetricText) -> dict[str, float]:
    """Return by how much each computed rung is worse than the one before it (< 0: better)."""
    lost: dict[str, float] = {}
    before: float | None = None
    for rung in rungs:
        here = score(rung, metric)
        if here is None:
            continue
        if before is not None:
            lost[rung.name] = metric.worse_by(here, before)
        before = here
    return lost


@dataclass(frozen=True)
class Ladder(Sequence[Rung]):
    """The rungs of one evaluation, what is lost at each, and what to change.

    A sequence of its rungs.

    Attributes
    ----------
    rungs : tuple of Rung
        All five, from the ANN to the target, on the same rows.
    metric : MetricText
        Says which direction is a loss.
    settings : Settings
        How the network was made: what the advice starts from.
    noise : float
        Loss that these rows cannot tell from none, in the metric's own units.
    """

    rungs: tuple[Rung, ...]
    metric: MetricText
    settings: Settings = DEFAULTS
    noise: float = 0.0

    @overload
    def __getitem__(self, index: int) -> Rung: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Rung, ...]: ...
    def __getitem__(self, index: int | slice) -> Rung | tuple[Rung, ...]:
        """Return rungs by position."""
        return self.rungs[index]

    def __len__(self) -> int:
        """Return the number of rungs."""
        return len(self.rungs)

    @cached_property
    def scores(self) -> dict[str, float]:
        """The metric of the report at each rung that was computed, by name."""
        found = {rung.name: score(rung, self.metric) for rung in self.rungs}
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def losses(self) -> dict[str, float]:
        """By how much each rung is worse than the computed one before it (< 0: better).

        In the metric's own units; shares as fractions.
        """
        return steps_down(self.rungs, self.metric)

    @cached_property
    def advice(self) -> Advice | None:
        """What to change for the largest loss; None where it is no more than noise."""
        name = max(self.losses, key=self.losses.__getitem__, default=None)
        if name is None or self.losses[name] <= max(self.noise, 0.0):
            return None
        return advise(name, self.losses[name], self.settings)
