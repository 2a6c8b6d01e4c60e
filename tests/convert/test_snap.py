"""Dyadic grids: how far weights move, and that sums on them are exact."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import Case, cases

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Chain,
    Dense,
    FloatArray,
    ReduceSum,
    chain_to_sparse,
    weights_of,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay
from snnconvert.convert.normalize import normalize
from snnconvert.convert.relays import inline_relays
from snnconvert.convert.snap import (
    DOUBLE_BITS,
    INPUT_BITS,
    MAXIMUM_STEPS,
    MINIMUM_BITS,
    SINGLE_BITS,
    Executable,
    not_zero,
    power_of_two_above,
    round_input,
    round_to_grid,
    snap,
)

property_test = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
ONE, ZERO = np.ones(()), np.zeros(())


def population(name: str, size: int, bias: float = 0.0) -> Population:
    return Population(name, (size,), ONE, ONE, ONE, np.asarray(bias), ONE / 3)


def readout(size: int) -> Readout:
    return Readout("y", (size,), ZERO, ONE)


def dense(weight: FloatArray) -> Chain:
    return (Dense((weight.shape[1],), weight),)


def snapped(case: Case) -> tuple[Network, Executable]:
    network = normalize(inline_relays(case.network))
    return network, snap(network)


def weights(chain: Chain) -> list[FloatArray]:
    return [w for operator in chain if (w := weights_of(operator)) is not None]


def lowest_bit(values: FloatArray) -> float:
    """The largest power of two that divides all values."""
    bit, used = 1.0, values[values != 0]
    if not used.size:
        return bit
    bit = power_of_two_above(float(np.abs(used).max()))
    while not (np.rint(used / bit) * bit == used).all():
        bit /= 2
    return bit


@property_test
@given(cases())
def test_a_weight_moves_by_less_than_a_512th_of_its_operators_largest(case: Case) -> None:
    network, executable = snapped(case)
    for before, after in zip(network.connections, executable.network.connections, strict=True):
        for old, new in zip(weights(before.operators), weights(after.operators), strict=True):
            largest = np.abs(old).max(initial=0.0)
            assert (np.abs(new - old) <= largest * 2.0**-MINIMUM_BITS).all()


def test_weights_of_a_usual_layer_move_by_less_than_2_to_the_minus_14(
    rng: np.random.Generator,
) -> None:
    """A layer with one weighted operator whose fan-in is that of a 3x3 convolution."""
    weight = rng.standard_normal((64, 576)) * np.sqrt(2 / 576)
    network = Network(
        "layer",
        (Input("x", (576,)), population("a", 576), population("b", 64)),
        (Connection("x", "a"), Connection("a", "b", dense(weight))),
    )
    executable = snap(network)
    (after,) = weights(executable.network.connections[1].operators)
    assert "b" in executable.single
    assert np.abs(after - weight).max() < np.abs(weight).max() * 2.0**-14


@property_test
@given(cases(), st.integers(0, 2**32 - 1))
def test_float32_sums_are_exact_in_any_order(case: Case, seed: int) -> None:
    """Every subset of spikes, added one by one in any order, gives the same float32."""
    _, executable = snapped(case)
    rng = np.random.default_rng(seed)
    network = executable.network
    for node in network.nodes:
        spiking = [
            c for c in network.incoming(node.name) if isinstance(network[c.source], Population)
        ]
        if node.name not in executable.single or not spiking:
            continue
        rows = np.hstack(
            [chain_to_sparse(c.operators, network[c.source].shape).toarray() for c in spiking]
        )
        row = rows[np.abs(rows).sum(axis=1).argmax()]
        terms = rng.permutation(row[rng.random(row.size) < 0.7])
        running = np.add.accumulate(terms.astype(np.float32))
        assert running.dtype == np.float32
        np.testing.assert_array_equal(running, np.add.accumulate(terms))


@property_test
@given(cases())
def test_voltages_are_exact_over_the_longest_run(case: Case) -> None:
    """What arrives is a multiple of a bit that is above the last of the largest voltage."""
    _, executable = snapped(case)
    assume(executable.exact)
    network = executable.network
    for node in network.populations:
        bits = [lowest_bit(np.asarray(a)) for a in (node.bias, node.v_init, node.threshold)]
        reach = np.abs(node.bias).max() + np.abs(node.threshold).max()
        for connection in network.incoming(node.name):
            source = network[connection.source]
            if isinstance(source, Relay):
                continue  # What a relay sends depends on what it is sent.
            matrix = chain_to_sparse(connection.operators, source.shape)
            grid, bound = (source.grid, source.bound) if isinstance(source, Input) else (1.0, 1.0)
            assert grid is not None
            bits.append(grid * lowest_bit(np.asarray(matrix.data)))
            reach = reach + abs(matrix).sum(axis=1).max() * bound
        assert reach * MAXIMUM_STEPS / min(bits) < 2**53


@property_test
@given(cases("dyadic"))
def test_what_lies_on_a_coarse_grid_is_left_alone(case: Case) -> None:
    network, executable = snapped(case)
    assume(executable.exact)
    for before, after in zip(network.connections, executable.network.connections, strict=True):
        for old, new in zip(weights(before.operators), weights(after.operators), strict=True):
            np.testing.assert_array_equal(new, old)
    for old_node, new_node in zip(network.populations, executable.network.populations, strict=True):
        np.testing.assert_array_equal(new_node.bias, old_node.bias)
        np.testing.assert_array_equal(new_node.v_init, old_node.v_init)


def test_biases_and_first_voltages_lie_on_the_grid_too() -> None:
    network = Network(
        "n",
        (Input("x", (2,)), population("p", 2, bias=0.1), readout(2)),
        (Connection("x", "p"), Connection("p", "y")),
    )
    (p,) = snap(network).network.populations
    grid = 2.0 ** -(DOUBLE_BITS - 2)
    assert p.bias != 0.1
    assert abs(p.bias - 0.1) <= grid / 2
    assert abs(p.v_init - 1 / 3) <= grid / 2
    assert lowest_bit(p.bias) >= grid / 4


def test_no_float32_grid_for_what_is_too_far_apart(rng: np.random.Generator) -> None:
    """One weak and one strong connection: the weak one would keep less than 9 bits of 24.

    Its sums are then left to float64; they stay exact, and the weights keep their precision.
    """
    strong = rng.uniform(0.5, 1.0, (4, 4))
    weak = rng.uniform(0.5, 1.0, (4, 4)) * 2.0**-18
    network = Network(
        "far apart",
        (Input("x", (4,)), population("a", 4), population("b", 4), readout(4)),
        (
            Connection("x", "a"),
            Connection("a", "b", dense(strong)),
            Connection("a", "b", dense(weak)),
            Connection("b", "y"),
        ),
    )
    executable = snap(network)
    assert executable.single == {"a", "y"}
    assert executable.exact
    (after,) = weights(executable.network.connections[2].operators)
    assert np.abs(after - weak).max() < weak.max() * 2.0**-12


def test_a_fan_in_too_wide_for_float32() -> None:
    """A sum of 2**16 equal weights needs 16 bits more than one weight: 9 are not left."""
    summed = ReduceSum((2**16,), (0,))
    weight = np.full((1, 1), 0.3)
    network = Network(
        "wide",
        (Input("x", (2**16,)), population("a", 2**16), population("b", 1)),
        (Connection("x", "a"), Connection("a", "b", (summed, *dense(weight)))),
    )
    executable = snap(network)
    assert executable.single == {"a"}
    assert executable.exact


def test_where_float64_has_no_grid_either_the_executable_says_so() -> None:
    """Each relay between an input and a population needs bits of its own."""
    weight = np.full((1, 1), 0.3)
    relays = tuple(Relay(f"r{i}", (1,)) for i in range(4))
    names = ["x", *(r.name for r in relays), "p"]
    network = Network(
        "relays",
        (Input("x", (1,)), *relays, population("p", 1)),
        tuple(Connection(a, b, dense(weight)) for a, b in itertools.pairwise(names)),
    )
    executable = snap(network)
    assert not executable.exact
    two_less = replace(
        network,
        nodes=(network["x"], network["p"]),
        connections=(Connection("x", "p", dense(weight)),),
    )
    assert snap(two_less).exact


def test_whole_weights_stay_whole() -> None:
    """Of integers whose sum exceeds 24 bits, float32 would take the last ones."""
    weight = np.full((1, 600), 2.0**15 - 1)
    network = Network(
        "integers",
        (Input("x", (600,)), population("a", 600), population("b", 1)),
        (Connection("x", "a"), Connection("a", "b", dense(weight))),
        weight_bits=16,
    )
    executable = snap(network)
    (after,) = weights(executable.network.connections[1].operators)
    np.testing.assert_array_equal(after, weight)
    assert executable.single == {"a"}
    assert executable.exact
    assert weight.sum() > 2**SINGLE_BITS


def test_weights_of_few_bits_leave_the_rest_to_the_layer_behind() -> None:
    """Linear interpolation by two has quarters; eleven bits kept for them would be lost."""
    thirds = np.full((4, 4), 1 / 3)
    quarters = np.array([[0.75, 0.25, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]] * 2)
    executable = snap(
        Network(
            "n",
            (population("p", 4), population("q", 4), readout(4)),
            (
                Connection("p", "q", (*dense(quarters), *dense(thirds))),
                Connection("q", "y", (*dense(np.eye(4) / 3), *dense(thirds))),
            ),
        )
    )
    assert executable.exact and "q" in executable.single
    first, second = weights(executable.network.connections[0].operators)
    np.testing.assert_array_equal(first, quarters)
    assert np.abs(second - 1 / 3).max() < 2.0**-18


def test_silent_connections_and_unused_inputs() -> None:
    network = Network(
        "silent",
        (Input("x", (3,)), population("a", 3), population("b", 2), readout(2)),
        (Connection("a", "b", dense(np.zeros((2, 3)))), Connection("b", "y")),
    )
    executable = snap(network)
    assert executable.exact
    assert executable.single == {"a", "b", "y"}
    result = ReferenceSimulation(executable.network).run(np.zeros((1, 3)), 5)
    np.testing.assert_array_equal(result.logits, np.zeros((5, 1, 2)))


def test_samples_are_rounded_to_the_grid_of_their_input(rng: np.random.Generator) -> None:
    network = Network("n", (Input("x", (5,), bound=3.0), readout(5)), (Connection("x", "y"),))
    (node,) = snap(network).network.inputs
    assert node.grid == 4 * 2.0**-INPUT_BITS
    x = rng.uniform(-3, 3, (7, 5)).astype(np.float32)
    rounded = round_input(node, x)
    assert rounded.dtype == np.float64
    assert np.abs(rounded - x).max() <= node.grid / 2
    np.testing.assert_array_equal(rounded, round_input(node, rounded))
    np.testing.assert_array_equal(round_input(replace(node, grid=None), x), x.astype(np.float64))


@pytest.mark.parametrize(
    ("magnitude", "power"), [(0.0, 1.0), (1.0, 1.0), (1.01, 2.0), (0.3, 0.5), (2.0**-60, 2.0**-60)]
)
def test_powers_of_two(magnitude: float, power: float) -> None:
    assert power_of_two_above(magnitude) == power


def test_rounding_to_a_grid_goes_to_the_nearest() -> None:
    np.testing.assert_array_equal(
        round_to_grid(np.array([0.1, 0.13, -0.4, 7.0]), 0.25), [0.0, 0.25, -0.5, 7.0]
    )


@given(
    st.lists(st.floats(-8, 8, width=32), min_size=1),
    st.sampled_from([None, 2.0**-4, 1.0, 4.0]),
)
def test_where_rounded_samples_are_not_zero(values: list[float], grid: float | None) -> None:
    """Halves of a unit are rounded to zero, as to any even number."""
    halves = [] if grid is None else [grid / 2, -grid / 2, grid, 3 * grid / 2]
    x = np.array([*values, *halves], np.float32)
    node = Input("x", x.shape, grid=grid)
    for kind in (np.float16, np.float32, np.float64, np.int8):
        given = np.append(x.astype(kind), [kind(-128)])
        np.testing.assert_array_equal(not_zero(node, given), round_input(node, given) != 0)
