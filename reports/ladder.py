"""The accuracy ladder: what each approximation between the ANN and its target costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from snnconvert.reports.metrics import FinalAnswers, Labels, accuracy_of, agreement_of

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
    accuracy, agreement : float or None
        Against the labels and against the ANN's answers; both None where it was not computed.
    samples : int
        Rows on which it was.
    reason : str
        Why it was not computed.
    """

    name: str
    accuracy: float | None = None
    agreement: float | None = None
    samples: int = 0
    reason: str = ""

    @classmethod
    def measured(
        cls,
        name: str,
        outputs: npt.NDArray[Any],
        ann_outputs: npt.NDArray[Any],
        labels: Labels | None,
    ) -> Rung:
        """Return the rung of outputs (N, classes) on the rows that the others have too."""
        return cls(
            name,
            accuracy=None if labels is None else accuracy_of(outputs, labels),
            agreement=agreement_of(outputs, ann_outputs),
            samples=len(outputs),
        )


def ends_of_ladder(final: FinalAnswers, rows: int) -> tuple[Rung, Rung]:
    """Return the rungs `ann` and `target` of a run on its first rows.

    Differences between rungs of different rows would be differences between the rows.
    """
    agreement = float(final.agrees[:rows].mean())
    if final.right is None or final.ann_right is None:
        return Rung("ann", None, 1.0, rows), Rung("target", None, agreement, rows)
    return (
        Rung("ann", float(final.ann_right[:rows].mean()), 1.0, rows),
        Rung("target", float(final.right[:rows].mean()), agreement, rows),
    )


def complete_ladder(rungs: Iterable[Rung]) -> tuple[Rung, ...]:
    """Return all five rungs in order; those not given say that they were not computed."""
    given = {rung.name: rung for rung in rungs}
    unknown = set(given) - set(RUNGS)
    if unknown:
        raise ValueError(f"no rung {sorted(unknown)[0]!r}; known: {', '.join(RUNGS)}")
    return tuple(given.get(name, Rung(name, reason=NOT_COMPUTED)) for name in RUNGS)


def score(rung: Rung) -> float | None:
    """Return the accuracy, or without labels the agreement with the ANN."""
    return rung.agreement if rung.accuracy is None else rung.accuracy


def steps_down(rungs: Iterable[Rung]) -> dict[str, float]:
    """Return what each computed rung loses against the computed one before it (< 0: gains)."""
    lost: dict[str, float] = {}
    before: float | None = None
    for rung in rungs:
        here = score(rung)
        if here is None:
            continue
        if before is not None:
            lost[rung.name] = before - here
        before = here
    return lost
