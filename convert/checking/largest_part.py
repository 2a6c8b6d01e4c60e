"""Parts of a model between tensors that hold no refused node, the largest first.

A part that leaves out every refused node lies behind some of them and before the others. Those that
it lies behind form a beginning of the graph: whatever one of them needs is behind the part as well.
So the parts are tried along two orders in which the refused nodes follow one another, from "before
all of them" to "behind all of them". Where they stand in one row, the largest part is among these.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.structure import Structure, read_names

TRIED_SIZES = 12
"""Parts of each order whose tensors are looked at."""


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Tensors at which it is cut out, or the model's own.
    size : int
        Nodes of the file in it that depend on the model's inputs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size: int


def parts_without(
    structure: Structure, refused: Collection[int], activations: Collection[str]
) -> Iterator[Part]:
    """Yield parts without refused nodes: the largest first, of equal ones that of fewer tensors.

    Parameters
    ----------
    structure : Structure
    refused : collection of int
        Positions of nodes in the file.
    activations : collection of str
        Tensors that may be inputs and outputs of a network: no shapes or other constants.
    """
    wiring = _Wiring(structure)
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], Part] = {}
    for order in wiring.orders(refused):
        for chosen in wiring.largest(order):
            part = wiring.part(chosen, activations)
            if part is not None:
                found[part.inputs, part.outputs] = part
    yield from sorted(found.values(), key=lambda p: (-p.size, len(p.inputs) + len(p.outputs)))


class _Wiring:
    """The nodes that depend on the model's inputs, in topological order, by number."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.nodes: list[OnnxNode] = []
        self.reads: list[list[str]] = []
        self.producer: dict[str, int] = {}
        dependent = set(structure.inputs)
        for node in structure.nodes:
            reads = [name for name in read_names(node.proto) if name in dependent]
            if reads:
                self.producer.update((name, len(self.nodes)) for name in node.outputs if name)
                dependent.update(filter(None, node.outputs))
                self.nodes.append(node)
                self.reads.append(reads)
        self.sources = [
            [self.producer[name] for name in reads if name in self.producer] for reads in self.reads
        ]

    def orders(self, refused: Collection[int]) -> list[list[int]]:
        """Return the refused nodes in two topological orders."""
        found = [i for i, node in enumerate(self.nodes) if node.position in refused]
        before, behind = [0] * len(self.nodes), [0] * len(self.nodes)
        for i, sources in enumerate(self.sources):
            before[i] = max((before[s] + 1 for s in sources), default=0)
        for i in reversed(range(len(self.nodes))):
            for source in self.sources[i]:
                behind[source] = max(behind[source], behind[i] + 1)
        return [found, sorted(found, key=lambda i: before[i] - behind[i])]

    def largest(self, order: Sequence[int]) -> list[list[int]]:
        """Return the largest sets of nodes that lie behind the first refused ones of an order.

        Behind the first k of them and before the others are the nodes whose last refused ancestor
        is among the first k, and whose first refused descendant is not.
        """
        rank = {node: position for position, node in enumerate(order)}
        first, last = [len(order)] * len(self.nodes), [0] * len(self.nodes)
        for i, sources in enumerate(self.sources):
            last[i] = max((max(last[s], rank.get(s, -1) + 1) for s in sources), default=0)
        for i in reversed(range(len(self.nodes))):
            for source in self.sources[i]:
                first[source] = min(first[source], first[i], rank.get(i, len(order)))
        changes = [0] * (len(order) + 2)
        allowed = [i for i in range(len(self.nodes)) if i not in rank and last[i] <= first[i]]
        for i in allowed:
            changes[last[i]] += 1
            changes[first[i] + 1] -= 1
        sizes: list[int] = []
        for k in range(len(order) + 1):
            sizes.append(changes[k] + (sizes[-1] if sizes else 0))
        chosen = heapq.nlargest(TRIED_SIZES, range(len(sizes)), key=lambda k: sizes[k])
        return [[i for i in allowed if last[i] <= k <= first[i]] for k in chosen if sizes[k]]

    def part(self, chosen: Sequence[int], activations: Collection[str]) -> Part | None:
        """Return the part that a set of nodes is, None if only constants lead out of it."""
        inside = set(chosen)
        own = {name for i in chosen for name in self.nodes[i].outputs if name}
        read = dict.fromkeys(name for i in chosen for name in self.reads[i] if name not in own)
        wanted = {
            name
            for i in range(len(self.nodes))
            if i not in inside
            for name in self.reads[i]
            if name in own
        }
        wanted |= own.intersection(self.structure.outputs)
        outputs = self._ordered(
            [n for i in chosen for n in self.nodes[i].outputs if n in wanted and n in activations],
            self.structure.outputs,
        )
        inputs = self._ordered([n for n in read if n in activations], self.structure.inputs)
        if not outputs or not inputs:
            return None
        return Part(inputs, outputs, len(chosen))

    @staticmethod
    def _ordered(names: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
        """Return the names, the model's own in the model's order and in front."""
        return (*(n for n in own if n in names), *(n for n in names if n not in own))
