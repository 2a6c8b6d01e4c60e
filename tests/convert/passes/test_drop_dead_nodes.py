"""Dead nodes go, inputs and whatever an output needs stay."""

from graphs import Sketch, assert_same_function

from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes


def test_what_no_output_needs_goes() -> None:
    sketch = Sketch()
    x = sketch.input((3, 5, 5))
    live = sketch.relu(sketch.conv(x, name="conv"), name="live")
    dead = sketch.relu(sketch.conv(x, name="dead conv"), name="dead")
    sketch.sum(live, dead, name="dead sum")
    graph = sketch.graph(live)
    after = drop_dead_nodes(graph)
    assert [n.name for n in after.nodes] == ["x", "conv", "live"]
    assert_same_function(graph, after, exact=True)


def test_an_unused_input_stays() -> None:
    sketch = Sketch()
    x, unused = sketch.input((3,)), sketch.input((2,), "unused")
    graph = sketch.graph(sketch.dense(x))
    after = drop_dead_nodes(graph)
    assert unused in [n.name for n in after.inputs]
    assert_same_function(graph, after, exact=True)


def test_all_outputs_keep_what_they_need_and_their_order() -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    one = sketch.dense(x, name="one")
    two = sketch.dense(x, name="two")
    sketch.dense(one, name="dead")
    graph = sketch.graph(two, one, two)
    after = drop_dead_nodes(graph)
    assert [n.name for n in after.nodes] == ["x", "one", "two"]
    assert after.outputs == ("two", "one", "two")
    assert_same_function(graph, after, exact=True)


def test_nothing_dead_leaves_the_graph_as_it_is() -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.relu(sketch.dense(sketch.input((3,)))))
    assert drop_dead_nodes(graph).nodes == graph.nodes
