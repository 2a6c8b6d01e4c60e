"""Recognise what is a function of one variable: elementwise operations with the same root."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnconvert.convert.curves.functions import MAX_SIZE, Expression, call
from snnconvert.convert.graph import Add, Affine, Clip, Curve, Op, Relu
from snnconvert.convert.linear import FloatArray, Scale


def expression_of(op: Op, inputs: Sequence[Expression]) -> Expression | None:
    """Return an operation's value as a function of the variable that all its inputs share.

    None where it is not elementwise, where constants differ between elements, or where the
    expression would grow too large.
    """
    found = _expression(op, inputs)
    return None if found is None or found.size > MAX_SIZE else found


def uniform(constant: FloatArray) -> float | None:
    """Return the number that all entries are, None where they differ."""
    first = constant.reshape(-1)[0]
    return float(first) if (constant == first).all() else None


def _expression(op: Op, inputs: Sequence[Expression]) -> Expression | None:
    if isinstance(op, Affine):
        return _affine(op, inputs[0])
    if isinstance(op, Add):
        total = inputs[0]
        for other in inputs[1:]:
            total = total + other
        return _shifted(total, op.bias)
    if isinstance(op, Relu):
        rectified = call("relu", inputs[0])
        return rectified if op.ceiling is None else call("minimum", rectified, op.ceiling)
    if isinstance(op, Clip):
        raised = inputs[0] if op.low == -np.inf else call("maximum", inputs[0], op.low)
        return raised if op.high == np.inf else call("minimum", raised, op.high)
    if isinstance(op, Curve):
        return op.function.at(inputs[0])
    return None


def _affine(op: Affine, x: Expression) -> Expression | None:
    for operator in op.operators:
        scale = uniform(operator.factor) if isinstance(operator, Scale) else None
        if scale is None:
            return None
        x = scale * x
    return _shifted(x, op.bias)


def _shifted(x: Expression, bias: FloatArray | None) -> Expression | None:
    if bias is None:
        return x
    shift = uniform(np.asarray(bias))
    return None if shift is None else x + shift
