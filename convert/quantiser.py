"""Rounding of activations to levels: QuantizeLinear and DynamicQuantizeLinear in real units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnconvert.convert.linear import FloatArray

DYNAMIC_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Quantise:
    """``scale * clip(round(x / scale), low, high)``: quantised and dequantised again.

    Halves are rounded to even, as onnxruntime does it.

    Attributes
    ----------
    scale : float array
        Distance of two levels; positive, broadcasts against the shape.
    low, high : float array
        The outermost levels, in steps from zero: those of the integer type less the zero point.
        A quantiser whose `low` is zero cuts off what is negative: it implies a Relu.
    zero_point : float array
        The integer that stands for zero.
    tensor : str or None
        ONNX tensor that holds the integers; None when no tensor of the file does.
    """

    kind: ClassVar[str] = "Quantise"

    scale: FloatArray
    low: FloatArray
    high: FloatArray
    zero_point: FloatArray
    tensor: str | None = None

    def evaluate(self, x: FloatArray) -> FloatArray:
        """Round ``(n, *shape)`` to levels, in the dtype of `x`."""
        scale = self.scale.astype(x.dtype)
        steps = np.clip(np.rint(x / scale), self.low, self.high)
        return np.asarray(steps * scale, x.dtype)

    def from_integers(self, integers: FloatArray) -> FloatArray:
        """Return the real values that integers stand for."""
        return np.asarray((integers - self.zero_point) * self.scale)

    def excess(self, x: FloatArray, result: FloatArray) -> float:
        """Return by how much `result` is off where it should be `x` rounded.

        Returns
        -------
        float
            In shares of the range of levels: how far `result` lies beyond half a step from the
            clipped `x`, and from a level, whichever is more.
        """
        clipped = np.clip(x / self.scale, self.low, self.high)
        steps = result / self.scale
        distance = np.maximum(np.abs(clipped - steps) - 0.5, np.abs(steps - np.rint(steps)))
        return float((np.maximum(distance, 0) / (self.high - self.low)).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class DynamicQuantise:
    """Rounding to 256 levels between the least and the largest value of a batch, zero included.

    Attributes
    ----------
    tensors : tuple of str
        ONNX tensors of the integers, their scale and their zero point.
    """

    tensors: tuple[str, str, str]

    def evaluate(self, x: FloatArray) -> FloatArray:
        """Round ``(n, *shape)`` to levels, in the dtype of `x`."""
        low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
        scale = (high - low) / DYNAMIC_LEVELS
        if scale == 0:
            return x
        zero = np.clip(np.rint(-low / scale), 0, DYNAMIC_LEVELS)
        steps = np.clip(np.rint(x / scale), -zero, DYNAMIC_LEVELS - zero)
        return np.asarray(steps * scale, x.dtype)

    def excess(self, x: FloatArray, result: FloatArray) -> float:
        """Return by how much `result` is off where it should be `x` rounded.

        Returns
        -------
        float
            How far it lies beyond half a step, in shares of the range.
        """
        reach = max(float(x.max()), 0.0) - min(float(x.min()), 0.0)
        if reach == 0:
            return float(np.abs(result).max())
        distance = np.abs(x - result) * (DYNAMIC_LEVELS / reach)
        return float(max(distance.max() - 0.5, 0.0) / DYNAMIC_LEVELS)
