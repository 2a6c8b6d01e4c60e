"""Goals: what a user may ask of a network, and how far figures are from it.

The grammar::

    goal  = bound { ("and" | ",") bound }
    bound = ("accuracy" | "agreement") ">=" share | cost "<=" number
    share = "ANN" [ "-" points ] | number "%" | number in [0, 1]
    cost  = "latency" | "synops" | "energy" | "neurons"

``ANN-0.5`` is half a percentage point below the ANN on the same rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.tuning.figures import COSTS, SHARES, Figures

UNITS = {"latency": "steps", "synops": "synaptic operations", "energy": "J", "neurons": "neurons"}

_BOUND = re.compile(r"\s*([A-Za-z_]*)\s*(>=|<=|==|=|>|<|≥|≤)?\s*(.*?)\s*", re.DOTALL)
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RELATIVE = re.compile(rf"ANN(?:\s*-\s*({_NUMBER})\s*(?:points?|%)?)?", re.IGNORECASE)
_SHARE = re.compile(rf"({_NUMBER})\s*(%?)")

ROUNDING = 1e-12
"""Differences of shares below this are those of floating point."""

EXAMPLE = 'write for example "accuracy>=ANN-0.5", "accuracy>=90%" or "latency<=32"'


@dataclass(frozen=True)
class Bound:
    """A figure that must not be worse than a limit.

    Attributes
    ----------
    name : str
        Of ``SHARES``, then at least the limit, or of ``COSTS``, then at most.
    limit : float
        A share in [0, 1], a cost, or for a relative bound percentage points below the ANN.
    relative : bool
        Whether the limit counts from the ANN's accuracy on the same rows.
    """

    name: str
    limit: float
    relative: bool = False

    def wanted(self, figures: Figures) -> float:
        """Return the value that is wanted on the rows of some figures."""
        return figures.ann_accuracy - self.limit / 100 if self.relative else self.limit

    def shortfall(self, figures: Figures) -> float:
        """Return how much is missing: points of a share, or the excess over a cost's limit."""
        have, wanted = float(getattr(figures, self.name)), self.wanted(figures)
        if self.name in SHARES:
            missing = wanted - have
            return missing if missing > ROUNDING else 0.0
        return max(have / wanted - 1, 0.0)

    def __str__(self) -> str:
        limit = repr(self.limit).removesuffix(".0")
        if self.name in COSTS:
            return f"{self.name}<={limit}"
        if not self.relative:
            return f"{self.name}>={limit}"
        return f"{self.name}>=ANN" + (f"-{limit}" if self.limit else "")


@dataclass(frozen=True)
class Goal:
    """Bounds that must hold, and what is best among those that hold them.

    Attributes
    ----------
    bounds : tuple of Bound
    minimise : str or None
        A cost; None: the most accurate.
    """

    bounds: tuple[Bound, ...]
    minimise: str | None = "latency"

    def shortfall(self, figures: Figures) -> float:
        """Return the sum of what is missing; 0 where the goal is met."""
        return math.fsum(bound.shortfall(figures) for bound in self.bounds)

    def met(self, figures: Figures) -> bool:
        """Tell whether every bound holds."""
        return self.shortfall(figures) == 0

    def rank(self, figures: Figures) -> tuple[float, ...]:
        """Return a key that sorts the best figures first."""
        first = -figures.accuracy if self.minimise is None else getattr(figures, self.minimise)
        missing = self.shortfall(figures)
        # What misses the goal is ranked by how much it misses, before what it costs.
        return (missing, float(first), -figures.accuracy, float(figures.latency), figures.synops)

    def most(self, name: str) -> float:
        """Return the largest value of a cost that the bounds allow."""
        return min((b.limit for b in self.bounds if b.name == name), default=math.inf)

    def __str__(self) -> str:
        joined = " and ".join(map(str, self.bounds))
        return f"{joined}, {'most accurate' if self.minimise is None else f'least {self.minimise}'}"

    @property
    def text(self) -> str:
        """The bounds as :func:`parse_goal` reads them."""
        return " and ".join(map(str, self.bounds))


def parse_goal(text: str, minimise: str | None = None) -> Goal:
    """Return the goal that a text spells.

    Parameters
    ----------
    text : str
        Bounds joined by "and" or commas.
    minimise : str, optional
        What to minimise where the accuracy or agreement is bounded: a cost, "latency" by default.
        Where costs alone are bounded the most accurate configuration is best.

    Raises
    ------
    UsageError
        If it cannot be read; says which part and what would be right.

    Examples
    --------
    >>> goal = parse_goal("accuracy>=ANN-0.5 and synops<=2e6")
    >>> [str(bound) for bound in goal.bounds], goal.minimise
    (['accuracy>=ANN-0.5', 'synops<=2000000'], 'latency')
    >>> parse_goal("latency<=32").minimise is None
    True
    """
    parts = re.split(r"\s+and\b\s*|,|&&?", text.strip(), flags=re.IGNORECASE)
    bounds = tuple(_bound(part, text) for part in parts)
    names = [bound.name for bound in bounds]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"goal {text!r} bounds the {name} twice", hint="give one bound")
    if minimise is not None and minimise not in COSTS:
        raise UsageError(f"cannot minimise {minimise!r}", hint=did_you_mean(minimise, COSTS))
    if any(name in SHARES for name in names):
        return Goal(bounds, minimise or "latency")
    if minimise is not None:
        raise UsageError(
            f"goal {text!r} says nothing of the accuracy: the least {minimise} would be that of a "
            "network that answers at random",
            hint='add a bound: --goal "accuracy>=ANN-1"; or leave out --minimise',
        )
    return Goal(bounds, None)


def _bound(part: str, whole: str) -> Bound:
    found = _BOUND.fullmatch(part)
    assert found is not None  # every part of it is optional
    name, operator, value = found[1].lower(), found[2], found[3]
    if not name:
        raise UsageError(f"goal {whole!r} lacks a figure in {part.strip()!r}", hint=EXAMPLE)
    if name not in (*SHARES, *COSTS):
        raise UsageError(
            f"goal {whole!r} names an unknown figure {name!r}",
            hint=did_you_mean(name, [*SHARES, *COSTS]),
        )
    expected, otherwise = (">=", "≥") if name in SHARES else ("<=", "≤")
    if operator not in (expected, otherwise):
        given = "no comparison" if operator is None else f"{operator!r}"
        side = "at least" if name in SHARES else "at most"
        raise UsageError(
            f"goal {whole!r} has {given} after {name!r}",
            why=f"a goal asks for {side} so much {name}",
            hint=f"write {name}{expected}VALUE",
        )
    return _share(name, value, whole) if name in SHARES else _cost(name, value, whole)


def _share(name: str, value: str, whole: str) -> Bound:
    relative = _RELATIVE.fullmatch(value)
    if relative is not None:
        if name == "agreement":
            raise UsageError(
                f"goal {whole!r} compares the agreement with the ANN with itself",
                hint="write agreement>=99%, or accuracy>=ANN-0.5",
            )
        points = float(relative[1] or 0)
        if points > 100:
            raise UsageError(
                f"goal {whole!r}: {points:g} points below the ANN is below nothing", hint=EXAMPLE
            )
        return Bound(name, points, relative=True)
    plain = _SHARE.fullmatch(value)
    if plain is None:
        hint = EXAMPLE
        if value.upper().startswith("ANN"):
            hint = "ANN-0.5 is half a point below the ANN; write ANN, or ANN-POINTS"
        raise UsageError(f"goal {whole!r}: {value!r} is no {name}", hint=hint)
    share = float(plain[1]) / (100 if plain[2] else 1)
    if share > 1:
        hint = (
            f"{share:g} % is written {share:g}% or {share / 100:g}"
            if not plain[2] and share <= 100
            else EXAMPLE
        )
        raise UsageError(f"goal {whole!r}: {value} is no share of 1", hint=hint)
    return Bound(name, share)


def _cost(name: str, value: str, whole: str) -> Bound:
    if re.fullmatch(_NUMBER, value) is None:
        hint = f"a number without a unit, in {UNITS[name]}: {name}<=1000"
        raise UsageError(f"goal {whole!r}: {value!r} is no number", hint=hint)
    limit = float(value)
    if not 0 < limit < math.inf:
        raise UsageError(f"goal {whole!r}: {name} must be more than 0, and finite")
    return Bound(name, limit)
