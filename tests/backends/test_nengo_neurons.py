"""The neuron type: its exact law, and what Nengo asks of neuron types."""

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.neurons import (
    GradedIntegrateAndFire,
    SignedIntegrateAndFire,
    TernaryIntegrateAndFire,
)
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.neurons import NeuronModel
from snnconvert.convert.neurons.graded import GradedSpikes
from snnconvert.convert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.convert.neurons.signed import SignedSpikes


def spikes(neuron: Any, currents: FloatArray, *, dt: float = 0.001) -> FloatArray:
    """Return the spikes, 0 or 1, for currents (steps, n) in charge a step."""
    state = neuron.make_state(currents.shape[1])
    out, trains, rate = np.zeros(currents.shape[1]), [], round(1 / dt)
    for current in currents:
        neuron.step(dt, current * rate, out, **state)
        assert set(out) <= {height * rate for height in range(-1, 8)}
        trains.append(out / rate)
    return np.stack(trains)


def constant(x: npt.NDArray[Any], T: int) -> FloatArray:
    return np.broadcast_to(x, (T, len(x))).astype(float)


@pytest.mark.parametrize("dt", [0.001, 0.002, 1 / 7, 1.0])
def test_the_spike_count_law(dt: float) -> None:
    """floor((v + x T) / threshold), exactly, on integers."""
    threshold, T = 16, 37
    x, v = (a.reshape(-1) for a in np.meshgrid(np.arange(17), np.arange(16)))
    neuron = SignedIntegrateAndFire(16.0, initial_state={"voltage": v.astype(float)})
    counts = spikes(neuron, constant(x, T), dt=dt).sum(axis=0)
    np.testing.assert_array_equal(counts, (v + x * T) // threshold)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("threshold", [1.0, np.array([0.5, 1.0, 1.75, 2.0])])
def test_it_steps_as_the_plain_model(rng: np.random.Generator, reset: Any, threshold: Any) -> None:
    currents = rng.integers(-64, 128, (200, 4)) / 64
    v_init = np.array([0.0, 0.25, 0.375, -3.0])
    neuron = SignedIntegrateAndFire(threshold, reset, initial_state={"voltage": v_init})
    plain = IntegrateAndFire(np.asarray(threshold), v_init, reset)
    state = plain.initial_state((4,))
    expected = np.stack([plain.step(current, state) for current in currents])
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(spikes(neuron, currents), expected)


def test_signed_and_graded_types_step_as_the_plain_models(rng: np.random.Generator) -> None:
    currents = rng.integers(-128, 160, (200, 4)) / 64
    threshold, v_init = np.array([0.5, 1.0, 1.75, 2.0]), np.array([0.0, 0.25, 0.375, 1.0])
    start = {"voltage": v_init}
    ternary = TernaryIntegrateAndFire(threshold, initial_state=start)
    graded = GradedIntegrateAndFire(3, threshold, initial_state=start)
    models: tuple[NeuronModel, NeuronModel] = (
        SignedSpikes(threshold, v_init),
        GradedSpikes(threshold, v_init, 3),
    )
    for neuron, model in zip((ternary, graded), models, strict=True):
        state = model.initial_state((4,))
        expected = np.stack([model.step(current, state) for current in currents])
        assert len(np.unique(expected)) >= 3
        np.testing.assert_array_equal(spikes(neuron, currents), expected)


def test_the_firing_windows_of_signed_and_graded_types() -> None:
    currents = np.array([[0.75], [2.0], [0.0], [0.0], [-3.0], [0.0], [0.0]])
    ternary = TernaryIntegrateAndFire(start=2, stop=6)
    np.testing.assert_array_equal(spikes(ternary, currents)[:, 0], [0, 0, 1, 1, -1, -1, 0])
    graded = GradedIntegrateAndFire(7, start=2, stop=6)
    np.testing.assert_array_equal(spikes(graded, currents)[:, 0], [0, 0, 2, 0, 0, 0, 0])
    assert ternary.negative
    assert not graded.negative
    assert "reset" not in repr(ternary)
    assert (
        pickle.loads(pickle.dumps(graded)) == graded != GradedIntegrateAndFire(6, start=2, stop=6)
    )


def test_the_firing_window() -> None:
    neuron = SignedIntegrateAndFire(start=2, stop=5)
    train = spikes(neuron, constant(np.array([0.75]), 8))[:, 0]
    # 1.5 is waiting when the window opens; what is left when it closes stays
    np.testing.assert_array_equal(train, [0, 0, 1, 1, 1, 0, 0, 0])
    assert "clock" in neuron.make_state(1)
    assert "clock" not in SignedIntegrateAndFire().make_state(1)


def test_negative_current_cancels_charge_of_other_steps() -> None:
    train = spikes(SignedIntegrateAndFire(), np.array([[0.75], [-0.5], [0.5], [0.25]]))
    np.testing.assert_array_equal(train[:, 0], [0, 0, 0, 1])


def test_gain_and_bias_are_the_inverse_of_rates_and_intercepts(rng: np.random.Generator) -> None:
    neuron = SignedIntegrateAndFire(2.0)
    rates, intercepts = rng.uniform(50, 200, 8), rng.uniform(-0.9, 0.9, 8)
    gain, bias = neuron.gain_bias(rates, intercepts)
    np.testing.assert_allclose(neuron.rates(1.0, gain, bias)[0], rates)
    np.testing.assert_allclose(neuron.rates(intercepts[None], gain, bias), 0, atol=1e-9)
    again = neuron.max_rates_intercepts(gain, bias)
    np.testing.assert_allclose(again[0], rates)
    np.testing.assert_allclose(again[1], intercepts)


def test_it_serves_in_a_users_ensemble() -> None:
    """Decoded as any neuron type: Nengo's solvers use its rates."""
    with nengo.Network(seed=0) as network:
        stimulus = nengo.Node([0.5])
        ensemble = nengo.Ensemble(100, 1, neuron_type=SignedIntegrateAndFire())
        nengo.Connection(stimulus, ensemble, synapse=None)
        probe = nengo.Probe(ensemble, synapse=0.05)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(400)
        assert simulator.data[probe][-1, 0] == pytest.approx(0.5, abs=0.05)


def test_it_can_be_compared_copied_and_shown() -> None:
    neuron = SignedIntegrateAndFire(2.0, "zero", start=1, stop=9)
    assert neuron == SignedIntegrateAndFire(2.0, "zero", start=1, stop=9)
    assert neuron != SignedIntegrateAndFire(2.0, "zero", start=1)
    assert pickle.loads(pickle.dumps(neuron)) == neuron
    assert repr(neuron) == (
        "SignedIntegrateAndFire(threshold=array(2.), reset='zero', start=1, stop=9)"
    )
    assert neuron.probeable == ("output", "voltage")
    with pytest.raises(nengo.exceptions.ReadonlyError):
        neuron.reset = "subtract"
    with pytest.raises(nengo.exceptions.ValidationError):
        SignedIntegrateAndFire(reset="half")


def test_voltages_can_be_probed() -> None:
    with nengo.Network() as network:
        ensemble = nengo.Ensemble(
            1, 1, neuron_type=SignedIntegrateAndFire(), gain=np.ones(1), bias=np.array([250.0])
        )
        probe = nengo.Probe(ensemble.neurons, "voltage")
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(5)
        np.testing.assert_array_equal(simulator.data[probe][:, 0], [0.25, 0.5, 0.75, 0, 0.25])
