"""Which nodes of a graph end up in the synapses of another one."""

from __future__ import annotations

from snnconvert.convert.graph import Affine, Graph, Node
from snnconvert.convert.linear import Scale, weights_of
from snnconvert.convert.passes.fold_affine import may_fold


def merged_nodes(graph: Graph) -> dict[str, str]:
    """Return, for each affine map that is merged with others, the one that it belongs to.

    Of maps in a row the one with the most weights stays: the convolution, not the batch norm.

    Parameters
    ----------
    graph : Graph
        As imported.
    """
    groups: dict[str, list[Node]] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.op, Affine):
            reader = next(iter(graph.consumers[node.name]), None)
            joined = reader is not None and reader.name in groups and may_fold(graph, node)
            groups[node.name] = groups[reader.name] if joined and reader else []
            groups[node.name].append(node)
    found: dict[str, str] = {}
    for group in {id(group): group for group in groups.values()}.values():
        keeper = max(group, key=_weight)  # of equal ones the last in the file
        found |= {node.name: keeper.name for node in group if node is not keeper}
    return found


def _weight(node: Node) -> int:
    assert isinstance(node.op, Affine)
    trained = [o for o in node.op.operators if not isinstance(o, Scale)]
    return sum(w.size for o in trained if (w := weights_of(o)) is not None)
