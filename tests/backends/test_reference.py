"""The oracle, by hand: one small network for each clause of the law in network.py."""

from typing import Any

import numpy as np
import pytest
from evaluations import small_network
from hypothesis import HealthCheck, given, settings
from networks import Case, cases

from snnconvert.backends.base import Emitted, decode, get_backend, prepare
from snnconvert.backends.reference import ReferenceBackend, ReferenceSimulation
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import Dense, FloatArray, Scale, chain_to_sparse
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)

ONE, ZERO = np.ones(()), np.zeros(())


def population(name: str = "p", **options: Any) -> Population:
    """One neuron with threshold 1."""
    given: dict[str, Any] = {
        "amplitude": ONE,
        "scale": ONE,
        "bias": ZERO,
        "v_init": ZERO,
        "threshold": ONE,
    }
    given |= {
        key: np.asarray(value, np.float64) if key in given else value
        for key, value in options.items()
    }
    return Population(name, (1,), **given)


def readout(**options: Any) -> Readout:
    return Readout("y", (1,), options.pop("bias", ZERO), options.pop("scale", ONE), **options)


def network(*nodes: NetworkNode, wires: tuple[Connection, ...]) -> Network:
    return Network("by hand", nodes, wires)


def train(simulated: Network, x: FloatArray, steps: int, name: str = "p") -> list[int]:
    """Spikes of a population's first neuron."""
    result = ReferenceSimulation(simulated).run(x, steps, record=(name,))
    assert result.spikes[name].sum(axis=0).tolist() == result.spike_counts[name].tolist()
    return [int(s) for s in result.spikes[name][:, 0, 0]]


def driven(p: Population, **options: Any) -> Network:
    """An input current into one neuron."""
    return network(Input("x", (1,), **options), p, wires=(Connection("x", p.name),))


def current(value: float) -> FloatArray:
    return np.array([[value]])


def test_current_adds_up_to_spikes() -> None:
    assert train(driven(population(v_init=0.5)), current(0.25), 8) == [0, 1, 0, 0, 0, 1, 0, 0]
    assert train(driven(population(bias=0.25)), current(0.25), 6) == [0, 1, 0, 1, 0, 1]


def test_reset_by_subtraction_keeps_what_reset_to_zero_loses() -> None:
    assert train(driven(population()), current(0.75), 6) == [0, 1, 1, 1, 0, 1]
    assert train(driven(population(reset="zero")), current(0.75), 6) == [0, 1, 0, 1, 0, 1]


def test_it_fires_in_its_window_only() -> None:
    windowed = driven(population(start=2, stop=5))
    assert train(windowed, current(1.0), 8) == [0, 0, 1, 1, 1, 0, 0, 0]


def test_a_bias_flows_in_its_window_only() -> None:
    windowed = driven(population(bias=1.0, bias_start=1, bias_stop=4))
    assert train(windowed, current(0.0), 7) == [0, 1, 1, 1, 0, 0, 0]


def test_an_input_flows_in_its_window_only() -> None:
    assert train(driven(population(), start=2, stop=4), current(1.0), 6) == [0, 0, 1, 1, 0, 0]


def test_events_come_frame_by_frame_from_the_start_of_the_window() -> None:
    frames = np.array([[[1.0], [0.0], [1.0]]])
    assert train(driven(population(), encoding="events"), frames, 5) == [1, 0, 1, 0, 0]
    late = driven(population(), encoding="events", start=1, stop=3)
    assert train(late, frames, 5) == [0, 1, 0, 0, 0]


def test_a_delay_is_counted_in_steps() -> None:
    """Without delay a spike arrives in the step that it is fired in."""
    first, second = population("first", stop=1), population("second")
    for delay, expected in ((0, [1, 0, 0, 0]), (1, [0, 1, 0, 0]), (3, [0, 0, 0, 1])):
        wires = (Connection("x", "first"), Connection("first", "second", delay=delay))
        assert train(network(Input("x", (1,)), first, second, wires=wires), current(1.0), 4,
                     "second") == expected  # fmt: skip


def test_the_delay_of_an_input_shifts_its_window() -> None:
    wires = (Connection("x", "p", delay=2),)
    delayed = network(Input("x", (1,), stop=2), population(), wires=wires)
    assert train(delayed, current(1.0), 6) == [0, 0, 1, 1, 0, 0]


def test_a_spike_carries_its_amplitude_through_the_weights() -> None:
    source = population("source", amplitude=2.0, threshold=2.0)
    wires = (
        Connection("x", "source"),
        Connection("source", "y", (Dense((1,), np.array([[3.0]])),)),
        Connection("source", "y", (Scale((1,), ONE / 2),)),
    )
    simulated = network(Input("x", (1,)), source, readout(), wires=wires)
    result = ReferenceSimulation(simulated).run(current(2.0), 3)
    np.testing.assert_array_equal(result.logits[:, 0, 0], [2 * 3 + 2 / 2] * 3)


def test_a_relay_passes_its_sum_on_in_the_same_step() -> None:
    wires = (
        Connection("x", "relay", (Scale((1,), ONE / 4),)),
        Connection("p", "relay"),
        Connection("x", "p"),
        Connection("relay", "y", (Scale((1,), ONE * 2),), delay=1),
    )
    nodes = (Input("x", (1,)), population(), Relay("relay", (1,)), readout())
    result = ReferenceSimulation(network(*nodes, wires=wires)).run(current(1.0), 4)
    np.testing.assert_array_equal(result.logits[:, 0, 0] * np.arange(1, 5), [0, 2.5, 5, 7.5])


def test_a_readout_returns_the_mean_current_of_its_window() -> None:
    """Before its window it integrates too: a staged network brings nothing before."""
    late = readout(start=2, bias=np.asarray(1.0), bias_start=3, scale=np.asarray(10.0))
    wires = (Connection("x", "y"),)
    simulation = ReferenceSimulation(network(Input("x", (1,), start=2), late, wires=wires))
    result = simulation.run(current(0.5), 3)
    np.testing.assert_allclose(
        result.logits[:, 0, 0], [10 * 0.5, 10 * (0.5 + 1.5) / 2, 10 * (0.5 + 1.5 + 1.5) / 3]
    )
    assert result.latency == 2


@pytest.mark.parametrize("n", [1, 3])
def test_samples_do_not_see_one_another(n: int) -> None:
    simulated = driven(population())
    x = np.linspace(0, 1, n)[:, None]
    together = ReferenceSimulation(simulated).run(x, 20, record=("p",)).spikes["p"]
    for i in range(n):
        assert train(simulated, x[i : i + 1], 20) == [int(s) for s in together[:, i, 0]]


def test_inputs_are_found_by_name() -> None:
    two = network(
        Input("a", (1,)),
        Input("b", (1,)),
        readout(),
        wires=(Connection("a", "y"), Connection("b", "y", (Scale((1,), ONE * 10),))),
    )
    result = ReferenceSimulation(two).run({"b": current(2.0), "a": current(1.0)}, 1)
    assert result.logits.item() == 21.0
    with pytest.raises(DataError, match=r"no samples for input 'b' \(given: a\)"):
        ReferenceSimulation(two).run({"a": current(1.0)}, 1)


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"samples for input 'x' have shape \(1, 3\), the network"):
        ReferenceSimulation(driven(population())).run(np.zeros((1, 3)), 4)


@pytest.mark.parametrize(
    ("steps", "staged", "text"),
    [
        (0, None, "timesteps must be at least 1, not 0"),
        (9, 8, "the network is staged for 8 timesteps, 9 were asked for; convert it again with"),
        (5000, None, "a run of 5000 steps; sums are exact up to 4096; use fewer timesteps"),
    ],
)
def test_steps_out_of_range_are_refused(steps: int, staged: int | None, text: str) -> None:
    simulated = driven(population())
    limited = Network("n", simulated.nodes, simulated.connections, timesteps=staged)
    with pytest.raises(UsageError, match=text):
        ReferenceSimulation(limited).run(current(1.0), steps)


def by_the_equations(case: Case) -> dict[str, list[FloatArray]]:
    """Spikes of populations and sums of readouts, written down from the law, step by step.

    Everything that was ever sent is kept, and every connection is one matrix.
    """
    simulated = case.network
    matrices = {
        id(c): chain_to_sparse(c.operators, simulated[c.source].shape)
        for c in simulated.connections
    }
    sent: dict[str, list[FloatArray]] = {node.name: [] for node in simulated.nodes}
    seen: dict[str, list[FloatArray]] = {node.name: [] for node in simulated.nodes}
    voltage: dict[str, FloatArray] = {}
    for t in range(simulated.latency(case.timesteps)):
        for node in simulated.nodes:
            if isinstance(node, Input):
                sent[node.name].append(_sent_by_input(node, case.samples[node.name], t))
                continue
            current = np.zeros((len(sent[simulated.inputs[0].name][0]), *node.shape))
            for c in simulated.incoming(node.name):
                if t >= c.delay:
                    arriving = sent[c.source][t - c.delay]
                    flat = matrices[id(c)] @ arriving.reshape(len(arriving), -1).T
                    current = current + flat.T.reshape(current.shape)
            if isinstance(node, Relay):
                sent[node.name].append(current)
                continue
            if _inside(t, node.bias_start, node.bias_stop):
                current = current + node.bias
            first = node.v_init if isinstance(node, Population) else 0.0
            voltage[node.name] = voltage.get(node.name, first) + current
            if isinstance(node, Readout):
                seen[node.name].append(voltage[node.name])
                continue
            spikes = _sent_by_neurons(node, voltage[node.name], sum(seen[node.name]))
            spikes = spikes * _inside(t, node.start, node.stop)
            after = voltage[node.name] - spikes * node.threshold
            if node.reset == "zero":
                after = np.where(spikes, 0.0, voltage[node.name])
            voltage[node.name] = after
            sent[node.name].append(spikes * node.amplitude)
            seen[node.name].append(spikes)
    return seen


def _sent_by_neurons(node: Population, voltage: FloatArray, count: Any) -> FloatArray:
    model, _, most = node.neuron.partition(":")
    if model == "graded":
        return np.clip(voltage // node.threshold, 0, int(most))
    positive = np.where(voltage >= node.threshold, 1, 0)
    if model == "signed":
        return positive - np.where((voltage < 0) & (count > 0), 1, 0)
    return positive


def _inside(t: int, start: int, stop: int | None) -> bool:
    return start <= t and (stop is None or t < stop)


def _sent_by_input(node: Input, x: FloatArray, t: int) -> FloatArray:
    if node.encoding == "current":
        return x * _inside(t, node.start, node.stop)
    frame = t - node.start
    if not _inside(t, node.start, node.stop) or frame >= x.shape[1]:
        return np.zeros_like(x[:, 0])
    return np.asarray(x[:, frame])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(cases("dyadic"))
def test_any_network_follows_the_equations(case: Case) -> None:
    result = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    expected = by_the_equations(case)
    for name, spikes in result.spikes.items():
        np.testing.assert_array_equal(spikes, np.stack(expected[name]), err_msg=name)
    for node in case.network.readouts:
        sums = np.stack(expected[node.name][node.start : node.start + case.timesteps])
        np.testing.assert_array_equal(result.outputs[node.name], decode(node, sums))


def test_decoding_divides_by_the_steps() -> None:
    accumulated = np.array([1.0, 4.0, 9.0, 16.0]).reshape(4, 1, 1)
    np.testing.assert_array_equal(decode(readout(), accumulated)[:, 0, 0], [1.0, 2.0, 3.0, 4.0])
    late = decode(readout(discard=0.5), accumulated)[:, 0, 0]
    np.testing.assert_array_equal(late, [1.0, 4.0 - 1.0, (9.0 - 1.0) / 2, (16.0 - 4.0) / 2])


@pytest.mark.parametrize(
    ("discard", "rising", "words"),
    [
        (0.0, False, "all"),
        (0.125, False, "all but the first 12.5 %"),
        (0.25, True, "all but the first 25 %, later ones more"),
        (0.0, True, "all, later ones more"),
    ],
)
def test_a_readout_says_which_steps_it_counts(discard: float, rising: bool, words: str) -> None:
    assert readout(discard=discard, rising=rising).steps_counted == words


def test_decoding_counts_later_steps_more() -> None:
    accumulated = np.array([1.0, 4.0, 9.0, 16.0]).reshape(4, 1, 1)  # of currents 1, 3, 5, 7
    rising = decode(readout(rising=True), accumulated)[:, 0, 0]
    np.testing.assert_array_equal(rising, [1.0, 7 / 3, 22 / 6, 50 / 10])
    late = decode(readout(discard=0.5, rising=True), accumulated)[:, 0, 0]
    np.testing.assert_array_equal(late, [1.0, 3.0, (3 + 2 * 5) / 3, (5 + 2 * 7) / 3])


@pytest.mark.parametrize("rising", [False, True])
@pytest.mark.parametrize("discard", [0.0, 0.25, 0.5, 0.9])
def test_what_is_decoded_is_the_weighted_mean(
    rng: np.random.Generator, discard: float, rising: bool
) -> None:
    node, currents = readout(discard=discard, rising=rising), rng.integers(-9, 10, (11, 3, 1))
    decoded = decode(node, np.cumsum(currents, axis=0).astype(float))
    for steps in range(1, 12):
        weights = node.step_weights(steps)
        assert weights.sum() == pytest.approx(1.0)
        expected = np.tensordot(weights, currents[:steps], axes=1)
        np.testing.assert_allclose(decoded[steps - 1], expected, atol=1e-12)


def test_emitting_prepares_the_network() -> None:
    p = population(threshold=4.0, amplitude=4.0, scale=4.0)
    simulation = ReferenceBackend().emit(driven(p))
    expected = prepare(driven(p)).network
    (emitted,) = simulation.executable.populations
    assert emitted.threshold == expected.populations[0].threshold == 1.0
    assert simulation.network is simulation.executable


def test_what_it_says_of_itself() -> None:
    backend = get_backend("reference")
    assert isinstance(backend, ReferenceBackend)
    emitted: Emitted = backend.emit(driven(population()))
    assert emitted.resources() == {}
    assert emitted.fidelity()["engine"] == "numpy float64"
    assert emitted.parity(current(1.0), 4) is None
    assert backend.check(driven(population())) == []
    (problem,) = backend.check(driven(population(neuron="leaky")))
    assert problem.message == "target 'reference' has no neuron model 'leaky'"


def test_the_first_steps_alone() -> None:
    network, x = small_network()
    whole = ReferenceSimulation(network).run(x, 12, record=("*",))
    first = ReferenceSimulation(network).run(x, 12, record=("*",), stop=5)
    for name, train in first.spikes.items():
        np.testing.assert_array_equal(train, whole.spikes[name][:5])
        np.testing.assert_array_equal(first.spike_counts[name], train.sum(axis=0))
    for name, outputs in first.outputs.items():
        np.testing.assert_array_equal(outputs, whole.outputs[name][:5])
