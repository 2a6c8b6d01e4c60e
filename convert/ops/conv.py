"""Conv."""

from __future__ import annotations

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.window import read_geometry
from snnconvert.convert.linear import Convolution


@operator("Conv", since=1)
def import_conv(node: OnnxNode, build: GraphBuilder) -> None:
    """Cross-correlation over one to three axes, with groups, strides, dilations and any padding."""
    groups = node.integer("group", 1)
    x = build.activation(node, 0)
    weight = build.weight(node, 1)
    if weight.ndim < 3 or len(x.shape) != weight.ndim - 1:
        raise node.invalid(
            f"weights of shape {list(weight.shape)} do not fit an input of shape "
            f"{list(x.shape)} without batch"
        )
    channels, size = weight.shape[0], weight.shape[2:]
    if min(weight.shape) < 1 or node.integers("kernel_shape") not in (None, size):
        stated = list(node.integers("kernel_shape") or ())
        raise node.invalid(
            f"kernel_shape {stated} does not fit weights of shape {list(weight.shape)}"
        )
    if groups < 1 or channels % groups or x.shape[0] != weight.shape[1] * groups:
        raise node.invalid(
            f"{x.shape[0]} channels in {groups} groups do not fit weights of shape "
            f"{list(weight.shape)}"
        )
    window = read_geometry(build, node, x, size).window
    bias = None
    if build.value(node, 2) is not None:
        bias = build.weight(node, 2)
        if bias.shape != (channels,):
            raise node.invalid(f"bias of shape {list(bias.shape)} does not fit {channels} channels")
        bias = bias.reshape(-1, *[1] * len(size))
    convolution = Convolution(
        x.shape, weight, window.strides, window.pads, window.dilations, groups
    )
    build.affine(node, x, (convolution,), bias)
