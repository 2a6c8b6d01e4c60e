"""Chains of linear operators as Nengo transforms.

A convolution or dense layer that Nengo computes itself stays one, in Nengo's own form; everything
else becomes a sparse matrix over flattened shapes. Neighbouring matrices are multiplied where the
product is not larger than they are; otherwise a passthrough node stands between.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from snnconvert.backends.nengo.engine import nengo
from snnconvert.convert.linear import Chain, Convolution, Dense, LinearOperator, Reshape

Transform: TypeAlias = Any
"""A ``nengo.transforms.Transform``; nengo has no types."""


def chain_to_transforms(chain: Chain, size: int) -> list[Transform]:
    """Return the transforms that, applied one after the other, are the chain's map.

    Parameters
    ----------
    chain : tuple of LinearOperator
    size : int
        Number of values before the chain.

    Returns
    -------
    list of nengo.transforms.Transform
        At least one; a ``NoTransform`` where the chain only reshapes.
    """
    parts: list[Any] = []
    for operator in chain:
        if isinstance(operator, Reshape):
            continue  # the order of the values is Nengo's
        part = _native(operator) or operator.to_sparse()
        if parts and _worth_multiplying(part, parts[-1]):
            parts[-1] = sp.csr_array(part @ parts[-1])
        else:
            parts.append(part)
    return [
        _matrix_transform(part) if isinstance(part, sp.csr_array) else part for part in parts
    ] or [nengo.transforms.NoTransform(size)]


def stored_weights(transform: Transform) -> int:
    """Return the number of weights other than zero that Nengo stores (0 for one-to-one)."""
    if isinstance(transform, nengo.transforms.NoTransform):
        return 0
    weights = transform.sample()
    return int(weights.nnz if isinstance(weights, sp.csr_matrix) else np.count_nonzero(weights))


def _native(operator: LinearOperator) -> Transform:
    if isinstance(operator, Dense):
        others = math.prod(operator.input_shape) // operator.weight.shape[1]
        if others == 1:
            return nengo.Dense(operator.weight.shape, init=operator.weight.astype(np.float64))
    if isinstance(operator, Convolution):
        padding = _padding(operator)
        if padding is not None:
            return _convolution(operator, padding)
    return None


def _padding(operator: Convolution) -> str | None:
    """Return Nengo's name for the operator's pads, None where it has none."""
    if len(operator.strides) > 2 or any(d != 1 for d in operator.dilations):
        return None
    if all(pads == (0, 0) for pads in operator.pads):
        return "valid"
    spatial, positions = operator.input_shape[1:], operator.output_shape[1:]
    for extent, out, size, stride, pads in zip(
        spatial, positions, operator.window.size, operator.strides, operator.pads, strict=True
    ):
        # TensorFlow's rule: the smaller half in front. With stride 2 it differs from ONNX's pads.
        total = max((out - 1) * stride + size - extent, 0)
        if out != math.ceil(extent / stride) or pads != (total // 2, total - total // 2):
            return None
    return "same"


def _convolution(operator: Convolution, padding: str) -> Transform:
    spatial = range(2, operator.weight.ndim)
    return nengo.Convolution(
        n_filters=operator.weight.shape[0],
        input_shape=operator.input_shape,
        kernel_size=operator.window.size,
        strides=operator.strides,
        padding=padding,
        channels_last=False,
        init=operator.weight.transpose(*spatial, 1, 0).astype(np.float64),
        groups=operator.groups,
    )


def _worth_multiplying(later: Any, earlier: Any) -> bool:
    """Tell whether both are matrices whose product has no more entries than they have."""
    if not (isinstance(later, sp.csr_array) and isinstance(earlier, sp.csr_array)):
        return False
    used = np.bincount(later.indices, minlength=later.shape[1])
    return bool(used @ np.diff(earlier.indptr) <= later.nnz + earlier.nnz)


def _matrix_transform(matrix: sp.csr_array) -> Transform:
    rows, columns = matrix.shape
    diagonal = matrix.diagonal()
    if rows != columns or np.count_nonzero(diagonal) != matrix.count_nonzero():
        # nengo accepts scipy's older matrix interface only
        return nengo.Sparse(matrix.shape, init=sp.csr_matrix(matrix))
    if (diagonal == 1).all():
        return nengo.transforms.NoTransform(rows)
    uniform = (diagonal == diagonal[0]).all()
    return nengo.Dense(matrix.shape, init=diagonal[:1].reshape(()) if uniform else diagonal)
