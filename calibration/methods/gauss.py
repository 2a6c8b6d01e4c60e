"""The threshold of least squared error under a Gaussian: two numbers a channel suffice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.layer_statistics import LayerStatistics
from snnconvert.calibration.methods.mse import LeastSquares
from snnconvert.calibration.methods.registry import calibration_method

REACH = 6.0
"""Standard deviations above the mean at which the Gaussian is cut off."""

BINS = 4096
DRAWS = 2.0**40
"""Values that the Gaussian stands for: tails below one value in that many are empty."""


@calibration_method("gauss")
@dataclass(frozen=True, kw_only=True)
class GaussianFit(LeastSquares):
    """The threshold whose T+1 levels lie closest to a rectified Gaussian.

    Mean and variance of the pre-activations stand for their distribution, so few rows suffice
    and single outliers have no say; real activations have heavier tails, which `mse` sees. The
    threshold minimises the same squared error as `mse` and never exceeds the largest activation.

    References
    ----------
    Huang et al. 2025, "Differential coding for training-free ANN-to-SNN conversion" (ICML), the
    threshold iteration: its update is Lloyd's step for a Gaussian.
    """

    def threshold_of(self, layer: LayerStatistics, channels: slice) -> float:
        """Return the threshold from the channels' pooled mean and variance."""
        largest = float(layer.maximum[channels].max())
        mean, variance = layer.moments.pooled(channels)
        gaussian = _rectified_gaussian(mean, float(np.sqrt(variance)))
        return min(self.threshold(gaussian), largest) if gaussian.positive else largest


def _rectified_gaussian(mean: float, deviation: float) -> Distribution:
    """Return the positive part of a Gaussian as a histogram."""
    top = mean + REACH * deviation
    if deviation <= 0 or top <= 0:
        return Distribution(np.zeros(1, np.int64), np.asarray([0.0, 1.0]), 0, 0.0)
    edges = np.linspace(0.0, top, BINS + 1)
    # Of the upper tails, so that far beyond the mean no digits are lost.
    beyond = ndtr((mean - edges) / deviation)
    counts = np.rint(DRAWS * (beyond[:-1] - beyond[1:])).astype(np.int64)
    return Distribution(counts, edges, int(DRAWS), top)
