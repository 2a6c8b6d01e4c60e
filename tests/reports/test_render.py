"""The page: one file, nothing from elsewhere, every text escaped, light; and the files written."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from evaluations import context, evaluation, regression_evaluation, small_evaluation

from snnconvert.reports.evaluation import Evaluation
from snnconvert.reports.ladder import Rung
from snnconvert.reports.render import mark_options

VOID = {"meta", "br"}
LIMIT = 300_000
"""Bytes that go through any mail server."""

HOSTILE = "<script>alert(1)</script>\"' & </style> {{ 7 * 7 }} {% if %} ümlaut \u2028"


class Page(HTMLParser):
    """Elements with their attributes, and the text of each; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.headings: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(text)
        if self.open and self.open[-1] in {"h1", "h2", "h3"}:
            self.headings.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def with_output(made: Evaluation, other: Evaluation) -> Evaluation:
    """An evaluation with another one's output beside its own."""
    outputs = (*made.measurement.outputs, *other.measurement.outputs)
    return replace(made, measurement=replace(made.measurement, outputs=outputs))


CASES = {
    "usual": evaluation(),
    "without labels": evaluation(labelled=False),
    "one layer": evaluation(layers=1),
    "no layer": evaluation(layers=0),
    "forty layers": evaluation(layers=40),
    "one step": evaluation(timesteps=1),
    "two steps": evaluation(timesteps=2),
    "512 steps of 3512": evaluation(timesteps=512, latency=3000),
    "hopeless": evaluation(shortfall=0.7),
    "better than the ANN": evaluation(shortfall=-0.03),
    "one sample": evaluation(samples=1, ann_accuracy=1.0, shortfall=0.0),
    "all wrong": evaluation(ann_accuracy=0.0, shortfall=0.0),
    "all right": evaluation(ann_accuracy=1.0, shortfall=0.0),
    "bare": evaluation(
        **{"parity": None, "resources": {}, "ladder": (), "warnings": (), "notes": ()},
        **{"model": {}, "fidelity": {}, "calibration": {}, "timing": {}},
    ),
    "hostile": evaluation(
        names=HOSTILE.replace("{", "{{").replace("}", "}}") + "{}",
        model={"name": HOSTILE, HOSTILE: HOSTILE},
        target=HOSTILE,
        fidelity={HOSTILE: HOSTILE},
        calibration={"method": HOSTILE, "layers": {HOSTILE: {"max": 1.0}, "b": {"max": 2.0}}},
        resources={HOSTILE: [{HOSTILE: HOSTILE}]},
        parity={"compared_with": HOSTILE, "differing_spikes": 0},
        ladder=(Rung("snn", reason=HOSTILE),),
        warnings=(HOSTILE,),
        notes=(HOSTILE,),
    ),
    "errors": regression_evaluation(),
    "errors in one step": regression_evaluation(timesteps=1),
    "errors without labels": regression_evaluation(labelled=False, ladder=()),
    "two outputs": with_output(evaluation(), regression_evaluation()),
    "run for real": Evaluation(small_evaluation()[0], context(ladder=())),
    "not compared": Evaluation(small_evaluation(lowered_values=None)[0], context(ladder=())),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES), scope="module")
def made(request: pytest.FixtureRequest) -> Evaluation:
    chosen: Evaluation = request.param
    return chosen


@pytest.fixture(scope="module")
def html(made: Evaluation) -> str:
    return made.to_html()


def test_the_page_is_well_formed_and_light(html: str) -> None:
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert len(html.encode()) < LIMIT
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    labels = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert labels <= set(identifiers)


def test_nothing_comes_from_elsewhere_and_nothing_runs(html: str) -> None:
    page = Page(html)
    assert not {tag for tag, _ in page.elements} & {
        *("script", "link", "iframe", "object", "embed", "img", "base", "form", "foreignobject")
    }
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in {"src", "href", "xlink:href", "srcset", "action"}, (tag, value)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for _, attributes in page.elements:
        assert "url(" not in (attributes.get("style") or "")
        assert (attributes.get("clip-path") or "url(#").startswith("url(#")


def test_no_number_is_missing_or_broken(html: str) -> None:
    assert re.findall(r"\b(?:nan|inf|None|Undefined)\b|&lt;svg|[-−]0\.0\b", html) == []


def test_every_text_is_escaped() -> None:
    page = Page(CASES["hostile"].to_html())
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count("alert(1)") > 10
    assert HOSTILE.split()[0] in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert " 49 " not in page.text


def test_the_sections_come_in_order() -> None:
    headings = Page(evaluation().to_html()).headings
    wanted = [
        *("fashion_cnn on loihi", "1 warning", "What stands out", "Accuracy against timesteps"),
        *("Where accuracy goes", "Layers", "Operations per sample", "Energy per sample "),
        *("How it was run", "Resources on the target", "Parity", "Calibration", "Model"),
        *("Timing", "Notes"),
    ]
    assert [heading for heading in headings if heading in wanted] == wanted


def test_the_page_says_what_the_figures_say() -> None:
    text = Page(evaluation(latency=6).to_html()).text
    for wanted in (
        "After 64 timesteps the spiking network is right on 91.2 % of 1,000 samples, "
        "0.6 points below the ANN's 91.8 %.",
        "The answer takes 70 steps from the first input",
        "3 channels never activate",
        "estimate, not a measurement",
        "Horowitz",
        "there after Davies et al. 2018",
        "0 differing spikes against the emulator (4 samples).",
        "weights were not rounded ( --weight-bits )",
        "features.2.conv",
        "0.994",
        "1.93 M",
        "10.9 ×",
    ):
        assert wanted in text, wanted


def test_without_labels_no_accuracy_is_claimed() -> None:
    page = Page(evaluation(labelled=False, ladder=()).to_html())
    assert "gives the ANN's answer on 96.2 % of 1,000 samples" in page.text
    assert "its accuracy is unknown" in page.text
    assert "Agreement with the ANN against timesteps" in page.headings
    assert "points to the ANN" not in page.text


def test_every_layer_has_a_histogram_and_a_scatter() -> None:
    page = Page(evaluation(layers=5).to_html())
    labels = [a.get("aria-label") or "" for tag, a in page.elements if tag == "svg"]
    assert sum(label.startswith("Firing rates of features.") for label in labels) == 5
    assert sum(label.startswith("ANN activation against spike rate") for label in labels) == 5


def test_a_layer_that_was_not_compared_has_no_scatter() -> None:
    page = Page(CASES["not compared"].to_html())
    labels = [a.get("aria-label") or "" for tag, a in page.elements if tag == "svg"]
    assert not [label for label in labels if label.startswith("ANN activation")]


def test_resources_are_cut_after_many_rows() -> None:
    many = {"blocks": [{"block": i, "core": i // 2} for i in range(500)]}
    text = Page(evaluation(resources=many).to_html()).text
    assert "… 452 more rows in report.json." in text


def test_options_are_set_as_code() -> None:
    marked = mark_options("use --weight-bits <8> or --input host")
    assert marked == ("use <code>--weight-bits</code> &lt;8&gt; or <code>--input</code> host")


def test_the_three_files_are_written(tmp_path: Path) -> None:
    made = evaluation(notes=("µ",))
    made.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("accuracy.csv", "report.html", "report.json")
    ]
    loaded: Any = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert loaded == made.to_json()
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == made.to_html()
    assert (tmp_path / "accuracy.csv").read_text(encoding="utf-8") == made.to_csv()


def test_forty_layers_with_long_names_stay_light() -> None:
    made = evaluation(layers=40, names="a/very/long/name/of/a/layer/in/a/deep/network/{}/Relu")
    assert len(made.to_html().encode()) < LIMIT


def test_other_metrics_are_named_throughout() -> None:
    page = Page(regression_evaluation().to_html())
    assert "Mean absolute error against timesteps" in page.text
    assert "Where it gets worse" in page.text
    assert "Lower is better." in page.text
    assert "relative error to the ANN" in page.text
    assert "Wilson" not in page.text


def test_all_outputs_are_listed() -> None:
    page = Page(with_output(evaluation(), regression_evaluation()).to_html())
    assert "All outputs at the last timestep" in page.text
    assert "mean absolute error lower is better 0.53 0.5 r2 0.87" in page.text
    assert "All outputs" not in Page(evaluation().to_html()).text
