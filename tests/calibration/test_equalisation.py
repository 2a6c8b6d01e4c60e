"""Thresholds of channels make equalisation across layers superfluous.

Equalisation moves a positive factor a channel from one layer's weights into the next one's, so that
all channels of a layer have the same range. Each channel's threshold follows its range, and a
network in units of its thresholds then is the same network.
"""

import numpy as np

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.methods import get_method
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Affine, Graph, GraphInput, Node, Relu
from snnconvert.convert.linear import Dense, FloatArray
from snnconvert.convert.network import Network
from snnconvert.convert.normalize import normalize

INPUTS, HIDDEN, OUTPUTS = 5, 6, 3


def graph(first: FloatArray, bias: FloatArray, second: FloatArray) -> Graph:
    nodes = (
        Node("x", GraphInput(), (), (INPUTS,)),
        Node("z", Affine((Dense((INPUTS,), first),), bias), ("x",), (HIDDEN,)),
        Node("relu", Relu(), ("z",), (HIDDEN,)),
        Node("y", Affine((Dense((HIDDEN,), second),)), ("relu",), (OUTPUTS,)),
    )
    return Graph("two layers", nodes, ("y",), ("y",), ((),))


def calibrated(network: Graph, x: FloatArray) -> Network:
    activations = network.evaluate({"x": x}, ["relu"])["relu"]
    method = get_method("mse", timesteps=8)
    thresholds = [method.threshold(distribution(channel)) for channel in activations.T]
    return normalize(build_network(network, {"relu": np.array(thresholds)}))


def distribution(activations: FloatArray) -> Distribution:
    largest = float(activations.max())
    counts, edges = np.histogram(activations[activations > 0], bins=64, range=(0.0, largest))
    return Distribution(counts, edges, len(activations), largest)


def test_an_equalised_network_is_the_same_network(rng: np.random.Generator) -> None:
    first, second = rng.standard_normal((HIDDEN, INPUTS)), rng.standard_normal((OUTPUTS, HIDDEN))
    bias = np.abs(rng.standard_normal(HIDDEN))
    factors = 2.0 ** rng.integers(-3, 4, HIDDEN)
    x = rng.standard_normal((100, INPUTS))
    one = calibrated(graph(first, bias, second), x)
    other = calibrated(graph(first * factors[:, None], bias * factors, second / factors), x)
    for a, b in zip(one.populations, other.populations, strict=True):
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-9)
        np.testing.assert_array_equal(a.v_init, b.v_init)
    for c, d in zip(one.connections, other.connections, strict=True):
        for operator, same in zip(c.operators, d.operators, strict=True):
            assert isinstance(operator, Dense)
            assert isinstance(same, Dense)
            np.testing.assert_allclose(operator.weight, same.weight, rtol=1e-9)
