"""ConvTranspose."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.window import AUTO_PAD, MAX_EXTENT, read_positive
from snnconvert.convert.linear import (
    Convolution,
    FloatArray,
    LinearOperator,
    Pads,
    Shape,
    TransposedConvolution,
)


@operator("ConvTranspose", since=1)
def import_conv_transpose(node: OnnxNode, build: GraphBuilder) -> None:
    """Transposed convolution over one to three axes, with groups and any padding."""
    groups = node.integer("group", 1)
    x = build.activation(node, 0)
    weight = build.weight(node, 1)
    if weight.ndim < 3 or len(x.shape) != weight.ndim - 1:
        raise node.invalid(
            f"weights of shape {list(weight.shape)} do not fit an input of shape "
            f"{list(x.shape)} without batch"
        )
    size = weight.shape[2:]
    if min(weight.shape) < 1 or node.integers("kernel_shape") not in (None, size):
        stated = list(node.integers("kernel_shape") or ())
        raise node.invalid(
            f"kernel_shape {stated} does not fit weights of shape {list(weight.shape)}"
        )
    if groups < 1 or weight.shape[0] % groups or x.shape[0] != weight.shape[0]:
        raise node.invalid(
            f"{x.shape[0]} channels in {groups} groups do not fit weights of shape "
            f"{list(weight.shape)}"
        )
    channels = weight.shape[1] * groups
    bias = None
    if build.value(node, 2) is not None:
        bias = build.weight(node, 2)
        if bias.shape != (channels,):
            raise node.invalid(f"bias of shape {list(bias.shape)} does not fit {channels} channels")
        bias = bias.reshape(-1, *[1] * len(size))
    build.affine(node, x, (_spread(node, build, x, weight, groups),), bias)


def _spread(
    node: OnnxNode, build: GraphBuilder, x: Activation, weight: FloatArray, groups: int
) -> LinearOperator:
    size = weight.shape[2:]
    strides = read_positive(node, "strides", len(size))
    dilations = read_positive(node, "dilations", len(size))
    spans = tuple(d * (s - 1) + 1 for s, d in zip(size, dilations, strict=True))
    added = _extents(node, "output_padding", len(size)) or (0,) * len(size)
    if any(a >= max(s, d) for a, s, d in zip(added, strides, dilations, strict=True)):
        raise node.invalid(
            f"output_padding {list(added)} is not below strides {list(strides)} or dilations "
            f"{list(dilations)}"
        )
    pads = _pads(node, x.shape[1:], strides, spans, added)
    spread = TransposedConvolution(x.shape, weight, strides, pads, dilations, groups)
    build.check_size(node, spread.output_shape)
    reached = [(e - 1) * s + span for e, s, span in zip(x.shape[1:], strides, spans, strict=True)]
    build.check_size(node, (spread.output_shape[0], *reached))
    margins = tuple((span - 1 - b, span - 1 - e) for (b, e), span in zip(pads, spans, strict=True))
    if max(strides) > 1 or min(min(margin) for margin in margins) < 0:
        return spread
    return Convolution(x.shape, _turned(weight, groups), strides, margins, dilations, groups)


def _turned(weight: FloatArray, groups: int) -> FloatArray:
    """Return the kernel of the convolution that a transposed one without strides is."""
    inputs, outputs, *size = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *size).swapaxes(1, 2)
    turned = grouped.reshape(groups * outputs, inputs // groups, *size)
    return np.ascontiguousarray(np.flip(turned, tuple(range(2, weight.ndim))))


def _pads(node: OnnxNode, spatial: Shape, strides: Shape, spans: Shape, added: Shape) -> Pads:
    """Return what is cut off on each side, the output padding taken from the end."""
    rank = len(spans)
    wanted = _extents(node, "output_shape", rank)
    mode = node.text("auto_pad", "NOTSET") or "NOTSET"
    if mode not in AUTO_PAD:
        raise node.invalid(f"auto_pad {mode!r} is none of {', '.join(AUTO_PAD)}")
    reached = [
        (extent - 1) * stride + span + extra
        for extent, stride, span, extra in zip(spatial, strides, spans, added, strict=True)
    ]
    if wanted is None and not mode.startswith("SAME"):
        given = _extents(node, "pads", 2 * rank) if mode == "NOTSET" else None
        begins_ends = given or (0,) * (2 * rank)
        pairs = zip(begins_ends[:rank], begins_ends[rank:], added, strict=True)
        return tuple((begin, end - extra) for begin, end, extra in pairs)
    if wanted is None:
        wanted = tuple(e * s for e, s in zip(spatial, strides, strict=True))
        if any(have < want for have, want in zip(reached, wanted, strict=True)):
            raise node.unsupported(
                f"auto_pad {mode} with strides {list(strides)} beyond the window {list(spans)}",
                why="runtimes disagree on the shape of its output",
                hint="write the padding out as pads and output_padding",
            )
    totals = [max(have - want, 0) for have, want in zip(reached, wanted, strict=True)]
    # Where more is wanted than the kernels reach, zeros follow at the end.
    missing = [max(want - have, 0) for have, want in zip(reached, wanted, strict=True)]
    larger = [total - total // 2 for total in totals]
    begins = [t // 2 for t in totals] if mode == "SAME_UPPER" else larger
    return tuple(
        (begin, total - begin - extra - lack)
        for begin, total, extra, lack in zip(begins, totals, added, missing, strict=True)
    )


def _extents(node: OnnxNode, name: str, count: int) -> Shape | None:
    numbers = node.integers(name)
    if not numbers:
        return None
    if len(numbers) != count or min(numbers) < 0 or max(numbers) > MAX_EXTENT:
        raise node.invalid(f"{name} {list(numbers)} do not fit a window of {count} numbers")
    return numbers
