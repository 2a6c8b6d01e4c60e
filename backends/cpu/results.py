"""What a run fills in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.taps import channels_of, positions_of
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.network import Network
from snnconvert.convert.neurons import spike_values

MOST_PADDED = 2
"""Times its channels that a layer's counts may be kept as."""


@dataclass(frozen=True, eq=False)
class Results:
    """Arrays of a whole run, which batches fill in.

    Attributes
    ----------
    accumulated : dict of (timesteps, n, *shape) float64 array
        Currents of each readout, added up.
    counts : dict of (n, *shape) int32 array
        Sums of the spikes.
    kept : dict of (n, positions, padded channels) int32 array
        The same numbers as the kernels of layers of bits keep them, channels side by side: to
        write them in another order takes time. Not those of so few channels that most of it would
        be padding.
    events : dict of (n, *shape) int64 array
    spikes : dict of (steps, n, *shape) array
    """

    accumulated: dict[str, FloatArray]
    counts: dict[str, npt.NDArray[np.int32]]
    kept: dict[str, npt.NDArray[np.int32]]
    events: dict[str, npt.NDArray[np.int64]]
    spikes: dict[str, npt.NDArray[Any]]


def empty_results(
    network: Network,
    n: int,
    steps: int,
    timesteps: int,
    recorded: frozenset[str],
    of_bits: Collection[str] = (),
) -> Results:
    """Return the arrays of a run of n samples: a window of `timesteps` within `steps`.

    `of_bits` are the populations whose kernels keep their counts position by position.
    """
    values = {p.name: spike_values(p.neuron) for p in network.populations}
    shapes = {p.name: p.shape for p in network.populations}
    kept = {
        name: (n, positions_of(shape), padded(channels_of(shape)))
        for name, shape in shapes.items()
        if name in of_bits and padded(channels_of(shape)) <= MOST_PADDED * channels_of(shape)
    }
    held = _zeros({name: kept.get(name, (n, *shape)) for name, shape in shapes.items()})
    return Results(
        accumulated={r.name: np.zeros((timesteps, n, *r.shape)) for r in network.readouts},
        counts={
            name: by_channel(counts, shapes[name]) if name in kept else counts
            for name, counts in held.items()
        },
        kept={name: held[name] for name in kept},
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
    )


def by_channel(kept: npt.NDArray[np.int32], shape: Shape) -> npt.NDArray[np.int32]:
    """Return counts of a layer of bits with the axes of the population: a view."""
    return kept[..., : channels_of(shape)].swapaxes(1, 2).reshape(len(kept), *shape)


def _zeros(shapes: Mapping[str, Shape]) -> dict[str, npt.NDArray[np.int32]]:
    """Return arrays of zeros, all in one piece: where that is large, it comes in large pages."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    ends = list(itertools.accumulate(sizes, initial=0))
    whole = np.zeros(ends[-1], np.int32)
    pairs = zip(shapes.items(), itertools.pairwise(ends), strict=True)
    return {name: whole[first:last].reshape(shape) for (name, shape), (first, last) in pairs}


def run_result(network: Network, results: Results, latency: int) -> RunResult:
    """Return what a run returns, outputs decoded."""
    return RunResult(
        outputs={r.name: decode(r, results.accumulated[r.name]) for r in network.readouts},
        spike_counts=results.counts,
        events=results.events,
        spikes=results.spikes,
        latency=latency,
    )
