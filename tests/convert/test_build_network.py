"""The spiking network of a lowered graph: populations, relays, readouts, and its limit."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import Sketch, graphs, pool_windows, samples_for
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert.build_network import build_network, channel_axis
from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import Activation, Add, Affine, Graph, Node, Relu
from snnconvert.convert.linear import (
    FloatArray,
    Reshape,
    Select,
    Transpose,
    absolute_chain,
    apply_chain,
    weights_of,
    with_weights,
)
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Input, Network, Population
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.passes.count_readout import count_readout


def generous(graph: Graph, samples: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Thresholds that no activation of these samples exceeds, but by a ceiling."""
    scales: dict[str, FloatArray] = {}
    for node in graph.activations:
        assert isinstance(node.op, Relu)
        if node.op.follows is None:
            largest = graph.evaluate(samples, [node.name], dtype=np.float64)[node.name].max()
            ceiling = np.inf if node.op.ceiling is None else node.op.ceiling
            scale = min(max(1.05 * largest, 0.05), ceiling)
            scales[node.name] = np.full((1,) * len(node.shape), scale)
    return scales


def per_channel(graph: Graph) -> dict[str, FloatArray]:
    """Other thresholds for each channel of each population."""
    rng = np.random.default_rng(1)
    scales: dict[str, FloatArray] = {}
    for node in graph.activations:
        axis = channel_axis(graph, node.name)
        shape = [extent if a == axis else 1 for a, extent in enumerate(node.shape)]
        scales[node.name] = rng.uniform(1, 3, shape)
    return scales


def built(graph: Graph) -> Network:
    after = lower(graph)
    return build_network(after, per_channel(after))


def sources(network: Network, name: str) -> list[str]:
    return [connection.source for connection in network.incoming(name)]


def names(nodes: tuple[Input, ...] | tuple[Population, ...]) -> list[str]:
    return [node.name for node in nodes]


def population(network: Network, name: str) -> Population:
    node = network[name]
    assert isinstance(node, Population)
    return node


# One layer


def test_a_population_has_the_weights_and_units_of_the_graph() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((2, 5, 5)), 3, pad=1, name="conv"), name="relu")
    graph = lower(sketch.graph(sketch.dense(relu, 4), names=("logits",)))
    scale = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    network = build_network(
        graph, {"relu": scale}, reset="zero", v_init=0.25, input_bounds={"x": 7.0}
    )
    node = population(network, "relu")
    for array in (node.threshold, node.amplitude, node.scale, 4 * node.v_init):
        np.testing.assert_array_equal(array, scale)
    assert (node.reset, node.tensor, node.channel_axis) == ("zero", "relu", 0)
    assert (node.start, node.stop, node.bias_start, node.bias_stop) == (0, None, 0, None)
    conv = graph["conv"].op
    assert isinstance(conv, Affine)
    (connection,) = network.incoming("relu")
    assert connection.operators == conv.operators
    np.testing.assert_array_equal(node.bias, conv.bias)
    (x,), (logits,) = network.inputs, network.readouts
    assert (x.name, x.bound, x.encoding) == ("x", 7.0, "current")
    assert (logits.name, logits.shape, logits.tensor) == ("logits", (4,), graph.outputs[0])
    assert logits.scale == 1
    assert network.name == "sketch"


def test_the_bias_behind_a_padded_batch_norm_is_one_a_neuron() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.batch_norm(sketch.input((2, 4, 4))), 3, pad=1)
    network = built(sketch.graph(sketch.relu(conv, name="relu")))
    assert population(network, "relu").bias.shape == (3, 4, 4)


def test_constants_pass_sums_concatenations_and_wiring() -> None:
    sketch = Sketch()
    x = sketch.input((2, 3))
    shifted = sketch.affine(x, bias=[[1.0], [2.0]])
    total = sketch.sum(shifted, shifted, bias=np.float64(0.5))
    joined = sketch.concat(total, x)
    turned = sketch.affine(joined, Select((4, 3), (np.array([3, 2, 1, 0, -1]), None)))
    network = built(sketch.graph(sketch.relu(turned, name="relu")))
    expected = np.array([0, 0, 4.5, 2.5, 0]).reshape(5, 1)
    np.testing.assert_array_equal(population(network, "relu").bias, expected)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (None, "population 'relu' was given no threshold"),
        (0.0, "population 'relu': thresholds must be positive and finite"),
        (-1.0, "population 'relu': thresholds must be positive and finite"),
        (np.nan, "population 'relu': thresholds must be positive and finite"),
        (np.inf, "population 'relu': thresholds must be positive and finite"),
    ],
)
def test_a_population_needs_a_usable_threshold(scale: float | None, message: str) -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.relu(sketch.dense(sketch.input((3,))), name="relu"))
    scales = {} if scale is None else {"relu": np.array([1.0, scale, 1.0])}
    with pytest.raises(CalibrationError) as caught:
        build_network(graph, scales)
    assert str(caught.value) == message


# Inputs and outputs


def test_an_output_that_is_a_population_is_read_out_one_to_one() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.dense(sketch.input((3,))), name="relu")
    network = built(sketch.graph(relu, names=("y",)))
    (connection,) = network.incoming("y")
    assert (connection.source, connection.operators) == ("relu", ())


def test_an_output_that_is_an_affine_map_of_the_input_needs_no_neuron() -> None:
    sketch = Sketch()
    graph = lower(sketch.graph(sketch.dense(sketch.input((2, 3)))))
    network = build_network(graph, {})
    assert network.neurons == 0
    samples = samples_for(graph)
    result = ReferenceSimulation(network).run(samples, 3).logits
    expected = graph.evaluate(samples, dtype=np.float64)[graph.outputs[0]]
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), rtol=1e-12)


def test_an_output_that_is_the_input() -> None:
    sketch = Sketch()
    network = built(sketch.graph(sketch.input((3,)), names=("y",)))
    assert sources(network, "y") == ["x"]


def test_an_input_may_have_several_readers() -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    one, two = sketch.relu(sketch.dense(x), name="one"), sketch.relu(sketch.dense(x), name="two")
    network = built(sketch.graph(sketch.sum(one, two, x), names=("y",)))
    assert [c.target for c in network.outgoing("x")] == ["one", "two", "y"]
    assert not network.relays


def test_an_unused_input_stays() -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    sketch.input((2,), "unused")
    assert names(built(sketch.graph(sketch.dense(x))).inputs) == ["x", "unused"]


def test_one_value_may_be_several_outputs() -> None:
    sketch = Sketch()
    logits = sketch.dense(sketch.relu(sketch.input((3,)), name="relu"), name="logits")
    network = built(sketch.graph(logits, sketch.function(logits), names=("raw", "softmax")))
    assert [r.name for r in network.readouts] == ["raw", "softmax"]
    assert [r.tensor for r in network.readouts] == ["logits", "logits"]


def test_two_counted_outputs_of_one_value_share_a_population() -> None:
    sketch = Sketch()
    logits = sketch.dense(sketch.input((3,)), name="logits")
    graph = count_readout(lower(sketch.graph(logits, sketch.function(logits))))
    network = build_network(graph, per_channel(graph))
    assert names(network.populations) == ["logits/count"]
    assert [sources(network, r.name) for r in network.readouts] == [["logits/count"]] * 2


def test_readouts_give_way_to_names_in_use() -> None:
    sketch = Sketch()
    one = sketch.relu(sketch.dense(sketch.input((3,))), name="y")
    two = sketch.relu(sketch.dense(one), name="y/readout")
    network = built(sketch.graph(one, two, names=("y", "z")))
    assert [r.name for r in network.readouts] == ["y/readout_2", "z"]
    assert sources(network, "y/readout_2") == ["y"]


def test_a_readout_may_have_the_name_of_a_folded_node() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.dense(sketch.input((3,))), name="relu")
    network = built(sketch.graph(sketch.dense(relu, name="y"), names=("y",)))
    assert [r.name for r in network.readouts] == ["y"]


# Relays


def test_a_shared_weighted_sum_is_one_relay() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.input((2, 5, 5)), name="relu")
    shared = sketch.conv(relu, 4, pad=1, name="shared")
    one = sketch.relu(sketch.conv(shared, name="conv1"), name="one")
    two = sketch.relu(sketch.conv(shared, name="conv2"), name="two")
    network = built(sketch.graph(one, two))
    assert [r.name for r in network.relays] == ["shared"]
    assert sources(network, "shared") == ["relu"]
    assert sources(network, "one") == sources(network, "two") == ["shared"]


def test_the_constant_of_a_relay_reaches_its_readers() -> None:
    sketch = Sketch()
    shared = sketch.dense(sketch.relu(sketch.input((3,)), name="rates"), name="shared")
    relu = sketch.relu(shared, name="relu")
    network = built(sketch.graph(shared, relu))
    assert [r.name for r in network.relays] == ["shared"]
    bias = sketch.graph(shared, relu)["shared"].op.bias
    np.testing.assert_array_equal(population(network, "relu").bias, bias)
    np.testing.assert_array_equal(network.readouts[0].bias, bias)


def test_analog_currents_pass_a_relay_by() -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    mixed = sketch.sum(sketch.dense(sketch.relu(x, name="rates")), x, name="mixed")
    network = built(sketch.graph(mixed, sketch.relu(mixed, name="relu"), names=("y", "z")))
    assert sources(network, "mixed") == ["rates"]
    assert sorted(sources(network, "relu")) == sorted(sources(network, "y")) == ["mixed", "x"]


@pytest.mark.parametrize("joined", ["sum", "concat"])
def test_a_shared_join_of_populations_is_a_relay(joined: str) -> None:
    sketch = Sketch()
    x = sketch.input((3,))
    one, two = sketch.relu(x, name="one"), sketch.relu(sketch.dense(x), name="two")
    make = {"sum": sketch.sum, "concat": sketch.concat}[joined]
    shared = make(one, two, name="shared")
    network = built(sketch.graph(sketch.dense(shared), sketch.dense(shared)))
    assert [r.name for r in network.relays] == ["shared"]


def test_a_residual_stream_has_a_relay_at_each_fork() -> None:
    sketch = Sketch()
    stream = sketch.conv(sketch.relu(sketch.input((2, 4, 4))), 2, pad=1, name="stem")
    for i in range(3):
        branch = sketch.conv(sketch.relu(stream, name=f"relu{i}"), 2, pad=1)
        stream = sketch.sum(stream, branch, name=f"add{i}")
    network = built(sketch.graph(sketch.dense(sketch.relu(stream, name="last"))))
    assert [r.name for r in network.relays] == ["stem", "add0", "add1"]
    assert [len(sources(network, r.name)) for r in network.relays] == [1, 2, 2]


@pytest.mark.parametrize(
    "shared",
    ["population", "copies of one population", "analog", "one reader", "read twice by one"],
)
def test_nothing_else_is_a_relay(shared: str) -> None:
    sketch = Sketch()
    x = sketch.input((2, 3))
    rates = sketch.relu(x)
    if shared == "population":
        value = rates
    elif shared == "copies of one population":
        value = sketch.affine(rates, Reshape((2, 3), (6,)))
    elif shared == "analog":
        value = sketch.sum(x, x)
    else:
        value = sketch.sum(rates, rates)
    if shared == "one reader":
        outputs = [sketch.dense(value)]
    elif shared == "read twice by one":
        outputs = [sketch.sum(value, value)]
    else:
        outputs = [sketch.dense(value), sketch.dense(value)]
    assert not built(sketch.graph(*outputs)).relays


# Max-pooling trees: thresholds of the pooled population


@pytest.mark.parametrize("window", [2, 3])
def test_a_tree_has_the_thresholds_of_the_pooled_population(window: int) -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((2, 8, 8)), 3), name="relu")
    network = built(sketch.graph(sketch.pool(relu, window, name="pool")))
    trees = [p for p in network.populations if p.name.startswith("pool/")]
    assert trees
    for tree in trees:
        assert tree.threshold.shape == (3, 1, 1)
        np.testing.assert_array_equal(tree.threshold, population(network, "relu").threshold)
        np.testing.assert_array_equal(tree.amplitude, tree.threshold)


def test_a_tree_behind_a_tree_has_them_too() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((2, 10, 10)), 3), name="relu")
    network = built(sketch.graph(sketch.pool(sketch.pool(relu, name="one"), name="two")))
    trees = [p for p in network.populations if p.name.startswith("two/")]
    assert trees
    for tree in trees:
        np.testing.assert_array_equal(tree.threshold, population(network, "relu").threshold)


def test_thresholds_follow_a_transposition() -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 6, 6)), 3, pad=1)
    last = sketch.affine(conv, Transpose((3, 6, 6), (1, 2, 0)))
    rates = sketch.relu(last, name="relu")
    first = sketch.affine(rates, Transpose((6, 6, 3), (2, 0, 1)))
    network = built(sketch.graph(sketch.pool(first, name="pool")))
    thresholds = population(network, "relu").threshold
    assert thresholds.shape == (1, 1, 3)
    for tree in network.populations[1:]:
        np.testing.assert_array_equal(tree.threshold, thresholds.reshape(3, 1, 1))


def test_each_part_of_a_concatenation_keeps_its_own() -> None:
    sketch = Sketch()
    x = sketch.input((2, 4, 4))
    one = sketch.relu(sketch.conv(x, 2, pad=1), name="one")
    two = sketch.relu(sketch.conv(x, 3, pad=1), name="two")
    pool = sketch.pool(sketch.concat(one, two), name="pool")
    network = built(sketch.graph(pool))
    expected = np.concatenate(
        [population(network, name).threshold for name in ("one", "two")], axis=0
    )
    for tree in network.populations[2:]:
        np.testing.assert_array_equal(tree.threshold, expected)


def test_a_pool_of_a_shared_pool_beside_another_population() -> None:
    """The first pool is a relay; the second one finds thresholds behind it."""
    sketch = Sketch()
    x = sketch.input((2, 8, 8))
    one = sketch.pool(sketch.relu(sketch.conv(x, 2, pad=1), name="one"), name="first")
    two = sketch.relu(sketch.conv(one, 2, pad=1), name="two")
    pool = sketch.pool(sketch.concat(one, two), name="second")
    network = built(sketch.graph(pool))
    assert network.relays
    expected = np.concatenate(
        [population(network, name).threshold for name in ("one", "two")], axis=0
    )
    trees = [p for p in network.populations if p.name.startswith("second/")]
    assert trees
    for tree in trees:
        np.testing.assert_array_equal(tree.threshold, expected)


def test_zero_padding_in_front_of_a_pool_has_no_threshold_of_its_own() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((1, 4, 4)), 2, pad=1), name="relu")
    index = np.array([-1, -1, -1, 0, 1, 2, 3, -1])
    padded = sketch.affine(relu, Select((2, 4, 4), (None, index, index)))
    network = built(sketch.graph(sketch.pool(padded, name="pool")))
    for tree in network.populations[1:]:
        np.testing.assert_array_equal(tree.threshold, population(network, "relu").threshold)


def test_across_unequal_thresholds_the_larger_one_rules() -> None:
    sketch = Sketch()
    x = sketch.input((1, 4))
    one, two = sketch.relu(x, name="one"), sketch.relu(x, name="two")
    pool = sketch.pool(sketch.concat(one, two, axis=1), name="pool")
    graph = lower(sketch.graph(sketch.pool(pool, 4, name="all")))
    network = build_network(graph, {"one": np.array(1.0), "two": np.array(3.0)})
    last = network.populations[-1]
    np.testing.assert_array_equal(last.threshold, [[3.0]])


def test_signed_pools_use_the_thresholds_that_they_are_given() -> None:
    sketch = Sketch()
    graph = lower(sketch.graph(sketch.pool(sketch.input((1, 4, 4)), name="pool")))
    scales = {node.name: np.array(float(i + 1)) for i, node in enumerate(graph.activations)}
    network = build_network(graph, scales)
    assert [float(p.threshold) for p in network.populations] == list(scales.values())


# Channels


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_are_followed_through_a_transposition(axis: int) -> None:
    sketch = Sketch()
    conv = sketch.conv(sketch.input((2, 4, 5)), 3)
    permutation = tuple(np.insert([1, 2], axis, 0).tolist())
    turned = sketch.affine(conv, Transpose((3, 2, 3), permutation))
    graph = sketch.graph(sketch.relu(turned, name="relu"))
    assert channel_axis(graph, "relu") == axis
    assert channel_axis(lower(graph), "relu") == axis


def test_channels_of_other_values() -> None:
    sketch = Sketch()
    x = sketch.input((4, 6))
    sketch.relu(x, name="input")
    sketch.relu(sketch.dense(x), name="dense")
    joined = sketch.concat(sketch.conv(x, 2, 1), sketch.conv(x, 2, 1))
    sketch.relu(sketch.sum(joined, joined), name="joined")
    graph = sketch.graph()
    assert [channel_axis(graph, name) for name in ("input", "dense", "joined")] == [0, 0, 0]


# The limit


def farthest_charge(network: Network) -> dict[str, FloatArray]:
    """How far each node's accumulated value ever is from t times what the graph says.

    Let the charge that reached a neuron with threshold s after t steps be within E of t x for all
    t, and v_init within [0, s). If x is at most s, its spikes times s are within s + 3 E of
    t relu(x): after its last silent step the voltage was below s and has since risen by at most
    2 E; after its last spike it was not negative and has since fallen by at most 2 E. If x is
    above s the same holds of t s. Sums add their terms' distances, times the weights' magnitudes.
    """
    distance: dict[str, FloatArray] = {}
    for node in network.nodes:
        arriving = np.zeros(node.shape)
        for c in network.incoming(node.name):
            arriving = (
                arriving + apply_chain(absolute_chain(c.operators), distance[c.source][None])[0]
            )
        if isinstance(node, Population):
            arriving = node.threshold + 3 * arriving
        distance[node.name] = arriving
    return distance


@settings(max_examples=50)
@given(graphs(functions=False))
def test_the_network_tends_to_the_graph_as_one_over_t(graph: Graph) -> None:
    after = lower(graph)
    samples = samples_for(after)
    network = build_network(after, generous(after, samples))
    assert len({node.name for node in network.nodes}) == len(network.nodes)
    outputs = ReferenceSimulation(network).run(samples, 128).outputs
    expected = after.evaluate(samples, dtype=np.float64)
    distance = farthest_charge(network)
    for readout, name in zip(network.readouts, after.outputs, strict=True):
        for t in (4, 32, 128):
            error = np.abs(outputs[readout.name][t - 1] - expected[name])
            assert (error <= distance[readout.name] / t + 1e-9).all()


def test_the_error_falls_tenfold_in_ten_times_the_steps() -> None:
    sketch = Sketch(seed=3)
    x = sketch.input((2, 8, 8))
    stem = sketch.relu(sketch.conv(x, 4, pad=1))
    pooled = sketch.pool(sketch.relu(sketch.sum(stem, sketch.conv(stem, 4, pad=1))))
    graph = lower(sketch.graph(sketch.dense(pooled, 10)))
    samples = samples_for(graph, n=8)
    network = build_network(graph, generous(graph, samples))
    logits = ReferenceSimulation(network).run(samples, 500).logits
    expected = graph.evaluate(samples, dtype=np.float64)[graph.outputs[0]]
    error = np.abs(logits - expected).mean(axis=(1, 2))
    assert 0.05 < error[499] / error[49] < 0.2
    assert error[499] < 0.01 * np.abs(expected).mean()


# Staged: the lowered graph with quantised activations, bit for bit


def dyadic(graph: Graph) -> Graph:
    """Round all weights and constants to eighths, so that sums of them are exact."""
    nodes = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Affine):
            chain = tuple(
                o if (w := weights_of(o)) is None else with_weights(o, np.rint(8 * w) / 8)
                for o in op.operators
            )
            op = Affine(chain, None if op.bias is None else np.rint(8 * op.bias) / 8)
        elif isinstance(op, Add) and op.bias is not None:
            op = Add(np.rint(8 * op.bias) / 8)
        elif isinstance(op, Relu) and op.ceiling is not None:
            op = Relu(1.0)
        nodes.append(replace(node, op=op))
    return graph.with_nodes(nodes)


def quantised(network: Network, timesteps: int) -> Activation:
    """What a neuron that has all its charge before it fires makes of its input."""

    def activation(node: Node, x: FloatArray) -> FloatArray:
        p = population(network, node.name)
        counts = np.floor((x * timesteps + p.v_init) / p.threshold)
        most = timesteps * spike_values(p.neuron).highest
        return np.asarray(np.clip(counts, 0, most) * p.threshold / timesteps)

    return activation


def staged_outputs(network: Network, samples: dict[str, FloatArray], t: int) -> list[FloatArray]:
    staged, _ = apply_schedule(network, "full", t)
    outputs = ReferenceSimulation(staged).run(samples, t).outputs
    return [outputs[readout.name][-1] for readout in network.readouts]


@settings(max_examples=40)
@given(graphs(functions=False), st.integers(0, 99), st.sampled_from(["if", "signed", "graded:4"]))
def test_staged_it_is_the_quantised_graph(graph: Graph, seed: int, neuron: str) -> None:
    after = lower(dyadic(graph))
    rng = np.random.default_rng(seed)
    scales = {n.name: 2.0 ** rng.integers(-2, 2, (1,) * len(n.shape)) for n in after.activations}
    samples = {name: np.rint(8 * x) / 8 for name, x in samples_for(after).items()}
    network = build_network(after, scales, neuron=neuron)
    expected = after.evaluate(samples, activation=quantised(network, 8), dtype=np.float64)
    found = staged_outputs(network, samples, 8)
    for name, value in zip(after.outputs, found, strict=True):
        np.testing.assert_array_equal(value, expected[name])


@settings(max_examples=25)
@given(st.data())
def test_a_staged_tree_is_the_maximum_of_the_quantised_values(data: st.DataObject) -> None:
    """Not of the lowered graph's: a maximum of the pooled population's own spike counts."""
    spatial = data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=2))
    sketch = Sketch(data.draw(st.integers(0, 99)))
    relu = sketch.relu(sketch.conv(sketch.input((2, *spatial)), 3, pad=1), name="relu")
    window = data.draw(pool_windows(sketch.shapes[relu][1:]))
    graph = dyadic(sketch.graph(sketch.pool(relu, window, name="pool")))
    after = lower(graph)
    scales = {"relu": 2.0 ** sketch.rng.integers(-2, 2, (3, *[1] * len(spatial)))}
    samples = {name: np.rint(8 * x) / 8 for name, x in samples_for(after).items()}
    network = build_network(after, scales)
    expected = graph.evaluate(samples, activation=quantised(network, 8), dtype=np.float64)
    (found,) = staged_outputs(network, samples, 8)
    np.testing.assert_array_equal(found, expected["pool"])


def test_a_graded_neuron_shares_the_scale_among_its_payloads() -> None:
    """Full rate stands for the calibrated activation, also in max-pooling trees."""
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((2, 8, 8)), 3), name="relu")
    after = lower(sketch.graph(sketch.pool(relu, name="pool")))
    plain = build_network(after, per_channel(after))
    graded = build_network(after, per_channel(after), neuron="graded:4")
    for p in graded.populations:
        assert p.neuron == "graded:4"
        for field in ("threshold", "amplitude", "scale", "v_init"):
            whole = getattr(population(plain, p.name), field)
            np.testing.assert_array_equal(getattr(p, field), whole / 4)
        np.testing.assert_array_equal(p.bias, population(plain, p.name).bias)


def test_a_threshold_that_the_function_dictates_needs_no_statistics() -> None:
    sketch = Sketch()
    dictated = Relu(ceiling=2.0, threshold=np.array([2.0, 1.0, 0.5]))
    ramp = sketch.add(dictated, [sketch.input((3,))], (3,))
    (population,) = build_network(lower(sketch.graph(ramp)), {}).populations
    np.testing.assert_array_equal(population.threshold, [2.0, 1.0, 0.5])
