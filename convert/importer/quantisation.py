"""Scales and zero points: integers of the file to real values, and real values to integers.

The Graph keeps real values. A tensor of integers is an affine map of them, ``x / scale + zero
point``, which a pass takes out again where a DequantizeLinear undoes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.graph import Affine
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.linear import FloatArray, Scale
from snnconvert.convert.quantiser import Quantise

INTEGER_RANGES = {
    f"{sign}int{bits}": ((0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    for sign in ("", "u")
    for bits in (2, 4, 8, 16)
}
"""Least and greatest number of each type that activations are quantised to."""


@dataclass(frozen=True, eq=False)
class Quantisation:
    """How integers stand for real values: ``real = (integer - zero_point) * scale``.

    Attributes
    ----------
    scale, zero_point : float array
        They broadcast against the value.
    dtype : str
        NumPy's name of the integers' type.
    """

    scale: FloatArray
    zero_point: FloatArray
    dtype: str

    def dequantised(self, integers: FloatArray) -> FloatArray:
        """Return real values."""
        return np.asarray((integers.astype(np.float64) - self.zero_point) * self.scale)


def read_quantisation(
    node: OnnxNode,
    build: GraphBuilder,
    scale: int,
    zero_point: int,
    *,
    shape: Sequence[int],
    axis: int = 0,
    dtype: str = "uint8",
) -> Quantisation:
    """Read a scale and a zero point.

    Parameters
    ----------
    node : OnnxNode
    build : GraphBuilder
    scale, zero_point : int
        Indices of the node's inputs.
    shape : sequence of int
        Of the value that they belong to.
    axis : int
        Axis of `shape` along which several scales lie.
    dtype : str
        Type of the integers where there is no zero point.

    Raises
    ------
    ModelFileError
        If they do not fit the value, or a scale is not positive and finite.
    Unsupported
        If they depend on the network's input.
    """
    why = "what a spike stands for must be fixed"
    scales = build.weight(node, scale, why)
    zeros: FloatArray = np.zeros(scales.shape)
    if build.value(node, zero_point) is not None:
        zeros = build.weight(node, zero_point, why)
        dtype = str(build.constant(node, zero_point).dtype)
    if zeros.size == 1:
        zeros = np.broadcast_to(zeros.reshape(()), scales.shape)
    if zeros.shape != scales.shape:
        raise node.invalid(
            f"a zero point of shape {list(zeros.shape)} does not fit a scale of shape "
            f"{list(scales.shape)}"
        )
    if scales.size == 0 or not (scales > 0).all():
        raise node.invalid("a scale is not positive")
    return Quantisation(_along(node, scales, shape, axis), _along(node, zeros, shape, axis), dtype)


def _along(node: OnnxNode, numbers: FloatArray, shape: Sequence[int], axis: int) -> FloatArray:
    """Return one number, or one along an axis, so that it broadcasts against `shape`."""
    if numbers.size == 1:
        return np.asarray(numbers, np.float64).reshape((1,) * len(shape))
    if numbers.ndim > 1:
        raise node.unsupported(
            f"scales of shape {list(numbers.shape)}",
            why="scales of blocks are known for weights only",
            hint="quantise activations with one scale, or one a channel",
        )
    if not 0 <= axis < len(shape) or shape[axis] != numbers.size:
        raise node.invalid(
            f"{numbers.size} scales do not fit a value of shape {list(shape)} along axis {axis}"
        )
    return np.asarray(numbers.reshape([-1 if a == axis else 1 for a in range(len(shape))]))


def add_dequantised(
    node: OnnxNode, build: GraphBuilder, x: Activation, how: Quantisation, *, label: str = ""
) -> Activation:
    """Add the real values of integers."""
    bias = -how.zero_point * how.scale if how.zero_point.any() else None
    op = Affine((Scale(x.shape, how.scale),), bias)
    return build.add(node, op, [x], x.shape, label=label, dtype="float32")


def add_quantised(
    node: OnnxNode, build: GraphBuilder, x: Activation, how: Quantisation, *, output: int = 0
) -> None:
    """Let an output of the node be `x` rounded to integers.

    Raises
    ------
    Unsupported
        If they are of a type without even steps.
    """
    if how.dtype not in INTEGER_RANGES:
        raise node.unsupported(
            f"quantisation of an activation to {how.dtype}",
            why="its levels are not evenly spaced; spikes count even steps",
            hint=f"quantise to one of {', '.join(INTEGER_RANGES)}",
        )
    least, greatest = INTEGER_RANGES[how.dtype]
    tensor = node.outputs[output]
    op = Quantise(
        how.scale, least - how.zero_point, greatest - how.zero_point, how.zero_point, tensor
    )
    rounded = build.add(node, op, [x], x.shape, label="levels")
    shift = how.zero_point if how.zero_point.any() else None
    integers = Affine((Scale(x.shape, 1 / how.scale),), shift)
    build.add(node, integers, [rounded], x.shape, output=output, dtype=how.dtype)
