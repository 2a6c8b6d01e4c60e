"""Lowering keeps the function and leaves affine maps, sums, concatenations and Relu only."""

import numpy as np
import pytest
from graphs import (
    Sketch,
    assert_same_function,
    assert_sound,
    graphs,
    samples_for,
)
from hypothesis import given, settings
from onnx_models import graph_of, make_model, make_node

from snnconvert.convert.errors import UnsupportedModelError
from snnconvert.convert.graph import Affine, Clip, Graph, MaxPool, OutputFunction, Relu
from snnconvert.convert.lower import LOWERED, lower, lowering_problems


def assert_tensors_keep_their_values(before: Graph, after: Graph) -> None:
    """Check that whatever is still said to be a tensor of the file has that tensor's values."""
    samples = samples_for(before)
    names = {node.tensor: node.name for node in before.nodes}
    kept = {node.name: names[node.tensor] for node in after.nodes if node.tensor is not None}
    expected = before.evaluate(samples, kept.values(), dtype=np.float64)
    values = after.evaluate(samples, kept, dtype=np.float64)
    for name, original in kept.items():
        np.testing.assert_allclose(values[name], expected[original], rtol=1e-11, atol=1e-11)


@settings(max_examples=100)
@given(graphs())
def test_any_graph_keeps_its_function(graph: Graph) -> None:
    assert_sound(graph)
    after = lower(graph)
    assert all(isinstance(node.op, LOWERED) for node in after.nodes)
    assert_sound(after)
    assert_same_function(graph, after)
    assert_tensors_keep_their_values(graph, after)
    assert not lowering_problems(graph)


@settings(max_examples=25)
@given(graphs())
def test_a_lowered_graph_stays_as_it_is(graph: Graph) -> None:
    once = lower(graph)
    twice = lower(once)
    assert [n.name for n in twice.nodes] == [n.name for n in once.nodes]
    assert_same_function(graph, twice)


def test_every_kind_of_node_at_once() -> None:
    sketch = Sketch()
    x = sketch.input((2, 8, 8))
    stem = sketch.relu(sketch.batch_norm(sketch.conv(x, 4, pad=1)), name="stem")
    pooled = sketch.pool(stem)
    branch = sketch.clip(sketch.conv(sketch.batch_norm(pooled), 4, pad=1), -1, 1)
    joined = sketch.concat(sketch.sum(branch, pooled), pooled)
    value = sketch.pool(sketch.relu(sketch.pool(sketch.conv(joined, 3)), 6.0), 1)
    graph = sketch.graph(sketch.function(sketch.dense(value), "Softmax"))
    after = lower(graph)
    assert not any(isinstance(n.op, Clip | MaxPool | OutputFunction) for n in after.nodes)
    assert [len(taken) for taken in after.output_functions] == [1]
    assert_same_function(graph, after)


def test_dead_branches_are_not_lowered() -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    sketch.dense(sketch.function(sketch.dense(x), name="dead softmax"))
    graph = sketch.graph(sketch.dense(x, name="live"))
    assert [n.name for n in lower(graph).nodes] == ["x", "live"]
    assert lowering_problems(graph) == []


def test_relu6_is_one_population_with_a_ceiling() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.clip(sketch.dense(sketch.input((3,))), 0, 6))
    (node,) = lower(graph).activations
    assert isinstance(node.op, Relu)
    assert node.op.ceiling == 6


def test_affine_maps_around_a_clip_are_folded() -> None:
    sketch = Sketch()
    clip = sketch.clip(sketch.conv(sketch.input((2, 5, 5)), name="conv"), -1, 1, name="clip")
    after = lower(sketch.graph(sketch.conv(clip, name="last")))
    assert [n.name for n in after.nodes] == ["x", "clip/shifted", "clip/ramp", "last"]
    assert isinstance(after["last"].op, Affine)


def inner(kind: str, name: str) -> tuple[Sketch, str]:
    sketch = Sketch()
    return sketch, sketch.function(sketch.dense(sketch.input((4,)), name="fc"), kind, name=name)


def test_softmax_in_the_middle_is_refused() -> None:
    sketch, softmax = inner("Softmax", "attention")
    with pytest.raises(UnsupportedModelError) as caught:
        lower(sketch.graph(sketch.dense(softmax)))
    assert caught.value.render() == "\n".join(
        [
            "error: Softmax inside the network cannot be rate-coded  [unsupported-operator]",
            "  where: node 'attention', operator Softmax",
            "  why:   it is converted only at the end of the network, where it belongs to the "
            "readout",
            "  hint:  let the network end with it or before it",
            "sketch cannot be converted: 1 problem",
        ]
    )


def test_a_softmax_that_is_an_output_too_is_refused() -> None:
    sketch, softmax = inner("Softmax", "softmax")
    problems = lowering_problems(sketch.graph(softmax, sketch.dense(softmax)))
    assert [p.node for p in problems] == ["softmax"]


def test_all_inner_functions_are_listed() -> None:
    sketch, first = inner("Sigmoid", "gate")
    second = sketch.function(sketch.dense(first), "LogSoftmax", name="scores")
    third = sketch.function(sketch.dense(second), "ArgMax", name="choice")
    graph = sketch.graph(sketch.dense(third))
    problems = lowering_problems(graph)
    assert [p.node for p in problems] == ["gate", "scores", "choice"]
    assert [p.message.split()[0] for p in problems] == ["Sigmoid", "LogSoftmax", "ArgMax"]
    with pytest.raises(UnsupportedModelError, match="3 problems"):
        lower(graph)


def test_a_curve_that_is_a_number_nowhere_is_refused() -> None:
    """Of its own accord, or only behind another."""
    node = make_node("Elu", ["x"], ["y"], name="node", alpha=float("nan"))
    problems = lowering_problems(graph_of(make_model([node], {"x": ["N", 3]})))
    assert [problem.code for problem in problems] == ["non-finite-weights"]
    assert "nan" in problems[0].message and "is finite nowhere" in problems[0].message
    nodes = [
        make_node("Exp", ["x"], ["e"]),
        make_node("Neg", ["e"], ["n"]),
        make_node("Log", ["n"], ["y"], name="log"),
    ]
    graph = graph_of(make_model(nodes, {"x": ["N", 3]}))
    assert [problem.node for problem in lowering_problems(graph)] == ["log"]
    with pytest.raises(UnsupportedModelError, match="is finite nowhere"):
        lower(graph)
