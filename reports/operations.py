"""Operations of a run, counted on the network that was executed.

The names and definitions of ``effective_acs``, ``effective_macs`` and ``dense`` are NeuroBench's
(synaptic operations, version 2.3): non-zero inputs times non-zero weights, counted through each
connection with its borders, biases excluded; accumulates (AC) where the inputs are all in
{-1, 0, 1}, as plain and signed spikes are, else multiply-accumulates (MAC): so all spikes of
neurons that send payloads count. A spike is one event, whatever it carries. All numbers are means
over the samples.

Relays are resolved first: spiking hardware has none, and a weighted sum that they pass on is
counted from each spike in it to each neuron behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    Matrix,
    TransposedConvolution,
)
from snnconvert.convert.network import Input, Network, Population
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.relays import inline_relays
from snnconvert.convert.snap import not_zero, round_input
from snnconvert.reports.checkpoint import Resumable
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
        Spikes, and inputs whose values are all in {-1, 0, 1}, times the non-zero weights that
        they meet.
    effective_macs : float
        Other inputs times the non-zero weights that they meet, analog ones in every step in which
        their current flows. A current injected one to one is not counted.
    dense : float
        All connections, zero weights included, times all steps.
    synops : float
        Spikes and events times the non-zero weights that they meet.
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
    weighted = Convolution | TransposedConvolution | Dense | Matrix
    return sum(op.multiply_adds for chain in chains for op in chain if isinstance(op, weighted))


class InputActivity(Resumable):
    """Counts the values of every input that are not zero, batch by batch.

    Parameters
    ----------
    network : Network
        As executed: its inputs' grids round the samples.
    steps : int
        Simulated; frames of an event input beyond them do not enter.
    """

    growing = ("active", "binary")

    def __init__(self, network: Network, steps: int) -> None:
        self.network = network
        self.steps = steps
        self.active = {n.name: np.zeros(int(np.prod(n.shape)), np.int64) for n in network.inputs}
        self.binary = {n.name: True for n in network.inputs}

    def add(self, samples: Mapping[str, npt.NDArray[Any]]) -> None:
        """Count a batch of (n, *shape) samples, or (n, frames, *shape) events."""
        for node in self.network.inputs:
            x = samples[node.name]
            if node.encoding == "events":
                x = x[:, : input_steps(node, self.steps)]
            rows = x.reshape(-1, self.active[node.name].size)
            active = not_zero(node, rows)
            self.active[node.name] += active.sum(axis=0, dtype=np.int32)
            if self.binary[node.name]:
                values = round_input(node, rows[active])
                self.binary[node.name] = bool((np.abs(values) == 1).all())


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
        Number of spikes of each neuron of the populations over all samples.
    inputs : InputActivity
        Of the same samples.
    samples, steps : int
        Number of samples; steps simulated for each.
    ann_macs : float
        See `ann_macs`.
    """
    direct = inline_relays(network, everything=True)
    events = {n.name: inputs.active[n.name] for n in direct.inputs if n.encoding == "events"}
    sent = {**events, **{p.name: spikes[p.name] for p in direct.populations}}
    synops = dict.fromkeys(sent, 0)
    acs, macs, dense = 0, 0, 0
    for connection in direct.connections:
        source = direct[connection.source]
        weights = fan_out(connection.operators, source.shape)
        dense += connections(connection.operators, source.shape) * steps
        if source.name in sent:
            synops[source.name] += int(sent[source.name] @ weights)
        if isinstance(source, Population):
            met, unit = int(spikes[source.name] @ weights), spike_values(source.neuron).unit
            acs, macs = (acs + met, macs) if unit else (acs, macs + met)
        elif isinstance(source, Input) and not is_injection(connection.operators):
            repeats = input_steps(source, steps) if source.encoding == "current" else 1
            met = int(inputs.active[source.name] @ weights) * repeats
            acs, macs = (acs + met, macs) if inputs.binary[source.name] else (acs, macs + met)
    return Operations(
        steps=steps,
        spikes=sum(int(s.sum()) for s in spikes.values()) / samples,
        effective_acs=acs / samples,
        effective_macs=macs / samples,
        dense=float(dense),
        synops=sum(synops.values()) / samples,
        neuron_updates=float(network.neurons * steps),
        ann_macs=float(ann_macs),
        synops_by_source={name: count / samples for name, count in synops.items()},
    )
