"""Clip becomes a bounded Relu and shifts, for every combination of bounds."""

import numpy as np
import pytest
from graphs import Sketch, assert_same_function, assert_sound
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.graph import Affine, Clip, Graph, Relu
from snnconvert.convert.passes.lower_clip import lower_clip

INF = float("inf")


def clipped(low: float, high: float) -> tuple[Graph, Graph]:
    sketch = Sketch()
    graph = sketch.graph(sketch.clip(sketch.input((2, 3)), low, high, name="clip"))
    after = lower_clip(graph)
    assert not any(isinstance(node.op, Clip) for node in after.nodes)
    assert_sound(after)
    return graph, after


@pytest.mark.parametrize("high", [6.0, 0.5, INF])
def test_from_zero_it_is_a_relu(high: float) -> None:
    graph, after = clipped(0.0, high)
    op = after["clip"].op
    assert isinstance(op, Relu)
    assert op.ceiling == (None if high == INF else high)
    assert_same_function(graph, after, exact=True)


@pytest.mark.parametrize("low", [-1.0, 0.25, -INF])
@pytest.mark.parametrize("high", [0.5, 1.5, -0.5, INF])
def test_other_bounds_are_a_shifted_ramp(low: float, high: float) -> None:
    graph, after = clipped(low, high)
    assert_same_function(graph, after)
    assert after["clip"].tensor == "clip:0"
    ramps = [node.op for node in after.nodes if isinstance(node.op, Relu)]
    if low < high and (low, high) != (-INF, INF):
        (ramp,) = ramps
        assert ramp.ceiling == (None if INF in (-low, high) else high - low)
    else:
        assert not ramps


def test_no_bounds_copy() -> None:
    _, after = clipped(-INF, INF)
    op = after["clip"].op
    assert isinstance(op, Affine)
    assert not op.operators
    assert op.bias is None


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, 1.0), (2.0, -1.0), (0.0, -3.0)])
def test_bounds_that_meet_or_cross_give_the_upper_one(low: float, high: float) -> None:
    graph, after = clipped(low, high)
    assert_same_function(graph, after, exact=True)
    assert not after.activations
    values = after.evaluate({"x": np.ones((1, 2, 3))})["clip"]
    np.testing.assert_array_equal(values, high)


def test_names_give_way_to_names_in_use() -> None:
    sketch = Sketch()
    x = sketch.input((4,))
    taken = sketch.relu(x, name="clip/ramp")
    graph = sketch.graph(sketch.sum(sketch.clip(x, -1, 1, name="clip"), taken))
    after = lower_clip(graph)
    assert [n.name for n in after.nodes].count("clip/ramp") == 1
    assert isinstance(after["clip/ramp_2"].op, Relu)
    assert_sound(after)
    assert_same_function(graph, after)


BOUND = st.one_of(st.sampled_from([-INF, 0.0, INF]), st.floats(-3, 3))


@given(BOUND, BOUND)
def test_any_bounds(low: float, high: float) -> None:
    if low == INF or high == -INF:
        return
    graph, after = clipped(low, high)
    assert_same_function(graph, after)
