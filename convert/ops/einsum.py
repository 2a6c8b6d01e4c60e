"""Einsum."""

from __future__ import annotations

from string import ascii_letters

import numpy as np

from snnconvert.convert.importer.builder import Activation, Constant, GraphBuilder
from snnconvert.convert.importer.contraction import contract
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import without_batch
from snnconvert.convert.linear import Shape


@operator("Einsum", since=12)
def import_einsum(node: OnnxNode, build: GraphBuilder) -> None:
    """Sum of products of an activation and a constant, over any axes."""
    values = [build.required(node, index) for index in range(len(node.inputs))]
    dynamic = [i for i, value in enumerate(values) if isinstance(value, Activation)]
    if len(dynamic) > 1:
        raise node.unsupported(
            "Einsum of several activations",
            why="rates add up at a neuron, they do not multiply",
            hint="use a network without attention, or cut the graph",
            code="product-of-activations",
        )
    if len(values) > 2:
        raise node.unsupported(
            f"Einsum of {len(values)} operands",
            why="only one constant is multiplied with the activation",
            hint="multiply the constants with one another before",
        )
    shapes = [_shape(build, value) for value in values]
    terms, result = _terms(node, shapes)
    x = build.activation(node, dynamic[0])
    letters = terms[dynamic[0]]
    batch = letters[0]
    others = [i for i in range(len(values)) if i not in dynamic]
    constant = terms[others[0]] if others else ""
    weight = build.weight(node, others[0]) if others else np.ones(())
    if result[:1] != batch or batch in constant[1:]:
        raise node.batch_axis("Einsum sums over the batch or moves it")
    if constant[:1] == batch:
        constant, weight = constant[1:], without_batch(build, node, weight, weight.ndim)
    chain, shape = contract(x.shape, letters[1:], weight, constant, result[1:])
    build.check_size(node, shape)
    build.affine(node, x, chain)


def _shape(build: GraphBuilder, value: Activation | Constant) -> Shape:
    if isinstance(value, Activation):
        return (build.batch, *value.shape)
    return value.array.shape


def _terms(node: OnnxNode, shapes: list[Shape]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, ellipses written out."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise node.invalid(f"equation {equation!r} does not fit {len(shapes)} operands")
    spare = [c for c in ascii_letters if c not in equation]
    rest = 0
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise node.invalid(f"equation {equation!r} does not fit operands of {shapes} axes")
        rest = max(rest, hidden)
    if rest > len(spare):
        raise node.invalid(f"equation {equation!r} has too many axes")
    dots = "".join(spare[:rest])
    written = []
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        written.append(term.replace("...", dots[rest - hidden :]))
    if not arrow:
        joined = "".join(written)
        free = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots)
        right = "..." + "".join(free)
    result = right.replace("...", dots)
    _check_terms(node, equation, written, result, shapes)
    return written, result


def _check_terms(
    node: OnnxNode, equation: str, terms: list[str], result: str, shapes: list[Shape]
) -> None:
    extents: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(set(term)) < len(term):
            raise node.unsupported(
                f"Einsum {equation!r} takes a diagonal",
                why="an axis that occurs twice in one operand is not supported",
                hint="take the diagonal with GatherND before",
            )
        for letter, extent in zip(term, shape, strict=True):
            if letter not in ascii_letters or extents.setdefault(letter, extent) != extent:
                raise node.invalid(f"equation {equation!r} does not fit the operands' shapes")
    if set(result) - set(extents) or len(set(result)) < len(result):
        raise node.invalid(f"equation {equation!r} has a result that its operands do not give")
