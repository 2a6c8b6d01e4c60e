"""Compare an engine with the reference, spike for spike."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnconvert.backends.base import (
    Emitted,
    RunResult,
    Samples,
    check_timesteps,
    named_samples,
)
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.blas import one_blas_thread
from snnconvert.convert.errors import ParityError
from snnconvert.convert.network import Network

PARITY_SAMPLES = 3
"""Samples that are compared at most."""

PARITY_UPDATES = 2_000_000
"""Neurons times steps of the compared samples, beyond which one sample and its first steps are
enough: the reference takes a tenth of a second for so many."""


def compare_with_reference(
    emitted: Emitted, x: Samples, timesteps: int, *, exact: bool, chunk: int
) -> dict[str, Any]:
    """Run the first samples on both and compare all populations and outputs.

    Three of them; of large networks and in long runs one, and its first steps: until every
    population has spiked, every readout has begun, and the engine has carried all its states from
    one chunk of steps to the next.

    Parameters
    ----------
    emitted : Emitted
    x : array or dict of arrays
    timesteps : int
    exact : bool
        Whether all sums of the network are exact.
    chunk : int
        Steps that the engine takes at a time.

    Raises
    ------
    ParityError
        If a single spike or output differs.
    """
    network = emitted.executable
    steps = check_timesteps(network, timesteps)
    allowed = PARITY_UPDATES // max(network.neurons, 1)  # steps of one sample
    samples = min(max(allowed // steps, 1), PARITY_SAMPLES)
    few = {name: a[:samples] for name, a in named_samples(network, x).items()}
    ours = emitted.run(few, timesteps, record=("*",))
    compared = min(max(allowed, _covering(network, ours, steps, chunk)), steps)
    with one_blas_thread():
        reference = ReferenceSimulation(network).run(few, timesteps, record=("*",), stop=compared)
    _refuse_differences(ours, reference, exact)
    _refuse_other_results(emitted, few, timesteps, ours)
    return {
        "compared_with": "reference",
        "samples": len(next(iter(few.values()))),
        "timesteps": compared,
        "populations": len(reference.spikes),
        "spikes": sum(int(np.count_nonzero(train)) for train in reference.spikes.values()),
        "differing_spikes": 0,
    }


def _covering(network: Network, ours: RunResult, steps: int, chunk: int) -> int:
    """Return the first steps in which everything has happened once.

    All steps where a population stays silent: only then is its silence the reference's too.
    """
    spiked = [train.any(axis=tuple(range(1, train.ndim))) for train in ours.spikes.values()]
    first = [int(each.argmax()) if each.any() else steps for each in spiked]
    begun = [readout.start for readout in network.readouts]
    reach = max((connection.delay for connection in network.connections), default=0)
    return max(1 + max(*first, *begun), chunk + max(reach, 1) if steps > chunk else 0)


def _refuse_other_results(
    emitted: Emitted, few: Samples, timesteps: int, recorded: RunResult
) -> None:
    """Compare a run whose spikes were recorded with those that the figures come from.

    An engine may take a quicker path where nothing is recorded, and another one from the second
    run on.
    """
    for _ in range(2):
        plain = emitted.run(few, timesteps)
        for kind in ("spike_counts", "outputs"):
            for name, expected in getattr(recorded, kind).items():
                if not np.array_equal(getattr(plain, kind)[name], expected):
                    raise ParityError(
                        "target 'cpu' gives other results where no spikes are recorded",
                        where=f"{kind.replace('_', ' ')} of {name!r}",
                    )


def _refuse_differences(ours: RunResult, reference: RunResult, exact: bool) -> None:
    why = "" if exact else "some of its sums have no exact grid: engines round differently"
    for name, expected in reference.spikes.items():
        differing = ours.spikes[name][: len(expected)] != expected
        if differing.any():
            step = int(differing.any(axis=tuple(range(1, differing.ndim))).argmax())
            raise ParityError(
                f"target 'cpu' differs from the reference in {int(differing.sum()):,} of "
                f"{differing.size:,} spikes and silences",
                where=f"population {name!r}, first at step {step}",
                why=why,
            )
    for name, output in reference.outputs.items():
        if not np.array_equal(ours.outputs[name][: len(output)], output):
            raise ParityError(
                "target 'cpu' differs from the reference in its output",
                where=f"readout {name!r}",
                why=why,
            )
