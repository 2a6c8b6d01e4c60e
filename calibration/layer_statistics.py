"""What calibration knows of one population: its pre-activations and activations by channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.histogram import ChannelHistogram
from snnconvert.calibration.moments import Moments
from snnconvert.convert.linear import FloatArray, Shape


class LayerStatistics:
    """Statistics of one Relu, gathered row by row; bit for bit the same in any order of rows.

    Parameters
    ----------
    shape : tuple of int
        Of the population.
    channel_axis : int
        Axis of `shape` with one entry a channel.
    ceiling : float or None
        Upper bound of the activation.

    Attributes
    ----------
    histogram : ChannelHistogram
        Of the activations ``min(max(z, 0), ceiling)``.
    moments : Moments
        Of the pre-activations z.
    rows : int
    """

    def __init__(self, shape: Shape, channel_axis: int = 0, ceiling: float | None = None) -> None:
        self.shape, self.channel_axis, self.ceiling = shape, channel_axis, ceiling
        self.channels = shape[channel_axis] if shape else 1
        self.histogram = ChannelHistogram(self.channels)
        self.moments = Moments(self.channels)
        self.rows = 0

    def update(self, pre_activations: FloatArray) -> None:
        """Take in rows of pre-activations, (n, *shape)."""
        for row in np.asarray(pre_activations, np.float32):
            moved = np.moveaxis(row, self.channel_axis, 0) if self.shape else row
            values = np.ascontiguousarray(moved).reshape(self.channels, -1)
            self.moments.update(values)
            if self.ceiling is not None:
                values = np.minimum(values, np.float32(self.ceiling))
            self.histogram.update(values)
            self.rows += 1

    def merge(self, other: LayerStatistics) -> None:
        """Take in the statistics of other rows."""
        self.histogram.merge(other.histogram)
        self.moments.merge(other.moments)
        self.rows += other.rows

    @property
    def maximum(self) -> FloatArray:
        """(channels,) largest activations."""
        return self.histogram.maximum

    @property
    def positive_fraction(self) -> FloatArray:
        """(channels,) share of the activations that are positive."""
        return np.asarray(self.histogram.counts.sum(axis=1) / max(self.histogram.total, 1))

    @property
    def dead(self) -> npt.NDArray[np.bool_]:
        """(channels,) whether no activation was positive."""
        return np.asarray(self.histogram.maximum <= 0)

    def along_channels(self, per_channel: FloatArray) -> FloatArray:
        """Return (channels,) values in a shape that broadcasts against the population's."""
        axes = range(len(self.shape))
        return per_channel.reshape([-1 if a == self.channel_axis else 1 for a in axes])

    def to_json(self) -> dict[str, Any]:
        """Return a summary, ready for JSON."""
        return {
            "channels": self.channels,
            "dead_channels": int(self.dead.sum()),
            "positive_fraction": float(self.positive_fraction.mean()),
            "largest_activation": float(self.maximum.max(initial=0.0)),
            "pre_activation_mean": float(self.moments.mean.mean()),
            "pre_activation_std": float(np.sqrt(self.moments.variance.mean())),
        }
