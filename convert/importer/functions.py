"""Expand a model's own functions into its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import ModelProto, NodeProto, inliner

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.importer.tensors import subgraphs

MAX_NODES = 200_000

_Key = tuple[str, str, str]


def inline_functions(model: ModelProto) -> ModelProto:
    """Return the model without calls of its own functions, the same object if there are none.

    Raises
    ------
    ModelFileError
        If a function calls itself, or the calls unfold to too many nodes.
    """
    bodies = {(f.domain, f.name, f.overload): list(_nodes(f.node)) for f in model.functions}
    calls = [key for node in _nodes(model.graph.node) if (key := _key(node)) in bodies]
    if not calls:
        return model
    sizes = _unfolded_sizes(bodies)
    total = sum(sizes[key] for key in calls)
    if total > MAX_NODES:
        raise ModelFileError(
            f"the model's functions unfold to {total:,} nodes, the limit is {MAX_NODES:,}"
        )
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"the model's functions cannot be expanded: {error}") from error


def _key(node: NodeProto) -> _Key:
    return (node.domain, node.op_type, node.overload)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes and those of their subgraphs."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in subgraphs(attribute):
                waiting += graph.node


def _unfolded_sizes(bodies: dict[_Key, list[NodeProto]]) -> dict[_Key, int]:
    """Count the nodes of each function with all that it calls, callees before callers."""
    sizes: dict[_Key, int] = {}
    for root in bodies:
        stack, open_calls = [root], set[_Key]()
        while stack:
            key = stack[-1]
            if key in sizes:
                stack.pop()
                continue
            callees = [_key(node) for node in bodies[key] if _key(node) in bodies]
            missing = [callee for callee in dict.fromkeys(callees) if callee not in sizes]
            if any(callee in open_calls or callee == key for callee in missing):
                raise ModelFileError(f"the model's function {key[1]!r} calls itself")
            if missing:
                open_calls.add(key)
                stack += missing
                continue
            sizes[key] = len(bodies[key]) + sum(sizes[callee] for callee in callees)
            open_calls.discard(key)
            stack.pop()
    return sizes
