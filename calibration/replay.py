"""Replay calibration rows through a network, population by population, under its real spikes.

Every node sees all T steps at once, so a correction of one population can be tried many times on
the same currents before its spikes go on to the next: later populations are corrected on the
prefix that was corrected before them. The dense kernels of the CPU backend do the work, in
float32 and without the exact grids of a run: corrections are statistics.

A staged network is replayed in the time of each node's own window: delays make everything of a
sample arrive in the same T steps, and a population fires in T steps that begin `holdoff` later.
Where all of the charge arrives first, its order means nothing: one frame with the sums of all steps
stands for them, and a full schedule costs as much as one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.schedules import constant_fed
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
    weighted_sum,
)
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.simplify import simplify_chain
from snnconvert.convert.threads import on_threads

MEMORY = 2**31
"""Bytes that currents and spikes of a replay take together, about."""

AT_ONCE = 2**22
"""Numbers that a connection maps, or counts that sets of parameters give, at a time: more only take
memory."""

PIECE = 8
"""Rows that a thread works on at a time."""

CHUNK = 32
"""Rows that the ANN is evaluated on at a time."""

Samples: TypeAlias = Mapping[str, npt.NDArray[Any]]
SpikeTrain: TypeAlias = npt.NDArray[np.float32 | np.int8]
"""What a node sends, (frames, n, size): a population's whole numbers up to 127 in one byte each;
what relays, event inputs and supplied populations send may be no whole number."""

FedNode = TypeVar("FedNode", Population, Readout)
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Drive:
    """The currents of one population over all steps, for all rows.

    Attributes
    ----------
    sums : (T, n, size) float32 array
        What arrives in each step, neurons as the CPU backend stores them; T = 0: nothing does.
    constant : (1 or n, size) float64 array
        Analog currents of a step, without the bias.
    timesteps : int
    holdoff : int
        Steps, at most T, between the first arrival and the first step that may fire.
    whole : bool
        `sums` has one frame with the sums of all steps, and the spikes go on the same way.
    """

    sums: FloatArray
    constant: FloatArray
    timesteps: int
    holdoff: int = 0
    whole: bool = False

    def spikes(self, population: Population) -> tuple[SpikeTrain, npt.NDArray[np.int64]]:
        """Return the spike train (T, n, size) and the counts (n, *shape) under the currents.

        The train has one frame with the counts where the drive has one frame.
        """
        if self.whole:
            counts = self._whole(population)
            return counts[None].astype(np.float32), _unstored(counts, population)
        train = np.empty(
            (self.timesteps, self.rows, math.prod(population.shape)), _sent_type(population)
        )
        return train, _unstored(self._steps([population], train)[0], population)

    def _steps(self, populations: Sequence[Population], train: SpikeTrain) -> npt.NDArray[np.int64]:
        """Return the counts (sets, n, size); the spikes go into the train, unless it has no frames.

        The populations are one in several sets of parameters, as ``Neurons.of_each`` takes them.
        """
        from snnconvert.backends.cpu.layout import per_neuron
        from snnconvert.backends.cpu.neurons import Neurons

        first, *others = populations
        neurons = Neurons.of_each(populations) if others else Neurons.of(first)
        bias = per_neuron(first.bias, first.shape)
        constant = np.ascontiguousarray(self.constant + bias)
        silence = np.zeros((1, constant.shape[1]))
        opened = self.timesteps - self.holdoff
        windows = (  # what arrives, what else does, the spikes, the steps, whether they may fire
            (constant, self.sums[: self.holdoff], train[:0], self.holdoff, False),
            (constant, self.sums[self.holdoff :], train[:opened], opened, True),
            (silence, self.sums[:0], train[opened:], self.holdoff, True),
        )

        def run(samples: slice) -> npt.NDArray[np.int64]:
            membranes = neurons.membranes(samples.stop - samples.start)
            for steady, sums, spikes, steps, fires in windows:
                if steps:
                    own = steady[samples] if len(steady) > 1 else steady
                    neurons.advance(
                        membranes,
                        own,
                        sums,
                        spikes,
                        steps,
                        fires=fires,
                        first_sample=samples.start,
                    )
            return membranes.counts if others else membranes.counts[None]

        return np.concatenate(on_threads(run, pieces(self.rows)), axis=1)

    def _whole(self, population: Population) -> npt.NDArray[np.int64]:
        """Count as ``quantised.py`` does: all of the charge is there before the first spike."""
        from snnconvert.backends.cpu.layout import per_neuron

        threshold, v_init, bias = (
            per_neuron(parameter, population.shape)
            for parameter in (population.threshold, population.v_init, population.bias)
        )
        charge = np.asarray(self.timesteps * (self.constant + bias), np.float64)
        charge = charge + self.sums.sum(axis=0, dtype=np.float64)  # no quotient: ties are exact
        charge += v_init
        charge /= threshold
        most = self.timesteps * spike_values(population.neuron).highest
        np.clip(np.floor(charge, out=charge), 0, most, out=charge)
        return np.asarray(charge, np.int64)

    def counts(self, population: Population) -> npt.NDArray[np.int64]:
        """Return the spike counts (n, *shape) under the currents."""
        return next(self._counts_of_each([population]))

    def _counts_of_each(self, populations: Sequence[Population]) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the spike counts (n, *shape) of a population in several sets of parameters."""
        first = populations[0]
        if self.whole:
            yield from (_unstored(self._whole(each), each) for each in populations)
            return
        nothing = np.empty((0, self.rows, math.prod(first.shape)), np.float32)
        together = max(AT_ONCE // max(self.rows * first.size, 1), 1)
        if not spike_values(first.neuron).binary:
            together = 1  # the other kernels know one set alone
        for start in range(0, len(populations), together):
            some = populations[start : start + together]
            yield from (_unstored(counts, first) for counts in self._steps(some, nothing))

    def decoded(self, population: Population) -> FloatArray:
        """Return the activations (n, *shape) that the spikes stand for, float32."""
        return next(self.decoded_of_each([population]))

    def decoded_of_each(self, populations: Sequence[Population]) -> Iterator[FloatArray]:
        """Yield the same for a population in several sets of parameters.

        They differ in threshold, amplitude, scale and initial potential alone.
        """
        counts_of_each = self._counts_of_each(populations)
        for population, counts in zip(populations, counts_of_each, strict=True):
            decoded = counts.astype(np.float32)
            decoded *= (population.amplitude / self.timesteps).astype(np.float32)
            yield decoded

    def mean_current(self) -> FloatArray:
        """Return the mean current (n, size) of a step, neurons as stored, without the bias."""
        arrived = self.sums.sum(axis=0, dtype=np.float64) / self.timesteps
        return np.asarray(np.broadcast_to(self.constant, (self.rows, arrived.shape[-1])) + arrived)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return max(int(self.sums.shape[1]), len(self.constant))

    def of_rows(self, chosen: npt.NDArray[np.intp]) -> Drive:
        """Return the drive of some rows alone."""
        constant = self.constant[chosen] if len(self.constant) > 1 else self.constant
        sums = np.ascontiguousarray(self.sums[:, chosen])
        return replace(self, sums=sums, constant=constant)


def _sent_type(node: NetworkNode) -> type[np.int8 | np.float32]:
    """Return the number type of what a node sends."""
    small = np.iinfo(np.int8).max
    whole = isinstance(node, Population) and spike_values(node.neuron).highest <= small
    return np.int8 if whole else np.float32


def _unstored(values: npt.NDArray[Number], node: NetworkNode) -> npt.NDArray[Number]:
    """Return values (..., size), as the CPU backend stores them, with the axes of a node."""
    from snnconvert.backends.cpu.layout import from_stored, stored_shape

    shaped: npt.NDArray[Number] = values.reshape(*values.shape[:-1], *stored_shape(node.shape))
    return from_stored(shaped, node.shape)


def pieces(rows: int) -> list[slice]:
    """Cut rows into what a thread works on at a time: the same for every number of threads."""
    return [slice(first, min(first + PIECE, rows)) for first in range(0, rows, PIECE)]


Correct: TypeAlias = Callable[[Population, Drive], Population]


def rows_that_fit(network: Network, frames: int, *, supplied: bool = False) -> int:
    """Return how many rows a replay and their activations can take within ``MEMORY`` each.

    Parameters
    ----------
    network : Network
    frames : int
        Of a train.
    supplied : bool
        Whether some populations are given what they send, see :meth:`ReplayState.supply`.
    """
    sizes = [math.prod(node.shape) for node in network.nodes]
    senders = [node for node in network.nodes if not isinstance(node, Readout)]
    spiking = [n for n in senders if not isinstance(n, Input) or n.encoding == "events"]
    floats = supplied or any(_sent_type(node) is np.float32 for node in spiking)
    a_number = 16 if floats else 9  # currents, three trains and what is in passing; as measured
    trains = a_number * frames * max(sizes, default=1)
    activations = 2 * 4 * sum(sizes)
    return max(MEMORY // max(trains, activations, 1), 1)


@dataclass(frozen=True, eq=False)
class Replayed:
    """A corrected network, and what it decodes.

    Attributes
    ----------
    network : Network
    currents : dict of (T, n, *shape) float64 arrays
        Current of each readout in each step, in ANN units; one frame with the mean of all steps
        where every population receives its charge first.
    """

    network: Network
    currents: dict[str, FloatArray]

    @property
    def outputs(self) -> dict[str, FloatArray]:
        """Mean current of each readout over all steps, (n, *shape) float64."""
        return {name: current.mean(axis=0) for name, current in self.currents.items()}


def replay(
    network: Network,
    rows: Samples,
    timesteps: int,
    correct: Correct | None = None,
    *,
    holdoff: int = 0,
    refit: Refit | None = None,
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
    holdoff : int
        Steps for which each population gathers charge before it may fire, as in
        ``schedules.py``; those that constant currents alone feed do not wait.
    refit : Refit, optional
        Changes the connections into populations, before `correct`, and into readouts.
    """
    run = ReplayState(network, rows, timesteps, holdoff)
    nodes = [run.visit(node, correct or as_it_is, refit) for node in network.nodes]
    return Replayed(run.network.replace_nodes(nodes), run.currents)


def as_it_is(population: Population, _: Drive) -> Population:
    """Return the population: correct nothing."""
    return population


class ReplayState:
    """Where a replay stands: what was corrected so far, and the trains that later nodes need.

    Attributes
    ----------
    network : Network
        With the connections as they were changed so far.
    """

    def __init__(self, network: Network, rows: Samples, timesteps: int, holdoff: int) -> None:
        self.network, self.timesteps = network, timesteps
        self.holdoff = min(holdoff, timesteps)
        self.n = len(next(iter(rows.values())))
        self.rows = {name: np.asarray(array) for name, array in rows.items()}
        self.trains: dict[str, SpikeTrain] = {}
        self.currents: dict[str, FloatArray] = {}
        self.nodes: dict[str, NetworkNode] = {node.name: node for node in network.nodes}
        self.last_use = {c.source: n.name for n in network.nodes for c in network.incoming(n.name)}
        self.steady = constant_fed(network)
        self.whole = self.holdoff == timesteps and self._sums_may_stand_for_steps()

    def _sums_may_stand_for_steps(self) -> bool:
        """Tell whether spike counts are all that matters of every population."""
        return all(p.reset == "subtract" for p in self.network.populations)

    @property
    def frames(self) -> int:
        """Frames of each train: T, or one with the sums of all steps."""
        return 1 if self.whole else self.timesteps

    def visit(self, node: NetworkNode, correct: Correct, refit: Refit | None) -> NetworkNode:
        """Advance by one node; return what takes its place."""
        if isinstance(node, Population):
            node = node if refit is None else refit.refit_population(node, self)
            drive = self.drive(node)
            node = correct(node, drive)
            self.trains[node.name] = drive.spikes(node)[0]
        elif isinstance(node, Relay):
            self.trains[node.name] = np.asarray(self._per_frame(self.drive(node)), np.float32)
        elif isinstance(node, Readout):
            node = node if refit is None else refit.refit_readout(node, self)
            self.currents[node.name] = self._read(node)
        elif node.encoding == "events":
            self.trains[node.name] = self._event_frames(node)
        return self._passed(node)

    def supply(self, node: Population, rates: FloatArray) -> None:
        """Advance by a population that sends the same in every step, (n, *shape), in spikes."""
        from snnconvert.backends.cpu.layout import to_stored

        frame = to_stored(rates, node.shape).reshape(1, self.n, -1)
        frame = np.asarray(frame * (self.timesteps / self.frames), np.float32)
        self.trains[node.name] = np.repeat(frame, self.frames, axis=0)
        self._passed(node)

    def _passed(self, node: NetworkNode) -> NetworkNode:
        """Note a node as it was visited; drop the trains that nothing behind it needs."""
        self.nodes[node.name] = node
        for source in [s for s in self.trains if self.last_use.get(s, s) == node.name]:
            del self.trains[source]
        return node

    def _per_frame(self, drive: Drive) -> FloatArray:
        """Return all currents (frames, n, size)."""
        constant = drive.constant * (self.timesteps / self.frames)
        if len(drive.sums):
            return np.asarray(drive.sums + constant)
        return np.broadcast_to(constant, (self.frames, self.n, constant.shape[-1]))

    def _read(self, node: Readout) -> FloatArray:
        from snnconvert.backends.cpu.layout import from_stored, stored_shape

        frames = self._per_frame(self.drive(node)) * (self.frames / self.timesteps)
        stored = frames.reshape(self.frames, self.n, *stored_shape(node.shape))
        return np.asarray((from_stored(stored, node.shape) + node.bias) * node.scale)

    def drive(self, node: Population | Relay | Readout) -> Drive:
        """Return the currents into a node under the populations before it."""
        size = math.prod(node.shape)
        sums: FloatArray | None = None
        constant = np.zeros((1, size))
        for connection in self.network.incoming(node.name):
            if self.is_analog(connection):
                constant = constant + self._analog(connection)
                continue
            mapped = self._mapped(connection, self.trains[connection.source])
            if sums is None:
                sums = np.empty((self.frames, self.n, size), np.float32)
                for rows, arriving in mapped:
                    sums.reshape(-1, size)[rows] = arriving
            else:
                for rows, arriving in mapped:
                    sums.reshape(-1, size)[rows] += arriving
        waits = node.name not in self.steady
        if sums is None:
            sums = np.zeros((0, self.n, size), np.float32)
            constant = np.broadcast_to(constant, (self.n, size))
        return Drive(sums, constant, self.timesteps, self.holdoff if waits else 0, self.whole)

    def is_analog(self, connection: Connection) -> bool:
        """Tell whether a connection brings a constant current."""
        source = self.nodes[connection.source]
        return isinstance(source, Input) and source.encoding == "current"

    def _analog(self, connection: Connection) -> FloatArray:
        from snnconvert.backends.cpu.layout import to_stored

        current = apply_chain(connection.operators, self.rows[connection.source].astype(np.float64))
        return to_stored(current, self.nodes[connection.target].shape).reshape(self.n, -1)

    def _mapped(
        self, connection: Connection, train: SpikeTrain
    ) -> Iterator[tuple[slice, FloatArray]]:
        """Yield what a connection makes of the rows of a train (frames, n, ...), some at a time."""
        from snnconvert.backends.cpu.dense import DenseKernel, exact_torch
        from snnconvert.backends.cpu.layout import stored_shape

        source, target = self.nodes[connection.source], self.nodes[connection.target]
        kernel = DenseKernel(self._amplified(connection), source.shape, np.float32)
        flat = train.reshape(-1, *stored_shape(source.shape))
        some = max(AT_ONCE // max(math.prod(source.shape), math.prod(target.shape)), 1)
        with exact_torch():
            for first in range(0, len(flat), some):
                rows = slice(first, first + some)
                sent = np.asarray(flat[None, rows], np.float32)
                yield rows, kernel.currents(sent).reshape(sent.shape[1], -1)

    def _amplified(self, connection: Connection) -> Chain:
        source = self.nodes[connection.source]
        if not isinstance(source, Population):
            return connection.operators
        return simplify_chain((Scale(source.shape, source.amplitude), *connection.operators))

    def mean_sent(self, source: str, weights: FloatArray | None = None) -> FloatArray:
        """Return what a node sends in a step on average, (n, *shape) float32, in ANN units.

        `weights` are the shares of the frames (default: equal), (frames,).
        """
        return self._in_ann_units(self._mean_train(source, weights), source)

    def mean_current(
        self, node: Population | Readout, weights: FloatArray | None = None
    ) -> FloatArray:
        """Return the mean current of a step into a node, (n, *shape), without its bias.

        The connections are linear: they map the mean of a train to the mean of the currents.
        `weights` are the shares of the frames (default: equal), (frames,).
        """
        current = np.zeros((self.n, math.prod(node.shape)), np.float32)
        for connection in self.network.incoming(node.name):
            if self.is_analog(connection):
                current += self._analog(connection)
            else:
                mean = self._mean_train(connection.source, weights)
                for rows, arriving in self._mapped(connection, mean):
                    current[rows] += arriving
        return _unstored(current, node)

    def sent_of_rows(self, source: str, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Return the train of some rows, (frames, rows, *shape) float32, in ANN units."""
        train = self.trains[source].reshape(self.frames, self.n, -1)
        return self._in_ann_units(train[:, rows], source)

    def _in_ann_units(self, sent: SpikeTrain, source: str) -> FloatArray:
        """Return what a node sent (..., size), as stored, with its shape and in ANN units."""
        node = self.nodes[source]
        amplitude = node.amplitude if isinstance(node, Population) else np.ones(1)
        return np.asarray(_unstored(sent, node) * amplitude.astype(np.float32))

    def _mean_train(self, source: str, weights: FloatArray | None) -> FloatArray:
        train = self.trains[source].reshape(self.frames, self.n, -1)
        if weights is None:
            return np.asarray(train.sum(axis=0, dtype=np.float32) / np.float32(self.timesteps))
        steps = np.float32(self.timesteps / self.frames)
        return np.asarray(weighted_sum(np.asarray(weights, np.float32), train) / steps)

    def replace_connection(self, connection: Connection, operators: Chain) -> None:
        """Put other operators in the place of a connection's."""
        changed = replace(connection, operators=operators)
        connections = (changed if c is connection else c for c in self.network.connections)
        self.network = replace(self.network, connections=tuple(connections))

    def _event_frames(self, node: Input) -> FloatArray:
        """Return event frames as a train; frames beyond the last are zero."""
        from snnconvert.backends.cpu.layout import to_stored

        frames = to_stored(self.rows[node.name].swapaxes(0, 1), node.shape)[: self.timesteps]
        if self.whole:
            return np.asarray(frames.sum(axis=0, keepdims=True), np.float32)
        train = np.zeros((self.timesteps, *frames.shape[1:]), np.float32)
        train[: len(frames)] = frames
        return train


class Refit(Protocol):
    """Changes the connections into a node, in the state; returns what takes the node's place."""

    def refit_population(self, population: Population, state: ReplayState, /) -> Population:
        """Change the connections into a population, before it is corrected."""

    def refit_readout(self, readout: Readout, state: ReplayState, /) -> Readout:
        """Change the connections into a readout, before it is read."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """Rows, and what the ANN makes of them.

    Attributes
    ----------
    rows : dict of (n, *shape) arrays
        As many of the given rows as a replay can take.
    activations : dict of arrays
        By name of the Graph node, as ``Population.tensor`` and ``Readout.tensor`` have it, and of
        the node before each population's. float32.
    """

    rows: dict[str, npt.NDArray[Any]]
    activations: dict[str, FloatArray]

    @classmethod
    def of(cls, network: Network, graph: Graph, rows: Samples, frames: int) -> Teacher:
        """Evaluate the lowered graph at every population, before and behind it, and readout.

        `frames` are those of a train in the replay: T, or one where sums stand for all steps.
        """
        count = min(len(next(iter(rows.values()))), rows_that_fit(network, frames))
        used = {name: array[:count] for name, array in rows.items()}
        populations = [str(p.tensor) for p in network.populations if p.tensor is not None]
        names = [*populations, *(graph[name].inputs[0] for name in populations)]
        names += [str(r.tensor) for r in network.readouts]
        parts = [
            graph.evaluate(
                {name: array[first : first + CHUNK] for name, array in used.items()},
                list(dict.fromkeys(names)),
            )
            for first in range(0, count, CHUNK)
        ]
        joined = {
            name: np.concatenate([part[name].astype(np.float32) for part in parts])
            for name in parts[0]
        }
        return cls(used, joined)

    def first(self, count: int) -> Teacher:
        """Return the first rows alone."""
        return Teacher(
            {name: array[:count] for name, array in self.rows.items()},
            {name: array[:count] for name, array in self.activations.items()},
        )

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
