"""Convert a model for a report: rows to evaluate it on are kept out of the thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnconvert.calibration.data import SampleSource, load_rows, open_samples, row_digests
from snnconvert.calibration.partition import HELD_OUT_SHARE, digests_of, held_out, shared_with
from snnconvert.convert.calibration_rows import companion, find_calibration_rows
from snnconvert.convert.conversion import Progress
from snnconvert.convert.errors import DataError
from snnconvert.convert.judges import MetricChoice, check_labels, check_metrics
from snnconvert.convert.lower import exact_graph
from snnconvert.convert.onnx_import import Imported, import_onnx
from snnconvert.convert.pipeline import convert_model
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.convert.stored_graph import recognised


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """Raw rows to evaluate and, where they are known apart from the rows, labels."""

    x: Any
    y: Any = None


def convert_for_report(
    path: Path,
    calibration: Any,
    evaluation: Any,
    *,
    progress: Progress | None,
    num_samples: int | None = None,
    metric: MetricChoice = None,
    score_output: str | None = None,
    **options: Any,
) -> tuple[SpikingModel, EvaluationRows]:
    """Convert a model and find rows to evaluate it on.

    The rows are those given, else ``<model>.eval.npz`` beside the model, else one calibration row
    in three, which then is kept out of the thresholds.

    Parameters
    ----------
    path : Path
    calibration, evaluation : data or None
    progress : callable, optional
    num_samples, metric, score_output
        As for :func:`snnconvert.convert.evaluate.evaluate_model`: what does not exist, and labels
        that do not fit, are refused here, before the long work.
    **options
        As for :func:`convert_model`.
    """
    rows = evaluation if evaluation is not None else companion(str(path), "eval")
    keys = ("input_shapes", "inputs", "outputs")
    imported = import_onnx(path, **{key: options.get(key) for key in keys})
    assert imported.graph is not None
    shapes = {node.name: node.shape for node in imported.graph.inputs}
    names = imported.graph.output_names
    check_metrics(names, metric, score_output)
    if rows is not None:
        tested = open_samples(
            rows, shapes, what="evaluation", outputs=names
        )  # refuses bad rows before the long work
        tested.check_labels()
        if (known := tested.labels_at_hand) is not None:
            check_labels(imported.graph, _first(known, num_samples), metric, score_output)
        notes = _shared_rows(imported, calibration, tested)
        if notes and options.get("strict"):
            raise DataError(notes[0], hint="give other rows, or leave out --strict")
        snn = convert_model(
            path, calibration, progress=progress, score_output=score_output, **options
        )
        return replace(snn, warnings=(*snn.warnings, *notes)), EvaluationRows(rows)
    exact = exact_graph(imported.graph)
    quantised = recognised(exact, options.get("readout", "membrane"))
    drawn = find_calibration_rows(imported, exact, quantised, calibration, options.get("seed", 0))
    if options.get("strict"):
        drawn.refuse_warnings()
    x, y = load_rows(drawn.data, shapes, what="calibration", outputs=names)
    out = held_out(row_digests(x))
    if not out.any():
        raise DataError(
            f"{len(out)} calibration rows are too few to keep some for the evaluation",
            hint=f"give --eval, or at least {HELD_OUT_SHARE} different calibration rows",
        )
    labels = {name: array[out] for name, array in y.items()}
    check_labels(imported.graph, _first(labels, num_samples), metric, score_output)
    kept = {name: array[~out] for name, array in x.items()}
    snn = convert_model(path, kept, progress=progress, score_output=score_output, **options)
    note = (
        f"no evaluation rows: evaluated on {int(out.sum())} of {len(out)} calibration "
        "rows that were kept out of the thresholds"
    )
    snn = replace(snn, warnings=(*snn.warnings, *drawn.warnings, note))
    rest = {name: array[out] for name, array in x.items()}
    return snn, EvaluationRows(rest, labels or None)


def _first(labels: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """Return the labels of the rows that are evaluated."""
    return {name: array[:count] for name, array in labels.items()}


def _shared_rows(imported: Imported, calibration: Any, tested: SampleSource) -> tuple[str, ...]:
    """Return a warning where evaluation rows are calibration rows as well."""
    data = companion(imported.path, "calibration") if calibration is None else calibration
    if data is None:
        return ()
    seen = digests_of(open_samples(data, tested.inputs))
    shared = int(shared_with(digests_of(tested), seen).sum())
    return (shared_text(shared),) if shared else ()


def shared_text(shared: int) -> str:
    """Return the warning of rows that are in both sets."""
    noun = "row" if shared == 1 else "rows"
    return (
        f"--eval and --calibration share {shared:,} {noun}: figures from rows that chose the "
        "thresholds flatter"
    )
