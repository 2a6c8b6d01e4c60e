"""Search a space of configurations for the one that reaches a goal best.

Three rungs, each with more rows and fewer configurations (successive halving, Jamieson and
Talwalkar 2016, with structure in place of chance where structure is known):

1. *Open*: every pair of neuron and schedule climbs the ladder of timesteps on few rows. One run of
   T steps has the accuracies after 1..T, so it says which smaller T are worth a run of their own;
   what cannot catch up with the best so far is not tried.
2. *Refine*: the best go on with more rows and with the corrections, and give way to neighbours that
   differ in one option; a few configurations drawn at random are tried beside them.
3. *Decide*: the best, and the front, are measured on all rows. Only these are compared in the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snnconvert.tuning.budget import Budget
from snnconvert.tuning.figures import SHARES, Figures
from snnconvert.tuning.goal import Goal
from snnconvert.tuning.pareto import figures_point, pareto_front
from snnconvert.tuning.space import FULL_BITS, Configuration, Space

OPENING, REFINING = 0.5, 0.75
"""Shares of the budget after which the next rung begins."""

PROMOTED = 4
"""Configurations of a rung that go on to the next, beside its front."""

HOPELESS = 0.15
"""A run that misses its share by more, at the same t, says that a run made for t will miss it."""

ALIKE = 0.005
"""Accuracies of few rows that are closer say nothing of which is better."""

DRAWN = 4
"""Configurations that are drawn at random, at most."""

DRAWN_SHARE = 12
"""Trials of the budget for each that is drawn."""

LEAST_TRIALS = 6
"""Fewer trials are all made on all rows."""


@dataclass(frozen=True)
class Trial:
    """One measurement.

    Attributes
    ----------
    configuration : Configuration
    rung : int
    rows : int
        Rows that it was judged on.
    figures : Figures or None
        None where the configuration cannot be converted for the target.
    curve : tuple of Figures
        After each t = 1..T of the same run; operations of t < T are those of T in proportion.
    problem : str
        Why there are no figures.
    """

    configuration: Configuration
    rung: int
    rows: int
    figures: Figures | None
    curve: tuple[Figures, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the report says of it."""
        return {
            "configuration": self.configuration.to_json(),
            "rung": self.rung,
            "rows": self.rows,
            "figures": None if self.figures is None else self.figures.to_json(),
            "problem": self.problem,
        }


Measure = Callable[[Configuration, int], Trial]


@dataclass(eq=False)
class Search:
    """One search; ``run`` does it.

    Attributes
    ----------
    space : Space
    goal : Goal
    measure : callable
        Measures a configuration on a rung.
    rungs : int
        How many there are; 1 where the rows are too few to be divided further.
    budget : Budget
    seed : int
        Of the configurations that are drawn at random.
    progress : callable, optional
        Called after each trial.
    """

    space: Space
    goal: Goal
    measure: Measure
    rungs: int
    budget: Budget
    seed: int = 0
    progress: Callable[[Budget], None] | None = None
    trials: dict[tuple[Configuration, int], Trial] = field(default_factory=dict)

    def run(self) -> list[Trial]:
        """Return all trials, in the order in which they were made."""
        self._open()
        self._refine()
        self._decide()
        return list(self.trials.values())

    @property
    def first(self) -> int:
        """The rung that opens: the last one where the budget does not reach further."""
        few = self.budget.trials is not None and self.budget.trials < LEAST_TRIALS
        return self.last if few else 0

    @property
    def last(self) -> int:
        """The rung whose figures are compared in the end."""
        return self.rungs - 1

    def best(self, rung: int) -> list[Trial]:
        """Return the trials of a rung that have figures, the best first."""
        found = [t for (_, r), t in self.trials.items() if r == rung and t.figures is not None]
        return sorted(found, key=self._rank)

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that no other beats in everything."""
        known = [(t, t.figures) for t in trials if t.figures is not None]
        front = pareto_front(known, lambda pair: figures_point(pair[1], self.goal.minimise))
        return [trial for trial, _ in front]

    def _rank(self, trial: Trial) -> tuple[float, ...]:
        assert trial.figures is not None
        missing, first, *rest = self.goal.rank(trial.figures)
        bits = trial.configuration.weight_bits
        return (missing, first, float(FULL_BITS if bits is None else bits), *rest)

    def _try(self, configuration: Configuration, rung: int) -> Trial:
        key = (configuration, rung)
        if key not in self.trials:
            self.trials[key] = self.measure(configuration, rung)
            self.budget.done += 1
            if self.progress is not None:
                self.progress(self.budget)
        return self.trials[key]

    # The first rung

    def _open(self) -> None:
        for family in self.space.families:
            for _ in self._climb(*family):
                if self.budget.spent >= OPENING and self.best(self.first):
                    return

    def _climb(self, neuron: str, schedule: str) -> Iterator[Trial]:
        """Yield the trials of a family on the ladder of timesteps."""
        steps = list(self.space.timesteps)
        # A staged run costs T steps a layer, so the shortest comes first; any other tells of all
        # shorter ones.
        order = steps if schedule == "full" else steps[::-1]
        made: list[Trial] = []
        while order:
            trial = self._try(self.space.first(neuron, schedule, order[0]), self.first)
            yield trial
            if trial.figures is None:
                return
            made.append(trial)
            if schedule == "full":
                order = order[1:] if self._worth_more_steps(trial, order[1:]) else []
            else:
                order = self._shorter(made)

    def _worth_more_steps(self, trial: Trial, longer: list[int]) -> bool:
        figures = trial.figures
        assert figures is not None
        if not longer:
            return False
        bounded = any(b.name in SHARES for b in self.goal.bounds)
        if self.goal.met(figures) == bounded:
            return False  # long enough, or already beyond a cost's bound
        grown = longer[0] / trial.configuration.timesteps * figures.latency
        if grown > self.goal.most("latency"):
            return False
        best = self.best(self.first)[0].figures
        assert best is not None
        return not (self.goal.minimise == "latency" and self.goal.met(best)) or (
            grown < best.latency
        )

    def _shorter(self, made: list[Trial]) -> list[int]:
        """Return the T to try next: the best that the curves promise, then the one below it."""
        tried = {t.configuration.timesteps for t in made}
        promised = self._promised(made)
        best = min(promised, key=lambda T: self.goal.rank(promised[T]))
        if best not in tried:
            return [best]
        below = [T for T in promised if best > T and T not in tried]
        if not below or self.goal.minimise is None or not self.goal.met(promised[best]):
            return []
        return [] if self._hopeless(promised[below[-1]]) else [below[-1]]

    def _promised(self, made: Sequence[Trial]) -> dict[int, Figures]:
        """Return what runs of some T say of every smaller T: of several the shortest."""
        promised: dict[int, Figures] = {}
        for trial in sorted(made, key=lambda t: -t.configuration.timesteps):
            steps = [T for T in self.space.timesteps if trial.configuration.timesteps >= T]
            promised |= {T: trial.curve[T - 1] for T in steps}
        return promised

    def _hopeless(self, promised: Figures) -> bool:
        shares = [b for b in self.goal.bounds if b.name in SHARES]
        return any(bound.shortfall(promised) > HOPELESS for bound in shares)

    # The second rung

    def _refine(self) -> None:
        rung = max(min(1, self.last), self.first)
        self._draw()
        if rung > self.first:
            for trial in self.best(self.first)[:PROMOTED]:
                if self.budget.spent >= REFINING:
                    return
                self._try(trial.configuration, rung)
        self._climb_hill(rung)

    def _climb_hill(self, rung: int) -> None:
        """Move to the best neighbour until none is better."""
        while best := self.best(rung)[:1]:
            for neighbour in self._useful(best[0]):
                if self.budget.spent >= REFINING:
                    return
                self._try(neighbour, rung)
                if self.best(rung)[0] is not best[0]:
                    break
            else:
                return

    def _useful(self, trial: Trial) -> Iterable[Configuration]:
        """Yield neighbours that may be better."""
        own = trial.configuration
        assert trial.figures is not None
        met = self.goal.met(trial.figures)
        promised = {T: trial.curve[T - 1] for T in self.space.timesteps if own.timesteps > T}
        if promised:
            best = min(promised, key=lambda T: self.goal.rank(promised[T]))
            if self.goal.rank(promised[best]) < self.goal.rank(trial.figures):
                yield replace(own, timesteps=best)
        if met:
            yield from self._rivals(own)
        for neighbour in self.space.neighbours(own):
            longer = neighbour.timesteps > own.timesteps
            if longer and met and self.goal.minimise is not None:
                continue
            shorter = neighbour.timesteps < own.timesteps
            if shorter and self._hopeless(trial.curve[neighbour.timesteps - 1]):
                continue
            yield neighbour

    def _rivals(self, own: Configuration) -> Iterator[Configuration]:
        """Yield the same options in families that opened as accurate at less cost."""
        promised = {family: self._promised(self._opened(family)) for family in self.space.families}
        level = promised[own.family].get(own.timesteps)
        if level is None or self.goal.minimise is None:
            return
        cheaper: list[tuple[float, tuple[str, str], int]] = []
        for family in self.space.families:
            known = sorted(promised[family].items())
            enough = [pair for pair in known if pair[1].accuracy >= level.accuracy - ALIKE]
            for T, figures in enough[:1]:
                cheaper.append((getattr(figures, self.goal.minimise), family, T))
        limit = getattr(level, self.goal.minimise)
        for cost, family, T in sorted(cheaper):
            if family != own.family and cost < limit:
                yield replace(own, neuron=family[0], schedule=family[1], timesteps=T)

    def _opened(self, family: tuple[str, str]) -> list[Trial]:
        """Return the trials that opened a family."""
        keys = [(self.space.first(*family, T), self.first) for T in self.space.timesteps]
        trials = [self.trials[key] for key in keys if key in self.trials]
        return [trial for trial in trials if trial.figures is not None]

    def _draw(self) -> None:
        """Try a few configurations that nothing speaks for, on few rows."""
        rng = random.Random(self.seed)
        most = DRAWN if self.budget.trials is None else self.budget.trials // DRAWN_SHARE
        for _ in range(min(DRAWN, most, self.space.size // DRAWN)):
            if self.budget.spent >= REFINING:
                return
            values = {name: rng.choice(tried) for name, tried in vars(self.space).items()}
            self._try(Configuration(**values), self.first)

    # The last rung

    def _decide(self) -> None:
        while (nominee := self._nominee()) is not None:
            if self.budget.spent >= 1 and self.best(self.last):
                return  # where a time is spent, one configuration is measured on all rows still
            self._try(nominee, self.last)

    def _nominee(self) -> Configuration | None:
        """Return what to measure on all rows next."""
        longer = self._longer()
        if longer is not None:
            return longer
        for rung in range(self.last - 1, -1, -1):
            ranked = self.best(rung)
            best = ranked[:PROMOTED] if rung == self.last - 1 else []
            for trial in best + self.front(ranked):
                if (trial.configuration, self.last) not in self.trials:
                    return trial.configuration
        return None

    def _longer(self) -> Configuration | None:
        """Return the nearest to the goal with more timesteps, where it is not accurate enough."""
        best = self.best(self.last)[:1]
        if not best or best[0].figures is None:
            return None
        own, figures = best[0].configuration, best[0].figures
        lacks = any(b.name in SHARES and b.shortfall(figures) for b in self.goal.bounds)
        more = [T for T in self.space.timesteps if own.timesteps < T]
        if not lacks or not more:
            return None
        longer = replace(own, timesteps=more[0])
        return None if (longer, self.last) in self.trials else longer
