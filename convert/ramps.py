"""Bounded ramps: a function of one variable out of linear maps and integrate-and-fire neurons.

``offset + slope * x + sum of heights * clip(x - starts, 0, widths)``: each ramp is a population
whose rate cannot exceed 1, so its threshold is its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray


@dataclass(frozen=True, eq=False)
class Ramps:
    """A continuous piecewise linear function.

    Attributes
    ----------
    offset, slope : float
        The linear part.
    heights, starts, widths : (n,) float64 arrays
        Of each ramp: its slope, where it begins, and how far it rises.
    rms_error, max_error : float
        Difference from the function that was fitted: root mean square and largest, on the density
        that it was fitted to.
    """

    offset: float
    slope: float
    heights: FloatArray
    starts: FloatArray
    widths: FloatArray
    rms_error: float = 0.0
    max_error: float = 0.0

    def evaluate(self, x: npt.NDArray[Any]) -> FloatArray:
        """Return the sum of the ramps for every element, in double precision."""
        x = np.asarray(x, np.float64)
        total = self.offset + self.slope * x
        for height, start, width in zip(self.heights, self.starts, self.widths, strict=True):
            total = total + height * np.clip(x - start, 0, width)
        return np.asarray(total)
