"""The threshold that minimises the squared error of the activation levels of T steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.methods.registry import CalibrationMethod, calibration_method
from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import FloatArray

CANDIDATES = np.geomspace(1.0, 0.02, 200)
"""Thresholds that are tried, as shares of the maximum: steps of 2 %."""

TOLERANCE = 1e-6
MAXIMUM_ROUNDS = 200


@calibration_method("mse")
@dataclass(frozen=True, kw_only=True)
class LeastSquares(CalibrationMethod):
    """The threshold whose levels lie closest to the activations.

    A neuron that starts at half its threshold and receives the activation a in each step spikes
    ``n(a) = min(T, floor(T a / threshold + 1/2))`` times; the decoded value is
    ``threshold n / T``. The threshold minimises the sum of ``(a - threshold n(a) / T)**2`` over
    the histogram: the best of a fine grid, then Lloyd's steps (nearest levels, then the best
    threshold for them), which never raise the error. Where a step can send up to K unit spikes,
    K T takes the place of T, and what is found is the activation of the full rate, K.

    Many steps T afford a threshold near the maximum; few steps call for a smaller one, so the
    thresholds belong to the T that they were designed for.

    Attributes
    ----------
    timesteps : int
        The design T.
    levels_per_step : int
        K, the largest payload of a spike: 1 but for graded neurons.

    References
    ----------
    Li et al. 2021, "A free lunch from ANN: towards efficient, accurate spiking neural networks
    calibration", section 3.2, for the criterion.
    """

    timesteps: int
    levels_per_step: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timesteps < 1:
            raise UsageError(f"timesteps must be at least 1, not {self.timesteps}")

    def threshold(self, distribution: Distribution) -> float:
        """Return the threshold of least squared error."""
        levels = _Levels(distribution, self.timesteps * self.levels_per_step)
        candidates = distribution.maximum * CANDIDATES
        threshold = float(candidates[np.argmin(levels.errors(candidates))])
        for _ in range(MAXIMUM_ROUNDS):
            polished = levels.best_scale(threshold)
            if abs(polished - threshold) <= TOLERANCE * threshold:
                break
            threshold = polished
        return threshold


class _Levels:
    """Errors of N+1 levels over a distribution, from its tails.

    With the decision points ``x_k = (k - 1/2) threshold / N`` and n(a) the number of points at or
    below a, the sums over the activations are sums over the tails beyond the points::

        sum a n(a) = sum_k A(x_k)            A(x): sum of the activations from x on
        sum n(a)^2 = sum_k (2k - 1) N(x_k)   N(x): their number

    Tails are interpolated within the histogram's bins.
    """

    def __init__(self, distribution: Distribution, number: int) -> None:
        counts, centres = distribution.counts, distribution.centres
        self.edges = distribution.edges
        self.number = number
        self.steps = np.arange(1, number + 1)
        self.numbers = _tails(counts.astype(np.float64))
        self.sums = _tails(counts * centres)
        self.squares = float((counts * centres**2).sum())

    def errors(self, thresholds: FloatArray) -> FloatArray:
        """Return the summed squared error for each threshold."""
        step = thresholds / self.number
        products, squares = self._moments(thresholds)
        return np.asarray(self.squares - 2 * step * products + step**2 * squares)

    def best_scale(self, threshold: float) -> float:
        """Return the best threshold for the levels that `threshold` assigns."""
        products, squares = self._moments(np.asarray([threshold]))
        return self.number * float(products[0] / squares[0]) if squares[0] > 0 else threshold

    def _moments(self, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the sums of ``a n(a)`` and of ``n(a)**2`` for each threshold."""
        points = (self.steps - 0.5) * (thresholds / self.number)[:, None]
        products = np.interp(points, self.edges, self.sums).sum(axis=1)
        squares = np.interp(points, self.edges, self.numbers) @ (2.0 * self.steps - 1.0)
        return products, squares


def _tails(per_bin: FloatArray) -> FloatArray:
    """Return, for each edge, the sum over the bins above it."""
    return np.concatenate([np.cumsum(per_bin[::-1])[::-1], [0.0]])
