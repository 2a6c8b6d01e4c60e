"""Find the straight pieces of a function that has only such: it needs no fit.

They follow from the expression, part by part: sums, scales and bounds of straight pieces are
straight, and bend where the parts do or where a comparison switches. Nothing is sampled, so what
lies far out or is narrow cannot be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from snnconvert.convert.curves.functions import FUNCTIONS, Call, Expression, Number, Variable
from snnconvert.convert.linear import FloatArray

_TOLERANCE = 1e-9
_ROUNDING = 1e-12
_MAX_KINKS = 64
_MAX_EDGES = 4096
"""Where a part bends more often than that, it counts as curved."""

_OUT_OF_REACH = 1e37
"""No value is that large in single precision, but files write such bounds for having none."""

_COMPARISONS = ("greater", "greater_or_equal", "less", "less_or_equal")


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

    Also None where it has more kinks than are worth a population each, or a value at a single
    point that its surroundings do not have.
    """
    with np.errstate(all="ignore"):
        lines = _lines(function).without_slivers()
    if not (np.isfinite(lines.slopes).all() and np.isfinite(lines.offsets).all()):
        return None
    kinks, slopes, offsets = lines.edges, lines.slopes, lines.offsets
    left, right = slopes[:-1] * kinks + offsets[:-1], slopes[1:] * kinks + offsets[1:]
    size = np.maximum(np.abs(offsets[:-1]), np.abs(offsets[1:]))
    allowed = _TOLERANCE * np.maximum(size, np.maximum(np.abs(left), np.abs(right)))
    allowed += np.finfo(np.float64).eps * np.abs(offsets).max()
    there = function.evaluate(kinks)
    if not ((np.abs(left - right) <= allowed) & (np.abs(there - left) <= allowed)).all():
        return None
    bent = np.abs(np.diff(slopes)) > _ROUNDING * np.abs(slopes).max()
    if bent.sum() > _MAX_KINKS:
        return None
    kept = np.concatenate([[True], bent])
    return Pieces(kinks[bent], left[bent], slopes[kept], float(offsets[0]))


@dataclass(frozen=True, eq=False)
class _Lines:
    """A function that is ``slopes * x + offsets`` between edges; NaN where it is no line."""

    edges: FloatArray
    slopes: FloatArray
    offsets: FloatArray

    def split(self, edges: FloatArray) -> _Lines:
        """Return the same function with more edges, which take in its own."""
        at = np.searchsorted(self.edges, _middles(edges))
        return _Lines(edges, self.slopes[at], self.offsets[at])

    @property
    def roots(self) -> FloatArray:
        """Where a line crosses zero between its edges."""
        roots = -self.offsets / self.slopes
        low = np.concatenate([[-np.inf], self.edges])
        high = np.concatenate([self.edges, [np.inf]])
        return np.asarray(roots[np.isfinite(roots) & (roots > low) & (roots < high)])

    @property
    def signs(self) -> FloatArray:
        """-1, 0 or 1 between the edges, where no line crosses zero there; NaN where unknown."""
        return np.asarray(np.sign(self.slopes * _middles(self.edges) + self.offsets))

    def without_slivers(self) -> _Lines:
        """Return the function without edges out of reach or apart by rounding alone."""
        near = np.abs(self.edges) < _OUT_OF_REACH
        inner = self.split(self.edges[near]) if near.any() else self._around_zero()
        edges = inner.edges
        if not len(edges):
            return inner
        least = np.maximum(_TOLERANCE * np.abs(edges), _ROUNDING * np.abs(edges).max())
        apart = np.diff(edges, prepend=-np.inf) > least
        kept = np.concatenate([apart, [True]])  # the piece before an edge that is left out
        return _Lines(edges[apart], inner.slopes[kept], inner.offsets[kept])

    def _around_zero(self) -> _Lines:
        return _Lines(np.zeros(0), self._at_zero(self.slopes), self._at_zero(self.offsets))

    def _at_zero(self, values: FloatArray) -> FloatArray:
        return values[np.searchsorted(self.edges, [0.0])]


def _middles(edges: FloatArray) -> FloatArray:
    """Return a point in every piece."""
    if not len(edges):
        return np.zeros(1)
    first, last = edges[0] - 1 - abs(edges[0]), edges[-1] + 1 + abs(edges[-1])
    return np.concatenate([[first], edges[:-1] / 2 + edges[1:] / 2, [last]])


def _lines(expression: Expression) -> _Lines:
    """Return the lines of an expression, from those of its arguments."""
    none = np.zeros(0)
    if isinstance(expression, Variable):
        return _Lines(none, np.ones(1), np.zeros(1))
    if isinstance(expression, Number):
        return _Lines(none, np.zeros(1), np.full(1, expression.value))
    assert isinstance(expression, Call)
    return _call(expression.name, [_lines(argument) for argument in expression.arguments])


def _call(name: str, arguments: list[_Lines]) -> _Lines:
    edges = np.unique(np.concatenate([a.edges for a in arguments]))
    if len(edges) > _MAX_EDGES:
        return _Lines(np.zeros(0), np.full(1, np.nan), np.full(1, np.nan))
    parts = [a.split(edges) for a in arguments]
    switch = _switch(name, parts)
    if switch is not None:
        edges = np.union1d(edges, switch.roots)
        parts = [a.split(edges) for a in parts]
        return _switched(name, parts, switch.split(edges).signs)
    return _combined(name, parts)


def _switch(name: str, parts: list[_Lines]) -> _Lines | None:
    """Return the function at whose zeros a function of the parts switches."""
    if name in ("relu", "abs", "sign"):
        return parts[0]
    if name in ("maximum", "minimum", *_COMPARISONS):
        return _combined("subtract", parts)
    return None


def _switched(name: str, parts: list[_Lines], signs: FloatArray) -> _Lines:
    """Return the function where the sign of what it switches at is known."""
    first, zero = parts[0], np.zeros_like(signs)
    if name == "sign":
        return _Lines(first.edges, 0 * signs, signs)
    if name in _COMPARISONS:
        truth = np.where(np.isnan(signs), np.nan, FUNCTIONS[name](signs, zero))
        return _Lines(first.edges, 0 * signs, truth)
    if name == "abs":
        return _Lines(first.edges, signs * first.slopes, signs * first.offsets)
    second = _Lines(first.edges, zero, zero) if name == "relu" else parts[1]
    below = signs < 0 if name == "minimum" else signs > 0
    return _chosen(np.where(np.isnan(signs), np.nan, below), first, second)


def _chosen(condition: FloatArray, first: _Lines, second: _Lines) -> _Lines:
    unknown = np.isnan(condition)

    def pick(one: FloatArray, other: FloatArray) -> FloatArray:
        return np.where(unknown, np.nan, np.where(condition != 0, one, other))

    slopes, offsets = pick(first.slopes, second.slopes), pick(first.offsets, second.offsets)
    return _Lines(first.edges, slopes, offsets)


def _combined(name: str, parts: list[_Lines]) -> _Lines:
    """Return a function of lines that bends where they do; NaN where it is no line."""
    edges = parts[0].edges
    slopes, offsets = [p.slopes for p in parts], [p.offsets for p in parts]
    if name in ("add", "subtract"):
        of = FUNCTIONS[name]
        return _Lines(edges, of(*slopes), of(*offsets))
    constant = [slope == 0 for slope in slopes]
    if name == "where":
        return _chosen(np.where(constant[0], offsets[0], np.nan), parts[1], parts[2])
    if name == "multiply":
        (a, b), (c, d) = slopes, offsets
        bent = ~(constant[0] | constant[1])
        return _Lines(edges, np.where(bent, np.nan, a * d + b * c), np.where(bent, np.nan, c * d))
    if name == "divide":
        (a, _), (c, d) = slopes, offsets
        return _Lines(edges, np.where(constant[1], a / d, np.nan), c / d)
    flat = np.logical_and.reduce(constant)
    values = FUNCTIONS[name](*offsets)
    return _Lines(edges, np.where(flat, 0.0, np.nan), np.where(flat, values, np.nan))
