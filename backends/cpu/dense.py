"""Dense layers: all the steps and samples of a chunk through torch's operators at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as tnn

from snnconvert.backends.cpu.gather import (
    Step,
    full_factor,
    gather_step,
    on_device,
    weighted_sums,
)
from snnconvert.backends.cpu.layout import shape_axes, stored_axes, stored_shape
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    IntArray,
    LinearOperator,
    Matrix,
    Pads,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    TransposedConvolution,
    chain_output_shape,
)

Builder: TypeAlias = Callable[[Any, np.dtype[Any]], Step | None]
"""Makes the step of an operator; None where torch has none for it."""

Weighted: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""An operator as a function of values and weights."""

_CONVOLUTIONS: dict[int, Callable[..., torch.Tensor]] = {
    1: torch.conv1d,
    2: torch.conv2d,
    3: torch.conv3d,
}
_TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {
    1: torch.conv_transpose1d,
    2: torch.conv_transpose2d,
    3: torch.conv_transpose3d,
}


@contextlib.contextmanager
def exact_torch() -> Iterator[None]:
    """Keep torch to plain float32 sums of products, whatever the calling program has set.

    NNPACK's convolutions use Winograd and Fourier transforms, and a reduced float32 precision
    (``torch.set_float32_matmul_precision``) lets oneDNN round the weights to bfloat16.
    """
    mkldnn: Any = torch.backends.mkldnn
    layers = [mkldnn.conv, mkldnn.matmul] if hasattr(mkldnn, "conv") else []
    before = [layer.fp32_precision for layer in layers]
    with torch.backends.nnpack.flags(enabled=False):
        try:
            for layer in layers:
                layer.fp32_precision = "ieee"
            yield
        finally:
            for layer, precision in zip(layers, before, strict=True):
                layer.fp32_precision = precision


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch's operators so many threads, in the calling thread.

    OpenMP's number belongs to a thread: others set theirs (``torch.set_num_threads``) when they
    begin. oneDNN cuts sums into as many parts.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(threads, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class DenseKernel:
    """A connection as dense operators.

    Parameters
    ----------
    chain : tuple of LinearOperator
    source_shape : tuple of int
    dtype : numpy dtype
        float32 where the sums are exact in it, else float64.
    """

    def __init__(self, chain: Chain, source_shape: Shape, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._source_shape = source_shape
        self._target_shape = chain_output_shape(chain, source_shape)
        self._steps = list(steps_of(chain, self.dtype))

    @torch.inference_mode()
    def currents(self, sent: FloatArray) -> FloatArray:
        """Map (steps, n, *stored source shape) to (steps, n, *stored target shape)."""
        sent = sent.astype(self.dtype, copy=False)
        x = torch.from_numpy(sent.reshape(-1, *sent.shape[2:]))
        x = x.permute(0, *(axis + 1 for axis in shape_axes(len(self._source_shape))))
        for step in self._steps:
            x = step(x)
        x = x.permute(0, *(axis + 1 for axis in stored_axes(len(self._target_shape))))
        summed: FloatArray = x.contiguous().numpy()
        return summed.reshape(*sent.shape[:2], *stored_shape(self._target_shape))


def steps_of(
    chain: Chain,
    dtype: np.dtype[Any],
    builders: Mapping[type[LinearOperator], Builder] | None = None,
) -> Iterator[Step]:
    """Yield the steps of a chain, with their constants on torch's default device.

    Parameters
    ----------
    chain : tuple of LinearOperator
    dtype : numpy dtype
    builders : mapping of type to callable, optional
        In the place of those of this module, see ``BUILDERS``.
    """
    builders = BUILDERS if builders is None else builders
    position = 0
    while position < len(chain):
        three = chain[position : position + 3]
        fused = weighted_sums(*three, dtype) if len(three) == 3 else None
        yield fused or _step(chain[position], dtype, builders)
        position += 3 if fused else 1


def _step(
    operator: LinearOperator,
    dtype: np.dtype[Any],
    builders: Mapping[type[LinearOperator], Builder],
) -> Step:
    build = builders.get(type(operator))
    step = build(operator, dtype) if build else None
    return step or _plain(operator)


def _plain(operator: LinearOperator) -> Step:
    """Use the operator's own NumPy form."""

    def step(x: torch.Tensor) -> torch.Tensor:
        applied = np.ascontiguousarray(operator.apply(x.cpu().numpy()))
        return torch.from_numpy(applied).to(x.device)

    return step


def constant(values: FloatArray, dtype: np.dtype[Any]) -> torch.Tensor:
    """Return values as a tensor on torch's default device."""
    return on_device(np.array(values, dtype=dtype, order="C"))


def _padding(pads: Pads) -> list[int]:
    """Return pads as torch's pad wants them: last axis first."""
    return [side for pair in reversed(pads) for side in pair]


def _convolution(operator: Convolution, dtype: np.dtype[Any]) -> Step | None:
    convolve = weighted(operator)
    if convolve is None:
        return None
    weight = constant(operator.weight, dtype)
    return lambda x: convolve(x, weight)


def weighted(operator: Convolution | Dense) -> Weighted | None:
    """Return an operator as a function of values (n, ...) and weights; None where torch has none.

    What flows through it can be differentiated by the weights.
    """
    if isinstance(operator, Dense):
        axis = operator.axis % len(operator.input_shape) + 1
        return lambda x, weight: tnn.linear(x.movedim(axis, -1), weight).movedim(-1, axis)
    convolve = _CONVOLUTIONS.get(len(operator.strides))
    if convolve is None:
        return None
    strides, dilations, groups = operator.strides, operator.dilations, operator.groups
    begins = tuple(begin for begin, _ in operator.pads)
    if begins == tuple(end for _, end in operator.pads) and min(begins) >= 0:
        return lambda x, weight: convolve(
            _unambiguous(x), weight, None, strides, begins, dilations, groups
        )
    padding, none = _padding(operator.pads), (0,) * len(strides)

    def padded(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        wide = _unambiguous(tnn.pad(x, padding))
        return convolve(wide, weight, None, strides, none, dilations, groups)

    return padded


def _unambiguous(x: torch.Tensor) -> torch.Tensor:
    """Return the same values with the strides of a contiguous tensor where it is one.

    With one channel a tensor is contiguous both ways, channels first and last, and the stride of
    that axis is free. torch 2.13's 3-d convolution then takes it for the one and its result for
    the other, and returns memory that nobody wrote.
    """
    if not x.is_contiguous():
        return x
    strides = [1]
    for extent in reversed(x.shape[1:]):
        strides.insert(0, strides[0] * extent)
    return x.as_strided(x.shape, strides)


def _transposed(operator: TransposedConvolution, dtype: np.dtype[Any]) -> Step | None:
    """Let torch spread the kernels everywhere, then cut: its own padding has no uneven form."""
    spread = _TRANSPOSED.get(len(operator.strides))
    if spread is None:
        return None
    weight = constant(operator.weight, dtype)
    strides, dilations, groups = operator.strides, operator.dilations, operator.groups
    none = (0,) * len(strides)
    cut = [-side for side in _padding(operator.pads)]

    def step(x: torch.Tensor) -> torch.Tensor:
        spread_out = spread(_unambiguous(x), weight, None, strides, none, none, groups, dilations)
        return tnn.pad(spread_out, cut)

    return step


def _sum_pool(operator: SumPool, _: np.dtype[Any]) -> Step | None:
    window = operator.window
    rank = len(window.size)
    if any(dilation != 1 for dilation in window.dilations) or rank not in (1, 2, 3):
        return None
    pool: Callable[..., torch.Tensor] = tnn.avg_pool3d if rank == 3 else tnn.avg_pool2d
    flat = (1,) if rank == 1 else ()
    size, strides, padding = flat + window.size, flat + window.strides, _padding(window.pads)

    def step(x: torch.Tensor) -> torch.Tensor:
        x = tnn.pad(x, padding) if any(padding) else x
        x = x.unsqueeze(2) if flat else x
        summed = pool(x, size, strides, divisor_override=1)
        return summed.squeeze(2) if flat else summed

    return step


def _dense(operator: Dense, dtype: np.dtype[Any]) -> Step:
    weight, multiply = constant(operator.weight, dtype), weighted(operator)
    assert multiply is not None
    return lambda x: multiply(x, weight)


def _scale(operator: Scale, dtype: np.dtype[Any]) -> Step:
    factor = full_factor(operator.factor, operator.input_shape, dtype)
    return lambda x: x * factor


def _reduce_sum(operator: ReduceSum, _: np.dtype[Any]) -> Step:
    axes = tuple(axis + 1 for axis in operator.axes)
    return lambda x: x.sum(axes, keepdim=True)


def _reshape(operator: Reshape, _: np.dtype[Any]) -> Step:
    shape = operator.shape
    return lambda x: x.reshape(-1, *shape)


def _transpose(operator: Transpose, _: np.dtype[Any]) -> Step:
    axes = tuple(axis + 1 for axis in operator.permutation)
    return lambda x: x.permute(0, *axes)


def _matrix(operator: Matrix, dtype: np.dtype[Any]) -> Step:
    matrix, shape = operator.matrix.astype(dtype), operator.shape

    def step(x: torch.Tensor) -> torch.Tensor:
        mapped = np.asarray(matrix @ x.reshape(x.shape[0], -1).numpy().T).T
        return torch.from_numpy(np.ascontiguousarray(mapped)).reshape(-1, *shape)

    return step


def _select(operator: Select, _: np.dtype[Any]) -> Step:
    steps = [
        _select_axis(np.asarray(index), axis, size)
        for axis, (index, size) in enumerate(
            zip(operator.indices, operator.input_shape, strict=True), start=1
        )
        if index is not None
    ]

    def step(x: torch.Tensor) -> torch.Tensor:
        for select in steps:
            x = select(x)
        return x

    return step


def _select_axis(index: IntArray, axis: int, size: int) -> Step:
    """Return a slice between zeros where the index is regular, else a gather."""
    used = np.flatnonzero(index >= 0)
    if not used.size:
        return lambda x: x.new_zeros([*x.shape[:axis], len(index), *x.shape[axis + 1 :]])
    first, last = int(used[0]), int(used[-1])
    strides = np.diff(index[first : last + 1])
    stride = int(strides[0]) if strides.size else 1
    if last - first + 1 == used.size and stride > 0 and (strides == stride).all():
        part = (slice(None),) * axis + (slice(int(index[first]), int(index[last]) + 1, stride),)
        before, after = first, len(index) - 1 - last

        def sliced(x: torch.Tensor) -> torch.Tensor:
            x = x[part]
            if not before and not after:
                return x
            return tnn.pad(x, [0, 0] * (x.ndim - 1 - axis) + [before, after])

        return sliced
    return gather_step(index, axis)


BUILDERS: dict[type[LinearOperator], Builder] = {
    Convolution: _convolution,
    Dense: _dense,
    Matrix: _matrix,
    ReduceSum: _reduce_sum,
    Reshape: _reshape,
    Scale: _scale,
    Select: _select,
    SumPool: _sum_pool,
    Transpose: _transpose,
    TransposedConvolution: _transposed,
}
