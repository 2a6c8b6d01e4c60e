"""Broadcasting and reshaping of activations, with the batch kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.linear import Chain, IntArray, Reshape, Select, Shape


def without_batch(
    build: GraphBuilder, node: OnnxNode, array: npt.NDArray[Any], rank: int
) -> npt.NDArray[Any]:
    """Return a constant that broadcasts against a value of `rank` axes, without the batch axis."""
    if array.ndim > rank:
        raise node.batch_axis(
            f"a constant of {array.ndim} axes meets a value of {rank}: the batch is axis 0 no more"
        )
    if array.ndim < rank:
        return array
    if array.shape[0] not in (1, build.batch) or (array != array[:1]).any():
        raise node.batch_axis(
            f"a constant of shape {build.written(array.shape)} differs along the batch"
        )
    return np.asarray(array[0])


def broadcast_shape(node: OnnxNode, *shapes: Sequence[int]) -> Shape:
    """Return the shape that all broadcast to."""
    try:
        return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
    except ValueError:
        listed = " and ".join(str(list(shape)) for shape in shapes)
        raise node.invalid(f"shapes {listed} (without batch) do not broadcast") from None


def stretch(build: GraphBuilder, node: OnnxNode, have: Shape, want: Shape) -> Chain:
    """Return the operators that repeat a value along its axes of extent 1 (batch not counted)."""
    build.check_size(node, want)
    if len(want) != len(have):
        raise node.batch_axis(
            f"broadcasting {list(have)} to {list(want)} (without batch) adds axes before the batch"
        )
    if have == want:
        return ()
    indices: list[IntArray | None] = [
        None if old == new else np.zeros(new, np.int64) for old, new in zip(have, want, strict=True)
    ]
    return (Select(have, tuple(indices)),)


def reshape_to(build: GraphBuilder, node: OnnxNode, x: Activation, target: Sequence[int]) -> None:
    """Give the node's output the shape `target` (batch included), order of values kept."""
    sample, size = math.prod(x.shape), math.prod(target)
    if size == sample and size != sample * build.batch:
        raise node.batch_axis(
            f"{node.op_type} to {build.written(target)} has room for one sample only"
        )
    if size != sample * build.batch or min(target, default=1) < 0:
        raise node.invalid(
            f"cannot reshape {build.written([build.batch, *x.shape])} to {build.written(target)}"
        )
    if not target or target[0] != build.batch:
        raise node.batch_axis(f"{node.op_type} merges the batch with other axes or moves it")
    shape = tuple(target[1:])
    if shape == x.shape:
        build.alias(node, x)
    else:
        build.affine(node, x, (Reshape(x.shape, shape),))


def select(
    build: GraphBuilder, node: OnnxNode, x: Activation, indices: Sequence[IntArray | None]
) -> Select:
    """Return the Select operator, its size checked before anything is allocated."""
    shape = [len(i) if i is not None else s for i, s in zip(indices, x.shape, strict=True)]
    build.check_size(node, shape)
    return Select(x.shape, tuple(indices))
