"""Cases and ratios of the speed benchmark, on a tiny network. No time is asserted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import evaluation_time
import numpy as np
import pytest
import speed
import speed_networks
from interleave import Spread, Times
from speed import CASES, Case, Result, chosen
from speed_networks import MissingFilesError, Subject, subject

import snnconvert
from snnconvert.backends.base import RunResult, prepare


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject("fashion_cnn", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def alone(shipped: Subject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """The benchmark with this network in place of every other."""
    monkeypatch.setattr(speed, "_subject", lambda _: shipped)
    monkeypatch.setattr("interleave.SHORTEST", 0.0)
    speed._simulation.cache_clear()
    yield shipped
    speed._simulation.cache_clear()


def result(ratio: float, **fields: float | None) -> Result:
    case = replace(Case("name", "network"), **fields)
    spread = Spread.of([ratio])
    return Result(case, spread, spread, spread, 0.1, 1.0)


def test_a_case_is_timed_on_the_right_network(alone: Subject) -> None:
    found = speed.measure(Case("tiny", "fashion_cnn", timesteps=4, batch=3, threads=1), repeat=2)
    assert len(found.run.values) == len(found.ann.values) == 2
    assert found.ratio.values == pytest.approx(
        [r / (4 * a) for r, a in zip(found.run.values, found.ann.values, strict=True)]
    )
    assert 0 < found.density < 1
    assert found.to_json()["batch"] == 3


def test_a_result_is_right_where_the_answers_are_the_anns() -> None:
    logits = np.zeros((4, 2, 3))
    logits[-1, :, 1] = 1
    run = RunResult({"y": logits}, {"a": np.full((2, 5), 2)})
    found = speed.result_of(
        Case("name", "network", timesteps=4),
        Times({"run": (8.0,), "ann": (1.0,)}),
        run,
        [[0, 1, 0], [1, 0, 0]],
    )
    assert found.ratio.median == 2
    assert found.density == 2 / 4
    assert found.same_answers == 0.5


def test_goals_are_reached_or_missed() -> None:
    assert result(0.5, goal=0.6).reached
    assert not result(0.7, goal=0.6).reached
    assert result(9.0).reached
    assert "goal 0.6 MISSED" in result(0.7, goal=0.6).line()
    assert "goal 0.6 reached" in result(0.5, goal=0.6).line()


def test_cases_are_named_once() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert {c.goal for c in CASES if c.name == "resnet20-batch100-int8"} == {0.3}


def test_names_choose_by_their_beginning() -> None:
    assert [c.name for c in chosen(["fashion_cnn-batch1-"], None)] == [
        "fashion_cnn-batch1-float32",
        "fashion_cnn-batch1-int16",
        "fashion_cnn-batch1-int8",
    ]
    with pytest.raises(LookupError, match="no case nosuch"):
        chosen(["nosuch"], None)


def test_goals_are_for_two_threads() -> None:
    found = chosen(["wide-batch100-int8"], [1, 2])
    assert [(case.threads, case.goal) for case in found] == [(1, None), (2, 0.12)]


def test_third_party_networks_are_left_out_without_their_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(speed_networks.FOLDER, raising=False)
    assert not [c for c in chosen([], None) if c.network == "resnet20"]
    assert chosen(["resnet20-batch1-int8"], None)
    with pytest.raises(MissingFilesError, match="SNNCONVERT_TEST_DATA"):
        subject("resnet20", cache=tmp_path)


def test_a_network_is_converted_once(shipped: Subject, tmp_path: Path) -> None:
    first = subject("fashion_cnn", cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    again = subject("fashion_cnn", cache=tmp_path)
    assert kept.stat().st_mtime_ns == before
    for p, q in zip(first.snn.network.populations, again.snn.network.populations, strict=True):
        assert np.array_equal(p.threshold, q.threshold)


def test_rows_are_repeated(shipped: Subject) -> None:
    (found,) = shipped.rows(1002).values()
    assert len(found) == 1002
    assert np.array_equal(found[:2], found[1000:])
    assert np.array_equal(shipped.raw_rows(1001)[1000], shipped.raw[0])


def test_higher_thresholds_mean_fewer_spikes_and_the_same_function(shipped: Subject) -> None:
    x = shipped.rows(4)

    def run(scale: float) -> RunResult:
        network = shipped.network(threshold_scale=scale)
        return snnconvert.get_backend("cpu").emit(network).run(x, 64)

    once, twice = run(1), run(2)
    assert speed.density(twice, 64) == pytest.approx(speed.density(once, 64) / 2, rel=0.15)
    assert np.array_equal(once.logits[-1].argmax(1), twice.logits[-1].argmax(1))


def test_weights_get_their_bits(shipped: Subject) -> None:
    assert prepare(shipped.network(weight_bits=8)).network.weight_bits == 8


def test_evaluation_is_compared_with_the_run(
    shipped: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interleave.SHORTEST", 0.0)
    found = evaluation_time.overhead(shipped, rows=5, timesteps=2, repeat=1)
    run, whole = found["run_seconds"]["median"], found["evaluate_seconds"]["median"]
    assert found["added"]["median"] == pytest.approx(whole / run - 1, rel=1e-4)
    assert "parity" in found["stages_seconds"]


def test_batches_hold_every_row_once() -> None:
    rows = np.arange(7)
    found = [batch["x"] for batch in evaluation_time.batches({"x": rows}, 3)]
    assert [len(batch) for batch in found] == [3, 3, 1]
    assert np.array_equal(np.concatenate(found), rows)
