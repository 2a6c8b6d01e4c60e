"""Folding of affine maps: fewer nodes, the same function, exact at zero-padded borders."""

import numpy as np
import pytest
from graphs import Sketch, assert_same_function, assert_sound

from snnconvert.convert.graph import Affine, Graph
from snnconvert.convert.linear import Convolution, Reshape, Select
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes
from snnconvert.convert.passes.fold_affine import fold_affine


def folded(graph: Graph) -> Graph:
    after = drop_dead_nodes(fold_affine(graph))
    assert_sound(after)
    assert_same_function(graph, after)
    return after


def affine(graph: Graph, name: str) -> Affine:
    op = graph[name].op
    assert isinstance(op, Affine)
    return op


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def test_batch_norm_behind_a_convolution_enters_its_weights() -> None:
    sketch = Sketch()
    y = sketch.batch_norm(sketch.conv(sketch.input((3, 6, 6)), 4, pad=1), name="norm")
    after = folded(sketch.graph(y))
    assert names(after) == ["x", "norm"]
    (operator,) = affine(after, "norm").operators
    assert isinstance(operator, Convolution)
    bias = affine(after, "norm").bias
    assert bias is not None
    assert bias.shape == (4, 1, 1)


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 7)])
def test_batch_norm_before_a_zero_padded_convolution_is_exact_at_borders(
    shape: tuple[int, ...],
) -> None:
    sketch = Sketch()
    y = sketch.conv(sketch.batch_norm(sketch.input(shape)), 3, pad=1, name="conv")
    after = folded(sketch.graph(y))
    assert names(after) == ["x", "conv"]
    bias = affine(after, "conv").bias
    assert bias is not None
    assert bias.shape == (3, *shape[1:])
    inner = bias[(slice(None), *[slice(1, -1)] * len(shape[1:]))]
    flat = inner.reshape(3, -1)
    np.testing.assert_allclose(flat, flat[:, :1].repeat(flat.shape[1], axis=1))
    assert not np.allclose(bias.reshape(3, -1)[:, 0], flat[:, 0])


def test_batch_norm_before_an_unpadded_convolution_stays_one_bias_a_channel() -> None:
    sketch = Sketch()
    y = sketch.conv(sketch.batch_norm(sketch.input((2, 5, 5))), 3, name="conv")
    bias = affine(folded(sketch.graph(y)), "conv").bias
    assert bias is not None
    assert bias.shape == (3, 1, 1)


def test_batch_norm_before_a_grouped_convolution() -> None:
    sketch = Sketch()
    y = sketch.conv(sketch.batch_norm(sketch.input((4, 5, 5))), 4, pad=1, groups=2, stride=2)
    assert len(folded(sketch.graph(y)).nodes) == 2


def test_a_chain_becomes_one_node() -> None:
    sketch = Sketch()
    value = sketch.batch_norm(sketch.input((2, 6, 6)))
    for _ in range(3):
        value = sketch.batch_norm(sketch.conv(value, 2, pad=1))
    value = sketch.dense(value, name="last")
    after = folded(sketch.graph(value))
    assert names(after) == ["x", "last"]


def test_a_shared_map_is_not_computed_twice() -> None:
    sketch = Sketch()
    shared = sketch.conv(sketch.input((2, 5, 5)), 2, pad=1, name="shared")
    one, two = sketch.conv(shared, name="one"), sketch.conv(shared, name="two")
    after = folded(sketch.graph(one, two))
    assert names(after) == ["x", "shared", "one", "two"]
    assert after["one"].inputs == after["two"].inputs == ("shared",)


def test_shared_wiring_is_copied_to_its_readers() -> None:
    sketch = Sketch()
    x = sketch.relu(sketch.input((2, 2, 3)), name="relu")
    flat = sketch.affine(x, Reshape((2, 2, 3), (12,)))
    after = folded(sketch.graph(sketch.dense(flat, name="one"), sketch.dense(flat, name="two")))
    assert names(after) == ["x", "relu", "one", "two"]
    assert after["one"].inputs == ("relu",)


def test_wiring_behind_a_map_makes_one_shared_map() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 4, 4)), 2)
    flat = sketch.affine(conv, Reshape((2, 2, 2), (8,)), name="flat")
    after = folded(sketch.graph(sketch.dense(flat, name="one"), sketch.dense(flat, name="two")))
    assert names(after) == ["x", "flat", "one", "two"]


def test_wiring_behind_a_shared_map_is_copied_but_the_map_is_not() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 4, 4)), 2, name="conv")
    flat = sketch.affine(conv, Reshape((2, 2, 2), (8,)))
    one, two = sketch.dense(flat, name="one"), sketch.dense(flat, name="two")
    after = folded(sketch.graph(one, two, sketch.relu(conv, name="relu")))
    assert names(after) == ["x", "conv", "one", "two", "relu"]
    assert after["one"].inputs == ("conv",)


def test_a_shifted_copy_is_no_wiring() -> None:
    sketch = Sketch()
    shifted = sketch.affine(sketch.input((4,)), bias=np.ones(4), name="shifted")
    one, two = sketch.dense(shifted, name="one"), sketch.dense(shifted, name="two")
    assert "shifted" in names(folded(sketch.graph(one, two)))


def test_an_output_inside_a_chain_stays() -> None:
    sketch = Sketch()
    middle = sketch.conv(sketch.input((2, 5, 5)), 2, name="middle")
    last = sketch.conv(middle, 2, name="last")
    after = folded(sketch.graph(last, middle))
    assert after.outputs == ("last", "middle")
    assert after["last"].inputs == ("middle",)


def test_an_output_that_is_wiring_stays() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((2, 3)), name="relu")
    flat = sketch.affine(relu, Reshape((2, 3), (6,)), name="flat")
    after = folded(sketch.graph(flat, sketch.dense(flat, name="dense")))
    assert names(after) == ["x", "relu", "flat", "dense"]
    assert after["dense"].inputs == ("relu",)


def test_a_sum_of_twice_the_same_map() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.batch_norm(sketch.input((2, 4, 4))), 2, pad=1, name="conv")
    after = folded(sketch.graph(sketch.sum(conv, conv, name="sum")))
    assert names(after) == ["x", "conv", "sum"]


def test_explicit_padding_enters_the_convolution() -> None:
    sketch = Sketch()
    x = sketch.input((1, 3, 3))
    index = np.array([-1, 0, 1, 2, -1, -1])
    padded = sketch.affine(x, Select((1, 3, 3), (None, index, index)))
    after = folded(sketch.graph(sketch.conv(padded, 2, name="conv")))
    (operator,) = affine(after, "conv").operators
    assert isinstance(operator, Convolution)
    assert operator.pads == ((1, 2), (1, 2))


def test_nothing_to_fold_stays_as_it_is() -> None:
    sketch = Sketch()
    y = sketch.conv(sketch.relu(sketch.conv(sketch.input((2, 6, 6)))))
    graph = sketch.graph(y)
    after = folded(graph)
    assert names(after) == names(graph)
    assert_same_function(graph, after, exact=True)
