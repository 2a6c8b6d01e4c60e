"""Resize, Upsample."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.resampling import (
    COORDINATES,
    ROUNDINGS,
    Axis,
    Coordinates,
    Taps,
    antialiased,
    coordinates,
    cubic,
    linear,
    nearest,
)
from snnconvert.convert.importer.shapes import select
from snnconvert.convert.linear import (
    FloatArray,
    LinearOperator,
    Reshape,
    Scale,
    Shape,
    SumPool,
    Window,
)

MODES = ("nearest", "linear", "cubic")
POLICIES = ("stretch", "not_larger", "not_smaller")

Rule = Callable[[Axis, Coordinates], Taps]


@dataclass(frozen=True)
class _Settings:
    """How coordinates are found, and what becomes of those outside."""

    coordinates: str
    crops: bool = False
    extrapolation: float = 0.0


@operator("Upsample", since=7)
def import_upsample(node: OnnxNode, build: GraphBuilder) -> None:
    """Nearest copies or linear interpolation between values, by scales."""
    _import_by_scales(node, build)


@operator("Resize", since=10)
def import_resize_10(node: OnnxNode, build: GraphBuilder) -> None:
    """Nearest copies or linear interpolation between values, by scales."""
    _import_by_scales(node, build)


@operator("Resize", since=11)
def import_resize(node: OnnxNode, build: GraphBuilder) -> None:
    """Nearest copies, linear or cubic interpolation, with every rule for coordinates."""
    mode = _choice(node, "mode", "nearest", MODES)
    transformation = _choice(node, "coordinate_transformation_mode", "half_pixel", COORDINATES)
    rounding = _choice(node, "nearest_mode", "round_prefer_floor", ROUNDINGS)
    excludes = node.flag("exclude_outside", 0)
    softens = node.flag("antialias", 0)
    coefficient = node.number("cubic_coeff_a", -0.75)
    crops = transformation == "tf_crop_and_resize"
    x = build.activation(node)
    axes = _axes(node, build, x, crops)

    def rule(axis: Axis, where: Coordinates) -> Taps:
        if mode == "nearest":
            return nearest(axis, where, rounding)
        if softens and axis.scale < 1:
            return antialiased(axis, where, mode, coefficient, excludes)
        if mode == "linear":
            return linear(axis, where)
        return cubic(axis, where, coefficient, excludes)

    outside = node.number("extrapolation_value", 0.0)
    _resize(node, build, x, axes, rule, _Settings(transformation, crops, outside))


def _import_by_scales(node: OnnxNode, build: GraphBuilder) -> None:
    """Import the meanings before opset 11: a position is divided by its scale."""
    mode = _choice(node, "mode", "nearest", MODES[:2])
    x = build.activation(node)
    scales = _scales_attribute(node) if "scales" in node.attributes else _scales(node, build, 1)
    axes = _by_scales(node, x, range(x.rank), scales or ())

    def rule(axis: Axis, where: Coordinates) -> Taps:
        if mode == "linear":
            return linear(axis, where)
        return nearest(axis, where, "ceil" if axis.scale < 1 else "floor")

    _resize(node, build, x, axes, rule, _Settings("asymmetric"))


def _choice(node: OnnxNode, name: str, default: str, known: Collection[str]) -> str:
    chosen = node.text(name, default)
    if chosen not in known:
        raise node.invalid(f"{name} {chosen!r} is none of {', '.join(known)}")
    return chosen


def _axes(node: OnnxNode, build: GraphBuilder, x: Activation, crops: bool) -> list[Axis | None]:
    given = node.integers("axes")
    positions = [node.axis(a, x.rank) for a in (range(x.rank) if given is None else given)]
    if len(set(positions)) < len(positions):
        raise node.invalid(f"an axis is named twice in {list(given or ())}")
    scales = _scales(node, build, 2)
    sizes = None if build.value(node, 3) is None else build.integers(node, 3)
    if not scales and not sizes:
        raise node.invalid("Resize without scales or sizes")
    roi = _roi(node, build, len(positions)) if crops else None
    if sizes:
        return _by_sizes(node, build, x, positions, sizes, roi)
    return _by_scales(node, x, positions, scales or (), roi)


def _roi(node: OnnxNode, build: GraphBuilder, count: int) -> list[tuple[float, float]]:
    if build.value(node, 1) is None:
        raise node.invalid("tf_crop_and_resize without a region of interest")
    region = build.weight(node, 1, why="a spiking network's wiring is fixed").reshape(-1).tolist()
    if len(region) != 2 * count:
        raise node.invalid(f"a region of {len(region)} numbers does not fit {count} axes")
    return list(zip(region[:count], region[count:], strict=True))


def _scales_attribute(node: OnnxNode) -> tuple[float, ...]:
    return tuple(node.numbers("scales") or ())


def _scales(node: OnnxNode, build: GraphBuilder, index: int) -> tuple[float, ...] | None:
    if build.value(node, index) is None:
        return None
    return tuple(build.weight(node, index, why="shapes must be known").reshape(-1).tolist())


def _by_scales(
    node: OnnxNode,
    x: Activation,
    positions: Sequence[int],
    scales: Sequence[float],
    roi: list[tuple[float, float]] | None = None,
) -> list[Axis | None]:
    if len(scales) != len(positions) or not all(0 < scale < 2**31 for scale in scales):
        raise node.invalid(f"scales {list(scales)} do not fit {len(positions)} axes")
    axes: list[Axis | None] = [None] * len(x.shape)
    for number, (position, scale) in enumerate(zip(positions, scales, strict=True)):
        region = roi[number] if roi else (0.0, 1.0)
        if position == 0:
            if scale != 1 or region != (0.0, 1.0):
                raise node.batch_axis(f"{node.op_type} scales the batch")
            continue
        extent = x.shape[position - 1]
        resized = math.floor(float(np.float32(extent) * np.float32(scale)))
        axes[position - 1] = Axis(extent, resized, scale, region)
    return axes


def _by_sizes(
    node: OnnxNode,
    build: GraphBuilder,
    x: Activation,
    positions: Sequence[int],
    sizes: Sequence[int],
    roi: list[tuple[float, float]] | None,
) -> list[Axis | None]:
    policy = _choice(node, "keep_aspect_ratio_policy", "stretch", POLICIES)
    if len(sizes) != len(positions) or min(sizes) < 1 or max(sizes) >= 2**31:
        raise node.invalid(f"sizes {list(sizes)} do not fit {len(positions)} axes")
    full = (build.batch, *x.shape)
    ratios = [size / full[position] for size, position in zip(sizes, positions, strict=True)]
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(positions)
        sizes = [math.floor(ratio * full[position] + 0.5) for position in positions]
    axes: list[Axis | None] = [None] * len(x.shape)
    for number, (position, size) in enumerate(zip(positions, sizes, strict=True)):
        region = roi[number] if roi else (0.0, 1.0)
        if position == 0:
            build.reads_batch = True
            if size != build.batch or region != (0.0, 1.0):
                raise node.batch_axis("Resize changes the size of the batch")
            continue
        axes[position - 1] = Axis(full[position], size, ratios[number], region)
    return axes


def _resize(
    node: OnnxNode,
    build: GraphBuilder,
    x: Activation,
    axes: Sequence[Axis | None],
    rule: Rule,
    settings: _Settings,
) -> None:
    build.check_size(
        node, [e if a is None else a.resized for e, a in zip(x.shape, axes, strict=True)]
    )
    taps: list[Taps | None] = []
    inside = np.ones((1,) * len(axes), bool)
    for position, axis in enumerate(axes):
        if axis is None or (axis.scale == 1 and axis.roi == (0.0, 1.0)):
            taps.append(None)
            continue
        where = coordinates(axis, settings.coordinates)
        found = rule(axis, where)
        if settings.crops and axis.scale == 1:
            raise node.unsupported(
                f"tf_crop_and_resize of axis {position + 1} with a scale of 1",
                why="runtimes disagree on whether it is cropped",
                hint="crop with Slice, or give another size",
            )
        if settings.crops:
            outside = (where < 0) | (where > axis.extent - 1)
            found = found.without(outside)
            inside = inside & _along(~outside, len(axes), position)
        taps.append(found)
    bias = np.where(inside, 0.0, settings.extrapolation) if not inside.all() else None
    if all(tap is None for tap in taps):
        build.alias(node, x)
        return
    bias = bias if bias is not None and bias.any() else None
    build.affine(node, x, weighted_sums(node, build, x, taps), bias)


def weighted_sums(
    node: OnnxNode, build: GraphBuilder, x: Activation, taps: Sequence[Taps | None]
) -> tuple[LinearOperator, ...]:
    """Return the chain that sums a few weighted values for each new one, axis by axis.

    All taps are laid side by side, weighed, and summed as a pooling sums: sparse on every target,
    and one operator with weights however many axes there are.
    """
    picked = select(build, node, x, [None if t is None else t.index.reshape(-1) for t in taps])
    wide = picked.output_shape
    counts = tuple(1 if t is None else t.index.shape[1] for t in taps)
    factor: FloatArray = np.ones(())
    for axis, tap in enumerate(taps):
        if tap is not None:
            factor = factor * _along(tap.weight.reshape(-1), len(wide), axis)
    if max(counts) == 1 and (factor[factor != 0] == 1).all():
        return (picked,)
    build.budget.charge(factor.nbytes, node.place)
    return (picked, Scale(wide, factor), *_sums(wide, counts))


def _sums(wide: Shape, counts: Shape) -> tuple[LinearOperator, ...]:
    if max(counts) == 1:
        return ()
    leading = counts[0] > 1  # a pooling leaves the first axis alone
    shape, size = ((1, *wide), counts) if leading else (wide, counts[1:])
    none = ((0, 0),) * len(size)
    pool = SumPool(shape, Window(size, size, none, (1,) * len(size)))
    if not leading:
        return (pool,)
    final = pool.output_shape[1:]
    return (Reshape(wide, shape), pool, Reshape(pool.output_shape, final))


def _along(vector: np.ndarray, rank: int, axis: int) -> np.ndarray:
    return vector.reshape([-1 if a == axis else 1 for a in range(rank)])
