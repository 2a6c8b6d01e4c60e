"""Weights tuned by gradient descent, layer by layer, where held-out rows confirm it.

The weights into each population are tuned (``descent.py``), behind the refit if the chosen recipe
has one, on the spikes of the populations tuned before it; thresholds, biases and potentials are
corrected after that. Every other row makes it; of the remaining ones one half chooses the number of
steps of each layer, the other judges the whole. All rows then make the same numbers of steps once
more. Readouts are fitted in closed form, or not at all: nothing spikes in them, and least squares
have no steps to take.

The layers that are done are kept as plain arrays: what was interrupted goes on with the next one,
and since every layer draws rows of its own, to the same network bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnconvert.calibration.corrections.passes import LEAST_GAIN, Count, Layers, Pass, Progress
from snnconvert.calibration.corrections.regression import can_refit, kernel_of
from snnconvert.calibration.replay import Replayed, ReplayState, as_it_is, replay
from snnconvert.convert.network import Network, Population, Readout
from snnconvert.reports.checkpoint import Checkpoint, Stages

if TYPE_CHECKING:
    from snnconvert.calibration.corrections.behind import Behind

STAGES = ("weights on every other row", "weights on all rows")
"""Names of the passes in the resume file."""

JUDGING = slice(3, None, 4)
"""Rows that judge: neither those that make the steps nor those that stop them."""

LEAST_ROWS = 8
"""Rows of which two judge."""

PARAMETERS = ("threshold", "amplitude", "scale", "bias", "v_init")
"""What corrections change of a population."""


@dataclass(frozen=True, eq=False)
class Descent:
    """How weights are to be tuned.

    Attributes
    ----------
    seed : int
        Of the order of the rows.
    kept : Stages
        Where the layers that are done are kept.
    progress : callable, optional
        Called with the number of layers done and in all.
    """

    seed: int
    kept: Stages
    progress: Progress | None = None


def tune_weights(
    common: Pass, recipe: Sequence[str], descent: Descent
) -> tuple[Network | None, dict[str, Any]]:
    """Return the network with tuned weights, None where held-out rows do not confirm them.

    Parameters
    ----------
    common : Pass
        On all rows, every other one of which makes the corrections.
    recipe : sequence of str
        The corrections that every population goes through first.
    descent : Descent

    Returns
    -------
    network : Network or None
    record : dict
        ``error`` and ``error_without``, relative, of the outputs on the rows held out;
        ``accepted``; ``steps`` of each population; ``rows``. Ready for JSON.
    """
    from snnconvert.calibration.corrections.behind import Behind

    behind = Behind(common.network, common.graph)
    count = Count(descent.progress, 2 * len(common.network.populations))
    without = common.error(replace(common, count=Count(None, 0)).run(recipe), JUDGING)
    half = _Tuned(replace(common, count=count), recipe, behind, descent, STAGES[0])
    error = common.error(half.run(), JUDGING)
    steps = half.steps
    accepted = error < (1 - LEAST_GAIN) * without
    record = {
        "accepted": accepted,
        "error": error,
        "error_without": without,
        "steps": steps,
        "rows": common.teacher.count,
    }
    if not accepted:
        return None, record
    everything = replace(common, count=count, fitted=slice(None))
    whole = _Tuned(everything, recipe, behind, descent, STAGES[1], steps)
    return whole.run().network, record


class _Tuned(Layers):
    """Corrects one population after the other and tunes the weights into it."""

    def __init__(
        self,
        common: Pass,
        recipe: Sequence[str],
        behind: Behind,
        descent: Descent,
        stage: str,
        steps: dict[str, int] | None = None,
    ) -> None:
        super().__init__(common, recipe)
        self.common, self.behind, self.seed, self.given = common, behind, descent.seed, steps
        self.checkpoint: Checkpoint = descent.kept.stage(stage)
        self.done: dict[str, Any] = dict(self.checkpoint.state or {})
        self.steps: dict[str, int] = {}

    def run(self) -> Replayed:
        """Replay the rows, every population corrected and tuned."""
        common = self.common
        return replay(
            common.network,
            common.teacher.rows,
            common.timesteps,
            as_it_is,  # corrected when it was tuned
            holdoff=common.holdoff,
            refit=self,
        )

    def refit_readout(self, readout: Readout, state: ReplayState) -> Readout:
        """Refit a readout where the recipe does: what is judged is the descent alone."""
        return super().refit_readout(readout, state) if "weights" in self.recipe else readout

    def refit_population(self, population: Population, state: ReplayState) -> Population:
        """Return a population tuned and corrected; take up one that was kept."""
        name = population.name
        if name in self.done:
            population = _taken_up(population, state, self.done[name])
            self.count.one()
        else:
            if "weights" in self.recipe:
                population = super().refit_population(population, state)
            population, taken = self._tune(population, state)
            population = self.correct(population, state.drive(population))
            self.done[name] = _kept(population, state, taken)
            self.checkpoint.keep(dict(self.done))
        self.steps[name] = int(self.done[name]["steps"])
        return population

    def _tune(self, population: Population, state: ReplayState) -> tuple[Population, int]:
        from snnconvert.calibration.corrections.descent import Lesson, descend

        op = self._relu(population)
        if op is None or op.follows is not None:
            return population, 0
        tensor, values = str(population.tensor), self.activations
        outputs = {r.name: values[str(r.tensor)] for r in self.common.network.readouts}
        before = values[self.graph[tensor].inputs[0]]
        position = [node.name for node in self.common.network.nodes].index(population.name)
        return descend(
            population,
            state,
            Lesson(self.behind, values[tensor], before, outputs),
            self.rows,
            np.random.default_rng([self.seed, position]),
            steps=None if self.given is None else self.given[population.name],
        )


def _kept(population: Population, state: ReplayState, steps: int) -> dict[str, Any]:
    """Return a population and the connections into it as plain arrays."""
    weights = [
        kernel_of(c).weight if can_refit(c) else None
        for c in state.network.incoming(population.name)
    ]
    parameters = {name: np.asarray(getattr(population, name)) for name in PARAMETERS}
    return {"parameters": parameters, "weights": weights, "steps": steps}


def _taken_up(population: Population, state: ReplayState, kept: dict[str, Any]) -> Population:
    """Return the population as it was kept, and put the connections into the network."""
    connections = list(state.network.incoming(population.name))
    for connection, weight in zip(connections, kept["weights"], strict=True):
        if weight is not None:
            changed = replace(kernel_of(connection), weight=weight)
            state.replace_connection(connection, (*connection.operators[:-1], changed))
    return replace(population, **kept["parameters"])
