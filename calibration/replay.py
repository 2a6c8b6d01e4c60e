"""Replay calibration rows through a network, population by population, under its real spikes.

Every node sees all T steps at once, so a correction of one population can be tried many times on
the same currents before its spikes go on to the next: later populations are corrected on the
prefix that was corrected before them. The dense kernels of the CPU backend do the work, in
float32 and without the exact grids of a run: corrections are statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import Chain, FloatArray, Scale, apply_chain
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)
from snnconvert.convert.simplify import simplify_chain

MEMORY = 2**30
"""Bytes that currents and spikes of a replay take together, about."""

Samples: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Drive:
    """The currents of one population over all steps, for all rows.

    Attributes
    ----------
    sums : (T, n, size) float32 array
        What arrives in each step, neurons as the CPU backend stores them; T = 0: nothing does.
    constant : (1 or n, size) float64 array
        Analog currents, without the bias.
    timesteps : int
    """

    sums: FloatArray
    constant: FloatArray
    timesteps: int

    def spikes(self, population: Population) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Return the spike train (T, n, size) and the counts (n, *shape) under the currents."""
        from snnconvert.backends.cpu.layout import from_stored, per_neuron, stored_shape
        from snnconvert.backends.cpu.neurons import Neurons

        shape = population.shape
        n = max(self.sums.shape[1], len(self.constant))
        neurons = Neurons.of(population)
        membranes = neurons.membranes(n)
        train = np.empty((self.timesteps, *membranes.voltage.shape), np.float32)
        constant = np.ascontiguousarray(self.constant + per_neuron(population.bias, shape))
        neurons.advance(membranes, constant, self.sums, train, self.timesteps)
        return train, from_stored(membranes.counts.reshape(n, *stored_shape(shape)), shape)

    def counts(self, population: Population) -> npt.NDArray[np.int64]:
        """Return the spike counts (n, *shape) under the currents."""
        return self.spikes(population)[1]


Correct: TypeAlias = Callable[[Population, Drive], Population]


def rows_that_fit(network: Network, timesteps: int) -> int:
    """Return how many rows a replay can take within ``MEMORY``."""
    widest = max((math.prod(node.shape) for node in network.nodes), default=1)
    return max(MEMORY // (4 * timesteps * 4 * widest), 1)


@dataclass(frozen=True, eq=False)
class Replayed:
    """A corrected network, and what it decodes.

    Attributes
    ----------
    network : Network
    outputs : dict of (n, *shape) float64 arrays
        Mean current of each readout over all T steps.
    """

    network: Network
    outputs: dict[str, FloatArray]


def replay(
    network: Network, rows: Samples, timesteps: int, correct: Correct | None = None
) -> Replayed:
    """Replay rows, with every population as `correct` returns it.

    Parameters
    ----------
    network : Network
        In ANN units; windows, delays and late readouts are not looked at.
    rows : dict of (n, *shape) arrays
        Preprocessed samples by input name.
    timesteps : int
    correct : callable, optional
        Gets each population, in order, with its drive under the corrected ones before it, and
        returns what takes its place.
    """
    run = _Replay(network, rows, timesteps)
    nodes = [
        run.visit(node, correct or (lambda population, _: population)) for node in network.nodes
    ]
    return Replayed(network.replace_nodes(nodes), run.outputs)


def _unchanged(population: Population, _: Drive) -> Population:
    return population


class _Replay:
    """The trains that later nodes still need."""

    def __init__(self, network: Network, rows: Samples, timesteps: int) -> None:
        self.network, self.timesteps = network, timesteps
        self.n = len(next(iter(rows.values())))
        self.rows = {name: np.asarray(array) for name, array in rows.items()}
        self.trains: dict[str, FloatArray] = {}
        self.outputs: dict[str, FloatArray] = {}
        self.nodes: dict[str, NetworkNode] = {node.name: node for node in network.nodes}
        self.last_use = {c.source: n.name for n in network.nodes for c in network.incoming(n.name)}

    def visit(self, node: NetworkNode, correct: Correct) -> NetworkNode:
        """Advance by one node; return what takes its place."""
        if isinstance(node, Population):
            drive = self._drive(node)
            node = correct(node, drive)
            self.nodes[node.name] = node
            self.trains[node.name] = drive.spikes(node)[0]
        elif isinstance(node, Relay):
            drive = self._drive(node)
            sums = drive.sums if len(drive.sums) else np.zeros((self.timesteps, 1, 1), np.float32)
            self.trains[node.name] = np.asarray(sums + drive.constant, np.float32)
        elif isinstance(node, Readout):
            self.outputs[node.name] = self._decoded(node)
        elif node.encoding == "events":
            self.trains[node.name] = self._frames(node)
        for source in [s for s in self.trains if self.last_use.get(s, s) == node.name]:
            del self.trains[source]
        return node

    def _decoded(self, node: Readout) -> FloatArray:
        from snnconvert.backends.cpu.layout import from_stored, stored_shape

        drive = self._drive(node)
        mean = drive.sums.sum(axis=0, dtype=np.float64) / self.timesteps + drive.constant
        decoded = from_stored(mean.reshape(self.n, *stored_shape(node.shape)), node.shape)
        return np.asarray((decoded + node.bias) * node.scale)

    def _drive(self, node: Population | Relay | Readout) -> Drive:
        size = math.prod(node.shape)
        sums: FloatArray | None = None
        constant = np.zeros((1, size))
        for connection in self.network.incoming(node.name):
            if self._is_analog(connection):
                constant = constant + self._analog(connection)
                continue
            arriving = self._arriving(connection).reshape(self.timesteps, self.n, size)
            sums = arriving if sums is None else sums + arriving
        if sums is None:
            return Drive(
                np.zeros((0, self.n, size), np.float32),
                np.broadcast_to(constant, (self.n, size)),
                self.timesteps,
            )
        return Drive(np.ascontiguousarray(sums), constant, self.timesteps)

    def _is_analog(self, connection: Connection) -> bool:
        source = self.nodes[connection.source]
        return isinstance(source, Input) and source.encoding == "current"

    def _analog(self, connection: Connection) -> FloatArray:
        from snnconvert.backends.cpu.layout import to_stored

        current = apply_chain(connection.operators, self.rows[connection.source].astype(np.float64))
        return to_stored(current, self.nodes[connection.target].shape).reshape(self.n, -1)

    def _arriving(self, connection: Connection) -> FloatArray:
        from snnconvert.backends.cpu.dense import DenseKernel, exact_torch
        from snnconvert.backends.cpu.layout import stored_shape

        source = self.nodes[connection.source]
        kernel = DenseKernel(self._amplified(connection), source.shape, np.float32)
        train = self.trains[connection.source]
        with exact_torch():
            return kernel.currents(
                train.reshape(self.timesteps, self.n, *stored_shape(source.shape))
            )

    def _amplified(self, connection: Connection) -> Chain:
        source = self.nodes[connection.source]
        if not isinstance(source, Population):
            return connection.operators
        return simplify_chain((Scale(source.shape, source.amplitude), *connection.operators))

    def _frames(self, node: Input) -> FloatArray:
        """Return event frames as a train; frames beyond the last are zero."""
        from snnconvert.backends.cpu.layout import to_stored

        frames = to_stored(self.rows[node.name].swapaxes(0, 1), node.shape)[: self.timesteps]
        train = np.zeros((self.timesteps, *frames.shape[1:]), np.float32)
        train[: len(frames)] = frames
        return train


@dataclass(frozen=True, eq=False)
class Teacher:
    """Rows, and what the ANN makes of them.

    Attributes
    ----------
    rows : dict of (n, *shape) arrays
        As many of the given rows as a replay can take.
    activations : dict of arrays
        By name of the Graph node, as ``Population.tensor`` and ``Readout.tensor`` have it.
    """

    rows: dict[str, npt.NDArray[Any]]
    activations: dict[str, FloatArray]

    @classmethod
    def of(cls, network: Network, graph: Graph, rows: Samples, timesteps: int) -> Teacher:
        """Evaluate the lowered graph at every population and readout."""
        count = min(len(next(iter(rows.values()))), rows_that_fit(network, timesteps))
        used = {name: array[:count] for name, array in rows.items()}
        tensors = [p.tensor for p in network.populations] + [r.tensor for r in network.readouts]
        names = dict.fromkeys(tensor for tensor in tensors if tensor is not None)
        return cls(used, graph.evaluate(used, list(names)))

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(next(iter(self.rows.values())))


FITTED, HELD_OUT = slice(0, None, 2), slice(1, None, 2)
"""Every other row makes a correction, the remaining ones judge it."""


def channel_mean(population: Population, values: FloatArray) -> FloatArray:
    """Return the mean of (n, *shape) values over all that shares a threshold.

    The result broadcasts against the population's shape: one entry a channel where thresholds
    differ by channel, one in all where they do not.
    """
    axes = [0, *(a + 1 for a in range(len(population.shape)) if not _varies(population, a))]
    return np.asarray(values.mean(axis=tuple(axes), keepdims=True, dtype=np.float64)[0])


def _varies(population: Population, axis: int) -> bool:
    return axis == population.channel_axis and np.size(population.threshold) > 1
