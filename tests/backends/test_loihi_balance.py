"""Gains of channels: the same function, more bits."""

from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.loihi.balance import THRESHOLDS_PER_CORE, balance, few_values
from snnconvert.backends.loihi.blueprint import Blueprint, draw
from snnconvert.convert.linear import Convolution, Dense, FloatArray, Scale
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

ONE = np.ones(1)


def population(name: str, shape: tuple[int, ...], threshold: FloatArray) -> Population:
    zero = np.zeros(1)
    return Population(name, shape, threshold, threshold, threshold, zero, zero, reset="zero")


def net(threshold: FloatArray, bias: FloatArray) -> Network:
    """Input -> a -> b -> readout; b's channels have the given thresholds and biases."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 3, 3))
    kernel = Convolution((3, 6, 6), weight, (1, 1), ((1, 1), (1, 1)), (1, 1))
    b = replace(population("b", (4, 6, 6), threshold.reshape(4, 1, 1)), bias=bias.reshape(4, 1, 1))
    return Network(
        "balanced",
        (
            Input("x", (3, 6, 6)),
            population("a", (3, 6, 6), ONE),
            b,
            population("c", (4, 6, 6), ONE),
            Readout("y", (4, 6, 6), bias=np.zeros(1), scale=ONE),
        ),
        (
            Connection("x", "a"),
            Connection("a", "b", (kernel,)),
            Connection("b", "c", (Scale((4, 6, 6), np.array([1, 0.2, 3, 9.0]).reshape(4, 1, 1)),)),
            Connection("c", "y"),
        ),
    )


def drawn(threshold: list[float], bias: list[float] | None = None) -> Blueprint:
    return draw(net(np.array(threshold), np.array(bias or [0.0] * 4)), "host")


def test_every_channel_comes_within_a_factor_of_two_of_the_largest_weight() -> None:
    before = drawn([1.0, 4.0, 20.0, 1e-3])
    after = balance(before)
    for name in ("b", "c"):
        (projection,) = after.incoming(name)
        largest = projection.largest_weights.reshape(4, -1).max(axis=1)
        assert (largest > largest.max() / 2).all()
        assert largest.max() == before.incoming(name)[0].largest_weights.max()


def test_gains_are_powers_of_two_and_multiply_the_weights() -> None:
    before = drawn([1.0, 4.0, 20.0, 1e-3])
    after = balance(before)
    gain = after["b"].gain
    np.testing.assert_array_equal(np.log2(gain), np.rint(np.log2(gain)))
    for name in ("b", "c"):
        expected = before.incoming(name)[0].matrix.toarray() * after[name].gain[:, None]
        np.testing.assert_array_equal(after.incoming(name)[0].matrix.toarray(), expected)
    np.testing.assert_array_equal(after["y"].gain, 1.0)
    np.testing.assert_array_equal(after["a"].gain, 1.0)


def test_a_large_bias_limits_the_gain() -> None:
    quiet = balance(drawn([1.0, 1.0, 50.0, 1.0]))
    loud = balance(drawn([1.0, 1.0, 50.0, 1.0], [0.0, 0.0, 50 * 20.0, 0.0]))
    first = slice(2 * 36, 3 * 36)
    assert (loud["b"].gain[first] < quiet["b"].gain[first]).all()
    assert (loud["b"].gain >= 1).all()


def test_dense_layers_have_a_gain_for_each_neuron() -> None:
    weight = np.diag([1.0, 0.3, 0.01]) + 1e-4
    network = Network(
        "dense",
        (
            Input("x", (3,)),
            population("a", (3,), ONE),
            population("b", (3,), ONE),
            Readout("y", (3,), bias=np.zeros(1), scale=ONE),
        ),
        (
            Connection("x", "a"),
            Connection("a", "b", (Dense((3,), weight),)),
            Connection("b", "y", (Dense((3,), np.ones((3, 3))),)),
        ),
    )
    np.testing.assert_array_equal(balance(draw(network, "host"))["b"].gain, [1, 2, 64])


@pytest.mark.parametrize("count", [1, 8, 9, 30])
def test_at_most_eight_values_are_kept_and_none_grows(count: int, rng: np.random.Generator) -> None:
    exponents = rng.integers(0, count, 200)
    kept = few_values(exponents)
    assert len(np.unique(kept)) <= THRESHOLDS_PER_CORE
    assert (kept <= exponents).all()
    assert kept.min() == exponents.min()
    if count <= THRESHOLDS_PER_CORE:
        np.testing.assert_array_equal(kept, exponents)


def test_a_dead_channel_does_not_take_the_others_bits() -> None:
    """Channel 3 has a threshold of 1e-5, so weights of up to 10,000 thresholds."""
    pytest.importorskip("nengo_loihi")
    from snnconvert.backends.loihi import LoihiBackend

    alone = LoihiBackend().emit(net(np.array([1.0, 1.0, 1.0, 1.0]), np.zeros(4)))
    beside = LoihiBackend().emit(net(np.array([1.0, 1.0, 1.0, 1e-5]), np.zeros(4)))
    errors = [e.resources()["synapses"][0]["quantisation_error"] for e in (alone, beside)]
    assert errors[1] < 1.5 * errors[0] < 0.02
    x = np.random.default_rng(1).uniform(-1, 1, (5, 3, 6, 6))
    counts = [e.run(x, 32).spike_counts["b"][:, :3].astype(float) for e in (alone, beside)]
    assert np.abs(counts[0] - counts[1]).mean() < 0.02 * counts[0].mean()
