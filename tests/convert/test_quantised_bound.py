"""The rung `quantised_ann`: what T + 1 levels make of the ANN, not of what was corrected."""

import itertools

import numpy as np
import pytest

from snnconvert import convert_model
from snnconvert.backends.base import prepare
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.convert.build_network import build_network
from snnconvert.convert.network import Network
from snnconvert.convert.spiking_model import SpikingModel
from tests.onnx_models import Array, make_model, make_node

T = 3


def deep_network(rng: np.random.Generator) -> tuple[SpikingModel, Array]:
    """Six layers at few steps: corrections move the weights a lot."""
    layers = 6
    sizes = [8] + [16] * layers + [4]
    weights = {
        f"w{i}": (rng.standard_normal((a, b)) * 1.4 / np.sqrt(a)).astype(np.float32)
        for i, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    nodes = []
    value = "x"
    for i in range(layers):
        nodes += [make_node("MatMul", [value, f"w{i}"], [f"z{i}"])]
        nodes += [make_node("Relu", [f"z{i}"], [f"a{i}"])]
        value = f"a{i}"
    nodes += [make_node("MatMul", [value, f"w{layers}"], ["y"])]
    model = make_model(nodes, {"x": ["N", 8]}, constants=weights)
    x = rng.standard_normal((400, 8)).astype(np.float32)
    return convert_model(model, x[:300], timesteps=T), x[300:]


def chosen(network: Network, x: Array) -> Array:
    outputs = quantised_forward(prepare(network).network, x, T)[network.readouts[0].name]
    return np.asarray(outputs.argmax(axis=1))


def test_corrections_of_spikes_do_not_count(rng: np.random.Generator) -> None:
    snn, x = deep_network(rng)
    assert "weights" in snn.calibration["corrections"]["accepted"]
    ann = snn.graph.evaluate({"x": x})[snn.graph.outputs[0]].argmax(axis=1)
    thresholds = {str(p.tensor): p.threshold for p in snn.network.populations}
    plain = build_network(
        snn.graph, thresholds, input_bounds={n.name: n.bound for n in snn.network.inputs}
    )
    expected = float((chosen(plain, x) == ann).mean())
    of_corrected = float((chosen(snn.network, x) == ann).mean())
    rungs = {rung.name: rung for rung in snn.evaluate(x).ladder}
    assert rungs["quantised_ann"].agreement == pytest.approx(expected)
    assert of_corrected != pytest.approx(expected)
