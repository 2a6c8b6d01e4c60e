"""The batched engine and nengo-loihi's emulator: the same spikes and voltages, all of them."""

from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.loihi import LoihiBackend
from snnconvert.backends.loihi.blueprint import InputKind
from snnconvert.backends.loihi.emitted import LoihiEmitted
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Window,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
)

pytest.importorskip("nengo_loihi")


def population(name: str, shape: Shape, rng: np.random.Generator) -> Population:
    """Return a population with thresholds and biases of its own for each channel."""
    each = (shape[0], *[1] * (len(shape) - 1))
    threshold = rng.uniform(0.5, 2.0, each)
    return Population(
        name,
        shape,
        threshold=threshold,
        amplitude=threshold,
        scale=threshold,
        bias=rng.normal(0.02, 0.1, each),
        v_init=np.zeros(each),
        reset="zero",
    )


def readout(name: str, outputs: int, rng: np.random.Generator) -> Readout:
    return Readout(name, (outputs,), bias=rng.normal(0, 0.1, (outputs,)), scale=np.ones(1))


def conv(shape: Shape, outputs: int, rng: np.random.Generator, stride: int = 1) -> Convolution:
    weight = rng.normal(0, 1.4 / np.sqrt(shape[0] * 9), (outputs, shape[0], 3, 3))
    return Convolution(shape, weight, (stride, stride), ((1, 1), (1, 1)), (1, 1))


def dense(inputs: int, outputs: int, rng: np.random.Generator) -> Dense:
    return Dense((inputs,), rng.normal(0, 1.4 / np.sqrt(inputs), (outputs, inputs)))


def flat(shape: Shape, outputs: int, rng: np.random.Generator) -> Chain:
    size = int(np.prod(shape))
    return (Reshape(shape, (size,)), dense(size, outputs, rng))


def network(nodes: list[NetworkNode], connections: list[Connection]) -> Network:
    return Network("small", tuple(nodes), tuple(connections))


def pooled_net(rng: np.random.Generator) -> Network:
    """Conv, average pool, strided conv, dense."""
    shape = (6, 8, 8)
    window = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    pool = (SumPool(shape, window), Scale((6, 4, 4), np.full((1, 1, 1), 0.25)))
    return network(
        [
            Input("x", (2, 8, 8)),
            population("first", shape, rng),
            population("second", (10, 2, 2), rng),
            population("third", (12,), rng),
            readout("y", 5, rng),
        ],
        [
            Connection("x", "first", (conv((2, 8, 8), 6, rng),)),
            Connection("first", "second", (*pool, conv((6, 4, 4), 10, rng, stride=2))),
            Connection("second", "third", flat((10, 2, 2), 12, rng)),
            Connection("third", "y", (dense(12, 5, rng),)),
        ],
    )


def residual_net(rng: np.random.Generator) -> Network:
    """A shortcut past a convolution, one from the input to the sum, and two readouts."""
    shape = (4, 6, 6)
    return network(
        [
            Input("x", shape),
            population("first", shape, rng),
            population("body", shape, rng),
            population("sum", shape, rng),
            readout("y", 3, rng),
            readout("z", 2, rng),
        ],
        [
            Connection("x", "first", (conv(shape, 4, rng),)),
            Connection("first", "body", (conv(shape, 4, rng),)),
            Connection("body", "sum", (conv(shape, 4, rng),)),
            Connection("first", "sum"),
            Connection("x", "sum", (Scale(shape, np.full((1, 1, 1), 0.3)),)),
            Connection("sum", "y", flat(shape, 3, rng)),
            Connection("body", "z", flat(shape, 2, rng)),
        ],
    )


def max_tree_net(rng: np.random.Generator) -> Network:
    """max(a, b) = b + relu(a - b) over pairs of columns, and a convolution of the maxima."""
    shape, half = (3, 6, 6), (3, 6, 3)
    even, odd = (Select(shape, (None, None, np.arange(k, 6, 2))) for k in (0, 1))
    negative = Scale(half, np.full((1, 1, 1), -1.0))
    kernel = conv(half, 4, rng)
    pooled = replace(population("pooled", shape, rng), threshold=np.ones(1), amplitude=np.ones(1))
    tree = replace(pooled, name="tree", shape=half, bias=np.zeros(1))
    return network(
        [
            Input("x", (2, 6, 6)),
            pooled,
            tree,
            population("next", (4, 6, 3), rng),
            readout("y", 3, rng),
        ],
        [
            Connection("x", "pooled", (conv((2, 6, 6), 3, rng),)),
            Connection("pooled", "tree", (even,)),
            Connection("pooled", "tree", (odd, negative)),
            Connection("pooled", "next", (odd, kernel)),
            Connection("tree", "next", (kernel,)),
            Connection("next", "y", flat((4, 6, 3), 3, rng)),
        ],
    )


def flat_net(rng: np.random.Generator) -> Network:
    """Two inputs, dense layers, and a readout that an input feeds directly."""
    return network(
        [
            Input("x", (9,)),
            Input("w", (4,), bound=2.0),
            population("first", (20,), rng),
            population("second", (15,), rng),
            readout("y", 4, rng),
        ],
        [
            Connection("x", "first", (dense(9, 20, rng),)),
            Connection("first", "second", (dense(20, 15, rng),)),
            Connection("w", "second", (dense(4, 15, rng),)),
            Connection("second", "y", (dense(15, 4, rng),)),
            Connection("w", "y"),
        ],
    )


KINDS: list[InputKind] = ["host", "neurons"]
NETS = [pooled_net, residual_net, max_tree_net, flat_net]


def samples(net: Network, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    return {
        node.name: rng.uniform(-node.bound, node.bound, (count, *node.shape)) for node in net.inputs
    }


@pytest.fixture(params=NETS, ids=lambda make: make.__name__)
def net(request: pytest.FixtureRequest, rng: np.random.Generator) -> Network:
    made: Network = request.param(rng)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_engine_and_emulator_agree_in_every_spike_and_voltage(
    net: Network, kind: InputKind, rng: np.random.Generator
) -> None:
    emitted = LoihiBackend().emit(net, input=kind, parity_samples=3)
    found = emitted.parity(samples(net, 5, rng), 30)
    assert found is not None
    assert found["compared_with"] == "nengo_loihi emulator"
    assert (found["samples"], found["timesteps"]) == (3, 30)
    assert found["steps"] == 30 + emitted.blueprint.latency
    assert found["differing_spikes"] == found["voltage_differences"] == 0
    assert set(found["populations"]) == {p.name for p in emitted.executable.populations}
    spiking = [n for n, c in emitted.run(samples(net, 5, rng), 30).spike_counts.items() if c.any()]
    assert len(spiking) == len(emitted.executable.populations), "a silent layer compares nothing"


def test_both_engines_return_the_same_result(rng: np.random.Generator) -> None:
    net = residual_net(rng)
    x = samples(net, 3, rng)
    fast = LoihiBackend().emit(net, engine="fast").run(x, 12, record=("*",))
    slow = LoihiBackend().emit(net, engine="emulator").run(x, 12, record=("*",))
    for attribute in ("outputs", "spike_counts", "spikes"):
        ours, theirs = getattr(fast, attribute), getattr(slow, attribute)
        assert list(ours) == list(theirs)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert fast.latency == slow.latency == 3


def rounded_current_network(emitted: LoihiEmitted, x: dict[str, FloatArray]) -> tuple[
    Network, dict[str, FloatArray]
]:  # fmt: skip
    """Return the executable network fed with the integers of the bias registers, one to one."""
    biases, clipped = emitted._biases(x)
    assert clipped == 0
    network = emitted.executable
    nodes = [
        replace(node, bias=np.zeros((1,) * len(node.shape)), start=0)
        if isinstance(node, Readout) and node.name in biases
        else replace(node, bias=np.zeros((1,) * len(node.shape)))
        if isinstance(node, Population) and node.name in biases
        else replace(node, start=0)
        if isinstance(node, Readout)
        else node
        for node in network.nodes
        if not isinstance(node, Input)
    ]
    inputs = [Input(f"{name}/bias", network[name].shape) for name in biases]
    connections = [c for c in network.connections if not isinstance(network[c.source], Input)]
    injections = [Connection(f"{name}/bias", name) for name in biases]
    currents: dict[str, FloatArray] = {
        f"{name}/bias": rows.reshape(-1, *network[name].shape).astype(np.float64)
        for name, rows in biases.items()
    }
    return Network("fed", (*inputs, *nodes), (*connections, *injections)), currents


@pytest.mark.parametrize("kind", KINDS)
def test_engine_is_the_reference_law_under_the_chips_conventions(
    net: Network, kind: InputKind, rng: np.random.Generator
) -> None:
    """Delay 1, reset to zero, integer thresholds one above the chip's, because it fires above."""
    emitted = LoihiBackend().emit(net, input=kind)
    x = samples(net, 4, rng)
    ours = emitted.run(x, 25, record=("*",))
    assert not ours.details["voltages_at_the_floor"], "the reference has no floor"
    fed, currents = rounded_current_network(emitted, x)
    steps = 25 + emitted.blueprint.latency
    theirs = ReferenceSimulation(fed).run(currents, steps, record=("*",))
    assert set(ours.spikes) == set(theirs.spikes)
    for name, train in ours.spikes.items():
        np.testing.assert_array_equal(train, theirs.spikes[name])
    latency = emitted.blueprint.latency
    for name, output in ours.outputs.items():
        total = theirs.outputs[name] * np.arange(1, steps + 1).reshape(-1, 1, 1)
        before = total[latency - 1] if latency else 0.0
        window = np.arange(1, 26).reshape(-1, 1, 1)
        np.testing.assert_allclose(output, (total[latency:] - before) / window, atol=1e-9)


def test_batches_threads_and_order_change_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = pooled_net(rng)
    emitted = LoihiBackend().emit(net)
    x = samples(net, 9, rng)["x"]
    whole = emitted.run(x, 20)
    monkeypatch.setattr("snnconvert.backends.loihi.emitted.BATCH", 4)
    emitted._engine.threads = 1
    np.testing.assert_array_equal(whole.logits, emitted.run(x, 20).logits)
    np.testing.assert_array_equal(whole.logits[:, ::-1], emitted.run(x[::-1], 20).logits)
    one = emitted.run(x[3:4], 20)
    np.testing.assert_array_equal(one.spike_counts["second"], whole.spike_counts["second"][3:4])


def test_currents_that_wrap_are_counted_and_wrap_as_on_the_emulator() -> None:
    """200 largest weights in one step exceed 21 bits."""
    ones = np.ones(1)
    p = Population("p", (3,), ones, ones, ones, np.zeros(1), np.zeros(1), reset="zero")
    net = network(
        [
            Input("x", (200,)),
            replace(p, name="many", shape=(200,)),
            p,
            Readout("y", (1,), bias=np.zeros(1), scale=ones),
        ],
        [
            Connection("x", "many", (Scale((200,), np.full(1, 1.5)),)),
            Connection("many", "p", (Dense((200,), np.ones((3, 200))),)),
            Connection("p", "y", (Dense((3,), np.ones((1, 3))),)),
        ],
    )
    emitted = LoihiBackend().emit(net, parity_samples=1)
    x = np.ones((1, 200))
    result = emitted.run(x, 10)
    assert result.details["current_overflows"] == {"p": 3 * 11}  # steps 1 to 11
    found = emitted.parity(x, 10)
    assert found is not None and found["differing_spikes"] == 0


def test_a_readout_that_saturates_is_built_again_with_more_room(rng: np.random.Generator) -> None:
    ones = np.ones(1)
    p = Population("p", (100,), ones, ones, ones, np.full(1, 1.2), np.zeros(1), reset="zero")
    net = network(
        [Input("x", (100,)), p, Readout("y", (2,), bias=np.zeros(1), scale=ones)],
        [
            Connection("x", "p", (Scale((100,), np.full(1, 0.1)),)),
            Connection("p", "y", (Dense((100,), np.stack([np.ones(100), -np.ones(100)])),)),
        ],
    )
    emitted = LoihiBackend().emit(net, timesteps=64)
    before = emitted.fidelity()["readout_exponent"]
    result = emitted.run(np.zeros((2, 100)), 64)
    assert emitted.fidelity()["readout_exponent"] < before
    assert result.details["readout_saturations"] == {}
    # weights of exponent -4 have 15 levels: the largest is 6 % too small
    np.testing.assert_allclose(result.logits[-1], [[100.0, -100.0]] * 2, rtol=0.06)
    found = emitted.parity(np.zeros((1, 100)), 16)
    assert found is not None and found["voltage_differences"] == 0
