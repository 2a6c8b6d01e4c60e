import numpy as np
import onnx_models
import pytest
from onnx_models import float32, int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [11, 13, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize(
    "positions", [np.int64(2), int64(0, -1, 1, 1), np.array([[0, 1], [2, 0]], np.int32)]
)
def test_positions(opset: int, axis: int, positions: np.ndarray, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Gather", (3, 4), positions, opset=opset, axis=axis), rng)


def test_before_negative_positions(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Gather", (3, 4), int64(2, 0), opset=7, axis=1), rng)


def test_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Gather", (3,), int64(0), fixed_batch=2), "batch-axis")
    assert "Gather works along the batch axis" in text


def test_an_embedding(rng: np.random.Generator) -> None:
    model = one_node("Gather", float32(rng, 10, 4), (3,))
    model.graph.input[0].type.tensor_type.elem_type = 7
    text = onnx_models.only_problem(model, "unsupported-operator")
    assert "Gather from a constant at positions that the input gives" in text


def test_positions_that_depend_on_the_input() -> None:
    model = one_node("Gather", (3,), (3,), axis=1)
    model.graph.input[1].type.tensor_type.elem_type = 7
    text = onnx_models.only_problem(model, "dynamic-weights")
    assert "why:   the wiring of a spiking network is fixed" in text


def test_positions_outside() -> None:
    with pytest.raises(ModelFileError, match="a position of Gather is outside of an axis of 3"):
        import_onnx(one_node("Gather", (3,), int64(3), axis=1))
