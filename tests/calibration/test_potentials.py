import json

import numpy as np
import pytest

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.activations import observe
from snnconvert.calibration.data import open_samples
from snnconvert.calibration.methods import get_method
from snnconvert.calibration.potentials import HIGHEST, correct_potentials
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray, ReduceSum
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.models import shipped_model_path
from tests.graphs import Sketch, samples_for

T = 16


def deep(depth: int = 5, rows: int = 32) -> tuple[Graph, Network, dict[str, FloatArray]]:
    """Convolutions and a sum over all positions, in which the offset of a channel adds up."""
    sketch = Sketch(1)
    value = sketch.input((2, 6, 6))
    for _ in range(depth):
        value = sketch.relu(sketch.conv(value, 6, pad=1))
    pooled = sketch.affine(value, ReduceSum((6, 6, 6), (1, 2)))
    graph = lower(sketch.graph(sketch.dense(pooled, 5)))
    samples = samples_for(graph, rows)
    found = graph.evaluate(samples, [n.name for n in graph.activations])
    scales = {
        name: np.maximum(np.quantile(a, 0.99, axis=(0, 2, 3), keepdims=True)[0], 0.05)
        for name, a in found.items()
    }
    return graph, build_network(graph, scales), samples


def error(network: Network, graph: Graph, samples: dict[str, FloatArray]) -> float:
    decoded = ReferenceSimulation(network).run(samples, T).logits[-1]
    return float(np.square(decoded - graph.evaluate(samples)[graph.outputs[0]]).mean())


def channel_offsets(network: Network, graph: Graph, samples: dict[str, FloatArray]) -> FloatArray:
    """Mean error of each channel of the last population, as a share of its threshold."""
    last = network.populations[-1]
    counts = ReferenceSimulation(network).run(samples, T).spike_counts[last.name]
    activations = graph.evaluate(samples, [last.name])[last.name]
    offset = (last.amplitude * counts / T - activations).mean(axis=(0, 2, 3), keepdims=True)[0]
    return np.asarray(offset / last.threshold)


def test_outputs_come_closer_on_other_rows() -> None:
    graph, network, samples = deep()
    corrected, record = correct_potentials(network, graph, samples, T)
    others = samples_for(graph, 40, seed=9)
    assert error(corrected, graph, others) < 0.95 * error(network, graph, others)
    assert record["potentials"]["accepted"] is True
    assert record["potentials"]["error_after"] < record["potentials"]["error_before"]
    assert json.loads(json.dumps(record)) == record


def test_the_mean_error_of_each_channel_shrinks() -> None:
    graph, network, samples = deep()
    corrected, _ = correct_potentials(network, graph, samples, T)
    before, after = (
        np.abs(channel_offsets(net, graph, samples)).mean() for net in (network, corrected)
    )
    assert after < 0.5 * before


def test_potentials_stay_below_the_threshold_and_nothing_else_changes() -> None:
    graph, network, samples = deep()
    corrected, _ = correct_potentials(network, graph, samples, T)
    moved = 0
    for before, after in zip(network.populations, corrected.populations, strict=True):
        assert after.v_init.shape == before.v_init.shape
        assert (after.v_init >= 0).all()
        assert (after.v_init <= HIGHEST * after.threshold).all()
        moved += int((after.v_init != before.v_init).sum())
        for name in ("threshold", "amplitude", "scale", "bias"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert moved > 10


def test_a_correction_that_other_rows_do_not_confirm_is_dropped() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.affine(sketch.input((1,))), name="relu")
    graph = lower(sketch.graph(sketch.affine(relu)))
    network = build_network(graph, {"relu": np.ones(1)})
    # Half a level is always rounded up: rows of 0.03 ask for a lower potential, 0.05 for none.
    x = np.array([[0.49 / T], [0.5 / T]] * 8, np.float32)
    x[::2] = 0.6 / T
    corrected, record = correct_potentials(network, graph, {"x": x}, T)
    assert record["potentials"]["accepted"] is False
    assert corrected is network


def test_too_few_rows_change_nothing() -> None:
    graph, network, samples = deep()
    first = {name: x[:1] for name, x in samples.items()}
    corrected, record = correct_potentials(network, graph, first, T)
    assert corrected is network
    assert record == {"potentials": {"accepted": False}}


def test_progress_counts_populations() -> None:
    graph, network, samples = deep(depth=2, rows=4)
    calls: list[tuple[int, int | None]] = []
    correct_potentials(network, graph, samples, T, progress=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.slow
def test_a_trained_residual_network_gains() -> None:
    path = shipped_model_path("fashion_resnet")
    assert path is not None
    imported = import_onnx(path)
    assert imported.graph is not None
    graph = lower(imported.graph)
    shapes = {node.name: node.shape for node in graph.inputs}
    data = path.with_suffix(".calibration.npz")
    source = open_samples(data, shapes, limit=32)
    found = observe(graph, imported.model_bytes, source, threads=1)
    scales = get_method("mse", timesteps=T).scales(found)
    network = build_network(graph, scales, input_bounds=found.inputs)
    (rows,) = source
    _, record = correct_potentials(network, graph, rows, T)
    assert record["potentials"]["error_after"] < 0.75 * record["potentials"]["error_before"]
