"""One batch of samples through all the steps: layer by layer within each chunk of time."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.analog_layer import AnalogLayer
from snnconvert.backends.cpu.calls import Calls, Membranes
from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.layout import from_stored, stored_shape, to_stored
from snnconvert.backends.cpu.program import Program
from snnconvert.backends.cpu.results import Results, by_channel
from snnconvert.backends.cpu.schedule import Span, is_analog, pieces, sending_spans, window
from snnconvert.backends.cpu.sent import Sent
from snnconvert.backends.cpu.taps import channels_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Input, Population, Readout, Relay
from snnconvert.convert.snap import round_input

Fed: TypeAlias = Population | Relay | Readout


MOST_KEPT = 2
"""Prepared runs that a thread keeps: of full batches, and of the last one."""


def run_batch(
    program: Program,
    samples: Mapping[str, npt.NDArray[Any]],
    steps: int,
    results: Results,
    rows: slice,
    pool: Executor | None = None,
    threads: int = 1,
    clock: dict[str, float] | None = None,
) -> None:
    """Simulate some samples from the first step to the last, and write the results.

    Parameters
    ----------
    program : Program
    samples : mapping of str to array
        The batch's samples by input name.
    steps : int
    results : Results
    rows : slice
        Where in the results the batch's samples go.
    pool, threads : Executor, int
        For parts of one sample.
    clock : dict of str to float, optional
        The seconds of each node are added to it.
    """
    inputs = {n.name: round_input(n, samples[n.name]) for n in program.network.inputs}
    n, kept = len(next(iter(inputs.values()))), program.memory.runs
    if clock is not None or results.spikes or not program.settled(steps):
        BatchRun(program, inputs, steps, threads, clock=clock).run(inputs, results, rows, pool)
        return
    key = n, steps, threads
    run = kept.pop(key, None) or BatchRun(program, inputs, steps, threads, ahead=True)
    run.run(inputs, results, rows, pool)
    while len(kept) >= MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = run  # not where it was interrupted


class BatchRun:
    """A batch of samples of one size.

    Node by node, or *ahead*: all calls of kernels are prepared in the first run, and later ones do
    nothing but repeat them, with other samples. A layer takes a fraction of a millisecond, as long
    as Python needs to prepare it.

    Parameters
    ----------
    program : Program
    samples : mapping of str to array
        Of the right size.
    steps : int
    threads : int
        For parts of one sample.
    clock : dict of str to float, optional
    ahead : bool
        Only where the program is settled.
    """

    def __init__(
        self,
        program: Program,
        samples: Mapping[str, npt.NDArray[Any]],
        steps: int,
        threads: int,
        *,
        clock: dict[str, float] | None = None,
        ahead: bool = False,
    ) -> None:
        network = program.network
        self._threads, self._clock, self._ahead = threads, clock, ahead
        # The program keeps prepared runs: without a cycle all goes when the simulation does.
        self._program: Program = weakref.proxy(program) if ahead else program
        self._network, self._plan = network, program.plan
        self._steps, self._samples = steps, samples
        self._usual = min(steps, program.plan.chunk)
        self._n = len(next(iter(samples.values())))
        self._spans = sending_spans(network, steps, self._frames())
        self._layers = program.layers_for(steps)
        self._layout = program.counts_layout(steps)
        width = self._layout.width
        counts = program.memory.array("counts", self._n * width, np.int32)
        self._counts = counts[: self._n * width].reshape(self._n, width)
        self._membranes = {p.name: self._membranes_of(p) for p in network.populations}
        self._sums = {r.name: np.zeros((self._n, *stored_shape(r.shape))) for r in network.readouts}
        self._chunk = Span(0, 0)
        self._sent: dict[str, Sent] = {}
        self._tails: dict[str, npt.NDArray[Any]] = {}
        self._prepared = False
        self._begin()

    def _begin(self) -> None:
        """Forget what has been executed: what comes before calls of kernels, they, and after."""
        self._before: list[Callable[[], None]] = []
        self._calls = Calls(self._threads, self._program.memory)
        self._after: list[Callable[[], None]] = []

    def _execute(self) -> None:
        for step in self._before:
            step()
        self._calls.run(self._pool)
        for step in self._after:
            step()

    def _membranes_of(self, node: Population) -> Any:
        layer = self._layers.get(node.name)
        if layer is None:
            return self._program.neurons(node).membranes(self._n)
        place, shape = self._layout.places[node.name], self._layout.shapes[node.name]
        counts = self._counts[:, place].reshape(self._n, *shape)
        return layer.membranes(counts, self._program.memory)

    def _frames(self) -> dict[str, int]:
        """Return the number of frames of each event input."""
        inputs = [node for node in self._network.inputs if node.encoding == "events"]
        return {node.name: self._samples[node.name].shape[1] for node in inputs}

    def _analog_currents(self) -> dict[int, FloatArray]:
        """Return what each connection of an analog input brings in a step, (n, size) float64."""
        return {
            id(c): self._program.currents[id(c)].of(
                self._samples[c.source], self._pool, self._threads
            )
            for c in self._network.connections
            if is_analog(self._network, c)
        }

    def run(
        self,
        samples: Mapping[str, npt.NDArray[Any]],
        results: Results,
        rows: slice,
        pool: Executor | None,
    ) -> None:
        """Simulate all steps and write the results."""
        self._samples, self._results, self._rows, self._pool = samples, results, rows, pool
        self._analog = self._analog_currents()
        if not self._prepared:
            self._advance_all()
        if self._ahead:
            for total in self._sums.values():
                total[...] = 0.0
            self._execute()
            self._prepared = True
        for p in self._network.populations:
            self._write_counts(p)
        results.keep(rows, self._counts)
        # A prepared run outlives them.
        del self._samples, self._results, self._analog, self._pool

    def _advance_all(self) -> None:
        for start in range(0, self._steps, self._plan.chunk):
            self._chunk = Span(start, min(start + self._plan.chunk, self._steps))
            for node in self._network.nodes:
                begun = time.perf_counter()
                self._advance(node)
                if self._clock is not None and not isinstance(node, Input):
                    spent = time.perf_counter() - begun
                    self._clock[node.name] = self._clock.get(node.name, 0.0) + spent

    def _write_counts(self, node: Population) -> None:
        """Write what the results do not keep as it is."""
        membranes, counts = self._membranes[node.name], self._results.counts[node.name]
        if not isinstance(membranes, Membranes):
            counts[self._rows] = self._counted(node, membranes.counts)
            if node.name in self._results.events:
                events = self._results.events[node.name]
                events[self._rows] = self._counted(node, membranes.events)
            return
        if membranes.fresh:
            membranes.counts[...] = 0
        if self._layout.places[node.name].stop > self._layout.kept:
            counts[self._rows] = by_channel(membranes.counts, node.shape)

    def _counted(
        self, node: Population, counts: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.integer[Any]]:
        """Return the counts of dense neurons as (n, *shape)."""
        return from_stored(counts.reshape(self._n, *stored_shape(node.shape)), node.shape)

    def _advance(self, node: Input | Fed) -> None:
        """Take one node through the chunk."""
        if isinstance(node, Input):
            return
        if isinstance(node, Readout):
            self._read(node)
        else:
            self._sent[node.name] = self._buffer(node)
            if isinstance(node, Population):
                self._fire(node)
            else:
                self._relay(node)
        if not self._ahead:
            self._execute()
            self._begin()
        if isinstance(node, Population):
            self._record(node)
        self._release(node.name)

    def _buffer(self, node: Population | Relay) -> Sent:
        """Return room for what a node sends in the chunk, behind the tail that delays need."""
        steps = self._plan.reach[node.name] + self._chunk.stop - self._chunk.start
        dtype = None if node.name in self._layers else self._plan.sends[node.name]
        sent = Sent(self._n, node.shape, steps, dtype, self._program.memory, node.name)
        if node.name in self._tails:
            sent.begin(self._tails[node.name])
        return sent

    def _in_buffer(self, name: str, span: Span) -> FloatArray:
        """Return the part of a node's frames that belongs to a span of steps."""
        steps = self._steps_in_buffer(name, span)
        return self._sent[name].frames[steps]

    def _steps_in_buffer(self, name: str, span: Span) -> slice:
        first = self._chunk.start - self._plan.reach[name]
        return slice(span.start - first, span.stop - first)

    def _release(self, name: str) -> None:
        """Drop what no later node of this chunk reads; keep the tails for the next chunk."""
        last_reader = self._program.last_reader
        for source in [s for s in self._sent if last_reader.get(s, name) == name]:
            reach = self._plan.reach[source]
            if reach and not self._ahead:
                self._tails[source] = self._sent[source].tail(reach)
            del self._sent[source]

    def _fire(self, node: Population) -> None:
        layer = self._layers.get(node.name)
        if isinstance(layer, EventLayer):
            self._fire_events(node, layer)
        elif layer is not None:
            self._fire_constant(node, layer)
        else:
            self._fire_dense(node)

    def _fire_events(self, node: Population, layer: EventLayer) -> None:
        firing, bits = self._spans[node.name], self._sent[node.name].bits
        for piece in self._pieces(node, firing):
            arriving, fires = self._events(node, piece), firing.covers(piece.start)
            biased = self._bias_span(node).covers(piece.start)
            if not (arriving or biased or fires):
                continue
            layer.advance(
                self._program.method(layer, arriving, piece.stop - piece.start, self._usual),
                self._membranes[node.name],
                arriving,
                bits,
                self._steps_in_buffer(node.name, piece),
                biased=biased,
                firing=fires,
                memory=self._program.memory,
                calls=self._calls,
            )

    def _events(self, node: Population | Readout, piece: Span) -> list[Arriving]:
        """Return what spikes in a piece, connection by connection."""
        found = []
        for feed, connection in enumerate(self._network.incoming(node.name)):
            then = piece.delayed(-connection.delay)
            if self._spans[connection.source].covers(then.start):
                first = self._steps_in_buffer(connection.source, then).start
                found.append(Arriving(feed, self._sent[connection.source].bits, first))
        return found

    def _fire_constant(self, node: Population, layer: AnalogLayer) -> None:
        firing, bits = self._spans[node.name], self._sent[node.name].bits
        for piece in self._pieces(node, firing):
            constant, fires = self._constant(node, piece), firing.covers(piece.start)
            if constant is None and not fires:
                continue
            currents = layer.room(1 if constant is None else len(constant))
            if constant is not None:
                self._before.append(partial(self._fill, node, layer, piece, currents))
            layer.advance(
                self._membranes[node.name],
                currents,
                bits,
                self._steps_in_buffer(node.name, piece),
                firing=fires,
                calls=self._calls,
            )

    def _fill(
        self, node: Population, layer: AnalogLayer, piece: Span, currents: FloatArray
    ) -> None:
        constant = self._constant(node, piece)
        assert constant is not None
        layer.fill(currents, constant)

    def _fire_dense(self, node: Population) -> None:
        neurons, membranes = self._program.neurons(node), self._membranes[node.name]
        firing = self._spans[node.name]
        for piece in self._pieces(node, firing):
            sums, constant = self._arriving(node, piece), self._constant(node, piece)
            fires = firing.covers(piece.start)
            if sums is None and constant is None and not fires:
                continue
            spikes = self._in_buffer(node.name, piece).reshape(-1, *membranes.voltage.shape)
            neurons.advance(
                membranes,
                np.zeros((1, node.size)) if constant is None else constant,
                spikes[:0] if sums is None else sums.reshape(-1, *membranes.voltage.shape),
                spikes if fires else spikes[:0],
                piece.stop - piece.start,
                fires=fires,
            )

    def _record(self, node: Population) -> None:
        span = self._spans[node.name].within(self._chunk)
        if span and node.name in self._results.spikes:
            spikes = from_stored(self._in_buffer(node.name, span), node.shape)
            train = self._results.spikes[node.name]
            train[span.start : span.stop, self._rows] = spikes.astype(train.dtype)

    def _relay(self, node: Relay) -> None:
        for piece in self._pieces(node):
            values = self._in_buffer(node.name, piece)
            sums, constant = self._arriving(node, piece), self._constant(node, piece)
            values[...] = 0.0 if sums is None else sums
            if constant is not None:
                values += constant.reshape(-1, *values.shape[2:])

    def _read(self, node: Readout) -> None:
        layer = self._layers.get(node.name)
        for piece in self._pieces(node):
            if isinstance(layer, EventLayer):
                found = self._sums_of_events(node, layer, piece)
                self._after.append(partial(self._accumulate_integers, node, layer, piece, found))
            else:
                sums = self._arriving(node, piece)
                self._after.append(partial(self._accumulate, node, piece, sums))

    def _accumulate_integers(
        self, node: Readout, layer: EventLayer, piece: Span, sums: npt.NDArray[np.int32] | None
    ) -> None:
        """Add the sums of a layer of events to a readout."""
        currents = None
        if sums is not None:
            plain = sums[..., : channels_of(node.shape)].transpose(2, 0, 3, 1) * layer.numbers.unit
            by_step = plain.reshape(len(plain), self._n, *node.shape)
            currents = to_stored(by_step, node.shape)
        self._accumulate(node, piece, currents)

    def _accumulate(self, node: Readout, piece: Span, sums: FloatArray | None) -> None:
        """Add what arrived in the steps of a piece to a readout."""
        accumulated, total = self._results.accumulated[node.name], self._sums[node.name]
        currents = np.zeros((piece.stop - piece.start, *total.shape))
        if sums is not None:
            currents += sums
        constant = self._constant(node, piece)
        if constant is not None:
            currents += constant.reshape(-1, *total.shape[1:])
        currents[0] += total
        np.add.accumulate(currents, axis=0, out=currents)
        total[...] = currents[-1]
        span = Span(node.start, node.start + len(accumulated)).within(piece)
        if span:
            seen = currents[span.start - piece.start : span.stop - piece.start]
            steps = slice(span.start - node.start, span.stop - node.start)
            accumulated[steps, self._rows] = from_stored(seen, node.shape)

    def _sums_of_events(
        self, node: Readout, layer: EventLayer, piece: Span
    ) -> npt.NDArray[np.int32] | None:
        """Return the sums of each step, (n, positions, steps, channels), once calls have run."""
        arriving, length = self._events(node, piece), piece.stop - piece.start
        if not arriving:
            return None
        sums = np.empty((self._n, layer.positions, length, layer.channels), np.int32)
        layer.advance(
            self._program.method(layer, arriving, length, self._usual),
            Membranes(sums, sums, layer.numbers.v_init),
            arriving,
            sums,
            slice(0, length),
            biased=False,
            firing=False,
            memory=self._program.memory,
            calls=self._calls,
        )
        return sums

    def _pieces(self, node: Fed, *spans: Span) -> list[Span]:
        """Cut the chunk where what drives the node, or the given span, begins or ends."""
        incoming = self._network.incoming(node.name)
        arriving = [self._spans[c.source].delayed(c.delay) for c in incoming]
        bias = [] if isinstance(node, Relay) else [self._bias_span(node)]
        return list(pieces(self._chunk, [*arriving, *bias, *spans]))

    def _bias_span(self, node: Population | Readout) -> Span:
        return window(node.bias_start, node.bias_stop, self._steps)

    def _arriving(self, node: Fed, piece: Span) -> FloatArray | None:
        """Return the sums (steps, n, *stored shape) of what arrives; None: nothing does."""
        total: FloatArray | None = None
        owned = False
        for connection in self._network.incoming(node.name):
            then = piece.delayed(-connection.delay)
            open_then = self._spans[connection.source].covers(then.start)
            if is_analog(self._network, connection) or not open_then:
                continue
            sent = self._sending(connection.source, then)
            sums = self._program.kernel(connection).currents(sent)
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
        if not isinstance(node, Input):
            return self._in_buffer(source, span)
        frames = self._samples[source][:, span.start - node.start : span.stop - node.start]
        return to_stored(frames.swapaxes(0, 1), node.shape)

    def _constant(self, node: Fed, piece: Span) -> FloatArray | None:
        """Return bias and analog currents (1 or n, size) of a piece; None: there are none."""
        terms = [
            self._analog[id(c)]
            for c in self._network.incoming(node.name)
            if is_analog(self._network, c)
            and self._spans[c.source].delayed(c.delay).covers(piece.start)
        ]
        if not isinstance(node, Relay) and self._bias_span(node).covers(piece.start):
            terms += [b for b in [self._program.biases.get(node.name)] if b is not None]
        return reduce(np.add, terms) if terms else None
