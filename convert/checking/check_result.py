"""What :func:`snnconvert.check_model` returns: the verdict on a model, for people and machines."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from snnconvert.convert.checking.node_verdicts import FATES, NodeVerdict
from snnconvert.convert.errors import Problem, render_problems
from snnconvert.convert.linear import Shape

SCHEMA = "snnconvert-check/1"


@dataclass(frozen=True)
class Cut:
    """A part of the model that was checked and can be converted.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Tensors at which it is cut out; empty where the model's own stay.
    input_shapes : dict of tuple of int
        Shapes without batch that must be stated.
    nodes : int
        Nodes of the file in it.
    activations : int
        Activation functions in it, all of them spiking.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: dict[str, Shape]
    nodes: int
    activations: int

    @property
    def flags(self) -> tuple[str, ...]:
        """The arguments of the command line that cut it out."""
        flags: list[str] = []
        for option, names in (("--inputs", self.inputs), ("--outputs", self.outputs)):
            if names:
                flags += [option, ",".join(name.replace(",", "\\,") for name in names)]
        for name, shape in self.input_shapes.items():
            flags += ["--input-shape", f"{name}:{','.join(map(str, shape))}"]
        return tuple(flags)

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the flags as a JSON-ready dictionary."""
        return {
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "input_shapes": {name: list(shape) for name, shape in self.input_shapes.items()},
            "nodes": self.nodes,
            "activations": self.activations,
            "flags": list(self.flags),
        }


@dataclass(frozen=True)
class OutputVerdict:
    """One output of the network.

    Attributes
    ----------
    name : str
        What the file calls it.
    functions : tuple of str
        Operators that are applied to the decoded output, in order.
    """

    name: str
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CheckResult(Sequence[Problem]):
    """The verdict on a model: a sequence of its problems, empty when it can be converted.

    Attributes
    ----------
    model : str
        What messages call it.
    target : str
    opset : int
    problems : tuple of Problem
        Every reason why it cannot be converted, in the order of the file.
    nodes : tuple of NodeVerdict
        What becomes of each node of the file, in its order.
    outputs : tuple of OutputVerdict
    neurons : int or None
        Spiking neurons of the whole network; None when it cannot be converted.
    cut : Cut or None
        The largest part that was found to convert where the whole does not.
    """

    model: str
    target: str
    opset: int
    problems: tuple[Problem, ...]
    nodes: tuple[NodeVerdict, ...]
    outputs: tuple[OutputVerdict, ...]
    neurons: int | None = None
    cut: Cut | None = None

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...
    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        return self.problems[index]

    def __len__(self) -> int:
        return len(self.problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    @property
    def convertible(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes became what; every fate is there."""
        found = Counter(node.fate for node in self.nodes)
        return {fate: found[fate] for fate in FATES}

    @property
    def activations(self) -> int:
        """Activation functions of the file, those of the decoded output not counted."""
        return sum(node.role == "activation" for node in self.nodes)

    @property
    def spiking(self) -> int:
        """Activation functions that become populations of spiking neurons."""
        fates = ("converted", "approximated")
        return sum(node.role == "activation" and node.fate in fates for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON-ready dictionary; docs/check.md describes it."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "target": self.target,
            "opset": self.opset,
            "convertible": self.convertible,
            "counts": self.counts,
            "activations": {"total": self.activations, "spiking": self.spiking},
            "neurons": self.neurons,
            "outputs": [{"name": o.name, "functions": list(o.functions)} for o in self.outputs],
            "problems": [problem.to_json() for problem in self.problems],
            "nodes": [node.to_json() for node in self.nodes],
            "cut": None if self.cut is None else self.cut.to_json(),
        }

    def render(self, *, verbose: bool = False) -> str:
        """Return the verdict as the lines that a terminal shows.

        Parameters
        ----------
        verbose : bool
            List every node of the file, not only those with problems.
        """
        lines = _table(self.nodes) if verbose else []
        lines += render_problems(self.problems)
        lines += [self._headline(), *self._summary()]
        if self.cut is not None:
            lines += self._cut_lines(self.cut)
        return "\n".join(lines)

    def _headline(self) -> str:
        if self.convertible:
            return f"{self.model} can be converted for target {self.target!r}"
        problems = _counted(len(self.problems), "problem")
        return f"{self.model} cannot be converted for target {self.target!r}: {problems}"

    def _summary(self) -> list[str]:
        counts = [f"{count} {fate}" for fate, count in self.counts.items() if count]
        neurons = "" if self.neurons is None else f": {self.neurons:,} neurons"
        lines = [
            f"{_counted(len(self.nodes), 'node')}: {', '.join(counts)}",
            f"{self.spiking} of {_counted(self.activations, 'activation')} spiking{neurons}",
        ]
        if len(self.outputs) > 1:
            names = ", ".join(repr(output.name) for output in self.outputs)
            lines.append(f"{len(self.outputs)} outputs: {names}")
        lines += [
            f"{', '.join(output.functions)} applied to the decoded output {output.name!r}"
            for output in self.outputs
            if output.functions
        ]
        return [f"  {line}" for line in lines]

    def _cut_lines(self, cut: Cut) -> list[str]:
        flags = " ".join(shlex.quote(flag) for flag in cut.flags)
        return [
            f"the largest part found that can be converted has {cut.nodes} of "
            f"{_counted(len(self.nodes), 'node')} and {_counted(cut.activations, 'activation')}; "
            "these options cut it out:",
            f"  {flags}",
        ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _table(nodes: Sequence[NodeVerdict]) -> list[str]:
    rows = [(str(n.position), n.fate, n.operator, n.name, n.detail) for n in nodes]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:4]
    return [
        "  ".join([*(f"{c:<{w}}" for c, w in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]
