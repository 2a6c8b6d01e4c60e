"""Softmax and its like leave the end of the graph, and only its end."""

import numpy as np
import pytest
from graphs import Sketch, assert_same_function, assert_sound, results, samples_for

from snnconvert.convert.graph import Graph, OutputFunction
from snnconvert.convert.linear import Reshape, Scale
from snnconvert.convert.passes.split_output_functions import split_output_functions


def split(graph: Graph) -> Graph:
    after = split_output_functions(graph)
    assert_sound(after)
    assert_same_function(graph, after, exact=True)
    return after


def kinds(graph: Graph) -> list[tuple[str, ...]]:
    return [tuple(f.kind for f in functions) for functions in graph.output_functions]


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Sigmoid", "ArgMax"])
def test_one_function_moves_to_the_readout(kind: str) -> None:
    sketch = Sketch()
    logits = sketch.dense(sketch.input((4,)), name="logits")
    after = split(sketch.graph(sketch.function(logits, kind)))
    assert after.outputs == ("logits",)
    assert kinds(after) == [(kind,)]
    assert [n.name for n in after.nodes] == ["x", "logits"]


def test_several_in_a_row_keep_their_order() -> None:
    sketch = Sketch()
    value = sketch.dense(sketch.input((4,)), name="logits")
    for kind in ("Sigmoid", "LogSoftmax", "ArgMax"):
        value = sketch.function(value, kind)
    assert kinds(split(sketch.graph(value))) == [("Sigmoid", "LogSoftmax", "ArgMax")]


def test_identities_around_them_are_no_hindrance() -> None:
    sketch = Sketch()
    value = sketch.affine(sketch.dense(sketch.input((4,)), name="logits"), name="before")
    value = sketch.affine(sketch.function(value, "Softmax"), name="between")
    value = sketch.affine(sketch.function(value, "ArgMax"), name="behind")
    after = split(sketch.graph(value))
    assert kinds(after) == [("Softmax", "ArgMax")]
    assert after.outputs == ("before",)


def test_a_reshape_behind_the_last_one_goes_too() -> None:
    sketch = Sketch()
    logits = sketch.affine(sketch.dense(sketch.input((4,))), Reshape((3,), (3, 1)), name="logits")
    squeezed = sketch.affine(sketch.function(logits), Reshape((3, 1), (3,)))
    graph = sketch.graph(squeezed)
    after = split_output_functions(graph)
    assert (after.outputs, kinds(after)) == (("logits",), [("Softmax",)])
    samples = samples_for(graph)
    np.testing.assert_array_equal(results(after, samples)[0][..., 0], results(graph, samples)[0])


def test_a_reshape_between_two_stays_in_the_way() -> None:
    sketch = Sketch()
    softmax = sketch.function(sketch.dense(sketch.input((4,)), 6), name="softmax")
    pairs = sketch.affine(softmax, Reshape((6,), (2, 3)), name="pairs")
    after = split(sketch.graph(sketch.function(pairs, "ArgMax")))
    assert (after.outputs, kinds(after)) == (("pairs",), [("ArgMax",)])
    assert isinstance(after["softmax"].op, OutputFunction)


def test_a_reshaped_output_without_functions_stays() -> None:
    sketch = Sketch()
    flat = sketch.affine(sketch.relu(sketch.input((2, 3))), Reshape((2, 3), (6,)), name="flat")
    assert split(sketch.graph(flat)).outputs == ("flat",)


def test_without_a_function_the_output_stays() -> None:
    sketch = Sketch()
    value = sketch.affine(sketch.dense(sketch.input((4,))), name="behind")
    after = split(sketch.graph(value))
    assert after.outputs == ("behind",)
    assert kinds(after) == [()]


def test_a_scaled_softmax_is_no_end() -> None:
    sketch = Sketch()
    softmax = sketch.function(sketch.dense(sketch.input((4,))), name="softmax")
    half = Scale((3,), sketch.rng.uniform(1, 2, 3))
    graph = sketch.graph(sketch.affine(softmax, half, name="scaled"))
    after = split(graph)
    assert after.outputs == ("scaled",)
    assert isinstance(after["softmax"].op, OutputFunction)


def test_outputs_are_treated_one_by_one() -> None:
    sketch = Sketch()
    logits = sketch.dense(sketch.input((4,)), name="logits")
    graph = sketch.graph(
        sketch.function(logits, "ArgMax"), logits, sketch.function(logits, "Softmax")
    )
    after = split(graph)
    assert after.outputs == ("logits",) * 3
    assert kinds(after) == [("ArgMax",), (), ("Softmax",)]


def test_a_second_time_nothing_is_lost() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.function(sketch.dense(sketch.input((4,)))))
    once = split(graph)
    twice = split(once)
    assert kinds(twice) == [("Softmax",)]
    assert_same_function(graph, twice, exact=True)
