"""The wiring of an ONNX graph, checked: every tensor defined once, before it is read."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import onnx
from onnx import AttributeProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from snnconvert.convert.errors import ModelFileError, UsageError, did_you_mean
from snnconvert.convert.graph import unused_name
from snnconvert.convert.importer.file import opsets
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.tensors import attribute_tensors, check_tensor, subgraphs


@dataclass(frozen=True, eq=False)
class Structure:
    """The part of a model between chosen inputs and outputs.

    Attributes
    ----------
    nodes : tuple of OnnxNode
        In topological order, those that the outputs need.
    inputs, outputs : tuple of str
        Tensor names, in the file's or the caller's order.
    initialisers : dict of TensorProto
    sparse_initialisers : dict of SparseTensorProto
    cut : bool
        Whether this is less than the whole file.
    unused : tuple of OnnxNode
        Nodes of the file that the outputs do not need.
    """

    nodes: tuple[OnnxNode, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    initialisers: dict[str, TensorProto] = field(repr=False)
    sparse_initialisers: dict[str, SparseTensorProto] = field(repr=False)
    cut: bool
    unused: tuple[OnnxNode, ...] = ()


def read_structure(
    model: ModelProto, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> Structure:
    """Check the graph and take the part between `inputs` and `outputs`.

    Raises
    ------
    ModelFileError
        For cycles, undefined tensors, tensors defined twice, undeclared domains, nodes that do
        not fit their operator's definition.
    UsageError
        If `inputs` or `outputs` name no tensor, or leave another input needed.
    """
    graph = model.graph
    initialisers = {tensor.name: tensor for tensor in graph.initializer}
    sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
    constants = initialisers.keys() | sparse.keys()
    own_inputs = tuple(i.name for i in graph.input if i.name not in constants)
    own_outputs = tuple(o.name for o in graph.output)
    reads = [read_names(node) for node in graph.node]
    producers = _producers(model, own_inputs)
    _check_defined(graph.node, {*producers, *constants, *own_inputs}, own_outputs)
    order = _topological_order(graph.node, reads, producers)

    chosen_outputs = _chosen(outputs, own_outputs, {*producers, *own_inputs}, "output")
    chosen_inputs = _chosen(inputs, own_inputs, {*producers, *own_inputs}, "input")
    nodes = _onnx_nodes(model, {*own_inputs, *chosen_inputs})
    needed, read = _reachable(reads, producers, chosen_outputs, set(chosen_inputs))
    left = [name for name in own_inputs if name in read and name not in chosen_inputs]
    if left:
        raise UsageError(
            f"input {left[0]!r} is still needed for {', '.join(map(repr, chosen_outputs))}",
            where="inputs " + ", ".join(map(repr, chosen_inputs)),
            hint="name it too, or choose inputs that lie behind it",
        )
    if not needed and (inputs is not None or outputs is not None):
        ends = "inputs " + ", ".join(map(repr, chosen_inputs))
        raise UsageError(
            f"no node lies between the {ends} and the outputs "
            + ", ".join(map(repr, chosen_outputs)),
            hint="choose inputs in front of the outputs",
        )
    used_inputs = tuple(name for name in chosen_inputs if name in read)
    if not used_inputs:
        raise ModelFileError("no output of the model depends on an input")
    whole = len(needed) == len(nodes) and used_inputs == own_inputs
    return Structure(
        tuple(nodes[i] for i in order if i in needed),
        used_inputs,
        chosen_outputs,
        {name: tensor for name, tensor in initialisers.items() if name in read},
        {name: tensor for name, tensor in sparse.items() if name in read},
        cut=not (whole and chosen_outputs == own_outputs),
        unused=tuple(node for i, node in enumerate(nodes) if i not in needed),
    )


def _chosen(
    names: Sequence[str] | None, default: tuple[str, ...], known: set[str], what: str
) -> tuple[str, ...]:
    if names is None:
        if not default:
            raise ModelFileError(f"the model's graph has no {what}s")
        return default
    if not names or isinstance(names, str) or len(set(names)) < len(names):
        raise UsageError(f"{what}s must be a list of different tensor names, not {names!r}")
    for name in names:
        if name not in known:
            raise UsageError(
                f"the model has no tensor {name!r} to take as {what}",
                hint=_nearest(name, sorted(known), default),
            )
    return tuple(names)


def _nearest(name: str, known: Sequence[str], default: Sequence[str]) -> str:
    """Return the hint of a tensor that does not exist: a large file's are not all listed."""
    near = did_you_mean(name, known)
    return near if near.endswith("?") or len(known) <= 20 else did_you_mean(name, default)


def read_names(node: NodeProto) -> list[str]:
    """Return what a node reads, by its subgraphs too."""
    names = [name for name in node.input if name]
    waiting = [graph for attribute in node.attribute for graph in subgraphs(attribute)]
    while waiting:
        graph = waiting.pop()
        for inner in graph.node:
            names += [name for name in inner.input if name]
            waiting += [g for attribute in inner.attribute for g in subgraphs(attribute)]
    return names


def _producers(model: ModelProto, inputs: tuple[str, ...]) -> dict[str, int]:
    graph = model.graph
    definitions = Counter(inputs)
    definitions.update(tensor.name for tensor in graph.initializer)
    definitions.update(tensor.values.name for tensor in graph.sparse_initializer)
    producers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        definitions.update(name for name in node.output if name)
        producers.update((name, index) for name in node.output if name)
    twice = [name for name, count in definitions.items() if count > 1]
    if twice:
        raise ModelFileError(
            f"tensor {twice[0]!r} is defined {definitions[twice[0]]} times",
            why="ONNX gives each tensor one source",
        )
    listed = Counter(output.name for output in graph.output)
    if listed and max(listed.values()) > 1:
        name = max(listed, key=lambda key: listed[key])
        raise ModelFileError(f"output {name!r} is listed {listed[name]} times")
    return producers


def _check_defined(nodes: Iterable[NodeProto], known: set[str], outputs: tuple[str, ...]) -> None:
    for position, node in enumerate(nodes, start=1):
        for name in node.input:
            if name and name not in known:
                raise ModelFileError(
                    f"tensor {name!r} is read but nothing defines it",
                    where=f"node {node.name!r} ({position}), operator {node.op_type}",
                )
    for name in outputs:
        if name not in known:
            raise ModelFileError(f"output {name!r} is no tensor of the model")


def _topological_order(
    nodes: Sequence[NodeProto], reads: list[list[str]], producers: dict[str, int]
) -> list[int]:
    """Return node indices, sources first, otherwise in the file's order."""
    sources = [{producers[n] for n in names if n in producers} for names in reads]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, needed in enumerate(sources):
        for source in needed:
            readers[source].append(index)
    waiting = [len(needed) for needed in sources]
    ready = [index for index, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = min(set(range(len(nodes))) - set(order))
        raise ModelFileError(
            "the graph has a cycle: a node needs its own result",
            where=f"node {nodes[stuck].name!r} ({stuck + 1} of {len(nodes)}), operator "
            f"{nodes[stuck].op_type}",
        )
    return order


def _reachable(
    reads: list[list[str]], producers: dict[str, int], outputs: Iterable[str], stop: set[str]
) -> tuple[set[int], set[str]]:
    """Return the nodes that the outputs need, and every tensor on the way."""
    needed: set[int] = set()
    seen: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        index = producers.get(name)
        if index is None or name in stop or index in needed:
            continue
        needed.add(index)
        waiting += reads[index]
    return needed, seen


def _onnx_nodes(model: ModelProto, inputs: Iterable[str]) -> list[OnnxNode]:
    """Wrap all nodes of the file under unique names, each checked against its definition."""
    protos = model.graph.node
    versions = opsets(model)
    nodes = []
    for position, (proto, name) in enumerate(
        zip(protos, unique_names(protos, inputs), strict=True), start=1
    ):
        node = OnnxNode(
            name,
            proto.op_type,
            "" if proto.domain == "ai.onnx" else proto.domain,
            position,
            len(protos),
            versions.get("" if proto.domain == "ai.onnx" else proto.domain, 0),
            tuple(proto.input),
            tuple(proto.output),
            {attribute.name: attribute for attribute in proto.attribute},
            proto,
        )
        if not node.opset:
            raise node.invalid(f"the model does not say which version of {node.domain!r} it uses")
        _check_definition(node)
        nodes.append(node)
    return nodes


def unique_names(protos: Sequence[NodeProto], reserved: Iterable[str]) -> Iterator[str]:
    """Yield a name for each node: its own, or operator and position if that is taken or empty."""
    counts = Counter(proto.name for proto in protos)
    counts.update(reserved)
    taken = set(counts)
    for position, proto in enumerate(protos, start=1):
        name = proto.name
        if not name or counts[name] > 1:
            name = unused_name(f"{proto.op_type}_{position}", taken)
            taken.add(name)
        yield name


@lru_cache(maxsize=1024)
def find_schema(name: str, opset: int, domain: str) -> onnx.defs.OpSchema | None:
    """Return ONNX's definition of an operator, None if it has none."""
    try:
        return onnx.defs.get_schema(name, opset, domain)
    except onnx.defs.SchemaError:
        return None


def _check_definition(node: OnnxNode) -> None:
    """Compare a node with its operator's definition, as far as its inputs' shapes do not matter."""
    if len(node.attributes) < len(node.proto.attribute):
        raise node.invalid("an attribute is given twice")
    for attribute in node.proto.attribute:
        for tensor in attribute_tensors(attribute):
            check_tensor(tensor)
    schema = find_schema(node.op_type, node.opset, node.domain)
    if schema is None:
        return
    given = len(node.inputs)
    if not schema.min_input <= given <= schema.max_input:
        allowed = f"{schema.min_input} to {schema.max_input}"
        raise node.invalid(f"it has {given} inputs, {node.op_type} takes {allowed}")
    for formal, name in zip(schema.inputs, node.inputs, strict=False):
        if not name and formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
            raise node.invalid(f"input {formal.name!r} is missing")
    if not schema.min_output <= len(node.outputs) <= schema.max_output or not node.outputs[0]:
        raise node.invalid(f"its outputs {list(node.outputs)} do not fit {node.op_type}")
    _check_attributes(node, schema)


def _check_attributes(node: OnnxNode, schema: onnx.defs.OpSchema) -> None:
    known = schema.attributes
    for name, attribute in node.attributes.items():
        if name not in known:
            raise node.invalid(
                f"{node.op_type} of opset {node.opset} has no attribute {name!r}",
                hint=did_you_mean(name, list(known)) if known else "",
            )
        kind = known[name].type.name  # type: ignore[attr-defined]
        if attribute.ref_attr_name or AttributeProto.AttributeType.Name(attribute.type) != kind:
            raise node.invalid(f"attribute {name!r} is not of type {kind}")
    missing = [n for n, formal in known.items() if formal.required and n not in node.attributes]
    if missing:
        raise node.invalid(f"attribute {missing[0]!r} is missing")
