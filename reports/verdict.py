"""The result in plain words: what was reached, where it was lost, what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from snnconvert.reports.ladder import RUNGS
from snnconvert.reports.scores import MetricText, ScoreRow
from snnconvert.reports.text import count, lost, measure, percent, plain

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.reports.layers import LayerStatistics

NEAR, FAIR = 0.01, 0.03
"""Points below the ANN: what "close to the ANN" means throughout the report."""

NEAR_ERROR, FAIR_ERROR = 0.05, 0.2
"""The same for metrics without a best value of 1, as a share of the ANN's."""

NEAR_APART, FAIR_APART = 0.03, 0.1
"""The same where only the distance to the ANN's output is known: shares of other answers, which
also count what both got wrong, or relative errors."""

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
        Within one point of the ANN, within three, further away; for errors within 5 %, 20 % of the
        ANN's; without labels by the distance to the ANN's output.
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
    value, ann, metric = evaluation.value, evaluation.ann_value, evaluation.metric
    details = _details(evaluation)
    if value is None or (ann is None and metric.against == "labels"):
        return Verdict("poor", f"{metric.title} unknown", _undefined(evaluation), details)
    if ann is None:
        return Verdict(*_apart(evaluation), _unlabelled_headline(evaluation), details)
    worse = metric.worse_by(value, ann)
    near, fair = limits(metric, ann)
    tone = "good" if _within(worse, near) else "fair" if _within(worse, fair) else "poor"
    if _within(abs(worse), near):
        return Verdict(tone, near_text(metric), _labelled_headline(evaluation), details)
    sides = ("below", "above") if metric.direction == "higher" else ("worse than", "better than")
    badge = f"{_distance(worse, metric)} {sides[0] if worse > 0 else sides[1]} the ANN"
    return Verdict(tone, badge, _labelled_headline(evaluation), details)


def limits(metric: MetricText, ann: float) -> tuple[float, float]:
    """Return how much worse than the ANN still is near, and still is fair."""
    if metric.high == 1 and metric.direction == "higher":
        return NEAR, FAIR
    return NEAR_ERROR * abs(ann), FAIR_ERROR * abs(ann)


def near_text(metric: MetricText) -> str:
    """Return what "near" means, in words."""
    if metric.share:
        return "within 1 point of the ANN"
    if metric.high == 1 and metric.direction == "higher":
        return f"within {NEAR:g} of the ANN"
    return f"within {100 * NEAR_ERROR:g} % of the ANN's {metric.title}"


def _within(worse: float, limit: float) -> bool:
    return worse <= limit + ROUNDING


def _apart(evaluation: Evaluation) -> tuple[str, str]:
    """Return tone and badge where only the distance to the ANN's output is known."""
    value = evaluation.value
    assert value is not None
    apart = evaluation.metric.worse_by(value, 1.0 if evaluation.metric.share else 0.0)
    tone = (
        "good" if _within(apart, NEAR_APART) else "fair" if _within(apart, FAIR_APART) else "poor"
    )
    if evaluation.metric.share:
        return tone, f"{percent(value)} of the ANN's answers"
    return tone, f"relative error {plain(value)} to the ANN's output"


def first_near(evaluation: Evaluation) -> ScoreRow | None:
    """Return the first row near the ANN; None without labels."""
    ann, metric = evaluation.ann_value, evaluation.metric
    if ann is None:
        return None
    near, _ = limits(metric, ann)
    for row in evaluation.measurement.accuracy:
        if row.value is not None and _within(metric.worse_by(row.value, ann), near):
            return row
    return None


def _labelled_headline(evaluation: Evaluation) -> str:
    ann, value, metric = evaluation.ann_value, evaluation.value, evaluation.metric
    assert ann is not None and value is not None
    after = f"After {count(evaluation.timesteps, 'timestep')} the spiking network"
    samples = count(evaluation.measurement.samples, "sample")
    compared = f"{_compared(value - ann, metric)} the ANN's {measure(ann, metric)}."
    if metric.name == "accuracy":
        return f"{after} is right on {measure(value, metric)} of {samples}, {compared}"
    return f"{after} has {metric.title} {measure(value, metric)} on {samples}, {compared}"


def _undefined(evaluation: Evaluation) -> str:
    return (
        f"The {evaluation.metric.title} is not defined on these "
        f"{count(evaluation.measurement.samples, 'sample')}."
    )


def _distance(difference: float, metric: MetricText) -> str:
    """Return the size of a difference."""
    if metric.share:
        return f"{abs(100 * difference):.1f} points"
    return plain(abs(difference))


def _compared(difference: float, metric: MetricText) -> str:
    if metric.share and f"{abs(100 * difference):.1f}" == "0.0":
        return "the same as" if difference == 0 else "practically"
    if difference == 0:
        return "the same as"
    return f"{_distance(difference, metric)} {'below' if difference < 0 else 'above'}"


def _unlabelled_headline(evaluation: Evaluation) -> str:
    value, metric = evaluation.value, evaluation.metric
    assert value is not None
    after = f"After {count(evaluation.timesteps, 'timestep')} the spiking network"
    samples = count(evaluation.measurement.samples, "sample")
    if metric.share:
        found = f"gives the ANN's answer on {percent(value)} of {samples}"
    else:
        found = f"differs from the ANN's output by {plain(value)} of its norm on {samples}"
    unknown = "accuracy" if metric.share else "error"
    return f"{after} {found}. There were no labels, so its {unknown} is unknown."


def _details(evaluation: Evaluation) -> tuple[str, ...]:
    ann, final = evaluation.measurement.ann, evaluation.final
    sentences = []
    if ann.difference_ci95 is not None:
        low, high = ann.difference_ci95
        told = " These samples cannot tell the two apart." if low <= 0 <= high else ""
        if evaluation.metric.share:
            between = f"{100 * low:+.1f} and {100 * high:+.1f} points"
        else:
            between = f"{low:+.3g} and {high:+.3g}"
        sentences.append(
            f"The difference lies between {between} (95 % interval, paired).{told}".replace(
                "-", "−"
            )
        )
    near = first_near(evaluation)
    reach = near_text(evaluation.metric).replace("1 point", "one point")
    if near is None and ann.value is not None:
        sentences.append(f"It does not come {reach}.")
    elif near is not None and near.timesteps < final.timesteps:
        sentences.append(f"It first comes {reach} after {count(near.timesteps, 'timestep')}.")
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
    metric, advice = evaluation.metric, evaluation.ladder.advice
    if advice is None or advice.lost < _notable(evaluation):
        return []
    text = RUNGS[advice.rung]
    unit = " points" if metric.share else ""
    return [
        f"Most is lost at the rung “{text.title}”, {lost(advice.lost, metric)}{unit}: {text.adds}. "
        f"What to change: {', or '.join(advice.options)}."
    ]


def _notable(evaluation: Evaluation) -> float:
    """Return the least loss worth a sentence."""
    ann, metric = evaluation.ann_value, evaluation.metric
    if ann is None:
        return NOTABLE_LOSS if metric.share else NEAR_APART
    return 0.5 * limits(metric, ann)[0]


def _error_finding(layer: LayerStatistics) -> list[str]:
    assert layer.relative_error is not None
    if layer.relative_error < NOTABLE_ERROR:
        return []
    correlation = "" if layer.correlation is None else f", correlation {layer.correlation:.3f}"
    return [
        f"{layer.name} follows its ANN activation least: relative error "
        f"{plain(layer.relative_error, 2)}{correlation}."
    ]
