"""The law of the integrate-and-fire neuron, exactly."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons.integrate_and_fire import IntegrateAndFire

thresholds = st.integers(1, 1000)


def count(reset: Reset, threshold: float, v_init: float, current: float, steps: int) -> int:
    """Spikes of one neuron for constant current."""
    neuron = IntegrateAndFire(np.float64(threshold), np.float64(v_init), reset)  # type: ignore[arg-type]
    state = neuron.initial_state((1,))
    x = np.array([float(current)])
    return sum(int(neuron.step(x, state)[0]) for _ in range(steps))


@given(st.data(), thresholds, st.integers(1, 200))
def test_the_spike_count_of_reset_by_subtraction(
    data: st.DataObject, threshold: int, steps: int
) -> None:
    x = data.draw(st.integers(0, threshold))
    v_init = data.draw(st.integers(0, threshold - 1))
    expected = (v_init + x * steps) // threshold
    assert count("subtract", threshold, v_init, x, steps) == expected


@given(st.data(), thresholds, st.integers(1, 200))
def test_the_spike_count_of_reset_to_zero(data: st.DataObject, threshold: int, steps: int) -> None:
    x = data.draw(st.integers(1, threshold))
    expected = floor(steps / ceil(Fraction(threshold, x)))
    assert count("zero", threshold, 0, x, steps) == expected


@given(st.data(), thresholds, st.integers(1, 100), st.integers(-20, -1))
def test_the_law_holds_on_any_dyadic_grid(
    data: st.DataObject, threshold: int, steps: int, exponent: int
) -> None:
    """Scaling threshold, voltage and current by a power of two changes no spike."""
    x = data.draw(st.integers(0, threshold))
    v_init = data.draw(st.integers(0, threshold - 1))
    unit = 2.0**exponent
    assert count("subtract", threshold * unit, v_init * unit, x * unit, steps) == count(
        "subtract", threshold, v_init, x, steps
    )


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_one_spike_a_step_at_most(reset: Reset) -> None:
    """Current beyond the threshold saturates; with reset by subtraction the rest piles up."""
    neuron = IntegrateAndFire(np.asarray(1.0), np.asarray(0.0), reset)
    state = neuron.initial_state((1,))
    for _ in range(5):
        assert neuron.step(np.array([3.0]), state)[0]
    assert state.voltage[0] == (10.0 if reset == "subtract" else 0.0)


def test_the_threshold_itself_fires() -> None:
    neuron = IntegrateAndFire(np.asarray(1.0), np.asarray(0.0))
    state = neuron.initial_state((2,))
    spikes = neuron.step(np.array([1.0, np.nextafter(1.0, 0.0)]), state)
    assert spikes.tolist() == [True, False]
    assert state.voltage[0] == 0.0


def test_negative_voltage_has_no_bound() -> None:
    neuron = IntegrateAndFire(np.asarray(1.0), np.asarray(0.5))
    state = neuron.initial_state((1,))
    for _ in range(100):
        assert not neuron.step(np.array([-7.0]), state)[0]
    assert state.voltage[0] == 0.5 - 700.0


def test_outside_its_window_it_only_integrates() -> None:
    neuron = IntegrateAndFire(np.asarray(1.0), np.asarray(0.0))
    state = neuron.initial_state((1,))
    for _ in range(3):
        assert not neuron.step(np.array([2.0]), state, firing=False).any()
    assert state.voltage[0] == 6.0
    fired = [bool(neuron.step(np.zeros(1), state)[0]) for _ in range(8)]
    assert fired == [True] * 6 + [False] * 2


def test_thresholds_and_first_voltages_broadcast() -> None:
    population = Population(
        "p",
        (2, 3, 3),
        threshold=np.array([1.0, 2.0]).reshape(2, 1, 1),
        amplitude=np.ones(()),
        scale=np.ones(()),
        bias=np.zeros(()),
        v_init=np.array([0.5, 1.0]).reshape(2, 1, 1),
        reset="zero",
    )
    neuron = IntegrateAndFire.from_population(population)
    assert neuron.reset == "zero"
    state = neuron.initial_state((4, 2, 3, 3))
    assert state.voltage.shape == (4, 2, 3, 3)
    assert set(state.voltage[:, 0].flat) == {0.5}
    assert set(state.voltage[:, 1].flat) == {1.0}
    spikes = neuron.step(np.full((4, 2, 3, 3), 0.75), state)
    assert spikes[:, 0].all()
    assert not spikes[:, 1].any()


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("subtract", [0.0, 0.0, 0.25, 0.375, 0.75, 1.0, 1.0]),
        ("zero", [0.0, 0.0, 1 / 4, 1 / 3, 1 / 2, 1.0, 1.0]),
    ],
)
def test_the_rate_for_constant_current(reset: Reset, expected: list[float]) -> None:
    neuron = IntegrateAndFire(np.asarray(4.0), np.asarray(0.0), reset)
    current = np.array([-2.0, 0.0, 1.0, 1.5, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(neuron.rate(current), expected, rtol=1e-15)
