"""Curves are fitted on the density of their inputs, whatever the order of the rows."""

from typing import Any

import numpy as np
import pytest
from onnx_models import graph_of, make_model, make_node

from snnconvert.calibration.curves import InputDensity, fit_curves, with_ramps
from snnconvert.calibration.data import open_samples
from snnconvert.convert.curves.fit_ramps import RampBudget
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import Curve, Relu
from snnconvert.convert.lower import exact_graph, lower


def model(operator: str = "Tanh", scale: float = 3.0) -> bytes:
    nodes = [
        make_node("Mul", ["x", "c"], ["m"], name="scaled"),
        make_node(operator, ["m"], ["t"], name="curve"),
        make_node("Neg", ["t"], ["y"], name="end"),
    ]
    constants = {"c": np.full((4,), scale, np.float32) * np.array([1, 1, 1, 2], np.float32)}
    made = make_model(nodes, {"x": ["N", 4]}, constants=constants)
    return bytes(made.SerializeToString())


def fit(content: bytes, rows: Any, **budget: Any) -> dict[str, Ramps]:
    source = open_samples(rows, {"x": (4,)}, batch_size=7)
    return fit_curves(exact_graph(graph_of(content)), content, source, RampBudget(**budget))


def test_the_density_is_that_of_the_values(rng: np.random.Generator) -> None:
    values = np.array([0.0, 0.0, 1.5, -2.0, 1.5, 1e-40, -0.25, 3.0], np.float32)
    statistics = InputDensity()
    statistics.update(values[:5].reshape(5, 1))
    statistics.update(values[5:].reshape(3, 1))
    density = statistics.density()
    np.testing.assert_allclose(density.points, [-2, -0.25, 0, 1.5, 3], rtol=1 / 256)
    assert (density.points[0], density.points[-1]) == (-2.0, 3.0)
    np.testing.assert_allclose(density.weights, np.array([1, 1, 3, 2, 1]) / 8)


def test_neither_order_nor_batches_change_a_fit(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((30, 4)).astype(np.float32)
    one, other = fit(model(), rows), fit(model(), rows[rng.permutation(30)])
    assert list(one) == list(other) == ["curve"]
    for name in ("offset", "slopes", "starts", "widths", "rms_error", "max_error"):
        np.testing.assert_array_equal(getattr(one["curve"], name), getattr(other["curve"], name))


def test_the_reported_error_is_that_on_the_rows(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((200, 4)).astype(np.float32)
    ramps = fit(model(), rows)["curve"]
    inputs = 3 * rows * np.array([1, 1, 1, 2])
    error = ramps.evaluate(inputs) - np.tanh(inputs)
    assert ramps.rms_error == pytest.approx(np.sqrt((error**2).mean()), rel=0.03)
    assert ramps.max_error == pytest.approx(np.abs(error).max(), rel=0.1)
    assert ramps.rms_error <= 0.0101 * np.tanh(inputs).std()


def test_fits_follow_the_data_and_the_budget(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((50, 4)).astype(np.float32)
    narrow, wide = fit(model(scale=0.1), rows)["curve"], fit(model(scale=10), rows)["curve"]
    assert np.ptp(narrow.starts) < 0.8 < np.ptp(wide.starts)
    assert len(fit(model(), rows, ramps=3)["curve"].slopes) == 3
    assert len(fit(model(), rows, error=0.1)["curve"].slopes) < len(
        fit(model(), rows, error=0.01)["curve"].slopes
    )


def test_lowering_takes_the_fit(rng: np.random.Generator) -> None:
    content = model()
    rows = rng.standard_normal((50, 4)).astype(np.float32)
    fitted = fit(content, rows)
    exact = with_ramps(exact_graph(graph_of(content)), fitted)
    lowered = lower(exact)
    (approximation,) = lowered.approximations
    assert approximation.rms_error == fitted["curve"].rms_error
    values = lowered.evaluate({"x": rows}, dtype=np.float64)["end"]
    expected = -fitted["curve"].evaluate(3 * rows * np.array([1, 1, 1, 2]))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)  # float32 rows
    for node, width in zip(lowered.activations, fitted["curve"].widths, strict=True):
        assert isinstance(node.op, Relu)
        assert node.op.ceiling == width and not node.op.calibrated


def test_straight_pieces_need_no_data() -> None:
    content = model("Sign")
    graph = exact_graph(graph_of(content))
    assert any(isinstance(n.op, Curve) for n in graph.nodes)
    nodes = [
        make_node("Sign", ["x"], ["s"], name="s"),
        make_node("Mul", ["x", "s"], ["m"], name="m"),
        make_node("Neg", ["m"], ["y"], name="y"),
    ]
    exact = bytes(make_model(nodes, {"x": ["N", 4]}).SerializeToString())
    assert fit(exact, np.ones((3, 4), np.float32)) == {}


def test_inputs_outside_of_the_domain() -> None:
    rows = np.array([[1, 2, 3, 4], [1, 2, 3, -0.5]], np.float32)
    with pytest.raises(CalibrationError) as caught:
        fit(model("Log", 1.0), rows)
    error = caught.value
    assert error.message == "the curve 'curve', log(x), is not finite on the calibration rows"
    assert error.where == "node 'curve'"
    assert error.why == "12.50% of its inputs lie outside of its domain, such as -1"
    assert error.hint == "check the preprocessing (--scale, --mean, --std)"
