"""Fit bounded ramps to a function on the density of its input.

The knots are found by dynamic programming: among the candidates, those between which straight
lines through the function lose least, weighted by the density. Then the values at the knots are
fitted by least squares. The number of ramps is the smallest that keeps within the error budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnconvert.convert.curves.functions import Expression
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.linear import FloatArray

DEFAULT_ERROR = 0.01
MAX_RAMPS = 32

_CANDIDATES = 192
_MARGIN = 0.1
"""The function is followed this share of the range beyond it, for inputs that were not seen."""

_MARGIN_WEIGHT = 1e-3
_GRID = 512
_NEGLIGIBLE = 1e-6
_CONSTANT = 1e-9
"""Spread as a share of the largest value: up to it a function is constant but for rounding."""


@dataclass(frozen=True, eq=False)
class Density:
    """Where the input of a curve lies.

    Attributes
    ----------
    points : (n,) float64 array
        Rising, finite.
    weights : (n,) float64 array
        Share of the values at each point; they sum to 1.
    """

    points: FloatArray
    weights: FloatArray


@dataclass(frozen=True)
class RampBudget:
    """How closely curves are to be followed.

    Attributes
    ----------
    ramps : int or None
        So many ramps for every curve; None leaves it to `error`.
    error : float
        Root-mean-square error that is allowed, as a share of the function's standard deviation.
    levels : int
        Levels above zero that a ramp has in the run, its timesteps: what rounding to them costs
        is weighed when the knots are placed.
    """

    ramps: int | None = None
    error: float = DEFAULT_ERROR
    levels: int = 64


def standard_density(function: Expression) -> Density:
    """Return the density that is assumed before calibration.

    Normal around zero, of spread 2 (cut at 4 spreads), or as much more as it takes to meet numbers
    on which the function is finite; of them those. Where there are none in reach, the point 0.
    """
    for spread in 2.0 * np.geomspace(1, 1e6, 7):
        points = spread * np.linspace(-4, 4, 1025)
        inside = np.isfinite(function.evaluate(points))
        if inside.any():
            weights = np.exp(-((points[inside] / spread) ** 2) / 2)
            return Density(points[inside], weights / weights.sum())
    return Density(np.zeros(1), np.ones(1))


def can_be_fitted(function: Expression) -> bool:
    """Tell whether a function is finite anywhere in reach of the density before calibration."""
    return bool(np.isfinite(function.evaluate(standard_density(function).points)).all())


def fit_ramps(function: Expression, density: Density, budget: RampBudget) -> Ramps:
    """Return the ramps that follow a function.

    Parameters
    ----------
    function : Expression
        Finite on the density.
    density : Density
    budget : RampBudget

    Returns
    -------
    Ramps
        Its errors are those on the density. It stays constant beyond the range and a tenth of it
        more, as a neuron does that cannot fire faster. Of no ramps where the function is constant.
    """
    problem = _Problem(function, density)
    if problem.spread <= _CONSTANT * np.abs(problem.values).max():
        return problem.constant()
    knots = _best_knots(problem, budget.ramps or MAX_RAMPS, budget.levels)
    counts = sorted(knots) if budget.ramps is None else [max(knots)]
    for count in counts:
        fitted = problem.fit(knots[count])
        if fitted.rms_error <= budget.error * problem.spread:
            break
    return fitted


class _Problem:
    """One function, its density, and the same with margins added: `x`, `y` and weights `w`."""

    def __init__(self, function: Expression, density: Density) -> None:
        self.function, self.seen = function, density
        self.values = function.evaluate(density.points)
        self.mean = float(density.weights @ self.values)
        self.spread = float(np.sqrt(density.weights @ (self.values - self.mean) ** 2))
        self.grid = self._reach()
        x = np.concatenate([density.points, self.grid])
        y = np.concatenate([self.values, function.evaluate(self.grid)])
        share = np.full(len(self.grid), _MARGIN_WEIGHT / max(len(self.grid), 1))
        w = np.concatenate([density.weights * (1 - _MARGIN_WEIGHT), share])
        order = np.argsort(x, kind="stable")
        self.x, self.y, self.w = x[order], y[order], w[order]

    def _reach(self) -> FloatArray:
        """Return even points over the range and its margins, as far as the function is in reach.

        In a margin it may leave the range of its values by as much again. Behind a pole another
        branch begins: only the stretch around the data counts.
        """
        low, high = float(self.seen.points[0]), float(self.seen.points[-1])
        margin = _MARGIN * (high - low)
        grid = np.linspace(low - margin, high + margin, _GRID)
        values = self.function.evaluate(grid)
        lowest, highest = self.values.min(), self.values.max()
        far = ~(np.abs(values - (lowest + highest) / 2) <= 1.5 * (highest - lowest))
        finite = np.isfinite(values)
        gaps = grid[~finite | (far & ((grid < low) | (grid > high)))]
        begin = gaps[gaps < low].max(initial=-np.inf)
        end = gaps[gaps > high].min(initial=np.inf)
        return np.asarray(grid[finite & (grid > begin) & (grid < end)])

    def constant(self) -> Ramps:
        """Return no ramps."""
        nothing = np.zeros(0)
        return self._with_errors(Ramps(self.mean, nothing, nothing, nothing))

    def fit(self, knots: FloatArray) -> Ramps:
        """Fit the values at the knots by weighted least squares."""
        widths = np.diff(knots)
        steps = np.clip((self.x[:, None] - knots[:-1]) / widths, 0, 1)
        matrix = np.concatenate([np.ones((len(self.x), 1)), steps], axis=1)
        weighted = matrix * self.w[:, None]
        solved = np.linalg.lstsq(weighted.T @ matrix, weighted.T @ self.y, rcond=1e-14)[0]
        rises = solved[1:]
        kept = np.abs(rises) > _NEGLIGIBLE * self.spread
        ramps = Ramps(float(solved[0]), (rises / widths)[kept], knots[:-1][kept], widths[kept])
        return self._with_errors(ramps)

    def _with_errors(self, ramps: Ramps) -> Ramps:
        error = ramps.evaluate(self.seen.points) - self.values
        rms = float(np.sqrt(self.seen.weights @ error**2))
        return replace(ramps, rms_error=rms, max_error=float(np.abs(error).max()))


def _candidates(problem: _Problem) -> FloatArray:
    """Return positions for knots: dense where the function bends and data lie.

    Lines through a function lose least when the density of knots follows the fifth root of
    ``p(x) f''(x)**2``; a share of them is spread evenly.
    """
    x = problem.grid
    y = problem.function.evaluate(x)
    bend = np.abs(np.gradient(np.gradient(y, x), x))
    mass = np.interp(x, problem.x, np.cumsum(problem.w))
    rate = np.gradient(mass, x) * bend**2
    density = (rate / max(float(rate.max()), 1e-300)) ** 0.2 + 0.05
    total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    return np.unique(np.interp(np.linspace(0, total[-1], _CANDIDATES), total, x))


def _best_knots(problem: _Problem, most: int, levels: int) -> dict[int, FloatArray]:
    """Return the best knots by number of ramps, up to `most`.

    Before the first knot and behind the last the function is taken as constant.
    """
    places = _candidates(problem)
    cost, before, behind = _losses(problem, places, levels)
    best = before
    came: list[np.ndarray] = []
    found: dict[int, FloatArray] = {}
    for count in range(1, min(most, len(places) - 1) + 1):
        total = best[:, None] + cost
        came.append(total.argmin(axis=0))
        best = total.min(axis=0)
        path = [int((best + behind).argmin())]
        for step in reversed(came):
            path.append(int(step[path[-1]]))
        found[count] = places[path[::-1]]
    return found


def _losses(
    problem: _Problem, places: FloatArray, levels: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the squared error of the line between every two places, infinite backwards.

    And that of a constant before each place, and behind each. A line also costs what rounding to
    its levels does: a twelfth of a squared step.
    """
    middle, width = problem.x.mean(), max(float(np.ptp(problem.x)), 1e-300)
    level, height = problem.y.mean(), max(float(np.ptp(problem.y)), 1e-300)
    u, v, w = (problem.x - middle) / width, (problem.y - level) / height, problem.w
    ends = np.searchsorted(problem.x, places)
    moments = np.stack([w, w * u, w * u * u, w * v, w * u * v, w * v * v])
    sums = np.concatenate([np.zeros((6, 1)), np.cumsum(moments, axis=1)], axis=1)
    at = (places - middle) / width
    value = (problem.function.evaluate(places) - level) / height

    def error(part: FloatArray, a: FloatArray, b: FloatArray | float) -> FloatArray:
        one, x, xx, y, xy, yy = part
        squares = yy - 2 * a * y - 2 * b * xy + a * a * one + 2 * a * b * x + b * b * xx
        return np.asarray(np.maximum(squares, 0.0))

    below = sums[:, ends]
    between = below[:, None, :] - below[:, :, None]
    run = at[None, :] - at[:, None]
    rise = value[None, :] - value[:, None]
    with np.errstate(all="ignore"):
        slope = rise / run
        loss = error(between, value[:, None] - slope * at[:, None], slope)
    loss = loss + between[0] * rise**2 / (12 * levels**2)
    loss = np.where(run > 0, loss, np.inf)
    return loss, error(below, value, 0.0), error(sums[:, -1:] - below, value, 0.0)
