"""Choose the corrections that bring the outputs for held-out rows closest to the ANN's.

A recipe is a sequence of corrections that every population goes through, in order, on the spikes of
the corrected populations before it. What one correction brings depends on the others, and there are
few: every recipe is tried on some rows. What a refit of weights brings also depends on how many
rows make it, so the best recipes then compete on more of them ("successive halving", Jamieson and
Talwalkar 2016), and all rows make the chosen one. Labels are not needed: the logits are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy.typing as npt

from snnconvert.calibration.corrections.bias import correct_bias
from snnconvert.calibration.corrections.potentials import correct_potentials
from snnconvert.calibration.corrections.thresholds import search_thresholds
from snnconvert.calibration.corrections.weights import refit_readout, refit_weights
from snnconvert.calibration.readout import SHARES, logit_error
from snnconvert.calibration.replay import (
    FITTED,
    HELD_OUT,
    Drive,
    Replayed,
    ReplayState,
    Teacher,
    replay,
)
from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population, Readout

CORRECTIONS = ("weights", "thresholds", "bias", "potentials")
"""All of them, in the order in which a population goes through them."""

TRIAL_ROWS = 64
"""Rows on which corrections are tried before all rows make the chosen ones."""

WHOLE_TRIAL_ROWS = 256
"""The same where steps need not be replayed one by one."""

MEANS = frozenset({"bias", "potentials"})
"""Both move the mean of a channel: a recipe has one of them."""

FINALISTS = 3
"""Recipes that are tried again on more rows."""

SHARE_AGAIN = 0.5
"""Share of the rows on which they are, where steps are replayed one by one: the time that it takes
goes into more rows for the chosen one."""

READ_FROM = 0.5
"""Share of the steps that readouts leave out while they are refitted, where they may start late."""

LEAST_GAIN = 0.005
"""Share of the error that corrections must take away: less is within the noise of the rows."""

_Progress = Callable[[int, int | None], None]


def parse_corrections(corrections: str | Sequence[str], *, whole: bool = False) -> tuple[str, ...]:
    """Return the names of the corrections to try, in order.

    Parameters
    ----------
    corrections : "auto", "none" or names
        Names as a sequence, or between commas.
    whole : bool
        Whether all of a population's charge is there before it fires. "auto" then leaves the
        thresholds alone: those of the histograms are for just such currents. Potentials it leaves
        out as well: they are biases then, within narrower bounds.

    Raises
    ------
    UsageError
        If a name is unknown; names the nearest.
    """
    if isinstance(corrections, str):
        if corrections in ("auto", "none"):
            if corrections == "none":
                return ()
            return ("weights", "bias") if whole else CORRECTIONS
        corrections = [name.strip() for name in corrections.split(",")]
    for name in corrections:
        if name in ("auto", "none"):
            raise UsageError(
                f"{name!r} cannot be one of several corrections", hint=f"give {name} alone"
            )
        if name not in CORRECTIONS:
            raise UsageError(
                f"unknown correction {name!r}",
                hint=did_you_mean(name, [*CORRECTIONS, "auto", "none"]),
            )
    return tuple(name for name in CORRECTIONS if name in corrections)


def without_data(corrections: Sequence[str], ranges_known: bool) -> tuple[str, ...]:
    """Return the corrections that rows of random samples may make.

    Statistics of random samples say little about real inputs. Potentials stay within half a
    threshold whatever they say; where the file has the ranges of all activations, nothing at all
    is to be learnt from such samples.
    """
    return tuple(name for name in corrections if name == "potentials" and not ranges_known)


def correct_network(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    *,
    corrections: Sequence[str] = CORRECTIONS,
    holdoff: int = 0,
    late_readout: bool = True,
    progress: _Progress | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with the corrections that held-out rows confirm.

    Parameters
    ----------
    network : Network
        With reset by subtraction, in ANN units. Delays and windows are not looked at.
    graph : Graph
        The lowered graph that it was built from.
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows by input name; as many are used as memory allows. Corrections
        are tried on the first of them, the best again on half of them (all where the charge
        arrives first), where every other row makes them and the remaining ones judge them; all
        rows then make the chosen ones.
    timesteps : int
        The design T.
    corrections : sequence of str
        Those to try, of ``CORRECTIONS``.
    holdoff : int
        Steps for which each population of a staged network waits.
    late_readout : bool
        Whether readouts may leave out first steps: the error then is that of the best share.
    progress : callable, optional
        Called with the number of populations done and in all.

    Returns
    -------
    network : Network
    record : dict
        ``corrections``: the accepted ones, the relative error of the outputs on the rows held out
        with each recipe that was tried on few rows and again on more, and the rows that made
        them; ready for JSON.
    """
    whole = holdoff >= timesteps
    teacher = Teacher.of(network, graph, rows, 1 if whole else timesteps)
    if teacher.count < 2 or not corrections or not network.populations:
        return network, {"corrections": {"accepted": []}}
    size = len(network.populations)
    few = teacher.first(WHOLE_TRIAL_ROWS if whole else TRIAL_ROWS)
    more = teacher if whole else teacher.first(max(few.count, int(SHARE_AGAIN * teacher.count)))
    recipes = len(_recipes(corrections))
    again = min(FINALISTS + 1, recipes) if few.count < more.count else 0
    count = _Count(progress, size * (recipes + again + 1))
    shares = SHARES if late_readout else SHARES[:1]
    trial = _Pass(network, graph, few, timesteps, holdoff, shares, FITTED, count)
    choice = _choose(trial, replace(trial, teacher=more), corrections)
    record = choice.to_json() | {"rows": teacher.count}
    if not choice.accepted:
        return network, {"corrections": record}
    everything = replace(trial, teacher=teacher, fitted=slice(None))
    return everything.run(choice.accepted).network, {"corrections": record}


def trial_error(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    recipe: Sequence[str],
    *,
    holdoff: int = 0,
    late_readout: bool = True,
) -> float:
    """Return the relative error of the outputs on held-out rows, corrected by a recipe.

    Parameters as for :func:`correct_network`; every other row makes the corrections.
    """
    teacher = Teacher.of(network, graph, rows, timesteps).first(TRIAL_ROWS)
    shares = SHARES if late_readout else SHARES[:1]
    count = _Count(None, 0)
    trial = _Pass(network, graph, teacher, timesteps, holdoff, shares, FITTED, count)
    return trial.error(trial.run(recipe))


def _choose(few: _Pass, more: _Pass, corrections: Sequence[str]) -> _Choice:
    """Try every recipe on few rows, the best again on more; choose the shortest near the best."""
    tried = {recipe: few.error(few.run(recipe)) for recipe in _recipes(corrections)}
    errors = tried
    if more.teacher.count > few.teacher.count:
        best = sorted(tried, key=tried.__getitem__)[:FINALISTS]
        finalists = dict.fromkeys([*best, ()])  # whether any helps at all is asked again
        errors = {recipe: more.error(more.run(recipe)) for recipe in finalists}
    least = min(errors.values())
    near = [recipe for recipe in errors if (1 - LEAST_GAIN) * errors[recipe] <= least]
    return _Choice(min(near, key=lambda r: (len(r), errors[r])), tried, errors)


@dataclass(frozen=True)
class _Choice:
    """A recipe, and the errors that speak for it.

    Attributes
    ----------
    accepted : tuple of str
    tried, confirmed : dict of float
        Error by recipe, on few rows and on more.
    """

    accepted: tuple[str, ...]
    tried: Mapping[tuple[str, ...], float]
    confirmed: Mapping[tuple[str, ...], float]

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
        tried, confirmed = (
            {" + ".join(recipe) or "none": error for recipe, error in errors.items()}
            for errors in (self.tried, self.confirmed)
        )
        return {"accepted": list(self.accepted), "tried": tried, "confirmed": confirmed}


def _recipes(corrections: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all recipes, the shortest first, each in the order of the corrections."""
    recipes = (c for n in range(len(corrections) + 1) for c in combinations(corrections, n))
    return [recipe for recipe in recipes if len(MEANS.intersection(recipe)) <= 1]


class _Count:
    """Turns populations done into progress."""

    def __init__(self, progress: _Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def one(self) -> None:
        """Note one more."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, eq=False)
class _Pass:
    """What the passes over a network have in common."""

    network: Network
    graph: Graph
    teacher: Teacher
    timesteps: int
    holdoff: int
    shares: Sequence[float]
    fitted: slice
    count: _Count

    def run(self, recipe: Sequence[str]) -> Replayed:
        """Replay the rows, every population corrected by the recipe."""
        layers = _Layers(self, recipe)
        return replay(
            self.network,
            self.teacher.rows,
            self.timesteps,
            layers.correct,
            holdoff=self.holdoff,
            refit=layers if "weights" in recipe else None,
        )

    def error(self, replayed: Replayed) -> float:
        """Return the largest relative error of a readout on the rows held out."""
        worst = 0.0
        for readout in replayed.network.readouts:
            currents = replayed.currents[readout.name][:, HELD_OUT]
            wanted = self.teacher.activations[str(readout.tensor)][HELD_OUT]
            late = {int(share * len(currents)) for share in self.shares}
            worst = max(worst, min(logit_error(currents[k:].mean(axis=0), wanted) for k in late))
        return worst


class _Layers:
    """Applies a recipe to one population after the other."""

    def __init__(self, common: _Pass, recipe: Sequence[str]) -> None:
        self.graph, self.activations = common.graph, common.teacher.activations
        self.recipe, self.rows, self.count = recipe, common.fitted, common.count
        self.exact_pooling = common.holdoff >= common.timesteps
        self.late = len(common.shares) > 1
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
        first = int(READ_FROM * state.frames) if self.late else 0
        return refit_readout(
            readout, state, self.activations[str(readout.tensor)], self.rows, first=first
        )

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
