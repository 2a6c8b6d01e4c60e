import json
from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.hard_reset import LARGEST_GAIN, correct_hard_reset
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network, Population
from tests.graphs import Sketch, samples_for

T = 32


def single(thresholds: FloatArray) -> tuple[Graph, Network]:
    """Three neurons that each receive one input, and a readout of them."""
    sketch = Sketch()
    relu = sketch.relu(sketch.affine(sketch.input((3,))), name="relu")
    graph = lower(sketch.graph(sketch.dense(relu, 2)))
    return graph, build_network(graph, {"relu": thresholds}, reset="zero", v_init=0.0)


def deep(per_channel: bool = True) -> tuple[Graph, Network, dict[str, FloatArray]]:
    sketch = Sketch(3)
    value = sketch.input((2, 6, 6))
    for _ in range(3):
        value = sketch.relu(sketch.conv(value, 4, pad=1))
    graph = lower(sketch.graph(sketch.dense(value, 5)))
    rows = samples_for(graph, 24)
    found = graph.evaluate(rows, [n.name for n in graph.activations])
    axes = (0, 2, 3) if per_channel else (0, 1, 2, 3)
    scales = {name: a.max(axis=axes, keepdims=True)[0] for name, a in found.items()}
    return graph, build_network(graph, scales, reset="zero", v_init=0.0), rows


def amplitudes(network: Network) -> dict[str, FloatArray]:
    return {p.name: p.amplitude for p in network.populations}


def test_the_gain_of_one_neuron_follows_from_its_staircase() -> None:
    graph, network = single(np.ones(3))
    x = np.tile([0.7, 0.3, -1.0], (8, 1)).astype(np.float32)
    corrected, record = correct_hard_reset(network, graph, {"x": x}, T)
    # ceil(1 / 0.7) = 2 and ceil(1 / 0.3) = 4 steps a spike, the third neuron is silent
    np.testing.assert_allclose(amplitudes(corrected)["relu"], [0.7 * 2, 0.3 * 4, 1.0], rtol=1e-6)
    fitted = record["hard_reset"]["relu"]
    assert fitted["error_after"] < 1e-12 < fitted["error_before"]
    assert fitted["gain"] == pytest.approx((1.4 + 1.2 + 1.0) / 3)


def test_thresholds_and_scales() -> None:
    graph, network, rows = deep()
    corrected, _ = correct_hard_reset(network, graph, rows, T)
    for before, after in zip(network.populations, corrected.populations, strict=True):
        np.testing.assert_array_equal(after.threshold, before.threshold)
        np.testing.assert_array_equal(after.v_init, before.v_init)
        np.testing.assert_array_equal(after.scale, after.amplitude)
        assert after.amplitude.shape == before.amplitude.shape
        assert (after.amplitude > before.amplitude).mean() > 0.8


def test_outputs_come_closer_on_other_rows() -> None:
    graph, network, rows = deep()
    corrected, record = correct_hard_reset(network, graph, rows, T)
    others = samples_for(graph, 20, seed=9)
    expected = graph.evaluate(others)[graph.outputs[0]]

    def error(net: Network) -> float:
        decoded = ReferenceSimulation(net).run(others, T).logits[-1]
        return float(np.square(decoded - expected).mean())

    assert error(corrected) < 0.5 * error(network)
    for fitted in record["hard_reset"].values():
        assert fitted["error_after"] < fitted["error_before"]
    assert json.loads(json.dumps(record)) == record


def test_each_population_is_fitted_behind_the_corrected_ones() -> None:
    graph, network, rows = deep()
    corrected, _ = correct_hard_reset(network, graph, rows, T)
    last = network.populations[-1]
    alone = correct_hard_reset(network, graph, rows, T)[0].populations[-1]
    prefix = [p for p in corrected.populations if p.name != last.name]
    again = correct_hard_reset(network.replace_nodes(prefix), graph, rows, T)[0].populations[-1]
    np.testing.assert_allclose(alone.amplitude, again.amplitude, rtol=1e-6)
    uncorrected_prefix = ReferenceSimulation(network).run(rows, T).spike_counts[last.name]
    corrected_prefix = ReferenceSimulation(corrected).run(rows, T).spike_counts[last.name]
    assert (uncorrected_prefix != corrected_prefix).any()


def test_one_threshold_a_layer_means_one_gain() -> None:
    graph, network, rows = deep(per_channel=False)
    corrected, _ = correct_hard_reset(network, graph, rows, T)
    for amplitude in amplitudes(corrected).values():
        assert amplitude.size == 1


def test_a_gain_that_other_rows_do_not_confirm_is_dropped() -> None:
    graph, network = single(np.ones(3))
    # Rows that make the fit need a gain of 1.4, those that judge it none at all.
    x = np.array([[0.7] * 3, [0.5] * 3] * 4, np.float32)
    corrected, record = correct_hard_reset(network, graph, {"x": x}, T)
    np.testing.assert_array_equal(amplitudes(corrected)["relu"], np.ones(3))
    fitted = record["hard_reset"]["relu"]
    assert fitted == {"gain": 1.0, "error_before": 0.0, "error_after": 0.0}


def test_gains_are_bounded() -> None:
    graph, network = single(np.ones(3))
    tiny = network.replace_nodes(replace(p, threshold=np.full(3, 2.0)) for p in network.populations)
    # Amplitude 1 at threshold 2: ceil(2 / 1.01) = 2 steps a spike of amplitude 1 for 1.01.
    x = np.full((8, 3), 1.01, np.float32)
    gains = amplitudes(correct_hard_reset(tiny, graph, {"x": x}, T)[0])["relu"]
    np.testing.assert_allclose(gains, 2.02, rtol=1e-6)
    high = network.replace_nodes(replace(p, threshold=np.full(3, 9.0)) for p in network.populations)
    gains = amplitudes(correct_hard_reset(high, graph, {"x": x}, T)[0])["relu"]
    np.testing.assert_allclose(gains, LARGEST_GAIN)


def test_too_few_rows_change_nothing() -> None:
    graph, network, rows = deep()
    first = {name: x[:1] for name, x in rows.items()}
    corrected, record = correct_hard_reset(network, graph, first, T)
    assert corrected is network
    assert record == {"hard_reset": {}}


def test_progress_counts_populations() -> None:
    graph, network, rows = deep()
    calls: list[tuple[int, int | None]] = []
    correct_hard_reset(network, graph, rows, T, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_population_of_no_known_value_is_left_alone() -> None:
    graph, network, rows = deep()
    last = network.populations[-1]
    unnamed = network.replace_nodes([replace(last, tensor=None)])
    corrected, record = correct_hard_reset(unnamed, graph, rows, T)
    assert last.name not in record["hard_reset"]
    after = corrected[last.name]
    assert isinstance(after, Population)
    np.testing.assert_array_equal(after.amplitude, last.amplitude)
