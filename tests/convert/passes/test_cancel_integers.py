import numpy as np
from graphs import Sketch, assert_same_function

from snnconvert.convert.graph import Affine, Graph, MaxPool
from snnconvert.convert.linear import FloatArray, Scale, Select
from snnconvert.convert.passes.cancel_integers import cancel_integers
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes
from snnconvert.convert.quantiser import Quantise

ONES = (1, 1, 1)


class Integers(Sketch):  # type: ignore[misc]
    """A sketch that can go through integers: real values to `q`, and back."""

    def quantise(self, source: str, scale: float = 0.1, zero: float = 100.0) -> str:
        steps, offset = np.full(ONES, scale), np.full(ONES, zero)
        op = Quantise(steps, 0 - offset, 255 - offset, offset)
        real = self.add(op, (source,), self.shapes[source])
        return str(self.affine(real, Scale(self.shapes[real], 1 / steps), bias=offset))

    def dequantise(self, source: str, scale: float = 0.1, zero: float = 100.0) -> str:
        steps = np.full(ONES, scale)
        bias = np.full(ONES, -zero * scale)
        return str(self.affine(source, Scale(self.shapes[source], steps), bias=bias))


def cancelled(graph: Graph) -> Graph:
    result = drop_dead_nodes(cancel_integers(graph))
    assert_same_function(graph, result)
    return result


def scales(graph: Graph) -> list[FloatArray]:
    ops = [node.op for node in graph.nodes if isinstance(node.op, Affine)]
    return [o.factor for op in ops for o in op.operators if isinstance(o, Scale)]


def test_a_pair_leaves_the_quantiser_alone() -> None:
    sketch = Integers()
    y = sketch.dequantise(sketch.quantise(sketch.input((2, 4, 4))))
    graph = cancelled(sketch.graph(y))
    assert scales(graph) == []
    assert graph[y].inputs == ("quantise",)


def test_a_pair_with_one_scale_a_channel() -> None:
    sketch = Integers()
    x = sketch.input((2, 4, 4))
    steps = np.array([0.1, 0.25]).reshape(2, 1, 1)
    offset = np.array([3.0, 7.0]).reshape(2, 1, 1)
    real = sketch.add(Quantise(steps, 0 - offset, 255 - offset, offset), (x,), (2, 4, 4))
    integers = sketch.affine(real, Scale((2, 4, 4), 1 / steps), bias=offset)
    y = sketch.affine(integers, Scale((2, 4, 4), steps), bias=-offset * steps)
    assert scales(cancelled(sketch.graph(y))) == []


def test_pooling_and_joining_happen_on_real_values() -> None:
    sketch = Integers()
    first = sketch.quantise(sketch.input((2, 4, 4), "a"))
    second = sketch.quantise(sketch.input((2, 4, 4), "b"))
    y = sketch.dequantise(sketch.pool(sketch.concat(first, second)))
    graph = cancelled(sketch.graph(y))
    assert scales(graph) == []
    assert any(isinstance(node.op, MaxPool) for node in graph.nodes)


def test_padding_with_the_zero_point_becomes_padding_with_zero() -> None:
    sketch = Integers()
    q = sketch.quantise(sketch.input((1, 2, 2)))
    select = Select((1, 2, 2), (None, np.array([-1, 0, 1]), None))
    filling = np.zeros((1, 3, 2))
    filling[0, 0] = 100
    y = sketch.dequantise(sketch.affine(q, select, bias=filling))
    graph = cancelled(sketch.graph(y))
    assert scales(graph) == []
    assert all(node.op.bias is None for node in graph.nodes if isinstance(node.op, Affine))


def test_padding_with_another_integer_keeps_its_real_value() -> None:
    sketch = Integers()
    q = sketch.quantise(sketch.input((1, 2, 2)))
    select = Select((1, 2, 2), (None, np.array([-1, 0, 1]), None))
    y = sketch.dequantise(sketch.affine(q, select))
    graph = cancelled(sketch.graph(y))
    assert scales(graph) == []
    (bias,) = [
        node.op.bias
        for node in graph.nodes
        if isinstance(node.op, Affine) and node.op.bias is not None
    ]
    np.testing.assert_allclose(bias[0, 0], -10.0)


def test_another_scale_stays_an_affine_map() -> None:
    sketch = Integers()
    y = sketch.dequantise(sketch.quantise(sketch.input((1, 2, 2))), scale=0.3, zero=7.0)
    assert len(scales(cancelled(sketch.graph(y)))) == 2


def test_values_of_different_scales_are_joined_as_integers() -> None:
    sketch = Integers()
    first = sketch.quantise(sketch.input((1, 2, 2), "a"), scale=0.1)
    second = sketch.quantise(sketch.input((1, 2, 2), "b"), scale=0.2)
    y = sketch.dequantise(sketch.concat(first, second))
    assert len(scales(cancelled(sketch.graph(y)))) == 3


def test_integers_that_are_an_output_stay() -> None:
    sketch = Integers()
    q = sketch.quantise(sketch.input((1, 2, 2)))
    graph = cancelled(sketch.graph(q, sketch.dequantise(q)))
    assert len(scales(graph)) == 1
