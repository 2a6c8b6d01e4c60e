"""Evaluation of a network that is really run: batches change nothing, nothing is held."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluations import context, judge, small_evaluation, small_network

from snnconvert.backends.base import RunResult
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.network import Population
from snnconvert.reports.evaluation import Evaluation, Measurement
from snnconvert.reports.measuring import evaluate


def exact(measured: Measurement) -> Measurement:
    """What must be equal to the last bit: all but times and sums of floats."""
    layers = tuple(replace(x, relative_error=None, correlation=None) for x in measured.layers)
    return replace(measured, seconds=0.0, standings=None, layers=layers)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    whole, _ = small_evaluation()
    parts, _ = small_evaluation(batch_size=batch_size)
    assert exact(parts) == exact(whole)
    assert [parts.standings.ends(n) for n in (1, 7)] == [whole.standings.ends(n) for n in (1, 7)]
    for one, other in zip(parts.layers, whole.layers, strict=True):
        assert one.relative_error == pytest.approx(other.relative_error, rel=1e-12)
        assert one.correlation == pytest.approx(other.correlation, rel=1e-12)


def test_accuracy_is_that_of_the_decoded_outputs() -> None:
    network, samples = small_network()
    logits = ReferenceSimulation(network).run(samples, 12).logits
    measured, _ = small_evaluation()
    expected = (logits.argmax(axis=-1) == np.arange(10) % 5).mean(axis=1)
    assert [row.accuracy for row in measured.accuracy] == expected.tolist()
    assert [row.timesteps for row in measured.accuracy] == list(range(1, 13))


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_layers_are_compared_on_the_first_rows(rows: int) -> None:
    network, samples = small_network()
    counts = ReferenceSimulation(network).run(samples, 12).spike_counts
    measured, truth = small_evaluation(batch_size=3, compared_rows=rows)
    for layer in measured.layers:
        population = network[layer.name]
        assert isinstance(population, Population)
        scale = float(population.scale)
        estimate = counts[layer.name][:rows] * scale / 12
        error = np.linalg.norm(estimate - truth[layer.name][:rows])
        assert layer.compared == rows
        assert layer.relative_error == pytest.approx(
            error / np.linalg.norm(truth[layer.name][:rows])
        )


def test_without_activations_layers_are_not_compared() -> None:
    measured, _ = small_evaluation(lowered_values=None)
    assert {layer.compared for layer in measured.layers} == {0}
    assert {layer.relative_error for layer in measured.layers} == {None}


def test_the_repr_is_one_line() -> None:
    measured, _ = small_evaluation()
    told = repr(Evaluation(measured, context(ladder=())))
    assert re.fullmatch(
        r"<Evaluation on target '\w+': accuracy [\d.]+ % at T = \d+, ANN [\d.]+ %, \d+ rows>", told
    ), told


def test_without_labels_accuracy_is_unknown() -> None:
    measured, _ = small_evaluation(labels=None)
    evaluation = Evaluation(measured, context(ladder=()))
    assert "agreement" in repr(evaluation) and "ANN " not in repr(evaluation).partition("T =")[2]
    assert evaluation.accuracy is None
    assert evaluation.final.agreement is not None
    assert evaluation.value == evaluation.final.agreement
    assert evaluation.to_json()["ladder"]["target"] is None


class Recording:
    """An Emitted that notes what it is asked for and tells details."""

    def __init__(self) -> None:
        network, self.samples = small_network()
        self.simulation = ReferenceSimulation(network)
        self.network = self.executable = network
        self.batches: list[int] = []

    def run(self, x: Any, timesteps: int, *, record: Any = ()) -> RunResult:
        assert not record
        self.batches.append(len(x["image"]))
        result = self.simulation.run(x, timesteps)
        return replace(result, details={"overflows": 2, "engine": "fast", "wrapped": False})

    def resources(self) -> dict[str, Any]:
        return {}

    def fidelity(self) -> dict[str, Any]:
        return {}

    def parity(self, x: Any, timesteps: int) -> dict[str, Any] | None:
        return None


def recorded(**options: Any) -> tuple[Recording, Measurement]:
    emitted = Recording()
    settings: dict[str, Any] = {"timesteps": 3, "batch_size": 4, "ann_macs": 1.0}
    measured = evaluate(
        emitted, emitted.samples, [judge(np.zeros((10, 5)))], **(settings | options)
    )
    return emitted, measured


def test_no_more_than_a_batch_is_asked_for_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    emitted, _ = recorded(progress=lambda done, total: told.append((done, total)))
    assert emitted.batches == [4, 4, 2]
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_counts_of_the_target_are_added_up() -> None:
    _, measured = recorded()
    assert measured.details == {"overflows": 6, "engine": "fast", "wrapped": False}
    document = Evaluation(measured, context(ladder=())).to_json()
    assert document["fidelity"]["run"]["overflows"] == 6


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"batch_size": 0}, UsageError, "batch size must be at least 1, not 0"),
        ({"timesteps": 0}, UsageError, "timesteps must be at least 1, not 0"),
        ({"labels": np.zeros(9, int)}, DataError, "output 'logits': 9 labels for 10 rows"),
        ({"labels": np.full(10, 5)}, DataError, "label 5 is out of range"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        small_evaluation(**options)
    assert message in str(caught.value)


def test_samples_and_outputs_of_other_lengths_are_refused() -> None:
    network, samples = small_network()
    emitted = ReferenceSimulation(network)
    options: dict[str, Any] = {"timesteps": 2, "batch_size": 2, "ann_macs": 1.0}
    with pytest.raises(DataError, match="the ANN's outputs are for 9 samples, not 10"):
        evaluate(emitted, samples, [judge(np.zeros((9, 5)))], **options)
    with pytest.raises(DataError, match="no samples to evaluate"):
        none = {"image": samples["image"][:0]}
        evaluate(emitted, none, [judge(np.zeros((0, 5)))], **options)
    with pytest.raises(DataError, match="input 'other' has 3 samples, the first input 10"):
        two = {**samples, "other": np.zeros((3, 1))}
        evaluate(emitted, two, [judge(np.zeros((10, 5)))], **options)
