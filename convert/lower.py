"""Lower a graph to affine maps, sums, concatenations and Relu: one population each."""

from __future__ import annotations

from snnconvert.convert.curves.fit_ramps import RampBudget, can_be_fitted
from snnconvert.convert.errors import Problem, UnsupportedModelError
from snnconvert.convert.graph import (
    Add,
    Affine,
    Concat,
    Curve,
    Graph,
    GraphInput,
    Node,
    OutputFunction,
    Relu,
)
from snnconvert.convert.passes.cancel_integers import cancel_integers
from snnconvert.convert.passes.compose_curves import compose_curves
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes
from snnconvert.convert.passes.fold_affine import fold_affine
from snnconvert.convert.passes.lower_clip import lower_clip
from snnconvert.convert.passes.lower_curves import lower_curves
from snnconvert.convert.passes.lower_max_pool import lower_max_pool, relu_before_max_pool
from snnconvert.convert.passes.lower_quantise import drop_rounded_outputs, lower_quantise
from snnconvert.convert.passes.split_output_functions import split_output_functions

LOWERED = (GraphInput, Affine, Add, Concat, Relu)


def exact_graph(graph: Graph) -> Graph:
    """Return the graph up to its logits, with functions of functions made one curve.

    It computes what the file computes; what lowering approximates is still whole here.

    Raises
    ------
    UnsupportedModelError
        If a function that only an output may have stands inside the network; all are listed.
    """
    graph = split_output_functions(_in_real_units(graph))
    problems = lowering_problems(graph)
    if problems:
        raise UnsupportedModelError(problems, model=graph.name)
    return compose_curves(graph)


def lower(graph: Graph, budget: RampBudget | None = None) -> Graph:
    """Return the function out of affine maps and Relu nodes only.

    It is the same function but for what the graph's `approximations` then say.

    Parameters
    ----------
    graph : Graph
    budget : RampBudget, optional
        For curves that calibration has not fitted.

    Raises
    ------
    UnsupportedModelError
        If a function that only an output may have stands inside the network; all are listed.
    """
    graph = lower_curves(exact_graph(graph), budget)
    for step in (
        lower_quantise,
        lower_clip,
        relu_before_max_pool,
        lower_max_pool,
        fold_affine,
        drop_dead_nodes,
    ):
        graph = step(graph)
    assert all(isinstance(node.op, LOWERED) for node in graph.nodes)
    return graph


def _in_real_units(graph: Graph) -> Graph:
    return drop_rounded_outputs(drop_dead_nodes(cancel_integers(graph)))


def lowering_problems(graph: Graph) -> list[Problem]:
    """Return a problem for each inner output function, and each curve that is a number nowhere."""
    graph = split_output_functions(_in_real_units(graph))
    inside = [_inside(n, n.op) for n in graph.nodes if isinstance(n.op, OutputFunction)]
    curves = [(n, n.op) for n in compose_curves(graph).nodes if isinstance(n.op, Curve)]
    return inside + [_nowhere(n, op) for n, op in curves if not can_be_fitted(op.function)]


def _nowhere(node: Node, curve: Curve) -> Problem:
    return Problem(
        code="non-finite-weights",
        message=f"the function {curve.function} is finite nowhere",
        node=node.name,
        place=f"node {node.name!r}",
        why="no neurons can follow it",
        hint="look for a logarithm or root of negative values, or a parameter that is no number",
    )


def _inside(node: Node, function: OutputFunction) -> Problem:
    place = f"node {node.name!r}, operator {function.kind}"
    return inner_function(function.kind, node.name, place)


def inner_function(kind: str, node: str, place: str) -> Problem:
    """Return the problem of an output function that other nodes read."""
    return Problem(
        code="unsupported-operator",
        message=f"{kind} inside the network cannot be rate-coded",
        node=node,
        place=place,
        why="it is converted only at the end of the network, where it belongs to the readout",
        hint="let the network end with it or before it",
    )
