"""Operations against a simulation in which every one of them is counted."""

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
from snnconvert.convert.network import Connection, Input, Network, Readout, Relay
from snnconvert.reports.operations import InputActivity, Operations, ann_macs, count_operations


def counted(network: Network, samples: dict[str, Any], timesteps: int) -> Operations:
    """What the module under test says about a run on the reference."""
    result = ReferenceSimulation(network).run(samples, timesteps)
    n, steps = result.logits.shape[1], network.latency(timesteps)
    activity = InputActivity(network, steps)
    for start in range(0, n, 2):
        activity.add({name: x[start : start + 2] for name, x in samples.items()})
    totals = {name: c.reshape(n, -1).sum(axis=0) for name, c in result.spike_counts.items()}
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

    def effective(self) -> tuple[float, float]:
        acs, macs = 0.0, 0.0
        for connection in self.network.connections:
            source = self.network[connection.source]
            matrix = (dense_matrix(connection.operators, source.shape) != 0).astype(float)
            if isinstance(source, Relay):
                macs += float(matrix.sum()) * self.steps
                continue
            if isinstance(source, Input) and (np.count_nonzero(matrix, axis=0) <= 1).all():
                continue
            met = float(((self.sent[source.name] != 0) @ matrix).sum()) / self.samples
            binary = bool(np.isin(self.sent[source.name], (-1, 0, 1)).all())
            acs, macs = (acs + met, macs) if binary else (acs, macs + met)
        return acs, macs

    def dense(self) -> int:
        present = [
            int((dense_matrix(ones(c.operators), self.network[c.source].shape) != 0).sum())
            for c in self.network.connections
        ]
        return sum(present) * self.steps

    def synops(self) -> float:
        total: float = 0.0
        for name in self.spiking:
            size = self.sent[name].shape[1]
            reached = self._reached(name, np.eye(size))
            total += float((self.sent[name] != 0).sum(axis=0) @ reached)
        return total / self.samples

    def _reached(self, name: str, matrix: FloatArray) -> FloatArray:
        """Weights met beyond a node, through relays, by each row of `matrix`."""
        total = np.zeros(len(matrix))
        for connection in self.network.outgoing(name):
            shape = self.network[name].shape
            through: FloatArray = matrix @ dense_matrix(connection.operators, shape)
            if isinstance(self.network[connection.target], Relay):
                total += self._reached(connection.target, through)
            else:
                total += np.count_nonzero(through, axis=1)
        return total


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
    spikes = sum(census.sent[p.name].sum() for p in network.populations)
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
    """A weighted map that happens to read one value for each output: counted, not injected."""
    return any(
        (np.count_nonzero(dense_matrix(c.operators, node.shape), axis=0) <= 1).all()
        and any(not isinstance(op, Scale) and weights_of(op) is not None for op in c.operators)
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


def test_relays_are_followed_by_synops_and_priced_as_analog_by_macs(
    rng: np.random.Generator,
) -> None:
    network = _relay_network()
    operations = check(network, {"x": rng.random((5, 4))}, 9)
    assert operations.synops != operations.effective_acs
    assert set(operations.synops_by_source) == {"a", "b", "c"}
    assert sum(operations.synops_by_source.values()) == pytest.approx(operations.synops)


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
