"""The threshold at which what clipping loses balances what T steps cannot resolve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.methods.registry import CalibrationMethod, calibration_method
from snnconvert.convert.errors import UsageError

ROUNDS = 60
"""Halvings of the interval: to the last bit of a double."""


@calibration_method("balance")
@dataclass(frozen=True, kw_only=True)
class LocalBalance(CalibrationMethod):
    """Local threshold balancing with a fixed point.

    Threshold balancing raises a threshold by the mean excess over it, ``2 E[max(a - threshold,
    0)]``, at every update. That is the gradient of the squared clipping error; alone it ends only
    at the maximum, so the number of updates decides the result. Here the error of the levels pulls
    back: T levels of width ``threshold / T`` leave a squared error of ``(threshold / T)**2 / 12``
    for each activation among them, whose gradient is ``threshold P(0 < a <= threshold) / (6
    T**2)``. The threshold is where both are equal, the only place where the updates stop.

    Attributes
    ----------
    timesteps : int
        The design T.
    levels_per_step : int
        The largest payload of a spike, 1 but for graded neurons: its product with T takes the
        place of T.

    References
    ----------
    Bu et al. 2025, "Inference-scale complexity in ANN-SNN conversion for high-performance and
    low-power applications" (CVPR), for the update without the pull.
    Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for
    rapid-deployment", for clipping against rounding.
    """

    timesteps: int
    levels_per_step: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timesteps < 1:
            raise UsageError(f"timesteps must be at least 1, not {self.timesteps}")

    def threshold(self, distribution: Distribution) -> float:
        """Return the fixed point, by bisection: the pull rises with it, the push falls."""
        low, high = 0.0, distribution.maximum
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            if self._push(distribution, middle) > 0:
                low = middle
            else:
                high = middle
        return high

    def _push(self, distribution: Distribution, threshold: float) -> float:
        """Return the sum of the update over all activations, up to a positive constant."""
        # Within a bin its values count as spread evenly.
        left, right = distribution.edges[:-1], distribution.edges[1:]
        beyond = np.clip((right - threshold) / (right - left), 0, 1)
        middle = np.minimum((np.maximum(left, threshold) + right) / 2, distribution.maximum)
        excess = (distribution.counts * beyond * (middle - threshold)).sum()
        within = (distribution.counts * (1 - beyond)).sum()
        levels = self.timesteps * self.levels_per_step
        return float(2 * excess - threshold * within / (6 * levels**2))
