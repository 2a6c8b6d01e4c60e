"""Compare an engine with the reference, spike for spike."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnconvert.backends.base import Emitted, RunResult, Samples, named_samples
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import ParityError

PARITY_SAMPLES = 3
"""Samples that are compared at most."""

PARITY_UPDATES = 10_000_000
"""Neurons times steps of the compared samples, beyond which one is enough: the reference takes a
second for some of them."""


def compare_with_reference(
    emitted: Emitted, x: Samples, timesteps: int, *, exact: bool
) -> dict[str, Any]:
    """Run the first samples on both and compare all populations and outputs.

    Three of them, fewer of large networks and long runs.

    Parameters
    ----------
    emitted : Emitted
    x : array or dict of arrays
    timesteps : int
    exact : bool
        Whether all sums of the network are exact.

    Raises
    ------
    ParityError
        If a single spike or output differs.
    """
    updates = max(emitted.executable.neurons * timesteps, 1)
    samples = min(max(PARITY_UPDATES // updates, 1), PARITY_SAMPLES)
    few = {name: a[:samples] for name, a in named_samples(emitted.executable, x).items()}
    ours = emitted.run(few, timesteps, record=("*",))
    reference = ReferenceSimulation(emitted.executable).run(few, timesteps, record=("*",))
    _refuse_differences(ours, reference, exact)
    return {
        "compared_with": "reference",
        "samples": len(next(iter(few.values()))),
        "timesteps": timesteps,
        "populations": len(ours.spikes),
        "spikes": sum(int(np.count_nonzero(train)) for train in ours.spikes.values()),
        "differing_spikes": 0,
    }


def _refuse_differences(ours: RunResult, reference: RunResult, exact: bool) -> None:
    why = "" if exact else "some of its sums have no exact grid: engines round differently"
    for name, train in ours.spikes.items():
        differing = train != reference.spikes[name]
        if differing.any():
            step = int(differing.any(axis=tuple(range(1, differing.ndim))).argmax())
            raise ParityError(
                f"target 'cpu' differs from the reference in {int(differing.sum()):,} of "
                f"{differing.size:,} spikes and silences",
                where=f"population {name!r}, first at step {step}",
                why=why,
            )
    for name, output in ours.outputs.items():
        if not np.array_equal(output, reference.outputs[name]):
            raise ParityError(
                "target 'cpu' differs from the reference in its output",
                where=f"readout {name!r}",
                why=why,
            )
