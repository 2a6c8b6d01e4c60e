"""Find the straight pieces of a function that has only such: it needs no fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from snnconvert.convert.functions import Call, Expression, Number
from snnconvert.convert.linear import FloatArray

REACH = 1e4
"""Magnitudes up to which a function is looked at."""

_TOLERANCE = 1e-9
_BISECTIONS = 100
_MAX_KINKS = 64
_COMPARISONS = ("greater", "greater_or_equal", "less", "less_or_equal", "maximum", "minimum")


@dataclass(frozen=True, eq=False)
class Pieces:
    """A continuous function of straight pieces.

    Attributes
    ----------
    kinks : (n,) float64 array
        Rising.
    values : (n,) float64 array
        The function there.
    slopes : (n + 1,) float64 array
        Before, between and behind the kinks.
    intercept : float
        The function at 0, where there are no kinks.
    """

    kinks: FloatArray
    values: FloatArray
    slopes: FloatArray
    intercept: float


@lru_cache(maxsize=1024)
def straight_pieces(function: Expression) -> Pieces | None:
    """Return the pieces of a function that is continuous and piecewise linear, else None.

    Its kinks are looked for where a rectifier, a bound or a comparison inside it switches; between
    them samples of the function must lie on lines, which must meet at the kinks.
    """
    kinks = _kinks(function)
    if len(kinks) > _MAX_KINKS:
        return None
    edges = np.concatenate([[-REACH], kinks, [REACH]])
    lines = [_line(function, low, high) for low, high in pairwise(edges)]
    found = [line for line in lines if line is not None]
    if len(found) < len(lines):
        return None
    slopes = np.array([slope for slope, _ in found])
    offsets = np.array([offset for _, offset in found])
    left, right = slopes[:-1] * kinks + offsets[:-1], slopes[1:] * kinks + offsets[1:]
    if (np.abs(left - right) > _TOLERANCE * (1 + np.abs(left))).any():
        return None
    bent = np.abs(np.diff(slopes)) > _TOLERANCE * (1 + np.abs(slopes[:-1]))
    kept = np.concatenate([[True], bent])
    return Pieces(kinks[bent], left[bent], slopes[kept], float(offsets[0]))


def _line(function: Expression, low: float, high: float) -> tuple[float, float] | None:
    """Return slope and offset between two kinks, None where the function is no line."""
    share = np.concatenate([np.geomspace(1e-6, 0.5, 24), 1 - np.geomspace(0.4, 1e-6, 23)])
    x = low + (high - low) * share
    y = function.evaluate(x)
    if not np.isfinite(y).all():
        return None
    i, j = np.searchsorted(share, [0.2, 0.8])
    if x[i] == x[j]:  # two kinks that are one but for rounding
        return None
    slope = (y[j] - y[i]) / (x[j] - x[i])
    offset = y[i] - slope * x[i]
    error = np.abs(slope * x + offset - y)
    return (slope, offset) if (error <= _TOLERANCE * (1 + np.abs(y))).all() else None


def _kinks(function: Expression) -> FloatArray:
    found = [root for switch in set(_switches(function)) for root in _roots(switch)]
    if not found:
        return np.zeros(0)
    ordered = np.unique(np.array(found))
    apart = np.diff(ordered, prepend=-np.inf) > _TOLERANCE * (1 + np.abs(ordered))
    return np.asarray(ordered[apart])


def _switches(expression: Expression) -> Iterator[Expression]:
    """Yield the functions at whose zeros a part of the expression switches."""
    if not isinstance(expression, Call):
        return
    if expression.name in ("relu", "abs", "sign"):
        yield expression.arguments[0]
    elif expression.name in _COMPARISONS:
        yield expression.arguments[0] - expression.arguments[1]
    for argument in expression.arguments:
        yield from _switches(argument)


def _roots(switch: Expression) -> list[float]:
    """Return the zeros of a function on a grid over both signs, sharpened by bisection."""
    if isinstance(switch, Number):
        return []
    fine = np.geomspace(1e-4, REACH, 1601)
    grid = np.concatenate([-fine[::-1], [0.0], fine])
    values = switch.evaluate(grid)
    zero = values == 0
    isolated = zero & ~np.roll(zero, 1) | zero & ~np.roll(zero, -1)
    roots = list(grid[isolated])
    signs = np.sign(values)
    for i in np.flatnonzero(signs[:-1] * signs[1:] < 0):
        roots.append(_bisect(switch, float(grid[i]), float(grid[i + 1])))
    return roots


def _bisect(switch: Expression, low: float, high: float) -> float:
    rising = float(switch.evaluate(np.asarray(low))) < 0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if (float(switch.evaluate(np.asarray(middle))) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2
