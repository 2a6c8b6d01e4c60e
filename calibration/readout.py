"""Choose how many of the first steps a readout leaves out.

In an unstaged network the first spikes of deep layers answer to input that has not arrived in full:
they are too many in some neurons, too few in others, and stay in every later sum. A readout that
starts late leaves them out, at the price of fewer levels (Bu et al., CVPR 2025, "delayed readout").
Which share is best depends on depth and T, so it is measured on calibration rows, by the error of
the decoded logits: far less noisy than an accuracy on as many rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import RunResult, decode
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Readout

SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)

ROUNDING = 1e-9
"""Relative errors closer than that are equal: the smaller share is taken."""


def choose_discard(
    network: Network, result: RunResult, expected: Mapping[str, npt.NDArray[Any]], timesteps: int
) -> tuple[Network, dict[str, float]]:
    """Return the network with the readout shares of least logit error, and the errors.

    Parameters
    ----------
    network : Network
        With readouts that leave nothing out.
    result : RunResult
        Of calibration rows on it, T = `timesteps`.
    expected : dict of (N, *shape) arrays
        The ANN's values by readout name.
    timesteps : int

    Returns
    -------
    network : Network
    errors : dict of float
        Relative error of the first readout at T for each share, by its decimal form.
    """
    readouts: list[Readout] = []
    errors: dict[str, float] = {}
    for readout in network.readouts:
        means = result.outputs[readout.name]
        steps = np.arange(1, timesteps + 1).reshape(-1, *[1] * (means.ndim - 1))
        accumulated = means * steps / readout.scale
        target = expected[readout.name]
        found = {
            share: logit_error(decode(replace(readout, discard=share), accumulated)[-1], target)
            for share in SHARES
        }
        least = min(found.values())
        best = next(share for share in SHARES if found[share] <= least + ROUNDING)
        readouts.append(replace(readout, discard=best))
        errors = errors or {f"{share:g}": error for share, error in found.items()}
    return network.replace_nodes(readouts), errors


def logit_error(decoded: FloatArray, target: npt.NDArray[Any]) -> float:
    """Return the relative error after the best common gain: a gain does not change decisions."""
    y, x = np.asarray(target, np.float64).ravel(), decoded.ravel()
    power = float(x @ x)
    residual = y - x * (float(x @ y) / power if power else 0.0)
    return float(np.sqrt(residual @ residual / max(float(y @ y), 1e-300)))
