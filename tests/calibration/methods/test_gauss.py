"""The Gaussian method against draws from Gaussians, and where a Gaussian says nothing."""

import numpy as np
import pytest

from snnconvert.calibration.activations import Observed
from snnconvert.calibration.layer_statistics import LayerStatistics
from snnconvert.calibration.methods import get_method


def thresholds(name: str, z: np.ndarray, timesteps: int) -> np.ndarray:
    layer = LayerStatistics(z.shape[1:])
    layer.update(z.astype(np.float32))
    observed = Observed({"relu": layer}, {}, len(z), "")
    return get_method(name, timesteps=timesteps).scales(observed)["relu"].ravel()


@pytest.mark.parametrize("timesteps", [2, 4, 8, 16])
@pytest.mark.parametrize("mean", [-1.0, 0.0, 2.0])
def test_on_gaussian_activations_it_is_the_threshold_of_least_squared_error(
    rng: np.random.Generator, timesteps: int, mean: float
) -> None:
    z = mean + rng.standard_normal((40, 1, 20_000))
    assert thresholds("gauss", z, timesteps) == pytest.approx(
        thresholds("mse", z, timesteps), rel=0.02
    )


def test_an_outlier_has_no_say(rng: np.random.Generator) -> None:
    z = rng.standard_normal((100, 1, 1000))
    calm = thresholds("gauss", z, 8)
    z[0, 0, 0] = 30.0
    assert thresholds("gauss", z, 8) == pytest.approx(calm, rel=0.02)
    assert thresholds("max", z, 8) == pytest.approx(30.0)


def test_it_never_exceeds_the_largest_activation() -> None:
    flat = np.linspace(-1, 1, 1001).reshape(1, 1, -1)
    assert thresholds("gauss", flat, 64).item() <= 1.0


def test_without_spread_or_far_below_zero_it_is_the_maximum() -> None:
    assert thresholds("gauss", np.full((3, 1, 4), 2.5), 8).item() == pytest.approx(2.5)
    once = np.full((2000, 1), -1.0)
    once[3] = 4.0
    assert thresholds("gauss", once, 8).item() == pytest.approx(4.0)
