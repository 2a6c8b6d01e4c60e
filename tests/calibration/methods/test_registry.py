"""What every threshold method has to keep, whoever wrote it; and how methods are found."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from snnconvert.calibration.activations import Observed
from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.layer_statistics import LayerStatistics
from snnconvert.calibration.methods import (
    CalibrationMethod,
    calibration_method,
    calibration_methods,
    get_method,
)
from snnconvert.calibration.methods.registry import FLOOR
from snnconvert.convert.errors import UsageError

METHODS = sorted(calibration_methods())


def observed(z: np.ndarray, axis: int = 0, ceiling: float | None = None) -> Observed:
    """What would be observed of one population, from its pre-activations (n, *shape)."""
    layer = LayerStatistics(z.shape[1:], axis, ceiling)
    layer.update(z.astype(np.float32))
    return Observed({"relu": layer}, {}, len(z), "")


def scales(name: str, z: np.ndarray, *, per_channel: bool = True, **layer: object) -> np.ndarray:
    method = get_method(name, timesteps=16, reset="subtract", per_channel=per_channel)
    return method.scales(observed(z, **layer))["relu"]  # type: ignore[arg-type]


def test_the_methods_that_documentation_promises() -> None:
    assert {"auto", "balance", "gauss", "max", "mse", "percentile"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
class TestEveryMethod:
    def test_gives_one_positive_threshold_a_channel(
        self, rng: np.random.Generator, name: str
    ) -> None:
        z = rng.standard_normal((50, 6, 5, 5)) * np.arange(1, 7)[:, None, None]
        thresholds = scales(name, z)
        assert thresholds.shape == (6, 1, 1)
        assert thresholds.dtype == np.float64
        assert (thresholds > 0).all()
        assert (thresholds <= z.max(axis=(0, 2, 3))[:, None, None] * 1.001).all()
        assert scales(name, z.transpose(0, 2, 3, 1), axis=2).ravel().tolist() == (
            thresholds.ravel().tolist()
        )

    def test_gives_one_a_layer_on_request(self, rng: np.random.Generator, name: str) -> None:
        z = rng.standard_normal((50, 6, 5, 5))
        assert scales(name, z, per_channel=False).shape == (1, 1, 1)
        one_channel = z.reshape(50, 1, 30, 5)
        assert scales(name, z, per_channel=False).item() == pytest.approx(
            scales(name, one_channel).item(), rel=1e-9
        )

    def test_groups_of_neighbouring_channels_share_one(
        self, rng: np.random.Generator, name: str
    ) -> None:
        z = rng.standard_normal((50, 5, 8)) * np.arange(1, 6)[:, None]
        method = get_method(name, timesteps=16, reset="subtract", channel_group=2)
        grouped = method.scales(observed(z))["relu"]
        assert grouped.shape == (5, 1)
        assert grouped[0] == grouped[1] < grouped[2] == grouped[3] < grouped[4]
        pair = np.concatenate([z[:, 2], z[:, 3]], axis=1)[:, None]
        assert grouped[2].item() == pytest.approx(scales(name, pair).item(), rel=1e-9)
        assert grouped[4].item() == scales(name, z)[4].item()

    def test_scales_with_the_activations(self, rng: np.random.Generator, name: str) -> None:
        z = rng.standard_normal((50, 3, 4))
        np.testing.assert_allclose(scales(name, z * 1024), scales(name, z) * 1024, rtol=1e-9)

    def test_order_of_the_rows_changes_nothing(self, rng: np.random.Generator, name: str) -> None:
        z = rng.standard_normal((50, 3, 4))
        for per_channel in (True, False):
            np.testing.assert_array_equal(
                scales(name, z, per_channel=per_channel),
                scales(name, rng.permutation(z), per_channel=per_channel),
            )

    def test_dead_channels_get_the_largest_threshold(
        self, rng: np.random.Generator, name: str
    ) -> None:
        z = rng.standard_normal((50, 3, 4)) * np.array([1, 5, 2])[:, None]
        z[:, 2] = -1
        thresholds = scales(name, z).ravel()
        assert thresholds[2] == thresholds[:2].max()

    def test_dead_layers_get_one(self, name: str) -> None:
        dead = np.full((5, 3, 4), -1.0)
        assert scales(name, dead).ravel().tolist() == [1.0] * 3
        assert scales(name, dead, per_channel=False).item() == 1.0

    def test_a_dead_layer_stays_below_its_ceiling(self, name: str) -> None:
        assert scales(name, np.full((5, 3), -1.0), ceiling=0.5).tolist() == [0.5] * 3

    def test_nearly_dead_channels_have_a_floor(self, rng: np.random.Generator, name: str) -> None:
        z = np.abs(rng.standard_normal((50, 2, 4))) * np.array([1e-9, 1])[:, None]
        thresholds = scales(name, z).ravel()
        assert thresholds[0] == FLOOR * thresholds[1]

    def test_a_channel_that_is_active_once_is_not_saturated(self, name: str) -> None:
        z = np.full((2000, 1), -1.0)
        z[17] = 3.0
        assert scales(name, z).item() == pytest.approx(3.0, rel=1e-3)

    def test_stays_below_the_ceiling(self, rng: np.random.Generator, name: str) -> None:
        z = rng.standard_normal((50, 3, 4)) * 10
        assert (scales(name, z, ceiling=6.0) <= 6.0).all()

    def test_configuration_is_json(self, name: str) -> None:
        method = get_method(name, timesteps=16, reset="zero", per_channel=False)
        assert method.name == name
        config = method.to_json()
        assert json.loads(json.dumps(config)) == config
        assert config["per_channel"] is False


def test_a_group_has_channels_and_excludes_one_threshold_a_layer() -> None:
    with pytest.raises(UsageError, match="at least 1 channel, not 0"):
        get_method("max", channel_group=0)
    with pytest.raises(UsageError, match="groups of 4 channels exclude one threshold a layer"):
        get_method("mse", timesteps=8, channel_group=4, per_channel=False)


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        get_method("percentil")
    assert caught.value.message == "unknown calibration method 'percentil'"
    assert caught.value.hint == "did you mean 'percentile'?"
    with pytest.raises(UsageError) as caught:
        get_method("xyz")
    assert caught.value.hint.startswith("known: auto, balance, gauss, max, mse, percentile")


@pytest.mark.parametrize("name", ["auto", "mse", "max"])
def test_percentile_goes_with_its_own_method_only(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_method(name, percentile=99.0, timesteps=8)
    assert caught.value.message == f"method {name!r} has no option 'percentile'"
    assert caught.value.hint == "use --method percentile"
    get_method(name, percentile=None, timesteps=8)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        get_method("max", per_chanel=False)
    assert caught.value.message == "method 'max' has no option 'per_chanel'"
    assert caught.value.hint == "did you mean 'per_channel'?"


def test_registering_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="calibration method 'max' is registered twice"):

        @calibration_method("max")
        @dataclass(frozen=True, kw_only=True)
        class Again(CalibrationMethod):
            def threshold(self, distribution: Distribution) -> float:
                return distribution.maximum
