"""The command line: what it prints, what it writes, and the exit status of everything."""

import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from evaluations import diagnosed_layer, diagnosis
from onnx import TensorProto, helper
from onnx_models import make_model

import snnconvert
from snnconvert import cli
from snnconvert.backends.base import RunResult, backend_names
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.cli import main
from snnconvert.convert import errors
from snnconvert.convert.output_folder import MARKER
from snnconvert.convert.resume import ResumeFile
from snnconvert.convert.spiking_model import SpikingModel, load

GEMM: dict[str, npt.NDArray[np.float32]] = {
    "w1": np.random.default_rng(0).standard_normal((4, 8), np.float32) / np.float32(2),
    "b1": np.full(8, 0.1, np.float32),
    "w2": np.random.default_rng(1).standard_normal((8, 3), np.float32) / np.float32(2),
}
NODES = (
    helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="fc1"),
    helper.make_node("Relu", ["h"], ["r"], name="relu1"),
    helper.make_node("Gemm", ["r", "w2"], ["y"], name="fc2"),
)
LSTM = {"a": np.zeros((1, 12, 8), np.float32), "b": np.zeros((1, 12, 3), np.float32)}
UNSUPPORTED = (
    NODES[0],
    helper.make_node("LSTM", ["h", "a", "b"], ["l"], name="lstm", hidden_size=3),
    helper.make_node("LRN", ["l"], ["y"], name="norm", size=1),
)


def save(path: Path, nodes: Any = NODES, shape: Any = ("N", 4), **arrays: Any) -> None:
    onnx.save(make_model(nodes, {"x": shape}, constants=GEMM | arrays), str(path))


def outside(path: Path) -> None:
    """A model whose weights are said to lie in a file elsewhere."""
    model = make_model(NODES, {"x": ("N", 4)}, constants=GEMM)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models and rows, good and bad."""
    folder = tmp_path_factory.mktemp("material")
    save(folder / "net.onnx")
    save(folder / "dynamic.onnx", shape=("N", "M"))
    save(folder / "nan.onnx", w1=np.full((4, 8), np.nan, np.float32))
    save(folder / "inf.onnx", b1=np.full(8, np.inf, np.float32))
    save(folder / "unsupported.onnx", UNSUPPORTED, **LSTM)
    outside(folder / "outside.onnx")
    (folder / "text.onnx").write_text("this is a letter, not a network")
    (folder / "truncated.onnx").write_bytes((folder / "net.onnx").read_bytes()[:150])
    (folder / "empty.onnx").touch()
    x = np.random.default_rng(2).random((60, 4), dtype=np.float32)
    hidden = np.maximum(x @ GEMM["w1"] + GEMM["b1"], 0)
    y = (hidden @ GEMM["w2"]).argmax(axis=1)
    np.savez(folder / "train.npz", x=x[:40])
    np.savez(folder / "test.npz", x=x[40:], y=y[40:])
    np.savez(folder / "wrong.npz", x=x[40:], y=(y[40:] + 1) % 3)
    np.savez(folder / "unlabelled.npz", x=x[40:])
    np.savez(folder / "rows0.npz", x=x[:0])
    np.savez(folder / "shape.npz", x=x[:, :3])
    np.savez(folder / "dtype.npz", x=x.astype(str))
    np.savez(folder / "nan.npz", x=np.where(x == x[3, 1], np.nan, x))
    np.savez(folder / "label3.npz", x=x[:3], y=[0, 3, 1])
    np.savez(folder / "negative.npz", x=x[:3], y=[0, -1, 1])
    np.savez(folder / "short.npz", x=x[:3], y=[0, 1])
    np.savez(folder / "halves.npz", x=x[:3], y=[0.5, 1, 2])
    return folder


@dataclass
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture
def run(
    material: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run the command line in a folder of its own, with the material beside it."""
    monkeypatch.chdir(tmp_path)
    for file in material.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def command(*arguments: str) -> Result:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return Result(status, out, err)

    return command


DATA = ("--calibration", "train.npz", "--eval", "test.npz")
CONVERT = ("net.onnx", *DATA, "-T", "8")


def folders(path: Path) -> list[str]:
    """What was made beside the material, hidden or not."""
    return sorted(entry.name for entry in path.iterdir() if not entry.is_symlink())


def refused(result: Result, status: int, *lines: str) -> None:
    """Check the status, that stderr has these lines first, and that nothing else was printed."""
    assert result.err.splitlines()[: len(lines)] == list(lines)
    assert (result.status, result.out) == (status, "")
    assert "Traceback" not in result.err


# Converting


def test_a_conversion_writes_a_folder_and_prints_a_table(run: Command, tmp_path: Path) -> None:
    result = run(*CONVERT, "--target", "reference")
    assert result.status == 0
    assert folders(tmp_path) == ["net-reference"]
    out = tmp_path / "net-reference"
    made = {"network.snn", "report.html", "report.json", "accuracy.csv"}
    assert {p.name for p in out.iterdir()} == made | {MARKER}
    table = dict(line.split("  ", 1) for line in result.out.splitlines() if "  " in line)
    assert table["target"].strip().startswith("reference")
    assert table["samples"].strip() == "20"
    assert table["ANN accuracy"].strip() == "100.00 %"
    assert any(label.startswith("accuracy at T = 8") for label in table)
    assert result.out.splitlines()[-1] == "report: net-reference/report.html"
    assert "Traceback" not in result.err
    stored = load(out / "network.snn")
    assert (stored.target, stored.timesteps, stored.readout) == ("reference", 8, "membrane")


def test_options_reach_the_network(run: Command, tmp_path: Path) -> None:
    options = ["--method", "max", "--per-layer", "--reset", "zero", "--readout", "count"]
    options += ["--weight-bits", "6", "--scale", "0.5", "--mean", "0.1", "--std", "2"]
    options += ["--output", "out", "--schedule", "full", "--outputs", "r", "--num-samples", "7"]
    result = run("net.onnx", "--calibration", "train.npz", "--eval", "unlabelled.npz", *options)
    assert result.status == 0, result.err
    stored = load(tmp_path / "out" / "network.snn")
    assert stored.calibration["method"] == "max"
    assert (stored.readout, stored.schedule, stored.timesteps) == ("count", "full", 64)
    assert (stored.network.reset, stored.network.weight_bits) == ("zero", 6)
    assert stored.preprocessing.to_json() == {"scale": 0.5, "mean": [0.1], "std": [2.0]}
    assert [r.name for r in stored.network.readouts] == ["r"]
    assert all(p.threshold.size == 1 for p in stored.network.populations)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["samples"] == 7


def test_groups_of_channels_share_thresholds(run: Command, tmp_path: Path) -> None:
    options = ["--calibration", "train.npz", "--method", "gauss", "--channel-group", "2"]
    result = run("net.onnx", *options, "--output", "out", "-T", "4")
    assert result.status == 0, result.err
    stored = load(tmp_path / "out" / "network.snn")
    assert stored.calibration["method"] == "gauss"
    assert stored.calibration["config"]["channel_group"] == 2
    for population in stored.network.populations:
        thresholds = population.threshold.ravel()
        even = len(thresholds) // 2 * 2
        np.testing.assert_array_equal(thresholds[:even:2], thresholds[1:even:2])


def test_layers_that_lose_most_are_named(run: Command, tmp_path: Path) -> None:
    result = run(*CONVERT, "--diagnose", "--output", "out")
    assert result.status == 0, result.err
    told = next(line for line in result.out.splitlines() if line.startswith("diagnosis: "))
    assert told.startswith("diagnosis: single, 20 rows, 8 timesteps: accuracy ")
    table = result.out.splitlines()[result.out.splitlines().index(told) + 1 :]
    assert table[0].split()[:3] == ["layer", "points", "regained"]
    assert table[1].split()[0] == "relu1"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["diagnosis"]["rows"] == 20
    assert "Which layers lose most" in (tmp_path / "out" / "report.html").read_text()
    again = run(
        "run", "out/network.snn", "--eval", "test.npz", "--diagnose", "cumulative", "--json"
    )
    assert again.json["diagnosis"]["mode"] == "cumulative"


def test_samples_stop_when_their_answer_is_safe(run: Command, tmp_path: Path) -> None:
    result = run(*CONVERT, "--anytime", "0.1", "--output", "out")
    assert result.status == 0, result.err
    table = dict(line.split("  ", 1) for line in result.out.splitlines() if "  " in line)
    assert "timesteps on average" in table["anytime"]
    stored = load(tmp_path / "out" / "network.snn").anytime
    assert stored is not None and stored.tolerance == 0.1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sum(report["anytime"]["histogram"]) == 20
    again = run("run", "out/network.snn", "--eval", "test.npz", "--json")
    assert again.json["anytime"] == report["anytime"]


def test_anytime_alone_tolerates_one_row_in_a_hundred(run: Command, tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text('diagnose = "cumulative"\n')
    result = run(*CONVERT, "--config", "options.toml", "--anytime", "--json")
    assert result.status == 0, result.err
    assert result.json["anytime"]["tolerance"] == 0.01
    assert result.json["diagnosis"]["mode"] == "cumulative"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "evaluation" not in run(*CONVERT, "--target", "reference").err
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    result = run(*CONVERT, "--target", "reference", "--json")
    assert result.status == 0
    assert result.json["samples"] == 20
    for stage, done in (("calibration", "40/40"), ("evaluation", "20/20")):
        assert stage in terminal.getvalue()
        assert done in terminal.getvalue()


def test_json_is_the_report(run: Command, tmp_path: Path) -> None:
    result = run(*CONVERT, "--target", "reference", "--json")
    assert result.status == 0
    report = json.loads((tmp_path / "net-reference" / "report.json").read_text())
    assert set(result.json) == set(report)
    assert result.json["accuracy"] == report["accuracy"]


def test_files_beside_the_model_are_found(run: Command, tmp_path: Path) -> None:
    shutil.copy("train.npz", "net.calibration.npz")
    shutil.copy("test.npz", "net.eval.npz")
    shutil.copy("net.onnx", "copy.onnx")
    Path("net.onnx").unlink()
    Path("copy.onnx").rename("net.onnx")
    result = run("net.onnx", "-T", "4", "--target", "reference", "--json")
    assert result.status == 0, result.err
    assert result.json["calibration"]["data"] == "net.calibration.npz"
    assert result.json["samples"] == 20


def test_without_evaluation_rows_some_calibration_rows_are_kept_out(run: Command) -> None:
    result = run("net.onnx", "--calibration", "train.npz", "-T", "4", "--json")
    assert result.status == 0
    assert (result.json["samples"], result.json["calibration"]["rows"]) == (13, 27)
    assert "no evaluation rows: evaluated on 13 of 40 calibration rows" in result.err
    assert result.json["ann"]["accuracy"] is None


def test_without_any_rows_a_loud_warning(run: Command) -> None:
    result = run("net.onnx", "-T", "4", "--json")
    assert result.status == 0
    assert "warning: no calibration data: thresholds come from seeded random samples" in result.err
    assert any("no calibration data" in warning for warning in result.json["warnings"])


def test_strict_refuses_what_is_else_a_warning(run: Command, tmp_path: Path) -> None:
    result = run("net.onnx", "--strict")
    assert result.status == 2
    assert result.err.startswith("error: no calibration data: thresholds come from seeded random")
    assert "hint:  give --calibration, or leave out --strict" in result.err
    assert not folders(tmp_path)


def test_a_shipped_model_is_found_by_its_name(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnconvert.models._FOLDER", tmp_path)
    Path("fashion").mkdir()
    save(tmp_path / "fashion.onnx")
    result = run("check", "fashion")
    assert result.status == 0
    assert result.out.startswith("fashion.onnx can be converted for target 'cpu'\n")


# Bad input: usage


def test_no_arguments_print_the_help_and_fail(run: Command) -> None:
    result = run()
    assert result.status == 2
    assert result.out.startswith("Usage: snnconvert MODEL")


@pytest.mark.parametrize("verb", [[], ["check"], ["run"], ["targets"]])
def test_each_verb_has_help(run: Command, verb: list[str]) -> None:
    result = run(*verb, *([] if verb else ["net.onnx"]), "--help")
    assert result.status == 0
    assert "Usage: " + " ".join(["snnconvert", *verb]) in result.out


def test_version(run: Command) -> None:
    assert run("--version").out == f"snnconvert {snnconvert.__version__}\n"


USAGE: dict[str, tuple[list[str], list[str]]] = {
    "T of 0": (["-T", "0"], ["error: timesteps must be at least 1, not 0  [usage]"]),
    "T below 0": (["-T", "-3"], ["error: timesteps must be at least 1, not -3  [usage]"]),
    "T that is no number": (
        ["--timesteps", "many"],
        ["error: Invalid value for '--timesteps' / '-T': 'many' is not a valid integer.  [usage]"],
    ),
    "a percentile of 0": (
        ["--percentile", "0"],
        ["error: percentile must be in (0, 100], not 0  [usage]"],
    ),
    "a percentile above 100": (
        ["--percentile", "100.5"],
        ["error: percentile must be in (0, 100], not 100.5  [usage]"],
    ),
    "a percentile that is no number": (
        ["--percentile", "nan"],
        ["error: percentile must be in (0, 100], not nan  [usage]"],
    ),
    "a percentile that is a share": (
        ["--percentile", "0.999"],
        [
            "error: percentile 0.999 would make nearly every neuron saturate  [usage]",
            "  hint:  percentiles go up to 100: did you mean 99.9?",
        ],
    ),
    "a percentile for another method": (
        ["--percentile", "99", "--method", "mse"],
        [
            "error: method 'mse' has no option 'percentile'  [usage]",
            "  hint:  use --method percentile",
        ],
    ),
    "an unknown target": (
        ["--target", "loihy"],
        ["error: unknown target 'loihy'  [usage]", "  hint:  did you mean 'loihi'?"],
    ),
    "a target like none": (
        ["--target", "abacus"],
        [
            "error: unknown target 'abacus'  [usage]",
            "  hint:  known: " + ", ".join(backend_names()),
        ],
    ),
    "an unknown method": (
        ["--method", "percentil"],
        [
            "error: unknown calibration method 'percentil'  [usage]",
            "  hint:  did you mean 'percentile'?",
        ],
    ),
    "an unknown neuron": (
        ["--neuron", "lif"],
        ["error: unknown neuron model 'lif'  [usage]", "  hint:  did you mean 'if'?"],
    ),
    "an unknown schedule": (
        ["--schedule", "ful"],
        ["error: unknown schedule 'ful'  [usage]", "  hint:  did you mean 'full'?"],
    ),
    "a schedule below 0": (["--schedule", "-2"], ["error: unknown schedule '-2'  [usage]"]),
    "a schedule of dashes": (["--schedule", "--5"], ["error: unknown schedule '--5'  [usage]"]),
    "a schedule in superscript": (["--schedule", "²"], ["error: unknown schedule '²'  [usage]"]),
    "an unknown reset": (
        ["--reset", "half"],
        [
            "error: Invalid value for '--reset': 'half' is not one of 'subtract', 'zero'.  [usage]",
        ],
    ),
    "too few weight bits": (
        ["--weight-bits", "1"],
        ["error: weight bits must be 2 to 16, not 1  [usage]"],
    ),
    "no ramps": (
        ["--ramps", "0"],
        ["error: ramps must be between 1 and 32, not 0  [usage]"],
    ),
    "a curve error of nothing": (
        ["--curve-error", "0"],
        ["error: curve_error must be between 0 and 1, not 0.0  [usage]"],
    ),
    "ramps and their error": (
        ["--ramps", "3", "--curve-error", "0.1"],
        ["error: ramps and curve_error cannot be combined: either fixes the other  [usage]"],
    ),
    "means that are no numbers": (
        ["--mean", "a,b"],
        [
            "error: Invalid value for '--mean': 'a,b' is not a comma-separated list of numbers"
            "  [usage]",
        ],
    ),
    "means for other channels": (
        ["--mean", "1,2"],
        [
            "error: mean has 2 entries, input 'x' has shape (4,)  [usage]",
            "  hint:  give one mean, or one for each channel",
        ],
    ),
    "a deviation of 0": (
        ["--std", "0"],
        ["error: preprocessing: std must not hold a zero: (0.0,)  [usage]"],
    ),
    "an infinite scale": (
        ["--scale", "inf"],
        ["error: preprocessing: scale must be finite, not inf  [usage]"],
    ),
    "a seed below 0": (
        ["--seed", "-1"],
        ["error: Invalid value for '--seed': -1 is not in the range x>=0.  [usage]"],
    ),
    "no samples": (
        ["--num-samples", "0"],
        ["error: Invalid value for '--num-samples': 0 is not in the range x>=1.  [usage]"],
    ),
    "batches of none": (
        ["--batch-size", "0"],
        ["error: Invalid value for '--batch-size': 0 is not in the range x>=1.  [usage]"],
    ),
    "an accuracy in per cent": (
        ["--min-accuracy", "91"],
        [
            "error: Invalid value for '--min-accuracy': 91 is no share of 1; 91 % is 0.91  [usage]",
        ],
    ),
    "an accuracy below 0": (
        ["--min-accuracy", "-1"],
        ["error: Invalid value for '--min-accuracy': -1 is no share of 1  [usage]"],
    ),
    "a metric's goal that is no number": (
        ["--min-metric", "nan"],
        ["error: Invalid value for '--min-metric': nan is no goal: give a number  [usage]"],
    ),
    "a goal beyond the metric's range": (
        ["--metric", "accuracy", "--min-metric", "7"],
        [
            "error: --min-metric 7: accuracy is at least 0 and at most 1  [usage]",
            "  hint:  7 % is 0.07",
        ],
    ),
    "a goal that an error cannot have": (
        ["--metric", "y=mae", "--score-output", "y", "--min-metric", "-1"],
        ["error: --min-metric -1: mae is at least 0  [usage]"],
    ),
    "a shape that is none": (
        ["--input-shape", "4,x"],
        [
            "error: Invalid value for '--input-shape': '4,x' is not a shape like 3,32,32 or "
            "image:3,32,32  [usage]",
        ],
    ),
    "two shapes for one input": (
        ["--input-shape", "x:4", "--input-shape", "x:4"],
        ["error: Invalid value for '--input-shape': two shapes for input 'x'  [usage]"],
    ),
    "a shape for an unknown input": (
        ["--input-shape", "z:4"],
        ["error: the model has no input 'z'  [usage]", "  hint:  known: x"],
    ),
    "an unknown tensor": (
        ["--outputs", "logits"],
        [
            "error: the model has no tensor 'logits' to take as output  [usage]",
            "  hint:  known: h, r, x, y",
        ],
    ),
    "an option of another target": (
        ["--input", "host"],
        ["error: target 'cpu' has no option 'input'  [usage]"],
    ),
    "a missing configuration": (
        ["--config", "missing.toml"],
        [
            "error: cannot read missing.toml  [usage]",
            "  why:   No such file or directory",
        ],
    ),
    "an unknown option": (
        ["--timestepss", "3"],
        [
            "error: No such option '--timestepss'. Did you mean '--timesteps'?  [usage]",
        ],
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage(run: Command, tmp_path: Path, case: str) -> None:
    arguments, lines = USAGE[case]
    refused(run(*CONVERT, *arguments), 2, *lines)
    assert not folders(tmp_path)


def test_an_error_as_json(run: Command) -> None:
    result = run(*CONVERT, "--target", "loihy", "--json")
    assert result.status == 2
    assert result.json == {
        "error": {
            "code": "usage",
            "message": "unknown target 'loihy'",
            "where": "",
            "why": "",
            "hint": "did you mean 'loihi'?",
        }
    }
    assert result.err.startswith("error: unknown target 'loihy'")


def test_a_parsing_error_as_json(run: Command) -> None:
    result = run("net.onnx", "--nonsense", "--json")
    assert (result.status, result.json["error"]["code"]) == (2, "usage")
    assert run("--json").json["error"]["message"] == "Missing argument 'MODEL'."


def test_a_mistyped_verb(run: Command) -> None:
    refused(
        run("chek", "net.onnx"),
        2,
        "error: Got unexpected extra argument (net.onnx)  [usage]",
        "  hint:  did you mean 'check'?",
    )


def test_a_share_of_changed_answers_out_of_range(run: Command, tmp_path: Path) -> None:
    refused(
        run(*CONVERT, "--anytime", "5"),
        2,
        "error: the share of answers that anytime may change is in [0, 1), not 5  [usage]",
    )
    assert not folders(tmp_path)


def test_anytime_for_numbers(run: Command, tmp_path: Path) -> None:
    result = run(*CONVERT, "--anytime", "--metric", "mae")
    assert result.status == 2
    assert not folders(tmp_path)


# Bad input: the model


def test_no_such_file_names_the_nearest_shipped_model(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("shipped").mkdir()
    for name in ("fashion_cnn", "fashion_resnet"):
        save(tmp_path / "shipped" / f"{name}.onnx")
    monkeypatch.setattr("snnconvert.models._FOLDER", tmp_path / "shipped")
    for given in ("fashon_cnn", "fashion_cn.onnx", "models/fashion-cnn.onnx"):
        refused(
            run(given),
            2,
            f"error: no such file or shipped model: {given}  [usage]",
            "  hint:  did you mean 'fashion_cnn'?",
        )
    refused(
        run("mine.onnx"),
        2,
        "error: no such file or shipped model: mine.onnx  [usage]",
        "  hint:  known: fashion_cnn, fashion_resnet",
    )


def test_a_folder_is_no_model(run: Command) -> None:
    Path("network").mkdir()
    refused(run("network"), 2, "error: network is a folder, not a model  [usage]")


def test_a_name_that_is_too_long(run: Command) -> None:
    result = run("x" * 300)
    assert result.status == 2
    assert "why:   File name too long" in result.err


MODELS: dict[str, tuple[int, list[str]]] = {
    "text.onnx": (
        2,
        ["error: text.onnx is not an ONNX file, or it is damaged  [invalid-model]"],
    ),
    "truncated.onnx": (
        2,
        ["error: truncated.onnx is not an ONNX file, or it is damaged  [invalid-model]"],
    ),
    "empty.onnx": (2, ["error: empty.onnx is empty  [invalid-model]"]),
    "outside.onnx": (
        2,
        [
            "error: initialiser 'w1' lies in '../secret.bin', outside of the model's folder"
            "  [invalid-model]",
        ],
    ),
    "dynamic.onnx": (
        2,
        [
            "error: input 'x' has an open shape: (N, M)  [open-shape]",
            "  where: dynamic.onnx",
            "  why:   the number of neurons must be known before the network runs",
            "  hint:  state it without the batch, for instance --input-shape 32",
        ],
    ),
    "nan.onnx": (
        3,
        [
            "error: initialiser 'w1' of node 'fc1' holds NaN  [non-finite-weights]",
            "  where: node 'fc1' (1 of 3), operator Gemm, opset 17",
        ],
    ),
    "inf.onnx": (
        3,
        ["error: initialiser 'b1' of node 'fc1' holds infinity  [non-finite-weights]"],
    ),
}


@pytest.mark.parametrize("verb", [[], ["check"]])
@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be_used(
    run: Command, tmp_path: Path, name: str, verb: list[str]
) -> None:
    status, lines = MODELS[name]
    result = run(*verb, name)
    if verb and status == 3:
        result.err, result.out = result.out, ""
    refused(result, status, *lines)
    assert not folders(tmp_path)


@pytest.mark.parametrize("verb", [[], ["check"]])
def test_all_unsupported_operators_are_listed(
    run: Command, tmp_path: Path, verb: list[str]
) -> None:
    result = run(*verb, "unsupported.onnx")
    text = result.out if verb else result.err
    assert result.status == 3
    assert [line for line in text.splitlines() if line.startswith("error: ")] == [
        "error: LSTM cannot be converted to a rate-coded network  [unsupported-operator]",
        "error: LRN cannot be converted to a rate-coded network  [unsupported-operator]",
    ]
    end = text.splitlines()[8:]
    if verb:
        assert end == [
            "unsupported.onnx cannot be converted for target 'cpu': 2 problems",
            "  3 nodes: 1 converted, 2 refused",
            "  0 of 0 activations spiking",
            "the largest part found that can be converted has 1 of 3 nodes and 0 activations; "
            "these options cut it out:",
            "  --outputs h",
        ]
    else:
        assert end == [
            "unsupported.onnx cannot be converted: 2 problems",
            "  hint:  snnconvert check looks for a part of the model that can be converted",
        ]
    assert not folders(tmp_path)


@pytest.mark.parametrize("verb", [[], ["check"]])
def test_a_layer_that_fits_no_core_is_refused(
    run: Command, tmp_path: Path, verb: list[str]
) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["p"], name="pixels"), *NODES]
    nodes[1] = helper.make_node("Gemm", ["p", "w1", "b1"], ["h"], name="fc1")
    save(tmp_path / "wide.onnx", nodes, ("N", 5000), w1=np.zeros((5000, 8), np.float32) + 0.1)
    result = run(*verb, "wide.onnx", "--target", "loihi")
    text = result.out if verb else result.err
    assert result.status == 3
    assert text.splitlines()[:2] == [
        "error: one neuron of 'relu1' needs 5,000 input axons, a Loihi core has 4,096"
        "  [core-limit]",
        "  where: node 'relu1' (3 of 4), operator Relu: population 'relu1' of shape (8,)",
    ]
    assert folders(tmp_path) == ["wide.onnx"]


def test_problems_as_json(run: Command) -> None:
    result = run("unsupported.onnx", "--json")
    problems = result.json["error"]["problems"]
    assert [p["node"] for p in problems] == ["lstm", "norm"]
    assert problems[0] == {
        "code": "unsupported-operator",
        "message": "LSTM cannot be converted to a rate-coded network",
        "node": "lstm",
        "place": "node 'lstm' (2 of 3), operator LSTM, opset 17",
        "why": "recurrence needs state across inputs; rates carry one value a window",
        "hint": "use a network without recurrence, such as one of temporal convolutions",
    }


def test_an_open_shape_can_be_given(run: Command) -> None:
    assert run("check", "dynamic.onnx", "--input-shape", "4").status == 0
    assert run("check", "dynamic.onnx", "--input-shape", "x:4").status == 0
    refused(
        run("check", "net.onnx", "--input-shape", "5"),
        2,
        "error: input shape [5] does not fit 'x', which the file gives as (N, 4)  [usage]",
    )


# Bad input: rows


CALIBRATION = {
    "rows0.npz": "calibration data is empty: 0 rows",
    "shape.npz": "calibration rows have shape (3,), input 'x' needs (4,)",
    "dtype.npz": "calibration rows for input 'x' have dtype <U32, which is no number",
    "nan.npz": "calibration rows for input 'x' hold NaN or infinite values (1 of 60 rows; "
    "the first is row 3)",
    "missing.npz": "calibration data: no such file: missing.npz",
    "text.onnx": "calibration data: text.onnx is no kind of file that is known",
}


@pytest.mark.parametrize("name", [name for name in CALIBRATION if name.endswith("npz")])
def test_calibration_rows_that_cannot_be_used(run: Command, tmp_path: Path, name: str) -> None:
    result = run("net.onnx", "--calibration", name, "--eval", "test.npz")
    refused(result, 2, f"error: {CALIBRATION[name]}  [invalid-data]")
    assert not folders(tmp_path)


EVALUATION = {
    "rows0.npz": "evaluation data is empty: 0 rows",
    "shape.npz": "evaluation rows have shape (3,), input 'x' needs (4,)",
    "label3.npz": "label 3 is out of range: output 'y' has 3 classes "
    "(1 of 3 rows have such a label)",
    "negative.npz": "label -1 is out of range: output 'y' has 3 classes "
    "(1 of 3 rows have such a label)",
    "short.npz": "evaluation data has 2 labels for 3 rows",
    "halves.npz": "labels of output 'y' must be whole class numbers, "
    "not float64 with values such as 0.5",
    "missing.npz": "evaluation data: no such file: missing.npz",
}


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation_rows_that_cannot_be_used(run: Command, tmp_path: Path, name: str) -> None:
    result = run("net.onnx", "--calibration", "train.npz", "--eval", name, "-T", "4")
    refused(result, 2, f"error: {EVALUATION[name]}  [invalid-data]")
    assert not folders(tmp_path)


# Bad input: what is installed, where to write


@pytest.mark.parametrize(("target", "package"), [("nengo", "nengo"), ("loihi", "nengo_loihi")])
def test_a_missing_extra_says_what_to_install(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else find(name, *rest),
    )
    result = run(*CONVERT, "--target", target)
    assert result.status == 2
    assert result.err.splitlines()[0].endswith("[missing-extra]")
    assert f"pip install 'snnconvert[{target}]'" in result.err.replace('"', "'")
    assert not folders(tmp_path)
    (row,) = [row for row in run("targets", "--json").json if row["name"] == target]
    assert f"snnconvert[{target}]" in row["state"]


def test_foreign_files_are_refused_before_the_work(run: Command, tmp_path: Path) -> None:
    out = tmp_path / "net-cpu"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    refused(
        run(*CONVERT),
        2,
        "error: net-cpu holds 1 file that snnconvert did not write  [output]",
        "  where: thesis.tex",
        "  hint:  choose another --output, or --force to write into it all the same",
    )
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]


def test_force_writes_beside_foreign_files(run: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    assert run(*CONVERT, "--target", "reference", "--output", "out", "--force").status == 0
    assert (out / "thesis.tex").read_text() == "years of work"
    assert (out / "report.html").is_file()


def test_a_second_run_needs_no_force(run: Command, tmp_path: Path) -> None:
    for _ in range(2):
        assert run(*CONVERT, "--target", "reference").status == 0
    assert folders(tmp_path) == ["net-reference"]


def test_a_folder_that_cannot_be_written(run: Command, tmp_path: Path) -> None:
    Path("file").touch()
    refused(run(*CONVERT, "--output", "file"), 2, "error: file is a file, not a folder  [output]")
    result = run(*CONVERT, "--output", "file/inner")
    refused(result, 2, "error: cannot write file/inner  [output]")
    assert "hint:  choose another --output" in result.err
    assert folders(tmp_path) == ["file"]


# The configuration file


def test_a_configuration_stands_in_for_options(run: Command, tmp_path: Path) -> None:
    Path("run.toml").write_text(
        'calibration = "train.npz"\neval = "unlabelled.npz"\ntimesteps = 4\nper-layer = true\n'
        'mean = [0.5]\nstd = 2\nscale = 0.25\noutputs = ["r", "y"]\nmethod = "percentile"\n'
        'percentile = 99\ninput-shape = [4]\ntarget = "reference"\nschedule = 2\nforce = false\n'
    )
    result = run("net.onnx", "--config", "run.toml", "--output", "out")
    assert result.status == 0, result.err
    stored = load(tmp_path / "out" / "network.snn")
    assert (stored.target, stored.timesteps, stored.schedule) == ("reference", 4, "2")
    assert stored.preprocessing.to_json() == {"scale": 0.25, "mean": [0.5], "std": [2.0]}
    assert [r.name for r in stored.network.readouts] == ["r", "y"]
    assert stored.calibration["method"] == "percentile"


def test_the_command_line_goes_before_the_configuration(run: Command, tmp_path: Path) -> None:
    Path("run.toml").write_text('timesteps = 4\ntarget = "abacus"\noutput = "other"\n')
    options = ["-T", "6", "--target", "reference", "--output", "out"]
    result = run("net.onnx", *DATA, "--config", "run.toml", *options)
    assert result.status == 0, result.err
    assert folders(tmp_path) == ["out", "run.toml"]
    assert load(tmp_path / "out" / "network.snn").timesteps == 6


def test_a_configured_list_of_shapes(run: Command) -> None:
    Path("run.toml").write_text('input-shape = ["x:4", "z:5"]\n')
    refused(
        run("dynamic.onnx", "--config", "run.toml"),
        2,
        "error: the model has no input 'z'  [usage]",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("timestep = 4", "run.toml: unknown option 'timestep'"),
        ('model = "x"', "run.toml: unknown option 'model'"),
        ("json = true", "run.toml: unknown option 'json'"),
        ('config = "x"', "run.toml: unknown option 'config'"),
        ("timesteps = 4.5", "run.toml: timesteps: '4.5' is not a valid integer."),
        ("timesteps = true", "run.toml: timesteps cannot be true or false"),
        ('force = "no"', "run.toml: force must be true or false"),
        ("force = 1", "run.toml: force must be true or false"),
        ("[scale]\nx = 1", "run.toml: scale is a table, not an option"),
        ('mean = ["a"]', "run.toml: mean: 'a' is not a comma-separated "
         "list of numbers"),
        ("min-accuracy = 91", "run.toml: min-accuracy: 91 is "
         "no share of 1; 91 % is 0.91"),
        ("= 3", "run.toml is not valid TOML"),
        ("\udcff", "run.toml is not valid TOML"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used(run: Command, text: str, line: str) -> None:
    Path("run.toml").write_bytes(text.encode(errors="surrogateescape"))
    refused(run("net.onnx", *DATA, "--config", "run.toml"), 2, f"error: {line}  [usage]")


def test_an_unknown_key_suggests_the_nearest(run: Command) -> None:
    Path("run.toml").write_text("timestep = 4")
    assert "hint:  did you mean 'timesteps'?" in run(*CONVERT, "--config", "run.toml").err


# Accuracy goals


def test_a_goal_that_is_reached(run: Command) -> None:
    result = run("net.onnx", *DATA, "-T", "32", "--target", "reference", "--min-accuracy", "0.5")
    assert result.status == 0


def test_a_goal_that_is_missed_writes_the_files_all_the_same(run: Command, tmp_path: Path) -> None:
    result = run(
        *("net.onnx", "--calibration", "train.npz", "--eval", "wrong.npz", "-T", "32"),
        *("--target", "reference", "--min-accuracy", "0.9"),
    )
    assert result.status == 4
    assert result.err.splitlines()[-1].startswith("accuracy goal missed: 0.")
    assert result.err.splitlines()[-1].endswith(", wanted 0.9")
    assert (tmp_path / "net-reference" / "report.html").is_file()
    assert "report: net-reference/report.html" in result.out


def test_a_goal_without_labels_is_missed(run: Command) -> None:
    result = run(
        *("net.onnx", "--calibration", "train.npz", "--eval", "unlabelled.npz", "-T", "4"),
        *("--target", "reference", "--min-accuracy", "0.1"),
    )
    assert result.status == 4
    assert result.err.splitlines()[-1] == "accuracy goal missed: unknown, wanted 0.1"


# check, run, targets


def test_check_says_yes(run: Command) -> None:
    for target in backend_names():
        result = run("check", "net.onnx", "--target", target)
        assert (result.status, result.err) == (0, "")
        assert result.out.splitlines() == [
            f"net.onnx can be converted for target {target!r}",
            "  3 nodes: 3 converted",
            "  1 of 1 activation spiking: 8 neurons",
        ]


def test_check_lists_every_node(run: Command) -> None:
    result = run("check", "unsupported.onnx", "--verbose")
    assert result.status == 3
    assert [line.split()[:4] for line in result.out.splitlines()[:3]] == [
        ["1", "converted", "Gemm", "fc1"],
        ["2", "refused", "LSTM", "lstm"],
        ["3", "refused", "LRN", "norm"],
    ]
    assert result.out.splitlines()[1].endswith("  LSTM cannot be converted to a rate-coded network")


def test_check_as_json(run: Command) -> None:
    verdict = run("check", "net.onnx", "--json").json
    assert [node.pop("name") for node in verdict["nodes"]] == ["fc1", "relu1", "fc2"]
    assert [node.pop("operator") for node in verdict["nodes"]] == ["Gemm", "Relu", "Gemm"]
    fates = {"converted": 3, "folded": 0, "approximated": 0, "refused": 0}
    assert verdict == {
        "schema": "snnconvert-check/1",
        "model": "net.onnx",
        "target": "cpu",
        "opset": 17,
        "convertible": True,
        "counts": fates | {"unjudged": 0, "unused": 0},
        "activations": {"total": 1, "spiking": 1},
        "neurons": 8,
        "outputs": [{"name": "y", "functions": []}],
        "problems": [],
        "nodes": [
            {"position": 1, "fate": "converted", "detail": "", "role": ""},
            {"position": 2, "fate": "converted", "detail": "", "role": "activation"},
            {"position": 3, "fate": "converted", "detail": "", "role": ""},
        ],
        "cut": None,
    }
    result = run("check", "unsupported.onnx", "--json", "--target", "nengo")
    assert (result.status, result.json["convertible"]) == (3, False)
    assert [p["node"] for p in result.json["problems"]] == ["lstm", "norm"]
    assert result.json["cut"] == {
        "inputs": [],
        "outputs": ["h"],
        "input_shapes": {},
        "nodes": 1,
        "activations": 0,
        "flags": ["--outputs", "h"],
    }


def test_check_asks_for_open_shapes_before_all_else(run: Command, tmp_path: Path) -> None:
    save(tmp_path / "open.onnx", UNSUPPORTED, ("N", "M"), **LSTM)
    for arguments in (["open.onnx"], ["check", "open.onnx"], ["check", "open.onnx", "--json"]):
        result = run(*arguments)
        assert result.status == 2
        assert result.err.startswith("error: input 'x' has an open shape: (N, M)  [open-shape]")
    assert result.json["error"]["code"] == "open-shape"
    assert run("check", "open.onnx", "--input-shape", "4").status == 3


def test_check_of_a_part(run: Command) -> None:
    assert run("check", "unsupported.onnx", "--outputs", "h").status == 0


@pytest.fixture(scope="session")
def converted(material: Path) -> Path:
    """A converted network with 16 timesteps."""
    file = material / "net.snn"
    snnconvert.convert_model(
        material / "net.onnx", material / "train.npz", target="reference", timesteps=16
    ).save(file)
    return file


def test_run_evaluates_a_converted_network(run: Command, converted: Path, tmp_path: Path) -> None:
    before = folders(tmp_path)
    result = run("run", str(converted), "--eval", "test.npz", "--json")
    assert result.status == 0, result.err
    assert result.json["target"] == "reference"
    assert [row["timesteps"] for row in result.json["accuracy"]] == list(range(1, 17))
    assert folders(tmp_path) == before


def test_run_on_another_target_into_a_folder(run: Command, converted: Path, tmp_path: Path) -> None:
    options = ["--target", "cpu", "-T", "5", "--num-samples", "6", "--output", "out"]
    result = run("run", str(converted), "--eval", "test.npz", *options)
    assert result.status == 0, result.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["target"], report["samples"], len(report["accuracy"])) == ("cpu", 6, 5)
    assert result.out.splitlines()[-1] == "report: out/report.html"


def test_run_notes_what_is_not_as_asked_or_as_designed(run: Command, converted: Path) -> None:
    arguments = ("run", str(converted), "--eval", "test.npz")
    result = run(*arguments, "-T", "5", "--num-samples", "1000", "--json")
    notes = [
        "1,000 samples were asked for, the data hold 20",
        "a run of 5 timesteps; the thresholds were chosen for 16, and others may be better here",
    ]
    assert result.json["notes"][-2:] == notes
    assert [line for line in result.err.splitlines() if line.startswith("note: ")][-2:] == [
        f"note: {note}" for note in notes
    ]
    err = run(*arguments, "--num-samples", "20").err
    assert "were asked for" not in err and "a run of" not in err


def test_run_into_the_folder_of_the_network_keeps_the_network(run: Command, tmp_path: Path) -> None:
    assert run(*CONVERT, "--output", "made").status == 0
    before = (tmp_path / "made" / "network.snn").read_bytes()
    for _ in range(2):
        result = run("run", "made/network.snn", "--eval", "test.npz", "--output", "made")
        assert result.status == 0, result.err
        assert (tmp_path / "made" / "network.snn").read_bytes() == before


def test_run_has_an_accuracy_goal(run: Command, converted: Path) -> None:
    result = run("run", str(converted), "--eval", "wrong.npz", "--min-accuracy", "0.9")
    assert result.status == 4


def test_run_needs_rows_and_a_network(run: Command, converted: Path) -> None:
    refused(
        run("run", str(converted)),
        2,
        "error: run needs rows to evaluate  [usage]",
        "  hint:  give --eval E.npz",
    )
    refused(
        run("run", "missing.snn", "--eval", "test.npz"),
        2,
        "error: no such file: missing.snn  [invalid-artifact]",
        "  hint:  check the path",
    )
    refused(
        run("run", "net.onnx", "--eval", "test.npz"),
        2,
        "error: net.onnx is damaged or not a .snn file  [invalid-artifact]",
    )
    refused(
        run("run", str(converted), "--eval", "test.npz", "-T", "0"),
        2,
        "error: timesteps must be at least 1, not 0  [usage]",
    )


@pytest.mark.parametrize("verb", [[], ["check"]])
@pytest.mark.parametrize("neuron", ["signed", "graded:4"])
def test_a_target_without_the_neuron_refuses_it_by_name(
    run: Command, tmp_path: Path, verb: list[str], neuron: str
) -> None:
    result = run(*verb, "net.onnx", "--target", "loihi", "--neuron", neuron)
    text = result.out if verb else result.err
    assert result.status == 3
    assert text.splitlines()[0] == (
        f"error: target 'loihi' has no neuron model '{neuron}'  [target-limit]"
    )
    assert "hint:  use --neuron if" in text
    assert not folders(tmp_path)


@pytest.mark.parametrize("neuron", ["signed", "graded:4"])
def test_neurons_that_cannot_reset_to_zero_say_why(
    run: Command, tmp_path: Path, neuron: str
) -> None:
    result = run(*CONVERT, "--neuron", neuron, "--reset", "zero")
    assert result.status == 3
    assert f"error: neuron model '{neuron}' has no reset 'zero'" in result.err
    assert "a voltage that is set to zero has forgotten it" in result.err
    assert "hint:  use --reset subtract, or --neuron if" in result.err
    assert not folders(tmp_path)


@pytest.mark.parametrize("schedule", ["none", "full"])
@pytest.mark.parametrize("neuron", ["signed", "graded:4"])
def test_the_neuron_reaches_network_and_report(
    run: Command, tmp_path: Path, neuron: str, schedule: str
) -> None:
    result = run(*CONVERT, "--neuron", neuron, "--schedule", schedule, "--output", "out")
    assert result.status == 0, result.err
    assert "0 differing spikes" in result.out
    stored = load(tmp_path / "out" / "network.snn")
    assert {p.neuron for p in stored.network.populations} == {neuron}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["fidelity"]["neuron"] == neuron


def test_a_run_without_output_says_that_it_writes_nothing(
    run: Command, converted: Path, tmp_path: Path
) -> None:
    before = folders(tmp_path)
    result = run("run", str(converted), "--eval", "test.npz")
    assert result.out.splitlines()[-1] == "report: not written (no --output)"
    assert folders(tmp_path) == before


def test_layers_that_a_diagnosis_leaves_out_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"layer{i}" for i in range(14)]
    cli._print_diagnosis(diagnosis(*(diagnosed_layer(name, 0.1) for name in names)))
    assert "  without 4 layers that lose less; all are in report.json" in capsys.readouterr().out
    cli._print_diagnosis(diagnosis(*(diagnosed_layer(name, 0.1) for name in names[:10])))
    assert "without" not in capsys.readouterr().out


def test_targets_are_listed(run: Command) -> None:
    result = run("targets")
    assert result.status == 0
    assert [line.split()[0] for line in result.out.splitlines()] == list(backend_names())
    rows = run("targets", "--json").json
    assert [row["name"] for row in rows] == list(backend_names())
    assert all(set(row) == {"name", "summary", "neurons", "state"} for row in rows)
    neurons = {row["name"]: row["neurons"] for row in rows}
    assert neurons["cpu"] == "if, graded:K, signed"
    assert "; neurons: if, graded:K, signed  [ready]" in result.out


def test_the_device_reaches_the_target(run: Command) -> None:
    fidelity = run(*CONVERT, "--device", "cpu", "--json").json["fidelity"]
    assert "threads" in fidelity and "device" not in fidelity


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("verb", [False, True])
def test_a_gpu_that_is_not_there_is_refused_before_the_work(
    run: Command, tmp_path: Path, verb: bool
) -> None:
    command: tuple[str, ...] = CONVERT
    if verb:
        assert run(*CONVERT, "--output", "made").status == 0
        command = ("run", "made/network.snn", "--eval", "test.npz", "--output", "net-cpu")
    result = run(*command, "--device", "cuda")
    refused(result, 2, "error: device 'cuda' cannot be used here  [usage]")
    assert "leave out --device to run on the processor" in result.err
    assert "net-cpu" not in "".join(folders(tmp_path))


def test_devices_are_the_cpu_targets(run: Command, tmp_path: Path) -> None:
    refused(
        run(*CONVERT, "--target", "reference", "--device", "cuda"),
        2,
        "error: target 'reference' has no option 'device'  [usage]",
        "  hint:  leave it out",
    )
    refused(
        run(*CONVERT, "--device", "gpu"),
        2,
        "error: unknown device 'gpu'  [usage]",
        "  hint:  use cpu, cuda, or cuda:N for the Nth GPU",
    )
    assert not folders(tmp_path)


# Interruption, and the program as a process


@pytest.mark.parametrize("there", [False, True])
def test_ctrl_c_during_the_evaluation(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        assert run(*CONVERT, "--target", "reference").status == 0
    before = {p: p.read_bytes() for p in (tmp_path / "net-reference").glob("*")}

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SpikingModel, "evaluate", interrupted)
    result = run(*CONVERT, "--target", "reference")
    assert (result.status, result.out) == (130, "")
    assert result.err.strip() == "interrupted; nothing was written"
    assert folders(tmp_path) == (["net-reference"] if there else [])
    assert {p: p.read_bytes() for p in (tmp_path / "net-reference").glob("*")} == before


HALVES = (*CONVERT, "--target", "reference", "--corrections", "none", "--batch-size", "5")


@pytest.fixture
def half(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The partial results of a conversion that was interrupted behind 10 of 20 rows."""
    keep, kept = ResumeFile.keep, list[str]()

    def interrupted(file: ResumeFile, name: str, state: Any) -> None:
        keep(file, name, state)
        kept.append(name)
        if len(kept) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ResumeFile, "keep", interrupted)
        result = run(*HALVES)
    assert (result.status, result.out) == (130, "")
    assert result.err.strip().splitlines() == [
        "interrupted; partial results are in net-reference.resume",
        f"go on with: snnconvert {' '.join(HALVES)} --resume",
    ]
    return tmp_path / "net-reference.resume"


TUNED = (*HALVES, "--weight-calibration", "--schedule", "full")


def interrupted_at(run: Command, command: Sequence[str], count: int) -> Result:
    """Run a command until so many states were kept."""
    keep, kept = ResumeFile.keep, list[str]()

    def interrupted(file: ResumeFile, name: str, state: Any) -> None:
        keep(file, name, state)
        kept.append(name)
        if len(kept) == count:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ResumeFile, "keep", interrupted)
        result = run(*command)
    assert (result.status, result.out) == (130, "")
    return result


def test_an_interrupted_weight_calibration_goes_on(run: Command, tmp_path: Path) -> None:
    result = interrupted_at(run, TUNED, 2)
    assert result.err.strip().splitlines() == [
        "interrupted; partial results are in net-reference.weights.resume",
        f"go on with: snnconvert {' '.join(TUNED)} --resume",
    ]
    assert folders(tmp_path) == ["net-reference.weights.resume"]
    resumed = run(*TUNED, "--resume", "--json")
    assert "resume" not in resumed.err
    assert folders(tmp_path) == ["net-reference"]
    document = plain(resumed)
    found = document["calibration"]["weight_calibration"]
    assert found["accepted"] == (found["error"] < 0.995 * found["error_without"])
    assert document == plain(run(*TUNED, "--json"))


def test_weights_are_kept_until_the_report_is_written(run: Command, tmp_path: Path) -> None:
    whole = plain(run(*TUNED, "--json"))
    stages = 1 + len(whole["calibration"]["weight_calibration"]["steps"])
    passes = 2 if whole["calibration"]["weight_calibration"]["accepted"] else 1
    result = interrupted_at(run, TUNED, 1 + passes * (stages - 1) + 2)
    assert result.err.strip().splitlines()[0] == (
        "interrupted; partial results are in net-reference.weights.resume and net-reference.resume"
    )
    left = ["net-reference", "net-reference.resume", "net-reference.weights.resume"]
    assert folders(tmp_path) == left
    assert plain(run(*TUNED, "--resume", "--json")) == whole
    assert folders(tmp_path) == ["net-reference"]


def test_weights_of_another_run_are_refused_or_dropped(run: Command, tmp_path: Path) -> None:
    interrupted_at(run, TUNED, 2)
    refused(
        run(*TUNED, "--resume", "-T", "7"),
        2,
        "error: net-reference.weights.resume belongs to another conversion  [resume]",
        "  why:   different: thresholds, options",
    )
    assert folders(tmp_path) == ["net-reference.weights.resume"]
    result = run(*TUNED, "-T", "7")
    assert result.status == 0
    assert result.err.splitlines()[0] == (
        "note: net-reference.weights.resume of an earlier run gives way to this one's; "
        "--resume would go on from it"
    )
    assert folders(tmp_path) == ["net-reference"]


def test_weights_outlast_a_run_that_never_began(run: Command, tmp_path: Path) -> None:
    interrupted_at(run, TUNED, 2)
    before = (tmp_path / "net-reference.weights.resume").read_bytes()
    assert run(*TUNED, "--reset", "zero").status == 2
    assert folders(tmp_path) == ["net-reference.weights.resume"]
    assert (tmp_path / "net-reference.weights.resume").read_bytes() == before


def test_weight_calibration_may_be_configured(run: Command, tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text("weight-calibration = true\n")
    result = run(*HALVES, "--schedule", "full", "--config", "options.toml", "--json")
    assert "weight_calibration" in plain(result)["calibration"]


def plain(result: Result) -> Any:
    """The report, but for the times."""
    assert result.status == 0, result.err
    document = result.json
    del document["timing"], document["model"]["conversion_seconds"]
    return document


def test_an_interrupted_run_goes_on(run: Command, half: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    simulate = ReferenceSimulation.run

    def counted(self: ReferenceSimulation, x: Any, *arguments: Any, **options: Any) -> RunResult:
        seen.append(len(x["x"]))
        return simulate(self, x, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ReferenceSimulation, "run", counted)
        resumed = run(*HALVES, "--resume", "--json")
    assert seen == [5, 5], "rows were simulated twice"
    assert "resume" not in resumed.err
    assert folders(tmp_path) == ["net-reference"]
    assert plain(resumed) == plain(run(*HALVES, "--json"))


def test_a_converted_network_goes_on_too(run: Command, tmp_path: Path) -> None:
    assert run(*HALVES).status == 0
    command = ("run", "net-reference/network.snn", "--eval", "test.npz", "--batch-size", "5")
    refused(
        run(*command, "--resume"),
        2,
        "error: --resume needs --output  [usage]",
        "  hint:  partial results are kept beside the output folder",
    )

    def interrupted(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("evaluation", 15):
            raise KeyboardInterrupt

    snn, path = load(tmp_path / "net-reference" / "network.snn"), tmp_path / "again.resume"
    with pytest.raises(KeyboardInterrupt):
        snn.evaluate(
            tmp_path / "test.npz", batch_size=5, timesteps=8, resume=path, progress=interrupted
        )
    assert path.exists()
    resumed = run(*command, "--output", "again", "--resume", "--json")
    assert folders(tmp_path) == ["again", "net-reference"]
    assert plain(resumed) == plain(run(*command, "--json"))


@pytest.mark.usefixtures("half")
def test_without_resume_partial_results_are_dropped(run: Command, tmp_path: Path) -> None:
    result = run(*HALVES)
    assert result.status == 0
    assert result.err.splitlines()[0] == (
        "note: net-reference.resume of an earlier run gives way to this one's; "
        "--resume would go on from it"
    )
    assert folders(tmp_path) == ["net-reference"]


@pytest.mark.usefixtures("half")
def test_partial_results_of_another_run_are_refused(run: Command, tmp_path: Path) -> None:
    refused(
        run(*HALVES, "--resume", "-T", "7"),
        2,
        "error: net-reference.resume belongs to another evaluation  [resume]",
        "  why:   different: network, timesteps",
    )
    assert folders(tmp_path) == ["net-reference.resume"]


def test_there_may_be_nothing_to_go_on_from(run: Command, tmp_path: Path) -> None:
    result = run(*HALVES, "--resume")
    assert result.status == 0
    assert result.err.splitlines()[0] == (
        "note: no net-reference.resume to go on from, starting with the first row"
    )
    assert folders(tmp_path) == ["net-reference"]


def test_a_foreign_file_in_the_place_of_partial_results(run: Command, tmp_path: Path) -> None:
    (tmp_path / "net-reference.resume").write_text("my curriculum vitae")
    for arguments in (HALVES, (*HALVES, "--resume")):
        refused(
            run(*arguments),
            2,
            "error: net-reference.resume is in the place of partial results  [output]",
            "  hint:  move it away, or choose another --output",
        )
    assert (tmp_path / "net-reference.resume").read_text() == "my curriculum vitae"


def test_partial_results_that_cannot_be_kept(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be writable where the one that it is in is not."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    result = run(*HALVES)
    assert result.status == 0
    assert result.err.splitlines()[0] == (
        f"note: partial results are not kept, {tmp_path} is not writable"
    )


def test_sigterm_during_the_evaluation(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminated(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(SpikingModel, "evaluate", terminated)
    result = run(*CONVERT, "--target", "reference")
    assert (result.status, result.out) == (143, "")
    assert result.err.strip() == "terminated; nothing was written"
    assert not folders(tmp_path) and not list(tmp_path.glob(".snnconvert-*"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_that_compiled_code_wrapped(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension module that is interrupted while it is imported raises ImportError."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise ImportError("initialization failed") from error
        except ImportError as error:
            raise errors.ModelFileError("onnxruntime does not load the model") from error

    monkeypatch.setattr(SpikingModel, "evaluate", interrupted)
    result = run(*CONVERT)
    assert (result.status, result.out) == (130, "")
    assert result.err.strip() == "interrupted; nothing was written"
    assert not folders(tmp_path)


def test_a_bug_is_a_traceback(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SpikingModel, "evaluate", broken)
    with pytest.raises(ZeroDivisionError):
        run(*CONVERT)
    assert not folders(tmp_path)


def test_an_error_of_ours_late_in_the_run_leaves_nothing(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(*_: object, **__: object) -> None:
        raise errors.ParityError("3 spikes differ", where="population 'relu1'")

    monkeypatch.setattr(SpikingModel, "evaluate", differs)
    refused(
        run(*CONVERT),
        1,
        "error: 3 spikes differ  [parity]",
        "  where: population 'relu1'",
    )
    assert not folders(tmp_path)


def process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "snnconvert", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_sigint_ends_a_real_run_with_130_and_it_goes_on_from_there(
    material: Path, tmp_path: Path
) -> None:
    for name in ("net.onnx", "train.npz"):
        shutil.copy(material / name, tmp_path)
    x = np.random.default_rng(0).random((2_000, 4), dtype=np.float32)
    np.savez(tmp_path / "test.npz", x=x)
    given, partial = folders(tmp_path), tmp_path / "net-reference.resume"
    command = ("net.onnx", *DATA, "--target", "reference", "-T", "200", "--corrections", "none")
    running = process(tmp_path, *command)
    try:
        deadline = time.monotonic() + 60
        while not partial.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert partial.exists(), "the evaluation never began"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, out) == (130, "")
    assert err.strip().splitlines() == [
        "interrupted; partial results are in net-reference.resume",
        f"go on with: snnconvert {' '.join(command)} --resume",
    ]
    assert folders(tmp_path) == sorted([*given, partial.name])
    documents = []
    for arguments in ((*command, "--resume"), (*command, "--output", "whole")):
        out, err = process(tmp_path, *arguments, "--json").communicate(timeout=120)
        document = json.loads(out)
        del document["timing"], document["model"]["conversion_seconds"]
        documents.append(document)
    assert documents[0] == documents[1]
    assert folders(tmp_path) == sorted([*given, "net-reference", "whole"])


@pytest.mark.parametrize(
    ("arguments", "status"), [(["check", "net.onnx"], 0), (["check", "unsupported.onnx"], 3)]
)
def test_the_exit_status_reaches_the_shell(
    material: Path, arguments: list[str], status: int
) -> None:
    running = process(material, *arguments)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (status, "")
    assert "net.onnx can be converted" in out or "2 problems" in out


def test_a_converted_network_is_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "network.snn"
    network.write_bytes(b"PK")
    assert main([str(network)]) == 2
    err = capsys.readouterr().err
    assert "is a converted network, not an ONNX model" in err
    assert f"snnconvert run {network} --eval E.npz" in err
