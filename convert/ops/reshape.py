"""Reshape, Flatten, Squeeze, Unsqueeze."""

from __future__ import annotations

import math

from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import reshape_to


@operator("Reshape", since=5)
def import_reshape(node: OnnxNode, build: GraphBuilder) -> None:
    """Another shape, same order of values; the batch stays in front."""
    keeps_zero = node.flag("allowzero", 0)
    x = build.activation(node)
    full = (build.batch, *x.shape)
    target = list(build.integers(node, 1))
    if not keeps_zero and any(e == 0 and i >= len(full) for i, e in enumerate(target)):
        raise node.invalid(f"shape {target} copies an axis that its input does not have")
    shape = [full[i] if e == 0 and not keeps_zero else e for i, e in enumerate(target)]
    if shape.count(-1) > 1 or min(shape, default=1) < -1:
        raise node.invalid(f"shape {target} is no shape")
    if -1 in shape:
        rest = -math.prod(shape)
        if rest < 1 or math.prod(full) % rest:
            raise node.invalid(f"cannot reshape {build.written(full)} to {build.written(target)}")
        shape[shape.index(-1)] = math.prod(full) // rest
    reshape_to(build, node, x, shape)


@operator("Flatten", since=1)
def import_flatten(node: OnnxNode, build: GraphBuilder) -> None:
    """Two axes, the batch and the rest."""
    axis = node.integer("axis", 1)
    x = build.activation(node)
    full = (build.batch, *x.shape)
    if not -x.rank <= axis <= x.rank:
        raise node.invalid(f"axis {axis} is out of range for a value of {x.rank} axes")
    axis += x.rank if axis < 0 else 0
    reshape_to(build, node, x, (math.prod(full[:axis]), math.prod(full[axis:])))


@operator("Squeeze", since=1)
def import_squeeze(node: OnnxNode, build: GraphBuilder) -> None:
    """Axes of extent 1 taken away."""
    x = build.activation(node)
    full = (build.batch, *x.shape)
    given = build.integer_list(node, "axes", 1)
    if given is None:
        axes = {axis for axis, extent in enumerate(full) if extent == 1}
    else:
        axes = {node.axis(axis, x.rank) for axis in given}
    if 0 in axes:
        raise node.batch_axis("Squeeze removes the batch axis")
    if any(full[axis] != 1 for axis in axes):
        raise node.invalid(f"axes {sorted(axes)} of shape {list(full)} are not all of extent 1")
    reshape_to(build, node, x, [e for axis, e in enumerate(full) if axis not in axes])


@operator("Unsqueeze", since=1)
def import_unsqueeze(node: OnnxNode, build: GraphBuilder) -> None:
    """Axes of extent 1 put in."""
    x = build.activation(node)
    given = build.integer_list(node, "axes", 1)
    if given is None:
        raise node.invalid("Unsqueeze without axes")
    rank = x.rank + len(given)
    axes = {node.axis(axis, rank) for axis in given}
    if len(axes) < len(given):
        raise node.invalid(f"an axis is named twice in {list(given)}")
    if 0 in axes:
        raise node.batch_axis("Unsqueeze puts an axis before the batch")
    rest = iter((build.batch, *x.shape))
    reshape_to(build, node, x, [1 if axis in axes else next(rest) for axis in range(rank)])
