"""Values picked at positions that constants give: any wiring within each sample."""

from __future__ import annotations

import math

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.linear import Chain, IntArray, LinearOperator, Reshape, Select, Shape


def positions_of(build: GraphBuilder, node: OnnxNode, shape: Shape) -> IntArray:
    """Return the numbers of all values of a batch of samples: (batch, *shape)."""
    size = build.batch * math.prod(shape)
    build.budget.charge(8 * size, node.place)
    return np.arange(size).reshape(build.batch, *shape)


def routed(build: GraphBuilder, node: OnnxNode, x: Activation, sources: IntArray) -> Chain:
    """Return the operators that copy values of `x` from given positions.

    Parameters
    ----------
    build : GraphBuilder
    node : OnnxNode
    x : Activation
    sources : (batch, *shape) int array
        As :func:`positions_of` numbers them; -1 for zero. Each sample must read itself alone, and
        all alike.
    """
    size = math.prod(x.shape)
    if sources.ndim < 1 or len(sources) != build.batch:
        raise node.batch_axis(f"{node.op_type} takes values of some samples only")
    own = sources[0]
    build.check_size(node, own.shape)
    offsets = (np.arange(build.batch) * size).reshape(-1, *[1] * own.ndim)
    if own.max(initial=0) >= size or (sources != np.where(own < 0, -1, own + offsets)).any():
        raise node.batch_axis(f"{node.op_type} moves values between samples, or differs among them")
    if own.shape == x.shape and np.array_equal(own.reshape(-1), np.arange(size)):
        return ()
    flat: list[LinearOperator] = [Select((size,), (own.reshape(-1),))]
    if len(x.shape) != 1:
        flat.insert(0, Reshape(x.shape, (size,)))
    if own.ndim != 1:
        flat.append(Reshape((own.size,), own.shape))
    return tuple(flat)


def checked_indices(
    build: GraphBuilder, node: OnnxNode, index: int, extents: tuple[int, ...] | int
) -> IntArray:
    """Return a constant input of positions, counted from the front.

    Parameters
    ----------
    build : GraphBuilder
    node : OnnxNode
    index : int
        Which input.
    extents : int or tuple of int
        Values of the axis that all positions are on, or of the axes for the last axis's entries.
    """
    positions = build.constant(node, index, why="the wiring of a spiking network is fixed")
    if positions.dtype.kind not in "iu":
        raise node.invalid(f"positions of {node.op_type} are no integers")
    limits = np.asarray(extents)
    if (positions < -limits).any() or (positions >= limits).any():
        raise node.invalid(f"a position of {node.op_type} is outside of its axis")
    return np.asarray(np.where(positions < 0, positions + limits, positions), np.int64)
