import numpy as np

from snnconvert.calibration.histogram import ChannelHistogram
from snnconvert.calibration.methods import get_method


def test_the_largest_activation_exactly(rng: np.random.Generator) -> None:
    values = rng.standard_normal((1, 1000)).astype(np.float32)
    histogram = ChannelHistogram(1)
    histogram.update(values)
    assert get_method("max").threshold(histogram.channel(0)) == values.max()
