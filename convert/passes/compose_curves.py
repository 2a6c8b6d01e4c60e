"""Make one curve of functions of functions: ``tanh(softplus(x))`` is fitted once, not twice."""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.curves.functions import Expression, X, is_rectifying
from snnconvert.convert.curves.univariate import expression_of
from snnconvert.convert.graph import Clip, Curve, Graph, Node, Relu
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes


def compose_curves(graph: Graph) -> Graph:
    """Return the graph with every nonlinear function of a curve as a curve itself.

    A curve behind a rectifier takes it in as well. Scales and shifts in front of a curve stay
    what they are: they fold into the weights.
    """
    known: dict[str, tuple[str, Expression]] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        sources = [known[name] for name in node.inputs]
        root, inner = sources[0] if sources else ("", X)
        if isinstance(node.op, Curve | Relu | Clip):
            node = _composed(graph, node, root, inner)
        known[node.name] = (node.name, X)
        if len({name for name, _ in sources}) == 1 and graph[root].shape == node.shape:
            expressions = [X] if node.inputs == (root,) else [e for _, e in sources]
            function = expression_of(node.op, expressions)
            if function is not None:
                known[node.name] = (root, function)
        nodes.append(node)
    return drop_dead_nodes(graph.with_nodes(nodes))


def _composed(graph: Graph, node: Node, root: str, inner: Expression) -> Node:
    """Return a node that reads the root, where its function bends what is bent already."""
    if graph[root].shape != node.shape or not _bends(node, inner):
        return node
    function = expression_of(node.op, [inner])
    return node if function is None else replace(node, op=Curve(function), inputs=(root,))


def _bends(node: Node, inner: Expression) -> bool:
    if isinstance(node.op, Curve) and node.op.ramps is not None:
        return False
    if not is_rectifying(inner):
        return True
    return isinstance(node.op, Curve) and inner != X and not is_linear(inner)


def is_linear(expression: Expression) -> bool:
    """Tell whether scales and shifts alone make the function."""
    names = expression.names
    return names <= {"add", "subtract", "multiply", "divide"} and is_rectifying(expression)
