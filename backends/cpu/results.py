"""What a run fills in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.convert.linear import FloatArray
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
        counts={p.name: np.zeros((n, *p.shape), np.int64) for p in network.populations},
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


def run_result(network: Network, results: Results, latency: int) -> RunResult:
    """Return what a run returns, outputs decoded."""
    return RunResult(
        outputs={r.name: decode(r, results.accumulated[r.name]) for r in network.readouts},
        spike_counts=results.counts,
        events=results.events,
        spikes=results.spikes,
        latency=latency,
    )
