"""Bounded ramps: a function of one variable out of linear maps and integrate-and-fire neurons.

``offset + sum of slopes * clip(x - starts, 0, widths)``: each ramp is a population whose rate
cannot exceed 1, so its threshold is its width. Beyond all ramps it is constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.curves.functions import Expression, Number, X, call
from snnconvert.convert.linear import FloatArray


@dataclass(frozen=True, eq=False)
class Ramps:
    """A continuous piecewise linear function.

    Attributes
    ----------
    offset : float
        The value before all ramps.
    slopes, starts, widths : (n,) float64 arrays
        Of each ramp: how steep it is, where it begins, and how long it is.
    rms_error, max_error : float
        Difference from the function that was fitted: root mean square and largest, on the density
        that it was fitted to.
    """

    offset: float
    slopes: FloatArray
    starts: FloatArray
    widths: FloatArray
    rms_error: float = 0.0
    max_error: float = 0.0

    def evaluate(self, x: npt.NDArray[Any]) -> FloatArray:
        """Return the sum of the ramps for every element, in double precision."""
        x = np.asarray(x, np.float64)
        total = np.full_like(x, self.offset)
        for slope, start, width in zip(self.slopes, self.starts, self.widths, strict=True):
            total = total + slope * np.clip(x - start, 0, width)
        return total

    def expression(self) -> Expression:
        """Return the sum of the ramps as a function."""
        ramps = zip(self.slopes, self.starts, self.widths, strict=True)
        return sum(
            (float(a) * call("minimum", call("relu", X - float(b)), float(w)) for a, b, w in ramps),
            start=Number(self.offset),
        )
