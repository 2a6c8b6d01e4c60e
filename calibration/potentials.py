"""Correct the initial potentials so that every channel spikes as often as the ANN is active.

In a run that is not staged, deep populations answer at first to input that has not arrived in full.
Spikes sent too early cannot be taken back, charge that comes late is left over at the end: the
decoded values of a channel come out too large or too small on average. Such an offset is the same
for all positions, so it adds up in the layers behind. The initial potential pays it in advance: by
replaying calibration rows, each channel's is moved by T times the mean error of its decoded
values, on the spikes of the populations corrected before it.

The idea is the "potential correction" of Li et al. 2021, "A free lunch from ANN", section 3.3;
here it is made under the real spikes, by channel, and stays in [0, threshold), as the law of the
neuron asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.readout import logit_error
from snnconvert.calibration.replay import (
    FITTED,
    HELD_OUT,
    Drive,
    Replayed,
    Teacher,
    channel_mean,
    replay,
)
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population

ROUNDS = 4
DAMPING = 0.7
HIGHEST = 1 - 2.0**-10
"""Largest initial potential as a share of the threshold: one is a spike in the first step."""


def correct_potentials(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with corrected initial potentials, where that brings the outputs closer.

    Parameters
    ----------
    network : Network
        With reset by subtraction, in ANN units. Delays and windows are not looked at.
    graph : Graph
        The lowered graph that it was built from.
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows by input name; as many are used as memory allows. Every
        other row makes the correction; it is accepted if the outputs for the remaining rows come
        closer to the ANN's.
    timesteps : int
        The design T: the potentials are right for runs of this length.
    progress : callable, optional
        Called with the number of populations done and in all.

    Returns
    -------
    network : Network
    record : dict
        ``potentials``: relative error of the outputs on the rows held out, before and after, and
        whether the correction was accepted; ready for JSON.
    """
    teacher = Teacher.of(network, graph, rows, timesteps)
    if teacher.count < 2:
        return network, {"potentials": {"accepted": False}}
    total, done = len(network.populations), 0

    def correct(population: Population, drive: Drive) -> Population:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)
        if population.tensor is None:
            return population
        return _corrected(population, drive, teacher.activations[population.tensor])

    before = _output_error(replay(network, teacher.rows, timesteps), teacher)
    corrected = replay(network, teacher.rows, timesteps, correct)
    after = _output_error(corrected, teacher)
    record = {"accepted": after < before, "error_before": before, "error_after": after}
    return corrected.network if after < before else network, {"potentials": record}


def _corrected(population: Population, drive: Drive, activations: FloatArray) -> Population:
    """Move the initial potentials until the mean of the decoded values is that of the ANN."""
    for _ in range(ROUNDS):
        decoded = population.amplitude * drive.counts(population) / drive.timesteps
        missing = channel_mean(population, (activations - decoded)[FITTED])
        moved = population.v_init + DAMPING * drive.timesteps * missing
        v_init = np.clip(moved, 0.0, HIGHEST * population.threshold)
        population = replace(population, v_init=np.asarray(v_init))
    return population


def _output_error(replayed: Replayed, teacher: Teacher) -> float:
    """Return the largest relative error of a readout on the rows held out."""
    return max(
        logit_error(
            replayed.outputs[r.name][HELD_OUT], teacher.activations[str(r.tensor)][HELD_OUT]
        )
        for r in replayed.network.readouts
    )
