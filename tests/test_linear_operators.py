"""Linear ONNX operators between spiking layers, on every target: no spike differs."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_models import FREE, float32, int64, make_model, make_node

from snnconvert.backends.base import get_backend
from snnconvert.convert.pipeline import convert_model

RNG = np.random.default_rng(1)
IMAGE, VOLUME, SIGNAL = (2, 4, 3), (2, 3, 4, 3), (2, 7)
TWICE = np.array([1, 1, 2, 2], np.float32)
Case = tuple[str, tuple[int, ...], dict[str, np.ndarray], dict[str, Any]]
CASES: dict[str, Case] = {
    "conv 1d": ("Conv", SIGNAL, {"w": float32(RNG, 3, 2, 3)}, {"pads": [1, 1], "dilations": [2]}),
    "conv 3d": ("Conv", VOLUME, {"w": float32(RNG, 3, 2, 3, 3, 3)}, {"pads": [1] * 6}),
    "transposed 1d": ("ConvTranspose", SIGNAL, {"w": float32(RNG, 2, 2, 3)}, {"strides": [2]}),
    "transposed 2d": (
        "ConvTranspose", IMAGE, {"w": float32(RNG, 2, 1, 3, 3)},
        {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 1], "group": 2},
    ),
    "transposed 3d": (
        "ConvTranspose", VOLUME, {"w": float32(RNG, 2, 1, 2, 2, 2)}, {"strides": [2, 1, 2]},
    ),
    "average pool 1d": (
        "AveragePool", SIGNAL, {}, {"kernel_shape": [3], "strides": [2], "ceil_mode": 1},
    ),
    "average pool 3d": ("AveragePool", VOLUME, {}, {"kernel_shape": [2, 2, 2], "ceil_mode": 1}),
    "max pool 1d": ("MaxPool", SIGNAL, {}, {"kernel_shape": [3], "pads": [1, 1], "strides": [2]}),
    "max pool 3d": ("MaxPool", VOLUME, {}, {"kernel_shape": [2, 2, 1], "dilations": [1, 2, 1]}),
    "maximum over axes": ("ReduceMax", IMAGE, {}, {"axes": [1, 3], "keepdims": 1}),
    "nearest": ("Resize", IMAGE, {"": np.zeros(0), "s": TWICE}, {}),
    "linear": ("Resize", IMAGE, {"": np.zeros(0), "s": TWICE}, {"mode": "linear"}),
    "cubic": ("Resize", IMAGE, {"": np.zeros(0), "s": TWICE}, {"mode": "cubic"}),
    "depth to space": ("DepthToSpace", (4, 2, 3), {}, {"blocksize": 2}),
    "reflected": ("Pad", IMAGE, {"p": int64(0, 0, 1, 1, 0, 0, 2, 0)}, {"mode": "reflect"}),
    "backwards": ("Slice", SIGNAL, {"b": int64(6), "e": int64(-9), "a": int64(2), "s": int64(-2)},
                  {}),
    "running sum": ("CumSum", SIGNAL, {"a": np.array(2)}, {}),
    "stack of matrices": ("MatMul", IMAGE, {"w": float32(RNG, 2, 3, 4)}, {}),
    "contraction": ("Einsum", IMAGE, {"w": float32(RNG, 2, 4, 5)}, {"equation": "nchw,cho->nwo"}),
}  # fmt: skip


def network(operator: str, constants: dict[str, np.ndarray], shape: tuple[int, ...],
            attributes: dict[str, Any]) -> onnx.ModelProto:  # fmt: skip
    """The operator between two layers of neurons, and a sum over all values as the readout."""
    nodes = [
        make_node("Relu", ["x"], ["in"]),
        make_node(operator, ["in", *constants], ["mapped"], **attributes),
        make_node("Relu", ["mapped"], ["out"]),
        make_node("Flatten", ["out"], ["y"]),
    ]
    used = {name: array for name, array in constants.items() if name}
    model: onnx.ModelProto = make_model(nodes, {"x": [FREE, *shape]}, constants=used)
    return model


@pytest.mark.parametrize("target", ["cpu", "nengo", "loihi"])
@pytest.mark.parametrize("name", CASES)
def test_no_spike_differs(name: str, target: str, rng: np.random.Generator) -> None:
    """Against the reference, or the emulator of the chip; both layers spike."""
    operator, shape, constants, attributes = CASES[name]
    model = network(operator, constants, shape, attributes).SerializeToString()
    rows = rng.standard_normal((8, *shape)).astype(np.float32)
    snn = convert_model(model, rows, target=target, timesteps=5, method="max")
    emitted = get_backend(target).emit(snn)
    result = emitted.run({"x": rows[:2]}, 5)
    parity = emitted.parity({"x": rows[:2]}, 5)
    assert parity is not None
    assert parity["differing_spikes"] == 0
    spiking = [counts.any() for counts in result.spike_counts.values()]
    assert sum(spiking) >= 2  # resets to zero leave the last neurons of a long tree silent


@pytest.mark.parametrize(
    "name", ["conv 3d", "transposed 2d", "max pool 3d", "linear", "running sum", "contraction"]
)
def test_its_cost_is_known(name: str, rng: np.random.Generator) -> None:
    """A report counts the weights that each spike meets, and the ANN's own multiply-adds."""
    operator, shape, constants, attributes = CASES[name]
    model = network(operator, constants, shape, attributes).SerializeToString()
    rows = rng.standard_normal((8, *shape)).astype(np.float32)
    snn = convert_model(model, rows, timesteps=4, method="max")
    operations = snn.evaluate(rows[:2]).measurement.operations
    weighted = operator in ("Conv", "ConvTranspose", "MatMul", "Einsum", "CumSum")
    assert (operations.ann_macs > 0) == weighted
    assert operations.synops > 0
