"""Times of several pieces of work, taken in turns, so that a change of the machine meets all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]
"""Does the work once. What it returns is dropped, unless it is a float: then that is its time."""

SHORTEST = 0.2
"""Seconds that one measurement lasts at least: short work is repeated within it."""

PAUSE = 0.1
"""Seconds between two measurements, in which spinning threads of the last one go to sleep."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements.

    Attributes
    ----------
    median, low, high : float
        With the quartiles; of fewer than four measurements the smallest and the largest.
    values : tuple of float
        All of them, in order.
    """

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one measurement."""
        ordered = sorted(values)
        low, high = ordered[0], ordered[-1]
        if len(ordered) >= 4:
            low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(statistics.median(ordered), low, high, tuple(values))

    def to_json(self) -> dict[str, object]:
        """Return it ready for JSON, rounded to six digits."""
        return {
            "median": _short(self.median),
            "low": _short(self.low),
            "high": _short(self.high),
            "values": [_short(value) for value in self.values],
        }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Times:
    """Seconds of each piece of work, by its name, one entry a round."""

    seconds: dict[str, tuple[float, ...]]

    def spread(self, name: str) -> Spread:
        """Return the seconds of one piece of work."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, other: str, factor: float = 1.0) -> Spread:
        """Return ``name / (factor * other)``, from the pairs of one round."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return Spread.of([mine / (factor * theirs) for mine, theirs in pairs])


def interleave(
    works: Mapping[str, Work],
    *,
    repeat: int,
    shortest: float | None = None,
    pause: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time pieces of work in turns: a, b, c, a, b, c, ...

    Each is done once before, uncounted: compilation and first allocations are no part of its time.
    Every second round goes backwards, so that none always follows the same other one.

    Parameters
    ----------
    works : mapping of str to callable
        A callable that returns a float has timed itself.
    repeat : int
        Rounds.
    shortest, pause : float, optional
        Seconds; default: ``SHORTEST`` and ``PAUSE``.
    clock : callable
        Returns seconds.
    """
    shortest = SHORTEST if shortest is None else shortest
    pause = PAUSE if pause is None else pause
    loops = {}
    for name, work in works.items():
        work()
        once = max(_timed(work, 1, clock), 1e-9)
        loops[name] = max(int(shortest / once), 1)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(repeat):
        names = list(works)[:: 1 if round_ % 2 == 0 else -1]
        for name in names:
            time.sleep(pause)
            seconds[name].append(_timed(works[name], loops[name], clock))
    return Times({name: tuple(found) for name, found in seconds.items()})


def _timed(work: Work, loops: int, clock: Callable[[], float]) -> float:
    own = 0.0
    began = clock()
    for _ in range(loops):
        result = work()
        own += result if isinstance(result, float) else 0.0
    return (own or clock() - began) / loops
