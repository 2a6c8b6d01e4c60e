"""States of a run: targets that rebuild themselves, and what a checkpoint gets to see."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluations import judge, small_network

from snnconvert.backends.base import RunResult
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import ResumeError
from snnconvert.reports import measuring
from snnconvert.reports.checkpoint import State
from snnconvert.reports.evaluation import Measurement
from snnconvert.reports.measuring import REBUILDS, enough_rows, evaluate


class Held:
    """A checkpoint in memory."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state
        self.done: list[int] = []

    def keep(self, state: State) -> None:
        self.state = state
        self.done.append(state["gathered"]["done"])


class Rebuilding:
    """Halves its thresholds, once, when a batch holds the sixth row; or before every batch."""

    def __init__(self, *, always: bool = False) -> None:
        self.executable, self.samples = small_network()
        self.always, self.rebuilt = always, 0
        self.batches: list[int] = []

    def run(self, x: Any, timesteps: int, *, record: Any = ()) -> RunResult:
        sixth = self.samples["image"][5]
        if self.always or (not self.rebuilt and any(np.array_equal(r, sixth) for r in x["image"])):
            halved = (replace(p, threshold=p.threshold / 2) for p in self.executable.populations)
            self.executable = self.executable.replace_nodes(halved)
            self.rebuilt += 1
        self.batches.append(len(x["image"]))
        return ReferenceSimulation(self.executable).run(x, timesteps, record=record)


def measured(emitted: Any, checkpoint: Held | None = None, stop: int | None = None) -> Measurement:
    def progress(done: int, _: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    ann = np.random.default_rng(3).normal(0, 1, (10, 5))
    found = evaluate(
        emitted,
        emitted.samples,
        [judge(ann, np.arange(10) % 5)],
        timesteps=6,
        batch_size=2,
        ann_macs=1.0,
        checkpoint=checkpoint,
        progress=progress,
    )
    return replace(found, seconds=0.0, standings=None)  # type: ignore[arg-type]


def test_a_rebuilt_target_runs_all_rows_again_at_once() -> None:
    emitted, checkpoint = Rebuilding(), Held()
    whole = measured(emitted, checkpoint)
    assert emitted.batches == [2, 2, 2, *[2] * 5]
    assert checkpoint.done == [2, 4, 2, 4, 6, 8, 10]
    again = Rebuilding()
    again.executable, again.rebuilt = emitted.executable, 1
    assert measured(again) == whole


@pytest.mark.parametrize("stop", [2, 4, 8])
def test_a_rebuilt_target_is_resumed(stop: int) -> None:
    """The states of the second build are not those of a target that starts with its first."""
    checkpoint = Held()
    with pytest.raises(KeyboardInterrupt):
        measured(Rebuilding(), checkpoint, stop)
    assert measured(Rebuilding(), Held(checkpoint.state)) == measured(Rebuilding())


def test_a_target_that_never_rests_is_taken_as_it_is() -> None:
    emitted, checkpoint = Rebuilding(always=True), Held()
    measured(emitted, checkpoint)
    assert len(emitted.batches) == REBUILDS - 1 + 5
    assert checkpoint.done == []


CHANGES: dict[str, Callable[[State], Any]] = {
    "nothing gathered": lambda state: state["gathered"].clear(),
    "another shape": lambda state: state["gathered"]["_recording"]["conv1"].update(
        total=np.zeros(3, np.int64)
    ),
    "another dtype": lambda state: state["gathered"]["_recording"]["conv1"].update(
        total=np.zeros(108)
    ),
    "no number": lambda state: state["gathered"].update(done="4"),
    "a metric fewer": lambda state: state["gathered"]["_tallies"][0]["_labelled"].pop(),
    "no array": lambda state: state["gathered"]["_activity"]["active"].update(image=[1, 2]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_states_of_something_else_are_refused(change: str) -> None:
    checkpoint = Held()
    measured(Rebuilding(), checkpoint)
    assert checkpoint.state is not None
    CHANGES[change](checkpoint.state)
    again = Rebuilding()
    again.rebuilt = 1
    halved = (replace(p, threshold=p.threshold / 2) for p in again.executable.populations)
    again.executable = again.executable.replace_nodes(halved)
    with pytest.raises(ResumeError, match="the partial results do not fit this evaluation"):
        measured(again, checkpoint)


@pytest.mark.parametrize(("pairs", "rows"), [(10**6, 64), (20.5, 20), (16, 16), (1, 16)])
def test_large_networks_are_compared_on_fewer_rows(
    monkeypatch: pytest.MonkeyPatch, pairs: float, rows: int
) -> None:
    network, _ = small_network()
    monkeypatch.setattr(measuring, "COMPARED_PAIRS", int(pairs * network.neurons))
    assert enough_rows(network) == rows
