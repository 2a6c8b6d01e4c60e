"""Operations of a run, counted on the network that was executed.

The names and definitions of ``effective_acs``, ``effective_macs`` and ``dense`` are NeuroBench's
(synaptic operations, version 2.3): non-zero inputs times non-zero weights, counted through each
connection with its borders, biases excluded; accumulates (AC) where the inputs are all in
{-1, 0, 1}, as spikes are, else multiply-accumulates (MAC). All numbers are means over the samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import Chain, Convolution, Dense, Matrix
from snnconvert.convert.network import Connection, Input, Network, Population, Relay
from snnconvert.convert.relays import inline_relays
from snnconvert.convert.snap import round_input
from snnconvert.reports.fan_out import connections, fan_out, is_injection

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Operations:
    """Operations of one sample, on average.

    Attributes
    ----------
    steps : int
        Simulated: the readout window and what comes before it.
    spikes : float
        Spikes of all populations.
    effective_acs : float
        Spikes (and events of magnitude 1) times the non-zero weights of the connections that
        they enter.
    effective_macs : float
        Values that are no spikes times non-zero weights: analog inputs in every step in which
        their current flows, relays in every step (all their values taken as non-zero, an upper
        bound). A current injected one to one is not counted.
    dense : float
        All connections, zero weights included, times all steps.
    synops : float
        Spikes (and events) times the neurons that they reach. Unlike effective_acs it follows a
        spike through relays, which spiking hardware does not have.
    neuron_updates : float
        Neurons times steps.
    ann_macs : float
        Multiply-adds of the ANN's layers, once.
    synops_by_source : dict of str to float
        The same synops, by the population or event input that spikes.
    """

    steps: int
    spikes: float
    effective_acs: float
    effective_macs: float
    dense: float
    synops: float
    neuron_updates: float
    ann_macs: float
    synops_by_source: dict[str, float] = field(default_factory=dict)


def ann_macs(chains: Iterable[Chain]) -> int:
    """Return the multiply-adds of the ANN's weighted layers for one sample.

    Convolutions and matrix products count; pooling, scaling and biases do not, as is the custom.

    Parameters
    ----------
    chains : iterable of tuples of LinearOperator
        The operators of every linear node of the imported graph.
    """
    weighted = Convolution | Dense | Matrix
    return sum(op.multiply_adds for chain in chains for op in chain if isinstance(op, weighted))


class InputActivity:
    """Counts the values of every input that are not zero, batch by batch.

    Parameters
    ----------
    network : Network
        As executed: its inputs' grids round the samples.
    steps : int
        Simulated; frames of an event input beyond them do not enter.
    """

    def __init__(self, network: Network, steps: int) -> None:
        self.network = network
        self.steps = steps
        self.active = {n.name: np.zeros(int(np.prod(n.shape)), np.int64) for n in network.inputs}
        self.binary = {n.name: True for n in network.inputs}

    def add(self, samples: Mapping[str, npt.NDArray[Any]]) -> None:
        """Count a batch of (n, *shape) samples, or (n, frames, *shape) events."""
        for node in self.network.inputs:
            x = round_input(node, samples[node.name])
            if node.encoding == "events":
                x = x[:, : input_steps(node, self.steps)]
            rows = x.reshape(-1, self.active[node.name].size)
            self.active[node.name] += np.count_nonzero(rows, axis=0)
            unit = bool((np.abs(rows[rows != 0]) == 1).all())
            self.binary[node.name] = self.binary[node.name] and unit


def input_steps(node: Input, steps: int) -> int:
    """Return the steps, of those simulated, in which an input's window is open."""
    stop = steps if node.stop is None else min(node.stop, steps)
    return max(stop - node.start, 0)


def count_operations(
    network: Network,
    spikes: Mapping[str, Counts],
    inputs: InputActivity,
    *,
    samples: int,
    steps: int,
    ann_macs: float,
) -> Operations:
    """Count the operations of a run.

    Parameters
    ----------
    network : Network
        As executed.
    spikes : dict of (neurons,) int64 arrays
        Spikes of each population over all samples.
    inputs : InputActivity
        Of the same samples.
    samples, steps : int
        Number of samples; steps simulated for each.
    ann_macs : float
        See `ann_macs`.
    """
    acs, macs, dense = 0, 0, 0
    for connection in network.connections:
        into_acs, into_macs = _effective(network, connection, spikes, inputs, samples, steps)
        acs, macs = acs + into_acs, macs + into_macs
        shape = network[connection.source].shape
        dense += connections(connection.operators, shape) * steps
    by_source = _synops(network, spikes, inputs)
    return Operations(
        steps=steps,
        spikes=sum(int(s.sum()) for s in spikes.values()) / samples,
        effective_acs=acs / samples,
        effective_macs=macs / samples,
        dense=float(dense),
        synops=sum(by_source.values()) / samples,
        neuron_updates=float(network.neurons * steps),
        ann_macs=float(ann_macs),
        synops_by_source={name: count / samples for name, count in by_source.items()},
    )


def _effective(
    network: Network,
    connection: Connection,
    spikes: Mapping[str, Counts],
    inputs: InputActivity,
    samples: int,
    steps: int,
) -> tuple[int, int]:
    """Return the (AC, MAC) of one connection over all samples."""
    source = network[connection.source]
    if isinstance(source, Input) and is_injection(connection.operators):
        return 0, 0
    weights = fan_out(connection.operators, source.shape)
    if isinstance(source, Population):
        return int(spikes[source.name] @ weights), 0
    if isinstance(source, Relay):
        return 0, int(weights.sum()) * steps * samples
    assert isinstance(source, Input)
    repeats = input_steps(source, steps) if source.encoding == "current" else 1
    count = int(inputs.active[source.name] @ weights) * repeats
    return (count, 0) if inputs.binary[source.name] else (0, count)


def _synops(
    network: Network, spikes: Mapping[str, Counts], inputs: InputActivity
) -> dict[str, int]:
    """Return the synaptic operations of each source of spikes over all samples."""
    direct = inline_relays(network, everything=True)
    events = {n.name: inputs.active[n.name] for n in direct.inputs if n.encoding == "events"}
    sent = {**events, **{p.name: spikes[p.name] for p in direct.populations}}
    return {
        name: sum(
            int(count @ fan_out(c.operators, direct[name].shape)) for c in direct.outgoing(name)
        )
        for name, count in sent.items()
    }
