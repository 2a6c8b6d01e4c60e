"""The functions of ``fire.py`` in NumPy, step by step, for where Numba cannot be imported."""

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
) -> None:
    """Advance plain neurons; arguments as in ``fire.py``."""
    for t in _integrated(voltage, constant, sums, spikes, steps):
        fired = voltage >= threshold
        spikes[t] = fired
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
) -> None:
    """Advance signed neurons; arguments as in ``fire.py``."""
    for t in _integrated(voltage, constant, sums, spikes, steps):
        up, down = voltage >= threshold, (voltage < 0) & (counts > 0)
        sent = up.astype(np.int64) - down
        spikes[t] = sent
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
) -> None:
    """Advance graded neurons; arguments as in ``fire.py``."""
    for t in _integrated(voltage, constant, sums, spikes, steps):
        payload = np.clip(np.floor(voltage / threshold), 0.0, highest)
        spikes[t] = payload
        counts += payload.astype(np.int64)
        events += payload > 0
        voltage -= payload * threshold


def _integrated(voltage: Any, constant: Any, sums: Any, spikes: Any, steps: int) -> Iterator[int]:
    """Add what arrives in each step; yield the steps in which neurons may fire."""
    for t in range(steps):
        voltage += constant
        if len(sums):
            voltage += sums[t]
        if len(spikes):
            yield t
