"""MatMul."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.contraction import contract
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import without_batch
from snnconvert.convert.linear import Dense, FloatArray, Reshape


@operator("MatMul", since=1)
def import_matmul(node: OnnxNode, build: GraphBuilder) -> None:
    """Matrix product of an activation and a constant or a stack of constants: a layer an axis."""
    if build.depends_on_input(node, 0) and build.depends_on_input(node, 1):
        raise node.unsupported(
            "matrix product of two activations",
            why="rates add up at a neuron, they do not multiply",
            hint="use a network without attention, or cut the graph",
            code="product-of-activations",
        )
    if build.depends_on_input(node, 1):
        _constant_on_the_left(node, build, build.activation(node, 1))
    else:
        _constant_on_the_right(node, build, build.activation(node, 0))


def _constant_on_the_right(node: OnnxNode, build: GraphBuilder, x: Activation) -> None:
    weight = _constant(node, build, 1, x)
    if not x.shape:
        raise node.batch_axis("MatMul sums over the batch")
    if weight.ndim > 2:
        _stack(node, build, x, weight, left=False)
        return
    vector = weight.ndim == 1
    matrix = weight[:, None] if vector else weight
    if x.shape[-1] != matrix.shape[0]:
        raise _misfit(node, x, weight)
    dense = Dense(x.shape, np.ascontiguousarray(matrix.T))
    drop = (Reshape(dense.output_shape, x.shape[:-1]),) if vector else ()
    build.affine(node, x, (dense, *drop))


def _constant_on_the_left(node: OnnxNode, build: GraphBuilder, x: Activation) -> None:
    weight = _constant(node, build, 0, x)
    if len(x.shape) < 2:
        raise node.batch_axis("MatMul with a constant on the left sums over the batch")
    if weight.ndim > 2:
        _stack(node, build, x, weight, left=True)
        return
    vector = weight.ndim == 1
    matrix = weight[None] if vector else weight
    if x.shape[-2] != matrix.shape[1]:
        raise _misfit(node, x, weight)
    dense = Dense(x.shape, np.ascontiguousarray(matrix), axis=-2)
    rest = (*x.shape[:-2], x.shape[-1])
    drop = (Reshape(dense.output_shape, rest),) if vector else ()
    build.affine(node, x, (dense, *drop))


def _constant(node: OnnxNode, build: GraphBuilder, index: int, x: Activation) -> FloatArray:
    """Return the constant operand without its batch axis, one matrix as a matrix."""
    weight = build.weight(node, index)
    if weight.ndim > x.rank:
        raise node.batch_axis(f"a constant of {weight.ndim} axes moves the batch of its operand")
    if weight.ndim < 1:
        raise node.invalid("a single number is no matrix")
    if weight.ndim == x.rank and weight.ndim > 2:
        weight = without_batch(build, node, weight, x.rank)
    one = weight.ndim > 2 and set(weight.shape[:-2]) == {1}
    return weight.reshape(weight.shape[-2:]) if one else weight


def _stack(
    node: OnnxNode, build: GraphBuilder, x: Activation, weight: FloatArray, *, left: bool
) -> None:
    """Multiply by a matrix of its own for each position along the leading axes."""
    stacked, leading = weight.shape[:-2], x.shape[:-2]
    letters = ascii_lowercase[: len(leading)]
    if len(stacked) > len(leading):
        raise _misfit(node, x, weight)
    aligned = letters[len(leading) - len(stacked) :]
    extents = dict(zip(letters, leading, strict=True))
    different = [c for c, e in zip(aligned, stacked, strict=True) if e not in (1, extents[c])]
    repeated = {c for c in different if extents[c] == 1}
    summed = (-2, -1) if left else (-1, -2)
    if set(different) - repeated or x.shape[summed[0]] != weight.shape[summed[1]]:
        raise _misfit(node, x, weight)
    # An axis of extent 1 that the stack repeats is summed over: it has one summand.
    own = "".join(c.upper() if c in repeated else c for c in aligned)
    squeezed = [a for a, e in enumerate(stacked) if e == 1]
    result = "".join(c.upper() if c in repeated else c for c in letters)
    constant = "".join(c for a, c in enumerate(own) if a not in squeezed)
    weight = weight.squeeze(tuple(squeezed))
    inner, outer = ("yx", "zy") if left else ("xy", "yz")
    final = "zx" if left else "xz"
    chain, shape = contract(x.shape, letters + inner, weight, constant + outer, result + final)
    build.check_size(node, shape)
    build.affine(node, x, chain)


def _misfit(node: OnnxNode, x: Activation, weight: FloatArray) -> Exception:
    return node.invalid(
        f"a constant of shape {list(weight.shape)} does not fit a value of shape {list(x.shape)} "
        "without batch"
    )
