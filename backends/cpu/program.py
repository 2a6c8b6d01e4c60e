"""A network compiled for this engine: a layer of events where one fits, dense kernels elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from snnconvert.backends.cpu.analog_currents import AnalogCurrents
from snnconvert.backends.cpu.analog_layer import AnalogLayer
from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.calls import Workspace
from snnconvert.backends.cpu.choose import cheapest
from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.fixed_point import fixed_point, padded
from snnconvert.backends.cpu.kernels.layer import Method
from snnconvert.backends.cpu.layout import per_neuron
from snnconvert.backends.cpu.plan import Plan
from snnconvert.backends.cpu.results import CountsLayout, counts_layout
from snnconvert.backends.cpu.schedule import is_analog
from snnconvert.backends.cpu.sent import SLACK
from snnconvert.backends.cpu.taps import Taps, as_rows, channels_of, taps_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from snnconvert.convert.neurons import spike_values

if TYPE_CHECKING:
    from snnconvert.backends.cpu.neurons import Neurons

Layer: TypeAlias = EventLayer | AnalogLayer

MOST_CHANNELS = 2**16
"""Channels of a source: events are numbers of 16 bits."""


class DenseOperators(Protocol):
    """A way to compute the currents of one connection."""

    def currents(self, sent: FloatArray) -> FloatArray:
        """Map (steps, n, *stored source shape) to (steps, n, *stored target shape).

        The result may be the argument itself, or a view of it.
        """


class Program:
    """What runs of a network share.

    Attributes
    ----------
    network : Network
    plan : Plan
    layers : dict of str to EventLayer or AnalogLayer
        The nodes that compute with spikes as bits.
    biases : dict of str to (1, size) float64 array
        Of the populations and readouts whose bias is not zero.
    last_reader : dict of str to str
        The last node that reads what a node sends.
    currents : dict of int to AnalogCurrents
        Those of connections from analog inputs, by ``id`` of the connection.
    memory : Workspace
    """

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        self.layers = dict(_layers(network))
        self.biases = {
            n.name: per_neuron(n.bias, n.shape)[None]
            for n in network.nodes
            if isinstance(n, Population | Readout) and np.any(n.bias)
        }
        self.last_reader = {
            c.source: n.name for n in network.nodes for c in network.incoming(n.name)
        }
        self.currents = {
            id(c): AnalogCurrents(c, network[c.source].shape, network[c.target].shape)
            for c in network.connections
            if is_analog(network, c)
        }
        self.memory = Workspace()
        self._layouts: dict[frozenset[str], CountsLayout] = {}
        self._methods: dict[str, Method] = {}
        self._kernels: dict[int, DenseOperators] = {}
        self._neurons: dict[str, Neurons] = {}
        self._lock = threading.Lock()

    def layers_for(self, steps: int) -> dict[str, Layer]:
        """Return the layers whose integers hold the voltages of so many steps."""
        return {
            name: layer
            for name, layer in self.layers.items()
            if isinstance(layer, AnalogLayer) or steps <= layer.numbers.longest
        }

    def counts_layout(self, steps: int) -> CountsLayout:
        """Return how the kernels of a run of so many steps keep the counts."""
        of_bits = frozenset(self.layers_for(steps))
        if of_bits not in self._layouts:
            self._layouts[of_bits] = counts_layout(self.network, of_bits)
        return self._layouts[of_bits]

    def all_events(self, steps: int) -> bool:
        """Tell whether no node of a run needs dense operators."""
        layers = self.layers_for(steps)
        return all(n.name in layers for n in self.network.nodes if not isinstance(n, Input))

    def settled(self, steps: int) -> bool:
        """Tell whether the kernels of a run are known beforehand: one chunk, all methods chosen."""
        layers = [layer for layer in self.layers.values() if isinstance(layer, EventLayer)]
        chosen = all(layer.node.name in self._methods for layer in layers)
        return chosen and steps <= self.plan.chunk and self.all_events(steps)

    def method(
        self, layer: EventLayer, arriving: Sequence[Arriving], steps: int, usual: int
    ) -> Method:
        """Return how a layer is computed: chosen in the first steps in which spikes may arrive.

        `steps` are those at hand, `usual` those that most calls of a kernel compute.
        """
        with self._lock:
            name = layer.node.name
            if name not in self._methods:
                if not arriving:  # says nothing about later steps, and takes no table
                    return "events"
                if not layer.tells(arriving):
                    layer.tables("events")
                    return "events"
                self._methods[name] = cheapest(layer, arriving, steps, usual)
                layer.tables(self._methods[name])
            return self._methods[name]

    def how(self, name: str) -> str:
        """Return how a node is computed: a kernel's method, "constant" or "dense"."""
        layer = self.layers.get(name)
        if isinstance(layer, EventLayer):
            return self._methods.get(name, "integers")
        return "dense" if layer is None else "constant"

    def kernel(self, connection: Connection) -> DenseOperators:
        """Return the dense operators of a connection, made at the first use."""
        from snnconvert.backends.cpu.dense import DenseKernel

        with self._lock:
            if id(connection) not in self._kernels:
                source = self.network[connection.source].shape
                dtype = self.plan.sums[connection.target]
                self._kernels[id(connection)] = DenseKernel(connection.operators, source, dtype)
            return self._kernels[id(connection)]

    def neurons(self, population: Population) -> Neurons:
        """Return the parameters of a population, in stored order."""
        from snnconvert.backends.cpu.neurons import Neurons

        with self._lock:
            if population.name not in self._neurons:
                self._neurons[population.name] = Neurons.of(population)
            return self._neurons[population.name]


def _layers(network: Network) -> list[tuple[str, Layer]]:
    found, arena = [], Arena()
    for node in network.nodes:
        if isinstance(node, Population | Readout):
            layer = _layer(network, node, arena)
            if layer is not None:
                found.append((node.name, layer))
    return found


def _layer(network: Network, node: Population | Readout, arena: Arena) -> Layer | None:
    if isinstance(node, Population) and not _plain(node):
        return None
    incoming = network.incoming(node.name)
    if isinstance(node, Population) and all(is_analog(network, c) for c in incoming):
        return AnalogLayer(node)
    feeds = [_taps(network, connection) for connection in incoming]
    usable = [taps for taps in feeds if taps is not None]
    if len(usable) < len(feeds) or not feeds:
        return None
    numbers = fixed_point(node, usable)
    return None if numbers is None else EventLayer(node, usable, numbers, arena)


def _plain(population: Population) -> bool:
    return spike_values(population.neuron).binary and bool(np.all(population.amplitude == 1))


def _taps(network: Network, connection: Connection) -> Taps | None:
    """Return the taps of a connection from plain neurons, None for any other."""
    source, target = network[connection.source], network[connection.target]
    if not isinstance(source, Population) or not _plain(source):
        return None
    taps = taps_of(connection.operators, source.shape)
    if taps is None or (not taps.diagonal and channels_of(source.shape) > MOST_CHANNELS):
        return None
    if not taps.diagonal:
        return taps
    # A kernel loads the bytes of as many channels as it has, shifted by whole bytes.
    over = (padded(channels_of(target.shape)) + abs(taps.shift)) // 8
    if taps.shift % 8 == 0 and over <= SLACK:
        return taps
    channels = channels_of(source.shape)
    return as_rows(taps, channels) if channels <= MOST_CHANNELS else None
