"""The graded neuron: payloads instead of many spikes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.neurons import NeuronState
from snnconvert.convert.neurons.graded import GradedSpikes
from snnconvert.convert.neurons.integrate_and_fire import IntegrateAndFire

seeds = st.integers(0, 2**32 - 1)


def test_a_payload_is_as_many_thresholds_as_the_voltage_holds() -> None:
    neuron = GradedSpikes(np.asarray(2.0), np.asarray(0.0), 3)
    state = NeuronState(np.array([-9.0, 1.5, 2.0, 5.9, 6.0, 100.0]), np.zeros(6, np.int64))
    assert neuron.step(np.zeros(6), state).tolist() == [0, 0, 1, 2, 3, 3]
    np.testing.assert_allclose(state.voltage, [-9.0, 1.5, 0.0, 1.9, 0.0, 94.0])


@given(seeds, st.integers(1, 30))
def test_a_payload_of_1_is_the_plain_neuron(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    graded = GradedSpikes(np.asarray(4.0), np.asarray(2.0), 1)
    plain = IntegrateAndFire(np.asarray(4.0), np.asarray(2.0))
    ours, theirs = graded.initial_state((8,)), plain.initial_state((8,))
    for _ in range(steps):
        current = rng.integers(-6, 9, 8).astype(float)
        np.testing.assert_array_equal(graded.step(current, ours), plain.step(current, theirs))


@given(seeds, st.integers(1, 30), st.integers(1, 5))
def test_a_cascade_of_powers_of_two_sends_the_digits_of_the_payload(
    seed: int, steps: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    graded = GradedSpikes(np.asarray(3.0), np.asarray(1.0), 2**n - 1)
    state, voltage = graded.initial_state((8,)), np.full(8, 1.0)
    for _ in range(steps):
        current = rng.integers(-20, 60, 8).astype(float)
        voltage += current
        sent = np.zeros(8, np.int64)
        for j in reversed(range(n)):
            fired = voltage >= 3.0 * 2**j
            voltage -= np.where(fired, 3.0 * 2**j, 0.0)
            sent += fired * 2**j
        np.testing.assert_array_equal(graded.step(current, state), sent)


def test_one_power_of_two_a_step_would_miss_the_exact_sum() -> None:
    """Why a single spike of the largest level that fits is not offered: digits wait for steps."""
    charge, voltage, sent = 7.0, 7.0, 0
    for _ in range(2):
        level = max((level for level in (4, 2, 1) if voltage >= level), default=0)
        voltage -= level
        sent += level
    assert sent == 6
    graded = GradedSpikes(np.asarray(1.0), np.asarray(charge), 4)
    state = graded.initial_state((1,))
    for _ in range(2):
        graded.step(np.zeros(1), state)
    assert state.count[0] == 7
