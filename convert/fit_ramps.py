"""Fit bounded ramps to a function on the density of its input.

The knots are found by dynamic programming: among the candidates, those between which straight
lines through the function lose least, weighted by the density. Then the values at the knots are
fitted by least squares. The number of ramps is the smallest that keeps within the error budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnconvert.convert.functions import Expression
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.ramps import Ramps

DEFAULT_ERROR = 0.01
MAX_RAMPS = 32
CANDIDATES = 192

_MARGIN = 0.1
"""The function is followed this share of the range beyond it, for inputs that were not seen."""

_MARGIN_WEIGHT = 1e-3
_GRID = 512
_NEGLIGIBLE = 1e-6


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
        Timesteps of the run: a ramp has so many levels above zero. What their rounding costs is
        weighed when the steep parts are shared out between ramps and the linear part.
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
        Its errors are those on the density. Beyond the range, and a tenth of it more, only the
        linear part goes on.
    """
    problem = _Problem(function, density, budget.levels)
    if problem.spread <= _NEGLIGIBLE * max(1.0, abs(problem.mean)):
        return problem.constant()
    fits = [problem.within(slope, budget) for slope in problem.slopes()]
    return min(fits, key=lambda fit: problem.error_with_rounding(fit))


class _Problem:
    """One function, its density, and the same with margins added."""

    def __init__(self, function: Expression, density: Density, levels: int) -> None:
        self.function = function
        self.levels = levels
        self.seen = density
        self.values = function.evaluate(density.points)
        self.mean = float(density.weights @ self.values)
        self.spread = float(np.sqrt(density.weights @ (self.values - self.mean) ** 2))
        low, high = float(density.points[0]), float(density.points[-1])
        margin = _MARGIN * (high - low)
        grid = np.linspace(low - margin, high + margin, _GRID)
        on_grid = function.evaluate(grid)
        inside = np.isfinite(on_grid)
        # Only the stretch around the data: behind a pole another branch begins.
        gaps = np.flatnonzero(~inside)
        first = max(gaps[grid[gaps] < low].max(initial=-1) + 1, 0)
        last = min(gaps[grid[gaps] > high].min(initial=_GRID), _GRID)
        grid, on_grid = grid[first:last], on_grid[first:last]
        finite = np.isfinite(on_grid)
        self.grid, self.on_grid = grid[finite], on_grid[finite]
        x = np.concatenate([density.points, self.grid])
        y = np.concatenate([self.values, self.on_grid])
        share = np.full(len(self.grid), _MARGIN_WEIGHT / max(len(self.grid), 1))
        w = np.concatenate([density.weights * (1 - _MARGIN_WEIGHT), share])
        order = np.argsort(x, kind="stable")
        self.x, self.y, self.w = x[order], y[order], w[order]

    def constant(self) -> Ramps:
        """Return no ramps: the function does not change on the density."""
        nothing = np.zeros(0)
        return self._with_errors(Ramps(self.mean, 0.0, nothing, nothing, nothing))

    def slopes(self) -> list[float]:
        """Return slopes that the linear part may have: none, those at the ends, the average."""
        x, y = self.grid, self.on_grid
        part = max(len(x) // 16, 1)
        left = (y[part] - y[0]) / (x[part] - x[0])
        right = (y[-1] - y[-1 - part]) / (x[-1] - x[-1 - part])
        w, seen = self.seen.weights, self.seen.points
        centred = seen - w @ seen
        regression = (w * centred) @ self.values / max(float(w @ centred**2), 1e-300)
        return list(dict.fromkeys(map(float, (0.0, regression, left, right, (left + right) / 2))))

    def within(self, slope: float, budget: RampBudget) -> Ramps:
        """Return the fit with the fewest ramps that keep within the budget."""
        knots = self.knots(budget.ramps or MAX_RAMPS, slope)
        counts = sorted(knots) if budget.ramps is None else [max(knots)]
        for count in counts:
            fitted = self.fit(knots[count], slope)
            if fitted.rms_error <= budget.error * self.spread:
                break
        return fitted

    def error_with_rounding(self, ramps: Ramps) -> float:
        """Return the mean squared error when every ramp has so many levels only."""
        total = ramps.offset + ramps.slope * self.x
        for height, start, width in zip(ramps.heights, ramps.starts, ramps.widths, strict=True):
            share = np.clip((self.x - start) / width, 0, 1)
            total += height * width * np.floor(share * self.levels + 0.5) / self.levels
        return float(self.w @ (total - self.y) ** 2)

    def candidates(self) -> FloatArray:
        """Return positions for knots: evenly spaced, and dense where it bends and data lie."""
        x, y = self.grid, self.on_grid
        bend = np.abs(np.gradient(np.gradient(y, x), x))
        mass = np.interp(x, self.x, np.cumsum(self.w))
        rate = np.gradient(mass, x) * bend**2
        density = (rate / max(rate.max(), 1e-300)) ** 0.2 + 0.05
        total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
        chosen = np.interp(np.linspace(0, total[-1], CANDIDATES), total, x)
        return np.unique(chosen)

    def knots(self, most: int, slope: float) -> dict[int, FloatArray]:
        """Return the best knots beside a linear part by number of ramps, up to `most`."""
        places = self.candidates()
        most = min(most, len(places) - 1)
        cost, before, behind = self._losses(places, slope)
        best = before
        came: list[np.ndarray] = []
        found: dict[int, FloatArray] = {}
        for count in range(1, most + 1):
            total = best[:, None] + cost
            came.append(total.argmin(axis=0))
            best = total.min(axis=0)
            path = [int((best + behind).argmin())]
            for step in reversed(came):
                path.append(int(step[path[-1]]))
            found[count] = places[path[::-1]]
        return found

    def _losses(
        self, places: FloatArray, slope: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the squared error of the line between every two candidates, infinite backwards.

        And that of leaving the function to the linear part before each, and behind each.
        """
        middle, width = self.x.mean(), max(float(np.ptp(self.x)), 1e-300)
        bent = self.y - slope * self.x
        level, height = bent.mean(), max(float(np.ptp(bent)), 1e-300)
        u, v, w = (self.x - middle) / width, (bent - level) / height, self.w
        ends = np.searchsorted(self.x, places)

        def sums(values: FloatArray) -> FloatArray:
            return np.concatenate([[0.0], np.cumsum(values)])

        def between(values: FloatArray) -> FloatArray:
            below = sums(values)[ends]
            return np.asarray(below[None, :] - below[:, None])

        at = (places - middle) / width
        value = (self.function.evaluate(places) - slope * places - level) / height
        run = at[None, :] - at[:, None]
        with np.errstate(all="ignore"):
            b = (value[None, :] - value[:, None]) / run
            a = value[:, None] - b * at[:, None]
            loss = (
                between(w * v * v)
                - 2 * a * between(w * v)
                - 2 * b * between(w * u * v)
                + a * a * between(w)
                + 2 * a * b * between(w * u)
                + b * b * between(w * u * u)
            )

        def flat(part: FloatArray) -> FloatArray:
            return np.asarray(part[0] - 2 * value * part[1] + value**2 * part[2])

        below = np.array([sums(w * v * v), sums(w * v), sums(w)])
        before, behind = below[:, ends], below[:, -1:] - below[:, ends]
        rounding = between(w) * (value[None, :] - value[:, None]) ** 2 / (12 * self.levels**2)
        loss = np.where(run > 0, np.maximum(loss, 0.0) + rounding, np.inf)
        return loss, np.maximum(flat(before), 0.0), np.maximum(flat(behind), 0.0)

    def fit(self, knots: FloatArray, slope: float) -> Ramps:
        """Fit the values at the knots, beside a linear part."""
        widths = np.diff(knots)
        root = np.sqrt(self.w)
        steps = np.clip(self.x[:, None] - knots[:-1], 0, widths) / widths
        matrix = np.concatenate([np.ones((len(self.x), 1)), steps], axis=1)
        target = self.y - slope * self.x
        solved = np.linalg.lstsq(matrix * root[:, None], target * root, rcond=1e-12)[0]
        kept = np.abs(solved[1:]) > _NEGLIGIBLE * self.spread
        heights = solved[1:] / widths
        ramps = Ramps(float(solved[0]), slope, heights[kept], knots[:-1][kept], widths[kept])
        return self._with_errors(ramps)

    def _with_errors(self, ramps: Ramps) -> Ramps:
        error = ramps.evaluate(self.seen.points) - self.values
        rms = float(np.sqrt(self.seen.weights @ error**2))
        return Ramps(
            ramps.offset,
            ramps.slope,
            ramps.heights,
            ramps.starts,
            ramps.widths,
            rms,
            float(np.abs(error).max()),
        )
