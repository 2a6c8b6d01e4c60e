"""What each population did: rates, silent and saturated neurons, and how near the ANN it came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Input, Network, Population
from snnconvert.convert.neurons import spike_values
from snnconvert.reports.checkpoint import Resumable
from snnconvert.reports.statistics import PairMoments

SATURATED_RATE = 15 / 16
"""A neuron is saturated where it fires in at least this share of the steps in which it is driven.

Not in all of them: its input is uneven at the start, and a few spikes are lost there."""

COUNTED_ROWS = 256
"""First samples on which every single pair of a neuron and a sample is looked at. Whatever follows
from sums over the samples is of all of them."""

HISTOGRAM_BINS = 20
SCATTER_POINTS = 400
CANDIDATES = 8
"""Pairs drawn for each point of the scatter: most activations behind a ReLU are zero."""

Counts: TypeAlias = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class ThresholdSummary:
    """Thresholds of a population in ANN units: the activation that a rate of 1 stands for."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class LayerStatistics:
    """One population over all evaluated samples.

    Attributes
    ----------
    name : str
    neurons : int
    threshold : ThresholdSummary
    steps : int
        Steps in which it may fire.
    rate : float
        Mean sum of the spikes a neuron and step, as a share of the most that a step can send.
    spikes : float
        Mean number of spikes a sample, all neurons together, whatever each carried.
    counted : int
        First samples from which `silent`, `saturated` and `histogram` are.
    silent : float
        Share of neuron-sample pairs without a spike.
    never_fired : float
        Share of neurons without a spike on any sample.
    saturated : float
        Share of neuron-sample pairs that sent at least ``SATURATED_RATE`` of the most that they
        could in the steps in which they were driven.
    compared : int
        Samples on which it was compared with the ANN's activation.
    relative_error : float or None
        ``||scale * rate - activation|| / ||activation||`` over those samples.
    correlation : float or None
        Pearson's r between the two; None where one is constant.
    histogram : tuple of float
        Share of neuron-sample pairs in each of ``HISTOGRAM_BINS`` equal intervals of the rate.
    scatter : tuple of (float, float)
        ANN activation and its estimate for pairs drawn at random, those dropped in which both are
        zero.
    """

    name: str
    neurons: int
    threshold: ThresholdSummary
    steps: int
    rate: float
    spikes: float
    counted: int
    silent: float
    never_fired: float
    saturated: float
    compared: int
    relative_error: float | None
    correlation: float | None
    histogram: tuple[float, ...]
    scatter: tuple[tuple[float, float], ...]


def firing_steps(population: Population, steps: int) -> int:
    """Return the steps, of those simulated, in which a population may fire."""
    stop = steps if population.stop is None else min(population.stop, steps)
    return max(stop - population.start, 0)


def driven_steps(network: Network, steps: int) -> dict[str, int]:
    """Return the steps over which each population's spikes stand for its activation.

    The firing window without the steps before any input can have arrived: with one step of delay
    a connection, a deep population has nothing to say at first, and its rate is taken over the
    rest.
    """
    arrival: dict[str, int] = {}
    driven: dict[str, int] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            arrival[node.name] = node.start
            continue
        reached = [arrival[c.source] + c.delay for c in network.incoming(node.name)]
        arrival[node.name] = min(reached, default=0)
        if isinstance(node, Population):
            first = max(arrival[node.name], node.start)
            arrival[node.name] = first
            last = steps if node.stop is None else min(node.stop, steps)
            driven[node.name] = max(last - first, 1)
    return driven


def sum_of_samples(counts: Counts, most: int) -> Counts:
    """Return the sums of counts (n, *shape) over the samples, (neurons,).

    They are added up in their own type where it holds n times `most`, the largest count: another
    would be converted to piece by piece, three times as slow.
    """
    holds = len(counts) * most <= np.iinfo(counts.dtype).max
    total = counts.sum(axis=0, dtype=counts.dtype if holds else np.int64)
    return np.asarray(total).reshape(-1)


class LayerRecorder(Resumable):
    """Gathers one population's statistics, batch by batch.

    Parameters
    ----------
    population : Population
        As executed.
    steps : int
        Steps in which it may fire.
    driven : int
        Steps over which its spikes stand for its activation, see `driven_steps`.
    compare_rows : int
        Samples that will be compared with the ANN.
    """

    growing = (
        *("samples", "counted", "compared", "total", "_sum", "_frequency", "_silent"),
        *("_moments", "_scatter"),
    )

    def __init__(self, population: Population, steps: int, driven: int, compare_rows: int) -> None:
        self.population = population
        self.steps = steps
        self.driven = driven
        self.samples = 0
        self.counted = 0
        self.compared = 0
        self.total = np.zeros(population.size, np.int64)
        self._highest = spike_values(population.neuron).highest
        self._frequency = np.zeros(steps * self._highest + 1, np.int64)
        self._sum = 0
        self._silent = 0
        self._moments = PairMoments()
        self._scatter = _Scatter(compare_rows, population.size)

    def add(
        self, counts: Counts, events: Counts | None = None, total: Counts | None = None
    ) -> None:
        """Take the sums of the spikes (n, *shape) of a batch, and their number where it differs.

        `total` is the number of spikes of each neuron, (neurons,), where it is known.
        """
        sent = counts if events is None else events
        self.samples += len(counts)
        if total is None:
            total = sum_of_samples(sent, self.steps * self._highest)
        self.total += total
        self._sum += int(total.sum() if events is None else counts.sum())
        rows = min(COUNTED_ROWS - self.counted, len(counts))
        if rows:
            looked_at = counts[:rows]
            self._count(looked_at, looked_at if events is None else events[:rows])

    def _count(self, counts: Counts, sent: Counts) -> None:
        """Look at every pair of some rows, in the order of memory: counts may be a view."""
        self.counted += len(counts)
        found = np.bincount(counts.ravel("K"), minlength=len(self._frequency))
        self._frequency += found
        silent = found[0] if sent is counts else sent.size - np.count_nonzero(sent)
        self._silent += int(silent)

    def compare(self, counts: Counts, activation: FloatArray) -> None:
        """Compare the sums of the spikes (n, *shape) of the next rows with the activation."""
        estimate = counts * (np.asarray(self.population.scale, np.float64) / self.driven)
        reference = np.asarray(activation, np.float64).reshape(estimate.shape)
        self._moments.add(reference, estimate)
        self._scatter.add(self.compared, reference, estimate)
        self.compared += len(counts)

    def result(self) -> LayerStatistics:
        """Return the statistics of everything added so far."""
        pairs = int(self._frequency.sum())
        counts = np.arange(len(self._frequency))
        full = SATURATED_RATE * self.driven * self._highest
        saturated = self._frequency[counts >= max(math.ceil(full), 1)]
        scale = np.broadcast_to(self.population.scale, self.population.shape)
        most = self.samples * self.population.size * max(self.steps * self._highest, 1)
        return LayerStatistics(
            name=self.population.name,
            neurons=self.population.size,
            threshold=ThresholdSummary(
                float(scale.min()), float(np.median(scale)), float(scale.max())
            ),
            steps=self.steps,
            rate=self._sum / most,
            spikes=int(self.total.sum()) / self.samples,
            counted=self.counted,
            silent=self._silent / pairs,
            never_fired=int((self.total == 0).sum()) / self.population.size,
            saturated=int(saturated.sum()) / pairs,
            compared=self.compared,
            relative_error=self._moments.relative_error,
            correlation=self._moments.correlation,
            histogram=self._histogram(pairs),
            scatter=self._scatter.points(),
        )

    def _histogram(self, pairs: int) -> tuple[float, ...]:
        most = max(len(self._frequency) - 1, 1)
        counts = np.arange(len(self._frequency))
        index = np.minimum(counts * HISTOGRAM_BINS // most, HISTOGRAM_BINS - 1)
        shares = np.bincount(index, weights=self._frequency, minlength=HISTOGRAM_BINS) / pairs
        return tuple(float(share) for share in shares)


class _Scatter(Resumable):
    """A fixed random choice of (sample, neuron) pairs, filled as their rows come by.

    The choice depends on the shape only, so the batch size changes nothing.
    """

    growing = ("values",)

    def __init__(self, rows: int, neurons: int) -> None:
        self.neurons = neurons
        pairs = rows * neurons
        chosen = np.random.default_rng(0).choice(
            pairs, min(CANDIDATES * SCATTER_POINTS, pairs), replace=False
        )
        self.row, self.neuron = np.divmod(chosen, neurons)
        self.values = np.zeros((chosen.size, 2))

    def add(self, first_row: int, reference: FloatArray, estimate: FloatArray) -> None:
        here = (self.row >= first_row) & (self.row < first_row + len(reference))
        at = (self.row[here] - first_row, self.neuron[here])
        self.values[here, 0] = reference.reshape(len(reference), -1)[at]
        self.values[here, 1] = estimate.reshape(len(estimate), -1)[at]

    def points(self) -> tuple[tuple[float, float], ...]:
        shown = self.values[(self.values != 0).any(axis=1)][:SCATTER_POINTS]
        return tuple((float(x), float(y)) for x, y in shown)


def recorders(network: Network, steps: int, compare_rows: int) -> dict[str, LayerRecorder]:
    """Return a recorder for every population, in the network's order."""
    driven = driven_steps(network, steps)
    return {
        p.name: LayerRecorder(p, firing_steps(p, steps), driven[p.name], compare_rows)
        for p in network.populations
    }


def recorders_by_activation(
    recording: Mapping[str, LayerRecorder],
) -> dict[str, LayerRecorder]:
    """Return the recorders by what an ANN activation is called: population, or graph node.

    A graph node that several populations share (on and off halves of signed values) is none of
    theirs alone.
    """
    tensors = [r.population.tensor for r in recording.values()]
    by_tensor = {
        r.population.tensor: r
        for r in recording.values()
        if r.population.tensor is not None and tensors.count(r.population.tensor) == 1
    }
    return {**by_tensor, **recording}
