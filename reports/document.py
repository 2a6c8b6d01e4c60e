"""report.json and accuracy.csv: the evaluation as data. The fields are in docs/report.md."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.reports.layers import LayerStatistics
    from snnconvert.reports.scores import OutputScore

SCHEMA = "snnconvert-report/2"


def report_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return report.json as a dictionary of plain values."""
    measured, context = evaluation.measurement, evaluation.context
    synops = measured.operations.synops_by_source
    operations = asdict(measured.operations)
    del operations["synops_by_source"]
    document = {
        "schema": SCHEMA,
        "model": context.model,
        "target": context.target,
        "fidelity": context.fidelity | ({"run": measured.details} if measured.details else {}),
        "calibration": context.calibration,
        "samples": measured.samples,
        "metric": measured.metric.to_json() | {"output": measured.headline.name},
        "ann": asdict(measured.ann),
        "accuracy": [asdict(row) for row in measured.accuracy],
        "outputs": [_output(output) for output in measured.outputs],
        "ladder": _ladder(evaluation),
        "anytime": _anytime(evaluation),
        "diagnosis": None if evaluation.diagnosis is None else evaluation.diagnosis.to_json(),
        "layers": [_layer(layer, synops.get(layer.name, 0.0)) for layer in measured.layers],
        "operations": operations,
        "energy": [asdict(estimate) for estimate in evaluation.energy],
        "resources": context.resources,
        "parity": context.parity,
        "quantised": context.quantised,
        "timing": {
            **context.timing,
            "simulation_seconds": measured.seconds,
            "samples_per_second": measured.samples / measured.seconds if measured.seconds else None,
        },
        "approximations": [asdict(entry) for entry in context.approximations],
        "warnings": list(context.warnings),
        "notes": list(context.notes),
    }
    plain = to_plain(document)
    assert isinstance(plain, dict)
    return plain


def _ladder(evaluation: Evaluation) -> dict[str, Any]:
    rungs = evaluation.ladder
    advice = rungs.advice
    return {
        **{rung.name: rung.value for rung in rungs},
        "agreement": {rung.name: rung.agreement for rung in rungs},
        "relative_error": {rung.name: rung.relative_error for rung in rungs},
        "lost": rungs.losses,
        "samples": {rung.name: rung.samples for rung in rungs if rung.samples},
        "reasons": {rung.name: rung.reason for rung in rungs if rung.reason},
        "advice": None if advice is None else asdict(advice),
    }


def _anytime(evaluation: Evaluation) -> dict[str, Any] | None:
    result = evaluation.anytime
    if result is None:
        return None
    fields = asdict(result)
    del fields["operations"]["synops_by_source"]
    return fields | {"energy": [asdict(estimate) for estimate in result.energy]}


def _output(output: OutputScore) -> dict[str, Any]:
    return {
        "name": output.name,
        "shape": list(output.shape),
        "metric": output.metric.to_json(),
        "ann": asdict(output.ann),
        "final": asdict(output.rows[-1]),
        "curve": [row.value for row in output.rows],
    }


def _layer(layer: LayerStatistics, synops: float) -> dict[str, Any]:
    fields = asdict(layer) | {"synops": synops}
    fields["histogram"] = [significant(share) for share in layer.histogram]
    fields["scatter"] = [[significant(x), significant(y)] for x, y in layer.scatter]
    return fields


def significant(x: float) -> float:
    """Return four significant digits: what a picture can show."""
    return float(f"{x:.4g}")


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it; what is not a finite number becomes null.

    Raises
    ------
    TypeError
        If JSON has nothing for it.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")


def to_text(document: Mapping[str, Any]) -> str:
    """Return the JSON text: one line for every row of a table, so that it reads and compares well.

    Examples
    --------
    >>> print(to_text({"samples": 2, "accuracy": [{"timesteps": 1}, {"timesteps": 2}]}))
    {
      "samples": 2,
      "accuracy": [
        {"timesteps": 1},
        {"timesteps": 2}
      ]
    }
    """
    entries = [f"  {_dump(key)}: {_lines(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(entries) + "\n}"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        rows = ",\n".join(f"    {_dump(entry)}" for entry in value)
        return f"[\n{rows}\n  ]"
    if isinstance(value, dict) and value:
        rows = ",\n".join(f"    {_dump(key)}: {_dump(entry)}" for key, entry in value.items())
        return f"{{\n{rows}\n  }}"
    return _dump(value)


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


CSV_COLUMNS = (
    *("timesteps", "latency", "accuracy", "agreement", "ci95_low", "ci95_high"),
    *("value", "relative_error", "correlation"),
)


def accuracy_csv(evaluation: Evaluation) -> str:
    """Return accuracy.csv: a header and one row for every timestep; empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = evaluation.measurement.accuracy
    writer.writerow([*CSV_COLUMNS, *rows[0].also])
    for row in rows:
        low, high = row.ci95 or (None, None)
        known = asdict(row) | {"ci95_low": low, "ci95_high": high}
        writer.writerow([*(known[column] for column in CSV_COLUMNS), *row.also.values()])
    return text.getvalue()
