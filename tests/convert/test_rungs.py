"""The rungs of the ladder: on how many rows, and that those are the first."""

from dataclasses import replace

import numpy as np
import pytest
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.convert import rungs
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.evaluation import Evaluation

X = np.random.default_rng(0).random((40, 6), dtype=np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


@pytest.fixture(scope="module")
def snn() -> SpikingModel:
    rng = np.random.default_rng(2)
    nodes = [
        make_node("Gemm", ["x", "w1"], ["h"]),
        make_node("Relu", ["h"], ["r"]),
        make_node("Gemm", ["r", "w2"], ["y"]),
    ]
    constants = {
        "w1": rng.normal(0, 0.5, (6, 12)).astype(np.float32),
        "w2": rng.normal(0, 0.5, (12, 3)).astype(np.float32),
    }
    model = make_model(nodes, {"x": ["N", 6]}, constants=constants)
    return snnconvert.convert_model(model, X, timesteps=4, method="mse", corrections="none")


def evaluated(snn: SpikingModel, rows: int = 40) -> Evaluation:
    return snn.evaluate(X[:rows], Y[:rows], target="reference", batch_size=7)


@pytest.mark.parametrize(
    ("free", "share", "rows"),
    [(None, 1 / 256, 40), (0, 0.0, 10), (12 * 9 * 15, 0.0, 15), (0, 1 / 8, 20), (0, 1.0, 40)],
)
def test_rungs_are_computed_on_the_first_rows(
    snn: SpikingModel, monkeypatch: pytest.MonkeyPatch, free: int | None, share: float, rows: int
) -> None:
    """Of a small network on all of them, else on those that take no more than so much work."""
    monkeypatch.setattr(rungs, "LEAST_ROWS", 10)
    monkeypatch.setattr(rungs, "ROWS_A_STEP", share)
    if free is not None:
        monkeypatch.setattr(rungs, "FREE_WORK", free)
    ladder = evaluated(snn).ladder
    assert {rung.name: rung.samples for rung in ladder if rung.samples} == dict.fromkeys(
        ("ann", "quantised_ann", "snn", "target"), rows
    )
    monkeypatch.undo()
    for rung, expected in zip(ladder, evaluated(snn, rows).ladder, strict=True):
        assert (rung.value, rung.agreement) == (expected.value, expected.agreement)


def test_rungs_that_simulate_take_a_share_of_the_rows(
    snn: SpikingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many timesteps there are: the simulation takes as many."""
    monkeypatch.setattr(rungs, "LEAST_ROWS", 5)
    monkeypatch.setattr(rungs, "FREE_WORK", 0)
    monkeypatch.setattr(rungs, "ROWS_A_STEP", 1 / 8)
    monkeypatch.setattr(rungs, "SIMULATED_SHARE", 1 / 5)
    integers = replace(snn, network=replace(snn.network, weight_bits=6))
    ladder = evaluated(integers).ladder
    assert {rung.samples for rung in ladder if rung.samples} == {8}
    assert {rung.samples for rung in evaluated(snn).ladder if rung.samples} == {20}


def test_progress_of_every_stage(snn: SpikingModel) -> None:
    told: dict[str, list[tuple[int, int | None]]] = {}

    def progress(stage: str, done: int, total: int | None) -> None:
        told.setdefault(stage, []).append((done, total))

    anytime = snn.with_anytime(X, tolerance=0.2)
    anytime.evaluate(X, Y, target="reference", batch_size=20, progress=progress)
    assert list(told) == ["ann", "evaluation", "anytime", "ladder"]
    assert told["evaluation"] == [(20, 40), (40, 40)]
    for stages in told.values():
        assert stages[-1] == (40, 40)
        assert stages == sorted(stages)
