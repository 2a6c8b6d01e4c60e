"""The result in plain words: what was reached, where it was lost, what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from snnconvert.reports.ladder import RUNGS, steps_down
from snnconvert.reports.metrics import AccuracyRow
from snnconvert.reports.text import count, percent, plain

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.reports.layers import LayerStatistics

NEAR = 0.01
"""One point: what "close to the ANN" means throughout the report."""

FAIR = 0.03
AGREEING, PARTLY_AGREEING = 0.97, 0.9
"""The same tones where only agreement is known, which also counts what both got wrong."""

ROUNDING = 1e-9
"""Shares of samples are no exact decimals: 0.918 - 0.908 exceeds 0.01 by 1e-17."""

NOTABLE_LOSS = 0.005
NOTABLE_SATURATION = 0.01
NOTABLE_ERROR = 0.25


@dataclass(frozen=True)
class Verdict:
    """The headline.

    Attributes
    ----------
    tone : {"good", "fair", "poor"}
        Within one point of the ANN, within three, further away; without labels by the agreement.
    badge : str
        The tone in words.
    headline : str
    details : tuple of str
        Sentences.
    """

    tone: str
    badge: str
    headline: str
    details: tuple[str, ...]


def verdict(evaluation: Evaluation) -> Verdict:
    """Return the headline of an evaluation."""
    final, ann = evaluation.final, evaluation.measurement.ann.accuracy
    details = _details(evaluation)
    if final.accuracy is None or ann is None:
        tone = _tone(-final.agreement, -AGREEING, -PARTLY_AGREEING)
        badge = f"{percent(final.agreement)} of the ANN's answers"
        return Verdict(tone, badge, _unlabelled_headline(evaluation), details)
    lost = ann - final.accuracy
    apart = f"{abs(100 * lost):.1f} points {'below' if lost > 0 else 'above'} the ANN"
    badge = "within 1 point of the ANN" if _is_near(abs(lost)) else apart
    return Verdict(_tone(lost, NEAR, FAIR), badge, _labelled_headline(evaluation), details)


def _tone(lost: float, good: float, fair: float) -> str:
    return "good" if lost <= good + ROUNDING else "fair" if lost <= fair + ROUNDING else "poor"


def _is_near(lost: float) -> bool:
    return lost <= NEAR + ROUNDING


def first_near(evaluation: Evaluation) -> AccuracyRow | None:
    """Return the first row within one point of the ANN; None without labels."""
    ann = evaluation.measurement.ann.accuracy
    if ann is None:
        return None
    rows = evaluation.measurement.accuracy
    return next(
        (row for row in rows if row.accuracy is not None and _is_near(ann - row.accuracy)), None
    )


def _labelled_headline(evaluation: Evaluation) -> str:
    ann, final = evaluation.measurement.ann, evaluation.final
    assert ann.accuracy is not None and final.accuracy is not None
    return (
        f"After {count(final.timesteps, 'timestep')} the spiking network is right on "
        f"{percent(final.accuracy)} of {count(evaluation.measurement.samples, 'sample')}, "
        f"{_compared(final.accuracy - ann.accuracy)} the ANN's {percent(ann.accuracy)}."
    )


def _compared(difference: float) -> str:
    rounded = f"{abs(100 * difference):.1f}"
    if rounded == "0.0":
        return "the same as" if difference == 0 else "practically"
    return f"{rounded} points {'below' if difference < 0 else 'above'}"


def _unlabelled_headline(evaluation: Evaluation) -> str:
    final = evaluation.final
    return (
        f"After {count(final.timesteps, 'timestep')} the spiking network gives the ANN's answer "
        f"on {percent(final.agreement)} of {count(evaluation.measurement.samples, 'sample')}. "
        "There were no labels, so its accuracy is unknown."
    )


def _details(evaluation: Evaluation) -> tuple[str, ...]:
    ann, final = evaluation.measurement.ann, evaluation.final
    sentences = []
    if ann.difference_ci95 is not None:
        low, high = (100 * bound for bound in ann.difference_ci95)
        told = " These samples cannot tell the two apart." if low <= 0 <= high else ""
        sentences.append(
            f"The difference lies between {low:+.1f} and {high:+.1f} points "
            f"(95 % interval, paired).{told}".replace("-", "−")
        )
    near = first_near(evaluation)
    if near is None and ann.accuracy is not None:
        sentences.append("It does not come within one point of the ANN.")
    elif near is not None and near.timesteps < final.timesteps:
        sentences.append(
            f"It first comes within one point of the ANN after {count(near.timesteps, 'timestep')}."
        )
    if final.latency != final.timesteps:
        sentences.append(
            f"The answer takes {count(final.latency, 'step')} from the first input: "
            f"{final.latency - final.timesteps:,} until the readout window opens, then "
            f"{final.timesteps:,}."
        )
    return tuple(sentences)


def findings(evaluation: Evaluation) -> tuple[str, ...]:
    """Return what stands out, each with its remedy: where accuracy goes and which layer to see."""
    found = [*_ladder_finding(evaluation)]
    layers = evaluation.measurement.layers
    measured = [layer for layer in layers if layer.relative_error is not None]
    if measured:
        found += _error_finding(max(measured, key=lambda layer: layer.relative_error or 0.0))
    saturated = max(layers, key=lambda layer: layer.saturated, default=None)
    if saturated is not None and saturated.saturated > NOTABLE_SATURATION:
        found.append(
            f"{percent(saturated.saturated)} of {saturated.name} fires at its ceiling: activations "
            "there are clipped. A higher threshold (--method max, a higher --percentile) clips "
            "less and rounds more."
        )
    dead = [layer for layer in layers if layer.never_fired > 0.5]
    if dead:
        worst = max(dead, key=lambda layer: layer.never_fired)
        found.append(
            f"{percent(worst.never_fired)} of the neurons of {worst.name} fired on no sample: dead "
            "units of the ANN, or thresholds that are too high for T."
        )
    return tuple(found)


def _ladder_finding(evaluation: Evaluation) -> list[str]:
    lost = steps_down(evaluation.ladder)
    name = max(lost, key=lambda rung: lost[rung], default=None)
    if name is None or lost[name] < NOTABLE_LOSS:
        return []
    text = RUNGS[name]
    return [
        f"Most is lost at the rung “{text.title}”, {100 * lost[name]:.1f} points: {text.adds}. "
        f"What helps: {text.remedy}."
    ]


def _error_finding(layer: LayerStatistics) -> list[str]:
    assert layer.relative_error is not None
    if layer.relative_error < NOTABLE_ERROR:
        return []
    correlation = "" if layer.correlation is None else f", correlation {layer.correlation:.3f}"
    return [
        f"{layer.name} follows its ANN activation least: relative error "
        f"{plain(layer.relative_error, 2)}{correlation}."
    ]
