"""Models whose inputs take whole numbers, from rows to report."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.convert.errors import DataError


@pytest.fixture
def content(rng: np.random.Generator) -> bytes:
    """Pixels of 8 bits, cast and scaled by the model itself."""
    nodes = [
        make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        make_node("Mul", ["f", "s"], ["m"]),
        make_node("Gemm", ["m", "w"], ["h"]),
        make_node("Relu", ["h"], ["r"], name="relu"),
        make_node("Gemm", ["r", "v"], ["y"]),
    ]
    constants = {
        "s": np.array(1 / 255, np.float32),
        "w": rng.standard_normal((6, 8)).astype(np.float32),
        "v": rng.standard_normal((8, 3)).astype(np.float32),
    }
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 6]}, constants=constants)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", 6]))
    return bytes(model.SerializeToString())


def convert(content: bytes, rows: Any, **options: Any) -> snnconvert.SpikingModel:
    return snnconvert.convert_model(content, rows, target="reference", timesteps=16, **options)


def test_whole_rows_convert_and_agree(content: bytes, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (40, 6)).astype(np.uint8)
    snn = convert(content, rows)
    evaluation = snn.evaluate(rows, timesteps=64)
    assert evaluation.to_json()["accuracy"][-1]["agreement"] > 0.9


@pytest.mark.parametrize("options", [{}, {"scale": 1 / 255}])
def test_other_rows_are_named_with_the_type_that_is_needed(
    content: bytes, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    rows = rng.integers(1, 256, (40, 6)) / (1 if options else 256)
    with pytest.raises(DataError, match=r"'x' takes whole numbers \(uint8, 0 to 255\)") as caught:
        convert(content, rows, **options)
    assert caught.value.exit_code == 2


def test_random_rows_are_whole_numbers_too(content: bytes) -> None:
    snn = convert(content, None)
    assert "random samples of whole numbers from 0 to 255 and say little" in snn.warnings[0]
