"""The ANN as imported: typed nodes over static shapes, and a NumPy evaluator.

Shapes exclude the batch, which is axis 0 of every value. Constants are folded. The evaluator is
the definition of what a Graph means; it is tested against onnxruntime on the original file.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.approximation import Approximation
from snnconvert.convert.curves.functions import Expression
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.linear import (
    Chain,
    FloatArray,
    Shape,
    Window,
    apply_chain,
)
from snnconvert.convert.quantiser import DynamicQuantise, Quantise


@dataclass(frozen=True, eq=False)
class GraphInput:
    """A network input."""


@dataclass(frozen=True, eq=False)
class Affine:
    """One input through a chain of linear operators, plus a constant.

    Attributes
    ----------
    operators : tuple of LinearOperator
    bias : float array or None
        Broadcasts against the output shape.
    """

    operators: Chain
    bias: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of the inputs (all of the node's shape), plus a constant."""

    bias: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Concat:
    """Concatenation along an axis (batch not counted)."""

    axis: int


@dataclass(frozen=True, eq=False)
class Relu:
    """``min(max(x, 0), ceiling)``: one population of integrate-and-fire neurons.

    Attributes
    ----------
    ceiling : float or None
        Upper bound; a rate cannot exceed 1, so a threshold of at most `ceiling` is exact there.
    follows : str or None
        Name of the max-pooling whose tree this neuron belongs to, where only copies of rates are
        pooled: it takes over the thresholds of the populations that it compares.
    threshold : float array or None
        Threshold that the function itself dictates, broadcastable to the shape: the width of a
        fitted ramp, or the range of a quantiser. It is not calibrated.
    levels : int or None
        Levels above zero of the quantiser that dictates the threshold: with as many timesteps a
        staged population has the quantiser's values.
    """

    ceiling: float | None = None
    follows: str | None = None
    threshold: FloatArray | None = None
    levels: int | None = None

    @property
    def calibrated(self) -> bool:
        """Whether a threshold must be chosen from activation statistics."""
        return self.follows is None and self.threshold is None


@dataclass(frozen=True, eq=False)
class Clip:
    """``min(max(x, low), high)``; a missing bound is infinite."""

    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of one variable, of every element.

    Attributes
    ----------
    function : Expression
    ramps : Ramps or None
        The fit that replaces it in the lowered graph; None before calibration.
    """

    function: Expression
    ramps: Ramps | None = None


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum over a sliding window of ``(channels, *spatial)``; padding never wins."""

    window: Window


@dataclass(frozen=True, eq=False)
class OutputFunction:
    """A function that only the decoded output may have.

    Attributes
    ----------
    kind : {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax"}
    axis : int
        Batch not counted.
    keepdims : bool
        ArgMax only.
    """

    kind: Literal["Softmax", "LogSoftmax", "Sigmoid", "ArgMax"]
    axis: int = -1
    keepdims: bool = True


Op: TypeAlias = (
    GraphInput
    | Affine
    | Add
    | Concat
    | Relu
    | Clip
    | Curve
    | MaxPool
    | OutputFunction
    | Quantise
    | DynamicQuantise
)


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the network.

    Attributes
    ----------
    name : str
        Unique; the ONNX node's name.
    op : Op
    inputs : tuple of str
        Names of earlier nodes.
    shape : tuple of int
        Without batch.
    tensor : str or None
        ONNX tensor that holds this value; None when only our graph has it.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: Shape
    tensor: str | None = None


Activation: TypeAlias = Callable[[Node, FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Graph:
    """A feed-forward network.

    Attributes
    ----------
    name : str
    nodes : tuple of Node
        In topological order.
    outputs : tuple of str
        Names of output nodes, in the file's order.
    output_names : tuple of str
        What the file calls them.
    output_functions : tuple of tuple of OutputFunction or Quantise
        For each output: functions that were taken off its end, in order of application.
    opset : int
    notes : tuple of str
        What was noticed on the way, for the report.
    approximations : tuple of Approximation
        Everything in which the graph is not what the file says.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    output_functions: tuple[tuple[OutputFunction | Quantise, ...], ...] = ()
    opset: int = 0
    notes: tuple[str, ...] = field(default=())
    approximations: tuple[Approximation, ...] = ()

    def __post_init__(self) -> None:
        if len(self._by_name) != len(self.nodes):
            raise ValueError(f"graph {self.name!r}: node names are not unique")

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes."""
        return tuple(n for n in self.nodes if isinstance(n.op, GraphInput))

    @property
    def activations(self) -> tuple[Node, ...]:
        """The Relu nodes: one population each in a lowered graph."""
        return tuple(n for n in self.nodes if isinstance(n.op, Relu))

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each node."""
        table: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for source in dict.fromkeys(node.inputs):
                table[source].append(node)
        return {name: tuple(found) for name, found in table.items()}

    def with_nodes(self, nodes: Iterable[Node], **changes: Any) -> Graph:
        """Return a copy with other nodes."""
        return replace(self, nodes=tuple(nodes), **changes)

    def unused(self, name: str) -> str:
        """Return `name` for a new node, with a number behind it where a node has that name."""
        return unused_name(name, self._by_name)

    def evaluate(
        self,
        feeds: Mapping[str, npt.NDArray[Any]],
        want: Iterable[str] | None = None,
        *,
        known: Mapping[str, FloatArray] | None = None,
        activation: Activation | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> dict[str, FloatArray]:
        """Compute values of the graph in NumPy.

        Parameters
        ----------
        feeds : dict of (N, *shape) arrays
            By name of input node.
        want : iterable of str, optional
            Names of nodes to return; default: the outputs.
        known : dict of arrays, optional
            Values that need not be computed.
        activation : callable, optional
            Replaces every Relu: receives the node and its input, returns its value.
        dtype : dtype
            Of all values.

        Returns
        -------
        dict of (N, *shape) arrays
            By node name.
        """
        wanted = tuple(self.outputs if want is None else want)
        values: dict[str, FloatArray] = {k: np.asarray(v, dtype) for k, v in (known or {}).items()}
        needed = self._needed(wanted, values)
        remaining = {
            name: sum(1 for c in self.consumers[name] if c.name in needed) for name in needed
        }
        for node in self.nodes:
            if node.name not in needed or node.name in values:
                continue
            if isinstance(node.op, GraphInput):
                values[node.name] = np.asarray(feeds[node.name], dtype)
                continue
            values[node.name] = evaluate_node(node, [values[i] for i in node.inputs], activation)
            for source in dict.fromkeys(node.inputs):
                remaining[source] -= 1
                if not remaining[source] and source not in wanted:
                    del values[source]
        return {name: values[name] for name in wanted}

    def _needed(self, wanted: Iterable[str], known: Mapping[str, FloatArray]) -> set[str]:
        needed: set[str] = set()
        stack = list(wanted)
        while stack:
            name = stack.pop()
            if name in needed:
                continue
            needed.add(name)
            if name not in known:
                stack.extend(self[name].inputs)
        return needed


def unused_name(name: str, taken: Container[str]) -> str:
    """Return `name`, with the first free number behind it where it is taken."""
    numbered = (f"{name}_{i}" for i in count(2))
    return next(n for n in chain((name,), numbered) if n not in taken)


def evaluate_node(
    node: Node, inputs: list[FloatArray], activation: Activation | None = None
) -> FloatArray:
    """Compute one node's value from its inputs."""
    op = node.op
    if isinstance(op, Affine):
        y = apply_chain(op.operators, inputs[0])
        return y if op.bias is None else np.asarray(y + op.bias.astype(y.dtype))
    if isinstance(op, Add):
        total = inputs[0]
        for other in inputs[1:]:
            total = total + other
        return total if op.bias is None else np.asarray(total + op.bias.astype(total.dtype))
    if isinstance(op, Concat):
        return np.concatenate(inputs, axis=op.axis + 1)
    if isinstance(op, Relu):
        if activation is not None:
            return activation(node, inputs[0])
        return np.clip(inputs[0], 0, op.ceiling)
    if isinstance(op, Clip):
        return np.clip(inputs[0], op.low, op.high)
    if isinstance(op, Curve):
        return op.function.evaluate(inputs[0]).astype(inputs[0].dtype)
    if isinstance(op, Quantise | DynamicQuantise):
        return op.evaluate(inputs[0])
    if isinstance(op, MaxPool):
        return _max_pool(op.window, inputs[0])
    if isinstance(op, OutputFunction):
        return apply_output_function(op, inputs[0])
    raise TypeError(f"node {node.name!r}: {type(op).__name__} has no value to compute")


def _max_pool(window: Window, x: FloatArray) -> FloatArray:
    rank = len(window.size)
    taps = window.view(x, fill=-np.inf)
    return np.asarray(taps.max(axis=tuple(range(2 + rank, 2 + 2 * rank))))


def apply_output_function(function: OutputFunction | Quantise, logits: FloatArray) -> FloatArray:
    """Apply Softmax, LogSoftmax, Sigmoid, ArgMax or rounding to ``(N, *shape)``."""
    if isinstance(function, Quantise):
        return function.evaluate(logits)
    axis = function.axis + 1 if function.axis >= 0 else function.axis
    if function.kind == "ArgMax":
        index = logits.argmax(axis=axis)
        return np.asarray(np.expand_dims(index, axis) if function.keepdims else index)
    if function.kind == "Sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
    shifted = logits - logits.max(axis=axis, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    log_softmax = shifted - log_sum
    return np.asarray(log_softmax if function.kind == "LogSoftmax" else np.exp(log_softmax))
