"""A network that somebody else trained, on real images: not one spike differs."""

from pathlib import Path

import numpy as np
import pytest

import snnconvert
from snnconvert.backends.base import get_backend


@pytest.mark.slow
def test_spike_trains_on_mnist(test_data: Path) -> None:
    """20 images, 64 steps, every population, entry by entry, run by nengo.Simulator itself."""
    calibration = np.load(test_data / "data/mnist_calibration.npz")["x"]
    images = np.load(test_data / "data/mnist_test.npz")["x"][:20]
    snn = snnconvert.convert_model(
        test_data / "models/mnist_avgpool_biasfree.onnx",
        calibration[:64],
        target="nengo",
        timesteps=64,
        scale=1 / 255,
    )
    x = snn.preprocessing.apply(images, channel_axis=0)
    ours = get_backend("nengo").emit(snn).run(x, 64, record=("*",))
    theirs = get_backend("reference").emit(snn).run(x, 64, record=("*",))
    assert len(theirs.spikes) == 4
    for name, train in theirs.spikes.items():
        assert train.shape[:2] == (64, 20) and train.any()
        assert int((ours.spikes[name] != train).sum()) == 0, name
    np.testing.assert_array_equal(ours.logits, theirs.logits)
