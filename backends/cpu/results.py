"""What a run fills in."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.backends.cpu.fixed_point import LARGEST, padded
from snnconvert.backends.cpu.taps import channels_of, positions_of
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.network import Network
from snnconvert.convert.neurons import spike_values

Number = TypeVar("Number", bound=np.integer[Any])

MOST_PADDED = 2
"""Times its channels that a layer's counts may be kept as."""

FEWEST_SUMMED = 16
"""Samples of a run whose counts are summed while they are in the cache."""


@dataclass(frozen=True, eq=False)
class CountsLayout:
    """How kernels of layers of bits keep the counts of a sample: in one row, node after node.

    Attributes
    ----------
    places : dict of str to slice
        Of each population in the row: (positions, padded channels), channels side by side.
    shapes : dict of str to (int, int)
    kept : int
        Numbers in front that a result keeps as they are: to write them in another order takes
        time. Behind are populations of so few channels that most of it would be padding.
    width : int
        Numbers of a row.
    """

    places: dict[str, slice]
    shapes: dict[str, tuple[int, int]]
    kept: int
    width: int


def counts_layout(network: Network, of_bits: Collection[str]) -> CountsLayout:
    """Return the layout for the populations whose kernels are of bits."""
    channels = {p.name: channels_of(p.shape) for p in network.populations if p.name in of_bits}
    padding = {name: padded(count) > MOST_PADDED * count for name, count in channels.items()}
    names = sorted(channels, key=lambda name: padding[name])
    shapes = {n: (positions_of(network[n].shape), padded(channels[n])) for n in names}
    ends = list(itertools.accumulate((math.prod(shape) for shape in shapes.values()), initial=0))
    places = {n: slice(*edges) for n, edges in zip(names, itertools.pairwise(ends), strict=True)}
    kept = sum(not padding[name] for name in names)
    return CountsLayout(places, shapes, ends[kept], ends[-1])


@dataclass(frozen=True, eq=False)
class Results:
    """Arrays of a whole run, which batches fill in.

    Attributes
    ----------
    accumulated : dict of (timesteps, n, *shape) float64 array
        Currents of each readout, added up.
    counts : dict of (n, *shape) int32 array
        Sums of the spikes.
    events : dict of (n, *shape) int64 array
    spikes : dict of (steps, n, *shape) array
    layout : CountsLayout
    kept : (n, layout.kept) int32 array
        What many of `counts` are views of.
    totals : (layout.kept,) int32 or int64 array or None
        Sums over the samples, of the type of the counts where it holds them: others are converted
        piece by piece, several times as slow. None: of few samples anyone may sum them.
    """

    accumulated: dict[str, FloatArray]
    counts: dict[str, npt.NDArray[np.int32]]
    events: dict[str, npt.NDArray[np.int64]]
    spikes: dict[str, npt.NDArray[Any]]
    layout: CountsLayout
    kept: npt.NDArray[np.int32]
    totals: npt.NDArray[np.integer[Any]] | None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def keep(self, rows: slice, counts: npt.NDArray[np.int32]) -> None:
        """Write the counts of a batch, (batch, layout.width), which are still in the cache."""
        ours = counts[:, : self.layout.kept]
        self.kept[rows] = ours
        if self.totals is None:
            return
        total = ours.sum(axis=0, dtype=self.totals.dtype)
        with self._lock:
            np.add(self.totals, total, out=self.totals)


def empty_results(
    network: Network,
    n: int,
    steps: int,
    timesteps: int,
    recorded: frozenset[str],
    layout: CountsLayout,
) -> Results:
    """Return the arrays of a run of n samples: a window of `timesteps` within `steps`."""
    values = {p.name: spike_values(p.neuron) for p in network.populations}
    kept = np.zeros((n, layout.kept), np.int32)
    views = _by_population(network, layout, kept)
    return Results(
        accumulated={r.name: np.zeros((timesteps, n, *r.shape)) for r in network.readouts},
        counts={
            p.name: views[p.name] if p.name in views else np.zeros((n, *p.shape), np.int32)
            for p in network.populations
        },
        events={
            p.name: np.zeros((n, *p.shape), np.int64)
            for p in network.populations
            if not values[p.name].binary
        },
        spikes={
            p.name: np.zeros((steps, n, *p.shape), values[p.name].dtype)
            for p in network.populations
            if p.name in recorded
        },
        layout=layout,
        kept=kept,
        totals=(
            np.zeros(layout.kept, np.int32 if n * steps <= LARGEST else np.int64)
            if n >= FEWEST_SUMMED
            else None
        ),
    )


def _by_population(
    network: Network, layout: CountsLayout, rows: npt.NDArray[Number]
) -> dict[str, npt.NDArray[Number]]:
    """Return what lies in the front of rows, (n, *shape) by name: views."""
    return {
        name: by_channel(rows[:, place].reshape(-1, *layout.shapes[name]), network[name].shape)
        for name, place in layout.places.items()
        if place.stop <= layout.kept
    }


def by_channel(kept: npt.NDArray[Number], shape: Shape) -> npt.NDArray[Number]:
    """Return counts of a layer of bits with the axes of the population: a view."""
    return kept[..., : channels_of(shape)].swapaxes(1, 2).reshape(len(kept), *shape)


def run_result(network: Network, results: Results, latency: int) -> RunResult:
    """Return what a run returns, outputs decoded."""
    totals = {}
    if results.totals is not None:
        totals = _by_population(network, results.layout, results.totals[None])
    return RunResult(
        outputs={r.name: decode(r, results.accumulated[r.name]) for r in network.readouts},
        spike_counts=results.counts,
        events=results.events,
        spikes=results.spikes,
        latency=latency,
        totals={name: total.reshape(-1) for name, total in totals.items()},
    )
