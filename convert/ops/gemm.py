"""Gemm."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.importer.builder import Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.sums import Term, add_terms
from snnconvert.convert.linear import Dense


@operator("Gemm", since=7)
def import_gemm(node: OnnxNode, build: GraphBuilder) -> None:
    """Fully connected layer: ``y = alpha * x @ w + beta * c`` with constant w."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    transposed = node.flag("transB", 0)
    if node.flag("transA", 0):
        raise node.batch_axis("Gemm with transA sums over the batch")
    if isinstance(build.required(node, 0), Constant):
        raise node.batch_axis("Gemm with a constant on the left sums over the batch")
    x = build.activation(node, 0)
    weight = build.weight(node, 1)
    weight = weight if transposed else weight.T
    if len(x.shape) != 1 or weight.ndim != 2 or weight.shape[1] != x.shape[0]:
        raise node.invalid(
            f"weights of shape {list(weight.shape)} (outputs, inputs) do not fit an input of shape "
            f"{list(x.shape)} without batch"
        )
    product = Dense(x.shape, np.ascontiguousarray(weight) * alpha)
    if build.value(node, 2) is None or beta == 0:
        build.affine(node, x, (product,))
        return
    add_terms(node, build, [Term(0, operators=(product,)), Term(2, beta)])
