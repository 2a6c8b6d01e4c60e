import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from snnconvert.calibration.histogram import ChannelHistogram, Distribution
from snnconvert.calibration.methods import get_method
from snnconvert.calibration.methods.mse import _Levels
from snnconvert.convert.errors import UsageError


def distribution(activations: np.ndarray) -> Distribution:
    histogram = ChannelHistogram(1)
    histogram.update(activations.astype(np.float32)[None])
    return histogram.channel(0)


def error(activations: np.ndarray, threshold: float, timesteps: int) -> float:
    """The definition, on the activations themselves."""
    spikes = np.clip(np.floor(timesteps * activations / threshold + 0.5), 0, timesteps)
    return float(((activations - threshold * spikes / timesteps) ** 2).sum())


def heavy_tailed(rng: np.random.Generator, size: int = 30_000) -> np.ndarray:
    return np.maximum(rng.standard_normal(size) + 0.3 * rng.standard_normal(size) ** 3, 0)


@pytest.mark.parametrize("timesteps", [1, 2, 4, 8, 16, 32, 64, 256, 1024])
def test_no_threshold_of_a_fine_search_has_a_smaller_error(
    rng: np.random.Generator, timesteps: int
) -> None:
    activations = heavy_tailed(rng)
    best = get_method("mse", timesteps=timesteps).threshold(distribution(activations))
    candidates = activations.max() * np.geomspace(1.0, 0.05, 800 if timesteps < 64 else 100)
    least = min(error(activations, float(c), timesteps) for c in candidates)
    # Bins are up to 1/128 wide, levels 1/T: the finest levels are found to 1 % of the error.
    assert error(activations, best, timesteps) <= least * (1.0001 if timesteps < 64 else 1.01)


@pytest.mark.parametrize("timesteps", [1, 8, 64, 512])
def test_error_from_the_histogram_is_that_of_the_activations(
    rng: np.random.Generator, timesteps: int
) -> None:
    activations = heavy_tailed(rng)
    thresholds = activations.max() * np.array([1.0, 0.5, 0.1])
    expected = [error(activations, float(t), timesteps) for t in thresholds]
    got = _Levels(distribution(activations), timesteps).errors(thresholds)
    np.testing.assert_allclose(got, expected, rtol=2e-3 if timesteps < 64 else 0.15)


@settings(max_examples=25)
@given(
    st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=1, max_size=30), st.integers(1, 32)
)
def test_the_polish_never_raises_the_error(values: list[float], timesteps: int) -> None:
    spread = distribution(np.array(values))
    levels = _Levels(spread, timesteps)
    threshold = spread.maximum
    for _ in range(5):
        polished = levels.best_scale(threshold)
        before, after = levels.errors(np.array([threshold, polished]))
        # Interpolation inside a bin makes the two views of the error differ by the bins' width.
        assert after <= before * 1.02 + 1e-4 * levels.squares
        threshold = polished


def test_levels_that_fit_are_found_exactly() -> None:
    activations = np.repeat(np.arange(9) * 0.25, 10)
    threshold = get_method("mse", timesteps=8).threshold(distribution(activations))
    assert threshold == pytest.approx(2.0, rel=1 / 256)


def test_few_steps_call_for_a_smaller_threshold(rng: np.random.Generator) -> None:
    spread = distribution(heavy_tailed(rng))
    thresholds = [get_method("mse", timesteps=t).threshold(spread) for t in (1, 4, 16, 64, 256)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < 0.2 * spread.maximum < 0.8 * spread.maximum < thresholds[-1]


def test_payloads_multiply_the_levels(rng: np.random.Generator) -> None:
    spread = distribution(heavy_tailed(rng))
    for name in ("mse", "auto", "balance"):
        graded = get_method(name, timesteps=4, levels_per_step=8).threshold(spread)
        assert graded == get_method(name, timesteps=32).threshold(spread)
    assert get_method("max", timesteps=4, levels_per_step=8).threshold(spread) == spread.maximum


def test_timesteps_out_of_range() -> None:
    with pytest.raises(UsageError, match="timesteps must be at least 1, not 0"):
        get_method("mse", timesteps=0)
