"""Build the spiking network of a lowered graph and its thresholds.

Every value of the graph is followed as a sum of terms (a source node and a chain of operators) and
a constant. A Relu turns its input's terms into connections of a population. A weighted sum that
several nodes read becomes a Relay; analog inputs and constants are carried past it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import (
    Add,
    Affine,
    Concat,
    Graph,
    GraphInput,
    Node,
    Relu,
    unused_name,
)
from snnconvert.convert.linear import (
    Chain,
    Dense,
    FloatArray,
    LinearOperator,
    Shape,
    Transpose,
    absolute_chain,
    apply_chain,
    is_routing,
    place,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
    Reset,
)
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.simplify import collapse, simplify_chain

_Terms: TypeAlias = tuple[tuple[str, Chain], ...]


@dataclass(frozen=True, eq=False)
class _Sum:
    """A value as a sum of terms and a constant that broadcasts against its shape."""

    terms: _Terms
    constant: FloatArray


FARTHEST_WEIGHTS = 64
"""Nodes between a population and the weights in front of it: thousands in a row took minutes."""


def build_network(
    graph: Graph,
    scales: Mapping[str, FloatArray],
    *,
    reset: Reset = "subtract",
    v_init: float = 0.5,
    input_bounds: Mapping[str, float] | None = None,
    neuron: str = "if",
) -> Network:
    """Return the spiking network of a lowered graph, in ANN units.

    Parameters
    ----------
    graph : Graph
        Lowered: affine maps, sums, concatenations and Relu.
    scales : dict of arrays
        Threshold of each calibrated Relu node, broadcastable to its shape: the activation that
        maps to a rate of 1.
    reset : {"subtract", "zero"}
    v_init : float
        Initial voltage as a share of the threshold, in [0, 1).
    input_bounds : dict of float, optional
        Largest magnitude of each input.
    neuron : str
        Name of the neuron model. The scales are the activations that it sends at full rate; a
        graded neuron's threshold is a share of them, one for each unit of its largest payload.

    Raises
    ------
    CalibrationError
        If a population has no threshold or one that is not positive and finite.
    """
    return _Builder(graph, scales, reset, v_init, input_bounds or {}, neuron).build()


class _Builder:
    def __init__(
        self,
        graph: Graph,
        scales: Mapping[str, FloatArray],
        reset: Reset,
        v_init: float,
        input_bounds: Mapping[str, float],
        neuron: str,
    ) -> None:
        self.graph, self.scales = graph, scales
        self.reset, self.v_init, self.input_bounds = reset, v_init, input_bounds
        self.neuron = neuron
        self.highest = spike_values(neuron).highest
        self.inputs = {node.name for node in graph.inputs}
        self.sums: dict[str, _Sum] = {}
        self.nodes: list[NetworkNode] = []
        self.connections: list[Connection] = []
        self.rates: dict[str, FloatArray] = {}
        """What a rate of 1 is worth, for populations and for relays of copies of rates."""

    def build(self) -> Network:
        """Follow every node, then add the readouts."""
        for node in self.graph.nodes:
            self.sums[node.name] = self._value(node)
            if self._is_shared(node):
                self._relay(node)
        for name, label in zip(self.graph.outputs, self.graph.output_names, strict=True):
            self._readout(self.graph[name], label)
        return Network(self.graph.name, tuple(self.nodes), tuple(self.connections))

    def _value(self, node: Node) -> _Sum:
        op = node.op
        if isinstance(op, GraphInput):
            bound = self.input_bounds.get(node.name, 1.0)
            self.nodes.append(Input(node.name, node.shape, bound=bound))
            return _Sum(((node.name, ()),), np.zeros((1,) * len(node.shape)))
        if isinstance(op, Affine):
            return self._affine(node, op)
        if isinstance(op, Add):
            parts = [self.sums[i] for i in node.inputs]
            constant = sum((p.constant for p in parts), np.zeros((1,) * len(node.shape)))
            constant = constant if op.bias is None else constant + op.bias
            return _Sum(tuple(t for p in parts for t in p.terms), np.asarray(constant))
        if isinstance(op, Concat):
            return self._concat(node, op)
        assert isinstance(op, Relu)
        return self._population(node, op)

    def _affine(self, node: Node, op: Affine) -> _Sum:
        source = self.sums[node.inputs[0]]
        shape = self.graph[node.inputs[0]].shape
        terms = tuple((s, simplify_chain(chain + op.operators)) for s, chain in source.terms)
        constant = _pass_constant(source.constant, shape, op.operators)
        if op.bias is not None:
            constant = constant + op.bias
        return _Sum(terms, _collapse(constant, node.shape))

    def _concat(self, node: Node, op: Concat) -> _Sum:
        terms: list[tuple[str, Chain]] = []
        constant = np.zeros(node.shape)
        offset = 0
        for name in node.inputs:
            shape = self.graph[name].shape
            part = self.sums[name]
            selection = place(shape, op.axis, offset, node.shape[op.axis])
            terms += [(s, simplify_chain((*chain, selection))) for s, chain in part.terms]
            full = np.broadcast_to(part.constant, shape)
            constant += selection.apply(full[None])[0]
            offset += shape[op.axis]
        return _Sum(tuple(terms), _collapse(constant, node.shape))

    def _population(self, node: Node, op: Relu) -> _Sum:
        arriving = self.sums[node.inputs[0]]
        threshold = self._threshold(node, op)
        self.rates[node.name] = np.broadcast_to(threshold, node.shape)
        population = Population(
            name=node.name,
            shape=node.shape,
            threshold=threshold,
            amplitude=threshold,
            scale=threshold,
            bias=_collapse(arriving.constant, node.shape),
            v_init=np.asarray(threshold * self.v_init),
            reset=self.reset,
            neuron=self.neuron,
            tensor=node.name,
            channel_axis=channel_axis(self.graph, node.name),
        )
        self._connect(arriving, population)
        return _Sum(((node.name, ()),), np.zeros((1,) * len(node.shape)))

    def _threshold(self, node: Node, op: Relu) -> FloatArray:
        if op.follows is not None:
            compared = self._largest_rates(self.sums[node.inputs[0]].terms, node.shape)
            return _collapse(_fill_gaps(compared), node.shape)
        threshold = self.scales.get(node.name) if op.threshold is None else op.threshold
        if threshold is None:
            raise CalibrationError(f"population {node.name!r} was given no threshold")
        threshold = np.asarray(threshold, np.float64)
        if not (np.isfinite(threshold).all() and (threshold > 0).all()):
            raise CalibrationError(
                f"population {node.name!r}: thresholds must be positive and finite"
            )
        return threshold / self.highest

    def _largest_rates(self, terms: _Terms, shape: Shape) -> FloatArray:
        """Return the largest threshold of the rates that each position adds or subtracts."""
        largest = np.zeros(shape)
        for source, chain in terms:
            routed = apply_chain(absolute_chain(chain), self.rates[source][None])[0]
            largest = np.maximum(largest, routed)
        return largest

    def _is_shared(self, node: Node) -> bool:
        """Tell whether a weighted sum of spikes has several readers."""
        if isinstance(node.op, GraphInput | Relu):
            return False
        readers = len(self.graph.consumers[node.name]) + self.graph.outputs.count(node.name)
        spiking = [chain for _, chain in self._spiking(self.sums[node.name])]
        return readers > 1 and (len(spiking) > 1 or any(not is_routing(c) for c in spiking))

    def _spiking(self, value: _Sum) -> list[tuple[str, Chain]]:
        return [(source, chain) for source, chain in value.terms if source not in self.inputs]

    def _relay(self, node: Node) -> None:
        value = self.sums[node.name]
        spiking = self._spiking(value)
        analog = tuple(term for term in value.terms if term not in spiking)
        relay = Relay(node.name, node.shape)
        if all(source in self.rates and is_routing(chain) for source, chain in spiking):
            self.rates[relay.name] = self._largest_rates(tuple(spiking), node.shape)
        self._connect(_Sum(tuple(spiking), value.constant), relay)
        self.sums[node.name] = _Sum((*analog, (relay.name, ())), value.constant)

    def _readout(self, node: Node, label: str) -> None:
        value = self.sums[node.name]
        taken = {n.name for n in self.nodes}
        name = unused_name(f"{label}/readout", taken) if label in taken else label
        self._connect(
            value,
            Readout(
                name=name,
                shape=node.shape,
                bias=_collapse(value.constant, node.shape),
                scale=np.ones((1,) * len(node.shape)),
                tensor=node.name,
            ),
        )

    def _connect(self, value: _Sum, target: Population | Relay | Readout) -> None:
        self.nodes.append(target)
        self.connections += [
            Connection(source, target.name, simplify_chain(chain)) for source, chain in value.terms
        ]


def _pass_constant(constant: FloatArray, shape: Shape, operators: Chain) -> FloatArray:
    full = np.broadcast_to(constant, shape)
    if not constant.any():
        rank = len(operators[-1].output_shape) if operators else len(shape)
        return np.zeros((1,) * rank)
    return np.asarray(apply_chain(operators, np.asarray(full, np.float64)[None])[0])


def _fill_gaps(thresholds: FloatArray) -> FloatArray:
    """Give neurons that compare nothing but padding the threshold of their channel."""
    channel = thresholds.max(axis=tuple(range(1, thresholds.ndim)), keepdims=True)
    filled = np.where(thresholds > 0, thresholds, channel)
    return np.where(filled > 0, filled, 1.0)


def _collapse(values: FloatArray, shape: Shape) -> FloatArray:
    values = np.asarray(values, np.float64)
    return collapse(values.reshape((1,) * (len(shape) - values.ndim) + values.shape))


def channel_axis(graph: Graph, name: str) -> int:
    """Return the axis along which a Relu's channels lie (batch not counted).

    The output axis of the weights that made the value, followed through transpositions; 0 where
    there are none near.
    """
    node = graph[name]
    moved: list[LinearOperator] = []
    for _ in range(FARTHEST_WEIGHTS):
        if not node.inputs:
            break
        node = graph[node.inputs[0]]
        if not isinstance(node.op, Affine):
            continue
        for operator in reversed(node.op.operators):
            if isinstance(operator, Transpose):
                moved.insert(0, operator)
            elif isinstance(operator, Dense):
                return _follow(operator.axis % len(operator.input_shape), moved)
            elif not is_routing((operator,)):
                return _follow(0, moved)
            elif operator.output_shape != operator.input_shape and moved:
                return 0
    return 0


def _follow(axis: int, moved: list[LinearOperator]) -> int:
    for operator in moved:
        assert isinstance(operator, Transpose)
        axis = operator.permutation.index(axis)
    return axis
