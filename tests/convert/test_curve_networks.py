"""Whole networks with smooth activations: agreement with the ANN, the staged law, .snn files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx_models import float32, make_model, make_node

import snnconvert
from snnconvert.backends.base import get_backend, prepare
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.convert.errors import UsageError
from snnconvert.convert.spiking_model import SpikingModel

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "Sigmoid": {},
    "Tanh": {},
    "HardSwish": {},
    "HardSigmoid": {},
    "Mish": {},
    "Elu": {},
    "Softplus": {},
    "LeakyRelu": {"alpha": 0.1},
    "Abs": {},
}


def network(operator: str, pool: str = "MaxPool", **attributes: Any) -> bytes:
    """A convolution, a pooling and two dense layers, with an activation behind the first two."""
    rng = np.random.default_rng(5)
    constants = {
        "w": float32(rng, 4, 1, 3, 3) / 2,
        "v": float32(rng, 4 * 9, 12) / 4,
        "b": float32(rng, 12) / 4,
        "u": float32(rng, 12, 5) / 2,
    }
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node(operator, ["c"], ["a"], name="first", **attributes),
        make_node(pool, ["a"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Flatten", ["p"], ["f"]),
        make_node("Gemm", ["f", "v", "b"], ["g"], name="gemm"),
        make_node(operator, ["g"], ["h"], name="second", **attributes),
        make_node("MatMul", ["h", "u"], ["y"], name="end"),
    ]
    model = make_model(nodes, {"x": ["N", 1, 6, 6]}, constants=constants, opset=18)
    return bytes(model.SerializeToString())


def converted(content: bytes, **options: Any) -> tuple[SpikingModel, onnx_models.Array]:
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((160, 1, 6, 6)).astype(np.float32)
    chosen: dict[str, Any] = {"timesteps": 64, "method": "mse"} | options
    return snnconvert.convert_model(content, rows[:60], **chosen), rows[60:]


def logits(snn: SpikingModel, x: onnx_models.Array) -> onnx_models.Array:
    return np.asarray(get_backend("cpu").emit(snn).run({"x": x}, snn.timesteps).logits[-1])


@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_it_answers_as_its_ann_does(operator: str) -> None:
    snn, x = converted(network(operator, **ACTIVATIONS[operator]))
    ann = snn.ann.run({"x": x})["y"]
    spiking = logits(snn, x)
    assert (spiking.argmax(1) == ann.argmax(1)).mean() >= 0.95
    assert np.sqrt(((spiking - ann) ** 2).mean()) < 0.12 * ann.std()


@pytest.mark.parametrize("operator", ["Tanh", "HardSwish", "LeakyRelu"])
def test_staged_it_is_the_quantised_network(operator: str) -> None:
    content = network(operator, "AveragePool", **ACTIVATIONS[operator])
    snn, x = converted(content, timesteps=8, schedule="full")
    executable = prepare(snn.network)
    assert executable.exact
    emitted = get_backend("cpu").emit(snn)
    run = emitted.run({"x": x[:20]}, 8, record=("*",))
    expected = quantised_forward(executable.network, {"x": x[:20]}, 8)
    for population in executable.network.populations:
        counts = np.moveaxis(run.spikes[population.name], 0, -1).sum(axis=-1)
        np.testing.assert_array_equal(counts, expected[population.name])
    ramps = [p for p in snn.network.populations if "/ramp" in p.name]
    assert bool(ramps) == (operator != "LeakyRelu")
    parity = emitted.parity({"x": x[:2]}, 8)
    assert parity is not None and parity["differing_spikes"] == 0


def test_more_ramps_come_closer() -> None:
    errors = []
    for ramps in (1, 3, 9):
        snn, x = converted(network("Tanh"), ramps=ramps, timesteps=128)
        assert {len(fit.slopes) for fit in snn.curves.values()} == {ramps}
        ann = snn.ann.run({"x": x})["y"]
        errors.append(float(np.sqrt(((logits(snn, x) - ann) ** 2).mean()) / ann.std()))
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


def test_a_stored_network_keeps_its_fits(tmp_path: Path) -> None:
    snn, x = converted(network("Mish"), timesteps=16, curve_error=0.03)
    snn.save(tmp_path / "n.snn")
    loaded = snnconvert.load(tmp_path / "n.snn")
    assert loaded.approximations == snn.approximations
    assert [a.node for a in loaded.approximations] == ["first", "second"]
    assert list(loaded.curves) == ["first", "second"]
    names = [n.name for n in snn.graph.nodes]
    assert [n.name for n in loaded.graph.nodes] == names
    (one,) = snn.graph.evaluate({"x": x}, dtype=np.float64).values()
    (other,) = loaded.graph.evaluate({"x": x}, dtype=np.float64).values()
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(logits(snn, x[:4]), logits(loaded, x[:4]))


def test_the_report_lists_what_is_approximated() -> None:
    snn, x = converted(network("Softplus"), timesteps=8)
    evaluation = snn.evaluate(x[:20])
    entries = evaluation.to_json()["approximations"]
    assert [entry["node"] for entry in entries] == ["first", "second"]
    assert entries[0]["kind"] == "curve"
    assert entries[0]["detail"].startswith("softplus(x) by ")
    assert 0 < entries[0]["rms_error"] < entries[0]["max_error"]
    page = evaluation.to_html()
    assert '<h2 id="approximations">Approximations</h2>' in page
    assert entries[0]["detail"] in page


def test_answers_behind_a_curve_can_be_counted() -> None:
    snn, x = converted(network("Sigmoid"), readout="count", timesteps=32)
    ann = snn.ann.run({"x": x})["y"]
    positive = ann.max(axis=1) > 0.5
    same = logits(snn, x)[positive].argmax(1) == ann[positive].argmax(1)
    assert positive.sum() > 10 and same.mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ramps": 0}, "ramps must be between 1 and 32, not 0"),
        ({"ramps": 33}, "ramps must be between 1 and 32, not 33"),
        ({"ramps": 2.5}, "ramps must be a whole number, not 2.5"),
        ({"curve_error": 0.0}, "curve_error must be between 0 and 1, not 0.0"),
        ({"curve_error": float("nan")}, "curve_error must be between 0 and 1, not nan"),
        (
            {"ramps": 2, "curve_error": 0.1},
            "ramps and curve_error cannot be combined: either fixes the other",
        ),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        converted(network("Tanh"), **options)
    assert caught.value.message == message


def test_inputs_of_any_scale_are_followed() -> None:
    rng = np.random.default_rng(3)
    nodes = [
        make_node("Sigmoid", ["x"], ["s"]),
        make_node("Mul", ["x", "s"], ["m"], name="silu"),
        make_node("Mul", ["m", "c"], ["y"], name="end"),
    ]
    constants = {"c": np.full((4,), 1e7, np.float32)}
    model = make_model(nodes, {"x": ["N", 4]}, constants=constants)
    rows = (1e-6 * rng.standard_normal((100, 4))).astype(np.float32)
    snn = snnconvert.convert_model(model, rows, timesteps=256)
    (approximation,) = snn.approximations
    assert approximation.rms_error is not None and approximation.rms_error < 1e-7
    x = rows.astype(np.float64)
    expected = 1e7 * x / (1 + np.exp(-x))
    (ours,) = snn.graph.evaluate({"x": x}, dtype=np.float64).values()
    assert np.sqrt(((ours - expected) ** 2).mean()) <= 1.5 * 1e7 * approximation.rms_error
    assert np.sqrt(((logits(snn, rows) - expected) ** 2).mean()) < 0.1 * expected.std()
