"""Fitted ramps: the reported error is the real one, and it falls with the number of ramps."""

from itertools import pairwise

import numpy as np
import pytest

from snnconvert.convert.curves.fit_ramps import (
    MAX_RAMPS,
    Density,
    RampBudget,
    fit_ramps,
    standard_density,
)
from snnconvert.convert.curves.functions import SIGMOID, Expression, X, call
from snnconvert.convert.curves.ramps import Ramps

FUNCTIONS = {
    "sigmoid": SIGMOID,
    "tanh": call("tanh", X),
    "silu": X * SIGMOID,
    "gelu": 0.5 * X * (1 + call("erf", X / np.sqrt(2))),
    "softplus": call("softplus", X),
    "elu": call("relu", X) + call("expm1", call("minimum", X, 0)),
    "square": X * X,
    "exp": call("exp", X),
    "log": call("log", X),
    "sine": call("sin", X),
    "jump": call("where", call("greater", X, 0.5), X, 0),
}
EVERY = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def spread(function: Expression, density: Density) -> float:
    values = function.evaluate(density.points)
    mean = density.weights @ values
    return float(np.sqrt(density.weights @ (values - mean) ** 2))


def measured(function: Expression, density: Density, ramps: Ramps) -> tuple[float, float]:
    error = np.abs(ramps.evaluate(density.points) - function.evaluate(density.points))
    return float(np.sqrt(density.weights @ error**2)), float(error.max())


@EVERY
def test_the_error_reported_is_the_error(function: Expression) -> None:
    density = standard_density(function)
    ramps = fit_ramps(function, density, RampBudget())
    assert (ramps.rms_error, ramps.max_error) == pytest.approx(measured(function, density, ramps))
    assert ramps.rms_error <= 0.01 * spread(function, density)
    assert (ramps.widths > 0).all() and (np.diff(ramps.starts) > 0).all()


@EVERY
def test_the_error_falls_with_the_number_of_ramps(function: Expression) -> None:
    density = standard_density(function)
    fits = [fit_ramps(function, density, RampBudget(ramps=n)) for n in (1, 2, 4, 8, 16)]
    errors = [fit.rms_error for fit in fits]
    assert [len(fit.slopes) for fit in fits] == [1, 2, 4, 8, 16] or function == FUNCTIONS["jump"]
    noise = 1e-3 * spread(function, density)  # of a jump nothing else is left
    assert all(after <= before + noise for before, after in pairwise(errors))
    assert errors[-1] < errors[0] / 20


def test_a_wider_budget_takes_fewer_ramps() -> None:
    density = standard_density(SIGMOID)
    counts = [
        len(fit_ramps(SIGMOID, density, RampBudget(error=e)).slopes) for e in (0.1, 0.03, 0.01)
    ]
    assert counts == sorted(set(counts))
    assert counts[0] >= 1


def test_the_largest_number_of_ramps_ends_the_search() -> None:
    function = call("sin", 40 * X)
    ramps = fit_ramps(function, standard_density(function), RampBudget(error=1e-6))
    assert len(ramps.slopes) <= MAX_RAMPS
    assert ramps.rms_error > 1e-6


def test_one_ramp_is_a_hard_sigmoid() -> None:
    function = call("minimum", call("maximum", X / 2 + 0.5, 0), 1)
    ramps = fit_ramps(function, standard_density(function), RampBudget(ramps=1))
    assert ramps.slopes == pytest.approx([0.5], rel=0.05)
    assert ramps.starts == pytest.approx([-1], abs=0.1)
    assert ramps.widths == pytest.approx([2], rel=0.1)
    assert ramps.offset == pytest.approx(0, abs=0.01)


def test_a_constant_needs_no_ramp() -> None:
    for density in (Density(np.array([2.0]), np.ones(1)), standard_density(X)):
        function = X * 0 + 3 if len(density.points) > 1 else X + 1
        ramps = fit_ramps(function, density, RampBudget())
        assert not len(ramps.slopes)
        assert ramps.offset == pytest.approx(3)
        assert ramps.evaluate(np.array([-5.0, 7.0])) == pytest.approx([3, 3])


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_small_values_are_no_constant(scale: float) -> None:
    density = Density(scale * np.linspace(-4, 4, 801), np.full(801, 1 / 801))
    for function in (X * SIGMOID, scale * call("tanh", X / scale)):
        ramps = fit_ramps(function, density, RampBudget())
        assert len(ramps.slopes)
        assert ramps.rms_error <= 0.0101 * spread(function, density)


def test_beyond_the_range_it_stays_constant() -> None:
    density = Density(np.linspace(-1, 1, 201), np.full(201, 1 / 201))
    ramps = fit_ramps(X * SIGMOID, density, RampBudget())
    far = ramps.evaluate(np.array([-100.0, -1.3, 1.3, 100.0]))
    assert far[0] == far[1] and far[2] == far[3]
    assert ramps.starts[0] >= -1.2 and ramps.starts[-1] + ramps.widths[-1] <= 1.2 + 1e-9


def test_knots_gather_where_the_data_are() -> None:
    points = np.linspace(-8, 8, 1601)
    for centre in (-2.0, 2.0):
        weights = np.exp(-((points - centre) ** 2) / 0.02)
        density = Density(points, weights / weights.sum())
        ramps = fit_ramps(SIGMOID, density, RampBudget(ramps=6))
        near = np.abs(ramps.starts - centre) < 0.5
        assert near.sum() >= 3


def test_no_fit_crosses_a_pole() -> None:
    function = 1 / X
    density = Density(np.linspace(0.2, 4, 400), np.full(400, 1 / 400))
    ramps = fit_ramps(function, density, RampBudget())
    assert ramps.rms_error <= 0.01 * spread(function, density)
    assert (ramps.evaluate(np.array([-5.0, 0.0])) > 0).all()


@pytest.mark.parametrize(
    ("function", "lowest"), [(call("log", X), 0.0), (call("log", X - 50), 50.0)]
)
def test_the_standard_density_lies_in_the_domain(function: Expression, lowest: float) -> None:
    density = standard_density(function)
    assert density.points.min() > lowest
    assert density.weights.sum() == pytest.approx(1)
    ramps = fit_ramps(function, density, RampBudget())
    assert 0 < ramps.rms_error < 0.02 * spread(function, density)


def test_a_function_without_values_gets_no_density() -> None:
    nowhere = call("log", -1 - X * X)
    assert standard_density(nowhere).points.tolist() == [0]
