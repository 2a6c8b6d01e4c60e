"""Import elementwise operators as functions of one variable, however many nodes spell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.curves.functions import Expression, Number
from snnconvert.convert.curves.univariate import uniform
from snnconvert.convert.graph import Curve
from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder, Unknown
from snnconvert.convert.importer.node import OnnxNode


@dataclass(frozen=True, eq=False)
class Operands:
    """The inputs of an elementwise node as functions of the one value that they depend on.

    Attributes
    ----------
    root : Activation
    expressions : tuple of Expression
        One an input.
    """

    root: Activation
    expressions: tuple[Expression, ...]


def apply_function(node: OnnxNode, build: GraphBuilder, function: Expression) -> None:
    """Let the node's output be a function of every element of its first input."""
    x = build.activation(node)
    build.add(node, Curve(function), [x], x.shape)


def floating(node: OnnxNode, x: Activation) -> Activation:
    """Return a value; whole numbers, for which ONNX rounds, are refused."""
    if np.dtype(x.dtype).kind not in "fb":
        raise node.unsupported(
            f"{node.op_type} of whole numbers",
            why="ONNX rounds its result, which is no function that neurons compute",
            hint="cast to float before",
        )
    return x


def unwrapped(node: OnnxNode, build: GraphBuilder, indices: Sequence[int]) -> None:
    """Refuse arithmetic on integers of 8 and 16 bits: ONNX lets results beyond their range wrap."""
    for index in indices:
        value = build.value(node, index)
        if not isinstance(value, Activation):
            continue
        dtype = np.dtype(value.dtype)
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            raise node.unsupported(
                f"{node.op_type} of {dtype} values",
                why=f"what does not fit {8 * dtype.itemsize} bits wraps around, which no neuron "
                "does",
                hint="cast to float before",
            )


def shared_operands(node: OnnxNode, build: GraphBuilder, indices: Sequence[int]) -> Operands | None:
    """Return the inputs as functions of one value.

    None where they depend on several values, where a constant differs between elements, or where
    broadcasting changes the shape.
    """
    roots: dict[str, Activation] = {}
    expressions: list[Expression] = []
    constants: list[Constant] = []
    if any(isinstance(build.value(node, index), Unknown) for index in indices):
        return None
    for index in indices:
        value = build.required(node, index)
        if isinstance(value, Activation):
            root, expression = build.univariate(value)
            roots[root.name] = root
            expressions.append(expression)
            continue
        number = uniform(build.numbers(node, index)) if value.array.size else None
        if number is None:
            return None
        constants.append(value)
        expressions.append(Number(number))
    if len(roots) != 1:
        return None
    (root,) = roots.values()
    if any(not _keeps_shape(build, constant, root) for constant in constants):
        return None
    return Operands(root, tuple(expressions))


def _keeps_shape(build: GraphBuilder, constant: Constant, root: Activation) -> bool:
    full = (build.batch, *root.shape)
    try:
        return np.broadcast_shapes(constant.array.shape, full) == full
    except ValueError:
        return False


def add_curve(
    node: OnnxNode, build: GraphBuilder, operands: Operands, function: Expression
) -> None:
    """Let the node's output be a function of the operands' root."""
    build.add(node, Curve(function), [operands.root], operands.root.shape)
