"""The compiled neurons, and those for where Numba is missing, against the plain ones."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.backends.cpu.fire import BLOCK
from snnconvert.backends.cpu.neurons import Neurons
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Reset
from snnconvert.convert.neurons import NeuronState, neuron_of


def population(neuron: str, reset: Reset, threshold: FloatArray) -> Population:
    nothing = np.zeros(())
    return Population(
        "p",
        threshold.shape,
        threshold,
        threshold,
        threshold,
        nothing,
        nothing,
        reset=reset,
        neuron=neuron,
    )


MODELS: list[tuple[str, Reset]] = [
    ("if", "subtract"),
    ("if", "zero"),
    ("signed", "subtract"),
    ("graded:1", "subtract"),
    ("graded:3", "subtract"),
    ("graded:200", "subtract"),
]


@pytest.mark.parametrize("module", ["fire", "plain_fire"])
@pytest.mark.parametrize(("model", "reset"), MODELS)
@pytest.mark.parametrize("firing", [True, False])
@pytest.mark.parametrize("arriving", [np.float32, np.float64, None])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3),
    size=st.sampled_from([1, 7, BLOCK - 1, BLOCK, BLOCK + 5]),
    steps=st.integers(1, 9),
    per_sample=st.booleans(),
    first=st.integers(0, 2),
    more=st.integers(0, 2),
    kept=st.booleans(),
)
def test_it_equals_the_neuron_step_by_step(
    module: str,
    model: str,
    reset: Reset,
    firing: bool,
    arriving: Any,
    seed: int,
    n: int,
    size: int,
    steps: int,
    per_sample: bool,
    first: int,
    more: int,
    kept: bool,
) -> None:
    rng = np.random.default_rng(seed)
    dyadic = np.float64(2.0**-10)
    threshold = rng.integers(200, 1500, size) * dyadic
    start = rng.integers(-500, 1600, (n, size)) * dyadic
    sent = rng.integers(0, 3, (n, size))
    constant = rng.integers(-200, 500, (n if per_sample else 1, size)) * dyadic
    rows, own = first + n + more, slice(first, first + n)  # some samples of many
    sums = (rng.integers(-900, 1200, (steps if arriving else 0, rows, size)) * dyadic).astype(
        arriving or np.float32
    )
    plain = population(model, reset, threshold)
    neuron, state = neuron_of(plain), NeuronState(start.copy(), sent.copy())
    expected = np.zeros((steps, n, size), np.int16)
    for t in range(steps):
        current = constant + (sums[t, own] if arriving else 0.0)
        expected[t] = neuron.step(current, state, firing=firing)

    neurons = Neurons.of(plain)
    membranes = neurons.membranes(n)
    membranes.voltage[...], membranes.counts[...] = start, sent
    before = membranes.events.copy()
    spikes = np.full((steps if firing and kept else 0, rows, size), np.nan, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        kernels = import_module(f"snnconvert.backends.cpu.{module}")
        patch.setattr("snnconvert.backends.cpu.neurons._kernels", lambda: kernels)
        neurons.advance(membranes, constant, sums, spikes, steps, fires=firing, first_sample=first)
    np.testing.assert_array_equal(membranes.voltage, state.voltage)
    np.testing.assert_array_equal(membranes.counts, state.count)
    np.testing.assert_array_equal(membranes.counts, sent + expected.sum(axis=0))
    np.testing.assert_array_equal(membranes.events - before, (expected != 0).sum(axis=0))
    if firing and kept:
        np.testing.assert_array_equal(spikes[:, own], expected)
        assert np.isnan(spikes[:, :first]).all() and np.isnan(spikes[:, first + n :]).all()
