"""Judge a model without calibrating it: what converts, what does not, and which part would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnconvert.backends.base import Backend, get_backend
from snnconvert.convert.build_network import build_network
from snnconvert.convert.checking.check_result import CheckResult, Cut, OutputVerdict
from snnconvert.convert.checking.largest_part import Part, parts_without
from snnconvert.convert.checking.merged_nodes import merged_nodes
from snnconvert.convert.checking.node_verdicts import NodeVerdict, owner_of, owners, placed
from snnconvert.convert.errors import (
    ModelFileError,
    OpenShapeError,
    Problem,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.graph import Graph
from snnconvert.convert.importer.file import OnnxFile, label, read_onnx
from snnconvert.convert.linear import Shape
from snnconvert.convert.lower import exact_graph, lower, lowering_problems
from snnconvert.convert.network import Network
from snnconvert.convert.neurons import get_neuron_model
from snnconvert.convert.onnx_import import Imported, check_onnx

TRIED_PARTS = 8
"""Parts that are checked before it is said that none was found."""


def check_model(
    model: Any,
    *,
    target: str = "cpu",
    neuron: str = "if",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> CheckResult:
    """Return every reason why a model cannot be converted for a target; empty when it can.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    target : str
    neuron : str
        Neuron model, which the target may not have.
    input_shapes, inputs, outputs
        As for :func:`snnconvert.convert_model`.

    Returns
    -------
    CheckResult
        A sequence of problems that also says what becomes of each node, and which part of the
        model can be converted where the whole cannot.

    Raises
    ------
    OpenShapeError
        If the file leaves shapes open that are not given: nothing is judged before.
    ModelFileError
        If the file cannot be read at all. An unsupported model never raises.

    Examples
    --------
    >>> import snnconvert
    >>> verdict = snnconvert.check_model(snnconvert.shipped_model_path("fashion_cnn"))
    >>> verdict.convertible, verdict.spiking == verdict.activations
    (True, True)
    """
    backend = get_backend(target)
    get_neuron_model(neuron)
    judge = _Judge(read_onnx(model), backend, neuron, input_shapes or {})
    judged = judge.judge(inputs, outputs)
    cut = judge.largest_part(judged, inputs, outputs) if judged.problems else None
    imported = judged.imported
    return CheckResult(
        label(imported.path),
        target,
        imported.opset,
        judged.problems,
        judged.verdicts,
        judged.outputs,
        judged.network.neurons if judged.network is not None and not judged.problems else None,
        cut,
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """One attempt: the import, and the lowered graph and network as far as it came."""

    imported: Imported
    problems: tuple[Problem, ...]
    verdicts: tuple[NodeVerdict, ...]
    outputs: tuple[OutputVerdict, ...]
    network: Network | None = None

    @property
    def used(self) -> int:
        return sum(verdict.fate != "unused" for verdict in self.verdicts)

    @property
    def activations(self) -> int:
        return sum(verdict.role == "activation" for verdict in self.verdicts)


class _Judge:
    def __init__(
        self,
        file: OnnxFile,
        backend: Backend,
        neuron: str,
        input_shapes: Mapping[str, Sequence[int]],
    ) -> None:
        self.file = file
        self.backend = backend
        self.neuron = neuron
        self.input_shapes = input_shapes

    def judge(
        self,
        inputs: Sequence[str] | None,
        outputs: Sequence[str] | None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        quick: bool = False,
    ) -> _Judged:
        """Import what lies between tensors, lower it and ask the target."""
        shapes = self.input_shapes if input_shapes is None else input_shapes
        imported = check_onnx(self.file, input_shapes=shapes, inputs=inputs, outputs=outputs)
        names = tuple(OutputVerdict(name) for name in imported.structure.outputs)
        if imported.graph is None:
            return _Judged(imported, imported.problems, imported.verdicts, names)
        found = placed(imported.verdicts, lowering_problems(imported.graph))
        if found:
            verdicts = _with_refusals(imported.verdicts, found)
            return _Judged(imported, tuple(found), verdicts, names)
        if quick and self.backend.capabilities.exact:  # it takes any network: none need be built
            verdicts = _with_functions(imported.verdicts, exact_graph(imported.graph))
            return _Judged(imported, (), verdicts, names)
        lowered = lower(imported.graph)
        verdicts = _with_populations(_with_folds(imported), lowered)
        ends = zip(lowered.output_names, lowered.output_functions, strict=True)
        names = tuple(OutputVerdict(n, tuple(f.kind for f in functions)) for n, functions in ends)
        network = self._network(lowered)
        found = placed(imported.verdicts, self.backend.check(network))
        verdicts = _with_refusals(verdicts, found)
        return _Judged(imported, tuple(found), verdicts, names, network)

    def _network(self, lowered: Graph) -> Network:
        scales = {node.name: np.ones((1,) * len(node.shape)) for node in lowered.activations}
        reset = self.backend.default_reset
        return build_network(lowered, scales, reset=reset, v_init=0.0, neuron=self.neuron)

    def largest_part(
        self, judged: _Judged, inputs: Sequence[str] | None, outputs: Sequence[str] | None
    ) -> Cut | None:
        """Look for a part without the refused nodes, and check that it converts."""
        structure, shapes = judged.imported.structure, judged.imported.shapes
        refused = _refused(judged)  # nodes that nobody could judge may well convert
        tried = set[Part]()
        while len(tried) < TRIED_PARTS:
            parts = (p for p in parts_without(structure, refused, shapes) if p not in tried)
            part = next(parts, None)
            if part is None:
                return None
            tried.add(part)
            found = self._try(part, judged, inputs, outputs)
            if isinstance(found, Cut):
                return found
            refused |= found
        return None

    def _try(
        self,
        part: Part,
        judged: _Judged,
        inputs: Sequence[str] | None,
        outputs: Sequence[str] | None,
    ) -> Cut | set[int]:
        """Return the cut if the part converts, else the nodes that are in its way."""
        structure = judged.imported.structure
        cut_inputs = None if inputs is None and part.inputs == structure.inputs else part.inputs
        same = outputs is None and part.outputs == structure.outputs
        cut_outputs = None if same else part.outputs
        given = self._given(part, structure.inputs)
        quick = judged.network is None  # else the target itself refused something
        try:
            try:
                found = self.judge(cut_inputs, cut_outputs, given, quick=quick)
            except OpenShapeError:
                given |= {
                    name: judged.imported.shapes[name]
                    for name in part.inputs
                    if name not in structure.inputs
                }
                found = self.judge(cut_inputs, cut_outputs, given, quick=quick)
        except (ModelFileError, UsageError, UnsupportedModelError):
            return set()
        if found.problems:
            return _refused(found)
        shapes = given if cut_inputs is not None or given else {}
        return Cut(cut_inputs or (), cut_outputs or (), shapes, found.used, found.activations)

    def _given(self, part: Part, own: tuple[str, ...]) -> dict[str, Shape]:
        """Return the caller's shapes of those inputs that the part still has."""
        named = {name or own[0]: tuple(shape) for name, shape in self.input_shapes.items()}
        return {name: shape for name, shape in named.items() if name in part.inputs}


def _refused(judged: _Judged) -> set[int]:
    return {verdict.position for verdict in judged.verdicts if verdict.fate == "refused"}


def _with_refusals(
    verdicts: tuple[NodeVerdict, ...], problems: Sequence[Problem]
) -> tuple[NodeVerdict, ...]:
    messages = {p.node: p.message for p in reversed(problems) if p.node}
    return tuple(
        replace(v, fate="refused", detail=messages[v.name]) if v.name in messages else v
        for v in verdicts
    )


def _with_folds(imported: Imported) -> tuple[NodeVerdict, ...]:
    """Say which nodes are merged into the synapses of others."""
    assert imported.graph is not None
    keepers = merged_nodes(imported.graph)
    known = owners(imported.verdicts)
    verdicts = []
    for verdict in imported.verdicts:
        kept = [name for name in verdict.built if name not in keepers]
        if verdict.fate == "converted" and not kept:
            keeper = known[keepers[verdict.built[-1]]]
            if keeper is not verdict:
                verdict = replace(verdict, fate="folded", detail=f"into {keeper.name}")
        verdicts.append(verdict)
    return tuple(verdicts)


def _with_functions(verdicts: tuple[NodeVerdict, ...], exact: Graph) -> tuple[NodeVerdict, ...]:
    """Leave out functions that are part of another one, or that an output has."""
    names = {node.name for node in exact.nodes}
    return tuple(v if names.intersection(v.built) else replace(v, role="") for v in verdicts)


def _with_populations(verdicts: tuple[NodeVerdict, ...], lowered: Graph) -> tuple[NodeVerdict, ...]:
    """Say which nodes own populations of neurons, and what is approximated about them."""
    known = owners(verdicts)
    spiking = {owner_of(node.name, known) for node in lowered.activations}
    inexact = {owner_of(a.node, known): a.detail for a in lowered.approximations}
    return tuple(_final(v, v in spiking, inexact.get(v, "")) for v in verdicts)


def _final(verdict: NodeVerdict, spiking: bool, inexact: str) -> NodeVerdict:
    if inexact:
        verdict = replace(verdict, fate="approximated", detail=verdict.detail or inexact)
    if spiking:
        return replace(verdict, role="activation")
    if verdict.role == "activation":
        return replace(verdict, fate="folded", role="")
    return verdict
