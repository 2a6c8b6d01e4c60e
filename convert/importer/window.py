"""Geometry of Conv and pooling nodes, over all spellings of padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.linear import FloatArray, Shape, Window

AUTO_PAD = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
MAX_EXTENT = 2**31 - 1


@dataclass(frozen=True)
class Geometry:
    """A sliding window and the padding as the file states it.

    Attributes
    ----------
    window : Window
        Its pads reach exactly to the end of the last window.
    stated_ends : tuple of int
        End padding as written; `ceil_mode` may let the last window reach beyond.
    """

    window: Window
    stated_ends: Shape


def read_geometry(
    build: GraphBuilder,
    node: OnnxNode,
    x: Activation,
    size: Sequence[int],
    *,
    ceil_mode: bool = False,
) -> Geometry:
    """Read strides, dilations and padding of a window of `size` over the axes behind the channel.

    Raises
    ------
    ModelFileError
        If the numbers do not fit one another or the input.
    """
    spatial = x.shape[1:]
    rank = len(size)
    if len(spatial) != rank or rank < 1:
        raise node.invalid(
            f"a window of {rank} axes does not fit an input of shape {list(x.shape)} without batch"
        )
    strides = read_positive(node, "strides", rank)
    dilations = read_positive(node, "dilations", rank)
    mode = node.text("auto_pad", "NOTSET") or "NOTSET"
    if mode.startswith("SAME") and max(dilations) > 1:
        raise node.unsupported(
            f"auto_pad {mode} with dilations {list(dilations)}",
            why="runtimes disagree on how much is padded, or refuse it",
            hint="write the padding out as pads",
        )
    reach = [d * (s - 1) + 1 for s, d in zip(size, dilations, strict=True)]
    begins, ends = _padding(node, mode, spatial, reach, strides)
    widened = [s + b + e for s, b, e in zip(spatial, begins, ends, strict=True)]
    build.check_size(node, (x.shape[0], *widened))
    window_ends = []
    for extent, begin, end, span, stride in zip(spatial, begins, ends, reach, strides, strict=True):
        count = _positions(extent, begin, end, span, stride, ceil_mode)
        if count < 1:
            raise node.invalid(
                f"its window of extent {span} does not fit {extent} values padded by "
                f"{begin} and {end}"
            )
        window_ends.append((count - 1) * stride + span - extent - begin)
    pads = tuple(zip(begins, window_ends, strict=True))
    return Geometry(Window(tuple(size), strides, pads, dilations), ends)


def read_pooling(
    build: GraphBuilder, node: OnnxNode, x: Activation, size: Shape, *, ceil_mode: bool
) -> Geometry:
    """Read a pooling node's geometry; padding must be smaller than the window."""
    geometry = read_geometry(build, node, x, size, ceil_mode=ceil_mode)
    begins = tuple(begin for begin, _ in geometry.window.pads)
    if any(max(pads) >= s for *pads, s in zip(begins, geometry.stated_ends, size, strict=True)):
        raise node.invalid(f"padding {begins} and {geometry.stated_ends} exceeds the window {size}")
    automatic = node.text("auto_pad", "NOTSET").startswith("SAME")
    if automatic and any(end < 0 for _, end in geometry.window.pads):
        raise node.unsupported(
            f"auto_pad with strides {list(geometry.window.strides)} beyond the window {list(size)}",
            why="runtimes disagree on which values are skipped, or refuse it",
            hint="write the padding out as pads",
        )
    return geometry


def read_kernel_shape(node: OnnxNode) -> Shape:
    """Return the pooling window's extent."""
    size = node.integers("kernel_shape")
    if not size or min(size) < 1 or max(size) > MAX_EXTENT:
        raise node.invalid(f"kernel_shape {list(size or ())} is no window")
    return size


def covered(window: Window, spatial: Shape, begins: Shape, ends: Shape) -> FloatArray:
    """Count the taps of each window that lie within the input widened by `begins` and `ends`.

    Returns
    -------
    (1, *positions) float64 array
    """
    counts = np.ones((1,) * (len(spatial) + 1))
    for axis, extent in enumerate(spatial):
        pad = window.pads[axis][0]
        positions = window.output_extent(spatial)[axis]
        start = np.arange(positions) * window.strides[axis] - pad
        size, dilation = window.size[axis], window.dilations[axis]
        first = np.clip(-((begins[axis] + start) // dilation), 0, size)
        past = np.clip(-((start - extent - ends[axis]) // dilation), 0, size)
        shape = [1] * (len(spatial) + 1)
        shape[axis + 1] = positions
        counts = counts * np.maximum(past - first, 0).reshape(shape)
    return counts


def read_positive(node: OnnxNode, name: str, rank: int) -> Shape:
    """Return strides or dilations, one at least 1 for each of `rank` axes."""
    numbers = node.integers(name) or (1,) * rank
    if len(numbers) != rank or min(numbers) < 1 or max(numbers) > MAX_EXTENT:
        raise node.invalid(f"{name} {list(numbers)} do not fit a window of {rank} axes")
    return numbers


def _padding(
    node: OnnxNode, mode: str, spatial: Shape, reach: Sequence[int], strides: Shape
) -> tuple[Shape, Shape]:
    rank = len(spatial)
    if mode not in AUTO_PAD:
        raise node.invalid(f"auto_pad {mode!r} is none of {', '.join(AUTO_PAD)}")
    if mode == "NOTSET":
        pads = node.integers("pads") or (0,) * (2 * rank)
        if len(pads) != 2 * rank or min(pads) < 0 or max(pads) > MAX_EXTENT:
            raise node.invalid(f"pads {list(pads)} do not fit a window of {rank} axes")
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return (0,) * rank, (0,) * rank
    totals = [
        max((-(-extent // stride) - 1) * stride + span - extent, 0)
        for extent, span, stride in zip(spatial, reach, strides, strict=True)
    ]
    smaller = tuple(total // 2 for total in totals)
    larger = tuple(total - half for total, half in zip(totals, smaller, strict=True))
    return (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)


def _positions(extent: int, begin: int, end: int, span: int, stride: int, ceil_mode: bool) -> int:
    room = extent + begin + end - span
    if not ceil_mode:
        return room // stride + 1 if room >= 0 else 0
    count = -(-room // stride) + 1
    # A window that would start in the padding behind the input is left out.
    return count - 1 if (count - 1) * stride >= extent + begin else count
