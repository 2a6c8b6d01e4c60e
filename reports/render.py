"""report.html: one self-contained page, and the three files of a report."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from snnconvert.reports import text
from snnconvert.reports.charts import (
    PAGE_POINTS,
    accuracy_chart,
    close_up_chart,
    histogram_chart,
    ladder_chart,
    scatter_chart,
)
from snnconvert.reports.document import report_document, to_plain, to_text
from snnconvert.reports.energy import BASELINE, CAVEAT
from snnconvert.reports.ladder import RUNGS, score, steps_down
from snnconvert.reports.layers import SATURATED_RATE
from snnconvert.reports.metrics import AccuracyRow
from snnconvert.reports.outline import outline
from snnconvert.reports.statistics import wilson_interval
from snnconvert.reports.summary import marked_steps, mean_rate, parity_text
from snnconvert.reports.verdict import findings, verdict

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation

TEMPLATES = Path(__file__).parent / "templates"

RUN_FACTS = ("engine", "neuron", "reset", "weight_bits", "delay", "input", "readout", "schedule")
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
        *(text.joules, text.count, text.scalar),
    ):
        environment.filters[formatter.__name__] = formatter
    environment.filters["options"] = mark_options
    return environment.get_template("report.html.j2")


def mark_options(sentence: str) -> Markup:
    """Return the sentence with its command line options set as code, which does not break."""
    return Markup(re.sub(r"(--[a-z][a-z-]*)", r"<code>\1</code>", str(escape(sentence))))


def _tiles(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return the key figures: label, value, remark."""
    measured, final = evaluation.measurement, evaluation.final
    operations = measured.operations
    agreement = (
        "Agreement",
        text.percent(final.agreement),
        f"with the ANN, {text.interval(_agreement_interval(final, measured.samples))}",
    )
    tiles = [agreement]
    if final.accuracy is not None and measured.ann.accuracy is not None:
        tiles = [
            ("Spiking network", text.percent(final.accuracy), text.interval(final.ci95)),
            ("ANN", text.percent(measured.ann.accuracy), text.interval(measured.ann.ci95)),
            agreement,
        ]
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


def _charts(evaluation: Evaluation) -> list[tuple[str, Markup]]:
    close_up = close_up_chart(evaluation)
    whole = ("The whole run", accuracy_chart(evaluation))
    return [whole, ("Its end, enlarged", close_up)] if close_up else [whole]


def _agreement_interval(row: AccuracyRow, samples: int) -> tuple[float, float]:
    return wilson_interval(round(row.agreement * samples), samples)


def _ladder(evaluation: Evaluation) -> dict[str, Any]:
    rungs = evaluation.ladder
    scores = {rung.name: value for rung in rungs if (value := score(rung)) is not None}
    bands = {
        rung.name: wilson_interval(round(scores[rung.name] * rung.samples), rung.samples)
        for rung in rungs
        if rung.name in scores and rung.samples
    }
    ends = [*scores.values(), *(bound for band in bands.values() for bound in band)]
    low, high = max(min(ends) - 0.01, 0.0), min(max(ends) + 0.01, 1.0)
    return {
        "rungs": [
            {
                "rung": rung,
                "text": RUNGS[rung.name],
                "score": scores.get(rung.name),
                "lost": steps_down(rungs).get(rung.name),
                "chart": ladder_chart(scores[rung.name], low, high, bands.get(rung.name))
                if rung.name in scores
                else Markup(""),
            }
            for rung in rungs
        ],
        "low": low,
        "high": high,
        "samples": sorted({rung.samples for rung in rungs if rung.samples}),
    }


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
