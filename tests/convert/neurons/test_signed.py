"""The signed neuron: the ReLU of the whole charge, in whatever order it came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.neurons import NeuronState
from snnconvert.convert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.convert.neurons.signed import SignedSpikes

seeds = st.integers(0, 2**32 - 1)


def test_a_negative_spike_needs_a_positive_one_to_take_back() -> None:
    neuron = SignedSpikes(np.asarray(1.0), np.asarray(0.5))
    state = neuron.initial_state((1,))
    sent = [int(neuron.step(np.array([x]), state)[0]) for x in (-2.0, 3.0, -2.0, 0.0, 0.0)]
    assert sent == [0, 1, -1, 0, 0]
    assert (state.voltage[0], state.count[0]) == (-0.5, 0)


def test_the_bounds_themselves() -> None:
    """At the threshold it fires, at zero it does not take back."""
    neuron = SignedSpikes(np.asarray(1.0), np.zeros(4))
    voltage = np.array([1.0, np.nextafter(1.0, 0.0), 0.0, -5e-324])
    state = NeuronState(voltage, np.full(4, 2))
    assert neuron.step(np.zeros(4), state).tolist() == [1, 0, 0, -1]
    assert state.count.tolist() == [3, 2, 2, 1]


@given(seeds, st.integers(0, 40), st.integers(0, 6))
def test_at_rest_the_sum_is_the_relu_of_the_charge(seed: int, steps: int, v_init: int) -> None:
    rng = np.random.default_rng(seed)
    neuron = SignedSpikes(np.asarray(7.0), np.asarray(float(v_init)))
    state = neuron.initial_state((16,))
    charge = np.full(16, float(v_init))
    for _ in range(steps):
        current = rng.integers(-20, 25, 16).astype(float)
        charge += current
        neuron.step(current, state)
    for _ in range(4 * steps + 1):
        neuron.step(np.zeros(16), state)
    np.testing.assert_array_equal(state.count, np.maximum(charge // 7.0, 0))


@given(seeds, st.integers(1, 30))
def test_without_inhibition_it_is_the_plain_neuron(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    signed = SignedSpikes(np.asarray(4.0), np.asarray(2.0))
    plain = IntegrateAndFire(np.asarray(4.0), np.asarray(2.0))
    ours, theirs = signed.initial_state((8,)), plain.initial_state((8,))
    for _ in range(steps):
        current = rng.integers(0, 7, 8).astype(float)
        np.testing.assert_array_equal(signed.step(current, ours), plain.step(current, theirs))
