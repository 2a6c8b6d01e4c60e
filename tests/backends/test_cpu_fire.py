"""The compiled neurons, and those for where Numba is missing, against the plain ones."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.backends.cpu.fire import BLOCK
from snnconvert.backends.cpu.kernels.integrate import STEPS, integrate
from snnconvert.backends.cpu.neurons import Membranes, Neurons
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


UNTOUCHED = -7

MODELS: list[tuple[str, Reset]] = [
    ("if", "subtract"),
    ("if", "zero"),
    ("signed", "subtract"),
    ("graded:1", "subtract"),
    ("graded:3", "subtract"),
    ("graded:100", "subtract"),
    ("graded:200", "subtract"),
]


@pytest.mark.parametrize("module", ["fire", "plain_fire"])
@pytest.mark.parametrize(
    ("model", "reset", "sent_as"),
    [
        (model, reset, kind)
        for model, reset in MODELS
        for kind in (np.float32, np.int8)
        if model != "graded:200" or kind is np.float32  # such payloads are beyond a byte
    ],
)
@pytest.mark.parametrize("firing", [True, False])
@pytest.mark.parametrize("arriving", [np.float32, np.float64, None])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3),
    size=st.sampled_from([1, 7, 16, 37, BLOCK - 1, BLOCK, BLOCK + 5]),
    steps=st.sampled_from([1, 2, 5, 9, STEPS, STEPS + 3]),
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
    sent_as: Any,
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
    spikes = np.full((steps if firing and kept else 0, rows, size), UNTOUCHED, sent_as)
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
        assert (spikes[:, :first] == UNTOUCHED).all() and (
            spikes[:, first + n :] == UNTOUCHED
        ).all()


@pytest.mark.parametrize("module", ["fire", "plain_fire"])
@given(
    seed=st.integers(0, 2**32 - 1),
    sets=st.integers(1, 4),
    n=st.integers(1, 3),
    size=st.sampled_from([1, 16, 37, BLOCK + 5]),
    steps=st.sampled_from([1, 6, STEPS + 3]),
    first=st.integers(0, 2),
    reset=st.sampled_from(["subtract", "zero"]),
    kind=st.sampled_from([np.float32, np.float64]),
)
def test_sets_of_parameters_are_as_one_after_the_other(
    module: str,
    seed: int,
    sets: int,
    n: int,
    size: int,
    steps: int,
    first: int,
    reset: Reset,
    kind: Any,
) -> None:
    """On any numbers, and for either module the same."""
    rng = np.random.default_rng(seed)
    sums = rng.normal(0.0, 0.4, (steps, first + n + 1, size)).astype(kind)
    constant = rng.normal(0.0, 0.1, (n, size))
    each = [
        replace(population("if", reset, threshold), v_init=v_init * threshold)
        for threshold, v_init in zip(
            rng.uniform(0.2, 2.0, (sets, size)), rng.uniform(0.0, 1.0, (sets, size)), strict=True
        )
    ]

    def advanced(neurons: Neurons, module: str) -> Membranes:
        kernels = import_module(f"snnconvert.backends.cpu.{module}")
        membranes, nothing = neurons.membranes(n), sums[:0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snnconvert.backends.cpu.neurons._kernels", lambda: kernels)
            for fires in (False, True):
                neurons.advance(
                    membranes, constant, sums, nothing, steps, fires=fires, first_sample=first
                )
        return membranes

    together = advanced(Neurons.of_each(each), module)
    alone = [advanced(Neurons.of(one), "plain_fire") for one in each]
    np.testing.assert_array_equal(together.voltage, [one.voltage for one in alone])
    np.testing.assert_array_equal(together.counts, [one.counts for one in alone])
    assert together.counts.shape == (sets, n, size)


def test_the_kernel_refuses_arrays_that_end_too_early() -> None:
    """It is given addresses."""
    state = np.zeros((2, 5)), np.zeros((1, 5))  # voltage, constant
    threshold, counts = np.ones(5), np.zeros((2, 5), np.int64)
    sums, spikes = np.zeros((4, 3, 5), np.float32), np.zeros((0, 3, 5), np.float32)
    integrate(*state, sums, threshold, False, spikes, counts, 4, True, 1)
    wrong: list[tuple[Any, ...]] = [
        (*state, sums[:3], threshold, False, spikes, counts, 4, True, 1),
        (*state, sums, threshold, False, spikes, counts, 4, True, 2),
        (*state, sums, threshold[:4], False, spikes, counts, 4, True, 1),
        (*state, sums, threshold, False, sums[:2], counts, 4, True, 1),
        (*state, sums, threshold, False, spikes, counts.astype(np.float64), 4, True, 1),
        (*state, sums[..., ::-1], threshold, False, spikes, counts, 4, True, 1),
        (*state, sums, threshold, False, sums.copy(), counts, 4, False, 1),
    ]
    for arguments in wrong:
        with pytest.raises(AssertionError):
            integrate(*arguments)
