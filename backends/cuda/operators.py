"""Dense operators on a device: all the steps and samples of a chunk at once.

Convolutions are sums over the taps of the kernel, one matrix product each. The libraries' own
convolutions may use Winograd or Fourier transforms, whose sums are others than those of products.
Poolings go by tap as well: any rank, dilation and number type.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as tnn

from snnconvert.backends.cpu.dense import BUILDERS, Builder, constant, steps_of
from snnconvert.backends.cpu.gather import Step, on_device
from snnconvert.backends.cpu.layout import shape_axes, stored_axes, stored_shape
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    LinearOperator,
    Matrix,
    Pads,
    Shape,
    SumPool,
    TransposedConvolution,
    Window,
    chain_output_shape,
)


class DeviceKernel:
    """A connection as dense operators on a device.

    Parameters
    ----------
    chain : tuple of LinearOperator
    source_shape : tuple of int
    dtype : numpy dtype
        A number type in which the sums are exact.
    device : torch.device
    """

    def __init__(
        self, chain: Chain, source_shape: Shape, dtype: np.dtype[Any], device: torch.device
    ) -> None:
        self.dtype = torch_dtype(dtype)
        self._source_shape = source_shape
        self._target_shape = chain_output_shape(chain, source_shape)
        with device:
            self._steps = list(steps_of(chain, np.dtype(dtype), DEVICE_BUILDERS))

    def currents(self, sent: torch.Tensor) -> torch.Tensor:
        """Map (steps, n, *stored source shape) to (steps, n, *stored target shape)."""
        x = sent.to(self.dtype).reshape(-1, *sent.shape[2:])
        x = x.permute(0, *(axis + 1 for axis in shape_axes(len(self._source_shape))))
        for step in self._steps:
            x = step(x)
        x = x.permute(0, *(axis + 1 for axis in stored_axes(len(self._target_shape))))
        return x.reshape(*sent.shape[:2], *stored_shape(self._target_shape))


def torch_dtype(dtype: npt.DTypeLike) -> torch.dtype:
    """Return torch's number type for NumPy's."""
    found = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
    return found[np.dtype(dtype).name]


def _convolution(operator: Convolution, dtype: np.dtype[Any]) -> Step:
    outputs, inputs = operator.weight.shape[:2]
    kernel = constant(_by_tap(operator.weight, operator.groups), dtype)
    positions = operator.output_shape[1:]
    taps = list(np.ndindex(*operator.weight.shape[2:]))
    groups = operator.groups

    def step(x: torch.Tensor) -> torch.Tensor:
        padded = _channels_last(tnn.pad(x, _padding(operator.pads)))
        rows = len(x) * math.prod(positions)
        total = x.new_zeros((groups, rows, outputs // groups))
        for number, tap in enumerate(taps):
            part = padded[(slice(None), *_reached(operator, tap, positions))]
            by_group = part.reshape(rows, groups, inputs).transpose(0, 1)
            total.baddbmm_(by_group, kernel[number])
        return _channels_first(total.transpose(0, 1).reshape(len(x), *positions, outputs))

    return step


def _transposed(operator: TransposedConvolution, dtype: np.dtype[Any]) -> Step:
    inputs, outputs = operator.weight.shape[:2]
    groups = operator.groups
    grouped = operator.weight.reshape(groups, inputs // groups, outputs, -1)
    kernel = constant(np.moveaxis(grouped, -1, 0), dtype)  # (taps, groups, in, out)
    spatial = operator.input_shape[1:]
    taps = list(np.ndindex(*operator.weight.shape[2:]))
    spread = tuple(
        (extent - 1) * stride + dilation * (size - 1) + 1
        for extent, stride, dilation, size in zip(
            spatial, operator.strides, operator.dilations, operator.weight.shape[2:], strict=True
        )
    )
    cut = [-side for side in _padding(operator.pads)]

    def step(x: torch.Tensor) -> torch.Tensor:
        rows = len(x) * math.prod(spatial)
        by_group = _channels_last(x).reshape(rows, groups, inputs // groups).transpose(0, 1)
        total = x.new_zeros((len(x), *spread, groups * outputs))
        for number, tap in enumerate(taps):
            part = torch.bmm(by_group, kernel[number]).transpose(0, 1)
            reached = _reached(operator, tap, spatial)
            total[(slice(None), *reached)] += part.reshape(len(x), *spatial, -1)
        return tnn.pad(_channels_first(total), cut)

    return step


def _sum_pool(operator: SumPool, _: np.dtype[Any]) -> Step:
    window, positions = operator.window, operator.output_shape[1:]
    taps = list(np.ndindex(*window.size))

    def step(x: torch.Tensor) -> torch.Tensor:
        padded = tnn.pad(x, _padding(window.pads))
        total = x.new_zeros((*x.shape[:2], *positions))
        for tap in taps:
            total += padded[(slice(None), slice(None), *_reached(window, tap, positions))]
        return total

    return step


def _matrix(operator: Matrix, dtype: np.dtype[Any]) -> Step:
    entries = operator.matrix.tocoo()
    places = on_device(np.stack([entries.row, entries.col]).astype(np.int64))
    values = on_device(entries.data.astype(dtype))
    matrix = torch.sparse_coo_tensor(
        places, values, entries.shape, check_invariants=True
    ).coalesce()
    shape = operator.shape
    return lambda x: torch.sparse.mm(matrix, x.reshape(len(x), -1).T).T.reshape(-1, *shape)


def _by_tap(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """Return a kernel (out, in, *size) as (taps, groups, in, out)."""
    outputs, inputs = weight.shape[:2]
    flat = weight.reshape(groups, outputs // groups, inputs, -1)
    return np.ascontiguousarray(flat.transpose(3, 0, 2, 1))


def _reached(
    operator: Convolution | TransposedConvolution | Window, tap: tuple[int, ...], positions: Shape
) -> tuple[slice, ...]:
    """Return what a tap reads, or reaches, along the spatial axes from all positions."""
    return tuple(
        slice(t * dilation, t * dilation + (count - 1) * stride + 1, stride)
        for t, dilation, stride, count in zip(
            tap, operator.dilations, operator.strides, positions, strict=True
        )
    )


def _padding(pads: Pads) -> list[int]:
    """Return pads as torch's pad wants them: last axis first."""
    return list(itertools.chain.from_iterable(reversed(pads)))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, -1)


def _channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1)


DEVICE_BUILDERS: dict[type[LinearOperator], Builder] = {
    **BUILDERS,
    Convolution: _convolution,
    Matrix: _matrix,
    SumPool: _sum_pool,
    TransposedConvolution: _transposed,
}
