"""Shorten a chain of linear operators without changing its map.

Scales move into the weights of a neighbouring convolution or dense layer (batch norm folding, the
amplitudes of normalisation), routing operators merge, zero-padding enters the convolution behind
it, and the branches of a concatenation take their part of the weights that read it. Rewrites are
local and repeated until none applies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    IntArray,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    TransposedConvolution,
    apply_chain,
)


def simplify_chain(chain: Chain) -> Chain:
    """Return an equal, shorter chain (equal up to rounding where weights are multiplied)."""
    operators = list(chain)
    position = 0
    while position < len(operators):
        if _is_identity(operators[position]):
            del operators[position]
            position = max(position - 1, 0)
            continue
        shuffled = _shuffle(operators[position : position + 3])
        if shuffled is not None:
            operators[position : position + 3] = [shuffled]
            position = max(position - 1, 0)
            continue
        if position + 1 < len(operators):
            merged = _merge(operators[position], operators[position + 1])
            if merged is not None:
                operators[position : position + 2] = merged
                position = max(position - 1, 0)
                continue
        position += 1
    return tuple(operators)


def _shuffle(three: list[LinearOperator]) -> Select | None:
    """Return a channel shuffle, written as Reshape, Transpose, Reshape, as one selection."""
    if [type(operator) for operator in three] != [Reshape, Transpose, Reshape]:
        return None
    shape = three[0].input_shape
    if three[-1].output_shape != shape:
        return None
    flat = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    moved = apply_chain(tuple(three), flat[None])[0]
    for axis in range(len(shape)):
        line = (*(0,) * axis, slice(None), *(0,) * (len(shape) - axis - 1))
        index = (moved[line] // int(np.prod(shape[axis + 1 :]))).astype(np.int64)
        if (index < shape[axis]).all() and np.array_equal(np.take(flat, index, axis), moved):
            return Select(shape, tuple(index if a == axis else None for a in range(len(shape))))
    return None


def _is_identity(operator: LinearOperator) -> bool:
    if operator.output_shape != operator.input_shape:
        return False
    if isinstance(operator, Reshape):
        return True
    if isinstance(operator, Transpose):
        return operator.permutation == tuple(range(len(operator.permutation)))
    if isinstance(operator, Select):
        return all(
            index is None or np.array_equal(index, np.arange(size))
            for index, size in zip(operator.indices, operator.input_shape, strict=True)
        )
    if isinstance(operator, Scale):
        return bool((operator.factor == 1).all())
    return False


def _merge(first: LinearOperator, second: LinearOperator) -> Chain | None:
    for kinds, rule in _RULES:
        if isinstance(first, kinds[0]) and isinstance(second, kinds[1]):
            merged = rule(first, second)
            if merged is not None:
                return merged
    return None


def _scale_scale(first: Scale, second: Scale) -> Chain:
    return (Scale(first.input_shape, first.factor * second.factor),)


def _reshape_reshape(first: Reshape, second: Reshape) -> Chain:
    return (Reshape(first.input_shape, second.shape),)


def _transpose_transpose(first: Transpose, second: Transpose) -> Chain:
    permutation = tuple(first.permutation[axis] for axis in second.permutation)
    return (Transpose(first.input_shape, permutation),)


def _select_select(first: Select, second: Select) -> Chain:
    indices = tuple(
        a if b is None else b if a is None else np.where(b < 0, -1, a[np.maximum(b, 0)])
        for a, b in zip(first.indices, second.indices, strict=True)
    )
    return (Select(first.input_shape, indices),)


def per_axis(factor: FloatArray, shape: Shape, axis: int) -> FloatArray | None:
    """Return the factor as a vector along `axis` if it varies along no other axis, else None."""
    full = np.broadcast_to(factor, shape)
    moved = np.moveaxis(full, axis, 0).reshape(shape[axis], -1)
    return moved[:, 0].copy() if (moved == moved[:, :1]).all() else None


def collapse(values: FloatArray) -> FloatArray:
    """Return the values with extent 1 on every axis along which they do not vary."""
    for axis in range(values.ndim):
        first = np.take(values, [0], axis=axis)
        if (values == first).all():
            values = first
    return np.asarray(values, order="C")


def _along(vector: FloatArray, rank: int, axis: int) -> FloatArray:
    return vector.reshape([-1 if a == axis else 1 for a in range(rank)])


def _scale_convolution(first: Scale, second: Convolution) -> Chain | None:
    vector = per_axis(first.factor, first.input_shape, 0)
    if vector is None:
        return None
    weight = second.weight
    per_group = vector.reshape(second.groups, 1, -1)
    grouped = weight.reshape(second.groups, weight.shape[0] // second.groups, *weight.shape[1:])
    scaled = grouped * per_group.reshape(*per_group.shape, *[1] * (weight.ndim - 2))
    return (replace(second, weight=scaled.reshape(weight.shape)),)


def _convolution_scale(first: Convolution, second: Scale) -> Chain | None:
    vector = per_axis(second.factor, second.input_shape, 0)
    if vector is None:
        return None
    return (replace(first, weight=first.weight * _along(vector, first.weight.ndim, 0)),)


def _scale_transposed(first: Scale, second: TransposedConvolution) -> Chain | None:
    vector = per_axis(first.factor, first.input_shape, 0)
    if vector is None:
        return None
    return (replace(second, weight=second.weight * _along(vector, second.weight.ndim, 0)),)


def _transposed_scale(first: TransposedConvolution, second: Scale) -> Chain | None:
    vector = per_axis(second.factor, second.input_shape, 0)
    if vector is None:
        return None
    weight, groups = first.weight, first.groups
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    scaled = grouped * vector.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    return (replace(first, weight=scaled.reshape(weight.shape)),)


def _select_transposed(first: Select, second: TransposedConvolution) -> Chain | None:
    """Put the channels of one branch of a concatenation into the weights."""
    channels = first.indices[0]
    if channels is None or second.groups != 1 or any(i is not None for i in first.indices[1:]):
        return None
    weight = _select_weights(second.weight.swapaxes(0, 1), channels, first.input_shape[0])
    if weight is None:
        return None
    return (replace(second, input_shape=first.input_shape, weight=weight.swapaxes(0, 1)),)


def _scale_dense(first: Scale, second: Dense) -> Chain | None:
    vector = per_axis(first.factor, first.input_shape, second.axis % len(second.input_shape))
    return None if vector is None else (replace(second, weight=second.weight * vector),)


def _scale_behind_sum(first: Scale, second: Dense | ReduceSum) -> Chain | None:
    """Move a scale that is the same for all summands behind the sum."""
    axes = second.axes if isinstance(second, ReduceSum) else (second.axis,)
    full = np.broadcast_to(first.factor, first.input_shape)
    for axis in axes:
        summand = np.take(full, [0], axis=axis)
        if (full != summand).any():
            return None
        full = np.repeat(summand, second.output_shape[axis], axis=axis)
    return (second, Scale(second.output_shape, collapse(full)))


def _dense_scale(first: Dense, second: Scale) -> Chain | None:
    vector = per_axis(second.factor, second.input_shape, first.axis % len(first.input_shape))
    return None if vector is None else (replace(first, weight=first.weight * vector[:, None]),)


def _scale_matrix(first: Scale, second: Matrix) -> Chain:
    columns = np.broadcast_to(first.factor, first.input_shape).reshape(-1)
    return (replace(second, matrix=sp.csr_array(second.matrix @ sp.diags_array(columns))),)


def _matrix_scale(first: Matrix, second: Scale) -> Chain:
    rows = np.broadcast_to(second.factor, second.input_shape).reshape(-1)
    return (replace(first, matrix=sp.csr_array(sp.diags_array(rows) @ first.matrix)),)


def _scale_later(first: Scale, second: LinearOperator) -> Chain | None:
    """Move a scale behind wiring, towards the weights that can absorb it."""
    if isinstance(second, SumPool):
        vector = per_axis(first.factor, first.input_shape, 0)
        if vector is None:
            return None
        factor = _along(vector, len(first.input_shape), 0)
    else:
        factor = second.apply(np.broadcast_to(first.factor, first.input_shape)[None])[0]
        if isinstance(second, Select):  # positions that are zero anyway may carry any factor
            factor = _fill_unused(second, first.factor, factor)
    return (second, Scale(second.output_shape, np.asarray(factor, order="C")))


def _fill_unused(select: Select, factor: FloatArray, moved: FloatArray) -> FloatArray:
    """Give zero-padded positions the factor of their neighbours, so that it stays uniform."""
    nearest: list[IntArray | None] = []
    for index in select.indices:
        if index is None or (index >= 0).all() or not (index >= 0).any():
            nearest.append(index)
            continue
        used = np.flatnonzero(index >= 0)
        closest = used[np.abs(np.arange(len(index))[:, None] - used).argmin(axis=1)]
        nearest.append(index[closest])
    full = np.broadcast_to(factor, select.input_shape)[None]
    return np.asarray(replace(select, indices=tuple(nearest)).apply(full)[0])


def _select_convolution(first: Select, second: Convolution) -> Chain | None:
    """Put channels into the weights, and zero-padding of spatial axes into the padding."""
    channels = first.indices[0]
    if channels is not None:
        if second.groups != 1:
            return None
        weight = _select_weights(second.weight, channels, first.input_shape[0])
        if weight is None:
            return None
        second = replace(second, weight=weight)
    pads = []
    for index, size in zip(first.indices[1:], first.input_shape[1:], strict=True):
        if index is None:
            pads.append((0, 0))
            continue
        used = np.flatnonzero(index >= 0)
        if len(used) != size or not np.array_equal(index[used], np.arange(size)):
            return None
        if used[-1] - used[0] != size - 1:
            return None
        pads.append((int(used[0]), len(index) - 1 - int(used[-1])))
    total = tuple((a + c, b + d) for (a, b), (c, d) in zip(second.pads, pads, strict=True))
    return (replace(second, input_shape=first.input_shape, pads=total),)


def _select_dense(first: Select, second: Dense) -> Chain | None:
    axis = second.axis % len(second.input_shape)
    chosen = first.indices[axis]
    if chosen is None or any(i is not None for a, i in enumerate(first.indices) if a != axis):
        return None
    weight = _select_weights(second.weight, chosen, first.input_shape[axis])
    return None if weight is None else (Dense(first.input_shape, weight, second.axis),)


def _select_weights(weight: FloatArray, index: IntArray, size: int) -> FloatArray | None:
    """Return the weights that read each value, None unless every value is placed once.

    The branches of a concatenation so take their own part of the weights that read it.
    """
    used = np.flatnonzero(index >= 0)
    if not np.array_equal(np.sort(index[used]), np.arange(size)):
        return None
    return np.asarray(weight[:, used[np.argsort(index[used])]])


_Rule = tuple[
    tuple[type[LinearOperator], tuple[type[LinearOperator], ...] | type[LinearOperator]],
    Callable[..., Chain | None],
]
_RULES: tuple[_Rule, ...] = (
    ((Scale, Scale), _scale_scale),
    ((Reshape, Reshape), _reshape_reshape),
    ((Transpose, Transpose), _transpose_transpose),
    ((Select, Select), _select_select),
    ((Scale, Convolution), _scale_convolution),
    ((Convolution, Scale), _convolution_scale),
    ((Scale, TransposedConvolution), _scale_transposed),
    ((TransposedConvolution, Scale), _transposed_scale),
    ((Scale, Dense), _scale_dense),
    ((Scale, (Dense, ReduceSum)), _scale_behind_sum),
    ((Dense, Scale), _dense_scale),
    ((Scale, Matrix), _scale_matrix),
    ((Matrix, Scale), _matrix_scale),
    ((Scale, (Reshape, Transpose, Select, SumPool)), _scale_later),
    ((Select, Convolution), _select_convolution),
    ((Select, TransposedConvolution), _select_transposed),
    ((Select, Dense), _select_dense),
)
