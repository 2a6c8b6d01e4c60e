"""What a metric is: one number that says how good outputs are, and how it adds up over rows.

Every metric but a callable is a function of sums over rows, so that an evaluation streams: rows
come in batches, the sums of two batches add up, and no more than a batch's outputs are held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from snnconvert.convert.linear import FloatArray
from snnconvert.reports.readings import Array, Reading

Better: TypeAlias = Literal["higher", "lower"]
Reads: TypeAlias = Literal["classes", "values", "rows"]
Interval: TypeAlias = Literal["wilson", "linear", "bootstrap", "none"]
Function: TypeAlias = Callable[[Array, Array], float]


class Metric(ABC):
    """How good outputs are.

    Attributes
    ----------
    name : str
        As users give it and reports write it.
    title : str
        In words.
    better : {"higher", "lower"}
    low, high : float
        Its range.
    share : bool
        Whether it is a share, shown in percent.
    reads : {"classes", "values", "rows"}
        Decisions between classes, the numbers of the ONNX output, or whatever it likes.
    interval : {"wilson", "linear", "bootstrap", "none"}
        How its confidence interval is made: of a share of rows, of a ratio of sums over rows
        (normal approximation), by resampling rows (at the last timestep only), not at all.
    """

    better: Better = "higher"
    low: float = 0.0
    high: float = 1.0
    share: bool = False
    reads: Reads = "values"
    interval: Interval = "none"

    @property
    @abstractmethod
    def name(self) -> str:
        """As users give it and reports write it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """In words."""

    def worse_by(self, value: float, than: float) -> float:
        """Return how much worse a value is than another; negative where it is better."""
        return than - value if self.better == "higher" else value - than

    def misses(self, value: float, goal: float) -> bool:
        """Tell whether a value is worse than the goal."""
        return self.worse_by(value, goal) > 0


class SummedMetric(Metric):
    """A metric that is a function of sums over rows."""

    @abstractmethod
    def of_targets(self, targets: Array, classes: int) -> FloatArray:
        """Return what each row of targets adds to the sums, (n, g)."""

    @abstractmethod
    def of_outputs(self, reading: Reading, targets: Array) -> FloatArray:
        """Return what each row of outputs adds to the sums, (steps, n, k)."""

    @abstractmethod
    def value(self, outputs: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the metric of sums (..., k) and (..., g); NaN where it is not defined."""


def ratio(above: Array, below: Array) -> FloatArray:
    """Divide; NaN where nothing was counted."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    quotient = np.full(above.shape, np.nan)
    return np.asarray(np.divide(above, below, out=quotient, where=below > 0))
