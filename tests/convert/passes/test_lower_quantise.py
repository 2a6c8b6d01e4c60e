from typing import Any

import numpy as np
import pytest
from graphs import Sketch

from snnconvert.convert.graph import Affine, Graph, Node, OutputFunction, Relu
from snnconvert.convert.linear import FloatArray, Scale
from snnconvert.convert.lower import lower
from snnconvert.convert.passes.lower_quantise import lower_quantise
from snnconvert.convert.passes.split_output_functions import split_output_functions
from snnconvert.convert.quantiser import DynamicQuantise, Quantise

SHAPE = (2, 4, 4)


class Quantisers(Sketch):  # type: ignore[misc]
    """A sketch with quantisers."""

    def quantise(
        self, source: str, scale: Any = 0.5, low: float = 0, high: float = 15, **named: str
    ) -> str:
        rank = len(self.shapes[source])
        step = np.asarray(scale, np.float64)
        step = step.reshape((1,) * rank) if step.size == 1 else step.reshape(-1, 1, 1)
        ones = np.ones((1,) * rank)
        op = Quantise(step, low * ones, high * ones, -low * ones)
        return str(self.add(op, (source,), self.shapes[source], **named))


def lowered(graph: Graph) -> Graph:
    return lower_quantise(split_output_functions(graph))


def relus(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, Relu)]


def in_levels(node: Node, x: FloatArray) -> FloatArray:
    """Round as a staged population with as many steps as levels does, but halves to even."""
    op = node.op
    assert isinstance(op, Relu)
    if op.levels is None:
        return np.asarray(np.maximum(x, 0))
    assert op.threshold is not None
    step = op.threshold / op.levels
    return np.asarray(np.clip(np.rint(x / step), 0, op.levels) * step)


def assert_same_levels(graph: Graph, result: Graph) -> None:
    """Compare the quantised graph with the lowered one whose populations round to levels."""
    rng = np.random.default_rng(0)
    rows = {node.name: 5 * rng.standard_normal((9, *node.shape)) for node in graph.inputs}
    before = graph.evaluate(rows, dtype=np.float64)
    after = result.evaluate(rows, activation=in_levels, dtype=np.float64)
    for name, other in zip(graph.outputs, result.outputs, strict=True):
        np.testing.assert_allclose(after[other], before[name], atol=1e-12)


def test_levels_from_zero_on_are_a_population() -> None:
    sketch = Quantisers()
    graph = sketch.graph(sketch.quantise(sketch.input(SHAPE), name="q"))
    result = lowered(graph)
    op = result["q"].op
    assert isinstance(op, Relu)
    assert (op.ceiling, op.levels, op.calibrated) == (7.5, 15, False)
    np.testing.assert_array_equal(op.threshold, np.full((1, 1, 1), 7.5))
    assert result.approximations == ()
    assert_same_levels(graph, result)


def test_one_scale_a_channel_is_one_threshold_each() -> None:
    sketch = Quantisers()
    graph = sketch.graph(sketch.quantise(sketch.input(SHAPE), scale=[0.5, 0.3]))
    result = lowered(graph)
    assert [node.op.levels for node in relus(result) if isinstance(node.op, Relu)] == [15]
    assert_same_levels(graph, result)


@pytest.mark.parametrize(
    ("bounds", "levels"), [((0.0, np.inf), 15), ((0.0, 3.0), 6), ((-2.0, 3.2), None)]
)
def test_bounds_before_a_quantiser_are_bounds_of_its_levels(
    bounds: tuple[float, float], levels: int | None
) -> None:
    sketch = Quantisers()
    low = -16 if levels else 0
    y = sketch.quantise(sketch.clip(sketch.input(SHAPE), *bounds), low=low)
    graph = sketch.graph(y)
    result = lowered(graph)
    expected = 6 if levels is None else levels
    assert [n.op.levels for n in relus(result) if isinstance(n.op, Relu)] == [expected]
    assert_same_levels(graph, result)


def test_a_relu_makes_a_signed_quantiser_unsigned() -> None:
    sketch = Quantisers()
    graph = sketch.graph(sketch.quantise(sketch.relu(sketch.input(SHAPE)), low=-16))
    result = lowered(graph)
    assert len(result.nodes) == 3  # the first Relu has no reader any more
    assert_same_levels(graph, result)


def test_what_cannot_be_negative_makes_a_signed_quantiser_unsigned() -> None:
    """An average of rates, as a quantiser of signed integers writes it behind a Relu."""
    sketch = Quantisers()
    q = sketch.quantise(sketch.input(SHAPE))
    mean = sketch.affine(q, Scale(SHAPE, np.full((1, 1, 1), 0.3)), bias=np.ones((1, 1, 1)))
    graph = sketch.graph(sketch.quantise(mean, scale=0.4, low=-16))
    result = lowered(graph)
    assert len(relus(result)) == 2
    assert_same_levels(graph, result)


@pytest.mark.parametrize("way", ["copy", "pool", "concat", "scaled", "relu"])
def test_levels_that_are_there_already_cost_no_neurons(way: str) -> None:
    sketch = Quantisers()
    q = sketch.quantise(sketch.input(SHAPE))
    scale = 0.5
    if way == "pool":
        q = sketch.pool(q)
    elif way == "concat":
        q = sketch.concat(q, sketch.quantise(sketch.input(SHAPE, "z"), high=7))
    elif way == "scaled":
        q = sketch.affine(q, Scale(SHAPE, np.full((1, 1, 1), 1 / 3)))
        scale = 0.5 / 3 * (1 + 1e-7)
    elif way == "relu":
        q = sketch.relu(q)
    y = sketch.quantise(q, scale=scale, low=-16, high=15, name="again")
    result = lowered(sketch.graph(y))
    assert isinstance(result["again"].op, Affine)
    assert result.approximations == ()


@pytest.mark.parametrize(("scale", "high"), [(0.4, 15), (0.5, 14)])
def test_other_levels_are_another_population(scale: float, high: int) -> None:
    sketch = Quantisers()
    y = sketch.quantise(sketch.quantise(sketch.input(SHAPE)), scale=scale, high=high)
    graph = sketch.graph(y)
    result = lowered(graph)
    assert len(relus(result)) == 2
    assert_same_levels(graph, result)


def test_signed_rounding_inside_is_left_out_and_said() -> None:
    sketch = Quantisers()
    signed = sketch.quantise(sketch.conv(sketch.input(SHAPE)), low=-8, high=7, name="signed")
    y = sketch.dense(sketch.relu(signed))
    result = lowered(sketch.graph(y))
    (found,) = result.approximations
    assert (found.node, found.kind) == ("signed", "quantiser")
    assert found.detail == (
        "rounding to steps of 0.5 in [-4, 3.5] left out, whose levels begin below zero, "
        "as no rate does"
    )
    assert isinstance(result["signed"].op, Affine)


def test_a_quantiser_behind_a_dropped_one_is_kept() -> None:
    """The rounding left out would have made the second one change nothing."""
    sketch = Quantisers()
    signed = sketch.quantise(sketch.input(SHAPE), low=-16)
    y = sketch.quantise(sketch.relu(signed), low=-16, name="kept")
    assert isinstance(lowered(sketch.graph(y))["kept"].op, Relu)


def test_rounding_at_the_end_belongs_to_the_readout() -> None:
    sketch = Quantisers()
    q = sketch.quantise(sketch.input((3,)), low=-8, high=7)
    graph = sketch.graph(sketch.function(q, "Softmax"))
    result = lowered(graph)
    assert result.approximations == ()
    (functions,) = result.output_functions
    assert [f.kind for f in functions] == ["Quantise", "Softmax"]


def test_rounding_at_the_end_that_others_read_too_is_left_out_there() -> None:
    sketch = Quantisers()
    q = sketch.quantise(sketch.input((3,)), low=-8, high=7)
    result = lowered(sketch.graph(q, sketch.dense(q)))
    assert len(result.approximations) == 1
    assert [len(functions) for functions in result.output_functions] == [1, 0]


def test_rounded_probabilities_are_left_out() -> None:
    sketch = Quantisers()
    p = sketch.function(sketch.dense(sketch.input((3,))), "Softmax")
    result = lower(sketch.graph(sketch.quantise(p, scale=1 / 255, high=255)))
    assert result.output_functions == ((result.output_functions[0][0],),)
    assert isinstance(result.output_functions[0][0], OutputFunction)
    (found,) = result.approximations
    assert found.detail.endswith("of the probabilities: decisions are read from the logits")


def test_a_range_that_each_batch_sets_is_left_out() -> None:
    sketch = Quantisers()
    q = sketch.add(DynamicQuantise(("q", "s", "z")), (sketch.input((3,)),), (3,))
    result = lowered(sketch.graph(sketch.dense(q)))
    (found,) = result.approximations
    assert found.detail == "rounding to 256 levels of a batch's range left out"


def test_a_pooling_tree_compares_the_levels() -> None:
    sketch = Quantisers()
    graph = sketch.graph(sketch.pool(sketch.quantise(sketch.conv(sketch.input(SHAPE)))))
    result = lower(graph)
    own, *tree = (node.op for node in relus(result))
    assert isinstance(own, Relu) and own.levels == 15
    assert tree and all(isinstance(op, Relu) and op.follows is not None for op in tree)
