"""The calibration stage: from observed activations to a scheduled network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from snnconvert.backends.base import get_backend
from snnconvert.calibration.corrections import Descent, correct_network
from snnconvert.calibration.data import Rows, SampleSource, sample_rows
from snnconvert.calibration.hard_reset import correct_hard_reset
from snnconvert.calibration.readout import choose_reading
from snnconvert.calibration.schedules import parse_schedule
from snnconvert.convert.graph import Graph
from snnconvert.convert.network import Network
from snnconvert.reports.checkpoint import Stages

Stage: TypeAlias = Callable[[str], Callable[[int, int | None], None] | None]

READOUT_ROWS = 64
"""Rows that choose the late readout."""

MOST_ROWS = 512
"""Rows that make corrections where steps are few or need not be replayed one by one."""

ROW_STEPS = 8192
"""Rows times steps that are worth the wait in a run that is not staged."""


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes
    ----------
    timesteps : int
    schedule : str or int
    corrections : tuple of str
        Names, see ``corrections/selection.py``.
    gains : bool
        Correct the gains of neurons that reset to zero.
    late_readout : bool
    weight_calibration : bool
        Tune the weights by gradient descent.
    seed : int
        Of the order of its rows.
    """

    timesteps: int
    schedule: str | int
    corrections: Sequence[str]
    gains: bool
    late_readout: bool
    weight_calibration: bool = False
    seed: int = 0


def correction_rows(timesteps: int, holdoff: int) -> int:
    """Return how many calibration rows make the corrections."""
    if holdoff >= timesteps:
        return MOST_ROWS
    return int(np.clip(ROW_STEPS // timesteps, READOUT_ROWS, MOST_ROWS))


def correct(
    network: Network,
    graph: Graph,
    source: SampleSource,
    options: Options,
    stage: Stage,
    kept: Stages,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with its corrections made on calibration rows, before it is scheduled.

    Parameters
    ----------
    network : Network
        In ANN units, without windows and delays.
    graph : Graph
        The lowered graph that it was built from.
    source : SampleSource
        Calibration rows.
    options : Options
    stage : callable
        Returns the progress callback of a stage.
    kept : Stages
        Keeps the layers of a weight calibration that are done.

    Returns
    -------
    network : Network
    record : dict
        What was corrected and what it brought, ready for JSON.
    """
    holdoff = parse_schedule(options.schedule, options.timesteps)
    late = options.late_readout and holdoff == 0
    record: dict[str, Any] = {}
    if network.reset == "zero":
        if options.gains:
            rows = sample_rows(source, READOUT_ROWS)
            network, record = correct_hard_reset(
                network, graph, rows, options.timesteps, progress=stage("correction")
            )
    elif options.corrections or options.weight_calibration:
        rows = sample_rows(source, correction_rows(options.timesteps, holdoff))
        descent = Descent(options.seed, kept, stage("weight calibration"))
        network, record = correct_network(
            network,
            graph,
            rows,
            options.timesteps,
            corrections=options.corrections,
            holdoff=holdoff,
            late_readout=late,
            descent=descent if options.weight_calibration else None,
            progress=stage("correction"),
        )
    if late:
        rows = sample_rows(source, READOUT_ROWS)
        network, errors = _late_readout(network, graph, rows, options.timesteps)
        record["readout_errors"] = errors
    return network, record


def _late_readout(
    network: Network, graph: Graph, rows: Rows, timesteps: int
) -> tuple[Network, dict[str, float]]:
    """Choose which steps the readouts count, on calibration rows."""
    result = get_backend("cpu").emit(network).run(rows, timesteps)
    tensors = {r.name: str(r.tensor) for r in network.readouts}
    values = graph.evaluate(rows, list(tensors.values()))
    expected = {name: values[tensor] for name, tensor in tensors.items()}
    return choose_reading(network, result, expected, timesteps)
