"""Functions of functions become one curve; what is linear, or differs, stays."""

import numpy as np
from graphs import Sketch, assert_same_function

from snnconvert.convert.curves.functions import MAX_SIZE, SIGMOID, X, call
from snnconvert.convert.graph import Curve, Graph, Relu
from snnconvert.convert.linear import Scale
from snnconvert.convert.passes.compose_curves import compose_curves

TANH = call("tanh", X)


def functions(graph: Graph) -> dict[str, str]:
    return {n.name: str(n.op.function) for n in graph.nodes if isinstance(n.op, Curve)}


def test_a_chain_is_one_curve() -> None:
    sketch = Sketch()
    x = sketch.input((4,))
    first = sketch.add(Curve(TANH), [x], (4,), "first")
    shifted = sketch.affine(first, Scale((4,), np.array(2.0)), bias=np.array([1.0]))
    second = sketch.add(Curve(SIGMOID), [shifted], (4,), "second")
    graph = sketch.graph(sketch.relu(sketch.affine(second, bias=np.array(-0.5)), name="r"))
    after = compose_curves(graph)
    assert functions(after) == {"r": "relu(sigmoid(2 * tanh(x) + 1) + -0.5)"}
    assert after["r"].inputs == ("x",) and after["r"].tensor == "r:0"
    assert_same_function(graph, after)


def test_rectifiers_alone_stay_rectifiers() -> None:
    sketch = Sketch()
    x = sketch.input((4,))
    graph = sketch.graph(sketch.relu(sketch.affine(sketch.relu(x), bias=np.array(-1.0))))
    after = compose_curves(graph)
    assert not functions(after) and len(after.activations) == 2


def test_a_curve_takes_in_the_rectifier_before_it() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((4,)), 6.0, name="relu")
    curve = sketch.add(Curve(TANH), [relu], (4,), "curve")
    graph = sketch.graph(curve, sketch.affine(relu))
    after = compose_curves(graph)
    assert functions(after) == {"curve": "tanh(minimum(relu(x), 6))"}
    assert isinstance(after["relu"].op, Relu)  # another node reads it
    assert_same_function(graph, after)


def test_scales_before_a_curve_fold_into_weights() -> None:
    sketch = Sketch()
    scaled = sketch.affine(sketch.input((4,)), Scale((4,), np.array(3.0)))
    graph = sketch.graph(sketch.add(Curve(TANH), [scaled], (4,), "curve"))
    assert functions(compose_curves(graph)) == {"curve": "tanh(x)"}


def test_constants_that_differ_part_two_curves() -> None:
    sketch = Sketch()
    first = sketch.add(Curve(TANH), [sketch.input((4,))], (4,), "first")
    scaled = sketch.affine(first, Scale((4,), np.arange(1.0, 5)))
    graph = sketch.graph(sketch.add(Curve(SIGMOID), [scaled], (4,), "second"))
    assert functions(compose_curves(graph)) == {"first": "tanh(x)", "second": "sigmoid(x)"}


def test_functions_end_where_they_grow_too_large() -> None:
    sketch = Sketch()
    value = sketch.input((4,))
    for _ in range(3 * MAX_SIZE):
        value = sketch.add(Curve(TANH), [value], (4,))
    graph = sketch.graph(value)
    after = compose_curves(graph)
    sizes = [n.op.function.size for n in after.nodes if isinstance(n.op, Curve)]
    assert max(sizes) == MAX_SIZE and 3 <= len(sizes) <= 7
    assert_same_function(graph, after)
