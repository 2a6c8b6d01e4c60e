"""What every registered neuron model promises; a new one is tested on the day it is added."""

import numpy as np
import pytest

from snnconvert.backends.base import get_backend
from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons import (
    NeuronModel,
    get_neuron_model,
    neuron_model,
    neuron_models,
)

RESETS: tuple[Reset, ...] = ("subtract", "zero")
pytestmark = pytest.mark.parametrize("name", sorted(neuron_models()))


def neuron(name: str, reset: Reset, threshold: float = 2.0, v_init: float = 1.0) -> NeuronModel:
    population = Population(
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
    return get_neuron_model(name).from_population(population)


@pytest.mark.parametrize("reset", RESETS)
def test_it_follows_the_protocol(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    assert isinstance(model, NeuronModel)
    assert type(model) is neuron_models()[name]


@pytest.mark.parametrize("reset", RESETS)
def test_voltages_start_at_v_init_in_float64(name: str, reset: Reset) -> None:
    voltage = neuron(name, reset).initial_voltage((5, 3))
    assert voltage.dtype == np.float64
    assert voltage.shape == (5, 3)
    assert (voltage == 1.0).all()
    voltage += 1.0  # writable, and its own
    assert (neuron(name, reset).initial_voltage((5, 3)) == 1.0).all()


@pytest.mark.parametrize("reset", RESETS)
def test_a_step_advances_the_voltage_in_place(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    voltage = model.initial_voltage((2, 3))
    held = voltage
    current = np.full((2, 3), 0.25)
    spikes = model.step(current, voltage)
    assert held is voltage
    assert spikes.dtype == np.bool_
    assert spikes.shape == (2, 3)
    assert not spikes.any()
    assert (voltage != 1.0).all()
    assert (current == 0.25).all()


@pytest.mark.parametrize("reset", RESETS)
def test_outside_its_window_it_is_silent(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    voltage = model.initial_voltage((4,))
    for _ in range(10):
        assert not model.step(np.full(4, 5.0), voltage, firing=False).any()
    assert model.step(np.zeros(4), voltage, firing=True).all()


@pytest.mark.parametrize("reset", RESETS)
def test_without_current_it_is_silent(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    voltage = model.initial_voltage((4,))
    assert not any(model.step(np.zeros(4), voltage).any() for _ in range(50))
    assert (model.rate(np.zeros(4)) == 0).all()


@pytest.mark.parametrize("reset", RESETS)
def test_the_rate_grows_with_the_current_from_0_to_1(name: str, reset: Reset) -> None:
    rate = neuron(name, reset).rate(np.linspace(-3, 9, 200))
    assert (np.diff(rate) >= 0).all()
    assert rate[0] == 0
    assert rate[-1] == 1


@pytest.mark.parametrize("reset", RESETS)
def test_steps_tend_to_the_rate(name: str, reset: Reset) -> None:
    model = neuron(name, reset)
    current = np.arange(-32, 160) / 64.0
    voltage, steps = model.initial_voltage(current.shape), 512
    counts = np.sum([model.step(current, voltage) for _ in range(steps)], axis=0)
    np.testing.assert_allclose(counts / steps, model.rate(current), atol=2 / steps)


def test_its_module_says_how_it_works(name: str) -> None:
    text = neuron_models()[name].__doc__ or ""
    assert "voltage +=" in text, "the update equations stand in the docstring"
    assert "spike" in text
    assert "reset" in text


def test_a_second_model_of_that_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"neuron model {name!r} is registered twice"):
        neuron_model(name)(neuron_models()[name])


def test_the_nearest_name_is_suggested(name: str) -> None:
    wrong = name + "s"
    with pytest.raises(UsageError, match=f"unknown neuron model {wrong!r}; did you mean {name!r}"):
        get_neuron_model(wrong)


def test_the_reference_runs_it(name: str) -> None:
    assert name in get_backend("reference").capabilities.neurons
