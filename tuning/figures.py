"""What a configuration is judged by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figures:
    """What one configuration brings and costs on some rows.

    Attributes
    ----------
    accuracy : float
        Share of right answers; without labels the agreement stands for it.
    agreement : float
        Share of answers that are the ANN's.
    ann_accuracy : float
        The ANN's on the same rows; 1 where the agreement stands for the accuracy.
    latency : int
        Steps from the first input to the answer.
    synops : float
        Synaptic operations of a sample.
    energy : float
        Estimated joules of a sample.
    neurons : int
    """

    accuracy: float
    agreement: float
    ann_accuracy: float
    latency: int
    synops: float
    energy: float
    neurons: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


COSTS = ("latency", "synops", "energy", "neurons")
"""Figures of which less is better."""

SHARES = ("accuracy", "agreement")
"""Figures of which more is better."""
