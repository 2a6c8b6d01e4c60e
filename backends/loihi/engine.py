"""Simulate the chip's integer network for many samples.

Exact integer arithmetic, layer by layer: all steps of a layer, then the next, because connections
lead forwards and take one step each. The work is proportional to spikes times fan-out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.loihi.extract import IntegerLayer, IntegerNetwork
from snnconvert.backends.loihi.kernels import deliver, empty_rows, fire

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a sparse matrix in the form that the kernel reads, weights stored once.

    See :func:`snnconvert.backends.loihi.kernels.deliver`.
    """

    row_pattern: Ints
    row_base: Ints
    pattern_first: Longs
    run_start: Ints
    run_length: Ints
    run_weight: Longs
    weights: Ints


def compile_rows(matrix: sp.csr_array) -> Rows:
    """Return the rows of a CSR matrix (sources, targets) as shared patterns of runs.

    Runs in which every weight is zero are left out.
    """
    known: dict[bytes, int] = {}
    row_pattern, row_base = (np.zeros(matrix.shape[0], np.int32) for _ in range(2))
    runs: list[tuple[int, int, int]] = []
    first, weights, stored = [0], [], 0
    for i in range(matrix.shape[0]):
        here = slice(matrix.indptr[i], matrix.indptr[i + 1])
        columns, values = matrix.indices[here], matrix.data[here].astype(np.int32)
        base = int(columns[0]) if len(columns) else 0
        relative = (columns - base).astype(np.int32)
        key = relative.tobytes() + values.tobytes()
        if key not in known:
            known[key] = len(known)
            breaks = np.flatnonzero(np.diff(relative) != 1) + 1
            for part in np.split(np.arange(len(relative)), breaks):
                if len(part) and values[part].any():
                    runs.append((int(relative[part[0]]), len(part), stored + int(part[0])))
            first.append(len(runs))
            weights.append(values)
            stored += len(values)
        row_pattern[i], row_base[i] = known[key], base
    start, length, offset = np.array(runs, np.int64).reshape(-1, 3).T
    return Rows(
        row_pattern,
        row_base,
        np.array(first, np.int64),
        start.astype(np.int32),
        length.astype(np.int32),
        np.ascontiguousarray(offset),
        np.concatenate(weights) if weights else np.zeros(0, np.int32),
    )


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer in the engine's order of neurons: channels last, so that runs are long."""

    integers: IntegerLayer
    order: Longs
    sources: tuple[tuple[str, Rows], ...]
    keeps_voltage: bool


@dataclass(eq=False)
class EngineResult:
    """What a batch did.

    Attributes
    ----------
    counts : dict of (N, size) int64 arrays
        Spikes of each layer.
    voltages : dict of (N, steps, size) int32 arrays
        Of the layers whose voltage was asked for, after each step.
    spikes : dict of (N, steps, size) bool arrays
        Of the recorded layers.
    tallies : dict of (3,) int64 arrays
        For each layer: currents that wrapped, voltages clipped from below, from above.
    """

    counts: dict[str, Longs] = field(default_factory=dict)
    voltages: dict[str, Ints] = field(default_factory=dict)
    spikes: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    tallies: dict[str, Longs] = field(default_factory=dict)


class Engine:
    """The chip's integer network, ready to simulate.

    Parameters
    ----------
    network : IntegerNetwork
    shapes : dict of tuple of int
        Each layer's shape.
    readouts : sequence of str
        Layers whose voltages are kept.
    threads : int, optional
        Default: one a processor.
    """

    def __init__(
        self,
        network: IntegerNetwork,
        shapes: Mapping[str, tuple[int, ...]],
        readouts: Sequence[str],
        threads: int | None = None,
    ) -> None:
        self.threads = threads or _processors()
        orders = {name: channels_last(shape) for name, shape in shapes.items()}
        self.layers = tuple(
            _Layer(
                integers=layer,
                order=orders[layer.name],
                sources=tuple(
                    (s.source, compile_rows(_reordered(s.matrix, orders[s.source],
                                                       orders[layer.name])))
                    for s in network.incoming(layer.name)
                ),
                keeps_voltage=layer.name in readouts,
            )
            for layer in network.layers
        )  # fmt: skip

    def run(
        self, bias: Mapping[str, Ints], samples: int, steps: int, *, record: Sequence[str] = ()
    ) -> EngineResult:
        """Simulate `samples` samples for `steps` steps from zero state.

        Parameters
        ----------
        bias : dict of (N, size) int32 arrays
            Biases of the layers whose bias differs between samples.
        samples, steps : int
        record : sequence of str
            Layers whose spike trains are returned.
        """
        result = EngineResult()
        for layer in self.layers:
            name, size = layer.integers.name, layer.integers.size
            result.counts[name] = np.zeros((samples, size), np.int64)
            result.tallies[name] = np.zeros(3, np.int64)
            if layer.keeps_voltage:
                result.voltages[name] = np.zeros((samples, steps, size), np.int32)
            if name in record:
                result.spikes[name] = np.zeros((samples, steps, size), np.bool_)

        def work(chunk: range) -> dict[str, Longs]:
            tallies = {layer.integers.name: np.zeros(3, np.int64) for layer in self.layers}
            for sample in chunk:
                self._run_sample(bias, sample, steps, result, tallies)
            return tallies

        for tallies in _in_threads(work, samples, self.threads):
            for name, tally in tallies.items():
                result.tallies[name] += tally
        return result

    def _run_sample(
        self,
        bias: Mapping[str, Ints],
        sample: int,
        steps: int,
        result: EngineResult,
        tallies: dict[str, Longs],
    ) -> None:
        trains: dict[str, tuple[Ints, Longs]] = {}
        for layer in self.layers:
            own, order = layer.integers, layer.order
            current = np.zeros((steps if layer.sources else 0, own.size), np.int32)
            for source, rows in layer.sources:
                deliver(
                    current, *trains[source], rows.row_pattern, rows.row_base, rows.pattern_first,
                    rows.run_start, rows.run_length, rows.run_weight, rows.weights,
                )  # fmt: skip
            here = bias[own.name][sample] if own.name in bias else own.bias
            neurons = np.empty(steps * own.size + 1, np.int32)
            first = np.zeros(steps + 1, np.int64)
            voltages = np.empty((steps, own.size), np.int32) if layer.keeps_voltage else (
                empty_rows(own.size)
            )  # fmt: skip
            fire(
                current, here[order], own.threshold[order], own.lowest[order],
                own.highest[order], neurons, first, voltages, tallies[own.name],
            )  # fmt: skip
            neurons = neurons[: first[-1]].copy()
            trains[own.name] = neurons, first
            result.counts[own.name][sample, order] = np.bincount(neurons, minlength=own.size)
            if layer.keeps_voltage:
                result.voltages[own.name][sample][:, order] = voltages
            if own.name in result.spikes:
                step = np.repeat(np.arange(steps), np.diff(first))
                result.spikes[own.name][sample][step, order[neurons]] = True


def channels_last(shape: tuple[int, ...]) -> Longs:
    """Return the flat positions of a (channels, ...) array in channels-last order."""
    flat = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(flat, 0, -1).reshape(-1))


def _reordered(matrix: sp.csr_array, rows: Longs, columns: Longs) -> sp.csr_array:
    """Return the matrix with its axes in the engine's order, stored zeros kept."""
    position = np.empty_like(columns)
    position[columns] = np.arange(len(columns))
    picked = matrix[rows]
    moved = sp.csr_array((picked.data, position[picked.indices], picked.indptr), shape=matrix.shape)
    moved.sort_indices()
    return moved


def _in_threads(
    work: Callable[[range], dict[str, Longs]], samples: int, threads: int
) -> list[dict[str, Longs]]:
    """Call `work` on chunks of the samples; the kernels release the interpreter's lock."""
    size = max(1, -(-samples // (threads * 4)))
    chunks = [range(start, min(start + size, samples)) for start in range(0, samples, size)]
    if threads == 1:
        return [work(chunk) for chunk in chunks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, chunks))


def _processors() -> int:
    """Return the processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
