"""Copies and weighted sums of values at constant positions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from snnconvert.backends.cpu.layout import shape_axes, to_stored
from snnconvert.convert.linear import FloatArray, IntArray, LinearOperator, Scale, Select, SumPool

Step: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def on_device(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor on torch's default device."""
    return torch.from_numpy(array).to(torch.get_default_device())


def gather(x: torch.Tensor, axis: int, source: torch.Tensor) -> torch.Tensor:
    """Return the values at positions along an axis.

    torch copies whole rows where the axes are in the order of memory, single numbers elsewhere:
    twenty times slower on channels-last values.
    """
    order = sorted(range(x.ndim), key=x.stride().__getitem__, reverse=True)
    picked = x.permute(order).index_select(order.index(axis), source)
    return picked.permute([order.index(a) for a in range(x.ndim)])


def gather_step(index: IntArray, axis: int) -> Step:
    """Return the step that copies positions along an axis (-1: zero)."""
    source = on_device(np.maximum(index, 0).astype(np.int64))
    missing = on_device(np.flatnonzero(index < 0))

    def gathered(x: torch.Tensor) -> torch.Tensor:
        x = gather(x, axis, source)
        return x.index_fill_(axis, missing, 0.0) if missing.numel() else x

    return gathered


def full_factor(factor: FloatArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
    """Return one factor a value, laid out as values are stored: torch then runs along both."""
    stored = to_stored(np.broadcast_to(factor, shape), shape)
    return on_device(stored.astype(dtype)).permute(shape_axes(len(shape)))


def weighted_sums(
    first: LinearOperator, second: LinearOperator, third: LinearOperator, dtype: np.dtype[Any]
) -> Step | None:
    """Return one step for values laid side by side, scaled and summed; None for anything else.

    Interpolation comes as a Select that repeats its taps, a Scale and a SumPool whose windows do
    not overlap. One tap after the other, nothing larger than the result is ever held.
    """
    if not (isinstance(first, Select) and isinstance(second, Scale) and isinstance(third, SumPool)):
        return None
    window = third.window
    rank = len(window.size)
    plain = window.strides == window.size and window.dilations == (1,) * rank
    if not plain or window.pads != ((0, 0),) * rank or third.multiply_adds == 0:
        return None
    counts = (1, *window.size)
    kept = tuple(slice(p * c) for p, c in zip(third.output_shape, counts, strict=True))
    factor = np.broadcast_to(second.factor, first.output_shape)[kept]
    taps = []
    for tap in product(*map(range, counts)):
        steps = [
            gather_step(index[: p * c][t::c], axis)
            for axis, (index, p, c, t) in enumerate(
                zip(first.indices, third.output_shape, counts, tap, strict=True), start=1
            )
            if index is not None
        ]
        part = factor[tuple(slice(t, None, c) for t, c in zip(tap, counts, strict=True))]
        if part.any():
            taps.append((steps, full_factor(part, third.output_shape, dtype)))
    return _sum_of(taps)


def _sum_of(taps: list[tuple[list[Step], torch.Tensor]]) -> Step | None:
    if not taps:
        return None

    def step(x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for steps, factor in taps:
            part = x
            for gathered in steps:
                part = gathered(part)
            total = part * factor if total is None else total.addcmul_(part, factor)
        assert total is not None
        return total

    return step
