"""Linear operators: the weights and the wiring of a network.

Every operator maps ``(n, *input_shape)`` to ``(n, *output_shape)``; the leading axis is the batch,
or timesteps times batch. ``apply`` is dense NumPy in the input's dtype; ``to_sparse`` gives the
same map as a CSR matrix over flattened shapes (C order), so a backend without a native form of
an operator can still run it. Zero-padding, slicing, concatenation and nearest-neighbour resizing
are all one operator, :class:`Select`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
Shape: TypeAlias = tuple[int, ...]
Pads: TypeAlias = tuple[tuple[int, int], ...]

PLACES_AT_A_TIME = 512
"""Positions of a convolution's output that are computed together: their taps stay in the cache."""


@dataclass(frozen=True, eq=False)
class LinearOperator(ABC):
    """A linear map between two static shapes (batch excluded).

    Attributes
    ----------
    input_shape : tuple of int
        Shape of one sample before the map.
    """

    input_shape: Shape

    @property
    @abstractmethod
    def output_shape(self) -> Shape:
        """Shape of one sample after the map."""

    @abstractmethod
    def apply(self, x: FloatArray) -> FloatArray:
        """Map ``(n, *input_shape)`` to ``(n, *output_shape)`` in the dtype of `x`."""

    @abstractmethod
    def to_sparse(self) -> sp.csr_array:
        """Return the map as a CSR matrix (output size, input size), float64."""

    @property
    def multiply_adds(self) -> int:
        """Weights times positions: multiply-adds of one dense application (0 for wiring)."""
        return 0


Chain: TypeAlias = tuple[LinearOperator, ...]


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _routing_matrix(source: IntArray, input_size: int) -> sp.csr_array:
    """Return the 0/1 matrix that copies ``source[i]`` to ``i`` (-1: zero)."""
    flat = source.reshape(-1)
    rows = np.flatnonzero(flat >= 0)
    ones = np.ones(rows.size)
    return sp.csr_array((ones, (rows, flat[rows])), shape=(flat.size, input_size))


@dataclass(frozen=True, eq=False)
class Window:
    """Geometry of a sliding window over the spatial axes.

    Attributes
    ----------
    size : Shape
        Kernel extent along each spatial axis.
    strides, dilations : Shape
        One entry a spatial axis.
    pads : tuple of (begin, end)
        Zeros added on each side of each spatial axis (may be negative on the end side: cropped).
    """

    size: Shape
    strides: Shape
    pads: Pads
    dilations: Shape

    def output_extent(self, spatial: Sequence[int]) -> Shape:
        """Return the number of window positions along each spatial axis."""
        return tuple(
            (extent + begin + end - dilation * (size - 1) - 1) // stride + 1
            for extent, size, stride, (begin, end), dilation in zip(
                spatial, self.size, self.strides, self.pads, self.dilations, strict=True
            )
        )

    def view(self, x: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
        """Return every window of `x` (n, c, *spatial) as (n, c, *positions, *size), padded."""
        rank = len(self.size)
        padded = _padded(x, self.pads, fill)
        crops = tuple(slice(max(-b, 0), s - max(-e, 0) if e < 0 else None)
                      for (b, e), s in zip(self.pads, padded.shape[2:], strict=True))  # fmt: skip
        padded = padded[(slice(None), slice(None), *crops)]
        extents = [d * (s - 1) + 1 for s, d in zip(self.size, self.dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(
            padded, extents, axis=tuple(range(2, 2 + rank))
        )
        positions = tuple(slice(None, None, s) for s in self.strides)
        taps = tuple(slice(None, None, d) for d in self.dilations)
        return windows[(slice(None), slice(None), *positions, *taps)]


def _padded(x: npt.NDArray[Any], pads: Pads, fill: float) -> npt.NDArray[Any]:
    """Return `x` (n, c, *spatial) with what is to be added around it; `x` itself without any."""
    sides = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    if not any(map(any, sides)):
        return x
    spatial = [extent + sum(side) for extent, side in zip(x.shape[2:], sides, strict=True)]
    padded = np.full((*x.shape[:2], *spatial), fill, x.dtype)
    inside = (slice(b, b + extent) for extent, (b, _) in zip(x.shape[2:], sides, strict=True))
    padded[(slice(None), slice(None), *inside)] = x
    return padded


@dataclass(frozen=True, eq=False)
class Convolution(LinearOperator):
    """Cross-correlation over the trailing axes of ``(channels, *spatial)``, as ONNX Conv.

    Attributes
    ----------
    weight : (out_channels, in_channels / groups, *kernel) float array
    strides, dilations : tuple of int
    pads : tuple of (begin, end)
    groups : int
    """

    weight: FloatArray
    strides: Shape
    pads: Pads
    dilations: Shape
    groups: int = 1

    @property
    def window(self) -> Window:
        """The sliding window's geometry."""
        return Window(tuple(self.weight.shape[2:]), self.strides, self.pads, self.dilations)

    @property
    def output_shape(self) -> Shape:
        """(out_channels, *positions)."""
        return (self.weight.shape[0], *self.window.output_extent(self.input_shape[1:]))

    @property
    def multiply_adds(self) -> int:
        """Kernel weights times output positions."""
        return int(self.weight.size) * _size(self.output_shape[1:])

    def apply(self, x: FloatArray) -> FloatArray:
        """Correlate `x` (n, in_channels, *spatial) with the kernel."""
        rank, count, positions = len(self.strides), self.groups, self.output_shape[1:]
        places, per_group = _size(positions), len(self.weight) // self.groups
        rows = self.weight.astype(x.dtype, copy=False).reshape(count, per_group, -1)
        # Taps in front of positions: what is copied then are rows of an image, not single values.
        order = (1, *range(2 + rank, 2 + 2 * rank), 0, *range(2, 2 + rank))
        windows = self.window.view(x).transpose(order)
        out = np.empty((len(x), count, per_group, places), x.dtype)
        size = -(-PLACES_AT_A_TIME // places)
        for first in range(0, len(x), size):
            here = slice(first, min(first + size, len(x)))
            taps = windows[(slice(None),) * (1 + rank) + (here,)]
            taps = taps.reshape(count, rows.shape[2], -1).transpose(0, 2, 1)
            # Positions as rows: what is the same everywhere then gives the same sum everywhere, to
            # the last bit. As columns they fall to different kernels of the library at the edges.
            part = (taps @ rows.transpose(0, 2, 1)).reshape(count, -1, places, per_group)
            out[here] = part.transpose(1, 0, 3, 2)
        return out.reshape(len(x), *self.output_shape)

    def to_sparse(self) -> sp.csr_array:
        """Unroll the kernel over all positions."""
        index = np.arange(_size(self.input_shape)).reshape(1, *self.input_shape)
        windows = self.window.view(index, fill=-1)[0]  # (c, *positions, *kernel)
        rank = len(self.strides)
        positions = _size(self.output_shape[1:])
        per_group_in = self.weight.shape[1]
        per_group_out = self.weight.shape[0] // self.groups
        rows, cols, entries = [], [], []
        order = (*range(1, 1 + rank), 0, *range(1 + rank, 1 + 2 * rank))
        for out_channel in range(self.weight.shape[0]):
            g = out_channel // per_group_out
            taps = windows[g * per_group_in : (g + 1) * per_group_in].transpose(order)
            taps = taps.reshape(positions, -1)
            kernel = self.weight[out_channel].reshape(-1)
            keep = (taps >= 0) & (kernel != 0)
            row = np.broadcast_to(np.arange(positions)[:, None], taps.shape)
            rows.append(row[keep] + out_channel * positions)
            cols.append(taps[keep])
            entries.append(np.broadcast_to(kernel, taps.shape)[keep])
        shape = (_size(self.output_shape), _size(self.input_shape))
        coords = (np.concatenate(rows), np.concatenate(cols))
        return sp.csr_array((np.concatenate(entries).astype(np.float64), coords), shape=shape)


@dataclass(frozen=True, eq=False)
class TransposedConvolution(LinearOperator):
    """Every value spreads a kernel over ``(channels, *spatial)``, as ONNX ConvTranspose.

    It is the transpose of the :attr:`adjoint` convolution, which maps the other way.

    Attributes
    ----------
    weight : (in_channels, out_channels / groups, *kernel) float array
    strides, dilations : tuple of int
    pads : tuple of (begin, end)
        Positions cut off each side of what the kernels reach; a negative end adds zeros instead.
    groups : int
    """

    weight: FloatArray
    strides: Shape
    pads: Pads
    dilations: Shape
    groups: int = 1

    @property
    def output_shape(self) -> Shape:
        """(out_channels, *positions)."""
        spatial = (
            reached - begin - end
            for reached, (begin, end) in zip(self._reached(), self.pads, strict=True)
        )
        return (self.weight.shape[1] * self.groups, *spatial)

    @property
    def multiply_adds(self) -> int:
        """Kernel weights times input positions."""
        return int(self.weight.size) * _size(self.input_shape[1:])

    @property
    def adjoint(self) -> Convolution:
        """The convolution with the same weights from the output's shape to the input's."""
        return Convolution(
            self.output_shape, self.weight, self.strides, self.pads, self.dilations, self.groups
        )

    def _reached(self) -> Shape:
        return tuple(
            (extent - 1) * stride + dilation * (size - 1) + 1
            for extent, stride, dilation, size in zip(
                self.input_shape[1:],
                self.strides,
                self.dilations,
                self.weight.shape[2:],
                strict=True,
            )
        )

    def apply(self, x: FloatArray) -> FloatArray:
        """Spread `x` (n, in_channels, *spatial), one tap of the kernel at a time."""
        inputs, outputs, *size = self.weight.shape
        weight = self.weight.astype(x.dtype, copy=False)
        weight = weight.reshape(self.groups, inputs // self.groups, outputs, *size)
        grouped = x.reshape(len(x), *weight.shape[:2], -1)
        reached = np.zeros((len(x), outputs * self.groups, *self._reached()), x.dtype)
        for tap in np.ndindex(*size):
            kernel = weight[(..., *tap)].transpose(0, 2, 1)
            part = (kernel @ grouped).reshape(len(x), -1, *x.shape[2:])
            reach = tuple(
                slice(t * d, t * d + (extent - 1) * s + 1, s)
                for t, d, s, extent in zip(
                    tap, self.dilations, self.strides, x.shape[2:], strict=True
                )
            )
            reached[(slice(None), slice(None), *reach)] += part
        widened = np.pad(
            reached, [(0, 0), (0, 0), *((max(-b, 0), max(-e, 0)) for b, e in self.pads)]
        )
        kept = tuple(
            slice(max(begin, 0), max(begin, 0) + extent)
            for (begin, _), extent in zip(self.pads, self.output_shape[1:], strict=True)
        )
        return widened[(slice(None), slice(None), *kept)]

    def to_sparse(self) -> sp.csr_array:
        """Return the adjoint's matrix, transposed."""
        return sp.csr_array(self.adjoint.to_sparse().T)


@dataclass(frozen=True, eq=False)
class SumPool(LinearOperator):
    """Sum over a sliding window of each channel of ``(channels, *spatial)``.

    Average pooling is a SumPool and a :class:`Scale`: sums of 0/1 spikes stay whole numbers.
    """

    window: Window

    @property
    def output_shape(self) -> Shape:
        """(channels, *positions)."""
        return (self.input_shape[0], *self.window.output_extent(self.input_shape[1:]))

    @property
    def multiply_adds(self) -> int:
        """Window taps times output size."""
        return _size(self.window.size) * _size(self.output_shape)

    def apply(self, x: FloatArray) -> FloatArray:
        """Sum each window of `x` (n, channels, *spatial)."""
        windows = self.window.view(x)
        rank = len(self.window.size)
        return np.asarray(windows.sum(axis=tuple(range(2 + rank, 2 + 2 * rank)), dtype=x.dtype))

    def to_sparse(self) -> sp.csr_array:
        """Return the 0/1 matrix of window membership."""
        index = np.arange(_size(self.input_shape)).reshape(1, *self.input_shape)
        taps = self.window.view(index, fill=-1)[0].reshape(_size(self.output_shape), -1)
        rows = np.broadcast_to(np.arange(taps.shape[0])[:, None], taps.shape)
        keep = taps >= 0
        ones = np.ones(int(keep.sum()))
        shape = (taps.shape[0], _size(self.input_shape))
        return sp.csr_array((ones, (rows[keep], taps[keep])), shape=shape)


@dataclass(frozen=True, eq=False)
class Dense(LinearOperator):
    """Matrix product along one axis: a fully connected layer, or a MatMul with a constant.

    Attributes
    ----------
    weight : (outputs, inputs) float array
    axis : int
        Axis of ``input_shape`` that is summed over; negative counts from the end.
    """

    weight: FloatArray
    axis: int = -1

    @property
    def output_shape(self) -> Shape:
        """`input_shape` with the summed axis replaced by the outputs."""
        shape = list(self.input_shape)
        shape[self.axis] = self.weight.shape[0]
        return tuple(shape)

    @property
    def multiply_adds(self) -> int:
        """Weights times the size of the other axes."""
        return int(int(self.weight.size) * _size(self.input_shape) // self.weight.shape[1])

    def apply(self, x: FloatArray) -> FloatArray:
        """Multiply along the axis."""
        axis = self.axis % len(self.input_shape) + 1
        weight = self.weight.astype(x.dtype, copy=False)
        return np.asarray(np.moveaxis(np.moveaxis(x, axis, -1) @ weight.T, -1, axis))

    def to_sparse(self) -> sp.csr_array:
        """Return kron(I, weight, I) over the axes before and after."""
        axis = self.axis % len(self.input_shape)
        before = sp.eye_array(_size(self.input_shape[:axis]))
        after = sp.eye_array(_size(self.input_shape[axis + 1 :]))
        weight = sp.csr_array(self.weight.astype(np.float64))
        return sp.csr_array(sp.kron(sp.kron(before, weight), after))


@dataclass(frozen=True, eq=False)
class Scale(LinearOperator):
    """Multiply by a constant that broadcasts against the shape (a diagonal matrix)."""

    factor: FloatArray

    @property
    def output_shape(self) -> Shape:
        """Unchanged."""
        return self.input_shape

    @property
    def multiply_adds(self) -> int:
        """One a value."""
        return _size(self.input_shape)

    def apply(self, x: FloatArray) -> FloatArray:
        """Multiply elementwise."""
        return np.asarray(x * self.factor.astype(x.dtype, copy=False))

    def to_sparse(self) -> sp.csr_array:
        """Return the diagonal matrix."""
        full = np.broadcast_to(self.factor, self.input_shape).astype(np.float64)
        return sp.csr_array(sp.diags_array(full.reshape(-1)))


@dataclass(frozen=True, eq=False)
class Select(LinearOperator):
    """Pick indices along each axis; index -1 gives zero. Never adds, only copies.

    Zero-padding, cropping, strided slices, gathers, channel shuffles, nearest resizing and the
    placement of one part of a concatenation are all of this form.

    Attributes
    ----------
    indices : tuple of (int array or None)
        One an axis: the source position of each output position; None keeps the axis.
    """

    indices: tuple[IntArray | None, ...]

    @property
    def output_shape(self) -> Shape:
        """The number of indices along each axis."""
        return tuple(
            size if index is None else len(index)
            for size, index in zip(self.input_shape, self.indices, strict=True)
        )

    def apply(self, x: FloatArray) -> FloatArray:
        """Gather along each axis, zeros where the index is -1."""
        for axis, index in enumerate(self.indices, start=1):
            if index is None:
                continue
            x = np.take(x, np.maximum(index, 0), axis=axis)
            if (index < 0).any():
                x[(slice(None),) * axis + (index < 0,)] = 0
        return x

    def sources(self) -> IntArray:
        """Return, for every output position, the flat input position (-1: zero)."""
        flat = np.arange(_size(self.input_shape)).reshape(self.input_shape)
        for axis, index in enumerate(self.indices):
            if index is not None:
                flat = np.take(flat, np.maximum(index, 0), axis=axis)
                flat[(slice(None),) * axis + (index < 0,)] = -1
        return flat

    def to_sparse(self) -> sp.csr_array:
        """Return the 0/1 routing matrix."""
        return _routing_matrix(self.sources(), _size(self.input_shape))


@dataclass(frozen=True, eq=False)
class Reshape(LinearOperator):
    """Change the shape, keep the order of values."""

    shape: Shape

    @property
    def output_shape(self) -> Shape:
        """The new shape."""
        return self.shape

    def apply(self, x: FloatArray) -> FloatArray:
        """Reshape everything but the batch."""
        return x.reshape(x.shape[0], *self.shape)

    def to_sparse(self) -> sp.csr_array:
        """Return the identity."""
        return sp.csr_array(sp.eye_array(_size(self.input_shape)))


@dataclass(frozen=True, eq=False)
class Transpose(LinearOperator):
    """Permute the axes (the batch is not counted and stays in front)."""

    permutation: Shape

    @property
    def output_shape(self) -> Shape:
        """The permuted shape."""
        return tuple(self.input_shape[axis] for axis in self.permutation)

    def apply(self, x: FloatArray) -> FloatArray:
        """Permute everything but the batch."""
        return x.transpose(0, *(axis + 1 for axis in self.permutation))

    def to_sparse(self) -> sp.csr_array:
        """Return the permutation matrix."""
        flat = np.arange(_size(self.input_shape)).reshape(self.input_shape)
        return _routing_matrix(flat.transpose(self.permutation), flat.size)


@dataclass(frozen=True, eq=False)
class ReduceSum(LinearOperator):
    """Sum over axes, which stay with extent 1."""

    axes: Shape

    @property
    def output_shape(self) -> Shape:
        """`input_shape` with 1 on the summed axes."""
        return tuple(1 if a in self.axes else s for a, s in enumerate(self.input_shape))

    @property
    def multiply_adds(self) -> int:
        """One an input value."""
        return _size(self.input_shape)

    def apply(self, x: FloatArray) -> FloatArray:
        """Sum over the axes."""
        axes = tuple(a + 1 for a in self.axes)
        return np.asarray(x.sum(axis=axes, keepdims=True, dtype=x.dtype))

    def to_sparse(self) -> sp.csr_array:
        """Return the 0/1 matrix of membership."""
        out = np.arange(_size(self.output_shape)).reshape(self.output_shape)
        rows = np.broadcast_to(out, self.input_shape).reshape(-1)
        size = _size(self.input_shape)
        coords = (rows, np.arange(size))
        return sp.csr_array((np.ones(size), coords), shape=(out.size, size))


@dataclass(frozen=True, eq=False)
class Matrix(LinearOperator):
    """Any linear map as a sparse matrix over flattened shapes."""

    matrix: sp.csr_array = field(repr=False)
    shape: Shape

    @property
    def output_shape(self) -> Shape:
        """The given shape."""
        return self.shape

    @property
    def multiply_adds(self) -> int:
        """One a stored weight."""
        return len(self.matrix.data)

    def apply(self, x: FloatArray) -> FloatArray:
        """Multiply the flattened samples."""
        flat = x.reshape(x.shape[0], -1)
        mapped = np.asarray((self.matrix.astype(x.dtype) @ flat.T).T)
        return mapped.reshape(x.shape[0], *self.shape)

    def to_sparse(self) -> sp.csr_array:
        """Return the matrix itself."""
        return self.matrix


def apply_chain(chain: Chain, x: FloatArray) -> FloatArray:
    """Apply the operators one after the other to ``(n, *shape)``."""
    for operator in chain:
        x = operator.apply(x)
    return x


def chain_to_sparse(chain: Chain, input_shape: Shape) -> sp.csr_array:
    """Return the chain's map as one CSR matrix (output size, input size)."""
    matrix = sp.csr_array(sp.eye_array(_size(input_shape)))
    for operator in chain:
        matrix = sp.csr_array(operator.to_sparse() @ matrix)
    return matrix


def chain_output_shape(chain: Chain, input_shape: Shape) -> Shape:
    """Return the shape after the chain."""
    return chain[-1].output_shape if chain else input_shape


def multiply_adds(chain: Chain) -> int:
    """Return the multiply-adds of one dense application of the chain."""
    return sum(operator.multiply_adds for operator in chain)


ROUTING = (Select, Reshape, Transpose)
"""Operators that only copy values: every output is one input, or zero."""

WEIGHTED = (Convolution, TransposedConvolution, Dense, Scale, Matrix)
"""Operators that hold weights."""


def is_routing(chain: Chain) -> bool:
    """Tell whether the chain only copies values."""
    return all(isinstance(operator, ROUTING) for operator in chain)


def weights_of(operator: LinearOperator) -> FloatArray | None:
    """Return the operator's weights, None for wiring and sums."""
    if isinstance(operator, Convolution | TransposedConvolution | Dense):
        return operator.weight
    if isinstance(operator, Scale):
        return operator.factor
    if isinstance(operator, Matrix):
        return np.asarray(operator.matrix.data)
    return None


def with_weights(operator: LinearOperator, weights: FloatArray) -> LinearOperator:
    """Return a copy of the operator with other weights of the same shape."""
    if isinstance(operator, Convolution | TransposedConvolution | Dense):
        return replace(operator, weight=weights)
    if isinstance(operator, Scale):
        return replace(operator, factor=weights)
    if isinstance(operator, Matrix):
        matrix = operator.matrix.copy()
        matrix.data = weights
        return replace(operator, matrix=matrix)
    raise TypeError(f"{type(operator).__name__} holds no weights")


def absolute_chain(chain: Chain) -> Chain:
    """Return the chain with the magnitudes of its weights: bounds a sum of spikes from above."""
    return tuple(
        op if (w := weights_of(op)) is None else with_weights(op, np.abs(w)) for op in chain
    )


def place(shape: Shape, axis: int, offset: int, extent: int) -> Select:
    """Return the Select that puts a part into a concatenation of `extent` along `axis`."""
    index = np.full(extent, -1)
    index[offset : offset + shape[axis]] = np.arange(shape[axis])
    indices: list[IntArray | None] = [None] * len(shape)
    indices[axis] = index
    return Select(shape, tuple(indices))
