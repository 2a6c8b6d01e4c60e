"""Intervals and moments: what a number measured on a few hundred samples can be trusted for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share.

    Unlike the normal approximation it stays within [0, 1] and keeps its width at shares of 0
    and 1.

    Parameters
    ----------
    successes, trials : int
        ``0 <= successes <= trials``, at least one trial.

    References
    ----------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson_interval(81, 263)]
    [0.2553, 0.3662]
    """
    share = successes / trials
    z2 = Z95 * Z95
    centre = (successes + z2 / 2) / (trials + z2)
    half = Z95 / (trials + z2) * math.sqrt(trials * share * (1 - share) + z2 / 4)
    # At the ends the interval is closed by definition; rounding would leave 1e-17 instead of 0.
    low = 0.0 if successes == 0 else max(centre - half, 0.0)
    high = 1.0 if successes == trials else min(centre + half, 1.0)
    return low, high


def paired_difference_interval(
    only_first: int, only_second: int, trials: int
) -> tuple[float, float]:
    """Return the 95 % interval of ``second - first``, two shares measured on the same samples.

    Only samples on which the two disagree tell them apart, so this is much narrower than the
    difference of two separate intervals.

    Parameters
    ----------
    only_first, only_second : int
        Samples that only one of them got right.
    trials : int

    References
    ----------
    Agresti and Min 2005, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24: half a sample is added to each of the four cells.
    """
    n = trials + 2
    difference = (only_second - only_first) / n
    variance = (only_first + only_second + 1) / n - difference**2
    half = Z95 * math.sqrt(variance / n)
    return max(difference - half, -1.0), min(difference + half, 1.0)


@dataclass
class PairMoments:
    """Running sums of pairs (reference, estimate), in float64.

    Attributes
    ----------
    n : int
    x, y, xx, yy, xy, dd : float
        Sums of reference, estimate, their squares and product, and of the squared difference.
    """

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0
    dd: float = 0.0

    def add(self, reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> None:
        """Add the entries of two arrays of one shape."""
        x = np.asarray(reference, np.float64).reshape(-1)
        y = np.asarray(estimate, np.float64).reshape(-1)
        difference = y - x
        self.n += x.size
        self.x += float(x.sum())
        self.y += float(y.sum())
        self.xx += float(x @ x)
        self.yy += float(y @ y)
        self.xy += float(x @ y)
        self.dd += float(difference @ difference)

    @property
    def relative_error(self) -> float | None:
        """``||estimate - reference|| / ||reference||``; None where the reference is zero."""
        return math.sqrt(self.dd / self.xx) if self.xx > 0 else None

    @property
    def correlation(self) -> float | None:
        """Pearson's r; None where one side is constant."""
        if self.n < 2:
            return None
        spread_x = self.xx - self.x * self.x / self.n
        spread_y = self.yy - self.y * self.y / self.n
        # What cancellation leaves of a constant is below this share of its sum of squares.
        if spread_x <= 1e-12 * self.xx or spread_y <= 1e-12 * self.yy:
            return None
        r = (self.xy - self.x * self.y / self.n) / math.sqrt(spread_x * spread_y)
        return min(max(r, -1.0), 1.0)


def ratio_interval(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Return the 95 % interval of a ratio of two sums over rows; None for a single row.

    The normal approximation, with the variance of a linearised ratio; for equal `below` it is that
    of a mean.

    Parameters
    ----------
    above, below : (n,) arrays

    References
    ----------
    Cochran 1977, "Sampling techniques", 3rd edition, section 6.3.

    Examples
    --------
    >>> low, high = ratio_interval(np.array([1.0, 2.0, 3.0]), np.ones(3))
    >>> round(low, 3), round(high, 3)
    (0.868, 3.132)
    """
    return interval_of_sums(
        len(above), above.sum(), below.sum(), above @ above, above @ below, below @ below
    )


def interval_of_sums(
    n: int, s: float, g: float, ss: float, sg: float, gg: float
) -> tuple[float, float] | None:
    """Return the same from the sums of both, of their squares and of their product."""
    if n < 2 or g == 0:
        return None
    share = s / g
    squares = max(float(ss - 2 * share * sg + share * share * gg), 0.0)
    half = Z95 * math.sqrt(squares * n / (n - 1)) / abs(g)
    return float(share - half), float(share + half)


BOOTSTRAP_SAMPLES = 1000
BOOTSTRAP_CHUNK = 50


def resampled(n: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield how often each of n rows is drawn, for the bootstrap: seeded, (chunk, n) at a time.

    References
    ----------
    Efron and Tibshirani 1993, "An introduction to the bootstrap".
    """
    rng = np.random.default_rng(0)
    for _ in range(BOOTSTRAP_SAMPLES // BOOTSTRAP_CHUNK):
        drawn = rng.integers(0, n, (BOOTSTRAP_CHUNK, n))
        drawn += n * np.arange(BOOTSTRAP_CHUNK)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=BOOTSTRAP_CHUNK * n)
        yield counts.astype(np.float64).reshape(BOOTSTRAP_CHUNK, n)


def percentile_interval(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Return where the middle 95 % of the values lie; None where one is not finite."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
