from dataclasses import replace

import numpy as np
import pytest

from snnconvert.calibration.corrections.thresholds import POTENTIALS, SHARES, search_thresholds
from snnconvert.calibration.replay import Drive
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population

T = 8
ALL = slice(None)


def burst(rng: np.random.Generator, rows: int = 40) -> tuple[Population, Drive, FloatArray]:
    """Channels whose current comes mostly in the last steps, with the mean that the ANN has."""
    activations = rng.uniform(0, 1, (rows, 3)).astype(np.float32)
    shape = np.linspace(0, 2, T)[:, None, None]
    sums = np.ascontiguousarray(activations * shape, np.float32)
    threshold = np.array([0.4, 1.0, 2.0])
    population = Population("p", (3,), threshold, threshold, threshold, np.zeros(3), threshold / 2)
    return population, Drive(sums, np.zeros((1, 3)), T), activations


def errors(population: Population, drive: Drive, activations: FloatArray) -> FloatArray:
    return np.asarray(np.square(drive.decoded(population) - activations).mean(axis=0))


def test_no_channel_is_worse_and_some_are_better(rng: np.random.Generator) -> None:
    population, drive, activations = burst(rng)
    found = search_thresholds(population, drive, activations, ALL)
    before = errors(population, drive, activations)
    after = errors(found, drive, activations)
    assert (after <= before).all()
    assert after[0] < 0.5 * before[0]  # saturated at 0.4


@pytest.mark.parametrize("neuron", ["if", "signed", "graded:3"])
@pytest.mark.parametrize("at_once", [1, 7 * 40 * 3, 2**22])
def test_each_channel_has_the_best_pair_of_the_grid(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, neuron: str, at_once: int
) -> None:
    monkeypatch.setattr("snnconvert.calibration.replay.AT_ONCE", at_once)
    population, drive, activations = burst(rng)
    population = replace(population, neuron=neuron)
    found = search_thresholds(population, drive, activations, ALL)
    least = np.full(3, np.inf)
    for share in SHARES:
        for potential in POTENTIALS:
            threshold = population.threshold * share
            one = Population(
                "p", (3,), threshold, threshold, threshold, np.zeros(3), potential * threshold
            )
            one = replace(one, neuron=neuron)
            least = np.minimum(least, errors(one, drive, activations))
    np.testing.assert_allclose(errors(found, drive, activations), least)


def test_rows_that_are_left_out_do_not_count(rng: np.random.Generator) -> None:
    population, drive, activations = burst(rng)
    changed = activations.copy()
    changed[1::2] = rng.uniform(0, 1, changed[1::2].shape)
    one = search_thresholds(population, drive, activations, slice(0, None, 2))
    other = search_thresholds(population, drive, changed, slice(0, None, 2))
    np.testing.assert_array_equal(one.threshold, other.threshold)


def test_amplitude_and_scale_follow_the_threshold(rng: np.random.Generator) -> None:
    population, drive, activations = burst(rng)
    found = search_thresholds(population, drive, activations, ALL)
    np.testing.assert_array_equal(found.amplitude, found.threshold)
    np.testing.assert_array_equal(found.scale, found.threshold)
    assert ((found.v_init >= 0) & (found.v_init < found.threshold)).all()


@pytest.mark.parametrize("ceiling", [0.4, 0.5])
def test_a_ceiling_bounds_thresholds(rng: np.random.Generator, ceiling: float) -> None:
    population, drive, activations = burst(rng)
    found = search_thresholds(population, drive, activations, ALL, ceiling=ceiling)
    assert found.threshold[0] <= ceiling
