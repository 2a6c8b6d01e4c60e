"""The Nengo target equals the reference, entry by entry, and is a network Nengo users can embed."""

import copy
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from networks import Case, assert_same_run, cases

from snnconvert.backends.base import RunResult, Samples, get_backend
from snnconvert.backends.nengo import NengoBackend
from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.neurons import SignedIntegrateAndFire
from snnconvert.backends.reference import ReferenceBackend
from snnconvert.convert.errors import (
    DataError,
    MissingExtraError,
    ParityError,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    LinearOperator,
    Pads,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Window,
    place,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
    Reset,
    with_reset,
)

AnyArray: TypeAlias = npt.NDArray[Any]


def F(value: float) -> FloatArray:  # noqa: N802
    return np.asarray(value, np.float64)


def population(rng: np.random.Generator, name: str, shape: Shape, **parameters: Any) -> Population:
    per_channel = (shape[0], *[1] * (len(shape) - 1))
    threshold = rng.uniform(0.5, 2.0, per_channel)
    given: dict[str, Any] = {
        "threshold": threshold,
        "amplitude": threshold,
        "scale": threshold,
        "bias": rng.normal(0, 0.1, per_channel),
        "v_init": threshold / 2,
    }
    return Population(name, shape, **(given | parameters))


def convolution(
    rng: np.random.Generator,
    shape: Shape,
    filters: int,
    size: int,
    *,
    stride: int = 1,
    pads: int | Pads = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Convolution:
    spatial = len(shape) - 1
    pads = pads if isinstance(pads, tuple) else ((pads, pads),) * spatial
    weight = rng.normal(0, 0.6, (filters, shape[0] // groups, *[size] * spatial))
    return Convolution(shape, weight, (stride,) * spatial, pads, (dilation,) * spatial, groups)


def readout(rng: np.random.Generator, name: str, size: int, **parameters: Any) -> Readout:
    return Readout(name, (size,), rng.normal(0, 0.2, size), F(1.0), **parameters)


def flat_dense(rng: np.random.Generator, shape: Shape, size: int) -> Chain:
    flat = Reshape(shape, (int(np.prod(shape)),))
    return (flat, Dense(flat.shape, rng.normal(0, 0.5, (size, *flat.shape))))


def chain_network(
    rng: np.random.Generator, shape: Shape, *operators: LinearOperator, size: int = 5
) -> Network:
    """Input, a population after each operator, a dense readout."""
    nodes: list[NetworkNode] = [Input("x", shape)]
    connections = []
    for i, operator in enumerate(operators):
        nodes.append(population(rng, f"layer{i}", operator.output_shape))
        connections.append(Connection(nodes[-2].name, nodes[-1].name, (operator,)))
    dense = flat_dense(rng, nodes[-1].shape, size)
    connections.append(Connection(nodes[-1].name, "y", dense))
    return Network("chain", (*nodes, readout(rng, "y", size)), tuple(connections))


def residual_network(rng: np.random.Generator) -> Network:
    """A relay, adds, a concatenation, average pooling, and a layer that is fed twice."""
    shape, wide = (2, 6, 6), (4, 6, 6)
    first = convolution(rng, shape, 2, 3, pads=1)
    pool = SumPool(wide, Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    mean = Scale(pool.output_shape, np.full((1, 1, 1), 0.25))
    head = flat_dense(rng, pool.output_shape, 3)
    nodes = (
        Input("x", shape),
        population(rng, "a", shape),
        Relay("sum", shape),
        population(rng, "b", shape),
        population(rng, "joined", wide),
        readout(rng, "y", 3),
    )
    connections = (
        Connection("x", "a", (first,)),
        Connection("x", "sum", (convolution(rng, shape, 2, 3, pads=1),)),
        Connection("a", "sum", (convolution(rng, shape, 2, 3, pads=1),)),
        Connection("a", "b"),
        Connection("sum", "b", (Scale(shape, rng.normal(0, 1, (2, 1, 1))),)),
        Connection("sum", "joined", (place(shape, 0, 0, 4),)),
        Connection("b", "joined", (place(shape, 0, 2, 4),)),
        Connection("joined", "y", (pool, mean, *head)),
    )
    return Network("residual", nodes, connections)


def with_more_bias(network: Network, name: str) -> Network:
    node = network[name]
    assert isinstance(node, Population | Readout)
    return network.replace_nodes([replace(node, bias=node.bias + 0.5)])


def assert_equal_runs(
    network: Network, x: Samples, timesteps: int, *, reset: Reset = "subtract", **options: Any
) -> RunResult:
    """Every spike, count and output equals the reference's; return the result."""
    network = with_reset(network, reset)
    ours = NengoBackend().emit(network, **options).run(x, timesteps, record=("*",))
    theirs = ReferenceBackend().emit(network).run(x, timesteps, record=("*",))
    assert sum(train.sum() for train in theirs.spikes.values()) > 0
    assert list(ours.spikes) == [p.name for p in network.populations]
    assert all(train.dtype == bool for train in ours.spikes.values())
    assert_same_run(ours, theirs)
    return ours


OPERATORS: dict[str, dict[str, Any]] = {
    "valid": {"pads": 0},
    "same": {"pads": 1},
    "strided, one-sided": {"stride": 2, "pads": ((0, 1), (0, 1))},
    "strided, symmetric": {"stride": 2, "pads": 1},
    "dilated": {"dilation": 2, "pads": 2},
    "grouped": {"groups": 2, "pads": 1},
}


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("options", OPERATORS.values(), ids=OPERATORS)
def test_convolutions(rng: np.random.Generator, options: dict[str, Any], reset: Reset) -> None:
    network = chain_network(
        rng,
        (2, 8, 8),
        convolution(rng, (2, 8, 8), 4, 3, pads=1),
        convolution(rng, (4, 8, 8), 4, 3, **options),
    )
    assert_equal_runs(network, rng.random((3, 2, 8, 8)), 20, reset=reset)


def test_one_dimension(rng: np.random.Generator) -> None:
    network = chain_network(rng, (3, 16), convolution(rng, (3, 16), 4, 5, pads=2))
    assert_equal_runs(network, rng.random((3, 3, 16)), 20)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_relays_adds_and_concatenations(rng: np.random.Generator, reset: Reset) -> None:
    network = residual_network(rng)
    emitted = NengoBackend().emit(network)
    assert list(emitted.relays) == ["sum"]
    assert_equal_runs(network, rng.normal(0, 1, (3, 2, 6, 6)), 33, reset=reset)


def delayed_network(rng: np.random.Generator, delay: int = 2) -> Network:
    network = residual_network(rng)
    delayed = tuple(
        replace(c, delay=delay + i % 2) if (c.source, c.target) != ("a", "b") else c
        for i, c in enumerate(network.connections)
    )
    return replace(network, connections=delayed)


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_delays(rng: np.random.Generator, delay: int) -> None:
    assert_equal_runs(delayed_network(rng, delay), rng.normal(0, 1, (2, 2, 6, 6)), 20)


def test_one_step_of_delay_is_nengos_synapse_0(rng: np.random.Generator) -> None:
    network = chain_network(rng, (4,), Dense((4,), rng.normal(0, 1, (6, 4))))
    late = replace(network.connections[0], delay=1)
    emitted = NengoBackend().emit(replace(network, connections=(late, *network.connections[1:])))
    ours = next(c for c in emitted.network.connections if c.label == "x->layer0")
    x, T = rng.random((1, 4)), 12
    expected = emitted.run(x, T, record=("layer0",)).spikes["layer0"]
    ours.synapse = nengo.Lowpass(0)
    np.testing.assert_array_equal(emitted.run(x, T, record=("layer0",)).spikes["layer0"], expected)


def staged_network(rng: np.random.Generator) -> Network:
    """Firing and bias windows, delays, an input that stops, a readout that starts late."""
    network = residual_network(rng)
    nodes: list[NetworkNode] = []
    for node in network.nodes:
        if isinstance(node, Input):
            node = replace(node, start=1, stop=9)
        elif isinstance(node, Population):
            late = 3 * len(nodes)
            node = replace(node, start=late, stop=late + 8, bias_start=2, bias_stop=10)
        elif isinstance(node, Readout):
            node = replace(node, start=6, bias_start=6, bias_stop=20)
        nodes.append(node)
    connections = tuple(replace(c, delay=i % 4) for i, c in enumerate(network.connections))
    return replace(network, nodes=tuple(nodes), connections=connections, timesteps=20)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_windows(rng: np.random.Generator, reset: Reset) -> None:
    staged = staged_network(rng)
    result = assert_equal_runs(staged, rng.normal(0, 1, (2, 2, 6, 6)), 20, reset=reset)
    assert result.latency == 6
    assert not result.spikes["a"][:3].any() and result.spikes["a"][3:11].any()


def test_events(rng: np.random.Generator) -> None:
    nodes = (
        Input("x", (2, 4), encoding="events", start=2, bound=3.0),
        population(rng, "a", (2, 4)),
        readout(rng, "y", 3),
    )
    connections = (Connection("x", "a", delay=1), Connection("a", "y", flat_dense(rng, (2, 4), 3)))
    network = Network("events", nodes, connections)
    frames = rng.integers(0, 4, (3, 9, 2, 4))
    assert_equal_runs(network, frames, 15)


def test_two_inputs_and_outputs(rng: np.random.Generator) -> None:
    nodes = (
        Input("x", (4,)),
        Input("z", (4,)),
        population(rng, "a", (4,)),
        readout(rng, "y", 3),
        readout(rng, "w", 2, start=4),
    )
    connections = (
        Connection("x", "a"),
        Connection("z", "a", (Dense((4,), rng.normal(0, 1, (4, 4))),)),
        Connection("a", "y", flat_dense(rng, (4,), 3)),
        Connection("a", "w", flat_dense(rng, (4,), 2)),
    )
    network = Network("two", nodes, connections)
    assert_equal_runs(network, {"x": rng.random((2, 4)), "z": rng.random((2, 4))}, 10)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_random_networks(case: Case) -> None:
    """Every operator, adds, concatenations, relays, windows, delays, events, both resets."""
    emitted = NengoBackend().emit(case.network)
    assume(emitted.exact)
    theirs = ReferenceBackend().emit(case.network).run(case.samples, case.timesteps, record=("*",))
    assert_same_run(emitted.run(case.samples, case.timesteps, record=("*",)), theirs)


@pytest.mark.parametrize("bits", [3, 8])
def test_integer_weights(rng: np.random.Generator, bits: int) -> None:
    network = replace(residual_network(rng), weight_bits=bits)
    assert_equal_runs(network, rng.normal(0, 1, (2, 2, 6, 6)), 16)


@pytest.mark.parametrize("dt", [0.001, 0.002, 1 / 1024, 1 / 7, 1.0, 0.0001])
def test_any_whole_1_over_dt(rng: np.random.Generator, dt: float) -> None:
    assert_equal_runs(residual_network(rng), rng.normal(0, 1, (2, 2, 6, 6)), 16, dt=dt)


def test_ties_with_the_threshold() -> None:
    """A voltage that reaches the threshold exactly spikes in that step."""
    weight = np.array([[0.25], [0.5], [0.125]])
    nodes = (
        Input("x", (1,)),
        Population("a", (3,), F(1), F(1), F(1), F(0), F(0.5)),
        Readout("y", (3,), F(0), F(1)),
    )
    network = Network(
        "ties", nodes, (Connection("x", "a", (Dense((1,), weight),)), Connection("a", "y"))
    )
    result = assert_equal_runs(network, np.ones((1, 1)), 8)
    np.testing.assert_array_equal(result.spike_counts["a"], [[2, 4, 1]])
    np.testing.assert_array_equal(result.spikes["a"][:, 0, 1], [1, 0] * 4)


def test_silent_weights(rng: np.random.Generator) -> None:
    """All weights zero: only the bias makes spikes."""
    network = chain_network(rng, (4,), Dense((4,), np.zeros((6, 4))))
    network = with_more_bias(network, "layer0")
    assert_equal_runs(network, rng.random((2, 4)), 8)


def test_no_samples_and_no_record(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    result = emitted.run(np.zeros((0, 2, 6, 6)), 3)
    assert result.logits.shape == (3, 0, 3)
    assert result.spike_counts["joined"].shape == (0, 4, 6, 6)
    assert result.spikes == {}


def test_samples_do_not_depend_on_each_other(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    x = rng.normal(0, 1, (3, 2, 6, 6))
    together = emitted.run(x, 20).logits
    alone = np.concatenate([emitted.run(row[None], 20).logits for row in x], axis=1)
    np.testing.assert_array_equal(together, alone)


def test_without_probes(rng: np.random.Generator) -> None:
    network, x = residual_network(rng), rng.normal(0, 1, (2, 2, 6, 6))
    emitted = NengoBackend().emit(network, probes=False)
    assert emitted.probes == {} and emitted.network.all_probes == []
    np.testing.assert_array_equal(
        emitted.run(x, 20).logits, NengoBackend().emit(network).run(x, 20).logits
    )
    assert emitted.network.all_probes == []


def test_a_users_nengorc_does_not_make_sums_inexact(rng: np.random.Generator) -> None:
    bits = nengo.rc.get("precision", "bits")
    nengo.rc.set("precision", "bits", "32")
    try:
        assert_equal_runs(residual_network(rng), rng.normal(0, 1, (2, 2, 6, 6)), 20)
        assert nengo.rc.get("precision", "bits") == "32"
    finally:
        nengo.rc.set("precision", "bits", bits)


# What is emitted


def test_labels_and_shapes(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng), seed=3)
    assert emitted.network.label == "residual" and emitted.network.seed == 3
    assert {name: e.n_neurons for name, e in emitted.layers.items()} == {
        "a": 72,
        "b": 72,
        "joined": 144,
    }
    assert all(e.label == name for name, e in emitted.layers.items())
    assert (emitted.input.label, emitted.input.size_in, emitted.input.size_out) == ("x", 72, 72)
    assert (emitted.output.label, emitted.output.size_out) == ("y", 3)
    assert emitted.network.input is emitted.input and emitted.network.output is emitted.output
    assert emitted.network.layers is emitted.layers
    assert list(emitted.probes) == ["a", "b", "joined", "y"]
    assert emitted.probes["a"].label == "a/spikes"
    ensemble = emitted.layers["a"]
    np.testing.assert_array_equal(ensemble.gain, 1)
    population = emitted.executable["a"]
    assert isinstance(population, Population)
    biases = np.broadcast_to(population.bias, (2, 6, 6)).reshape(-1)
    np.testing.assert_array_equal(ensemble.bias, biases * 1000)
    assert isinstance(ensemble.neuron_type, SignedIntegrateAndFire)


def test_resources_and_fidelity(rng: np.random.Generator) -> None:
    network = chain_network(rng, (1, 4, 4), convolution(rng, (1, 4, 4), 2, 3), size=3)
    emitted = NengoBackend().emit(network)
    assert emitted.resources() == {
        "ensembles": 1,
        "neurons": 8,
        "nodes": 4,  # x, y, the current into y, its bias
        "connections": 4,
        "nonzero_weights": 2 * 9 + 8 * 3,
        "probes": 2,
    }
    assert emitted.fidelity() == {
        "engine": f"nengo {nengo.__version__}",
        "neuron": "if",
        "reset": "subtract",
        "dt": 0.001,
        "delay": 0,
        "weight_bits": None,
        "input": "analog current",
        "exact": True,
    }


def test_parity_says_what_was_compared(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    x = rng.normal(0, 1, (6, 2, 6, 6))
    spikes = sum(c.sum() for c in emitted.run(x[:4], 10).spike_counts.values())
    assert emitted.parity(x, 10) == {
        "compared_with": "reference",
        "samples": 4,
        "timesteps": 10,
        "populations": 3,
        "spikes": spikes,
        "differing_spikes": 0,
    }


def test_parity_fails_on_a_difference(rng: np.random.Generator) -> None:
    network = residual_network(rng)
    emitted = NengoBackend().emit(network)
    emitted.executable = with_more_bias(emitted.executable, "b")
    with pytest.raises(ParityError, match=r"differ in [\d,]+ of 5,760 spike .* populations b, jo"):
        emitted.parity(rng.normal(0, 1, (2, 2, 6, 6)), 10)


def test_parity_fails_on_another_output(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    emitted.executable = with_more_bias(emitted.executable, "y")
    with pytest.raises(ParityError, match="differ in output 'y'"):
        emitted.parity(rng.normal(0, 1, (2, 2, 6, 6)), 10)


def test_without_exact_grids(rng: np.random.Generator) -> None:
    """A chain of many weights has no grid: spikes are compared all the same, outputs closely."""
    dense = [Dense((4,), rng.normal(0, 1, (4, 4))) for _ in range(4)]
    nodes = (Input("x", (4,)), Relay("r", (4,)), readout(rng, "y", 4))
    connections = (Connection("x", "r", tuple(dense[:2])), Connection("r", "y", tuple(dense[2:])))
    emitted = NengoBackend().emit(Network("long", nodes, connections))
    assert not emitted.exact and emitted.fidelity()["exact"] is False
    x = rng.random((4, 4))
    theirs = ReferenceBackend().emit(Network("long", nodes, connections)).run(x, 8).logits
    assert (emitted.run(x, 8).logits != theirs).any()
    assert emitted.parity(x, 8)["differing_spikes"] == 0


# Embedding


def simulate(network: Any, steps: int) -> dict[str, FloatArray]:
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(steps)
        return {probe.label: simulator.data[probe].copy() for probe in network.all_probes}


def test_embedded_in_a_larger_model(rng: np.random.Generator) -> None:
    """The user's node drives the input, the user's node reads the output, in the same step."""
    network = residual_network(rng)
    x = rng.normal(0, 1, (2, 6, 6))
    alone = NengoBackend().emit(network).run(x[None], 30, record=("*",))
    with nengo.Network(seed=1) as model:
        emitted = NengoBackend().emit(network)
        eye = nengo.Node(x.reshape(-1))
        decision = nengo.Node(size_in=3)
        nengo.Connection(eye, emitted.input, synapse=None)
        nengo.Connection(emitted.output, decision, synapse=None)
        nengo.Probe(decision, label="decision")
    assert emitted.network in model.networks
    data = simulate(model, 30)
    np.testing.assert_array_equal(data["decision"], alone.logits[:, 0])
    for name, train in alone.spikes.items():
        np.testing.assert_array_equal(data[f"{name}/spikes"], train[:, 0].reshape(30, -1) * 1000.0)


def test_embedded_later(rng: np.random.Generator) -> None:
    network, x = residual_network(rng), rng.normal(0, 1, (2, 6, 6))
    emitted = NengoBackend().emit(network)
    with nengo.Network() as model:
        nengo.Network.add(emitted.network)
        ensemble = nengo.Ensemble(20, 1, seed=0)
        nengo.Connection(emitted.output[0], ensemble)
    emitted.present(x)
    data = simulate(model, 30)
    # run() simulates the emitted network alone, whatever surrounds it
    np.testing.assert_array_equal(data["y"], emitted.run(x[None], 30).logits[:, 0])


def test_presented_samples(rng: np.random.Generator) -> None:
    network, x = residual_network(rng), rng.normal(0, 1, (2, 2, 6, 6))
    emitted = NengoBackend().emit(network)
    emitted.present(x[0])
    np.testing.assert_allclose(emitted.input.output.sample, x[0], atol=2**-16)
    logits = emitted.run(x, 12).logits
    np.testing.assert_array_equal(simulate(emitted.network, 12)["y"], logits[:, 0])
    emitted.input.output.sample = x[1]
    np.testing.assert_array_equal(simulate(emitted.network, 12)["y"], logits[:, 1])
    emitted.input.output.clear()
    assert not emitted.input.output.sample.any()


@pytest.mark.parametrize("make", [residual_network, delayed_network, staged_network])
@pytest.mark.parametrize("neuron", ["if", "signed", "graded:3"])
def test_restarts_within_a_simulation(
    rng: np.random.Generator, make: Callable[[np.random.Generator], Network], neuron: str
) -> None:
    """One sample after the other in a larger model: each as if it were alone."""
    network, x = make(rng), rng.normal(0, 1, (4, 2, 6, 6))
    network = network.replace_nodes(replace(p, neuron=neuron) for p in network.populations)
    steps = network.latency(20)
    alone = NengoBackend().emit(network).run(x, 20, record=("*",))
    with nengo.Network() as model:
        emitted = NengoBackend().emit(network, restart_every=steps)
        images = nengo.processes.PresentInput(x.reshape(4, -1), steps * emitted.dt)
        nengo.Connection(nengo.Node(images), emitted.input, synapse=None)
    data = simulate(model, 4 * steps)
    for name, train in alone.spikes.items():
        ours = data[f"{name}/spikes"].reshape(4, *train[:, 0].shape).swapaxes(0, 1) * emitted.dt
        assert train.any()
        np.testing.assert_array_equal(ours, train)
    logits = data["y"].reshape(4, steps, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(logits[-20:], alone.logits)
    assert not logits[: steps - 20].any()


def test_a_run_longer_than_a_restart(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng), restart_every=8)
    x = rng.normal(0, 1, (1, 2, 6, 6))
    assert emitted.parity(x, 8)["differing_spikes"] == 0
    with pytest.raises(UsageError, match=r"a run of 9 steps; .* restart every 8; emit it without"):
        emitted.run(x, 9)


def test_a_restart_before_the_first_output(rng: np.random.Generator) -> None:
    with pytest.raises(UsageError, match="restart_every must be at least 7, not 6"):
        NengoBackend().emit(staged_network(rng), restart_every=6)
    with pytest.raises(UsageError, match="restart_every must be at least 1, not 0"):
        NengoBackend().emit(residual_network(rng), restart_every=0)


def test_events_from_a_users_neurons(rng: np.random.Generator) -> None:
    """Spikes of the user's neurons, of Nengo's height 1/dt, count as events."""
    nodes = (
        Input("x", (4,), encoding="events"),
        population(rng, "a", (4,), bias=F(0.0)),
        readout(rng, "y", 3),
    )
    connections = (Connection("x", "a"), Connection("a", "y", flat_dense(rng, (4,), 3)))
    network = Network("events", nodes, connections)
    with nengo.Network() as model:
        emitted = NengoBackend().emit(network)
        fast = SignedIntegrateAndFire(initial_state={"voltage": np.array([0.0, 0.25, 0.5, 0.75])})
        bias = np.array([250.0, 125.0, 750.0, 0.0])
        eye = nengo.Ensemble(4, 1, neuron_type=fast, gain=np.ones(4), bias=bias)
        nengo.Connection(eye.neurons, emitted.input, synapse=None)
        nengo.Probe(eye.neurons, label="eye")
    data = simulate(model, 20)
    frames = (data["eye"] > 0).reshape(1, 20, 4).astype(float)
    assert frames.sum() == 5 + 2 + 15
    expected = ReferenceBackend().emit(network).run(frames, 20)
    np.testing.assert_array_equal(data["y"], expected.logits[:, 0])


def test_the_mean_current_is_the_output(rng: np.random.Generator) -> None:
    with nengo.Network() as model:
        emitted = NengoBackend().emit(residual_network(rng))
        nengo.Probe(emitted.currents["y"], label="current")
    emitted.present(rng.normal(0, 1, (2, 6, 6)))
    data = simulate(model, 30)
    mean = np.cumsum(data["current"], axis=0) / np.arange(1, 31)[:, None]
    np.testing.assert_allclose(mean * emitted.dt, data["y"], rtol=1e-12)


def test_a_copy_is_a_network_of_its_own(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    x = rng.normal(0, 1, (1, 2, 6, 6))
    with warnings.catch_warnings():
        # Network.copy of nengo 4.1.0 warns for every passthrough node.
        warnings.filterwarnings("ignore", "'Node.size_out' is being overwritten", UserWarning)
        twin = copy.deepcopy(emitted.network)
    twin.input.output.sample = x[0]
    assert not emitted.input.output.sample.any()
    np.testing.assert_array_equal(simulate(twin, 9)["y"], emitted.run(x, 9).logits[:, 0])


# Refusals


def test_importing_the_backend_does_not_import_nengo() -> None:
    code = (
        "import sys; from snnconvert.backends.nengo import NengoBackend; NengoBackend();"
        "sys.exit('nengo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nengo", None)
    with pytest.raises(MissingExtraError) as caught:
        NengoBackend()
    assert "nengo, which is not installed" in str(caught.value)
    assert caught.value.hint == 'pip install "snnconvert[nengo]"'


def test_it_is_registered() -> None:
    assert isinstance(get_backend("nengo"), NengoBackend)
    assert get_backend("nengo").default_reset == "subtract"


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (0.003, r"1/dt must be a whole number, not 1/0\.003; spikes have height 1/dt, .*dt=0\.001"),
        (2.0, "must be a whole number, not 1/2"),
        (0.0, "must be a whole number, not 1/0"),
        (-0.001, "must be a whole number"),
        (float("nan"), "must be a whole number"),
        (float("inf"), "must be a whole number"),
        (1e-9, r"1/dt has an odd divisor of 1,953,125, the limit for exact sums is 16,384"),
    ],
)
def test_steps_that_are_refused(rng: np.random.Generator, dt: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NengoBackend().emit(residual_network(rng), dt=dt)


def test_a_simulator_with_another_dt(rng: np.random.Generator) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    with pytest.raises(UsageError, match=r"emitted for dt=0\.001, the Simulator runs at dt=0\.002"):
        nengo.Simulator(emitted.network, dt=0.002, progress_bar=False)


def test_what_nengo_cannot_run_is_listed(rng: np.random.Generator) -> None:
    network = residual_network(rng)
    other = network.replace_nodes([population(rng, "a", (2, 6, 6), neuron="lif")])
    nothing = Network("nothing", (Input("x", (0, 2)), *other.nodes[1:]), other.connections[2:])
    problems = NengoBackend().check(nothing)
    assert [p.message for p in problems] == [
        "target 'nengo' has no neuron model 'lif'",
        "Nengo has no nodes without values",
    ]
    assert problems[1].place == "node 'x' of shape (0, 2)"
    assert NengoBackend().check(network) == []
    with pytest.raises(UnsupportedModelError, match=r"'residual' .* no neuron model 'lif'"):
        NengoBackend().emit(other)


@pytest.mark.parametrize("sample", [np.zeros((3, 6, 6)), np.zeros((1, 2, 6, 6)), np.zeros(72)])
def test_a_sample_of_another_shape(rng: np.random.Generator, sample: AnyArray) -> None:
    emitted = NengoBackend().emit(residual_network(rng))
    with pytest.raises(DataError, match=r"has shape \(.*\), the network needs \(2, 6, 6\)"):
        emitted.input.output.sample = sample
    with pytest.raises(DataError, match="the network needs"):
        emitted.present(sample)


def test_events_of_another_shape() -> None:
    nodes = (Input("x", (4,), encoding="events"), Readout("y", (4,), F(0), F(1)))
    emitted = NengoBackend().emit(Network("n", nodes, (Connection("x", "y"),)))
    assert emitted.input.output.sample.shape == (0, 4)
    with pytest.raises(DataError, match=r"has shape \(4,\), the network needs \(T, 4\)"):
        emitted.input.output.sample = np.zeros(4)


def test_selections_are_wiring(rng: np.random.Generator) -> None:
    """A strided slice and zero-padding become sparse matrices of ones."""
    take = Select((2, 6), (None, np.array([-1, 4, 2, 0, 0])))
    network = chain_network(rng, (2, 6), take, Dense((2, 5), rng.normal(0, 1, (4, 5))))
    assert_equal_runs(network, rng.random((2, 2, 6)), 12)
