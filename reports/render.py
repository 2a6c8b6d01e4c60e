"""report.html: one self-contained page, and the three files of a report."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from snnconvert.reports import text
from snnconvert.reports.bar_charts import diagnosis_chart, stops_chart
from snnconvert.reports.charts import (
    PAGE_POINTS,
    accuracy_chart,
    capitalised,
    close_up_chart,
    histogram_chart,
    ladder_chart,
    scatter_chart,
)
from snnconvert.reports.document import report_document, to_plain, to_text
from snnconvert.reports.energy import BASELINE, CAVEAT
from snnconvert.reports.ladder import RUNGS
from snnconvert.reports.layers import SATURATED_RATE
from snnconvert.reports.outline import outline
from snnconvert.reports.scores import MetricText, OutputScore
from snnconvert.reports.statistics import wilson_interval
from snnconvert.reports.summary import (
    also_text,
    marked_steps,
    mean_rate,
    nearness,
    parity_text,
)
from snnconvert.reports.verdict import findings, verdict

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation

TEMPLATES = Path(__file__).parent / "templates"

RUN_FACTS = (
    "engine",
    "neuron",
    "reset",
    "weight_bits",
    "delay",
    "input",
    "readout",
    "schedule",
    "steps_counted",
)
"""What the header says of the run; the rest of `fidelity` has its own section."""

OPERATIONS = (
    (
        "ann_macs",
        "ANN multiply-adds",
        "convolutions and matrix products of the original network, once",
    ),
    (
        "effective_acs",
        "Effective ACs",
        "spikes, and inputs of 0 and ±1, times the non-zero weights that they meet (NeuroBench)",
    ),
    (
        "effective_macs",
        "Effective MACs",
        "other inputs times the non-zero weights that they meet, in every step (NeuroBench)",
    ),
    ("dense", "Dense operations", "all connections, zero weights too, in every step (NeuroBench)"),
    (
        "synops",
        "Synaptic operations",
        "spikes and events times the non-zero weights that they meet",
    ),
    ("neuron_updates", "Neuron updates", "neurons times simulated steps"),
    ("spikes", "Spikes", "of all populations"),
)


def write_report(evaluation: Evaluation, folder: Path) -> None:
    """Write report.json, report.html and accuracy.csv into an existing folder."""
    files = {
        "report.json": to_text(report_document(evaluation)) + "\n",
        "report.html": render_html(evaluation),
        "accuracy.csv": evaluation.to_csv(),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")


def render_html(evaluation: Evaluation) -> str:
    """Return the page."""
    page: str = _template().render(
        evaluation=evaluation,
        context=evaluation.context,
        measured=evaluation.measurement,
        model_name=_model_name(evaluation.context.model),
        verdict=verdict(evaluation),
        findings=findings(evaluation),
        tiles=_tiles(evaluation),
        charts=_charts(evaluation),
        rows=[evaluation.measurement.accuracy[t - 1] for t in marked_steps(evaluation.timesteps)],
        ladder=_ladder(evaluation),
        metric=evaluation.metric,
        metric_title=capitalised(evaluation.metric.title),
        outputs=_outputs(evaluation),
        anytime=evaluation.anytime,
        stops=None if evaluation.anytime is None else stops_chart(evaluation.anytime),
        saved=_saved(evaluation),
        diagnosis=evaluation.diagnosis,
        diagnosed=None if evaluation.diagnosis is None else diagnosis_chart(evaluation.diagnosis),
        layers=_layers(evaluation),
        approximations=evaluation.context.approximations,
        operations=_operations(evaluation),
        energy=evaluation.energy,
        baseline=BASELINE.name,
        caveat=CAVEAT,
        saturated_rate=f"{SATURATED_RATE:.2%}".replace("%", " %"),
        parity=parity_text(evaluation),
        run=_run(evaluation.context.fidelity),
        sections=_sections(evaluation),
    )
    return page


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (
        *(text.percent, text.points, text.loss, text.plain, text.interval, text.quantity),
        *(
            text.joules,
            text.count,
            text.scalar,
            text.measure,
            text.measures,
            text.change,
            text.lost,
        ),
    ):
        environment.filters[formatter.__name__] = formatter
    environment.filters["options"] = mark_options
    return environment.get_template("report.html.j2")


def mark_options(sentence: str) -> Markup:
    """Return the sentence with its command line options set as code, which does not break."""
    return Markup(re.sub(r"(--[a-z][a-z-]*)", r"<code>\1</code>", str(escape(sentence))))


def _tiles(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return the key figures: label, value, remark."""
    measured, final, metric = evaluation.measurement, evaluation.final, evaluation.metric
    operations = measured.operations
    near = _near_tile(evaluation)
    tiles = [near]
    if measured.ann.value is not None:
        told = "" if metric.name == "accuracy" else f"{metric.title}, "
        tiles = [
            (name, text.measure(value, metric), told + text.measures(bounds, metric))
            for name, value, bounds in (
                ("Spiking network", final.value, final.ci95),
                ("ANN", measured.ann.value, measured.ann.ci95),
            )
        ]
        tiles.append(near)
    ratio = operations.synops / operations.ann_macs if operations.ann_macs else None
    return [
        *tiles,
        ("Timesteps", f"{final.timesteps:,}", f"latency {text.count(final.latency, 'step')}"),
        ("Mean rate", text.plain(mean_rate(evaluation)), "spikes a neuron and step"),
        (
            "Synaptic operations",
            text.quantity(operations.synops),
            "a sample" if ratio is None else f"{text.plain(ratio)} × the ANN's multiply-adds",
        ),
    ]


def _near_tile(evaluation: Evaluation) -> tuple[str, str, str]:
    """Return how near the ANN's output is."""
    final, samples = evaluation.final, evaluation.measurement.samples
    if final.agreement is not None:
        bounds = final.ci95
        if evaluation.metric.against == "labels" and not evaluation.measurement.several:
            bounds = wilson_interval(round(final.agreement * samples), samples)
        told = "" if bounds is None else f", {text.interval(bounds)}"
        return "Agreement", text.percent(final.agreement), f"with the ANN{told}"
    if final.correlation is None:
        told = "to the ANN's output"
    else:
        told = f"to the ANN's output, correlation {final.correlation:.3f}"
    error = final.relative_error
    return "Relative error", text.MISSING if error is None else text.plain(error), told


def _charts(evaluation: Evaluation) -> list[tuple[str, Markup]]:
    drawn = (
        ("The whole run", accuracy_chart(evaluation)),
        ("Its end, enlarged", close_up_chart(evaluation)),
    )
    return [(title, chart) for title, chart in drawn if chart]


def _outputs(evaluation: Evaluation) -> list[tuple[OutputScore, str, list[tuple[str, str]]]]:
    """Return every output with how near it is to the ANN's, and what else is known of it."""
    return [
        (
            output,
            ": ".join(nearness(output)),
            [
                (name.replace("_", " "), also_text(value, output.metric))
                for name, value in output.rows[-1].also.items()
            ],
        )
        for output in evaluation.measurement.outputs
    ]


def _ladder(evaluation: Evaluation) -> dict[str, Any]:
    rungs, metric = evaluation.ladder, evaluation.metric
    scores = rungs.scores
    bands = {}
    if metric.share and not evaluation.measurement.several:
        bands = {
            rung.name: wilson_interval(round(scores[rung.name] * rung.samples), rung.samples)
            for rung in rungs
            if rung.name in scores and rung.samples
        }
    ends = [*scores.values(), *(bound for band in bands.values() for bound in band)]
    low, high = _ladder_range(min(ends), max(ends), metric) if ends else (0.0, 1.0)
    return {
        "rungs": [
            {
                "rung": rung,
                "text": RUNGS[rung.name],
                "score": scores.get(rung.name),
                "lost": rungs.losses.get(rung.name),
                "chart": ladder_chart(scores[rung.name], low, high, bands.get(rung.name))
                if rung.name in scores
                else Markup(""),
            }
            for rung in rungs
        ],
        "low": low,
        "high": high,
        "samples": sorted({rung.samples for rung in rungs if rung.samples}),
        "advice": rungs.advice,
        "advised": "" if rungs.advice is None else RUNGS[rungs.advice.rung].title,
    }


def _ladder_range(low: float, high: float, metric: MetricText) -> tuple[float, float]:
    if metric.share:
        return max(low - 0.01, 0.0), min(high + 0.01, 1.0)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - room, high + room


def _saved(evaluation: Evaluation) -> list[tuple[str, float, float, float | None]]:
    """Return label, count until the stop, count of the whole run, ratio of the two."""
    result = evaluation.anytime
    if result is None:
        return []
    whole = evaluation.measurement.operations
    names = ("effective_acs", "effective_macs", "synops", "neuron_updates", "spikes")
    titles = {name: title for name, title, _ in OPERATIONS}
    rows = []
    for name in names:
        until, all_steps = getattr(result.operations, name), getattr(whole, name)
        rows.append((titles[name], until, all_steps, until / all_steps if all_steps else None))
    return rows


def _layers(evaluation: Evaluation) -> list[dict[str, Any]]:
    measured = evaluation.measurement
    most = PAGE_POINTS // max(len(measured.layers), 1)
    total = measured.operations.synops
    return [
        {
            "layer": layer,
            "synops": (synops := measured.operations.synops_by_source.get(layer.name, 0.0)),
            "share": synops / total if total else 0.0,
            "histogram": histogram_chart(layer),
            "scatter": scatter_chart(layer, most),
        }
        for layer in measured.layers
    ]


def _operations(evaluation: Evaluation) -> list[tuple[str, float, float | None, str]]:
    """Return label, count, ratio to the ANN's multiply-adds, definition."""
    operations = evaluation.measurement.operations
    return [
        (
            title,
            (number := getattr(operations, name)),
            number / operations.ann_macs
            if operations.ann_macs and name not in ("ann_macs", "spikes", "neuron_updates")
            else None,
            definition,
        )
        for name, title, definition in OPERATIONS
    ]


def _model_name(model: dict[str, Any]) -> str:
    """Return the file's name, which says more than the graph's ("main_graph")."""
    file = PurePath(str(model.get("model", "")))
    return file.stem if file.suffix == ".onnx" else str(model.get("name", "model"))


def _run(fidelity: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a reader must know to compare the figures with others'."""
    known = {name: value for name in RUN_FACTS if (value := fidelity.get(name)) is not None}
    return [(text.label(name), text.scalar(to_plain(value))) for name, value in known.items()]


def _sections(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return what the context holds, each part as small tables."""
    document = report_document(evaluation)
    parts = (
        ("fidelity", "How it was run", "What stands between these numbers and the hardware."),
        ("resources", "Resources on the target", "What the network takes there."),
        ("parity", "Parity", "What was compared with an independent engine."),
        ("calibration", "Calibration", "What the thresholds were chosen from."),
        ("model", "Model", "What was converted, and with which versions."),
        ("timing", "Timing", "Wall-clock seconds on this machine."),
    )
    return [
        {"id": name, "title": title, "lead": lead, "blocks": outline(to_plain(document[name]))}
        for name, title, lead in parts
        if document[name]
    ]
