"""One pass over a network: every population corrected by a recipe, and the error that is left.

A recipe is a sequence of corrections that every population goes through, in order, on the spikes of
the corrected populations before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from snnconvert.calibration.corrections.bias import correct_bias
from snnconvert.calibration.corrections.potentials import correct_potentials
from snnconvert.calibration.corrections.thresholds import search_thresholds
from snnconvert.calibration.corrections.weights import refit_readout, refit_weights
from snnconvert.calibration.readout import Reading, logit_error
from snnconvert.calibration.replay import (
    HELD_OUT,
    Drive,
    Replayed,
    ReplayState,
    Teacher,
    replay,
)
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population, Readout

REFITTED = Reading(0.25, rising=True)
"""How readouts read while they are refitted, where they may choose."""

LEAST_GAIN = 0.005
"""Share of the error that corrections must take away: less is within the noise of the rows."""

Progress: TypeAlias = Callable[[int, int | None], None]


class Count:
    """Turns populations done into progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def one(self) -> None:
        """Note one more."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, eq=False)
class Pass:
    """What the passes over a network have in common."""

    network: Network
    graph: Graph
    teacher: Teacher
    timesteps: int
    holdoff: int
    readings: Sequence[Reading]
    fitted: slice
    count: Count

    def run(self, recipe: Sequence[str]) -> Replayed:
        """Replay the rows, every population corrected by the recipe."""
        layers = Layers(self, recipe)
        return replay(
            self.network,
            self.teacher.rows,
            self.timesteps,
            layers.correct,
            holdoff=self.holdoff,
            refit=layers if "weights" in recipe else None,
        )

    def error(self, replayed: Replayed, rows: slice = HELD_OUT) -> float:
        """Return the largest relative error of a readout on rows, those held out."""
        worst = 0.0
        for readout in replayed.network.readouts:
            currents = replayed.currents[readout.name][:, rows]
            wanted = self.teacher.activations[str(readout.tensor)][rows]
            means = (reading.of(readout).mean(currents) for reading in self.readings)
            worst = max(worst, min(logit_error(mean, wanted) for mean in means))
        return worst


class Layers:
    """Applies a recipe to one population after the other."""

    def __init__(self, common: Pass, recipe: Sequence[str]) -> None:
        self.graph, self.activations = common.graph, common.teacher.activations
        self.recipe, self.rows, self.count = recipe, common.fitted, common.count
        self.exact_pooling = common.holdoff >= common.timesteps
        self.reading = REFITTED if len(common.readings) > 1 else common.readings[0]
        self.compared = _compared(common.graph)

    def refit_population(self, population: Population, state: ReplayState) -> Population:
        """Refit the weights into a population."""
        op = self._relu(population)
        if op is None or op.follows is not None:
            return population
        node = self.graph[str(population.tensor)]
        return refit_weights(population, state, self.activations[node.inputs[0]], self.rows)

    def refit_readout(self, readout: Readout, state: ReplayState) -> Readout:
        """Refit the weights into a readout."""
        values = self.activations[str(readout.tensor)]
        refitted = refit_readout(self.reading.of(readout), state, values, self.rows)
        return replace(refitted, discard=readout.discard, rising=readout.rising)

    def correct(self, population: Population, drive: Drive) -> Population:
        """Correct what belongs to a population itself."""
        self.count.one()
        op = self._relu(population)
        if op is None or (op.follows is not None and self.exact_pooling):
            return population
        activations: FloatArray = self.activations[str(population.tensor)]
        if "thresholds" in self.recipe and op.calibrated and population.tensor not in self.compared:
            population = search_thresholds(
                population, drive, activations, self.rows, ceiling=op.ceiling
            )
        if "bias" in self.recipe:
            population = correct_bias(population, drive, activations, self.rows)
        if "potentials" in self.recipe:
            population = correct_potentials(population, drive, activations, self.rows)
        return population

    def _relu(self, population: Population) -> Relu | None:
        op = None if population.tensor is None else self.graph[population.tensor].op
        return op if isinstance(op, Relu) else None


def _compared(graph: Graph) -> frozenset[str]:
    """Return the activations that max-pooling trees compare: their thresholds are the trees'."""
    followers = [n.name for n in graph.activations if isinstance(n.op, Relu) and n.op.follows]
    found: set[str] = set()
    stack = [i for name in followers for i in graph[name].inputs]
    while stack:
        node = graph[stack.pop()]
        if node.name in found:
            continue
        found.add(node.name)
        if not isinstance(node.op, Relu):
            stack.extend(node.inputs)
    return frozenset(found)
