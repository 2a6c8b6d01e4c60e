"""Choose which steps a readout counts, and how much.

In an unstaged network the first spikes of deep layers answer to input that has not arrived in full:
they are too many in some neurons, too few in others, and stay in every later sum. A readout that
starts late leaves them out, at the price of fewer levels (Bu et al., CVPR 2025, "delayed readout").
One whose weights rise from a start lets them fade out and keeps more levels: the sum of what a
neuron sent is off by what its membrane holds, which at the cut of a mean weighs in full, and next
to nothing where the weights begin at zero.
Which reading is best depends on depth and T, so it is measured on calibration rows, by the error of
the decoded logits: far less noisy than an accuracy on as many rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Readout


@dataclass(frozen=True)
class Reading:
    """Which steps count, as in ``Readout``."""

    discard: float = 0.0
    rising: bool = False

    def of(self, readout: Readout) -> Readout:
        """Return a readout that reads this way."""
        return replace(readout, discard=self.discard, rising=self.rising)

    def __str__(self) -> str:
        return f"{self.discard:g}, rising" if self.rising else f"{self.discard:g}"


EVEN = Reading()

READINGS = tuple(
    Reading(discard, rising)
    for rising in (False, True)
    for discard in (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
)
"""Those that are tried."""

ROUNDING = 1e-9
"""Relative errors closer than that are equal: the first reading is taken."""


def choose_reading(
    network: Network, result: RunResult, expected: Mapping[str, npt.NDArray[Any]], timesteps: int
) -> tuple[Network, dict[str, float]]:
    """Return the network with the readings of least logit error, and the errors.

    Parameters
    ----------
    network : Network
        With readouts that count all steps alike.
    result : RunResult
        Of calibration rows on it, T = `timesteps`.
    expected : dict of (N, *shape) arrays
        The ANN's values by readout name.
    timesteps : int

    Returns
    -------
    network : Network
    errors : dict of float
        Relative error of the first readout at T for each reading, by its text.
    """
    readouts: list[Readout] = []
    errors: dict[str, float] = {}
    for readout in network.readouts:
        means = result.outputs[readout.name]
        steps = np.arange(1, timesteps + 1).reshape(-1, *[1] * (means.ndim - 1))
        accumulated = means * steps / readout.scale
        target = expected[readout.name]
        found = {
            reading: logit_error(decode(reading.of(readout), accumulated)[-1], target)
            for reading in READINGS
        }
        least = min(found.values())
        best = next(reading for reading in READINGS if found[reading] <= least + ROUNDING)
        readouts.append(best.of(readout))
        errors = errors or {str(reading): error for reading, error in found.items()}
    return network.replace_nodes(readouts), errors


def logit_error(decoded: FloatArray, target: npt.NDArray[Any]) -> float:
    """Return the relative error after the best common gain: a gain does not change decisions."""
    y, x = np.asarray(target, np.float64).ravel(), decoded.ravel()
    power = float(x @ x)
    residual = y - x * (float(x @ y) / power if power else 0.0)
    return float(np.sqrt(residual @ residual / max(float(y @ y), 1e-300)))
