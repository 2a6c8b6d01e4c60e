"""Walk the nodes of a model and let each operator's importer build its part of the Graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from snnconvert.convert.checking.node_verdicts import ACTIVATION_OPERATORS, Fate, NodeVerdict
from snnconvert.convert.errors import ModelFileError, Problem
from snnconvert.convert.graph import (
    Add,
    Affine,
    Concat,
    GraphInput,
    Node,
    Op,
    OutputFunction,
)
from snnconvert.convert.importer.builder import Activation, Budget, Constant, GraphBuilder, Unknown
from snnconvert.convert.importer.folding import MAX_CONSTANT_BYTES, fold, is_foldable
from snnconvert.convert.importer.inputs import InputSpec
from snnconvert.convert.importer.node import OnnxNode, UnknownInput, Unsupported
from snnconvert.convert.importer.placeholders import promised_outputs
from snnconvert.convert.importer.registry import find_importer
from snnconvert.convert.importer.same import first_difference
from snnconvert.convert.importer.structure import Structure
from snnconvert.convert.importer.tensors import sparse_array, tensor_array
from snnconvert.convert.importer.unsupported import unsupported_operator
from snnconvert.convert.linear import Shape
from snnconvert.convert.lower import inner_function
from snnconvert.convert.quantiser import DynamicQuantise, Quantise

BATCHES = (13, 17)
"""Extents that stand for a free batch in shape arithmetic: rare in files, so that a 1 or an 8 that
a file states is not taken for the batch. What depends on the extent differs between the two."""

CONSTANT_BYTES = 2**30
CONSTANT_BYTES_PER_FILE_BYTE = 64


OUTPUT_FUNCTIONS = frozenset({"Softmax", "LogSoftmax", "ArgMax"})
COPIES = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout"})
"""Operators that may stand behind an output function."""

SYNAPSES = (GraphInput, Affine, Add, Concat, Quantise, DynamicQuantise)
"""What needs no neurons of its own: a quantiser belongs to the activation in front of it."""


@dataclass(frozen=True, eq=False)
class Translation:
    """What the nodes of a file became.

    Attributes
    ----------
    nodes : tuple of Node
    outputs : tuple of str
        Graph nodes of the outputs; incomplete when there are problems.
    problems : tuple of Problem
        In the order of the file.
    reads_batch : bool
        Whether shape arithmetic used the extent of the batch.
    batch_fixed : int or None
        Batch extent that the file insists on.
    notes : tuple of str
    verdicts : tuple of NodeVerdict
        One for each node of the file, in its order.
    shapes : dict of tuple of int
        Shape without batch of each tensor that depends on the input, as far as it is known.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    problems: tuple[Problem, ...]
    reads_batch: bool
    batch_fixed: int | None = None
    notes: tuple[str, ...] = ()
    verdicts: tuple[NodeVerdict, ...] = ()
    shapes: dict[str, Shape] = field(default_factory=dict)


def translate(structure: Structure, specs: tuple[InputSpec, ...], file_bytes: int) -> Translation:
    """Translate the nodes of a model.

    The batch is free in the Graph. Where the file leaves it free too, shape arithmetic is done for
    an unusual extent, and for a second one if any of it read the extent; both must give the same
    Graph. A file that only works for one sample at a time is taken as having a batch of 1.

    Parameters
    ----------
    structure : Structure
    specs : tuple of InputSpec
    file_bytes : int
        Size of the file, in proportion to which constants may unfold.

    Raises
    ------
    ModelFileError
        If a node is invalid.
    """
    fixed = [spec.batch for spec in specs if spec.batch is not None]
    constants = _load_constants(structure)
    limit = CONSTANT_BYTES + CONSTANT_BYTES_PER_FILE_BYTE * file_bytes

    def run(batch: int, batch_fixed: int | None = None, *notes: str) -> Translation:
        build = GraphBuilder(batch, batch_fixed is None, _names(structure), Budget(limit))
        walk = _Walk(structure, specs, constants, build)
        with np.errstate(all="ignore"):  # NaN and infinity are looked for where they would matter
            return walk.run(batch_fixed, notes)

    if fixed:
        return run(fixed[0], fixed[0])
    found = run(BATCHES[0])
    culprit = next((p.node for p in found.problems if p.code == "batch-axis"), None)
    if culprit is None and found.reads_batch and not found.problems:
        again = run(BATCHES[1])
        culprit = first_difference(found.nodes, again.nodes)
    if culprit is None:
        return found
    note = f"the file leaves the batch free, but node {culprit!r} takes one sample at a time"
    try:
        single = run(1, 1, note)
    except ModelFileError:
        if not found.problems:
            raise
        return found
    stays = any(p.code == "batch-axis" for p in single.problems)
    return found if stays and found.problems else single


def _names(structure: Structure) -> Iterable[str]:
    yield from structure.inputs
    yield from (node.name for node in structure.nodes)


def _load_constants(structure: Structure) -> dict[str, Constant]:
    constants = {
        name: Constant(tensor_array(tensor), name)
        for name, tensor in structure.initialisers.items()
    }
    for name, sparse in structure.sparse_initialisers.items():
        constants[name] = Constant(sparse_array(sparse, MAX_CONSTANT_BYTES), name)
    return constants


class _Walk:
    def __init__(
        self,
        structure: Structure,
        specs: tuple[InputSpec, ...],
        constants: dict[str, Constant],
        build: GraphBuilder,
    ) -> None:
        self.structure = structure
        self.specs = specs
        self.build = build
        self.build.values.update(constants)
        self.problems: list[tuple[int, Problem]] = []
        self.unjudged: set[int] = set()
        self.assumed: set[str] = set()
        self.build_ops: dict[str, Op] = {}

    def run(self, batch_fixed: int | None, notes: tuple[str, ...]) -> Translation:
        for spec in self.specs:
            self._input(spec)
        for node in self.structure.nodes:
            try:
                self._node(node)
            except Unsupported as found:
                self.problems.append((node.position, found.problem))
                self._forget(node)
            except UnknownInput:
                self._leave(node)
            except ModelFileError:
                if self.assumed.isdisjoint(node.inputs):
                    raise
                self._leave(node)  # it may fit what the refused node really gives
            if not self.assumed.isdisjoint(node.inputs):
                self.assumed.update(node.outputs)
        taken = set(self.structure.inputs)
        outputs = [self._output(name, taken) for name in self.structure.outputs]
        if self.problems:  # else the passes find them, in a whole graph
            self._name_inner_functions()
        problems = tuple(problem for _, problem in sorted(self.problems, key=lambda p: p[0]))
        nodes = () if problems else _needed(self.build.nodes, outputs)
        return Translation(
            nodes,
            tuple(outputs),
            problems,
            self.build.reads_batch,
            batch_fixed,
            notes,
            self._verdicts({node.name for node in nodes}),
            {n: v.shape for n, v in self.build.values.items() if isinstance(v, Activation)},
        )

    def _verdicts(self, kept: set[str]) -> tuple[NodeVerdict, ...]:
        self.build_ops = {node.name: node.op for node in self.build.nodes}
        refused = {position: problem.message for position, problem in self.problems}
        found = [
            self._verdict(node, refused.get(node.position), kept) for node in self.structure.nodes
        ]
        found += [
            NodeVerdict(node.position, node.name, node.operator, "unused")
            for node in self.structure.unused
        ]
        return tuple(sorted(found, key=lambda verdict: verdict.position))

    def _verdict(self, node: OnnxNode, refusal: str | None, kept: set[str]) -> NodeVerdict:
        position = node.position
        built = tuple(self.build.built.get(position, ()))
        fate: Fate = "converted" if built else "folded"
        detail = self.build.inexact.get(position, "")
        if refusal is not None:
            fate, detail = "refused", refusal
        elif position in self.unjudged:
            fate = "unjudged"
        elif detail:
            fate = "approximated"
        elif kept and not kept.intersection(built):
            fate = "folded"  # only shape arithmetic read it
        role = self._role(node, built, fate)
        return NodeVerdict(position, node.name, node.operator, fate, detail, role, built)

    def _role(self, node: OnnxNode, built: tuple[str, ...], fate: Fate) -> str:
        if fate in ("refused", "unjudged"):
            return "activation" if node.operator in ACTIVATION_OPERATORS else ""
        ops = [self.build_ops[name] for name in built] if fate != "folded" else []
        if any(isinstance(op, OutputFunction) for op in ops):
            return "output"
        return "" if all(isinstance(op, SYNAPSES) for op in ops) else "activation"

    def _input(self, spec: InputSpec) -> None:
        if spec.obstacle:
            self._problem(
                f"input {spec.name!r} cannot be an input of a spiking network",
                why=spec.obstacle,
                hint="make it an initialiser of the file, or cut the graph behind it with --inputs",
                code="unsupported-input",
            )
        elif spec.batch is not None and self.build.batch != spec.batch:
            self._problem(
                f"input {spec.name!r} has {spec.batch} samples, others have {self.build.batch}",
                why="axis 0 of every input is the batch",
                hint="cut the graph behind it with --inputs",
                code="batch-axis",
            )
        elif spec.shape is not None:
            self.build.input(spec.name, spec.shape, spec.dtype)
            return
        self.build.values[spec.name] = Unknown()

    def _name_inner_functions(self) -> None:
        """Report functions that only an output may have where further operators read them."""
        reported = {position for position, _ in self.problems}
        readers: dict[str, set[str]] = {}
        for node in self.structure.nodes:
            for tensor in node.inputs:
                readers.setdefault(tensor, set()).add(node.op_type)
        for node in self.structure.nodes:
            inner = readers.get(node.outputs[0], set()) - OUTPUT_FUNCTIONS - COPIES
            if node.op_type in OUTPUT_FUNCTIONS and inner and node.position not in reported:
                problem = inner_function(node.op_type, node.name, node.place)
                self.problems.append((node.position, problem))

    def _problem(self, message: str, *, why: str, hint: str, code: str) -> None:
        self.problems.append((0, Problem(code, message, why=why, hint=hint)))

    def _node(self, node: OnnxNode) -> None:
        values = [self.build.values[name] if name else None for name in node.inputs]
        present = [value for value in values if value is not None]
        if is_foldable(node) and not any(isinstance(v, Activation) for v in present):
            if all(isinstance(value, Constant) for value in present):
                self._fold(node, [v.array if isinstance(v, Constant) else None for v in values])
                return
            if all(not isinstance(v, Unknown) or v.constant for v in present):
                raise UnknownInput
        importer = find_importer(node.op_type, node.opset, node.domain)
        if importer is None:
            raise Unsupported(unsupported_operator(node))
        importer(node, self.build)

    def _fold(self, node: OnnxNode, arrays: list[np.ndarray | None]) -> None:
        for output, array in enumerate(fold(node, arrays)):
            if node.has_output(output):
                self.build.fold(node, array, output)

    def _leave(self, node: OnnxNode) -> None:
        self.unjudged.add(node.position)
        self._forget(node)

    def _forget(self, node: OnnxNode) -> None:
        """Go on behind a node that was not converted as if its outputs were inputs."""
        dynamic = any(self.build.depends_on_input(node, i) for i in range(len(node.inputs)))
        constant = node.op_type in ("Shape", "Size") or not dynamic
        self.assumed.update(filter(None, node.outputs))
        promised = {} if constant else promised_outputs(node, self.build.values, self.build.batch)
        for name in node.outputs:
            if name in promised:
                self.build.input(name, *promised[name])
            else:
                self.build.values[name] = Unknown(constant)

    def _output(self, name: str, taken: set[str]) -> str:
        """Return the Graph node of an output; each gets its own, and no input is one."""
        value = self.build.values[name]
        if isinstance(value, Constant):
            self._problem(
                f"output {name!r} is constant",
                why="it does not depend on the network's input",
                hint="choose other outputs with --outputs",
                code="constant-output",
            )
        if not isinstance(value, Activation):
            return ""
        node = self.build.copy(value, name) if value.name in taken else value.name
        taken.add(node)
        return node


def _needed(nodes: list[Node], outputs: list[str]) -> tuple[Node, ...]:
    """Drop nodes that only shape arithmetic read."""
    by_name = {node.name: node for node in nodes}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += by_name[name].inputs
    return tuple(n for n in nodes if n.name in needed or isinstance(n.op, GraphInput))
