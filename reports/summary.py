"""The result as a few lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnconvert.reports.text import (
    count,
    interval,
    joules,
    label,
    percent,
    plain,
    points,
    quantity,
    scalar,
)

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation


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
    if measured.ann.accuracy is not None:
        rows.append(("ANN accuracy", f"{percent(measured.ann.accuracy, 2)}"))
    for t in marked_steps(final.timesteps)[-4:]:
        row = measured.accuracy[t - 1]
        if row.accuracy is None or measured.ann.accuracy is None:
            rows.append((f"agreement at T = {t}", percent(row.agreement, 2)))
            continue
        difference = points(row.accuracy - measured.ann.accuracy, 2)
        rows.append(
            (
                f"accuracy at T = {t}",
                f"{percent(row.accuracy, 2)}  {difference} points  ({interval(row.ci95)})",
            )
        )
    if final.accuracy is not None:
        rows.append(("agreement with the ANN", percent(final.agreement, 2)))
    rows += [
        ("latency", count(final.latency, "step")),
        ("mean rate", f"{plain(mean_rate(evaluation))} spikes a neuron and step"),
        ("synaptic operations", f"{quantity(operations.synops)} a sample{_times_ann(evaluation)}"),
    ]
    energy = {estimate.model: estimate for estimate in evaluation.energy}["SNN on Loihi"]
    rows.append(("energy on Loihi", f"{joules(energy.joules)} a sample (estimate)"))
    if evaluation.context.parity is not None:
        rows.append(("parity", parity_text(evaluation)))
    return rows


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
