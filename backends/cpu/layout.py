"""How values lie in memory: channels last where there are spatial axes.

Convolutions over channels-last arrays need no reordering, and the channels of one position lie
side by side. A node of shape (C, H, W) is stored as (H, W, C), one of shape (C, D, H, W) as
(D, H, W, C); every other shape is stored as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import Shape


def stored_axes(rank: int) -> Shape:
    """Return, for each stored axis, the axis of the node's shape that it is."""
    return (*range(1, rank), 0) if rank in (3, 4) else tuple(range(rank))


def shape_axes(rank: int) -> Shape:
    """Return, for each axis of the node's shape, the stored axis that it is."""
    return (rank - 1, *range(rank - 1)) if rank in (3, 4) else tuple(range(rank))


def stored_shape(shape: Shape) -> Shape:
    """Return the shape in memory of a node of that shape."""
    return tuple(shape[axis] for axis in stored_axes(len(shape)))


def to_stored(x: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return values (..., *shape) in memory order, contiguous."""
    lead = x.ndim - len(shape)
    axes = (*range(lead), *(lead + axis for axis in stored_axes(len(shape))))
    return np.ascontiguousarray(x.transpose(axes))


def from_stored(x: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return stored values with the axes of the node's shape (a view)."""
    lead = x.ndim - len(shape)
    return x.transpose((*range(lead), *(lead + axis for axis in shape_axes(len(shape)))))


def per_neuron(parameter: npt.NDArray[Any], shape: Shape) -> npt.NDArray[np.float64]:
    """Return a parameter that broadcasts against `shape` as one float64 a neuron, stored order."""
    full = np.broadcast_to(np.asarray(parameter, np.float64), shape)
    return np.ascontiguousarray(to_stored(full, shape).reshape(-1))
