"""What every registered neuron model promises; a new one is tested on the day it is added."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.backends.base import get_backend
from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons import (
    NeuronModel,
    get_neuron_model,
    model_name,
    neuron_model,
    neuron_models,
    neuron_of,
    spike_values,
)

NAMES = ["if", "signed", "graded:1", "graded:3", "graded:200"]
CASES: list[tuple[str, Reset]] = [
    (name, reset) for name in NAMES for reset in sorted(get_neuron_model(name).resets)
]
every_case = pytest.mark.parametrize(("name", "reset"), CASES)
every_name = pytest.mark.parametrize("name", NAMES)


def population(name: str, reset: Reset, threshold: float = 2.0, v_init: float = 1.0) -> Population:
    return Population(
        "p",
        (3,),
        threshold=np.asarray(threshold),
        amplitude=np.ones(()),
        scale=np.ones(()),
        bias=np.zeros(()),
        v_init=np.asarray(v_init),
        reset=reset,
        neuron=name,
    )


def neuron(name: str, reset: Reset, threshold: float = 2.0, v_init: float = 1.0) -> NeuronModel:
    return neuron_of(population(name, reset, threshold, v_init))


def test_every_model_is_tested() -> None:
    assert {model_name(name) for name in NAMES} == set(neuron_models())


@every_case
def test_it_follows_the_protocol(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    assert isinstance(model, NeuronModel)
    assert type(model) is get_neuron_model(name)
    assert model_name(model.form) == model_name(name)


@every_case
def test_voltages_start_at_v_init_in_float64(name: str, reset: Reset) -> None:
    state = neuron(name, reset).initial_state((5, 3))
    assert state.voltage.dtype == np.float64
    assert state.voltage.shape == state.count.shape == (5, 3)
    assert (state.voltage == 1.0).all()
    assert (state.count == 0).all()
    state.voltage[...] += 1.0  # writable, and its own
    assert (neuron(name, reset).initial_state((5, 3)).voltage == 1.0).all()


@every_case
def test_a_step_advances_the_state_in_place(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    state = model.initial_state((2, 3))
    voltage, count = state.voltage, state.count
    current = np.full((2, 3), 0.25)
    spikes = model.step(current, state)
    assert state.voltage is voltage
    assert state.count is count
    assert spikes.dtype == spike_values(name).dtype
    assert spikes.shape == (2, 3)
    assert not spikes.any()
    assert (voltage == 1.25).all()
    assert (current == 0.25).all()
    model.step(np.full((2, 3), 1.0), state)
    assert (count == 1).all()


@every_case
def test_outside_its_window_it_is_silent(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    state = model.initial_state((4,))
    for _ in range(10):
        spikes = model.step(np.full(4, 5.0), state, firing=False)
        assert spikes.dtype == spike_values(name).dtype
        assert not spikes.any()
    assert model.step(np.zeros(4), state, firing=True).all()


@every_case
def test_without_current_it_is_silent(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    state = model.initial_state((4,))
    assert not any(model.step(np.zeros(4), state).any() for _ in range(50))
    assert (model.rate(np.zeros(4)) == 0).all()


@every_case
def test_the_rate_grows_with_the_current_to_the_largest_spike(name: str, reset: Reset) -> None:
    highest = spike_values(name).highest
    rate = neuron(name, reset).rate(np.linspace(-3, 2 * highest + 3, 200))
    assert (np.diff(rate) >= 0).all()
    assert rate[0] == 0
    assert rate[-1] == highest


@every_case
def test_steps_tend_to_the_rate(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    current = np.arange(-32, 160 * spike_values(name).highest, 3) / 64.0
    state, steps = model.initial_state(current.shape), 512
    counts = np.sum([model.step(current, state) for _ in range(steps)], axis=0, dtype=np.int64)
    np.testing.assert_array_equal(counts, state.count)
    np.testing.assert_allclose(counts / steps, model.rate(current), atol=2 / steps)


@every_name
@given(st.data(), st.integers(1, 1000), st.integers(1, 100))
def test_the_sum_of_the_spikes_for_constant_current(
    name: str, data: st.DataObject, threshold: int, steps: int
) -> None:
    """``floor((v_init + x T) / threshold)`` up to full rate, whatever a spike carries."""
    x = data.draw(st.integers(0, spike_values(name).highest * threshold))
    v_init = data.draw(st.integers(0, threshold - 1))
    model = neuron(name, "subtract", float(threshold), float(v_init))
    state = model.initial_state((1,))
    for _ in range(steps):
        spikes = model.step(np.array([float(x)]), state)
        assert spikes[0] >= 0
    assert state.count[0] == (v_init + x * steps) // threshold


def currents(seed: int, steps: int) -> FloatArray:
    """Integers, excitatory and inhibitory, in an order that sends many spikes too early."""
    return np.random.default_rng(seed).integers(-9, 11, (steps, 8)).astype(float)


@every_name
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_a_held_neuron_sends_the_quantised_charge(name: str, seed: int, steps: int, T: int) -> None:
    """Staged in full: all charge is there before the first of T steps in which it may fire."""
    arriving = currents(seed, steps)
    model, highest = neuron(name, "subtract", 3.0, 1.0), spike_values(name).highest
    state = model.initial_state((8,))
    for current in arriving:
        model.step(current, state, firing=False)
    for _ in range(T):
        model.step(np.zeros(8), state)
    expected = np.clip((arriving.sum(axis=0) + 1.0) // 3.0, 0, highest * T)
    np.testing.assert_array_equal(state.count, expected)


@every_name
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_spikes_stay_within_their_values_and_their_sum_above_zero(
    name: str, seed: int, steps: int
) -> None:
    model, values = neuron(name, "subtract", 3.0, 1.0), spike_values(name)
    state = model.initial_state((8,))
    charge = np.full(8, 1.0)
    for current in currents(seed, steps):
        charge += current
        spikes = model.step(current, state).astype(int)
        assert ((spikes >= values.lowest) & (spikes <= values.highest)).all()
        assert (state.count >= 0).all()
        np.testing.assert_array_equal(state.voltage, charge - 3.0 * state.count)


@every_case
def test_its_module_says_how_it_works(name: str, reset: Reset) -> None:
    text = get_neuron_model(name).__doc__ or ""
    assert "voltage +=" in text, "the update equations stand in the docstring"
    assert "spike" in text
    assert "reset" in text


@every_name
def test_a_second_model_of_that_name_is_refused(name: str) -> None:
    model = model_name(name)
    with pytest.raises(ValueError, match=f"neuron model {model!r} is registered twice"):
        neuron_model(model)(neuron_models()[model])


@every_name
def test_the_nearest_name_is_suggested(name: str) -> None:
    model = model_name(name)
    wrong = name.replace(model, model + "s")
    with pytest.raises(UsageError) as caught:
        get_neuron_model(wrong)
    assert caught.value.message.startswith(f"unknown neuron model {wrong!r}")
    assert repr(model) in str(caught.value)


@every_name
@pytest.mark.parametrize("target", ["reference", "cpu", "nengo"])
def test_the_simulators_run_it(name: str, target: str) -> None:
    assert model_name(name) in get_backend(target).capabilities.neurons
