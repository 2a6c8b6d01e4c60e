"""Import an operator on integers as the operator on the real values that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from snnconvert.convert.graph import unused_name
from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder, Value
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.quantisation import (
    Quantisation,
    add_dequantised,
    add_quantised,
    read_quantisation,
)
from snnconvert.convert.importer.registry import find_importer
from snnconvert.convert.linear import FloatArray

OPSET = 13
"""Whose meaning of the operators on real values is used."""


@dataclass(frozen=True)
class Operand:
    """One input of integers.

    Attributes
    ----------
    index : int
        Which input of the node holds the integers.
    scale : int or None
        Which holds their scale; None: 1.
    zero_point : int
        Which holds their zero point.
    axis : int
        Axis of a constant along which several scales lie.
    """

    index: int
    scale: int | None
    zero_point: int
    axis: int = 0


def read_operand(node: OnnxNode, build: GraphBuilder, operand: Operand) -> Quantisation:
    """Return how the integers of an operand stand for real values."""
    value = build.required(node, operand.index)
    shape = value.shape if isinstance(value, Activation) else value.array.shape
    dtype = value.dtype if isinstance(value, Activation) else str(value.array.dtype)
    axis = operand.axis % max(len(shape), 1)
    if operand.scale is not None:
        return read_quantisation(
            node, build, operand.scale, operand.zero_point, shape=shape, axis=axis, dtype=dtype
        )
    zero: FloatArray = np.zeros(())
    if build.value(node, operand.zero_point) is not None:
        zero = build.weight(node, operand.zero_point, "what a spike stands for must be fixed")
    if zero.size > 1 and (isinstance(value, Activation) or zero.ndim > 1):
        raise node.unsupported(
            f"zero points of shape {list(zero.shape)}",
            why="one zero point a row of the batch is no fixed map",
            hint="quantise with one zero point for the whole value",
        )
    if zero.size > 1 and zero.size != shape[axis]:
        raise node.invalid(f"{zero.size} zero points do not fit a value of shape {list(shape)}")
    along = [-1 if a == axis else 1 for a in range(len(shape))]
    zero = zero.reshape(along if zero.size > 1 else (1,) * len(shape))
    return Quantisation(np.ones((1,) * len(shape)), zero, dtype)


def real_value(
    node: OnnxNode, build: GraphBuilder, operand: Operand, how: Quantisation, label: str
) -> Value:
    """Return the real values of an operand."""
    value = build.required(node, operand.index)
    if isinstance(value, Activation):
        if (how.scale == 1).all() and not how.zero_point.any():
            return Activation(value.name, value.shape, "float32")
        return add_dequantised(node, build, value, how, label=label)
    return Constant(how.dequantised(build.weight(node, operand.index)), value.tensor)


def on_real_values(
    node: OnnxNode,
    build: GraphBuilder,
    operator: str,
    values: Sequence[Value],
    attributes: Iterable[str] = (),
    **numbers: float,
) -> Activation:
    """Import `operator` on real values in place of the node.

    Parameters
    ----------
    node : OnnxNode
    build : GraphBuilder
    operator : str
        Of ONNX's own domain.
    values : sequence of Value
    attributes : iterable of str
        Attributes that the node hands on where it has them.
    **numbers
        Further attributes.

    Returns
    -------
    Activation
        No tensor of the file holds it, nor any value on the way.
    """
    taken = dict.fromkeys(build.values)
    tensors = []
    for value in values:
        tensors.append(unused_name(f"{node.name}/operand", taken))
        taken[tensors[-1]] = None
        build.values[tensors[-1]] = value
    result = unused_name(f"{node.name}/result", taken)
    passed = {name: node.attributes[name] for name in attributes if name in node.attributes}
    passed |= {name: onnx.helper.make_attribute(name, number) for name, number in numbers.items()}
    proto = onnx.helper.make_node(operator, tensors, [result], name=node.name)
    proto.attribute.extend(passed.values())
    inner = replace(
        node,
        name=build.unused(f"{node.name}/{operator}"),
        op_type=operator,
        domain="",
        opset=OPSET,
        inputs=tuple(tensors),
        outputs=(result,),
        attributes=passed,
        proto=proto,
    )
    first = len(build.nodes)
    importer = find_importer(operator, OPSET)
    assert importer is not None
    importer(inner, build)
    build.nodes[first:] = [replace(added, tensor=None) for added in build.nodes[first:]]
    value = build.values[result]
    assert isinstance(value, Activation)
    return value


def quantise_result(
    node: OnnxNode, build: GraphBuilder, result: Activation, scale: int, zero_point: int
) -> None:
    """Let the node's output be the result, rounded to integers."""
    how = read_quantisation(node, build, scale, zero_point, shape=result.shape)
    add_quantised(node, build, result, how)


def accumulator(first: Quantisation, second: Quantisation) -> FloatArray:
    """Return the scale of the sums of products of two operands' integers, one a channel."""
    return np.asarray(first.scale.reshape(-1) * second.scale.reshape(-1))
