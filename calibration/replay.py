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

from snnconvert.convert.linear import Chain, FloatArray, Scale, apply_chain
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
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
        from snnconvert.backends.cpu.fire import integrate_and_fire
        from snnconvert.backends.cpu.layout import from_stored, per_neuron, stored_shape

        shape = population.shape
        n = max(self.sums.shape[1], len(self.constant))
        voltage = np.tile(per_neuron(population.v_init, shape), (n, 1))
        counts = np.zeros(voltage.shape, np.int64)
        train = np.empty((self.timesteps, *voltage.shape), np.float32)
        integrate_and_fire(
            voltage,
            np.ascontiguousarray(self.constant + per_neuron(population.bias, shape)),
            self.sums,
            per_neuron(population.threshold, shape),
            population.reset == "zero",
            train,
            counts,
            self.timesteps,
        )
        return train, from_stored(counts.reshape(n, *stored_shape(shape)), shape)

    def counts(self, population: Population) -> npt.NDArray[np.int64]:
        """Return the spike counts (n, *shape) under the currents."""
        return self.spikes(population)[1]


Correct: TypeAlias = Callable[[Population, Drive], Population]


def rows_that_fit(network: Network, timesteps: int) -> int:
    """Return how many rows a replay can take within ``MEMORY``."""
    widest = max((math.prod(node.shape) for node in network.nodes), default=1)
    return max(MEMORY // (4 * timesteps * 4 * widest), 1)


def replay(network: Network, rows: Samples, timesteps: int, correct: Correct) -> Network:
    """Return the network with every population as `correct` returned it.

    Parameters
    ----------
    network : Network
        In ANN units; windows and delays are not looked at.
    rows : dict of (n, *shape) arrays
        Preprocessed samples by input name.
    timesteps : int
    correct : callable
        Gets each population, in order, with its drive under the corrected ones before it, and
        returns what takes its place.
    """
    run = _Replay(network, rows, timesteps)
    return network.replace_nodes([run.visit(node, correct) for node in network.nodes])


class _Replay:
    """The trains that later nodes still need."""

    def __init__(self, network: Network, rows: Samples, timesteps: int) -> None:
        self.network, self.timesteps = network, timesteps
        self.n = len(next(iter(rows.values())))
        self.rows = {name: np.asarray(array) for name, array in rows.items()}
        self.trains: dict[str, FloatArray] = {}
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
        elif isinstance(node, Input) and node.encoding == "events":
            self.trains[node.name] = self._frames(node)
        for source in [s for s in self.trains if self.last_use.get(s, s) == node.name]:
            del self.trains[source]
        return node

    def _drive(self, node: Population | Relay) -> Drive:
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


def channel_mean(population: Population, values: FloatArray) -> FloatArray:
    """Return the mean of (n, *shape) values over all that shares a threshold.

    The result broadcasts against the population's shape: one entry a channel where thresholds
    differ by channel, one in all where they do not.
    """
    axes = [0, *(a + 1 for a in range(len(population.shape)) if not _varies(population, a))]
    return np.asarray(values.mean(axis=tuple(axes), keepdims=True, dtype=np.float64)[0])


def _varies(population: Population, axis: int) -> bool:
    return axis == population.channel_axis and np.size(population.threshold) > 1


__all__ = ["Drive", "channel_mean", "replay", "rows_that_fit"]
