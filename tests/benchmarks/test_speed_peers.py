"""Processes of other simulators: protocol, a whole comparison, verdicts. No time is asserted."""

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serve
import speed_peers
from neutral import Task
from serve import Variant
from speed_networks import Subject, subject
from speed_peers import Peer, PeerFailedError, Setting, compare, line, pythons, verdicts

with_nengo = pytest.mark.skipif(
    importlib.util.find_spec("nengo") is None, reason="the extra nengo is not installed"
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject("fashion_cnn", cache=tmp_path_factory.mktemp("cache"))


@with_nengo
def test_a_peer_computes_the_same_network(
    shipped: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interleave.SHORTEST", 0.0)
    setting = Setting("fashion_cnn", batch=4, images=2, timesteps=3, threads=1)
    (found,) = compare("nengo", sys.executable, shipped, setting, repeat=1)
    assert (found["peer"], found["variant"]) == ("nengo", "reference")
    assert found["same_answers"] == 1
    assert found["spikes_relative"] == 1
    assert found["largest_difference"] < 1e-6
    seconds = found["seconds"]["median"]
    for weights, ratio in found["times_as_fast"].items():
        ours = found["ours_seconds"][weights]["median"]
        assert ratio["median"] == pytest.approx((seconds / 2) / (ours / 4), rel=1e-4)
        assert found["times_as_fast_alike"][weights]["median"] > 0
    assert "nengo" in found["versions"]
    assert line(found).startswith("nengo")


def test_a_process_that_ends_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PeerFailedError, match="nengo ended with exit code 1"):
        Peer("nengo", sys.executable, tmp_path / "nothing")


def test_a_process_answers_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def variant(name: str, seconds: float | None) -> Variant:
        def run() -> Any:
            done.append(name)
            return np.zeros((1, 2))

        timed = None if seconds is None else lambda: seconds

        def count() -> Any:
            return run(), np.array([3])

        return Variant(run, count, timed)

    answers = io.StringIO()
    monkeypatch.setattr(serve, "_answers", lambda: answers)
    monkeypatch.setattr(serve, "read_task", lambda _: Task((), np.zeros((1, 2), np.float32), 1, 1))
    monkeypatch.setattr(sys, "argv", ["with_x.py", str(tmp_path)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("fast\nplain\n"))
    serve.serve(lambda _: {"plain": variant("plain", None), "fast": variant("fast", 0.5)}, "numpy")
    ready, fast, plain = map(json.loads, answers.getvalue().splitlines())
    assert ready["variants"] == ["plain", "fast"]
    assert ready["versions"] == {"numpy": np.__version__}
    assert fast == {"seconds": 0.5}
    assert plain["seconds"] >= 0
    assert done == ["plain", "fast", "plain"]  # the warm-ups, and the one that times nothing itself
    with np.load(tmp_path / "fast.npz") as stored:
        assert stored["spikes"].tolist() == [3]


def test_interpreters_are_given_by_name() -> None:
    assert pythons(["norse=/a/python", "nengo=b"]) == {"norse": "/a/python", "nengo": "b"}
    for wrong in ("norse", "norse=", "lava=/a/python"):
        with pytest.raises(ValueError, match="NAME=PATH"):
            pythons([wrong])


def test_every_peer_has_its_file() -> None:
    folder = Path(speed_peers.__file__).parent / "peers"
    files = {path.stem.removeprefix("with_") for path in folder.glob("with_*.py")}
    assert files == set(speed_peers.PEERS)


def result(peer: str, float32: float, integer: float) -> dict[str, Any]:
    ratios = {"float32": float32, "int16": integer, "int8": integer}
    times = {name: {"median": ratio} for name, ratio in ratios.items()}
    return {"peer": peer, "variant": "loop", "times_as_fast": times}


def test_the_fastest_peer_counts() -> None:
    found = verdicts([result("norse", 9, 12), result("sinabs", 5, 7), result("brian2", 1, 1)])
    assert found == [
        ("float32: 5.0 times as fast as the fastest (sinabs, loop), goal 4", True),
        ("int16: 7.0 times as fast as the fastest (sinabs, loop), goal 8", False),
        ("int8: 7.0 times as fast as the fastest (sinabs, loop), goal 8", False),
    ]


def test_nengo_has_a_goal_of_its_own() -> None:
    (found,) = verdicts([result("nengo", 99, 200)])
    assert found == ("float32: 99 times as fast as Nengo, goal 100", False)
