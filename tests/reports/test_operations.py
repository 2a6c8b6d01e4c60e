"""Operations against a simulation in which every one of them is counted."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluations import dense_matrix, population, small_network
from hypothesis import assume, given, settings
from networks import Case, cases

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    Reshape,
    Scale,
    SumPool,
    Window,
    weights_of,
    with_weights,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    Population,
    Readout,
    Relay,
)
from snnconvert.convert.relays import inline_relays
from snnconvert.reports.fan_out import is_injection
from snnconvert.reports.operations import InputActivity, Operations, ann_macs, count_operations


def counted(network: Network, samples: dict[str, Any], timesteps: int) -> Operations:
    """What the module under test says about a run on the reference."""
    result = ReferenceSimulation(network).run(samples, timesteps)
    n, steps = result.logits.shape[1], network.latency(timesteps)
    activity = InputActivity(network, steps)
    for start in range(0, n, 2):
        activity.add({name: x[start : start + 2] for name, x in samples.items()})
    sent = {name: result.event_counts(name) for name in result.spike_counts}
    totals = {name: events.reshape(n, -1).sum(axis=0) for name, events in sent.items()}
    return count_operations(network, totals, activity, samples=n, steps=steps, ann_macs=1.0)


class Census:
    """Follows every value of every step through the dense matrices of the connections."""

    def __init__(self, network: Network, samples: dict[str, Any], timesteps: int) -> None:
        self.network = network
        self.steps = network.latency(timesteps)
        result = ReferenceSimulation(network).run(samples, timesteps, record=("*",))
        self.samples = int(result.logits.shape[1])
        self.sent: dict[str, FloatArray] = {
            name: train.astype(float).reshape(self.steps * self.samples, -1)
            for name, train in result.spikes.items()
        }
        self.spiking = set(self.sent)
        for node in network.inputs:
            self.sent[node.name] = self._entering(node, samples[node.name])
            if node.encoding == "events":
                self.spiking.add(node.name)

    def _entering(self, node: Input, x: FloatArray) -> FloatArray:
        """The input's value in every step, (steps * samples, size)."""
        rows = np.zeros((self.steps, self.samples, int(np.prod(node.shape))))
        for t in range(self.steps):
            if t < node.start or (node.stop is not None and t >= node.stop):
                continue
            if node.encoding == "current":
                rows[t] = x.reshape(self.samples, -1)
            elif t - node.start < x.shape[1]:
                rows[t] = x[:, t - node.start].reshape(self.samples, -1)
        return rows.reshape(-1, rows.shape[-1])

    def paths(self, name: str, start: FloatArray, *, plain: bool = False) -> Iterator[FloatArray]:
        """The matrix of each way to a node that is no relay; ``plain``: with all weights one."""
        for connection in self.network.outgoing(name):
            chain = ones(connection.operators) if plain else connection.operators
            through = start @ dense_matrix(chain, self.network[name].shape)
            if isinstance(self.network[connection.target], Relay):
                yield from self.paths(connection.target, through, plain=plain)
            else:
                yield (through != 0).astype(float)

    def patterns(self, name: str, *, plain: bool = False) -> list[FloatArray]:
        return list(self.paths(name, np.eye(self.sent[name].shape[1]), plain=plain))

    def met(self, name: str, pattern: FloatArray) -> float:
        """Weights that the values of a node meet, per sample."""
        return float(((self.sent[name] != 0) @ pattern).sum()) / self.samples

    def accumulated(self, name: str, values: FloatArray) -> bool:
        """Graded neurons multiply, whatever they happen to send; inputs as their values are."""
        node = self.network[name]
        if isinstance(node, Population):
            return not node.neuron.startswith("graded")
        return bool(np.isin(values, (-1, 0, 1)).all())

    def effective(self) -> tuple[float, float]:
        acs, macs = 0.0, 0.0
        for name, values in self.sent.items():
            for pattern in self.patterns(name):
                injected = bool((pattern.sum(axis=0) <= 1).all())
                if isinstance(self.network[name], Input) and injected:
                    continue
                met = self.met(name, pattern)
                binary = self.accumulated(name, values)
                acs, macs = (acs + met, macs) if binary else (acs, macs + met)
        return acs, macs

    def dense(self) -> int:
        present = [int(p.sum()) for n in self.sent for p in self.patterns(n, plain=True)]
        return sum(present) * self.steps

    def synops(self) -> float:
        return sum(self.met(name, p) for name in self.spiking for p in self.patterns(name))


def ones(chain: Chain) -> Chain:
    return tuple(
        op if (w := weights_of(op)) is None else with_weights(op, np.ones_like(w)) for op in chain
    )


def check(network: Network, samples: dict[str, Any], timesteps: int) -> Operations:
    operations = counted(network, samples, timesteps)
    census = Census(network, samples, timesteps)
    acs, macs = census.effective()
    assert operations.effective_acs == pytest.approx(acs, abs=1e-9)
    assert operations.effective_macs == pytest.approx(macs, abs=1e-9)
    assert operations.dense == census.dense()
    assert operations.synops == pytest.approx(census.synops(), abs=1e-9)
    assert operations.neuron_updates == network.neurons * census.steps
    spikes = sum(np.count_nonzero(census.sent[p.name]) for p in network.populations)
    assert operations.spikes == pytest.approx(spikes / census.samples)
    return operations


def test_a_convolutional_network_with_pads_and_a_pool() -> None:
    network, samples = small_network()
    operations = check(network, samples, 12)
    assert operations.spikes > 100
    assert operations.effective_macs > 0
    assert operations.synops == operations.effective_acs


@settings(max_examples=40)
@given(cases("dyadic"))
def test_any_network(case: Case) -> None:
    """Adds, concatenations, relays, events, windows, delays."""
    assume(not any(_reads_one_by_chance(case.network, node) for node in case.network.inputs))
    check(case.network, case.samples, case.timesteps)


def _reads_one_by_chance(network: Network, node: Input) -> bool:
    """A sum that happens to read one value for each output: counted, not injected."""
    network = inline_relays(network, everything=True)
    return any(
        (np.count_nonzero(dense_matrix(c.operators, node.shape), axis=0) <= 1).all()
        and not is_injection(c.operators)
        for c in network.outgoing(node.name)
    )


def _relay_network() -> Network:
    """One population into two others over a relay, and past it."""
    rng = np.random.default_rng(0)

    def weights(rows: int, columns: int) -> tuple[Dense]:
        return (Dense((columns,), np.rint(rng.normal(0, 1.2, (rows, columns))) / 4),)

    return Network(
        "relayed",
        (
            Input("x", (4,)),
            population("a", (6,)),
            Relay("sum", (3,)),
            population("b", (5,)),
            population("c", (4,)),
            Readout("y", (2,), np.zeros(2), np.ones(2)),
        ),
        (
            Connection("x", "a", weights(6, 4)),
            Connection("a", "sum", weights(3, 6)),
            Connection("sum", "b", weights(5, 3)),
            Connection("sum", "c", weights(4, 3), delay=1),
            Connection("a", "b", weights(5, 6)),
            Connection("b", "y", weights(2, 5)),
            Connection("c", "y", weights(2, 4)),
        ),
    )


def test_spikes_are_followed_through_relays(rng: np.random.Generator) -> None:
    network = _relay_network()
    operations = check(network, {"x": rng.random((5, 4))}, 9)
    assert operations.synops == operations.effective_acs > 0
    assert set(operations.synops_by_source) == {"a", "b", "c"}
    assert sum(operations.synops_by_source.values()) == pytest.approx(operations.synops)


@pytest.mark.parametrize(
    ("neuron", "kind"), [("signed", "effective_acs"), ("graded:4", "effective_macs")]
)
def test_a_spike_is_one_event_whatever_it_carries(neuron: str, kind: str) -> None:
    """Payloads are multiplied, signs are not; a spike taken back is an operation as well."""
    network, samples = small_network()
    other = network.replace_nodes(replace(p, neuron=neuron) for p in network.populations)
    result = ReferenceSimulation(other).run(samples, 12)
    assert any((result.event_counts(name) != c).any() for name, c in result.spike_counts.items())
    operations = check(other, samples, 12)
    alone = counted(network, samples, 12)
    inputs = {"effective_acs": 0.0, "effective_macs": alone.effective_macs}
    assert getattr(operations, kind) - inputs[kind] == pytest.approx(operations.synops)
    assert operations.synops > 0


def test_binary_images_are_accumulated_in_every_step(rng: np.random.Generator) -> None:
    network, _ = small_network()
    binary = (rng.random((4, 2, 6, 6)) < 0.3).astype(float)
    operations = check(network, {"image": binary}, 5)
    assert operations.effective_macs == 0
    assert operations.effective_acs > operations.synops


@pytest.mark.parametrize(("largest", "kind"), [(1, "effective_acs"), (3, "effective_macs")])
def test_events_are_accumulates_while_they_are_single(
    largest: int, kind: str, rng: np.random.Generator
) -> None:
    network = Network(
        "events",
        (Input("e", (4,), "events", start=1, stop=6), population("a", (3,))),
        (Connection("e", "a", (Dense((4,), np.full((3, 4), 0.1)),)),),
    )
    frames = rng.integers(0, largest + 1, (2, 20, 4)).astype(float)
    activity = InputActivity(network, 8)
    activity.add({"e": frames})
    operations = count_operations(
        network, {"a": np.zeros(3, np.int64)}, activity, samples=2, steps=8, ann_macs=0.0
    )
    entering = np.count_nonzero(frames[:, :5])
    assert getattr(operations, kind) == 3 * entering / 2
    assert operations.synops == 3 * entering / 2
    assert operations.effective_acs + operations.effective_macs == 3 * entering / 2


def test_a_current_injected_one_to_one_is_no_operation() -> None:
    network = Network(
        "encoder",
        (Input("x", (4,)), population("pixels", (4,))),
        (Connection("x", "pixels", (Scale((4,), np.asarray(2.0)),)),),
    )
    activity = InputActivity(network, 8)
    activity.add({"x": np.full((3, 4), 0.5)})
    operations = count_operations(
        network, {"pixels": np.ones(4, np.int64)}, activity, samples=3, steps=8, ann_macs=0.0
    )
    assert operations.effective_macs == 0
    assert operations.dense == 4 * 8


def test_ann_macs_are_those_of_convolutions_and_products() -> None:
    conv = Convolution((3, 8, 8), np.ones((4, 3, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1))
    pool = SumPool((4, 8, 8), Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    dense = (Reshape((4, 4, 4), (64,)), Dense((64,), np.ones((10, 64))))
    macs = ann_macs([(conv,), (pool, Scale((4, 4, 4), np.asarray(0.25))), dense])
    assert macs == 4 * 3 * 9 * 64 + 640
