"""Evaluations that are interrupted and go on: the same report, or a refusal that says why."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.calibration import stored_rows
from snnconvert.convert import resume, rungs
from snnconvert.convert.errors import DataError, OutputError, ResumeError
from snnconvert.convert.spiking_model import SpikingModel

ROWS, BATCH = 23, 5
RNG = np.random.default_rng(4)


def normal(*shape: int) -> np.ndarray:
    return (0.4 * RNG.normal(0, 1, shape)).astype(np.float32)


def classifier() -> onnx.ModelProto:
    """One hidden convolution, a class a row."""
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["r"]),
        make_node("Flatten", ["r"], ["f"]),
        make_node("Gemm", ["f", "w2"], ["y"]),
    ]
    constants = {"w1": normal(3, 2, 3, 3), "b1": normal(3), "w2": normal(48, 4)}
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 2, 4, 4]}, constants=constants)
    return model


def places() -> onnx.ModelProto:
    """A class for every place."""
    nodes = [
        make_node("Conv", ["x", "w1"], ["c"]),
        make_node("Relu", ["c"], ["r"]),
        make_node("Conv", ["r", "w2"], ["y"]),
    ]
    constants = {"w1": normal(5, 2, 1, 1), "w2": normal(3, 5, 1, 1)}
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 2, 4, 4]}, constants=constants)
    return model


def rows(count: int = ROWS, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2, 4, 4), dtype=np.float32)


@cache
def converted(model: Callable[[], onnx.ModelProto] = classifier, **options: Any) -> SpikingModel:
    return snnconvert.convert_model(
        model(), rows(40, 2), timesteps=8, method="mse", corrections="none", **options
    )


def largest_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float(np.abs(outputs - targets).max())


@dataclass(frozen=True)
class Kind:
    """A network, its labels and how it is judged."""

    snn: Callable[[], SpikingModel]
    labels: Callable[[], np.ndarray | None]
    options: dict[str, Any]


CLASSES = np.random.default_rng(3).integers(0, 4, ROWS)
VALUES = np.random.default_rng(3).normal(0, 1, (ROWS, 4))
MAPS = np.random.default_rng(3).integers(0, 3, (ROWS, 4, 4))
KINDS = {
    "classes": Kind(converted, lambda: CLASSES, {}),
    "no labels": Kind(converted, lambda: None, {}),
    "numbers": Kind(converted, lambda: VALUES, {"metric": "r2"}),
    "maps": Kind(lambda: converted(places), lambda: MAPS, {}),
    "a function": Kind(converted, lambda: VALUES, {"metric": largest_error}),
    "samples that stop": Kind(lambda: converted(anytime=0.1), lambda: CLASSES, {"anytime": True}),
    "signed spikes": Kind(lambda: converted(neuron="signed"), lambda: CLASSES, {}),
    "weights of 6 bits": Kind(lambda: converted(weight_bits=6), lambda: CLASSES, {}),
    "another reset": Kind(lambda: converted(reset="zero"), lambda: CLASSES, {}),
}


def stopping_at(stage: str, rows_done: int) -> Callable[[str, int, int | None], None]:
    def progress(where: str, done: int, _: int | None) -> None:
        if (where, done) == (stage, rows_done):
            raise KeyboardInterrupt

    return progress


def report(snn: SpikingModel, x: Any, y: Any = None, **options: Any) -> dict[str, Any]:
    """The report of an evaluation, but for the times."""
    settings: dict[str, Any] = {"target": "reference", "batch_size": BATCH}
    document = snn.evaluate(x, y, **(settings | options)).to_json()
    del document["timing"]
    return document


def interrupted(path: Path, snn: SpikingModel, x: Any, y: Any = None, **options: Any) -> None:
    stop = options.pop("stop", ("evaluation", 2 * BATCH))
    with pytest.raises(KeyboardInterrupt):
        report(snn, x, y, resume=path, progress=stopping_at(*stop), **options)
    assert path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_evaluation_gives_the_same_report(kind: str, tmp_path: Path) -> None:
    case, path = KINDS[kind], tmp_path / "half.resume"
    snn, labels = case.snn(), case.labels()
    whole = report(snn, rows(), labels, **case.options)
    interrupted(path, snn, rows(), labels, **case.options)
    told: list[int] = []

    def progress(stage: str, done: int, _: int | None) -> None:
        if stage == "evaluation":
            told.append(done)

    assert report(snn, rows(), labels, resume=path, progress=progress, **case.options) == whole
    assert told == [10, 15, 20, 23], "rows were simulated twice"
    assert not list(tmp_path.iterdir())


def test_it_may_be_interrupted_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.resume"
    whole = report(converted(), rows(), CLASSES)
    for done in (5, 10, 20, 23):
        interrupted(path, converted(), rows(), CLASSES, stop=("evaluation", done))
    monkeypatch.setattr(rungs, "ROWS_KEPT", rungs.ROWS_AT_ONCE)
    for done in (rungs.ROWS_AT_ONCE, 16, 23):
        interrupted(path, converted(), rows(), CLASSES, stop=("ladder", done))
    assert report(converted(), rows(), CLASSES, resume=path) == whole


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(report(converted(), rows(), CLASSES))
    assert found[0] == found[1]


def test_the_loihi_emulator(tmp_path: Path) -> None:
    pytest.importorskip("nengo_loihi")
    path, snn = tmp_path / "half.resume", converted(target="loihi")
    whole = report(snn, rows(), CLASSES, target="loihi")
    interrupted(path, snn, rows(), CLASSES, target="loihi", stop=("evaluation", 15))
    interrupted(path, snn, rows(), CLASSES, target="loihi", stop=("ladder", 33))
    assert report(snn, rows(), CLASSES, target="loihi", resume=path) == whole


def test_streams_go_on_too(tmp_path: Path) -> None:
    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, ROWS, 7):
            yield rows()[first : first + 7], CLASSES[first : first + 7]

    path = tmp_path / "half.resume"
    interrupted(path, converted(), batches())
    assert report(converted(), batches(), resume=path) == report(converted(), rows(), CLASSES)


def test_the_times_of_both_runs_are_added(tmp_path: Path) -> None:
    path = tmp_path / "half.resume"
    interrupted(path, converted(), rows(), CLASSES)
    stages, seconds = resume._read(path)[1:]
    before = stages["evaluation"]["gathered"]["_seconds"]
    assert 0 < before < seconds
    evaluation = converted().evaluate(
        rows(), CLASSES, target="reference", batch_size=BATCH, resume=path
    )
    assert evaluation.simulation_seconds > before
    assert evaluation.report_seconds is not None and evaluation.report_seconds > 0


def test_what_would_take_long_to_write_is_written_on_the_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "WRITING_SHARE", 0.0)
    path = tmp_path / "half.resume"
    written: list[int] = []
    write = resume._write

    def counted(*arguments: Any) -> None:
        written.append(1)
        write(*arguments)

    monkeypatch.setattr(resume, "_write", counted)
    interrupted(path, converted(), rows(), CLASSES, stop=("evaluation", 20))
    assert len(written) == 2, "the first batch's state, and the last one"
    assert resume._read(path)[1]["evaluation"]["gathered"]["done"] == 20


# Refusals

CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "rows": lambda: {"x": rows()[::-1]},
    "labels": lambda: {"y": (CLASSES + 1) % 4},
    "timesteps": lambda: {"timesteps": 7},
    "batch size": lambda: {"batch_size": 4},
    "metric": lambda: {"metric": "top2"},
    "scored output": lambda: {"score_output": "y"},
    "stopping rule": lambda: {"anytime": False},
    "target, target's options": lambda: {"target": "cpu", "threads": 1},
    "network": lambda: {"snn": changed_network()},
    "ANN": lambda: {"snn": replace(converted(), anytime=converted(anytime=0.1).anytime)},
}


def changed_network() -> SpikingModel:
    snn = converted()
    first = snn.network.populations[0]
    halved = replace(first, threshold=first.threshold / 2)
    return replace(snn, network=snn.network.replace_nodes([halved]))


@pytest.mark.parametrize("difference", CHANGES)
def test_another_evaluation_does_not_take_it_up(difference: str, tmp_path: Path) -> None:
    path = tmp_path / "half.resume"
    interrupted(path, converted(), rows(), CLASSES)
    before = path.read_bytes()
    given: dict[str, Any] = {"snn": converted(), "x": rows(), "y": CLASSES}
    given |= CHANGES[difference]()
    with pytest.raises(ResumeError) as caught:
        report(**given, resume=path)
    assert caught.value.message == f"{path} belongs to another evaluation"
    assert caught.value.why == f"different: {difference}"
    assert "--resume and nothing else changed" in caught.value.hint
    assert path.read_bytes() == before


def repacked(content: bytes, texts: dict[str, str], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The same archive with other texts in its state."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            stored = old.read(entry)
            for before, after in texts.items():
                stored = stored.replace(before.encode(), after.encode())
            new.writestr(entry.filename, stored, compression)
    return out.getvalue()


def flipped(content: bytes) -> bytes:
    place = content.index(b"\x93NUMPY") + 130  # behind the header of 128 bytes
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "a bit flipped": flipped,
    "compressed": lambda content: repacked(content, {}, zipfile.ZIP_DEFLATED),
    "another format": lambda content: repacked(content, {resume.FORMAT: "snnconvert-resume/0"}),
    "no stages": lambda content: repacked(content, {"stages": "stapes"}),
    "no zip file": lambda _: b"something else",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "half.resume"
    interrupted(path, converted(), rows(), CLASSES)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ResumeError) as caught:
        report(converted(), rows(), CLASSES, resume=path)
    if damage == "no zip file":  # perhaps the user's own
        assert caught.value.message == f"{path} is no resume file"
        assert caught.value.hint == "give another name to resume from"
    else:
        assert caught.value.message == f"{path} is a damaged resume file"
        assert caught.value.hint == "remove it to start anew"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("change", [{"_silent": "_sylent"}, {'"done", 10': '"done", "x"'}])
def test_states_that_do_not_fit_are_refused(change: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "half.resume"
    interrupted(path, converted(), rows(), CLASSES)
    path.write_bytes(repacked(path.read_bytes(), change))
    with pytest.raises(ResumeError, match="partial results do not fit this evaluation"):
        report(converted(), rows(), CLASSES, resume=path)


def test_what_is_done_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the end would take the result with it."""
    kept = resume.ResumeFile(tmp_path / "partial", {"network": "n"})
    with kept.guarding():
        kept.stage("evaluation").keep({"rows": 1})
        monkeypatch.setattr(resume.ResumeFile, "write", lambda _: pytest.fail("written"))
    assert not (tmp_path / "partial").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "half.resume"
    with pytest.raises(OutputError) as caught:
        report(converted(), rows(), CLASSES, resume=path)
    assert caught.value.message == f"partial results cannot be written to {path}"
    assert caught.value.why == "No such file or directory"


def test_bad_rows_leave_no_file(tmp_path: Path) -> None:
    x = rows()
    x[3, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        report(converted(), x, CLASSES, resume=tmp_path / "half.resume")
    assert not list(tmp_path.iterdir())


# Memory


def peak_bytes(snn: SpikingModel, count: int, path: Path) -> int:
    x = rows(count)
    np.save(path, x)
    np.save(path.with_name("y.npy"), np.zeros(count, np.int64))
    tracemalloc.start()
    try:
        labels = np.load(path.with_name("y.npy"))
        snn.evaluate(path, labels, target="reference", batch_size=20)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a row (labels, decisions, outputs of the ANN) is less than the row.

    Where rows are too many to be kept themselves.
    """
    snn = converted()
    monkeypatch.setattr(stored_rows, "KEPT_BYTES", 100 * rows(1).nbytes)
    peak_bytes(snn, 40, tmp_path / "x.npy")  # what is made once: the lowered graph, the session
    few, many = (peak_bytes(snn, count, tmp_path / "x.npy") for count in (400, 2400))
    row, outputs = rows(1).nbytes, 8 * snn.network.populations[0].size
    grown = (many - few) / 2000
    assert grown < 300, f"{grown:.0f} bytes a row; a row has {row}, its spike counts {outputs}"
