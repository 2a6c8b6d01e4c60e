"""Weighted sums of activations and constants, broadcast against one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.graph import Add
from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.shapes import broadcast_shape, stretch, without_batch
from snnconvert.convert.linear import Chain, FloatArray, Scale, Shape, chain_output_shape


@dataclass(frozen=True, eq=False)
class Term:
    """One summand.

    Attributes
    ----------
    index : int
        Which input of the node it is.
    scale : float or array
        What it is multiplied by; an array broadcasts against the sum, batch not counted.
    operators : tuple of LinearOperator
        What an activation goes through first.
    """

    index: int
    scale: float | FloatArray = 1.0
    operators: Chain = ()


@dataclass(eq=False)
class _Summand:
    source: Activation
    operators: Chain
    scale: float | FloatArray

    @property
    def shape(self) -> Shape:
        return chain_output_shape(self.operators, self.source.shape)

    def chain(self, build: GraphBuilder, node: OnnxNode, shape: Shape) -> Chain:
        scale = () if np.all(self.scale == 1) else (Scale(shape, np.asarray(self.scale)),)
        return (*self.operators, *stretch(build, node, self.shape, shape), *scale)


def add_terms(node: OnnxNode, build: GraphBuilder, terms: Sequence[Term]) -> None:
    """Let the node's output be the sum of the terms, at least one of them an activation."""
    values = [(build.required(node, term.index), term) for term in terms]
    summands = _summands(values)
    if not summands:  # an operator on integers, which are not computed beforehand
        build.activation(node, terms[0].index)
    rank = max(len(summand.shape) for summand in summands) + 1
    if any(len(summand.shape) + 1 < rank for summand in summands):
        raise node.batch_axis(
            f"{node.op_type} of values with different numbers of axes aligns the batch of one with "
            "an inner axis of the other"
        )
    constants: list[FloatArray] = [
        without_batch(build, node, build.weight(node, term.index), rank) * term.scale
        for value, term in values
        if isinstance(value, Constant)
    ]
    scales = (term.scale.shape for term in terms if isinstance(term.scale, np.ndarray))
    shape = broadcast_shape(
        node, *(s.shape for s in summands), *(c.shape for c in constants), *scales
    )
    build.check_size(node, shape)
    bias = np.asarray(sum(constants[1:], constants[0])) if constants else None
    if len(summands) == 1:
        build.affine(node, summands[0].source, summands[0].chain(build, node, shape), bias)
        return
    parts = []
    for position, summand in enumerate(summands):
        chain = summand.chain(build, node, shape)
        part = summand.source
        parts.append(build.affine(node, part, chain, label=f"term{position}") if chain else part)
    build.add(node, Add(bias), parts, shape)


def _summands(values: Sequence[tuple[Activation | Constant, Term]]) -> list[_Summand]:
    """Return the activations among the terms; one that occurs twice counts double."""
    found: dict[str, _Summand] = {}
    for position, (value, term) in enumerate(values):
        if not isinstance(value, Activation):
            continue
        key = f"{position}" if term.operators else f"={value.name}"
        if key in found:
            found[key].scale = found[key].scale + term.scale
        else:
            found[key] = _Summand(value, term.operators, term.scale)
    return list(found.values())
