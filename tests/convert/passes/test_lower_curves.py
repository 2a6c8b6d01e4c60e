"""Curves become ramps: exactly where they have straight pieces, else as they were fitted."""

import numpy as np
import pytest
from graphs import Sketch, assert_same_function, samples_for

from snnconvert.convert.curves.fit_ramps import RampBudget
from snnconvert.convert.curves.functions import SIGMOID, Expression, X, call
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.graph import Curve, Graph, Relu
from snnconvert.convert.lower import lower
from snnconvert.convert.passes.lower_curves import lower_curves, provisional_ramps

TANH = call("tanh", X)


def curved(function: Expression, ramps: Ramps | None = None) -> Graph:
    sketch = Sketch()
    x = sketch.input((5,))
    curve = sketch.add(Curve(function, ramps), [x], (5,), "curve")
    graph: Graph = sketch.graph(sketch.affine(curve, name="end"))
    return graph


@pytest.mark.parametrize(
    ("function", "ceilings"),
    [
        (call("abs", X), [None, None]),
        (call("minimum", call("maximum", X, -1), 2), [3.0]),
        (call("maximum", X, 0.1 * X) + 1, [None, None]),
        (call("relu", X - 1) - call("relu", -1 - X), [None, None]),
        (call("relu", 1 - call("abs", X)), [1.0, 1.0]),
        (2 * X - 3, []),
    ],
    ids=str,
)
def test_straight_pieces_are_exact(function: Expression, ceilings: list[float | None]) -> None:
    graph = curved(function)
    lowered = lower_curves(graph)
    assert not lowered.approximations
    assert_same_function(graph, lowered)
    found = [n.op.ceiling for n in lowered.activations if isinstance(n.op, Relu)]
    assert [c if c is None else pytest.approx(c) for c in found] == ceilings
    assert all(n.op.calibrated for n in lowered.activations if isinstance(n.op, Relu))


@pytest.mark.parametrize(
    ("function", "populations"),
    [
        (call("minimum", X, 20000), 1),
        (call("abs", X - 12000), 1),
        (call("relu", X + 1) - 0.5 * call("relu", X - 1e6) + call("minimum", X + 1e5, 0), 3),
        (call("relu", 1 - call("abs", X - 12000)), 2),
        (call("maximum", call("abs", X + 3e5), 1e5), 2),
        (3 * X, 0),
        (0 * X + 3, 0),
    ],
    ids=str,
)
def test_kinks_far_away_are_exact(function: Expression, populations: int) -> None:
    graph = curved(function)
    lowered = lower_curves(graph)
    assert not lowered.approximations
    assert len(lowered.activations) == populations
    x = np.concatenate(
        [np.linspace(-3, 3, 7), [11999.5, 12001, 3e4, 2e6, -12000, -2e5, -5e5, -1e6]]
    )
    samples = {"x": np.repeat(x[:, None], 5, axis=1)}
    (ours,) = lowered.evaluate(samples, ["curve"], dtype=np.float64).values()
    np.testing.assert_allclose(ours, function.evaluate(samples["x"]), rtol=1e-12, atol=1e-9)


def test_far_kinks_leave_what_is_near_its_precision() -> None:
    lowered = lower_curves(curved(call("minimum", X, 1e9)))
    samples = {"x": np.full((1, 5), 1e-3)}
    (ours,) = lowered.evaluate(samples, ["curve"]).values()
    np.testing.assert_allclose(ours, 1e-3, rtol=1e-6)


def test_ramps_are_the_fit() -> None:
    ramps = Ramps(
        0.25, np.array([0.5, -1.0]), np.array([-1.0, 1.0]), np.array([2.0, 0.5]), 0.125, 0.5
    )
    graph = curved(SIGMOID, ramps)
    lowered = lower_curves(graph)
    samples = samples_for(graph)
    np.testing.assert_allclose(
        lowered.evaluate(samples, ["curve"], dtype=np.float64)["curve"],
        ramps.evaluate(samples["x"]),
        rtol=1e-12,
    )
    thresholds = [n.op.threshold for n in lowered.activations if isinstance(n.op, Relu)]
    assert [float(t.item()) for t in thresholds if t is not None] == [2.0, 0.5]
    (approximation,) = lowered.approximations
    assert approximation.detail == "sigmoid(x) by 2 ramps"
    assert (approximation.rms_error, approximation.max_error) == (0.125, 0.5)


def test_before_calibration_a_standard_density_stands_in() -> None:
    budget = RampBudget(error=0.1)
    lowered = lower(curved(TANH), budget)
    assert len(lowered.activations) == len(provisional_ramps(TANH, budget).slopes) < 6


def test_one_ramp_and_none() -> None:
    none = Ramps(1.5, np.zeros(0), np.zeros(0), np.zeros(0))
    lowered = lower(curved(TANH, none))
    assert lowered.evaluate(samples_for(lowered))["end"] == pytest.approx(1.5)
    assert lowered.approximations[0].detail == "tanh(x) by 0 ramps"
    one = lower_curves(curved(TANH), RampBudget(ramps=1))
    assert one.approximations[0].detail == "tanh(x) by 1 ramp"


def test_a_long_function_is_not_written_out() -> None:
    function: Expression = X
    for _ in range(40):
        function = call("tanh", function)
    (approximation,) = lower_curves(curved(function)).approximations
    assert approximation.detail.startswith("a function of 41 operations by ")
