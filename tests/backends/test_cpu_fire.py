"""The compiled neuron against the plain one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.backends.cpu.fire import BLOCK, integrate_and_fire
from snnconvert.convert.network import Reset
from snnconvert.convert.neurons.integrate_and_fire import IntegrateAndFire


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("firing", [True, False])
@pytest.mark.parametrize("arriving", [np.float32, np.float64, None])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3),
    size=st.sampled_from([1, 7, BLOCK - 1, BLOCK, BLOCK + 5]),
    steps=st.integers(1, 9),
    per_sample=st.booleans(),
)
def test_it_equals_the_neuron_step_by_step(
    reset: Reset,
    firing: bool,
    arriving: Any,
    seed: int,
    n: int,
    size: int,
    steps: int,
    per_sample: bool,
) -> None:
    rng = np.random.default_rng(seed)
    dyadic = np.float64(2.0**-10)
    threshold = rng.integers(200, 1500, size) * dyadic
    start = rng.integers(-500, 1600, (n, size)) * dyadic
    constant = rng.integers(-200, 500, (n if per_sample else 1, size)) * dyadic
    sums = (rng.integers(-900, 1200, (steps if arriving else 0, n, size)) * dyadic).astype(
        arriving or np.float32
    )
    neuron = IntegrateAndFire(threshold, np.zeros(()), reset)
    voltage, expected = start.copy(), np.zeros((steps, n, size), np.bool_)
    for t in range(steps):
        current = constant + (sums[t] if arriving else 0.0)
        expected[t] = neuron.step(current, voltage, firing=firing)

    v, counts = start.copy(), np.full((n, size), 3)
    spikes = np.full((steps if firing else 0, n, size), np.nan, np.float32)
    integrate_and_fire(v, constant, sums, threshold, reset == "zero", spikes, counts, steps)
    np.testing.assert_array_equal(v, voltage)
    np.testing.assert_array_equal(counts, 3 + expected.sum(axis=0))
    if firing:
        np.testing.assert_array_equal(spikes, expected)
