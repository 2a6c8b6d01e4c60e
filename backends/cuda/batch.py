"""One batch of samples through all the steps on a device: layer by layer within each chunk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from snnconvert.backends.cpu.layout import from_stored, per_neuron, stored_shape, to_stored
from snnconvert.backends.cpu.results import Results
from snnconvert.backends.cpu.schedule import Span, is_analog, pieces, sending_spans, window
from snnconvert.backends.cuda.neurons import DeviceNeurons
from snnconvert.backends.cuda.operators import DeviceKernel, torch_dtype
from snnconvert.backends.cuda.plan import DevicePlan
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Input, Network, Population, Readout, Relay
from snnconvert.convert.snap import round_input

Fed: TypeAlias = Population | Relay | Readout


class DeviceProgram:
    """What runs of a network on a device share: kernels and parameters, in its memory.

    Attributes
    ----------
    kernels : dict of int to DeviceKernel
        By ``id`` of the connection.
    neurons : dict of str to DeviceNeurons
    biases : dict of str to (1, size) float64 tensor
        Of the populations and readouts whose bias is not zero.
    """

    def __init__(self, network: Network, plan: DevicePlan, device: torch.device) -> None:
        self.network, self.plan, self.device = network, plan, device
        double = np.dtype(np.float64)
        self.kernels = {
            id(c): DeviceKernel(
                c.operators,
                network[c.source].shape,
                double if is_analog(network, c) else plan.sums[c.target],
                device,
            )
            for c in network.connections
        }
        self.neurons = {p.name: DeviceNeurons.of(p, device) for p in network.populations}
        self.biases = {
            n.name: torch.tensor(per_neuron(n.bias, n.shape)[None], device=device)
            for n in network.nodes
            if isinstance(n, Population | Readout) and np.any(n.bias)
        }
        self.last_reader = {
            c.source: n.name for n in network.nodes for c in network.incoming(n.name)
        }


class DeviceBatch:
    """Some samples, from the first step to the last.

    Parameters
    ----------
    program : DeviceProgram
    samples : mapping of str to array
        The batch's samples by input name.
    steps : int
    results : Results
        Arrays of the whole run, on the host.
    rows : slice
        Where in the results the batch's samples go.
    """

    def __init__(
        self,
        program: DeviceProgram,
        samples: Mapping[str, npt.NDArray[Any]],
        steps: int,
        results: Results,
        rows: slice,
    ) -> None:
        network, self._device = program.network, program.device
        self._program, self._network, self._plan = program, network, program.plan
        self._steps, self._results, self._rows = steps, results, rows
        rounded = {n.name: round_input(n, samples[n.name]) for n in network.inputs}
        self._n = len(next(iter(rounded.values())))
        frames = {
            n.name: rounded[n.name].shape[1] for n in network.inputs if n.encoding == "events"
        }
        self._spans = sending_spans(network, steps, frames)
        self._inputs = {n.name: self._uploaded(n, rounded[n.name]) for n in network.inputs}
        self._analog = {
            id(c): program.kernels[id(c)].currents(self._inputs[c.source]).reshape(self._n, -1)
            for c in network.connections
            if is_analog(network, c)
        }
        self._membranes = {
            name: neurons.membranes(self._n) for name, neurons in program.neurons.items()
        }
        self._sums = {r.name: self._zeros(stored_shape(r.shape)) for r in network.readouts}
        self._chunk = Span(0, 0)
        self._sent: dict[str, torch.Tensor] = {}
        self._tails: dict[str, torch.Tensor] = {}

    def _uploaded(self, node: Input, values: FloatArray) -> torch.Tensor:
        """Return an input as (frames, n, *stored shape); an analog one has one frame."""
        by_frame = values[None] if node.encoding == "current" else values.swapaxes(0, 1)
        return torch.tensor(to_stored(by_frame, node.shape), device=self._device)

    def _zeros(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros((self._n, *shape), dtype=torch.float64, device=self._device)

    @torch.inference_mode()
    def run(self) -> None:
        """Simulate all steps and write the results."""
        for start in range(0, self._steps, self._plan.chunk):
            self._chunk = Span(start, min(start + self._plan.chunk, self._steps))
            for node in self._network.nodes:
                if not isinstance(node, Input):
                    self._advance(node)
        for p in self._network.populations:
            membranes, stored = self._membranes[p.name], (self._n, *stored_shape(p.shape))
            for found, counted in (
                (self._results.counts, membranes.counts),
                (self._results.events, membranes.events),
            ):
                if p.name in found:
                    on_host = counted.cpu().numpy().reshape(stored)
                    found[p.name][self._rows] = from_stored(on_host, p.shape)

    def _advance(self, node: Fed) -> None:
        """Take one node through the chunk."""
        if isinstance(node, Readout):
            self._read(node)
        else:
            self._sent[node.name] = self._buffer(node)
            if isinstance(node, Population):
                self._fire(node)
                self._record(node)
            else:
                self._relay(node)
        self._release(node.name)

    def _buffer(self, node: Population | Relay) -> torch.Tensor:
        """Return room for what a node sends in the chunk, behind the tail that delays need."""
        reach = self._plan.reach[node.name]
        steps = reach + self._chunk.stop - self._chunk.start
        shape = (steps, self._n, *stored_shape(node.shape))
        dtype = torch_dtype(self._plan.sends[node.name])
        buffer = torch.zeros(shape, dtype=dtype, device=self._device)
        if node.name in self._tails:
            buffer[:reach] = self._tails[node.name]
        return buffer

    def _in_buffer(self, name: str, span: Span) -> torch.Tensor:
        """Return the part of a node's buffer that belongs to a span of steps."""
        first = self._chunk.start - self._plan.reach[name]
        return self._sent[name][span.start - first : span.stop - first]

    def _release(self, name: str) -> None:
        """Drop what no later node of this chunk reads; keep the tails for the next chunk."""
        last_reader = self._program.last_reader
        for source in [s for s in self._sent if last_reader.get(s, name) == name]:
            reach = self._plan.reach[source]
            if reach:
                self._tails[source] = self._sent[source][-reach:].clone()
            del self._sent[source]

    def _fire(self, node: Population) -> None:
        neurons, membranes = self._program.neurons[node.name], self._membranes[node.name]
        firing, shape = self._spans[node.name], membranes.voltage.shape
        for piece in self._pieces(node, firing):
            sums, constant = self._arriving(node, piece), self._constant(node, piece)
            fires = firing.covers(piece.start)
            if sums is None and constant is None and not fires:
                continue
            spikes = self._in_buffer(node.name, piece).view(-1, *shape)
            neurons.advance(
                membranes,
                constant,
                None if sums is None else sums.reshape(-1, *shape),
                spikes if fires else None,
                piece.stop - piece.start,
            )

    def _record(self, node: Population) -> None:
        span = self._spans[node.name].within(self._chunk)
        if span and node.name in self._results.spikes:
            spikes = self._in_buffer(node.name, span).cpu().numpy()
            train = self._results.spikes[node.name]
            train[span.start : span.stop, self._rows] = from_stored(spikes, node.shape)

    def _relay(self, node: Relay) -> None:
        for piece in self._pieces(node):
            values = self._in_buffer(node.name, piece)
            sums, constant = self._arriving(node, piece), self._constant(node, piece)
            if sums is not None:
                values += sums
            if constant is not None:
                values += constant.reshape(-1, *values.shape[2:])

    def _read(self, node: Readout) -> None:
        accumulated, total = self._results.accumulated[node.name], self._sums[node.name]
        for piece in self._pieces(node):
            sums, constant = self._arriving(node, piece), self._constant(node, piece)
            shape = (piece.stop - piece.start, *total.shape)
            currents = torch.zeros(shape, dtype=torch.float64, device=self._device)
            if sums is not None:
                currents += sums
            if constant is not None:
                currents += constant.reshape(-1, *total.shape[1:])
            currents[0] += total
            currents = currents.cumsum(0)
            total.copy_(currents[-1])
            span = Span(node.start, node.start + len(accumulated)).within(piece)
            if span:
                seen = currents[span.start - piece.start : span.stop - piece.start].cpu().numpy()
                steps = slice(span.start - node.start, span.stop - node.start)
                accumulated[steps, self._rows] = from_stored(seen, node.shape)

    def _pieces(self, node: Fed, *spans: Span) -> list[Span]:
        """Cut the chunk where what drives the node, or the given span, begins or ends."""
        incoming = self._network.incoming(node.name)
        arriving = [self._spans[c.source].delayed(c.delay) for c in incoming]
        bias = [] if isinstance(node, Relay) else [self._bias_span(node)]
        return list(pieces(self._chunk, [*arriving, *bias, *spans]))

    def _bias_span(self, node: Population | Readout) -> Span:
        return window(node.bias_start, node.bias_stop, self._steps)

    def _arriving(self, node: Fed, piece: Span) -> torch.Tensor | None:
        """Return the sums (steps, n, *stored shape) of what arrives; None: nothing does."""
        terms = []
        for connection in self._network.incoming(node.name):
            then = piece.delayed(-connection.delay)
            open_then = self._spans[connection.source].covers(then.start)
            if open_then and not is_analog(self._network, connection):
                sent = self._sending(connection.source, then)
                terms.append(self._program.kernels[id(connection)].currents(sent))
        return reduce(torch.add, terms) if terms else None

    def _sending(self, source: str, span: Span) -> torch.Tensor:
        """Return what a node sent in a span of steps, (steps, n, *stored shape)."""
        node = self._network[source]
        if isinstance(node, Input):
            return self._inputs[source][span.start - node.start : span.stop - node.start]
        return self._in_buffer(source, span)

    def _constant(self, node: Fed, piece: Span) -> torch.Tensor | None:
        """Return bias and analog currents (1 or n, size) of a piece; None: there are none."""
        terms = [
            self._analog[id(c)]
            for c in self._network.incoming(node.name)
            if is_analog(self._network, c)
            and self._spans[c.source].delayed(c.delay).covers(piece.start)
        ]
        if not isinstance(node, Relay) and self._bias_span(node).covers(piece.start):
            terms += [b for b in [self._program.biases.get(node.name)] if b is not None]
        return reduce(torch.add, terms) if terms else None
