"""The functions of ``fire.py`` in NumPy, step by step, for where Numba is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def integrate_and_fire(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    to_zero: bool,
    spikes: Any,
    counts: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    """Advance plain neurons; arguments as in ``kernels/integrate.py``."""
    samples = slice(first_sample, first_sample + voltage.shape[-2])
    threshold = threshold[..., None, :]
    for t in _integrated(voltage, constant, sums[:, samples], steps, fires):
        fired = voltage >= threshold
        _keep(spikes, t, samples, fired)
        counts += fired
        np.copyto(voltage, 0.0 if to_zero else voltage - threshold, where=fired)


def integrate_and_fire_signed(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    spikes: Any,
    counts: Any,
    events: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    """Advance signed neurons; arguments as in ``fire.py``."""
    samples = slice(first_sample, first_sample + len(voltage))
    for t in _integrated(voltage, constant, sums[:, samples], steps, fires):
        up, down = voltage >= threshold, (voltage < 0) & (counts > 0)
        sent = up.astype(np.int64) - down
        _keep(spikes, t, samples, sent)
        counts += sent
        events += up.astype(np.int64) + down
        voltage -= sent * threshold


def integrate_and_fire_graded(
    voltage: Any,
    constant: Any,
    sums: Any,
    threshold: Any,
    highest: float,
    spikes: Any,
    counts: Any,
    events: Any,
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    """Advance graded neurons; arguments as in ``fire.py``."""
    samples = slice(first_sample, first_sample + len(voltage))
    for t in _integrated(voltage, constant, sums[:, samples], steps, fires):
        payload = np.clip(np.floor(voltage / threshold), 0.0, highest)
        _keep(spikes, t, samples, payload)
        counts += payload.astype(np.int64)
        events += payload > 0
        voltage -= payload * threshold


def _integrated(voltage: Any, constant: Any, sums: Any, steps: int, fires: bool) -> Iterator[int]:
    """Add what arrives in each step; yield the steps in which neurons may fire."""
    for t in range(steps):
        voltage += constant
        if len(sums):
            voltage += sums[t]
        if fires:
            yield t


def _keep(spikes: Any, t: int, samples: slice, sent: Any) -> None:
    if len(spikes):
        spikes[t, samples] = sent
