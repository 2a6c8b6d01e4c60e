"""Local balancing: the fixed point by its definition, and what it does as T grows."""

import numpy as np
import pytest

from snnconvert.calibration.histogram import ChannelHistogram, Distribution
from snnconvert.calibration.methods import get_method
from snnconvert.convert.errors import UsageError


def distribution(activations: np.ndarray) -> Distribution:
    histogram = ChannelHistogram(1)
    histogram.update(activations.astype(np.float32)[None])
    return histogram.channel(0)


@pytest.mark.parametrize("timesteps", [1, 4, 16, 64])
def test_push_and_pull_are_equal_there(rng: np.random.Generator, timesteps: int) -> None:
    activations = np.maximum(rng.standard_normal(200_000), 0)
    threshold = get_method("balance", timesteps=timesteps).threshold(distribution(activations))
    push = 2 * np.maximum(activations - threshold, 0).mean()
    pull = threshold * ((activations > 0) & (activations <= threshold)).mean() / (6 * timesteps**2)
    assert push == pytest.approx(pull, rel=0.05)


def test_more_steps_raise_it_towards_the_maximum(rng: np.random.Generator) -> None:
    spread = distribution(np.abs(rng.standard_normal(50_000)))
    found = [get_method("balance", timesteps=t).threshold(spread) for t in (2, 8, 32, 128, 4096)]
    assert found == sorted(found)
    assert found[0] < 0.7 * spread.maximum
    assert found[-1] == pytest.approx(spread.maximum, rel=0.02)


def test_it_needs_timesteps() -> None:
    with pytest.raises(UsageError, match="timesteps must be at least 1, not 0"):
        get_method("balance", timesteps=0)
