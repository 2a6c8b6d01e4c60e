"""MaxPool."""

from __future__ import annotations

from snnconvert.convert.graph import MaxPool
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.window import covered, read_kernel_shape, read_pooling


@operator("MaxPool", since=1)
def import_max_pool(node: OnnxNode, build: GraphBuilder) -> None:
    """Maximum over a sliding window."""
    if node.has_output(1):
        raise node.unsupported(
            "MaxPool with its output of indices",
            why="positions of maxima are no rates",
            hint="export without return_indices",
        )
    size = read_kernel_shape(node)
    ceil_mode = node.flag("ceil_mode", 0)
    x = build.activation(node)
    window = read_pooling(build, node, x, size, ceil_mode=ceil_mode).window
    none = (0,) * len(size)
    if (covered(window, x.shape[1:], none, none) == 0).any():
        raise node.unsupported(
            "MaxPool with a window that lies in the padding alone",
            why="its maximum is minus infinity, which no rate is",
            hint="pad less, or dilate less",
        )
    build.add(node, MaxPool(window), [x], (x.shape[0], *window.output_extent(x.shape[1:])))
