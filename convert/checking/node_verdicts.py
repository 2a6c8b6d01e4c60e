"""What became of each node of the ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from snnconvert.convert.errors import Problem

Fate: TypeAlias = Literal["converted", "folded", "approximated", "refused", "unjudged", "unused"]

FATES: tuple[Fate, ...] = (
    "converted",
    "folded",
    "approximated",
    "refused",
    "unjudged",
    "unused",
)

ACTIVATION_OPERATORS = frozenset(
    (
        *("Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Shrink"),
        *("Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Gelu", "Mish", "Swish"),
        *("HardSwish", "Erf", "Abs", "Exp", "Log", "Sqrt", "Pow", "Reciprocal", "Sin", "Cos"),
        *("Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Sign"),
        *("Max", "Min", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"),
    )
)
"""Operators that count as activation functions where they are refused."""


@dataclass(frozen=True)
class NodeVerdict:
    """What became of one node of the ONNX file.

    Attributes
    ----------
    position : int
        From 1, in the file with its functions expanded.
    name : str
        Unique; the node's own name where it has one.
    operator : str
        With its domain, unless that is ONNX's own.
    fate : str
        "converted": exact, as neurons or synapses of its own. "folded": merged into other nodes'
        synapses, computed beforehand, or a copy. "approximated": converted, but not exact.
        "refused": it cannot be converted. "unjudged": it reads what a refused node should give.
        "unused": no output that was asked for needs it.
    detail : str
        What was approximated, folded or refused; "" where the fate says it all.
    role : str
        "activation": a function that neurons compute. "output": one that is applied to the decoded
        output. "": anything else.
    built : tuple of str
        Graph nodes that stand for it.
    """

    position: int
    name: str
    operator: str
    fate: Fate
    detail: str = ""
    role: str = ""
    built: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a user may rely on as a JSON-ready dictionary."""
        return {key: value for key, value in asdict(self).items() if key != "built"}


def owners(verdicts: Iterable[NodeVerdict]) -> dict[str, NodeVerdict]:
    """Return the file's node that each node of a Graph comes from, by name."""
    return {name: verdict for verdict in verdicts for name in (verdict.name, *verdict.built)}


def owner_of(name: str, known: Mapping[str, NodeVerdict]) -> NodeVerdict | None:
    """Return the file's node that a node of a graph or network comes from, None for inputs.

    Passes name what they add after the node that they rewrite: ``pool/max3``.
    """
    while name not in known and "/" in name:
        name = name.rpartition("/")[0]
    return known.get(name)


def placed(verdicts: Sequence[NodeVerdict], problems: Iterable[Problem]) -> list[Problem]:
    """Return problems of a graph or network with the places of the file's nodes."""
    known = owners(verdicts)
    return [_placed(problem, owner_of(problem.node, known), len(verdicts)) for problem in problems]


def _placed(problem: Problem, owner: NodeVerdict | None, count: int) -> Problem:
    if owner is None:
        return problem
    place = f"node {owner.name!r} ({owner.position} of {count}), operator {owner.operator}"
    if not problem.place.startswith("node "):
        place += f": {problem.place}"
    return replace(problem, node=owner.name, place=place)
