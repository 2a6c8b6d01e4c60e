"""The quantised network against the quantised graph that it was built from."""

import numpy as np
import pytest
from graphs import Sketch

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.quantised import count_ties, quantised_forward
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import (
    Add,
    Affine,
    Clip,
    Concat,
    Graph,
    GraphInput,
    MaxPool,
    Node,
    Relu,
)
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    FloatArray,
    Reshape,
    Scale,
    SumPool,
    Window,
)
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

T = 8  # a power of two: rates, too, are exact


def dyadic(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.integers(-4, 5, shape) / 8.0


def convolution(rng: np.random.Generator, shape: tuple[int, ...], channels: int) -> Convolution:
    weight = dyadic(rng, channels, shape[0], 3, 3)
    return Convolution(shape, weight, (1, 1), ((1, 1), (1, 1)), (1, 1))


def everything(rng: np.random.Generator) -> Graph:
    """A graph of all that is lowered: residual add, max pool, clip, concat, average pool, dense."""
    x, wide = (2, 6, 6), (4, 6, 6)
    pool = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    small = (4, 3, 3)
    average = (
        SumPool((8, 3, 3), Window((3, 3), (3, 3), ((0, 0), (0, 0)), (1, 1))),
        Scale((8, 1, 1), np.full((1, 1, 1), 0.125)),
        Reshape((8, 1, 1), (8,)),
        Dense((8,), dyadic(rng, 3, 8)),
    )
    nodes = [
        Node("x", GraphInput(), (), x),
        Node("conv1", Affine((convolution(rng, x, 4),), dyadic(rng, 4, 1, 1)), ("x",), wide),
        Node("relu1", Relu(), ("conv1",), wide),
        Node("conv2", Affine((convolution(rng, wide, 4),), dyadic(rng, 4, 1, 1)), ("relu1",), wide),
        Node("relu2", Relu(), ("conv2",), wide),
        Node("conv3", Affine((convolution(rng, wide, 4),)), ("relu2",), wide),
        Node("sum", Add(dyadic(rng, 4, 1, 1)), ("conv3", "relu1"), wide),
        Node("relu3", Relu(), ("sum",), wide),
        Node("pool", MaxPool(pool), ("relu3",), small),
        Node(
            "conv4", Affine((convolution(rng, small, 4),), dyadic(rng, 4, 1, 1)), ("pool",), small
        ),
        Node("relu6", Clip(0.0, 6.0), ("conv4",), small),
        Node("concat", Concat(0), ("relu6", "pool"), (8, 3, 3)),
        Node("logits", Affine(average, dyadic(rng, 3)), ("concat",), (3,)),
    ]
    return Graph("everything", tuple(nodes), ("logits",), ("logits",), ((),))


def thresholds(graph: Graph, rng: np.random.Generator) -> dict[str, FloatArray]:
    return {
        node.name: 2.0 ** rng.integers(-1, 2, (node.shape[0], *[1] * (len(node.shape) - 1)))
        for node in graph.activations
        if isinstance(node.op, Relu) and node.op.follows is None
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_fully_staged_network_is_the_quantised_lowered_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = lower(everything(rng))
    network = build_network(graph, thresholds(graph, rng))
    neurons = {p.name: p for p in network.populations}
    x = rng.integers(-8, 9, (3, 2, 6, 6)) / 8.0

    def quantise(node: Node, z: FloatArray) -> FloatArray:
        p = neurons[node.name]
        counts = np.clip(np.floor((T * z + p.v_init) / p.threshold), 0, T)
        return np.asarray(counts * p.threshold / T)

    names = [*neurons, *graph.outputs]
    expected = graph.evaluate({"x": x}, names, activation=quantise, dtype=np.float64)
    quantised = quantised_forward(network, x, T)
    staged, _ = apply_schedule(network, "full", T)
    result = ReferenceSimulation(staged).run(x, T)
    assert sum(counts.sum() for counts in result.spike_counts.values()) > 100
    for name, p in neurons.items():
        np.testing.assert_array_equal(result.spike_counts[name], quantised[name], err_msg=name)
        rates = quantised[name] * p.threshold / T
        np.testing.assert_array_equal(rates, expected[name], err_msg=name)
    np.testing.assert_array_equal(result.logits[-1], expected["logits"])
    np.testing.assert_array_equal(quantised["logits"], expected["logits"])


def test_single_precision_moves_a_charge_at_most_over_one_edge() -> None:
    rng = np.random.default_rng(5)
    graph = lower(everything(rng))
    network = build_network(graph, thresholds(graph, rng))
    x = rng.normal(0, 1, (20, 2, 6, 6))
    double = quantised_forward(network, x, T)
    single = quantised_forward(network, x, T, dtype=np.float32)
    assert single["logits"].dtype == np.float32
    np.testing.assert_allclose(single["logits"], double["logits"], rtol=1e-3, atol=1e-3)
    for p in network.populations:
        moved = np.abs(single[p.name] - double[p.name])
        assert moved.max() <= 1 and (moved > 0).mean() < 1e-3


def test_the_pooling_tree_is_the_maximum_of_the_quantised_values() -> None:
    rng = np.random.default_rng(3)
    graph = lower(everything(rng))
    network = build_network(graph, thresholds(graph, rng))
    x = rng.integers(-8, 9, (3, 2, 6, 6)) / 8.0
    quantised = quantised_forward(network, x, T)
    pooled = quantised["relu3"].reshape(3, 4, 3, 2, 3, 2).max(axis=(3, 5))
    neurons = {p.name: p for p in network.populations}
    values = pooled * neurons["relu3"].threshold / T

    def quantise(node: Node, z: FloatArray) -> FloatArray:
        return np.asarray(quantised[node.name] * neurons[node.name].threshold / T)

    got = graph.evaluate({"x": x}, ["pool"], activation=quantise, dtype=np.float64)["pool"]
    np.testing.assert_array_equal(got, values)


def test_counts_saturate_at_t_and_never_fall_below_zero() -> None:
    one = np.array(1.0)
    network = Network(
        "one",
        (
            Input("x", (4,)),
            Population("p", (4,), one, one, one, np.array(0.0), np.array(0.5)),
            Readout("out", (4,), np.array(0.25), np.array(2.0)),
        ),
        (Connection("x", "p"), Connection("p", "out")),
    )
    result = quantised_forward(network, {"x": np.array([[-3.0, 0.0, 0.5, 7.0]])}, 4)
    assert result["p"].tolist() == [[0, 0, 2, 4]]
    assert result["p"].dtype == np.int64
    assert result["out"].tolist() == [[0.5, 0.5, 1.5, 2.5]]


def test_events_are_summed_over_the_window() -> None:
    one = np.array(1.0)
    network = Network(
        "events",
        (
            Input("x", (1,), encoding="events"),
            Population("p", (1,), one, one, one, np.array(0.0), np.array(0.5)),
        ),
        (Connection("x", "p"),),
    )
    frames = np.array([[[1.0], [0.0], [1.0], [1.0]]])
    assert quantised_forward(network, frames, 3)["p"].item() == 2


class TestTies:
    """Halves above an even level, which neurons round up and QuantizeLinear rounds down."""

    @staticmethod
    def identity(threshold: float = 4.0) -> Network:
        sketch = Sketch()
        y = sketch.relu(sketch.input((1,)), name="relu")
        scales = {"relu": np.full((1,), threshold)}
        return build_network(sketch.graph(y), scales, input_bounds={"x": 8.0})

    @pytest.mark.parametrize(
        ("x", "tie"),
        [(0.5, 1), (1.5, 0), (2.5, 1), (3.5, 0), (4.5, 0), (-0.5, 0), (2.0, 0), (2.49, 0), (9, 0)],
    )
    def test_a_level_is_a_unit(self, x: float, tie: int) -> None:
        assert count_ties(self.identity(), np.array([[x]]), 4) == {"relu": tie}

    def test_pairs_of_neurons_and_rows_are_counted(self) -> None:
        rows = np.array([[0.5], [2.5], [3.0], [0.5]])
        assert count_ties(self.identity(), rows, 4) == {"relu": 3}

    def test_the_integers_of_the_two_roundings_differ_there(self) -> None:
        network = self.identity()
        rows = np.arange(-2, 6, 0.25)[:, None]
        counts = quantised_forward(network, rows, 4)["relu"]
        even = np.clip(np.rint(rows), 0, 4)
        assert int((counts != even).sum()) == count_ties(network, rows, 4)["relu"] == 2
