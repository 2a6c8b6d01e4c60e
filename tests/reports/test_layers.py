"""Statistics of layers, counted by hand and batch by batch."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from evaluations import population

from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
)
from snnconvert.reports import layers
from snnconvert.reports.layers import (
    HISTOGRAM_BINS,
    SCATTER_POINTS,
    LayerRecorder,
    LayerStatistics,
    driven_steps,
    firing_steps,
    recorders,
    recorders_by_activation,
    sum_of_samples,
)


def recorded(counts: Any, steps: int, **changes: Any) -> LayerStatistics:
    recorder = LayerRecorder(replace(population("a", counts.shape[1:]), **changes), steps, steps, 0)
    recorder.add(np.asarray(counts, np.int64))
    return recorder.result()


def test_shares_are_of_neurons_and_samples() -> None:
    counts = np.array([[0, 16, 4, 0], [0, 15, 0, 14]])
    layer = recorded(counts, 16)
    assert layer.neurons == 4
    assert layer.rate == 49 / (8 * 16)
    assert layer.spikes == 49 / 2
    assert layer.silent == 4 / 8
    assert layer.never_fired == 1 / 4
    assert layer.saturated == 2 / 8
    assert layer.histogram[0] == 4 / 8
    assert layer.histogram[5] == 1 / 8
    assert layer.histogram[-1] == 1 / 8
    assert sum(layer.histogram) == pytest.approx(1.0)
    assert len(layer.histogram) == HISTOGRAM_BINS


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_pairs_of_the_first_rows_alone_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(layers, "COUNTED_ROWS", 10)
    counts = np.zeros((25, 4), np.int64)
    counts[:10, :2] = 16
    counts[10:, 1:] = 8
    recorder = LayerRecorder(population("a", (4,)), 16, 16, 0)
    for start in range(0, 25, batch):
        recorder.add(counts[start : start + batch])
    layer = recorder.result()
    assert (layer.counted, layer.silent, layer.saturated) == (10, 1 / 2, 1 / 2)
    assert (layer.histogram[0], layer.histogram[-1]) == (1 / 2, 1 / 2)
    assert layer.spikes == counts.sum() / 25
    assert layer.rate == counts.sum() / (25 * 4 * 16)
    assert layer.never_fired == 0


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("most", [2**20, 2**30])
def test_counts_are_summed_without_a_wrap(kind: type[np.integer[Any]], most: int) -> None:
    kept = np.full((3, 4, 2), most, kind)
    kept[0, :, 1] = 7
    counts = kept.swapaxes(1, 2)  # not contiguous
    total = sum_of_samples(counts, most)
    assert total.tolist() == [3 * most] * 4 + [2 * most + 7] * 4
    recorder = LayerRecorder(population("a", (2, 4)), most, most, 0)
    recorder._frequency = np.zeros(0, np.int64)  # one entry a count would not fit the memory
    recorder.counted = layers.COUNTED_ROWS
    recorder.add(counts)
    assert recorder.total.tolist() == total.tolist()


def test_a_neuron_that_took_everything_back_was_not_silent() -> None:
    recorder = LayerRecorder(replace(population("a", (3,)), neuron="signed"), 8, 8, 0)
    recorder.add(np.array([[0, 2, 0]]), np.array([[4, 2, 0]]))
    layer = recorder.result()
    assert layer.spikes == 6
    assert layer.rate == 2 / (3 * 8)
    assert layer.silent == layer.never_fired == 1 / 3
    assert recorder.total.tolist() == [4, 2, 0]


def test_payloads_count_as_shares_of_the_largest() -> None:
    recorder = LayerRecorder(replace(population("a", (4,)), neuron="graded:4"), 16, 16, 0)
    recorder.add(np.array([[0, 60, 59, 64]]), np.array([[0, 15, 15, 16]]))
    layer = recorder.result()
    assert layer.spikes == 46
    assert layer.rate == (60 + 59 + 64) / (4 * 16 * 4)
    assert layer.saturated == 2 / 4
    assert (layer.histogram[0], layer.histogram[-1]) == (1 / 4, 1 / 4)


@pytest.mark.parametrize(
    ("steps", "least"), [(1, 1), (2, 2), (8, 8), (16, 15), (32, 30), (64, 60), (512, 480)]
)
def test_saturated_is_fifteen_sixteenths_of_the_steps(steps: int, least: int) -> None:
    below = np.array([[least - 1]])
    assert recorded(below, steps).saturated == 0
    assert recorded(below + 1, steps).saturated == 1


def test_thresholds_are_summarised_over_the_neurons() -> None:
    scale = np.array([1.0, 2.0, 9.0]).reshape(3, 1)
    layer = recorded(np.zeros((1, 3, 2)), 4, scale=scale)
    assert (layer.threshold.min, layer.threshold.median, layer.threshold.max) == (1.0, 2.0, 9.0)


def compared(batch: int, rng: np.random.Generator) -> LayerStatistics:
    counts = rng.integers(0, 9, (12, 5, 4)) * (rng.random((12, 5, 4)) < 0.5)
    truth = counts * 0.25 + rng.normal(0, 0.1, counts.shape) * (counts > 0)
    recorder = LayerRecorder(population("a", (5, 4), scale=2.0), 8, 8, 12)
    for start in range(0, 12, batch):
        here = slice(start, start + batch)
        recorder.add(counts[here])
        recorder.compare(counts[here], truth[here])
    layer = recorder.result()
    estimate = counts * 2.0 / 8
    error = np.linalg.norm(estimate - truth) / np.linalg.norm(truth)
    assert layer.relative_error == pytest.approx(error)
    assert layer.correlation == pytest.approx(np.corrcoef(estimate.ravel(), truth.ravel())[0, 1])
    return layer


@pytest.mark.parametrize("batch", [1, 5])
def test_batches_change_nothing(batch: int) -> None:
    whole = compared(12, np.random.default_rng(0))
    parts = compared(batch, np.random.default_rng(0))
    parts = replace(parts, relative_error=None, correlation=None)
    assert parts == replace(whole, relative_error=None, correlation=None)


def test_the_scatter_holds_pairs_of_one_neuron_and_leaves_out_pairs_of_zeros() -> None:
    counts = np.zeros((3, 2000), np.int64)
    counts[:, ::4] = np.arange(1500).reshape(3, 500) + 1
    recorder = LayerRecorder(population("a", (2000,), scale=1500.0), 1500, 1500, 3)
    recorder.add(counts)
    recorder.compare(counts, counts * -3.0)
    points = recorder.result().scatter
    assert 300 <= len(points) <= SCATTER_POINTS
    assert all(x == pytest.approx(-3.0 * y) and y > 0 for x, y in points)
    assert len(set(points)) == len(points)


def test_layers_without_a_comparison_say_so() -> None:
    layer = recorded(np.ones((2, 3)), 4)
    assert (layer.compared, layer.relative_error, layer.correlation, layer.scatter) == (
        0,
        None,
        None,
        (),
    )


def chain_of(*populations: Population, delay: int = 1, start: int = 0) -> Network:
    nodes: tuple[NetworkNode, ...] = (
        Input("x", (2,), start=start),
        *populations,
        Readout("y", (2,), np.zeros(2), np.ones(2)),
    )
    links = pairwise(nodes)
    return Network("chain", nodes, tuple(Connection(a.name, b.name, (), delay) for a, b in links))


def test_rates_stand_for_activations_from_the_first_arrival() -> None:
    network = chain_of(population("a", (2,)), population("b", (2,)), start=2)
    assert driven_steps(network, 20) == {"a": 17, "b": 16}
    assert firing_steps(network.populations[1], 20) == 20


def test_rates_stand_for_activations_within_the_firing_window() -> None:
    staged = (
        population("a", (2,), start=0, stop=8),
        population("b", (2,), start=8, stop=16),
        population("c", (2,), start=16),
    )
    network = chain_of(*staged, delay=0)
    assert driven_steps(network, 20) == {"a": 8, "b": 8, "c": 4}
    assert [firing_steps(p, 20) for p in staged] == [8, 8, 4]


def test_activations_are_found_by_population_then_by_graph_node() -> None:
    network = chain_of(
        population("a", (2,), tensor="relu1"),
        population("on", (2,), tensor="shared"),
        population("off", (2,), tensor="shared"),
    )
    known = recorders_by_activation(recorders(network, 8, 1))
    assert known["a"] is known["relu1"]
    assert set(known) == {"a", "on", "off", "relu1"}
