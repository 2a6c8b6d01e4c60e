"""Where the values of a resized axis come from: ONNX Resize and Upsample, one axis at a time.

Coordinates are computed in single precision, as runtimes do: a value half-way between two others
goes where rounding sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray, IntArray

Coordinates = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """One axis to resize.

    Attributes
    ----------
    extent, resized : int
        Values before and after.
    scale : float
        As the file gives it, else ``resized / extent``.
    roi : (float, float)
        Region of interest as shares of the axis, for ``tf_crop_and_resize``.
    """

    extent: int
    resized: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Taps:
    """The weighted sum that each value of the resized axis is.

    Attributes
    ----------
    index : (resized, taps) int array
        Positions that are read; -1 for none.
    weight : (resized, taps) float64 array
        Zero where none is read.
    """

    index: IntArray
    weight: FloatArray

    def without(self, outside: npt.NDArray[np.bool_]) -> Taps:
        """Return the taps with nothing read for some values."""
        mask = outside[:, None]
        return Taps(np.where(mask, -1, self.index), np.where(mask, 0.0, self.weight))


def _half_pixel(x: Coordinates, axis: Axis) -> Coordinates:
    return (x + np.float32(0.5)) / np.float32(axis.scale) - np.float32(0.5)


def _pytorch_half_pixel(x: Coordinates, axis: Axis) -> Coordinates:
    return _half_pixel(x, axis) if axis.resized > 1 else np.zeros_like(x)


def _half_pixel_symmetric(x: Coordinates, axis: Axis) -> Coordinates:
    exact = np.float32(axis.scale) * np.float32(axis.extent)
    adjustment = np.float32(axis.resized) / exact
    offset = np.float32(axis.extent / 2) * (np.float32(1) - adjustment)
    # Here alone onnxruntime adds up in double precision, and rounds the sum.
    place = float(offset) + (x.astype(np.float64) + 0.5) / float(np.float32(axis.scale)) - 0.5
    return place.astype(np.float32)


def _align_corners(x: Coordinates, axis: Axis) -> Coordinates:
    if axis.resized == 1:
        return np.zeros_like(x)
    return x * np.float32(axis.extent - 1) / np.float32(axis.resized - 1)


def _asymmetric(x: Coordinates, axis: Axis) -> Coordinates:
    return x / np.float32(axis.scale)


def _tf_half_pixel_for_nn(x: Coordinates, axis: Axis) -> Coordinates:
    return (x + np.float32(0.5)) / np.float32(axis.scale)


def _tf_crop_and_resize(x: Coordinates, axis: Axis) -> Coordinates:
    start, end, last = np.float32(axis.roi[0]), np.float32(axis.roi[1]), np.float32(axis.extent - 1)
    if axis.resized == 1:
        return np.full_like(x, np.float32(0.5) * (start + end) * last)
    return start * last + x * (end - start) * last / np.float32(axis.resized - 1)


COORDINATES: dict[str, Callable[[Coordinates, Axis], Coordinates]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
    "tf_half_pixel_for_nn": _tf_half_pixel_for_nn,
    "tf_crop_and_resize": _tf_crop_and_resize,
}

HALF = 1e-6
"""How near to half-way onnxruntime takes a position for it (measured: it rounds 0.5000002 down)."""


def _is_half(x: Coordinates) -> npt.NDArray[np.bool_]:
    place = x.astype(np.float64)
    return np.asarray(np.abs(place - np.floor(place) - 0.5) <= HALF)


ROUNDINGS: dict[str, Callable[[Coordinates], Coordinates]] = {
    "round_prefer_floor": lambda x: np.where(_is_half(x), np.floor(x), np.rint(x)),
    "round_prefer_ceil": lambda x: np.where(_is_half(x), np.ceil(x), np.rint(x)),
    "floor": np.floor,
    "ceil": np.ceil,
}


def coordinates(axis: Axis, mode: str) -> Coordinates:
    """Return where each value of the resized axis lies between those of the original one."""
    return COORDINATES[mode](np.arange(axis.resized, dtype=np.float32), axis)


def nearest(axis: Axis, where: Coordinates, rounding: str) -> Taps:
    """Return the taps that copy one value each."""
    index = np.clip(ROUNDINGS[rounding](where), 0, axis.extent - 1).astype(np.int64)
    return Taps(index[:, None], np.ones((axis.resized, 1)))


def linear(axis: Axis, where: Coordinates) -> Taps:
    """Return the taps of linear interpolation; beyond the ends the last value goes on."""
    return _kernel(axis, np.clip(where, 0, axis.extent - 1), _triangle, 1, 1.0, False)


def cubic(axis: Axis, where: Coordinates, coefficient: float, exclude_outside: bool) -> Taps:
    """Return the taps of cubic convolution.

    References
    ----------
    Keys 1981, "Cubic convolution interpolation for digital image processing".
    """
    kernel = _cubic_kernel(coefficient)
    return _kernel(axis, where, kernel, 2, 1.0, exclude_outside)


def antialiased(
    axis: Axis, where: Coordinates, mode: str, coefficient: float, exclude_outside: bool
) -> Taps:
    """Return the taps of a kernel that is widened as far as the axis shrinks."""
    kernel, support = (_triangle, 1) if mode == "linear" else (_cubic_kernel(coefficient), 2)
    return _kernel(axis, where, kernel, support, min(axis.scale, 1.0), exclude_outside)


def _triangle(distance: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def _cubic_kernel(a: float) -> Callable[[FloatArray], FloatArray]:
    def kernel(distance: FloatArray) -> FloatArray:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return kernel


def _kernel(
    axis: Axis,
    where: Coordinates,
    kernel: Callable[[FloatArray], FloatArray],
    support: int,
    width: float,
    exclude_outside: bool,
) -> Taps:
    """Weigh the neighbours of each position with a kernel of their distances.

    What lies outside is either left out, the rest weighed up for it, or the last value inside.
    """
    place = where.astype(np.float64)
    reach = int(np.ceil(support / width))
    positions = np.floor(place).astype(np.int64)[:, None] + np.arange(1 - reach, reach + 1)
    weight = kernel((positions - place[:, None]) * width)
    if exclude_outside:
        weight = np.where((positions >= 0) & (positions < axis.extent), weight, 0.0)
    if exclude_outside or width < 1:
        weight = weight / weight.sum(axis=1, keepdims=True)
    return _compact(np.clip(positions, 0, axis.extent - 1), weight)


def _compact(index: IntArray, weight: FloatArray) -> Taps:
    """Add up taps on the same position, drop those of no weight, and put the rest in front."""
    first = (index[:, :, None] == index[:, None, :]).argmax(axis=2)
    summed = np.zeros_like(weight)
    np.add.at(summed, (np.arange(len(index))[:, None], first), weight)
    order = np.argsort(summed == 0, axis=1, kind="stable")
    index, summed = np.take_along_axis(index, order, 1), np.take_along_axis(summed, order, 1)
    used = max(1, int((summed != 0).sum(axis=1).max()))
    index, summed = index[:, :used], summed[:, :used]
    return Taps(np.where(summed == 0, -1, index), summed)
