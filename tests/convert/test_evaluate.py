"""Networks of every shape from the file to the report: the data, the outputs, the metrics."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.cli import main
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.report_rows import convert_for_report
from snnconvert.convert.spiking_model import SpikingModel

RNG = np.random.default_rng(11)


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RNG.normal(0, scale, shape)).astype(np.float32)


def conv_net(rank: int, softmax: bool = False) -> onnx.ModelProto:
    """Two convolutions over `rank` axes: three scores for every place."""
    space = (8, 6, 4)[:rank]
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c"], pads=[1] * 2 * rank),
        make_node("Relu", ["c"], ["r"]),
        make_node("Conv", ["r", "w2"], ["z" if softmax else "y"]),
    ]
    if softmax:
        nodes.append(make_node("Softmax", ["z"], ["y"], axis=1))
    constants = {
        "w1": normal(6, 2, *[3] * rank, scale=0.4),
        "b1": np.full(6, 0.1, np.float32),
        "w2": normal(3, 6, *[1] * rank, scale=0.6),
    }
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 2, *space]}, constants=constants)
    return model


def sequence_net() -> onnx.ModelProto:
    """A matrix product over the last axis of (N, places, features)."""
    nodes = [
        make_node("MatMul", ["x", "w1"], ["h"]),
        make_node("Add", ["h", "b1"], ["a"]),
        make_node("Relu", ["a"], ["r"]),
        make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    # Features of very different size: one threshold for all would drown the small ones.
    size = np.logspace(-2, 1, 8).astype(np.float32)
    constants = {
        "w1": normal(4, 8, scale=0.5) * size,
        "b1": 0.2 * size,
        "w2": normal(8, 3, scale=0.5) / size[:, None],
    }
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 5, 4]}, constants=constants)
    return model


def absolute_net() -> onnx.ModelProto:
    """Y = |x0| + |x1|."""
    signs = np.array([[1, -1, 0, 0], [0, 0, 1, -1]], np.float32)
    nodes = [
        make_node("Gemm", ["x", "w1"], ["h"]),
        make_node("Relu", ["h"], ["r"]),
        make_node("Gemm", ["r", "w2"], ["y"]),
    ]
    constants = {"w1": signs, "w2": np.ones((4, 1), np.float32)}
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 2]}, constants=constants)
    return model


def two_by_two_net() -> onnx.ModelProto:
    """Two inputs of 3 and 4 features, a class and a number out."""
    nodes = [
        make_node("Gemm", ["left", "w1"], ["a"]),
        make_node("Gemm", ["right", "w2"], ["b"]),
        make_node("Add", ["a", "b"], ["s"]),
        make_node("Relu", ["s"], ["r"]),
        make_node("Gemm", ["r", "w3"], ["kind"]),
        make_node("Gemm", ["r", "w4"], ["age"]),
    ]
    constants = {"w1": normal(3, 10), "w2": normal(4, 10), "w3": normal(10, 3), "w4": normal(10, 1)}
    shapes = {"left": ["N", 3], "right": ["N", 4]}
    model: onnx.ModelProto = make_model(nodes, shapes, ("kind", "age"), constants=constants)
    return model


def rows(model: onnx.ModelProto, count: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        i.name: rng.normal(
            0, 1, [count, *(d.dim_value for d in i.type.tensor_type.shape.dim[1:])]
        ).astype(np.float32)
        for i in model.graph.input
    }


def converted(model: onnx.ModelProto, timesteps: int = 32, **options: Any) -> SpikingModel:
    return snnconvert.convert_model(model, rows(model, 60, 2), timesteps=timesteps, **options)


SHAPES = {
    "1-d": conv_net(1),
    "2-d": conv_net(2),
    "3-d": conv_net(3),
    "features": absolute_net(),
    "sequence": sequence_net(),
}


TARGETS = {
    "1-d": ("cpu", "reference", "nengo", "loihi"),
    "2-d": ("cpu", "nengo"),
    "3-d": ("cpu", "reference", "nengo"),
    "features": ("cpu", "loihi"),
    "sequence": ("cpu", "reference", "nengo", "loihi"),
}


@pytest.mark.parametrize(("kind", "target"), [(k, t) for k in SHAPES for t in TARGETS[k]])
def test_data_of_any_shape(kind: str, target: str) -> None:
    model = SHAPES[kind]
    if target in ("nengo", "loihi"):
        pytest.importorskip(target if target == "nengo" else "nengo_loihi")
    snn = converted(model, target=target)
    x = rows(model, 6)
    expected = snn.ann.run(x)["y"]
    evaluation = snn.evaluate(x, expected, metric="mae")
    assert evaluation.ann_value == pytest.approx(0.0, abs=1e-6)
    assert evaluation.final.correlation is not None
    assert evaluation.final.correlation > (0.9 if target == "loihi" else 0.98)
    assert all((layer.correlation or 0) > 0.9 for layer in evaluation.measurement.layers)
    assert "mean absolute error" in evaluation.to_html()


def test_features_of_a_sequence_have_thresholds_of_their_own() -> None:
    (population,) = converted(SHAPES["sequence"]).network.populations
    assert population.shape == (5, 8)
    assert population.threshold.shape == (1, 8)
    assert population.threshold.max() > 100 * population.threshold.min()


def test_numbers_are_judged_in_the_units_of_the_ann(rng: np.random.Generator) -> None:
    model = SHAPES["features"]
    x = rows(model, 200)["x"]
    noise = rng.normal(0, 0.5, 200)
    targets = np.abs(x).sum(axis=1) + noise
    snn = converted(model, 64)
    evaluation = snn.evaluate(x, targets)
    assert evaluation.metric.name == "mae"
    assert evaluation.accuracy is evaluation.ann_accuracy is None
    assert evaluation.ann_value == pytest.approx(np.abs(noise).mean(), rel=1e-5)
    assert evaluation.value == pytest.approx(evaluation.ann_value, rel=0.1)
    variance = targets.var()
    assert evaluation.final.also["r2"] == pytest.approx(1 - (noise**2).mean() / variance, abs=0.02)
    ladder = {rung.name: rung for rung in evaluation.ladder}
    assert ladder["ann"].value == evaluation.ann_value
    assert ladder["ann"].relative_error == 0.0
    assert ladder["target"].value == evaluation.value
    error = ladder["quantised_ann"].relative_error
    assert error is not None and 0 < error < 0.1
    assert evaluation.ladder[0].agreement is None
    text = dict(evaluation.summary())
    assert text["ANN mean absolute error"].startswith("0.")


def test_several_steps_of_a_batch_change_nothing_for_numbers() -> None:
    model = SHAPES["features"]
    x = rows(model, 50)["x"]
    snn = converted(model)
    targets = np.abs(x).sum(axis=1, keepdims=True) + 0.25
    whole, parts = (snn.evaluate(x, targets, batch_size=size) for size in (50, 7))
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.final.ci95 == pytest.approx(whole.final.ci95, rel=1e-9)


@pytest.mark.parametrize("softmax", [False, True])
def test_label_maps_are_judged_place_by_place(softmax: bool) -> None:
    model = conv_net(2, softmax)
    snn = converted(model)
    x = rows(model, 20)["x"]
    decided = snn.ann.run({"x": x})["y"].argmax(axis=1)
    labels = decided.copy()
    labels[:, :4] = (labels[:, :4] + 1) % 3  # half of the places are labelled otherwise
    labels[:, 7] = 255
    evaluation = snn.evaluate(x, labels)
    assert evaluation.metric.name == "miou"
    valid = labels != 255
    shares = [
        ((decided == c) & (labels == c)).sum() / (((decided == c) & valid) | (labels == c)).sum()
        for c in range(3)
    ]
    assert evaluation.ann_value == pytest.approx(np.mean(shares))
    assert evaluation.measurement.ann.also["pixel_accuracy"] == pytest.approx(3 / 7)
    assert evaluation.final.agreement is not None and evaluation.final.agreement > 0.9
    assert evaluation.final.also["pixel_accuracy"] == pytest.approx(3 / 7, abs=0.05)
    perfect = snn.evaluate(x, decided)
    assert perfect.ann_value == 1.0
    assert "mean IoU" in perfect.to_html()
    unlabelled = snn.evaluate(x)
    assert unlabelled.metric.name == ("agreement" if softmax else "relative_error")


def test_an_output_keeps_the_shape_that_the_file_gives_it(tmp_path: Path) -> None:
    """The Softmax, and the Reshape behind it, are no part of the network."""
    model = conv_net(2, softmax=True)
    model.graph.node[-1].output[0] = "p"
    model.graph.node.append(make_node("Reshape", ["p", "shape"], ["y"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 3, -1]), "shape"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    snn = converted(model, timesteps=4)
    x = rows(model, 6)["x"]
    wanted = snn.ann.run({"x": x})["y"]
    assert wanted.shape == (6, 3, 48)
    assert snn.evaluate(x, wanted, metric="mse").ann_value == pytest.approx(0.0, abs=1e-9)
    np.savez(tmp_path / "rows.npz", x=x, y=wanted)
    convert_for_report(
        tmp_path / "net.onnx",
        rows(model, 60, 2),
        tmp_path / "rows.npz",
        progress=None,
        metric="mse",
        timesteps=4,
        corrections="none",
    )


def test_every_output_is_judged_by_its_own_labels() -> None:
    model = two_by_two_net()
    snn = converted(model)
    x = rows(model, 80)
    ann = snn.ann.run(x)
    kind, age = ann["kind"].argmax(axis=1), ann["age"] + 1
    both = snn.evaluate(x, {"kind": kind, "age": age})
    assert list(both.outputs) == ["kind", "age"]
    assert both.accuracy is not None and both.accuracy > 0.8
    assert both.outputs["age"].metric.name == "mae"
    assert both.outputs["age"].ann.value == pytest.approx(1.0, rel=1e-5)
    other = snn.evaluate(x, {"kind": kind, "age": age}, score_output="age")
    assert list(other.outputs) == ["age", "kind"]
    assert other.metric.name == "mae"
    assert other.accuracy is None
    assert other.ladder[0].value == pytest.approx(1.0, rel=1e-5)
    one = snn.evaluate(x, {"age": age})
    assert list(one.outputs) == ["age", "kind"]
    assert one.outputs["kind"].metric.against == "ann"
    first = snn.evaluate(x, kind)
    assert first.outputs["age"].metric.name == "relative_error"
    chosen = snn.evaluate(x, {"kind": kind, "age": age}, metric={"age": "mse", "kind": "top2"})
    assert [o.metric.name for o in chosen.outputs.values()] == ["top2", "mse"]
    page = both.to_html()
    assert ">Outputs<" in page and ">age<" in page
    assert [o["name"] for o in both.to_json()["outputs"]] == ["kind", "age"]


def median_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float(np.median(np.abs(outputs - targets)))


median_error.better = "lower"  # type: ignore[attr-defined]


def test_a_function_judges_every_rung() -> None:
    model = SHAPES["features"]
    snn = converted(model)
    x = rows(model, 30)["x"]
    evaluation = snn.evaluate(x, np.abs(x).sum(axis=1, keepdims=True) + 0.5, metric=median_error)
    assert evaluation.ann_value == pytest.approx(0.5, rel=1e-5)
    assert evaluation.metric.direction == "lower"
    ladder = {rung.name: rung.value for rung in evaluation.ladder}
    assert ladder["target"] == evaluation.value
    assert ladder["quantised_ann"] == pytest.approx(0.5, abs=0.2)
    assert "median_error" in evaluation.to_html()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"metric": "mean"}, UsageError, "unknown metric 'mean'"),
        ({"metric": {"ag": "mae"}}, UsageError, "no output 'ag' for a metric"),
        ({"score_output": "sort"}, UsageError, "no output 'sort' to score"),
        ({"metric": "mae"}, DataError, "a metric needs labels, output 'kind' has none"),
        ({"y": {"ages": [1.0] * 8}}, DataError, "labels for 'ages', which is no output"),
        ({"y": np.zeros(7, int)}, DataError, "evaluation data has 7 labels for 8 rows"),
        ({"y": {"age": np.zeros(7)}}, DataError, "7 labels for 8 rows; output 'age'"),
        (
            {"y": np.zeros(5, int), "num_samples": 5},
            DataError,
            "evaluation data has 5 labels for 8 rows",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    model = two_by_two_net()
    snn = converted(model, 4)
    with pytest.raises(kind) as caught:
        snn.evaluate(rows(model, 8), **options)
    assert message in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network of two inputs and outputs with its rows, in the current folder."""
    model = two_by_two_net()
    onnx.save(model, str(tmp_path / "net.onnx"))
    np.savez(tmp_path / "train.npz", **rows(model, 60, 2))  # type: ignore[arg-type]
    snn = converted(model, 8)
    x = rows(model, 20)
    ann = snn.ann.run(x)
    labels = {"kind": ann["kind"].argmax(axis=1), "age": ann["age"][:, 0] + 1}
    np.savez(tmp_path / "test.npz", **x, **labels)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = ["net.onnx", "--calibration", "train.npz", "--eval", "test.npz", "-T", "16"]


@pytest.mark.parametrize(
    ("arguments", "name", "status"),
    [
        ([], "accuracy", 0),
        (["--min-accuracy", "0.5", "--min-metric", "0.5"], "accuracy", 0),
        (["--metric", "top2", "--min-accuracy", "0.5"], "top2", 0),
        (["--score-output", "age"], "mae", 0),
        (["--score-output", "age", "--min-metric", "3"], "mae", 0),
        (["--score-output", "age", "--min-metric", "0.5"], "mae", 4),
        (["--score-output", "age", "--min-accuracy", "0"], "mae", 4),
        (["--score-output", "age", "--metric", "r2", "--min-metric", "1"], "r2", 4),
        (["--score-output", "age", "--metric", "own_of_test:worst"], "own_of_test:worst", 0),
    ],
)
def test_the_command_line_takes_metrics(
    arguments: list[str],
    name: str,
    status: int,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "own_of_test.py").write_text(
        "def worst(outputs, targets): return abs(outputs[:, 0] - targets).max()\n"
    )
    assert main([*COMMAND, *arguments]) == status
    told = capsys.readouterr()
    document = json.loads((folder / "net-cpu" / "report.json").read_text())
    assert document["metric"]["name"] == name
    assert len(document["outputs"]) == 2
    assert ("goal missed" in told.err) == (status == 4)
    assert "output age" in told.out or "output kind" in told.out


def test_a_missed_goal_is_told_in_its_direction(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*COMMAND, "--score-output", "age", "--min-metric", "0.5"])
    told = capsys.readouterr().err
    assert re.search(r"metric goal missed: mae \d\.\d+, wanted at most 0\.5", told)
    main(["run", "net-cpu/network.snn", "--eval", "train.npz", "--min-metric", "0.5"])
    assert "metric goal missed: unknown without labels, wanted 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "acuracy"], "unknown metric 'acuracy'"),
        (["--metric", "mae", "--metric", "mse"], "two metrics for the same output"),
        (["--metric", "=mae"], "'=mae' names no output in front of ="),
        (["--metric", "sort=mae"], "no output 'sort' for a metric"),
        (["--score-output", "sort"], "no output 'sort' to score"),
    ],
)
def test_metrics_that_do_not_exist_are_refused_before_any_work(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "net-cpu").exists()


@pytest.fixture
def unconverted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, where nothing may be converted."""
    monkeypatch.setattr(
        "snnconvert.convert.report_rows.convert_model", lambda *_, **__: pytest.fail("converted")
    )
    return folder


def relabelled(folder: Path, labels: dict[str, Any]) -> None:
    with np.load(folder / "test.npz") as stored:
        x = {name: stored[name] for name in stored if name not in ("kind", "age")}
    np.savez(folder / "bad.npz", **x, **labels)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ({"kind": np.full(20, 7)}, [], "label 7 is out of range: output 'kind' has"),
        ({"age": np.zeros((20, 3))}, [], ", 3) do not fit output 'age' of shape ("),
        ({}, ["--metric", "mae"], "a metric needs labels, output 'kind' has none"),
    ],
)
@pytest.mark.parametrize("given", ["--eval", "--calibration"])
def test_labels_that_do_not_fit_are_refused_before_the_conversion(
    given: str,
    labels: dict[str, Any],
    arguments: list[str],
    message: str,
    unconverted: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    relabelled(unconverted, labels)
    rows = ["--calibration", "train.npz"] if given == "--eval" else []
    assert main(["net.onnx", given, "bad.npz", *rows, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (unconverted / "net-cpu").exists()


def test_labels_of_rows_that_are_not_evaluated_need_not_fit(folder: Path) -> None:
    relabelled(folder, {"kind": np.where(np.arange(20) < 9, 0, -1)})
    command = ["net.onnx", "--calibration", "train.npz", "--eval", "bad.npz", "-T", "4"]
    assert main([*command, "--num-samples", "9"]) == 0
    assert main([*command, "--num-samples", "10", "--force"]) == 2


def test_rows_without_labels_of_several_outputs(folder: Path) -> None:
    snn = snnconvert.convert_model(str(folder / "net.onnx"), folder / "train.npz", timesteps=8)
    evaluation = snn.evaluate(folder / "train.npz")
    assert [o.metric.against for o in evaluation.outputs.values()] == ["ann", "ann"]
