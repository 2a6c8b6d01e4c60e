"""Choose the schedule that decodes best within a total latency.

A latency of L steps can be one window of L steps in which every layer fires at once, or shorter
windows one behind the other: fewer levels, but spikes that answer to input that is there. Which is
better depends on the depth, so each candidate is built for its own T, its biases are corrected
under its own spikes, and the one whose outputs come nearest to the ANN's on held-out calibration
rows is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from snnconvert.calibration.corrections import trial_error
from snnconvert.calibration.schedules import waiting_layers
from snnconvert.convert.graph import Graph
from snnconvert.convert.network import Network

SHORT = (1, 2)
"""Short hold-offs, which help where windows are short too."""

SHORT_WINDOW = 8
"""Longest window of plain neurons that a short hold-off helps (docs/calibration.md)."""

LEAST_WINDOW = 2


@dataclass(frozen=True)
class Candidate:
    """A schedule within a latency.

    Attributes
    ----------
    timesteps : int
        Window T.
    holdoff : int
        0: none; T: full.
    """

    timesteps: int
    holdoff: int

    @property
    def schedule(self) -> str:
        """The schedule by its name, as ``apply_schedule`` takes it."""
        if self.holdoff == 0:
            return "none"
        return "full" if self.holdoff >= self.timesteps else str(self.holdoff)


def candidates(latency: int, layers: int, *, plain: bool = True) -> tuple[Candidate, ...]:
    """Return the schedules worth trying, the one without hold-off first.

    Parameters
    ----------
    latency : int
        Steps from the first input to the last output.
    layers : int
        Populations that wait, one behind the other.
    plain : bool
        Whether neurons cannot take a spike back: short hold-offs then help short windows only.
    """
    found = [Candidate(latency, 0)]
    if layers:
        staged = [(latency // (layers + 1), 1.0), (int(latency / (1 + 0.75 * layers)), 0.75)]
        for timesteps, share in staged:
            holdoff = -int(-share * timesteps // 1)
            while timesteps + layers * holdoff > latency:
                timesteps -= 1
                holdoff = -int(-share * timesteps // 1)
            found.append(Candidate(timesteps, holdoff))
        for holdoff in SHORT:
            timesteps = latency - layers * holdoff
            if timesteps <= SHORT_WINDOW or not plain:
                found.append(Candidate(timesteps, min(holdoff, max(timesteps, 0))))
    useful = [c for c in found[1:] if c.timesteps >= LEAST_WINDOW]
    return tuple(dict.fromkeys([found[0], *useful]))


def choose_schedule(
    latency: int,
    build: Callable[[int], Network],
    fits: Callable[[Network, Candidate], bool],
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    *,
    late_readout: bool = True,
) -> tuple[Candidate, dict[str, Any]]:
    """Return the schedule of least output error within a latency.

    Parameters
    ----------
    latency : int
    build : callable
        Returns the network for a window T, without windows and delays.
    fits : callable
        Tells whether the target can run a network under a candidate.
    graph : Graph
        The lowered graph.
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows by input name.
    late_readout : bool
        Whether readouts may leave out first steps where nothing is held off.

    Returns
    -------
    candidate : Candidate
    record : dict
        ``schedule``: the latency and the relative output error of each candidate; ready for JSON.
    """
    whole = build(latency)
    plain = all(p.neuron == "if" for p in whole.populations)
    layers = waiting_layers(whole) if whole.reset == "subtract" else 0
    errors: dict[Candidate, float] = {}
    for candidate in candidates(latency, layers, plain=plain):
        network = build(candidate.timesteps)
        if candidate.holdoff and not fits(network, candidate):
            continue
        errors[candidate] = trial_error(
            network,
            graph,
            rows,
            candidate.timesteps,
            ("bias",),
            holdoff=candidate.holdoff,
            late_readout=late_readout and candidate.holdoff == 0,
        )
    best = min(errors, key=errors.__getitem__)
    tried = {f"{c.schedule}, T = {c.timesteps}": error for c, error in errors.items()}
    return best, {"schedule": {"latency": latency, "tried": tried}}
