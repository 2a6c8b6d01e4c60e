"""The observed statistics against the values themselves, on models made here and by others."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from snnconvert.calibration.activations import Observed, expose, observe
from snnconvert.calibration.data import Preprocessing, open_samples
from snnconvert.convert.ann import AnnSession
from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.lower import lower
from snnconvert.convert.onnx_import import import_onnx
from tests.onnx_models import FREE, float32, int64, make_model, make_node, one_node

Array = npt.NDArray[np.float32]


def everything(rng: np.random.Generator, batch: int | str = FREE) -> onnx.ModelProto:
    """Depthwise convolution, max pool, clip to [-1, 2], ReLU6, residual add, dense."""
    nodes = [
        make_node("Conv", ["x", "w1"], ["c1"], name="depthwise", group=3, pads=[1] * 4),
        make_node("Relu", ["c1"], ["r1"], name="relu1"),
        make_node("MaxPool", ["r1"], ["p1"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Conv", ["p1", "w2"], ["c2"], name="conv2", pads=[1] * 4),
        make_node("Clip", ["c2", "low", "high"], ["r2"], name="clip"),
        make_node("Add", ["r2", "p1"], ["s"], name="add"),
        make_node("Clip", ["s", "zero", "six"], ["r3"], name="relu6"),
        make_node("Reshape", ["r3", "flat"], ["f"], name="flatten"),
        make_node("Gemm", ["f", "w4", "b4"], ["g"], name="dense"),
        make_node("Relu", ["g"], ["r4"], name="relu4"),
        make_node("MatMul", ["r4", "w5"], ["y"], name="logits"),
    ]
    constants: dict[str, Any] = {
        "w1": float32(rng, 3, 1, 3, 3),
        "w2": float32(rng, 3, 3, 3, 3) / 3,
        "low": np.float32(-1),
        "high": np.float32(2),
        "zero": np.float32(0),
        "six": np.float32(6),
        "flat": int64(0 if batch == FREE else int(batch), 48),
        "w4": float32(rng, 48, 7) / 5,
        "b4": float32(rng, 7),
        "w5": float32(rng, 7, 4),
    }
    return make_model(nodes, {"x": [batch, 3, 8, 8]}, constants=constants)


def imported(model: onnx.ModelProto | Path) -> tuple[Graph, bytes]:
    found = import_onnx(model)
    assert found.graph is not None
    return lower(found.graph), found.model_bytes


def observed(model: onnx.ModelProto, x: Array, batch_size: int = 32) -> Observed:
    graph, content = imported(model)
    shapes = {n.name: n.shape for n in graph.inputs}
    return observe(graph, content, open_samples(x, shapes, batch_size=batch_size), threads=1)


def assert_same_bits(a: Observed, b: Observed) -> None:
    assert a.layers.keys() == b.layers.keys()
    for name, layer in a.layers.items():
        other = b.layers[name]
        np.testing.assert_array_equal(layer.histogram.counts, other.histogram.counts)
        np.testing.assert_array_equal(layer.histogram.top, other.histogram.top)
        np.testing.assert_array_equal(layer.maximum, other.maximum)
        assert layer.moments.mean.tobytes() == other.moments.mean.tobytes()
        assert layer.moments.variance.tobytes() == other.moments.variance.tobytes()
        assert layer.rows == other.rows
    assert (a.inputs, a.rows, a.data_hash) == (b.inputs, b.rows, b.data_hash)


def test_every_population_is_observed_but_the_pooling_trees(rng: np.random.Generator) -> None:
    model = everything(rng)
    graph, _ = imported(model)
    x = float32(rng, 5, 3, 8, 8)
    found = observed(model, x)
    trees = [n.name for n in graph.activations if isinstance(n.op, Relu) and n.op.follows]
    assert trees
    assert set(found.layers) == {n.name for n in graph.activations} - set(trees)
    assert len(found.layers) == 4
    assert found.rows == 5
    assert found.inputs == {"x": float(np.abs(x).max())}
    assert len(found.data_hash) == 64


def test_statistics_are_those_of_the_values(rng: np.random.Generator) -> None:
    model = everything(rng)
    graph, _ = imported(model)
    x = float32(rng, 20, 3, 8, 8)
    found = observed(model, x)
    sources = {name: graph[name].inputs[0] for name in found.layers}
    values = graph.evaluate({"x": x}, list(sources.values()), dtype=np.float64)
    for name, layer in found.layers.items():
        z = values[sources[name]]
        op = graph[name].op
        assert isinstance(op, Relu)
        spatial = tuple(range(2, z.ndim))
        activations = np.clip(z, 0, op.ceiling)
        np.testing.assert_allclose(
            layer.maximum, activations.max(axis=(0, *spatial)), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(layer.moments.mean, z.mean(axis=(0, *spatial)), atol=1e-5)
        np.testing.assert_allclose(layer.moments.variance, z.var(axis=(0, *spatial)), rtol=1e-4)
        np.testing.assert_allclose(
            layer.positive_fraction, (z > 0).mean(axis=(0, *spatial)), atol=2 / z[:, 0].size
        )
        assert layer.histogram.total == z[:, 0].size


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_neither_order_nor_batch_size_changes_a_bit(
    rng: np.random.Generator, batch_size: int
) -> None:
    model = everything(rng)
    x = float32(rng, 23, 3, 8, 8)
    assert_same_bits(observed(model, x), observed(model, rng.permutation(x), batch_size))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_changes_nothing_but_rounding(batch: int) -> None:
    x = float32(np.random.default_rng(0), 6, 3, 8, 8)
    free = observed(everything(np.random.default_rng(1)), x)
    fixed = observed(everything(np.random.default_rng(1), batch), x)
    for name, layer in free.layers.items():
        np.testing.assert_allclose(fixed.layers[name].maximum, layer.maximum, rtol=1e-5)


def test_values_that_only_the_lowered_graph_has_are_evaluated(rng: np.random.Generator) -> None:
    """Clip(-1, 2) is a ramp over x + 1, which no tensor of the model holds."""
    x = float32(rng, 50, 6)
    low, high = np.array(-1, np.float32), np.array(2, np.float32)
    found = observed(one_node("Clip", (6,), low, high), x)
    (layer,) = found.layers.values()
    np.testing.assert_array_equal(layer.maximum, np.clip(x + 1, 0, 3).max(axis=0))
    np.testing.assert_allclose(layer.moments.mean, (x + 1).mean(axis=0, dtype=np.float64))


def test_exposed_tensors_replace_the_outputs(rng: np.random.Generator) -> None:
    """The model's own output insists on two rows; what is exposed before it does not."""
    content = everything(rng, 2).SerializeToString()
    exposed = onnx.load_model_from_string(expose(content, ["c1", "r1"]))
    assert [output.name for output in exposed.graph.output] == ["c1", "r1"]
    results = AnnSession(expose(content, ["c1", "r1"])).run({"x": float32(rng, 2, 3, 8, 8)})
    np.testing.assert_array_equal(results["r1"], np.maximum(results["c1"], 0))


def test_progress_counts_rows(rng: np.random.Generator) -> None:
    graph, content = imported(one_node("Relu", (6,)))
    calls: list[tuple[int, int | None]] = []
    source = open_samples(float32(rng, 5, 6), {"x0": (6,)}, batch_size=2)
    observe(graph, content, source, progress=lambda *call: calls.append(call))
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_dead_channels_are_reported() -> None:
    model = make_model(
        [
            make_node("Relu", ["x"], ["r1"], name="first"),
            make_node("Neg", ["r1"], ["n"], name="negative"),
            make_node("Relu", ["n"], ["y"], name="second"),
        ],
        {"x": [FREE, 3]},
    )
    found = observed(model, np.array([[1, -1, 2], [3, -2, -4]], np.float32))
    assert found.warnings == (
        "population 'second' is dead: no activation is positive on 2 rows",
        "1 of 6 channels are never active on 2 rows and get the largest threshold of their "
        "layer: first (1)",
    )


def test_infinite_sums_are_refused() -> None:
    model = make_model(
        [
            make_node("MatMul", ["x", "w"], ["z"], name="dense"),
            make_node("Relu", ["z"], ["y"], name="relu"),
        ],
        {"x": [FREE, 2]},
        constants={"w": np.full((2, 2), 1e38, np.float32)},
    )
    with pytest.raises(CalibrationError) as caught:
        observed(model, np.full((1, 2), 3e38, np.float32))
    assert caught.value.message == (
        "the pre-activations of 'relu' are not finite on the calibration rows"
    )
    assert "--scale" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "data", "scale", "populations"),
    [
        ("mnist_maxpool_opset8", "mnist", None, 2),
        ("mnist_avgpool_biasfree", "mnist", 1 / 255, 4),
        ("resnet8_cifar10_mlperf_tiny", "cifar10", None, 7),
    ],
)
def test_third_party_networks(
    test_data: Path, model: str, data: str, scale: float | None, populations: int
) -> None:
    graph, content = imported(test_data / "models" / f"{model}.onnx")
    shapes = {n.name: n.shape for n in graph.inputs}
    source = open_samples(
        test_data / "data" / f"{data}_calibration.npz",
        shapes,
        preprocessing=Preprocessing(scale),
        limit=4,
    )
    found = observe(graph, content, source)
    assert len(found.layers) == populations
    (rows,) = source
    values = graph.evaluate(rows, list(found.layers))
    for name, layer in found.layers.items():
        largest = values[name].max(axis=(0, *range(2, values[name].ndim)))
        np.testing.assert_allclose(layer.maximum, largest, rtol=1e-4, atol=1e-4 * largest.max())
