"""Max-pooling as a tree of Relu nodes, and a Relu behind it moved in front."""

import math

import numpy as np
import pytest
from graphs import Sketch, assert_same_function, assert_sound, pool_windows, samples_for
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.graph import Add, Affine, Graph, MaxPool, Node, Relu
from snnconvert.convert.linear import Reshape, Select, Transpose, Window
from snnconvert.convert.lower import lower
from snnconvert.convert.passes.lower_max_pool import lower_max_pool, relu_before_max_pool

DISJOINT = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
OVERLAPPING = Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))


def lowered(graph: Graph) -> Graph:
    after = lower_max_pool(graph)
    assert not any(isinstance(node.op, MaxPool) for node in after.nodes)
    assert_sound(after)
    assert_same_function(graph, after)
    return after


def tree(graph: Graph, pool: str = "pool") -> list[Node]:
    return [n for n in graph.activations if n.name.startswith(f"{pool}/")]


def follows(graph: Graph, pool: str = "pool") -> set[str | None]:
    found = set()
    for node in tree(graph, pool):
        assert isinstance(node.op, Relu)
        found.add(node.op.follows)
    return found


@st.composite
def poolings(draw: st.DrawFn) -> Graph:
    sketch = Sketch(draw(st.integers(0, 2**32 - 1)))
    spatial = draw(st.lists(st.integers(1, 8), min_size=1, max_size=2))
    value = sketch.input((draw(st.integers(1, 3)), *spatial))
    if draw(st.booleans()):
        value = sketch.relu(value)
    window = draw(pool_windows(tuple(spatial)))
    graph: Graph = sketch.graph(sketch.pool(value, window, name="pool"))
    return graph


@given(poolings())
def test_any_window(graph: Graph) -> None:
    after = lowered(graph)
    assert after["pool"].tensor == "pool:0"
    assert follows(after) <= {"pool" if graph.activations else None}


@given(poolings())
def test_values_are_copied_exactly(graph: Graph) -> None:
    """On whole numbers b + relu(a - b) is exact, so a tree gives its maximum bit for bit."""
    feeds = {name: np.rint(8 * x) for name, x in samples_for(graph).items()}
    (before,), (after,) = (
        list(g.evaluate(feeds, dtype=np.float64).values()) for g in (graph, lowered(graph))
    )
    np.testing.assert_array_equal(after, before)


def test_padding_never_wins_over_negative_values() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.pool(sketch.input((1, 4, 4)), OVERLAPPING))
    after = lowered(graph)
    values = after.evaluate({"x": np.full((1, 1, 4, 4), -3.0)})
    np.testing.assert_array_equal(values[after.outputs[0]], np.full((1, 1, 2, 2), -3.0))


def test_disjoint_windows_take_one_neuron_less_than_they_have_values() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((2, 8, 8)))
    after = lowered(sketch.graph(sketch.pool(relu, DISJOINT, name="pool")))
    assert sum(math.prod(node.shape) for node in tree(after)) == 2 * 4 * 4 * 3


def test_overlapping_windows_share_the_maxima_of_one_axis() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((1, 8, 8)))
    after = lowered(sketch.graph(sketch.pool(relu, OVERLAPPING, name="pool")))
    rows, columns = 4 * 8 * 2, 4 * 4 * 2
    assert sum(math.prod(node.shape) for node in tree(after)) == rows + columns


def test_overlapping_windows_compare_what_they_share_once() -> None:
    """Five values a window, a window at every position: pairs, pairs of pairs, and the fifth."""
    sketch = Sketch()
    values = sketch.relu(sketch.input((1, 9)))
    pool = sketch.pool(values, Window((5,), (1,), ((0, 0),), (1,)), name="pool")
    sizes = [node.shape[1] for node in tree(lowered(sketch.graph(pool)))]
    assert sizes == [7, 5, 5]


def test_a_large_window_takes_few_populations() -> None:
    sketch = Sketch()
    pool = sketch.pool(sketch.relu(sketch.input((2, 64))), 64, name="pool")
    sizes = [math.prod(node.shape) for node in tree(lowered(sketch.graph(pool)))]
    assert sizes == [64, 32, 16, 8, 4, 2]


def test_a_window_of_one_value_needs_no_neuron() -> None:
    sketch = Sketch()
    window = Window((1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1))
    graph = sketch.graph(sketch.pool(sketch.input((1, 5, 5)), window, name="pool"))
    assert not tree(lowered(graph))


def test_the_tree_is_balanced() -> None:
    sketch = Sketch()
    window = Window((8,), (8,), ((0, 0),), (1,))
    after = lowered(sketch.graph(sketch.pool(sketch.relu(sketch.input((1, 16))), window)))
    depth: dict[str, int] = {}
    for node in after.nodes:
        own = isinstance(node.op, Relu)
        depth[node.name] = own + max((depth[source] for source in node.inputs), default=0)
    assert depth[after.outputs[0]] == 1 + 3


@pytest.mark.parametrize("routed", ["relu", "reshape", "transpose", "pad", "concat", "pool"])
def test_copies_of_rates_lend_the_tree_their_thresholds(routed: str) -> None:
    sketch = Sketch()
    source = sketch.relu(sketch.input((2, 4, 6)), name="relu")
    if routed == "reshape":
        source = sketch.affine(source, Reshape((2, 4, 6), (4, 6, 2)))
    if routed == "transpose":
        source = sketch.affine(source, Transpose((2, 4, 6), (1, 2, 0)))
    if routed == "pad":
        index = np.array([-1, 0, 1, 2, 3, -1])
        source = sketch.affine(source, Select((2, 4, 6), (None, index, None)))
    if routed == "concat":
        source = sketch.concat(source, sketch.relu(sketch.input((3, 4, 6), "x1")))
    if routed == "pool":
        source = sketch.pool(source, OVERLAPPING, name="first")
    after = lowered(sketch.graph(sketch.pool(source, DISJOINT, name="pool")))
    assert follows(after) == {"pool"}


@pytest.mark.parametrize("made", ["input", "conv", "shift", "sum", "half a concat"])
def test_other_values_get_thresholds_of_their_own(made: str) -> None:
    sketch = Sketch()
    x = sketch.input((2, 4, 4))
    relu = sketch.relu(x)
    source = {
        "input": lambda: x,
        "conv": lambda: sketch.conv(relu, 2, pad=1),
        "shift": lambda: sketch.affine(relu, bias=np.ones((2, 1, 1))),
        "sum": lambda: sketch.sum(relu, relu),
        "half a concat": lambda: sketch.concat(relu, x),
    }[made]()
    after = lowered(sketch.graph(sketch.pool(source, DISJOINT, name="pool")))
    assert follows(after) == {None}


def test_two_poolings_of_one_value() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((2, 6, 6)))
    one = sketch.pool(relu, DISJOINT, name="one")
    two = sketch.pool(relu, OVERLAPPING, name="two")
    after = lowered(sketch.graph(sketch.concat(one, two), relu, two))
    assert follows(after, "one") == {"one"}
    assert follows(after, "two") == {"two"}


def test_a_pool_may_be_an_output_and_an_inner_value() -> None:
    sketch = Sketch()
    pool = sketch.pool(sketch.conv(sketch.input((2, 6, 6)), 2), DISJOINT, name="pool")
    after = lowered(sketch.graph(pool, sketch.dense(pool)))
    assert after.outputs[0] == "pool"
    assert isinstance(after["pool"].op, Affine)


def test_names_give_way_to_names_in_use() -> None:
    sketch = Sketch()
    x = sketch.input((1, 4, 4))
    taken = sketch.relu(x, name="pool/tap1")
    graph = sketch.graph(sketch.pool(taken, DISJOINT, name="pool"))
    assert "pool/tap1_2" in [n.name for n in lowered(graph).nodes]


def test_only_sums_wiring_and_relus_appear() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.pool(sketch.relu(sketch.input((1, 6, 6))), OVERLAPPING))
    new = [n for n in lowered(graph).nodes if n.name not in {m.name for m in graph.nodes}]
    assert {type(n.op) for n in new} == {Affine, Add, Relu}


def order(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def swapped(graph: Graph) -> Graph:
    after = relu_before_max_pool(graph)
    assert_sound(after)
    assert_same_function(graph, after, exact=True)
    return after


@pytest.mark.parametrize("ceiling", [None, 0.5])
def test_a_relu_moves_in_front_of_a_pool(ceiling: float | None) -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 6, 6)), 3, name="conv")
    relu = sketch.relu(sketch.pool(conv, name="pool"), ceiling, name="relu")
    after = swapped(sketch.graph(sketch.dense(relu, name="dense")))
    assert order(after) == ["x", "conv", "relu", "pool", "dense"]
    assert after["relu"].shape == (3, 4, 4)
    assert after["dense"].inputs == ("pool",)
    assert (after["relu"].tensor, after["pool"].tensor) == (None, "relu:0")


def test_a_relu_that_is_an_output_moves_and_the_output_with_it() -> None:
    sketch = Sketch()
    pool = sketch.pool(sketch.input((2, 6, 6)), name="pool")
    after = swapped(sketch.graph(sketch.relu(pool, name="relu")))
    assert after.outputs == ("pool",)


def test_a_relu_moves_in_front_of_all_poolings_in_a_row() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 8, 8)), 2, pad=1, name="conv")
    two = sketch.pool(sketch.pool(conv, name="one"), name="two")
    graph = sketch.graph(sketch.dense(sketch.relu(two, name="relu"), name="dense"))
    after = swapped(graph)
    assert order(after) == ["x", "conv", "relu", "one", "two", "dense"]
    assert follows(lower(graph), "one") == {"one"}


def test_blocks_in_a_row_are_all_swapped() -> None:
    sketch = Sketch()
    value = sketch.input((1, 8, 8))
    for i in range(2):
        conv = sketch.conv(value, pad=1, name=f"conv{i}")
        value = sketch.relu(sketch.pool(conv, name=f"pool{i}"), name=f"relu{i}")
    after = swapped(sketch.graph(value))
    assert order(after) == ["x", "conv0", "relu0", "pool0", "conv1", "relu1", "pool1"]


def test_a_relu_behind_pooled_rates_stays_where_it_is_small() -> None:
    sketch = Sketch()
    pool = sketch.pool(sketch.relu(sketch.input((1, 8, 8)), name="rates"), name="pool")
    after = swapped(sketch.graph(sketch.relu(pool, name="relu")))
    assert order(after) == ["x", "rates", "pool", "relu"]


def test_readers_of_a_swapped_relu_read_the_pool() -> None:
    sketch = Sketch()
    x = sketch.input((2, 4, 4))
    relu = sketch.relu(sketch.pool(x, name="pool"), name="relu")
    one, two = sketch.dense(relu, name="one"), sketch.dense(relu, name="two")
    after = swapped(sketch.graph(one, two))
    assert after["one"].inputs == after["two"].inputs == ("pool",)


@pytest.mark.parametrize("other", ["output", "reader", "second relu"])
def test_a_pool_with_other_readers_keeps_its_place(other: str) -> None:
    sketch = Sketch()
    pool = sketch.pool(sketch.input((2, 4, 4)), name="pool")
    outputs = [sketch.relu(pool, name="relu")]
    if other == "output":
        outputs.append(pool)
    elif other == "reader":
        outputs.append(sketch.dense(pool))
    else:
        outputs.append(sketch.relu(pool, 1.0))
    graph = sketch.graph(*outputs)
    assert order(swapped(graph)) == order(graph)
