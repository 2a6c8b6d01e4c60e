import numpy as np
import pytest

from snnconvert.calibration.histogram import ChannelHistogram
from snnconvert.calibration.methods import get_method
from snnconvert.convert.errors import UsageError


@pytest.mark.parametrize("percentile", [1.5, 50.0, 99.0, 99.9, 100.0])
def test_equals_the_percentile_of_all_activations(
    rng: np.random.Generator, percentile: float
) -> None:
    values = (rng.standard_normal((1, 50_000)) + 1.5).astype(np.float32)
    histogram = ChannelHistogram(1)
    histogram.update(values)
    threshold = get_method("percentile", percentile=percentile).threshold(histogram.channel(0))
    expected = np.percentile(np.maximum(values, 0), percentile)
    assert threshold == pytest.approx(expected or values.max(), rel=1 / 256)


def test_default_is_99_9() -> None:
    assert get_method("percentile").to_json() == {
        "percentile": 99.9,
        "per_channel": True,
        "channel_group": 1,
    }


@pytest.mark.parametrize("percentile", [0.0, -3.0, 100.1, float("nan")])
def test_out_of_range(percentile: float) -> None:
    with pytest.raises(UsageError) as caught:
        get_method("percentile", percentile=percentile)
    assert caught.value.message == f"percentile must be in (0, 100], not {percentile:g}"


@pytest.mark.parametrize("percentile", [0.999, 1.0])
def test_a_share_instead_of_a_percentile_gets_a_hint(percentile: float) -> None:
    with pytest.raises(UsageError) as caught:
        get_method("percentile", percentile=percentile)
    assert caught.value.message == (
        f"percentile {percentile:g} would make nearly every neuron saturate"
    )
    assert caught.value.hint == "percentiles go up to 100: did you mean 99.9?"
