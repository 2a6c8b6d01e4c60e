"""MatMul."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.linear import Dense, FloatArray, Reshape


@operator("MatMul", since=1)
def import_matmul(node: OnnxNode, build: GraphBuilder) -> None:
    """Matrix product of an activation and a constant: a fully connected layer along one axis."""
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
    weight = build.weight(node, 1)
    vector = weight.ndim == 1
    matrix = weight[:, None] if vector else _single_matrix(node, weight, x)
    if not x.shape:
        raise node.batch_axis("MatMul sums over the batch")
    if x.shape[-1] != matrix.shape[0]:
        raise _misfit(node, x, weight)
    dense = Dense(x.shape, np.ascontiguousarray(matrix.T))
    drop = (Reshape(dense.output_shape, x.shape[:-1]),) if vector else ()
    build.affine(node, x, (dense, *drop))


def _constant_on_the_left(node: OnnxNode, build: GraphBuilder, x: Activation) -> None:
    weight = build.weight(node, 0)
    if len(x.shape) < 2:
        raise node.batch_axis("MatMul with a constant on the left sums over the batch")
    vector = weight.ndim == 1
    matrix = weight[None] if vector else _single_matrix(node, weight, x)
    if x.shape[-2] != matrix.shape[1]:
        raise _misfit(node, x, weight)
    dense = Dense(x.shape, np.ascontiguousarray(matrix), axis=-2)
    rest = (*x.shape[:-2], x.shape[-1])
    drop = (Reshape(dense.output_shape, rest),) if vector else ()
    build.affine(node, x, (dense, *drop))


def _single_matrix(node: OnnxNode, weight: FloatArray, x: Activation) -> FloatArray:
    if weight.ndim > x.rank:
        raise node.batch_axis(f"a constant of {weight.ndim} axes moves the batch of its operand")
    if weight.ndim < 2:
        raise node.invalid("a single number is no matrix")
    if set(weight.shape[:-2]) - {1}:
        raise node.unsupported(
            f"MatMul with a stack of matrices of shape {list(weight.shape)}",
            why="only one matrix, shared by all rows, is supported",
            hint="write it as a Conv with groups",
        )
    return weight.reshape(weight.shape[-2:])


def _misfit(node: OnnxNode, x: Activation, weight: FloatArray) -> Exception:
    return node.invalid(
        f"a constant of shape {list(weight.shape)} does not fit a value of shape {list(x.shape)} "
        "without batch"
    )
