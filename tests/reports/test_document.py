"""report.json and accuracy.csv: the schema, strict JSON, and what is written about them."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from evaluations import (
    context,
    evaluation,
    extended,
    layer,
    regression_evaluation,
    small_evaluation,
)

from snnconvert.reports.document import SCHEMA, to_plain, to_text
from snnconvert.reports.evaluation import Evaluation

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KEYWORDS = {
    *("$schema", "$id", "title", "description", "$defs", "$ref", "allOf", "anyOf", "enum"),
    *("type", "const", "properties", "required", "additionalProperties"),
    *("items", "minItems", "maxItems", "minimum", "maximum"),
}


def violations(
    value: Any, schema: Mapping[str, Any], path: str = "$", root: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Yield where a value breaks a schema: the part of JSON Schema that ours uses."""
    root = schema if root is None else root
    assert set(schema) <= KEYWORDS, path
    for part in schema.get("allOf", []):
        yield from violations(value, part, path, root)
    options = [list(violations(value, part, path, root)) for part in schema.get("anyOf", [])]
    if options and all(options):
        yield from options[-1]
    if "$ref" in schema:
        yield from violations(value, root["$defs"][schema["$ref"].rpartition("/")[2]], path, root)
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(
        isinstance(value, TYPES[k]) and (k == "boolean" or not isinstance(value, bool))
        for k in kinds
    ):
        yield f"{path}: {value!r} is not {kinds}"
        return
    if isinstance(value, int | float):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{path}: {value} is out of range"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: {len(value)} items"
        for i, item in enumerate(value):
            yield from violations(item, schema.get("items", {}), f"{path}[{i}]", root)
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{path}: no {k}" for k in schema.get("required", []) if k not in value)
        for key, entry in value.items():
            if key in properties:
                yield from violations(entry, properties[key], f"{path}.{key}", root)
            elif (others := schema.get("additionalProperties", True)) is False:
                yield f"{path}: {key} is not in the schema"
            elif isinstance(others, Mapping):
                yield from violations(entry, others, f"{path}.{key}", root)


@pytest.fixture(scope="module")
def schema(repository: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((repository / "reports" / "report.schema.json").read_text())
    return loaded


@pytest.mark.parametrize(
    "made",
    [
        evaluation(),
        evaluation(labelled=False),
        extended(evaluation()),
        regression_evaluation(),
        regression_evaluation(labelled=False, ladder=()),
        evaluation(timesteps=1, layers=1),
        evaluation(timesteps=512, layers=40, latency=512),
        evaluation(parity=None, resources={}, warnings=(), notes=(), ladder=()),
        Evaluation(small_evaluation()[0], context(ladder=())),
        Evaluation(small_evaluation(labels=None, lowered_values=None)[0], context(ladder=())),
    ],
)
def test_the_document_follows_its_schema(made: Evaluation, schema: dict[str, Any]) -> None:
    assert list(violations(made.to_json(), schema)) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("schema",), "snnconvert-report/1", "$.schema: 'snnconvert-report/1' is not"),
        (("ann", "accuracy"), 91.8, "$.ann.accuracy: 91.8 is out of range"),
        (("samples",), 10.5, "$.samples: 10.5 is not ['integer']"),
        (("layers",), [{}], "$.layers[0]: no name"),
        (("extra",), 1, "$: extra is not in the schema"),
        (("accuracy",), [], "$.accuracy: 0 items"),
        (("metric", "direction"), "up", "$.metric.direction: 'up' is not one of"),
        (("metric", "range"), ["0", 1], "$.metric.range[0]: '0' is not"),
    ],
)
def test_the_schema_finds_mistakes(
    path: tuple[str, ...], value: Any, problem: str, schema: dict[str, Any]
) -> None:
    document = evaluation().to_json()
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert any(found.startswith(problem) for found in violations(document, schema))


def test_the_schema_names_every_field_of_the_design(schema: dict[str, Any]) -> None:
    assert list(schema["properties"]) == [
        *("schema", "model", "target", "fidelity", "calibration", "samples", "metric", "ann"),
        *("accuracy", "outputs", "ladder", "anytime", "diagnosis", "layers", "operations"),
        *(
            "energy",
            "resources",
            "parity",
            "quantised",
            "timing",
            "approximations",
            "warnings",
            "notes",
        ),
    ]
    assert schema["properties"]["schema"]["const"] == SCHEMA
    assert set(schema["required"]) == set(schema["properties"])


def names(schema: Mapping[str, Any]) -> Iterator[str]:
    """Every field name in a schema."""
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from names(inner)
    if "items" in schema:
        yield from names(schema["items"])
    for inner in schema.get("$defs", {}).values():
        yield from names(inner)


def test_every_field_is_documented(repository: Path, schema: dict[str, Any]) -> None:
    if not (repository / "docs").is_dir():
        pytest.skip("the documentation is not installed")
    text = (repository / "docs" / "report.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_0-9]+)`", text))
    assert set(names(schema)) <= documented


def test_the_ladder_gives_numbers_by_name_and_reasons_for_gaps() -> None:
    ladder = evaluation().to_json()["ladder"]
    assert ladder["quantised_ann"] == 0.9
    assert ladder["snn"] is None
    assert ladder["reasons"]["snn"] == "not computed"
    assert ladder["reasons"]["integer_snn"] == "weights were not rounded (--weight-bits)"
    assert ladder["ann"] == 0.918
    assert ladder["lost"]["quantised_ann"] == pytest.approx(0.018)


def test_what_is_not_finite_is_null() -> None:
    made = evaluation(
        calibration={"nan": float("nan"), "inf": np.float32("inf"), "fine": np.float64(0.5)},
        resources={"array": np.array([1.0, -np.inf])},
    )
    document = made.to_json()
    assert document["calibration"] == {"nan": None, "inf": None, "fine": 0.5}
    assert document["resources"] == {"array": [1.0, None]}
    json.dumps(document, allow_nan=False)


def test_other_types_become_plain() -> None:
    value = {1: (np.int64(2), np.bool_(True), PurePosixPath("a/b")), "s": np.str_("x")}
    assert to_plain(value) == {"1": [2, True, "a/b"], "s": "x"}
    with pytest.raises(TypeError, match="complex has no form in JSON"):
        to_plain({"z": 1j})


def test_the_text_is_the_document_and_one_line_is_one_row() -> None:
    document = evaluation(timesteps=8).to_json()
    text = to_text(document)
    assert json.loads(text) == document
    assert sum(line.startswith('    {"timesteps"') for line in text.splitlines()) == 8


def test_pictures_are_stored_with_the_digits_that_they_show() -> None:
    made = evaluation(layers=1)
    (only,) = made.to_json()["layers"]
    assert len(only["scatter"]) == len(layer("features.0.conv").scatter)
    assert all(len(f"{abs(x):.15g}".replace(".", "").lstrip("0")) <= 4 for x, _ in only["scatter"])


def test_csv_has_a_row_for_every_timestep() -> None:
    made = evaluation(timesteps=20, latency=7)
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert [int(row["timesteps"]) for row in rows] == list(range(1, 21))
    assert [int(row["latency"]) for row in rows] == list(range(8, 28))
    final = made.final
    assert final.ci95 is not None
    assert float(rows[-1]["accuracy"]) == final.accuracy
    assert float(rows[-1]["agreement"]) == final.agreement
    assert (float(rows[-1]["ci95_low"]), float(rows[-1]["ci95_high"])) == final.ci95


def test_csv_leaves_unknown_accuracies_empty() -> None:
    lines = evaluation(timesteps=2, labelled=False).to_csv().splitlines()
    assert lines[0] == (
        "timesteps,latency,accuracy,agreement,ci95_low,ci95_high,value,relative_error,correlation"
    )
    assert re.fullmatch(r"2,2,,(0\.\d+),0\.\d+,0\.\d+,\1,,", lines[2])


def test_csv_has_the_other_metrics_behind() -> None:
    rows = list(csv.DictReader(io.StringIO(regression_evaluation(timesteps=4).to_csv())))
    assert rows[-1]["accuracy"] == rows[-1]["agreement"] == ""
    assert float(rows[-1]["value"]) == pytest.approx(0.53)
    assert (float(rows[-1]["correlation"]), float(rows[-1]["r2"])) == (0.99, 0.87)
