"""The result as a few lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnconvert.reports.ladder import RUNGS
from snnconvert.reports.scores import OutputScore
from snnconvert.reports.text import (
    change,
    count,
    joules,
    label,
    lost,
    measure,
    measures,
    percent,
    plain,
    quantity,
    scalar,
)

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.reports.scores import MetricText


def marked_steps(timesteps: int) -> list[int]:
    """Return the powers of two up to T, and T.

    Examples
    --------
    >>> marked_steps(20)
    [1, 2, 4, 8, 16, 20]
    """
    powers = [2**k for k in range(timesteps.bit_length()) if 2**k <= timesteps]
    return powers if powers[-1] == timesteps else [*powers, timesteps]


def summary_table(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the rows (label, text) of the console summary."""
    measured, final = evaluation.measurement, evaluation.final
    operations = measured.operations
    rows = [("target", _target(evaluation)), ("samples", f"{measured.samples:,}")]
    rows += _headline(evaluation)
    for output in measured.outputs[1:]:
        rows.append((f"output {output.name}", output_text(output)))
    rows += [
        ("latency", count(final.latency, "step")),
        ("mean rate", f"{plain(mean_rate(evaluation))} spikes a neuron and step"),
        ("synaptic operations", f"{quantity(operations.synops)} a sample{_times_ann(evaluation)}"),
    ]
    rows += [*_ladder(evaluation), *_anytime(evaluation)]
    energy = {estimate.model: estimate for estimate in evaluation.energy}["SNN on Loihi"]
    rows.append(("energy on Loihi", f"{joules(energy.joules)} a sample (estimate)"))
    if evaluation.context.parity is not None:
        rows.append(("parity", parity_text(evaluation)))
    return rows


def _headline(evaluation: Evaluation) -> list[tuple[str, str]]:
    measured, metric = evaluation.measurement, evaluation.metric
    ann, final = measured.ann.value, evaluation.final
    title = "agreement" if metric.name == "agreement" else metric.title
    rows = [] if ann is None else [(f"ANN {title}", measure(ann, metric, 2))]
    for t in marked_steps(final.timesteps)[-4:]:
        row = measured.accuracy[t - 1]
        text = measure(row.value, metric, 2)
        if ann is not None and row.value is not None:
            unit = " points" if metric.share else ""
            text += f"  {change(row.value - ann, metric, 2)}{unit}"
            text += f"  ({measures(row.ci95, metric)})" if row.ci95 is not None else ""
        rows.append((f"{title} at T = {t}", text))
    rows += [(name.replace("_", " "), also_text(v, metric)) for name, v in final.also.items()]
    if metric.against == "labels":
        rows.append(nearness(evaluation.measurement.headline))
    return rows


def _ladder(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the rungs with what each loses, and what to change for the largest loss."""
    ladder, metric = evaluation.ladder, evaluation.metric
    rungs = [f"{RUNGS[name].title} {measure(v, metric, 2)}" for name, v in ladder.scores.items()]
    if len(rungs) < 2:
        return []
    rows = [("ladder", " > ".join(rungs))]
    advice = ladder.advice
    if advice is not None:
        unit = " points" if metric.share else ""
        lost_ = f"{lost(advice.lost, metric)}{unit} at {RUNGS[advice.rung].title}"
        rows.append(("largest loss", f"{lost_}; change {', or '.join(advice.options)}"))
    return rows


def _anytime(evaluation: Evaluation) -> list[tuple[str, str]]:
    result, metric = evaluation.anytime, evaluation.metric
    if result is None:
        return []
    operations = evaluation.measurement.operations
    text = (
        f"{measure(result.value, metric, 2)} after {result.mean_timesteps:.1f} timesteps on "
        f"average, {percent(result.changed)} other answers"
    )
    fixed = result.fixed_timesteps
    if fixed is not None:
        text += f"; a fixed T needs {fixed}"
    if operations.synops:
        share = result.operations.synops / operations.synops
        text += f"; {percent(share)} of the synaptic operations"
    return [("anytime", text)]


def also_text(value: float | None, metric: MetricText) -> str:
    """Return another metric of the same output: metrics of classes are shares, others are not."""
    return percent(value, 2) if metric.share else "–" if value is None else plain(value, 4)


def nearness(output: OutputScore) -> tuple[str, str]:
    """Return how near an output comes to the ANN's: label, text."""
    final = output.rows[-1]
    if final.agreement is not None:
        return "agreement with the ANN", percent(final.agreement, 2)
    known = [
        f"{name} {plain(value, 3)}"
        for name, value in (
            ("relative error", final.relative_error),
            ("correlation", final.correlation),
        )
        if value is not None
    ]
    return "to the ANN's output", ", ".join(known) or "–"


def output_text(output: OutputScore) -> str:
    """Return one output's scores in a line."""
    metric, final, ann = output.metric, output.rows[-1], output.ann.value
    parts = []
    if metric.against == "labels":
        parts = [f"{metric.title} {measure(final.value, metric, 2)}"]
        parts += [f"ANN {measure(ann, metric, 2)}"] if ann is not None else []
    label_, text = nearness(output)
    return ", ".join([*parts, f"{label_} {text}"])


def _target(evaluation: Evaluation) -> str:
    engine = evaluation.context.fidelity.get("engine")
    target = evaluation.context.target
    return target if engine is None else f"{target} ({engine})"


def mean_rate(evaluation: Evaluation) -> float:
    """Return the spikes a neuron and step, all populations together."""
    layers = evaluation.measurement.layers
    opportunities = sum(layer.neurons * layer.steps for layer in layers)
    return sum(layer.spikes for layer in layers) / opportunities if opportunities else 0.0


def _times_ann(evaluation: Evaluation) -> str:
    operations = evaluation.measurement.operations
    if not operations.ann_macs:
        return ""
    ratio = operations.synops / operations.ann_macs
    return f", {plain(ratio)} times the ANN's {quantity(operations.ann_macs)} multiply-adds"


def parity_text(evaluation: Evaluation) -> str:
    """Return the outcome of the comparison with an independent engine."""
    parity = evaluation.context.parity
    if parity is None:
        return "not compared with another engine"
    if "differing_spikes" not in parity:
        return ", ".join(f"{label(name)}: {scalar(v)}" for name, v in parity.items())
    against = parity.get("compared_with", "another engine")
    extent = [
        count(parity[name], name[:-1])
        for name in ("populations", "samples", "timesteps")
        if isinstance(parity.get(name), int)
    ]
    within = f" ({', '.join(extent)})" if extent else ""
    return f"{count(parity['differing_spikes'], 'differing spike')} against {against}{within}"
