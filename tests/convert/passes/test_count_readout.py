"""Counting neurons on the outputs."""

import numpy as np
from graphs import Sketch, assert_sound, results, samples_for

from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.passes.count_readout import count_readout
from snnconvert.convert.passes.split_output_functions import split_output_functions


def assert_rectified(graph: Graph, after: Graph) -> None:
    assert_sound(after)
    assert after.output_names == graph.output_names
    assert all(isinstance(after[name].op, Relu) for name in after.outputs)
    samples = samples_for(graph)
    expected, got = results(graph, samples), results(after, samples)
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(other, np.maximum(one, 0))


def test_logits_get_a_population() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.dense(sketch.input((4,)), 3, name="logits"))
    after = count_readout(graph)
    assert after.outputs == ("logits/count",)
    assert after["logits/count"].tensor is None
    assert_rectified(graph, after)


def test_a_population_is_its_own_count() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.relu(sketch.dense(sketch.input((4,)), 3)))
    after = count_readout(graph)
    assert after.nodes == graph.nodes
    assert after.outputs == graph.outputs


def test_a_value_that_is_two_outputs_is_counted_once() -> None:
    sketch = Sketch()
    logits = sketch.dense(sketch.input((4,)), 3, name="logits")
    graph = split_output_functions(sketch.graph(logits, sketch.function(logits)))
    after = count_readout(graph)
    assert after.outputs == ("logits/count", "logits/count")
    assert [len(functions) for functions in after.output_functions] == [0, 1]
    assert_sound(after)


def test_several_outputs_keep_their_order() -> None:
    sketch = Sketch()
    x = sketch.input((4,))
    one, two = sketch.dense(x, 3, name="one"), sketch.dense(x, 2, name="two")
    graph = sketch.graph(two, sketch.relu(one, name="relu"), one)
    after = count_readout(graph)
    assert after.outputs == ("two/count", "relu", "one/count")
    assert_rectified(graph, after)


def test_an_input_that_is_an_output() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.input((4,)))
    assert_rectified(graph, count_readout(graph))


def test_a_name_in_use_is_left_alone() -> None:
    sketch = Sketch()
    x = sketch.dense(sketch.input((4,)), name="logits/count")
    graph = sketch.graph(sketch.dense(x, name="logits"))
    after = count_readout(graph)
    assert after.outputs == ("logits/count_2",)
    assert_rectified(graph, after)
