"""DepthToSpace, SpaceToDepth."""

from __future__ import annotations

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Reshape, Transpose


@operator("DepthToSpace", since=1)
def import_depth_to_space(node: OnnxNode, build: GraphBuilder) -> None:
    """Channels spread over blocks of space."""
    mode = node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise node.invalid(f"mode {mode!r} is none of DCR, CRD")
    x, size = _operand(node, build)
    channels, rows, columns = x.shape
    if channels % size**2:
        raise node.invalid(f"{channels} channels do not fill blocks of {size} by {size}")
    depth = channels // size**2
    # Which of the split axes is the new depth decides between the modes.
    split = (size, size, depth, rows, columns) if mode == "DCR" else (
        depth, size, size, rows, columns)  # fmt: skip
    order = (2, 3, 0, 4, 1) if mode == "DCR" else (0, 3, 1, 4, 2)
    _rearrange(node, build, x, split, order, (depth, rows * size, columns * size))


@operator("SpaceToDepth", since=1)
def import_space_to_depth(node: OnnxNode, build: GraphBuilder) -> None:
    """Blocks of space stacked as channels."""
    x, size = _operand(node, build)
    channels, rows, columns = x.shape
    if rows % size or columns % size:
        raise node.invalid(f"{rows} by {columns} positions are no blocks of {size} by {size}")
    split = (channels, rows // size, size, columns // size, size)
    final = (channels * size**2, rows // size, columns // size)
    _rearrange(node, build, x, split, (2, 4, 0, 1, 3), final)


def _operand(node: OnnxNode, build: GraphBuilder) -> tuple[Activation, int]:
    size = node.integer("blocksize", 0)
    x = build.activation(node)
    if size < 1 or len(x.shape) != 3:
        raise node.invalid(
            f"blocks of {size} do not fit an input of shape {list(x.shape)} without batch"
        )
    return x, size


def _rearrange(
    node: OnnxNode,
    build: GraphBuilder,
    x: Activation,
    split: tuple[int, ...],
    order: tuple[int, ...],
    final: tuple[int, ...],
) -> None:
    moved = Transpose(split, order)
    joined = Reshape(moved.output_shape, final)
    build.affine(node, x, (Reshape(x.shape, split), moved, joined))
