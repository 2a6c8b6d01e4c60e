"""snnconvert tune: what it prints and writes, exit statuses, and the way back through --config."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.cli import main
from snnconvert.convert.output_folder import MARKER
from snnconvert.convert.spiking_model import SpikingModel, load

Command = Callable[..., tuple[int, str, str]]

ROWS = ("--calibration", "train.npz", "--eval", "test.npz")
SMALL = ("-T", "2,4,8", "--method", "auto,max", "--scale", str(1 / 255), "--budget", "6")
FILES = {
    *("tuning.html", "tuning.json", "tuned.toml", "front.svg"),
    *("network.snn", "report.html", "report.json", "accuracy.csv"),
}


@pytest.fixture
def run(
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run the command line in a folder of its own, with the material beside it."""
    monkeypatch.chdir(tmp_path)
    for file in tiny.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return command


def made(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if not entry.is_symlink())


def same_spikes(one: SpikingModel, other: SpikingModel) -> bool:
    """Whether two networks answer with the same numbers."""
    pairs = zip(one.network.populations, other.network.populations, strict=True)
    return (
        (one.timesteps, one.schedule, one.readout, one.preprocessing)
        == (other.timesteps, other.schedule, other.readout, other.preprocessing)
        and [r.discard for r in one.network.readouts] == [r.discard for r in other.network.readouts]
        and all(
            a.neuron == b.neuron
            and np.array_equal(a.threshold, b.threshold)
            and np.array_equal(a.amplitude, b.amplitude)
            and np.array_equal(a.bias, b.bias)
            and np.array_equal(a.v_init, b.v_init)
            for a, b in pairs
        )
    )


@pytest.mark.parametrize("rows", [ROWS, ROWS[:2]], ids=["evaluation rows", "held-out rows"])
def test_the_configuration_makes_the_network_that_was_measured(
    run: Command, tmp_path: Path, rows: tuple[str, ...]
) -> None:
    goal = ("--goal", "accuracy>=ANN-5", "--schedule", "full,none", "--weight-bits", "6")
    status, out, err = run("tune", "tiny.onnx", *rows, *SMALL, *goal, "--write", "tuned.toml")
    assert status in (0, 4), err
    assert made(tmp_path) == ["tiny-cpu-tuned", "tuned.toml"]
    folder = tmp_path / "tiny-cpu-tuned"
    assert {p.name for p in folder.iterdir()} == FILES | {MARKER}
    assert (folder / "tuned.toml").read_text() == (tmp_path / "tuned.toml").read_text()
    assert "configuration: tuned.toml" in out and "final accuracy" in out
    status, out, err = run("tiny.onnx", "--config", "tuned.toml", "--output", "again")
    assert status == 0, err
    assert same_spikes(load(tmp_path / "again/network.snn"), load(folder / "network.snn"))
    # The same rows were kept apart, so the figures are the same as well.
    again = json.loads((tmp_path / "again/report.json").read_text())
    final = json.loads((folder / "tuning.json").read_text())["final"]
    assert again["accuracy"][-1]["accuracy"] == final["accuracy"]
    assert again["samples"] == final["samples"]


def test_json_on_stdout(run: Command) -> None:
    status, out, err = run("tune", "tiny.onnx", *ROWS, *SMALL, "--goal", "latency<=4", "--json")
    assert status == 0, err
    document = json.loads(out)
    assert document["met"] and document["goal"] == "latency<=4"
    assert document["config"]["calibration"] == "train.npz"
    assert document["space"]["timesteps"] == [2, 4]


def test_a_missed_goal_is_exit_4_and_everything_is_written(run: Command, tmp_path: Path) -> None:
    status, out, err = run("tune", "tiny.onnx", *ROWS, *SMALL, "--goal", "accuracy>=100%")
    assert status == 4
    assert "goal missed on rows that the search never saw" in err
    assert "wanted at least 100.00 %" in out
    assert tomllib.loads((tmp_path / "tiny-cpu-tuned/tuned.toml").read_text())["target"] == "cpu"


def test_shared_rows_are_warned_about_in_both_commands(run: Command) -> None:
    text = "warning: --eval and --calibration share 5 rows: figures from rows that chose"
    rows = ("--calibration", "train.npz", "--eval", "mixed.npz")
    status, _, err = run("tune", "tiny.onnx", *rows, *SMALL, "--goal", "latency<=4")
    assert status == 0
    assert text in err and "left out of the final figures" in err
    convert = ("tiny.onnx", *rows, "-T", "4", "--scale", str(1 / 255))
    status, _, err = run(*convert)
    assert status == 0
    assert text in err
    status, _, err = run(*convert, "--strict", "--force")
    assert status == 2
    assert "share 5 rows" in err and "give other rows, or leave out --strict" in err
    status, _, err = run("tiny.onnx", *ROWS, "-T", "4", "--strict", "--scale", "0.004", "--force")
    assert status == 0 and "share" not in err


@pytest.mark.parametrize(
    ("arguments", "status", "lines"),
    [
        (("--goal", "acuracy>=1"), 2, ["unknown figure 'acuracy'", "did you mean 'accuracy'?"]),
        (("--goal", "latency<=8", "--minimise", "synops"), 2, ["says nothing of the accuracy"]),
        (("--minimise", "latensy"), 2, ["cannot minimise 'latensy'", "did you mean 'latency'?"]),
        (("--budget", "ten"), 2, ["budget 'ten' is neither a number", "write 40, 90s, 10min"]),
        (("--timesteps", "8,x"), 2, ["'8,x' is not a list of whole numbers like 8,16"]),
        (("--schedule", "none,"), 2, ["lacks a value between commas"]),
        (("--schedule", "ful"), 2, ["unknown schedule 'ful'", "did you mean 'full'?"]),
        (("--granularity", "row"), 2, ["unknown granularity 'row'"]),
        (("--target", "cpi"), 2, ["unknown target 'cpi'", "did you mean 'cpu'?"]),
        (("--calibration", "few.npz"), 2, ["8 different calibration rows are too few"]),
        (("--calibration", "none.npz"), 2, ["none.npz"]),
        (("--eval", "train.npz"), 2, ["every evaluation row is a calibration row"]),
        (("--write", "no/where.toml"), 2, ["cannot write no/where.toml", "a folder that exists"]),
        (("--write", "."), 2, ["cannot write ."]),
        (("--neuron", "graded:4", "--reset", "zero"), 3, ["no reset 'zero'"]),
        (("--goal", "latency<=1"), 2, ["at most 1 steps, the least timesteps are 2"]),
    ],
)
def test_refusals_write_nothing(
    run: Command, tmp_path: Path, arguments: tuple[str, ...], status: int, lines: list[str]
) -> None:
    rows = ("--calibration", "train.npz", "--budget", "6")
    got, out, err = run("tune", "tiny.onnx", *rows, *arguments)
    assert (got, out) == (status, "")
    for line in lines:
        assert line in err
    assert made(tmp_path) == []


def test_a_foreign_file_is_not_overwritten(run: Command, tmp_path: Path) -> None:
    foreign = tmp_path / "mine.toml"
    foreign.write_text("timesteps = 3\n")
    arguments = ("tune", "tiny.onnx", *ROWS, *SMALL, "--goal", "latency<=4", "--write", "mine.toml")
    status, _, err = run(*arguments)
    assert status == 2
    assert "mine.toml exists and is no configuration that tune wrote" in err
    assert foreign.read_text() == "timesteps = 3\n"
    assert run(*arguments, "--force")[0] == 0
    assert foreign.read_text().startswith("# snnconvert tune: latency<=4, most accurate\n")
    assert run(*arguments)[0] == 0  # our own file is replaced, as the folder is


def test_a_binary_file_is_foreign_too(run: Command, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"\xff\xfe\x00")
    status, _, err = run("tune", "tiny.onnx", *ROWS, *SMALL, "--write", "net.bin")
    assert status == 2
    assert "net.bin exists and is no configuration that tune wrote" in err


def test_rows_without_labels(run: Command) -> None:
    rows = ("--calibration", "rows.npz")
    status, out, err = run("tune", "tiny.onnx", *rows, *SMALL, "--goal", "agreement>=50%")
    assert status == 0
    assert "final agreement" in out
    assert "agreement with the ANN stands for the accuracy" in err
