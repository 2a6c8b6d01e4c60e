"""Where."""

from __future__ import annotations

import numpy as np

from snnconvert.convert.curves.functions import call
from snnconvert.convert.importer.builder import Activation, GraphBuilder
from snnconvert.convert.importer.elementwise import add_curve, shared_operands
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator
from snnconvert.convert.importer.shapes import without_batch
from snnconvert.convert.importer.sums import Term, add_terms


@operator("Where", since=9)
def import_where(node: OnnxNode, build: GraphBuilder) -> None:
    """Choice by a constant condition: a mask on each; between functions of one value: a curve."""
    if build.depends_on_input(node, 0):
        shared = shared_operands(node, build, (0, 1, 2))
        if shared is not None:
            add_curve(node, build, shared, call("where", *shared.expressions))
            return
        raise node.unsupported(
            "Where with a condition that depends on the input",
            why="which value is taken would be decided by values; a spiking network is fixed",
            hint="write it with Relu or Clip where it is a bound",
            code="unsupported-operator",
        )
    values = [build.required(node, index) for index in (1, 2)]
    ranks = [value.rank for value in values if isinstance(value, Activation)]
    condition = build.constant(node, 0)
    if not ranks or condition.dtype != np.bool_:
        raise node.invalid("the condition of Where is no truth value")
    mask = without_batch(build, node, condition, max(ranks)).astype(np.float64)
    add_terms(node, build, [Term(1, mask), Term(2, 1 - mask)])
