"""The Graph's evaluator: what is asked for, what is known, what replaces the rectifiers.

Its values are compared with onnxruntime's operator by operator in ops/ and on whole models in
test_onnx_import.py.
"""

import numpy as np
import pytest
from graphs import Sketch

from snnconvert.convert.graph import (
    Affine,
    Clip,
    Graph,
    GraphInput,
    MaxPool,
    Node,
    Op,
    OutputFunction,
    Relu,
    apply_output_function,
    evaluate_node,
)
from snnconvert.convert.linear import FloatArray, Window


def residual() -> Graph:
    """Return x -> conv -> relu -> conv2 + relu -> last."""
    sketch = Sketch()
    x = sketch.input((2, 6, 6))
    rectified = sketch.relu(sketch.conv(x, name="conv"), name="relu")
    branch = sketch.conv(rectified, size=1, name="conv2")
    graph: Graph = sketch.graph(sketch.relu(sketch.sum(branch, rectified, name="sum"), name="last"))
    return graph


@pytest.fixture
def samples(rng: np.random.Generator) -> dict[str, FloatArray]:
    return {"x": rng.standard_normal((3, 2, 6, 6)).astype(np.float32)}


def test_the_outputs_are_the_default(samples: dict[str, FloatArray]) -> None:
    values = residual().evaluate(samples)
    assert list(values) == ["last"]
    assert values["last"].shape == (3, 2, 4, 4) and values["last"].dtype == np.float32


def test_any_node_can_be_asked_for(samples: dict[str, FloatArray]) -> None:
    values = residual().evaluate(samples, ["last", "conv", "x", "sum"])
    assert list(values) == ["last", "conv", "x", "sum"]
    np.testing.assert_array_equal(values["last"], np.maximum(values["sum"], 0))


def test_double_precision(samples: dict[str, FloatArray]) -> None:
    single = residual().evaluate(samples)["last"]
    double = residual().evaluate(samples, dtype=np.float64)["last"]
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)


def test_known_values_are_not_computed(samples: dict[str, FloatArray]) -> None:
    graph = residual()
    relu = np.full((3, 2, 4, 4), 0.5)
    values = graph.evaluate({}, ["sum", "relu"], known={"relu": relu})
    np.testing.assert_array_equal(values["relu"], relu)
    expected = evaluate_node(graph["conv2"], [relu.astype(np.float32)]) + relu
    np.testing.assert_array_equal(values["sum"], expected.astype(np.float32))


def test_an_activation_of_ones_own(samples: dict[str, FloatArray]) -> None:
    seen = []

    def halved(node: Node, x: FloatArray) -> FloatArray:
        seen.append(node.name)
        return np.maximum(x, 0) / 2

    values = residual().evaluate(samples, ["conv", "relu"], activation=halved)
    assert seen == ["relu"]
    np.testing.assert_array_equal(values["relu"], np.maximum(values["conv"], 0) / 2)


def test_consumers_inputs_and_activations() -> None:
    graph = residual()
    assert [n.name for n in graph.inputs] == ["x"]
    assert [n.name for n in graph.activations] == ["relu", "last"]
    assert {k: [n.name for n in v] for k, v in graph.consumers.items()} == {
        "x": ["conv"],
        "conv": ["relu"],
        "relu": ["conv2", "sum"],
        "conv2": ["sum"],
        "sum": ["last"],
        "last": [],
    }


def test_a_long_chain() -> None:
    nodes = [Node("n0", GraphInput(), (), (2,))]
    nodes += [Node(f"n{i}", Affine((), np.ones(2)), (f"n{i - 1}",), (2,)) for i in range(1, 10_001)]
    graph = Graph("chain", tuple(nodes), ("n10000",), ("y",))
    np.testing.assert_array_equal(graph.evaluate({"n0": np.zeros((1, 2))})["n10000"], 10_000)


def test_with_other_nodes() -> None:
    graph = residual()
    renamed = graph.with_nodes(graph.nodes, name="other", notes=("said",))
    assert (renamed.name, renamed.notes, renamed.nodes) == ("other", ("said",), graph.nodes)


def test_ceilings_and_clips() -> None:
    x = np.array([[-1.0, 0.5, 3.0]])
    cases: list[tuple[Op, list[float]]] = [
        (Relu(), [0, 0.5, 3]),
        (Relu(ceiling=2.0), [0, 0.5, 2]),
        (Clip(-0.5, 1.0), [-0.5, 0.5, 1]),
        (Clip(high=0.0), [-1, 0, 0]),
    ]
    for op, expected in cases:
        value = evaluate_node(Node("n", op, ("x",), (3,)), [x])
        np.testing.assert_array_equal(value, [expected])


def test_padding_of_a_maximum_never_wins() -> None:
    window = Window((2,), (1,), ((1, 1),), (1,))
    pooled = evaluate_node(Node("n", MaxPool(window), ("x",), (1, 3)), [np.array([[[-3.0, -1.0]]])])
    np.testing.assert_array_equal(pooled, [[[-3, -1, -1]]])


def test_output_functions() -> None:
    logits = np.array([[[1.0, 2.0], [800.0, -800.0]]])
    softmax = apply_output_function(OutputFunction("Softmax", axis=1), logits)
    np.testing.assert_allclose(softmax.sum(axis=2), 1)
    np.testing.assert_array_equal(softmax[0, 1], [1, 0])
    log_softmax = apply_output_function(OutputFunction("LogSoftmax", axis=1), logits)
    np.testing.assert_allclose(np.exp(log_softmax), softmax)
    sigmoid = apply_output_function(OutputFunction("Sigmoid"), logits)
    np.testing.assert_allclose(sigmoid[0, 0], 1 / (1 + np.exp(-logits[0, 0])))
    np.testing.assert_array_equal(sigmoid[0, 1], [1, 0])
    index = apply_output_function(OutputFunction("ArgMax", axis=0), logits)
    np.testing.assert_array_equal(index, [[[1, 0]]])
    index = apply_output_function(OutputFunction("ArgMax", axis=-1, keepdims=False), logits)
    np.testing.assert_array_equal(index, [[1, 0]])


def test_an_input_has_no_value_of_its_own() -> None:
    with pytest.raises(TypeError, match="node 'x': GraphInput has no value to compute"):
        evaluate_node(Node("x", GraphInput(), (), (2,)), [])


def test_two_nodes_of_one_name() -> None:
    nodes = (Node("x", GraphInput(), (), (2,)), Node("x", Relu(), ("x",), (2,)))
    with pytest.raises(ValueError, match="graph 'g': node names are not unique"):
        Graph("g", nodes, ("x",), ("y",))
