"""Recognise a network whose quantisers dictate every threshold: it needs no calibration data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnconvert.calibration.data import Rows
from snnconvert.convert.graph import Graph, GraphInput, Relu
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.quantiser import Quantise

DRAWN_ROWS = 16


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network in which every population stands for a quantiser.

    Attributes
    ----------
    levels : tuple of int
        Levels above zero that its quantisers have, each number once, ascending.
    populations : int
    """

    levels: tuple[int, ...]
    populations: int

    def timesteps(self, highest: int = 1) -> int:
        """Return the steps that the finest quantiser needs, at `highest` levels a step."""
        return -(-self.levels[-1] // highest)

    def notes(self, timesteps: int, highest: int = 1, dropped: int = 0) -> tuple[str, ...]:
        """Return what a user should know about a run.

        Parameters
        ----------
        timesteps : int
        highest : int
            Levels that one step can send.
        dropped : int
            Quantisers whose rounding is left out.
        """
        reached = timesteps * highest
        listed = ", ".join(str(number + 1) for number in self.levels)
        note = f"a quantised network: {self.populations} quantisers ({listed} levels) dictate the "
        if self.levels != (reached,):
            equal = f"those of {reached + 1} levels alone" if reached in self.levels else "none"
            note += f"thresholds; at {timesteps} timesteps {equal} can be exact"
        else:
            note += (
                "thresholds; staged (schedule full) it is exact, but for halves, which neurons "
                "round up and onnxruntime rounds to even"
            )
        if dropped:
            noun = "quantiser" if dropped == 1 else "quantisers"
            note += f"; the rounding of {dropped} further {noun} is left out"
        return (note,)


def recognise(graph: Graph) -> QuantisedNetwork | None:
    """Return what the quantisers of a lowered graph dictate; None where they do not dictate all."""
    own = [node.op for node in graph.activations if isinstance(node.op, Relu)]
    dictated = [op.levels for op in own if op.follows is None]
    if not dictated or None in dictated:
        return None
    return QuantisedNetwork(tuple(sorted({n for n in dictated if n is not None})), len(dictated))


def input_ranges(exact: Graph) -> dict[str, tuple[float, float]]:
    """Return least and greatest value of each input that is quantised before anything reads it."""
    found: dict[str, tuple[float, float]] = {}
    for node in exact.nodes:
        readers = exact.consumers[node.name]
        if not isinstance(node.op, GraphInput) or len(readers) != 1:
            continue
        op = readers[0].op
        if isinstance(op, Quantise):
            found[node.name] = (float((op.low * op.scale).min()), float((op.high * op.scale).max()))
    return found


def draw_rows(exact: Graph, rng: np.random.Generator) -> Rows:
    """Return random rows in the ranges of the input quantisers, [0, 1] without one.

    The first row is an input's least value everywhere, the second its greatest.
    """
    ranges = input_ranges(exact)
    drawn: dict[str, FloatArray] = {}
    for node in exact.inputs:
        low, high = ranges.get(node.name, (0.0, 1.0))
        rows = low + (high - low) * rng.random((DRAWN_ROWS, *node.shape))
        rows[0], rows[1] = low, high
        drawn[node.name] = rows.astype(np.float32)
    return drawn
