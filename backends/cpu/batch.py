"""One batch of samples through all the steps: layer by layer within each chunk of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.dense import DenseKernel
from snnconvert.backends.cpu.fire import integrate_and_fire
from snnconvert.backends.cpu.layout import from_stored, per_neuron, stored_shape, to_stored
from snnconvert.backends.cpu.plan import Plan
from snnconvert.backends.cpu.schedule import Span, pieces, sending_spans, window
from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay
from snnconvert.convert.snap import round_input


class LayerKernel(Protocol):
    """A way to compute the currents of one connection."""

    def currents(self, sent: FloatArray) -> FloatArray:
        """Map (steps, n, *stored source shape) to (steps, n, *stored target shape).

        The result may be the argument itself, or a view of it.
        """


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population's parameters, one a neuron, in stored order."""

    threshold: npt.NDArray[np.float64]
    v_init: npt.NDArray[np.float64]
    to_zero: bool


class Program:
    """A network compiled for this engine: kernels of connections, parameters of neurons."""

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        self.kernels: dict[int, LayerKernel] = {
            id(c): DenseKernel(c.operators, network[c.source].shape, plan.sums[c.target])
            for c in network.connections
            if not is_analog(network, c)
        }
        self.neurons = {
            p.name: Neurons(
                per_neuron(p.threshold, p.shape), per_neuron(p.v_init, p.shape), p.reset == "zero"
            )
            for p in network.populations
        }
        self.bias = {
            n.name: per_neuron(n.bias, n.shape)[None]
            for n in network.nodes
            if isinstance(n, Population | Readout) and np.any(n.bias)
        }
        self.last_use = {c.source: n.name for n in network.nodes for c in network.incoming(n.name)}


@dataclass(frozen=True, eq=False)
class Results:
    """Arrays of a whole run, which batches fill in: accumulated currents, counts, trains."""

    accumulated: dict[str, FloatArray]
    counts: dict[str, npt.NDArray[np.int64]]
    spikes: dict[str, npt.NDArray[np.bool_]]


def is_analog(network: Network, connection: Connection) -> bool:
    """Tell whether a connection brings a current that is constant while its input is open."""
    source = network[connection.source]
    return isinstance(source, Input) and source.encoding == "current"


class BatchRun:
    """Some samples, from the first step to the last.

    Parameters
    ----------
    program : Program
    samples : mapping of str to array
        The batch's samples by input name.
    steps : int
    results : Results
    rows : slice
        Where in the results the batch's samples go.
    """

    def __init__(
        self,
        program: Program,
        samples: Mapping[str, npt.NDArray[Any]],
        steps: int,
        results: Results,
        rows: slice,
    ) -> None:
        network = program.network
        self._program, self._network = program, network
        self._steps, self._results, self._rows = steps, results, rows
        self._samples = {n.name: round_input(n, samples[n.name]) for n in network.inputs}
        self._n = len(next(iter(self._samples.values())))
        frames = {n.name: self._samples[n.name].shape[1] for n in network.inputs
                  if n.encoding == "events"}  # fmt: skip
        self._spans = sending_spans(network, steps, frames)
        self._analog = {
            id(c): self._flat(apply_chain(c.operators, self._samples[c.source]), c.target)
            for c in network.connections
            if is_analog(network, c)
        }
        self._voltage = {
            name: np.tile(neurons.v_init, (self._n, 1)) for name, neurons in program.neurons.items()
        }
        self._counts = {name: np.zeros(v.shape, np.int64) for name, v in self._voltage.items()}
        self._sums = {r.name: np.zeros((self._n, *stored_shape(r.shape))) for r in network.readouts}
        self._chunk = Span(0, 0)
        self._sent: dict[str, FloatArray] = {}
        self._tails: dict[str, FloatArray] = {}

    def run(self) -> None:
        """Simulate all steps and write the results."""
        length = self._program.plan.chunk
        for start in range(0, self._steps, length):
            self._advance(Span(start, min(start + length, self._steps)))
        for p in self._network.populations:
            counts = self._counts[p.name].reshape(self._n, *stored_shape(p.shape))
            self._results.counts[p.name][self._rows] = from_stored(counts, p.shape)

    def _advance(self, chunk: Span) -> None:
        self._chunk = chunk
        for node in self._network.nodes:
            if isinstance(node, Population):
                self._sent[node.name] = self._buffer(node, chunk)
                self._fire(node, chunk)
            elif isinstance(node, Relay):
                self._sent[node.name] = self._buffer(node, chunk)
                self._relay(node, chunk)
            elif isinstance(node, Readout):
                self._read(node, chunk)
            self._release(node.name)

    def _buffer(self, node: Population | Relay, chunk: Span) -> FloatArray:
        """Return room for a chunk of what a node sends, behind the tail that delays need."""
        plan = self._program.plan
        reach = plan.reach[node.name]
        shape = (reach + chunk.stop - chunk.start, self._n, *stored_shape(node.shape))
        buffer = np.empty(shape, plan.sends[node.name])
        if node.name in self._tails:
            buffer[:reach] = self._tails[node.name]
        return buffer

    def _release(self, name: str) -> None:
        """Drop what no later node of this chunk needs; keep the tails for the next chunk."""
        last_use = self._program.last_use
        done = [s for s in self._sent if last_use.get(s, name) == name]
        for source in done:
            reach = self._program.plan.reach[source]
            if reach:
                self._tails[source] = self._sent[source][-reach:].copy()
            del self._sent[source]

    def _fire(self, node: Population, chunk: Span) -> None:
        neurons = self._program.neurons[node.name]
        reach = self._program.plan.reach[node.name]
        firing = self._spans[node.name]
        voltage, counts = self._voltage[node.name], self._counts[node.name]
        spikes = self._sent[node.name][reach:].reshape(-1, *voltage.shape)
        for piece in self._pieces(node, chunk, firing):
            sums = self._arriving(node, piece)
            constant = self._constant(node, piece)
            if sums is None and constant is None and not firing.covers(piece.start):
                continue
            steps = slice(piece.start - chunk.start, piece.stop - chunk.start)
            integrate_and_fire(
                voltage,
                np.zeros((1, node.size)) if constant is None else constant,
                spikes[:0] if sums is None else sums.reshape(-1, *voltage.shape),
                neurons.threshold,
                neurons.to_zero,
                spikes[steps] if firing.covers(piece.start) else spikes[:0],
                counts,
                piece.stop - piece.start,
            )
        self._record(node, chunk, firing)

    def _record(self, node: Population, chunk: Span, firing: Span) -> None:
        if node.name not in self._results.spikes:
            return
        first, last = max(chunk.start, firing.start), min(chunk.stop, firing.stop)
        if first < last:
            reach = self._program.plan.reach[node.name] - chunk.start
            spikes = from_stored(self._sent[node.name][reach + first : reach + last], node.shape)
            self._results.spikes[node.name][first:last, self._rows] = spikes != 0

    def _relay(self, node: Relay, chunk: Span) -> None:
        reach = self._program.plan.reach[node.name]
        passed = self._sent[node.name][reach:]
        for piece in self._pieces(node, chunk):
            values = passed[piece.start - chunk.start : piece.stop - chunk.start]
            sums = self._arriving(node, piece)
            constant = self._constant(node, piece)
            values[...] = 0.0 if sums is None else sums
            if constant is not None:
                values += constant.reshape(-1, *values.shape[2:])

    def _read(self, node: Readout, chunk: Span) -> None:
        accumulated = self._results.accumulated[node.name]
        total = self._sums[node.name]
        for piece in self._pieces(node, chunk):
            sums = self._arriving(node, piece)
            constant = self._constant(node, piece)
            currents = np.zeros((piece.stop - piece.start, *total.shape))
            if sums is not None:
                currents += sums
            if constant is not None:
                currents += constant.reshape(-1, *total.shape[1:])
            currents[0] += total
            np.add.accumulate(currents, axis=0, out=currents)
            total[...] = currents[-1]
            first = max(piece.start, node.start)
            last = min(piece.stop, node.start + len(accumulated))
            if first < last:
                window = currents[first - piece.start : last - piece.start]
                accumulated[first - node.start : last - node.start, self._rows] = from_stored(
                    window, node.shape
                )

    def _pieces(self, node: Population | Relay | Readout, chunk: Span, *more: Span) -> list[Span]:
        spans = [self._spans[c.source].delayed(c.delay) for c in self._network.incoming(node.name)]
        if not isinstance(node, Relay):
            spans.append(window(node.bias_start, node.bias_stop, self._steps))
        return list(pieces(chunk, [*spans, *more]))

    def _arriving(self, node: Population | Relay | Readout, piece: Span) -> FloatArray | None:
        """Return the sums (steps, n, *stored shape) of what arrives; None: nothing does."""
        total: FloatArray | None = None
        owned = False
        for connection in self._network.incoming(node.name):
            then = piece.delayed(-connection.delay)
            if is_analog(self._network, connection):
                continue
            if not self._spans[connection.source].covers(then.start):
                continue
            sent = self._sending(connection.source, then)
            sums = self._program.kernels[id(connection)].currents(sent)
            if total is None:
                total, owned = sums, not np.may_share_memory(sums, sent)
            elif owned:
                total += sums
            else:
                total, owned = np.asarray(total + sums), True
        return total

    def _sending(self, source: str, span: Span) -> FloatArray:
        """Return what a node sent in a span of steps, (steps, n, *stored shape)."""
        node = self._network[source]
        if isinstance(node, Input):
            first, last = span.start - node.start, span.stop - node.start
            frames = self._samples[source][:, first:last].swapaxes(0, 1)
            return to_stored(frames, node.shape)
        sent = self._sent[source]
        offset = self._chunk.start - self._program.plan.reach[source]
        return sent[span.start - offset : span.stop - offset]

    def _constant(self, node: Population | Relay | Readout, piece: Span) -> FloatArray | None:
        """Return bias and analog currents (1 or n, size) of a piece; None: there are none."""
        analog = [
            c
            for c in self._network.incoming(node.name)
            if is_analog(self._network, c)
            and self._spans[c.source].delayed(c.delay).covers(piece.start)
        ]
        terms = [self._analog[id(c)] for c in analog]
        if not isinstance(node, Relay):
            biased = window(node.bias_start, node.bias_stop, self._steps).covers(piece.start)
            if biased and node.name in self._program.bias:
                terms.append(self._program.bias[node.name])
        if not terms:
            return None
        return _sum(terms)

    def _flat(self, x: FloatArray, target: str) -> FloatArray:
        return to_stored(x, self._network[target].shape).reshape(len(x), -1)


def _sum(terms: Sequence[FloatArray]) -> FloatArray:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return np.ascontiguousarray(total)
