"""The Pareto front: configurations that no other is at least as good as in everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from snnconvert.tuning.figures import Figures

Item = TypeVar("Item")

Point = tuple[float, ...]


def figures_point(figures: Figures, minimised: str | None = None) -> Point:
    """Return accuracy, latency, synops and what is to be minimised; less is better everywhere."""
    cost = 0.0 if minimised is None else float(getattr(figures, minimised))
    return (-figures.accuracy, float(figures.latency), figures.synops, cost)


def dominates(one: Point, other: Point) -> bool:
    """Tell whether a point is nowhere worse than another, and better somewhere.

    Examples
    --------
    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (2, 1)), dominates((1, 2), (1, 2))
    (True, False, False)
    """
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def pareto_front(items: Sequence[Item], point: Callable[[Item], Point]) -> list[Item]:
    """Return the items that no other dominates, in their order; of equal ones the first.

    Examples
    --------
    >>> pareto_front([(3, 1), (1, 3), (3, 3), (2, 2), (1, 3)], point=lambda item: item)
    [(3, 1), (1, 3), (2, 2)]
    """
    points = [point(item) for item in items]
    return [
        item
        for i, item in enumerate(items)
        if points[i] not in points[:i] and not any(dominates(p, points[i]) for p in points)
    ]
