"""Weights that were spoilt on purpose are found again from the currents."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnconvert.calibration.corrections.weights import refit_readout, refit_weights, visible_error
from snnconvert.calibration.readout import EVEN, Reading
from snnconvert.calibration.replay import ReplayState, Teacher, replay
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import Convolution, Dense, FloatArray
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network, Population, Readout
from tests.graphs import Sketch, samples_for

T = 4096  # fine levels: rates are the activations


def sketched(kind: str) -> tuple[Graph, dict[str, FloatArray]]:
    sketch = Sketch(3)
    channels = 1 if kind == "dense" else 6
    value = sketch.relu(sketch.conv(sketch.input((4, 7, 6)), channels, pad=1), name="first")
    if kind == "dense":
        value = sketch.relu(sketch.dense(value, 4), name="second")
    else:
        options: dict[str, Any] = {
            "conv": {"pad": 1},
            "strided": {"pad": 1, "stride": 2},
            "grouped": {"groups": 3},
            "depthwise": {"groups": 6, "pad": 1},
        }[kind]
        value = sketch.relu(sketch.conv(value, 6, **options), name="second")
    graph = lower(sketch.graph(sketch.dense(value, 3)))
    return graph, samples_for(graph, 300 if kind == "dense" else 40)


def spoilt(network: Network, rng: np.random.Generator) -> Network:
    """Change the weights and the bias of the second population."""
    connections = []
    for c in network.connections:
        if c.target == "second":
            last = c.operators[-1]
            assert isinstance(last, Convolution | Dense)
            noise = 0.3 * rng.standard_normal(last.weight.shape)
            c = replace(c, operators=(*c.operators[:-1], replace(last, weight=last.weight + noise)))
        connections.append(c)
    second = network["second"]
    assert isinstance(second, Population)
    shifted = replace(second, bias=second.bias + 0.2)
    return replace(network, connections=tuple(connections)).replace_nodes([shifted])


def refitted(network: Network, graph: Graph, samples: dict[str, FloatArray]) -> Network:
    teacher = Teacher.of(network, graph, samples, 1)

    class Second:
        def refit_population(self, population: Population, state: ReplayState) -> Population:
            if population.name != "second":
                return population
            before = graph["second"].inputs[0]
            return refit_weights(population, state, teacher.activations[before], slice(None))

        def refit_readout(self, readout: Readout, state: ReplayState) -> Readout:
            return readout

    return replay(network, samples, T, holdoff=T, refit=Second()).network


@pytest.mark.parametrize("kind", ["conv", "strided", "grouped", "depthwise", "dense"])
def test_spoilt_weights_are_found_again(rng: np.random.Generator, kind: str) -> None:
    graph, samples = sketched(kind)
    found = graph.evaluate(samples, [n.name for n in graph.activations])
    scales = {name: np.full((1,) * (a.ndim - 1), a.max()) for name, a in found.items()}
    network = build_network(graph, scales)
    worse = spoilt(network, rng)
    once = refitted(worse, graph, samples)
    mended = once
    for _ in range(5):  # errors that were hidden show up as the weights come closer
        mended = refitted(mended, graph, samples)
    wanted = graph.evaluate(samples, [graph.outputs[0]])[graph.outputs[0]]
    off, near, right = (
        np.abs(replay(net, samples, T, holdoff=T).outputs[net.readouts[0].name] - wanted).max()
        for net in (worse, once, mended)
    )
    assert near < 0.3 * off
    assert right < 0.7 * near


@pytest.mark.parametrize("reading", [EVEN, Reading(0.5), Reading(0.25, rising=True)])
def test_the_outputs_are_refitted_too(rng: np.random.Generator, reading: Reading) -> None:
    graph, samples = sketched("dense")
    found = graph.evaluate(samples, [n.name for n in graph.activations])
    scales = {name: np.full((1,) * (a.ndim - 1), a.max()) for name, a in found.items()}
    network = build_network(graph, scales)
    (readout,) = network.readouts
    (connection,) = network.incoming(readout.name)
    last = connection.operators[-1]
    assert isinstance(last, Dense)
    noisy = replace(last, weight=last.weight + 0.3 * rng.standard_normal(last.weight.shape))
    others = [c for c in network.connections if c is not connection]
    spoilt = replace(connection, operators=(*connection.operators[:-1], noisy))
    worse = replace(network, connections=(*others, spoilt)).replace_nodes(
        [reading.of(replace(readout, bias=readout.bias - 0.5, scale=np.full(1, 2.0)))]
    )
    wanted = graph.evaluate(samples, [graph.outputs[0]])[graph.outputs[0]]

    class Outputs:
        def refit_population(self, population: Population, state: ReplayState) -> Population:
            return population

        def refit_readout(self, readout: Readout, state: ReplayState) -> Readout:
            return refit_readout(readout, state, wanted, slice(None))

    steps = 64
    weights = reading.of(readout).step_weights(steps)
    mended = replay(worse, samples, steps, refit=Outputs())
    off, near = (
        np.abs(np.tensordot(weights, replayed.currents[readout.name], axes=1) - wanted).max()
        for replayed in (replay(worse, samples, steps), mended)
    )
    assert near < 0.2 * off


def test_what_fits_already_stays(rng: np.random.Generator) -> None:
    graph, samples = sketched("conv")
    found = graph.evaluate(samples, [n.name for n in graph.activations])
    scales = {name: np.full((1,) * (a.ndim - 1), a.max()) for name, a in found.items()}
    network = build_network(graph, scales)
    silent = {name: np.zeros_like(x) for name, x in samples.items()}
    flat = network.replace_nodes(
        replace(p, v_init=np.zeros(1), bias=np.full((1, 1, 1), -1.0)) for p in network.populations
    )
    assert refitted(flat, graph, silent).connections == flat.connections  # nothing arrives


def test_errors_that_no_spike_shows_count_as_none(rng: np.random.Generator) -> None:
    graph, _ = sketched("conv")
    network = build_network(graph, {n.name: np.full((1, 1, 1), 2.0) for n in graph.activations})
    (population, *_) = network.populations
    current, wanted = (
        np.asarray(values, np.float32).reshape(-1, 1, 1, 1)
        for values in ([-3, -3, 1, 0.5, 2.5, 2.5, 1.5], [-1, 0.5, -1, 1.5, 4, 1, 2.5])
    )
    missing = visible_error(population, current, wanted)
    np.testing.assert_array_equal(
        missing.ravel(), np.array([0, 3.5, -2, 1, 0, -1.5, 1], np.float32)
    )
    graded = visible_error(replace(population, neuron="graded:2"), current, wanted)
    np.testing.assert_array_equal(
        graded.ravel(), np.array([0, 3.5, -2, 1, 1.5, -1.5, 1], np.float32)
    )
