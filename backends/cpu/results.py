"""What a run fills in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.network import Network
from snnconvert.convert.neurons import spike_values


@dataclass(frozen=True, eq=False)
class Results:
    """Arrays of a whole run, which batches fill in: currents, counts, events, trains."""

    accumulated: dict[str, FloatArray]
    counts: dict[str, npt.NDArray[np.int64]]
    events: dict[str, npt.NDArray[np.int64]]
    spikes: dict[str, npt.NDArray[Any]]


def empty_results(
    network: Network, n: int, steps: int, timesteps: int, recorded: frozenset[str]
) -> Results:
    """Return the arrays of a run of n samples: a window of `timesteps` within `steps`."""
    values = {p.name: spike_values(p.neuron) for p in network.populations}
    return Results(
        accumulated={r.name: np.zeros((timesteps, n, *r.shape)) for r in network.readouts},
        counts=_zeros({p.name: (n, *p.shape) for p in network.populations}),
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


def _zeros(shapes: Mapping[str, Shape]) -> dict[str, npt.NDArray[np.int64]]:
    """Return arrays of zeros, all in one piece: where that is large, it comes in large pages."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    ends = list(itertools.accumulate(sizes, initial=0))
    whole = np.zeros(ends[-1], np.int64)
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
