"""The normalised network is the same function, biases included."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from networks import Case, assert_same_run, cases

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    FloatArray,
    LinearOperator,
    Reshape,
    Scale,
    Select,
    SumPool,
    Window,
    weights_of,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Reset
from snnconvert.convert.normalize import normalize

property_test = settings(max_examples=35, suppress_health_check=[HealthCheck.too_slow])


def kernel_of(operator: LinearOperator) -> FloatArray:
    """The operator's weights without axes of extent 1."""
    weights = weights_of(operator)
    assert weights is not None
    return np.asarray(np.squeeze(weights))


def array(*numbers: float, channels: bool = False) -> FloatArray:
    values = np.array(numbers)
    return values.reshape(-1, 1, 1) if channels else values


@property_test
@given(cases("dyadic"))
def test_with_exact_products_every_spike_stays(case: Case) -> None:
    """Thresholds are powers of two, so dividing by them rounds nothing."""
    before = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    after = ReferenceSimulation(normalize(case.network))
    assert_same_run(after.run(case.samples, case.timesteps, record=("*",)), before)


@property_test
@given(cases("float"))
def test_with_any_numbers_the_outputs_agree_up_to_rounding(case: Case) -> None:
    before = ReferenceSimulation(case.network).run(case.samples, case.timesteps)
    after = ReferenceSimulation(normalize(case.network)).run(case.samples, case.timesteps)
    for name, counts in before.spike_counts.items():
        np.testing.assert_array_equal(after.spike_counts[name], counts)
    for name, output in before.outputs.items():
        np.testing.assert_allclose(after.outputs[name], output, rtol=1e-9, atol=1e-9)


@property_test
@given(cases("float"))
def test_thresholds_and_amplitudes_are_one(case: Case) -> None:
    network = normalize(case.network)
    for before, after in zip(case.network.populations, network.populations, strict=True):
        assert (after.threshold == 1).all()
        assert (after.amplitude == 1).all()
        np.testing.assert_array_equal(after.scale, before.scale)
        np.testing.assert_array_equal(after.bias, before.bias / before.threshold)
        np.testing.assert_array_equal(after.v_init, before.v_init / before.threshold)
    assert [n.name for n in network.nodes] == [n.name for n in case.network.nodes]


def population(name: str, threshold: FloatArray, bias: FloatArray) -> Population:
    shape = (2, 4, 4)
    return Population(name, shape, threshold, threshold, threshold, bias, threshold / 2)


def test_weights_are_scaled_by_both_neighbours_and_biases_by_their_own() -> None:
    """Rueckauer et al. 2017, equation 5: W lambda_in / lambda_out, b / lambda_out."""
    first = population("first", array(2.0, 4.0, channels=True), array(0.5))
    second = population("second", array(8.0, 0.5, channels=True), array(1.0, 3.0, channels=True))
    weight = np.arange(1.0, 5.0).reshape(2, 2, 1, 1)
    convolution = Convolution((2, 4, 4), weight, (1, 1), ((0, 0), (0, 0)), (1, 1))
    dense = Dense((32,), np.ones((1, 32)))
    network = Network(
        "two",
        (Input("x", (2, 4, 4)), first, second, Readout("y", (1,), array(7.0), np.ones(()))),
        (
            Connection("x", "first", (convolution,)),
            Connection("first", "second", (convolution,)),
            Connection("second", "y", (Reshape((2, 4, 4), (32,)), dense)),
        ),
    )
    normalised = normalize(network)
    chains = [c.operators for c in normalised.connections]
    assert [[type(op) for op in chain] for chain in chains] == [
        [Convolution],
        [Convolution],
        [Reshape, Dense],
    ]
    weights = [kernel_of(chain[-1]) for chain in chains]
    thresholds = (array(2.0, 4.0), array(8.0, 0.5))
    kernel = weight[:, :, 0, 0]
    np.testing.assert_array_equal(weights[0], kernel / thresholds[0][:, None])
    np.testing.assert_array_equal(weights[1], kernel * thresholds[0] / thresholds[1][:, None])
    np.testing.assert_array_equal(weights[2], np.repeat(thresholds[1], 16))
    second = normalised.populations[1]
    np.testing.assert_array_equal(np.squeeze(second.bias), [1 / 8, 3 / 0.5])
    np.testing.assert_array_equal(np.squeeze(second.v_init), [0.5, 0.5])
    np.testing.assert_array_equal(normalised.readouts[0].bias, [7.0])


def test_a_threshold_behind_a_pool_or_a_slice_enters_the_weights() -> None:
    """Otherwise a scale for each value stays behind, and takes bits from the exact grid."""
    weight = np.ones((2, 2, 1, 1))
    convolution = Convolution((2, 8, 8), weight, (1, 1), ((0, 0), (0, 0)), (1, 1))
    pool = SumPool((2, 8, 8), Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    crop = Select((2, 8, 8), (None, np.arange(2, 6), np.arange(2, 6)))
    target = population("p", array(2.0, 4.0, channels=True), array(0.0))
    for wiring in (pool, crop):
        connection = Connection("x", "p", (convolution, wiring))
        network = normalize(Network("n", (Input("x", (2, 8, 8)), target), (connection,)))
        (chain,) = (c.operators for c in network.connections)
        assert [type(op) for op in chain] == [Convolution, type(wiring)]
        np.testing.assert_array_equal(kernel_of(chain[0]), [[0.5, 0.5], [0.25, 0.25]])


def test_a_threshold_for_each_neuron_stays_a_scale() -> None:
    weight = np.ones((2, 2, 1, 1))
    convolution = Convolution((2, 4, 4), weight, (1, 1), ((0, 0), (0, 0)), (1, 1))
    varied = np.linspace(1.0, 2.0, 32).reshape(2, 4, 4)
    target = population("p", varied, array(0.0))
    connection = Connection("x", "p", (convolution,))
    network = normalize(Network("n", (Input("x", (2, 4, 4)), target), (connection,)))
    (chain,) = (c.operators for c in network.connections)
    assert [type(op) for op in chain] == [Convolution, Scale]
    np.testing.assert_array_equal(kernel_of(chain[1]), 1 / varied)


def test_reset_to_zero_is_normalised_too() -> None:
    four = array(4.0)
    resets: tuple[Reset, ...] = ("subtract", "zero")
    for reset in resets:
        unit = Population("p", (1,), four, four, four, array(1.0), array(2.0), reset)
        network = Network(
            "n",
            (Input("x", (1,)), unit, Readout("y", (1,), array(0.0), np.ones(()))),
            (Connection("x", "p"), Connection("p", "y")),
        )
        x = array(1.5)[None]
        before = ReferenceSimulation(network).run(x, 20, record=("*",))
        after = ReferenceSimulation(normalize(network)).run(x, 20, record=("*",))
        assert_same_run(after, before)
        assert before.spike_counts["p"] == (13 if reset == "subtract" else 10)
