"""Integer networks: whole numbers, in range, and close to what they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Case, cases

from snnconvert.backends.base import prepare
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import Chain, Dense, FloatArray, Matrix, Scale, weights_of
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from snnconvert.convert.normalize import normalize
from snnconvert.convert.quantize import quantize_weights

property_test = settings(max_examples=35, suppress_health_check=[HealthCheck.too_slow])
ONE, ZERO = np.ones(()), np.zeros(())


def weights(chain: Chain) -> FloatArray:
    (found,) = [w for operator in chain if (w := weights_of(operator)) is not None]
    return found


def assert_whole(values: FloatArray) -> None:
    np.testing.assert_array_equal(values, np.rint(values))


@property_test
@given(cases(), st.integers(2, 16))
def test_everything_is_whole_and_in_range(case: Case, bits: int) -> None:
    network = quantize_weights(normalize(case.network), bits)
    largest = 2 ** (bits - 1) - 1
    for connection in network.connections:
        found = weights(connection.operators)
        assert_whole(found)
        assert np.abs(found).max(initial=0.0) <= largest
    for node in network.populations:
        for values in (node.threshold, node.bias, node.v_init):
            assert_whole(np.asarray(values))
        assert (node.threshold >= 1).all()
        assert (node.v_init >= 0).all()
        assert (node.v_init < node.threshold).all()
        incoming = [weights(c.operators) for c in network.incoming(node.name)]
        if any(w.any() for w in incoming):
            assert max(np.abs(w).max(initial=0.0) for w in incoming) == largest
    for readout in network.readouts:
        assert_whole(np.asarray(readout.bias))
    assert not network.relays


@property_test
@given(cases(relays=False), st.integers(2, 16))
def test_a_run_keeps_the_integers(case: Case, bits: int) -> None:
    """Also of 16 bits and a wide fan-in, for which float32 would be too narrow."""
    integers = quantize_weights(normalize(case.network), bits)
    network = prepare(replace(case.network, weight_bits=bits)).network
    for expected, connection in zip(integers.connections, network.connections, strict=True):
        np.testing.assert_array_equal(weights(connection.operators), weights(expected.operators))
    for expected_node, node in zip(integers.populations, network.populations, strict=True):
        for name in ("threshold", "bias", "v_init"):
            np.testing.assert_array_equal(getattr(node, name), getattr(expected_node, name))


def layer(weight: FloatArray, **options: FloatArray) -> Network:
    """An input, a population of its shape, a dense population, a readout."""
    rows, columns = weight.shape
    first = Population("first", (columns,), ONE, ONE, ONE, ZERO, ZERO)
    second = replace(first, name="second", shape=(rows,), **options)  # type: ignore[arg-type]
    return Network(
        "layer",
        (Input("x", (columns,)), first, second, Readout("y", (rows,), ONE / 4, ONE)),
        (
            Connection("x", "first"),
            Connection("first", "second", (Dense((columns,), weight),)),
            Connection("second", "y", (Scale((rows,), ONE / 2),)),
        ),
    )


def test_the_largest_weight_of_each_population_takes_all_bits() -> None:
    weight = np.array([[0.5, -0.25], [0.1, 0.0]])
    network = quantize_weights(layer(weight, v_init=np.array(0.5), bias=np.array(-0.06)), bits=8)
    step = 0.5 / 127
    np.testing.assert_array_equal(weights(network.connections[1].operators), np.rint(weight / step))
    second = network.populations[1]
    assert second.threshold == 254.0
    assert second.v_init == 127.0
    assert second.bias == round(-0.06 / step)


def test_a_connection_without_weights_gets_one() -> None:
    network = quantize_weights(layer(np.eye(2)), bits=4)
    (scale,) = network.connections[0].operators
    assert isinstance(scale, Scale)
    np.testing.assert_array_equal(scale.factor, [7.0])
    assert network.populations[0].threshold == 7.0


def test_a_chain_of_weights_becomes_one_matrix() -> None:
    chain = (Dense((2,), np.array([[1.0, 0.5], [0.25, 1.0]])), Dense((2,), np.eye(2) * 2))
    base = layer(np.eye(2))
    joined = replace(base.connections[1], operators=chain)
    connections = (base.connections[0], joined, base.connections[2])
    network = quantize_weights(replace(base, connections=connections), bits=8)
    (matrix,) = network.connections[1].operators
    assert isinstance(matrix, Matrix)
    np.testing.assert_array_equal(matrix.matrix.toarray(), [[127, 64], [32, 127]])


def test_the_readout_returns_to_its_units() -> None:
    network = quantize_weights(layer(np.eye(2)), bits=8)
    (readout,) = network.readouts
    np.testing.assert_allclose(readout.scale, 0.5 / 127)
    assert readout.bias == round(0.25 * 127 / 0.5)
    result = ReferenceSimulation(network).run(np.array([[1.0, 0.5]]), 64)
    np.testing.assert_allclose(result.logits[-1, 0], [0.5 + 0.25, 0.25 + 0.25], rtol=0.02)


def test_silent_connections_keep_thresholds_whole() -> None:
    network = quantize_weights(layer(np.zeros((2, 2))), bits=8)
    second = network.populations[1]
    assert second.threshold == 1.0
    assert second.v_init == 0.0
    assert not weights(network.connections[1].operators).any()


def test_more_bits_come_closer(rng: np.random.Generator) -> None:
    network = layer(rng.standard_normal((4, 6)) / 2)
    x = rng.uniform(0, 1, (20, 6))
    exact = ReferenceSimulation(prepare(network).network).run(x, 64).logits[-1]
    errors = []
    for bits in (3, 5, 8, 16):
        rounded = prepare(replace(network, weight_bits=bits)).network
        errors.append(np.abs(ReferenceSimulation(rounded).run(x, 64).logits[-1] - exact).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * errors[0]


@pytest.mark.parametrize("bits", [-8, 0, 1, 17])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(UsageError, match=f"weight bits must be 2 to 16, not {bits}"):
        quantize_weights(layer(np.eye(2)), bits)
