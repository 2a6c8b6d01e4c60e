"""The wide network that the speed benchmarks make."""

from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from wide_network import SHIFT, Downsampling, FloatArray, smoothed_noise, wide_network

CHANNELS = (4, 4, 8)


@pytest.fixture(scope="module")
def images() -> FloatArray:
    return np.asarray(smoothed_noise(16) / 128 - 1, np.float32)


@pytest.mark.parametrize("downsampling", get_args(Downsampling))
def test_it_halves_the_image_where_the_channels_double(
    images: FloatArray, downsampling: Downsampling
) -> None:
    model = onnx.load_from_string(
        wide_network(images, downsampling=downsampling, channels=CHANNELS)
    )
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in inferred}
    assert [shapes[f"r{i}"] for i in range(3)] == [[4, 32, 32], [4, 32, 32], [8, 16, 16]]
    pools = [node.op_type for node in model.graph.node].count("AveragePool")
    assert pools == (1 if downsampling == "pool" else 0)


def test_every_channel_has_its_mean_and_a_deviation_of_one(
    images: FloatArray,
) -> None:
    model = onnx.load_from_string(wide_network(images, channels=CHANNELS))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("c2"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    logits, last = session.run(None, {"image": images})
    assert logits.shape == (16, 10)
    assert np.allclose(logits.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(logits.std(axis=0), 1, atol=1e-3)
    assert np.allclose(last.std(axis=(0, 2, 3)), 1, atol=1e-3)
    assert abs(last.mean() - SHIFT) < 0.5


def test_it_is_the_same_every_time() -> None:
    noise = np.asarray(smoothed_noise(4) / 128 - 1, np.float32)
    assert np.array_equal(smoothed_noise(4), smoothed_noise(4))
    once, again = (wide_network(noise, channels=(2, 4)) for _ in range(2))
    assert once == again


def test_noise_is_smooth_as_images_are() -> None:
    noise = smoothed_noise(8).astype(float)
    neighbours = np.abs(np.diff(noise, axis=3)).mean()
    strangers = np.abs(noise[..., :16] - noise[..., 16:]).mean()
    assert neighbours < strangers / 2
