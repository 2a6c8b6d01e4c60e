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
NOTABLE_LOSS = 0.005
NOTABLE_SATURATION = 0.01
NOTABLE_ERROR = 0.25


@dataclass(frozen=True)
class Verdict:
    """The headline.

    Attributes
    ----------
    tone : {"good", "fair", "poor"}
        Within one point of the ANN, within three, further away.
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
    lost = shortfall(evaluation.final, evaluation.measurement.ann.accuracy)
    tone = "good" if lost <= NEAR else "fair" if lost <= FAIR else "poor"
    labelled = evaluation.accuracy is not None
    return Verdict(
        tone,
        _badge(lost, labelled),
        _labelled_headline(evaluation) if labelled else _unlabelled_headline(evaluation),
        _details(evaluation),
    )


def shortfall(row: AccuracyRow, ann_accuracy: float | None) -> float:
    """Return how far a row lies below the ANN: its accuracy, or without labels its agreement."""
    if row.accuracy is None or ann_accuracy is None:
        return 1.0 - row.agreement
    return ann_accuracy - row.accuracy


def first_near(evaluation: Evaluation) -> AccuracyRow | None:
    """Return the first row within one point of the ANN."""
    ann = evaluation.measurement.ann.accuracy
    rows = evaluation.measurement.accuracy
    # A share of a thousand samples is no exact decimal: half a sample of slack.
    slack = 0.5 / evaluation.measurement.samples
    return next((row for row in rows if shortfall(row, ann) <= NEAR + slack * 1e-6), None)


def _badge(lost: float, labelled: bool) -> str:
    if not labelled:
        return f"{percent(1 - lost)} of the ANN's answers"
    if lost <= NEAR:
        return "within 1 point of the ANN"
    return f"{100 * lost:.1f} points below the ANN"


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
    if near is None:
        sentences.append("It does not come within one point of the ANN.")
    elif near.timesteps < final.timesteps:
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
