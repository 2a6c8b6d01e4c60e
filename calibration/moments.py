"""Mean and variance of a stream of rows, the same bit for bit in any order.

Floating-point sums depend on the order of their terms; sums of integers do not. Each row's own sum
is taken in float64 and rounded to 32 significant bits; these are added as integers, one
accumulator for each exponent that occurs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray

_SIGNIFICANT_BITS = 32
_PENDING = 256


class IntegerSum:
    """Sums of (channels,) float64 vectors, independent of their order.

    Each term keeps 32 significant bits; up to 2**31 terms are summed without further error.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._by_exponent: dict[int, npt.NDArray[np.int64]] = {}
        self._pending: list[FloatArray] = []

    def add(self, term: FloatArray) -> None:
        """Add one finite (channels,) vector."""
        self._pending.append(term)
        if len(self._pending) == _PENDING:
            self._flush()

    def merge(self, other: IntegerSum) -> None:
        """Add another sum."""
        other._flush()
        for exponent, accumulated in other._by_exponent.items():
            self._accumulator(exponent)[...] += accumulated

    def total(self) -> FloatArray:
        """Return the (channels,) sum, float64."""
        self._flush()
        parts = [
            np.ldexp(accumulated.astype(np.float64), exponent - _SIGNIFICANT_BITS)
            for exponent, accumulated in sorted(self._by_exponent.items())
        ]
        return np.asarray(sum(parts, np.zeros(self.channels)))

    def _flush(self) -> None:
        if not self._pending:
            return
        significand, exponent = np.frexp(np.stack(self._pending))
        self._pending = []
        whole = np.rint(np.ldexp(significand, _SIGNIFICANT_BITS)).astype(np.int64)
        for e in np.unique(exponent[whole != 0]):
            self._accumulator(int(e))[...] += np.where(exponent == e, whole, 0).sum(axis=0)

    def _accumulator(self, exponent: int) -> npt.NDArray[np.int64]:
        zeros = np.zeros(self.channels, np.int64)
        return self._by_exponent.setdefault(exponent, zeros)


class Moments:
    """Mean and variance by channel."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._sum, self._squares = IntegerSum(channels), IntegerSum(channels)

    def update(self, row: FloatArray) -> None:
        """Take in one row of values, (channels, n)."""
        values = np.ascontiguousarray(row, np.float64)
        self._sum.add(values.sum(axis=1))
        self._squares.add(np.square(values).sum(axis=1))
        self.count += values.shape[1]

    def merge(self, other: Moments) -> None:
        """Take in what another one has."""
        self._sum.merge(other._sum)
        self._squares.merge(other._squares)
        self.count += other.count

    @property
    def mean(self) -> FloatArray:
        """(channels,) float64; 0 without values."""
        return np.asarray(self._sum.total() / max(self.count, 1))

    @property
    def variance(self) -> FloatArray:
        """(channels,) float64, of the values themselves (divided by their number)."""
        return np.maximum(self._squares.total() / max(self.count, 1) - self.mean**2, 0.0)

    def pooled(self, channels: slice) -> tuple[float, float]:
        """Return mean and variance of the values of some channels together."""
        mean, variance = self.mean[channels], self.variance[channels]
        centre = float(mean.mean())
        return centre, float((variance + (mean - centre) ** 2).mean())
