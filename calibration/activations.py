"""Observe the activations of a network: one streaming pass over the calibration rows.

onnxruntime computes the pre-activations, exposed as additional outputs of the model; what only the
lowered graph has is evaluated from the exposed values. Rows go through one by one, because the
last bit of a matrix product depends on how many rows there are: so the statistics are the same
whatever the batch size, and models with a fixed batch need no special case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx

from snnconvert.calibration.data import Rows, SampleSource
from snnconvert.calibration.layer_statistics import LayerStatistics
from snnconvert.convert.ann import AnnSession
from snnconvert.convert.build_network import channel_axis
from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import Graph, GraphInput, Node, Op, Relu
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.quantiser import DynamicQuantise, Quantise


@dataclass(frozen=True, eq=False)
class Observed:
    """What one pass over the calibration rows found.

    Attributes
    ----------
    layers : dict of LayerStatistics
        By name of Relu node that is calibrated, in order: without the neurons of max-pooling
        trees, which take over the thresholds of the pooled population, and without those whose
        function dictates the threshold.
    inputs : dict of float
        Largest magnitude of each input.
    rows : int
    data_hash : str
        ``SampleSource.content_hash`` of the rows.
    warnings : tuple of str
        Dead layers and channels.
    """

    layers: dict[str, LayerStatistics]
    inputs: dict[str, float]
    rows: int
    data_hash: str
    warnings: tuple[str, ...] = ()


def observe(
    graph: Graph,
    model_bytes: bytes,
    source: SampleSource,
    *,
    threads: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> Observed:
    """Gather the statistics of every population in one pass.

    Parameters
    ----------
    graph : Graph
        Lowered.
    model_bytes : bytes
        The self-contained ONNX model that the graph was made from.
    source : SampleSource
    threads : int
        Threads of onnxruntime within an operator; 0 lets it choose.
    progress : callable, optional
        Called with the number of rows done and the number in all (None where unknown).

    Returns
    -------
    Observed
        The same, bit for bit, for any order of the rows and any batch size.

    Raises
    ------
    CalibrationError
        If an activation is not finite.
    """
    layers = _empty_statistics(graph)
    bounds, rows = record(graph, model_bytes, source, layers, threads=threads, progress=progress)
    warnings = tuple(_dead_warnings(layers, rows))
    return Observed(layers, bounds, rows, source.content_hash, warnings)


class Statistics(Protocol):
    """Takes in what a node reads, a row at a time."""

    def update(self, values: FloatArray, /) -> None:
        """Take in rows of values, (n, *shape)."""


def record(
    graph: Graph,
    model_bytes: bytes,
    source: SampleSource,
    statistics: Mapping[str, Statistics],
    *,
    threads: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[dict[str, float], int]:
    """Hand the first input of some nodes to their statistics, in one pass over the rows.

    Parameters
    ----------
    graph, model_bytes, source, threads, progress
        As for :func:`observe`.
    statistics : dict of Statistics
        By name of node.

    Returns
    -------
    bounds : dict of float
        Largest magnitude of each network input.
    rows : int

    Raises
    ------
    CalibrationError
        If a value is not finite.
    """
    recorder = _Recorder(graph, model_bytes, statistics, threads)
    bounds = dict.fromkeys(source.inputs, 0.0)
    done = 0
    for batch in source:
        for name, rows in batch.items():
            bounds[name] = max(bounds[name], float(np.abs(rows).max(initial=0.0)))
        recorder.record(batch)
        done += len(next(iter(batch.values())))
        if progress is not None:
            progress(done, source.rows)
    return bounds, done


def _empty_statistics(graph: Graph) -> dict[str, LayerStatistics]:
    return {
        node.name: LayerStatistics(node.shape, channel_axis(graph, node.name), node.op.ceiling)
        for node in graph.nodes
        if isinstance(node.op, Relu) and node.op.calibrated
    }


class _Recorder:
    """Runs rows through the model and hands the pre-activations to the statistics."""

    def __init__(
        self, graph: Graph, model: bytes, layers: Mapping[str, Statistics], threads: int
    ) -> None:
        self.graph, self.layers = graph, layers
        self.sources = {name: graph[name].inputs[0] for name in layers}
        self.exposed = _exposed(graph, self.sources.values())
        tensors = tuple(dict.fromkeys(self.exposed.values()))
        self.session = AnnSession(expose(model, tensors), threads=threads) if tensors else None
        self.evaluated = tuple(
            dict.fromkeys(s for s in self.sources.values() if s not in self.exposed)
        )

    def record(self, batch: Rows) -> None:
        """Take in a batch, row by row."""
        for i in range(len(next(iter(batch.values())))):
            row = {name: rows[i : i + 1] for name, rows in batch.items()}
            values = self._values(row)
            for name, source in self.sources.items():
                value = values[source]
                if not np.isfinite(value).all():
                    raise CalibrationError(
                        f"the pre-activations of {name!r} are not finite on the calibration rows",
                        why="weights or inputs are so large that sums overflow float32",
                        hint="check the preprocessing (--scale, --mean, --std)",
                    )
                self.layers[name].update(value)

    def _values(self, row: Rows) -> dict[str, FloatArray]:
        tensors = {} if self.session is None else self.session.run(row, batch_size=1)
        known: dict[str, FloatArray] = {}
        for name, tensor in self.exposed.items():
            known[name] = tensors[tensor].reshape(1, *self.graph[name].shape)
        return known | self.graph.evaluate(row, self.evaluated, known=known)


def _exposed(graph: Graph, wanted: Iterable[str]) -> dict[str, str]:
    """Return the tensors that give the wanted values, or the nearest values before them."""
    exposed: dict[str, str] = {}
    stack = list(wanted)
    visited: set[str] = set()
    while stack:
        node = graph[stack.pop()]
        if node.name in visited:
            continue
        visited.add(node.name)
        if _is_in_model(node):
            assert node.tensor is not None
            exposed[node.name] = node.tensor
        else:
            stack.extend(node.inputs)
    return exposed


def _is_in_model(node: Node) -> bool:
    return node.tensor is not None and not isinstance(node.op, GraphInput)


def expose(model: bytes, tensors: Iterable[str]) -> bytes:
    """Return the model with the given tensors as its only outputs.

    onnxruntime then computes nothing else: parts that fail for another batch size, such as a
    Reshape to a fixed one, are left out where no tensor needs them.
    """
    proto = onnx.load_model_from_string(model)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return bytes(proto.SerializeToString())


def expose_levels(model: bytes, quantisers: Mapping[str, Op]) -> bytes:
    """Return the model with what quantisers give among its outputs.

    Parameters
    ----------
    model : bytes
    quantisers : dict of Quantise or DynamicQuantise
        By name of the output: the integers as floats of one, the real values of the other.
    """
    if not quantisers:
        return model
    proto = onnx.load_model_from_string(model)
    for name, op in quantisers.items():
        if isinstance(op, DynamicQuantise):
            added = onnx.helper.make_node("DequantizeLinear", list(op.tensors), [name])
        else:
            assert isinstance(op, Quantise) and op.tensor is not None
            added = onnx.helper.make_node("Cast", [op.tensor], [name], to=onnx.TensorProto.FLOAT)
        proto.graph.node.append(added)
        proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(proto.SerializeToString())


def _dead_warnings(layers: dict[str, LayerStatistics], rows: int) -> Iterable[str]:
    dead = {name: int(layer.dead.sum()) for name, layer in layers.items()}
    for name, layer in layers.items():
        if dead[name] == layer.channels:
            yield f"population {name!r} is dead: no activation is positive on {rows} rows"
    partly = {n: count for n, count in dead.items() if 0 < count < layers[n].channels}
    if partly:
        channels = sum(layer.channels for layer in layers.values())
        listed = ", ".join(f"{name} ({count})" for name, count in partly.items())
        yield (
            f"{sum(partly.values())} of {channels} channels are never active on {rows} rows and "
            f"get the largest threshold of their layer: {listed}"
        )


__all__ = [
    "LayerStatistics",
    "Observed",
    "Statistics",
    "channel_axis",
    "expose",
    "observe",
    "record",
]
