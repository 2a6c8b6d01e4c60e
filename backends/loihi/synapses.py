"""What connects two populations on the chip: one shared kernel, dense matrix or sparse matrix.

A chain of linear operators has to become one operator, because there is no neuron between its
parts. Pooling and the convolution behind it compose to one convolution with a larger kernel and
stride; a fully connected layer behind a map of channels is a convolution whose kernel is the whole
map. Both keep nengo-loihi's weight sharing, where one axon serves all channels of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    FloatArray,
    LinearOperator,
    ReduceSum,
    Select,
    Shape,
    SumPool,
    chain_to_sparse,
)

DENSE_SHARE = 0.5
"""Share of weights other than zero from which a matrix is stored with all its entries."""


@dataclass(frozen=True, eq=False)
class SharedKernel:
    """A 2-D convolution in nengo's terms: weights are shared between positions.

    Attributes
    ----------
    weight : (out_channels, in_channels, rows, columns) float64 array
    strides : (int, int)
    padding : {"valid", "same"}
        "same" is TensorFlow's rule: the smaller half of the padding in front.
    input_shape, output_shape : (channels, rows, columns)
    """

    form: ClassVar[str] = "shared kernel"
    weight: FloatArray
    strides: tuple[int, int]
    padding: Literal["valid", "same"]
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    @property
    def pads(self) -> tuple[int, int]:
        """Rows and columns of zeros in front, by nengo's rule."""
        if self.padding == "valid":
            return 0, 0
        begins = [
            max((out - 1) * stride + size - extent, 0) // 2
            for out, stride, size, extent in zip(
                self.output_shape[1:],
                self.strides,
                self.weight.shape[2:],
                self.input_shape[1:],
                strict=True,
            )
        ]
        return begins[0], begins[1]

    def to_sparse(self) -> sp.csr_array:
        """Return the matrix (targets, sources) over flattened shapes."""
        extents = zip(
            self.output_shape[1:],
            self.strides,
            self.weight.shape[2:],
            self.input_shape[1:],
            self.pads,
            strict=True,
        )
        pads = tuple(
            (begin, (out - 1) * stride + size - extent - begin)
            for out, stride, size, extent, begin in extents
        )
        return Convolution(
            self.input_shape, self.weight, self.strides, pads, (1, 1)
        ).to_sparse()  # fmt: skip


@dataclass(frozen=True, eq=False)
class DenseSynapses:
    """All to all, between populations without positions.

    Attributes
    ----------
    weight : (targets, sources) float64 array
    """

    form: ClassVar[str] = "dense"
    weight: FloatArray

    def to_sparse(self) -> sp.csr_array:
        """Return the matrix (targets, sources)."""
        return sp.csr_array(self.weight)


@dataclass(frozen=True, eq=False)
class SparseSynapses:
    """Any map: one axon for each source neuron, no sharing.

    Attributes
    ----------
    matrix : (targets, sources) CSR float64 array
    """

    form: ClassVar[str] = "sparse"
    matrix: sp.csr_array

    def to_sparse(self) -> sp.csr_array:
        """Return the matrix (targets, sources)."""
        return self.matrix


Synapses: TypeAlias = SharedKernel | DenseSynapses | SparseSynapses


def synapses_of(chains: Sequence[Chain], source: Shape, target: Shape) -> Synapses:
    """Return the one operator that parallel chains between two nodes amount to.

    Parameters
    ----------
    chains : sequence of chains
        All connections from the source to the target; their maps add up.
    source, target : tuple of int
        Shapes of the two nodes.
    """
    if len(chains) == 1:
        composed = compose(chains[0], source)
        if composed is not None and composed.groups == 1:
            kernel = to_shared_kernel(composed)
            if kernel is not None:
                return kernel
    matrix = chain_to_sparse(chains[0], source)
    for chain in chains[1:]:
        matrix = matrix + chain_to_sparse(chain, source)
    return _from_matrix(sp.csr_array(matrix), source, target)


def _from_matrix(matrix: sp.csr_array, source: Shape, target: Shape) -> Synapses:
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    outputs, inputs = matrix.shape
    if matrix.nnz < DENSE_SHARE * outputs * inputs:
        return SparseSynapses(matrix)
    weight = np.asarray(matrix.toarray(), np.float64)
    image = as_image(source)
    flat = as_image(target) is None or math.prod(target[1:]) == 1
    if image is None or image[1] * image[2] == 1 or not flat:
        return DenseSynapses(weight)
    kernel = weight.reshape(outputs, *image)
    return SharedKernel(kernel, (1, 1), "valid", image, (outputs, 1, 1))


def as_image(shape: Shape) -> tuple[int, int, int] | None:
    """Return a shape as (channels, rows, columns), None where it is a flat list of neurons."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (shape[0], 1, shape[1]) if len(shape) == 2 else None


def compose(chain: Chain, source: Shape) -> Convolution | None:
    """Return the one 2-D convolution that equals the chain, None where there is none."""
    image = as_image(source)
    if image is None or not chain:
        return None
    composed: Convolution | None = None
    shape: Shape = source
    for operator in chain:
        if len(operator.output_shape) != len(shape):
            return None  # a reshape to another rank: the positions are lost
        stage = _as_convolution(operator)
        if stage is None:
            return None
        composed = stage if composed is None else _compose_two(composed, stage)
        if composed is None:
            return None
        shape = operator.output_shape
    return composed


def _as_convolution(operator: LinearOperator) -> Convolution | None:
    """Return the operator as an undilated 2-D convolution of (channels, rows, columns)."""
    image = as_image(operator.input_shape)
    if image is None:
        return None
    if isinstance(operator, Convolution):
        window, weight, groups = operator.window, operator.weight, operator.groups
    elif isinstance(operator, SumPool):
        window, groups = operator.window, image[0]
        weight = np.ones((image[0], 1, *window.size))
    elif isinstance(operator, ReduceSum) and 0 not in operator.axes:
        weight, groups = np.ones((image[0], 1, *image[1:])), image[0]
        if set(operator.axes) != set(range(1, len(operator.input_shape))):
            return None
        return Convolution(image, weight, (1, 1), ((0, 0), (0, 0)), (1, 1), groups)
    elif isinstance(operator, Select):
        return _select_as_convolution(operator, image)
    else:
        return None
    strides, pads, dilations = window.strides, window.pads, window.dilations
    if len(strides) == 1:  # one row
        weight = np.asarray(weight)[:, :, None, :]
        strides, pads, dilations = (1, *strides), ((0, 0), *pads), (1, *dilations)
    if len(strides) != 2:
        return None
    return _undilated(
        Convolution(image, weight.astype(np.float64), strides, pads, dilations, groups)
    )


def _select_as_convolution(operator: Select, image: tuple[int, int, int]) -> Convolution | None:
    """Return zero-padding and cropping of the positions as a one-tap convolution."""
    indices = operator.indices if len(operator.indices) == 3 else (
        operator.indices[0], None, operator.indices[1]
    )  # fmt: skip
    if indices[0] is not None:
        return None
    pads = []
    for index, extent in zip(indices[1:], image[1:], strict=True):
        if index is None:
            pads.append((0, 0))
            continue
        used = np.flatnonzero(index >= 0)
        if not len(used) or not np.array_equal(index[used], index[used[0]] + np.arange(len(used))):
            return None
        first, last = int(index[used[0]]), int(index[used[-1]])
        begin, end = int(used[0]) - first, len(index) - 1 - int(used[-1]) - (extent - 1 - last)
        cropped_and_padded = (first > 0 and used[0] > 0) or (
            last < extent - 1 and used[-1] < len(index) - 1
        )
        if cropped_and_padded or used[-1] - used[0] != len(used) - 1:
            return None
        pads.append((begin, end))
    weight = np.ones((image[0], 1, 1, 1))
    return Convolution(image, weight, (1, 1), tuple(pads), (1, 1), image[0])


def _undilated(operator: Convolution) -> Convolution:
    """Return the same map without dilation: zeros between the taps."""
    if operator.dilations == (1, 1):
        return operator
    sizes = [d * (s - 1) + 1 for s, d in zip(operator.weight.shape[2:], operator.dilations,
                                             strict=True)]  # fmt: skip
    weight = np.zeros((*operator.weight.shape[:2], *sizes))
    weight[:, :, :: operator.dilations[0], :: operator.dilations[1]] = operator.weight
    return Convolution(
        operator.input_shape, weight, operator.strides, operator.pads, (1, 1), operator.groups
    )


def _compose_two(first: Convolution, second: Convolution) -> Convolution | None:
    """Return ``second(first(x))`` as one convolution, None where padding forbids it.

    The second pads with zeros. The composed kernel sees, at those positions, what the first would
    have computed there: zero only where its window lies in padding too.
    """
    sizes, strides, pads = [], [], []
    for axis in (0, 1):
        size_a, size_b = first.weight.shape[2 + axis], second.weight.shape[2 + axis]
        stride, stride_b = first.strides[axis], second.strides[axis]
        (begin, _), (begin_b, end_b) = first.pads[axis], second.pads[axis]
        extent, middle = first.input_shape[1 + axis], first.output_shape[1 + axis]
        if begin_b > 0 and size_a > stride + begin:
            return None
        if end_b > 0 and stride * middle - begin < extent:
            return None
        size, total = size_a + stride * (size_b - 1), stride * stride_b
        out = second.output_shape[1 + axis]
        before = begin + stride * begin_b
        sizes.append(size)
        strides.append(total)
        pads.append((before, (out - 1) * total + size - extent - before))
    joined = _joined_weight(first, second, sizes)
    if joined is None:
        return None
    weight, groups = joined
    return Convolution(first.input_shape, weight, tuple(strides), tuple(pads), (1, 1), groups)


def _joined_weight(
    first: Convolution, second: Convolution, sizes: list[int]
) -> tuple[FloatArray, int] | None:
    a, b = first.weight, second.weight
    per_channel = first.groups == a.shape[0] == first.input_shape[0]
    per_channel_b = second.groups == b.shape[0] == second.input_shape[0]
    if not per_channel and not (first.groups == 1 and (per_channel_b or second.groups == 1)):
        return None
    groups = second.groups if per_channel else 1
    inputs = b.shape[1] if per_channel else a.shape[1]
    weight = np.zeros((b.shape[0], inputs, *sizes))
    rows, columns = a.shape[2:]
    for r in range(b.shape[2]):
        for c in range(b.shape[3]):
            top, left = r * first.strides[0], c * first.strides[1]
            part = weight[:, :, top : top + rows, left : left + columns]
            tap = b[:, :, r, c]
            if per_channel:
                per_group = b.shape[0] // second.groups
                source = np.arange(b.shape[0])[:, None] // per_group * b.shape[1]
                source = source + np.arange(b.shape[1])
                part += tap[:, :, None, None] * a[source, 0]
            elif per_channel_b:
                part += tap[:, :, None, None] * a
            else:
                part += np.einsum("om,mchw->ochw", tap, a)
    return weight, groups


def to_shared_kernel(operator: Convolution) -> SharedKernel | None:
    """Return an undilated 2-D convolution in nengo's terms, None where its pads have no name.

    Zeros added to the kernel's edges shift nengo's "same" padding to where it is needed.
    """
    image = as_image(operator.input_shape)
    assert image is not None
    out = operator.output_shape
    output_shape = (out[0], out[1], out[2])
    strides = (operator.strides[0], operator.strides[1])
    for padding in _PADDINGS:
        added = [_zeros_added(operator, axis, padding) for axis in (0, 1)]
        if added[0] is None or added[1] is None:
            continue
        weight = np.pad(operator.weight, ((0, 0), (0, 0), added[0], added[1]))
        return SharedKernel(weight, strides, padding, image, output_shape)
    return None


_PADDINGS: tuple[Literal["valid", "same"], ...] = ("valid", "same")


def _zeros_added(operator: Convolution, axis: int, padding: str) -> tuple[int, int] | None:
    """Return the fewest zeros before and after the kernel that give the operator's pads."""
    extent, out = operator.input_shape[1 + axis], operator.output_shape[1 + axis]
    size, stride = operator.weight.shape[2 + axis], operator.strides[axis]
    begin = operator.pads[axis][0]
    choices = sorted(
        ((a, b) for a in range(size + 1) for b in range(size + 1)), key=lambda ab: (sum(ab), ab)
    )
    for before, after in choices:
        total = size + before + after
        if padding == "valid":
            fits = total <= extent and (extent - total) // stride + 1 == out
            wanted = 0
        else:
            fits = out == math.ceil(extent / stride)
            wanted = max((out - 1) * stride + total - extent, 0) // 2
        if fits and wanted == begin + before:
            return before, after
    return None
