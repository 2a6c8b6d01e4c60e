import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Concat
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 11, 13, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_axes(opset: int, axis: int, rng: np.random.Generator) -> None:
    if axis < 0:
        opset = max(opset, 11)
    shapes = [[2, 3], [2, 3]]
    shapes[1][axis - 1 if axis > 0 else axis] = 5
    imported = onnx_models.assert_agrees(one_node("Concat", *shapes, opset=opset, axis=axis), rng)
    assert isinstance(imported.graph["node"].op, Concat)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1), (0, 1, 0), (0, 1, 0, 1)])
def test_constants_become_biases(order: tuple[int, ...], rng: np.random.Generator) -> None:
    parts = [(2, 3), np.tile(float32(rng, 1, 2, 3), (4, 1, 1))]
    model = one_node("Concat", *(parts[part] for part in order), axis=1, fixed_batch=4)
    onnx_models.assert_agrees(model, rng)


def test_alone(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Concat", (2, 3), axis=1), rng)


def test_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Concat", (2,), (2,), axis=0), "batch-axis")
    assert "Concat works along the batch axis" in text


def test_a_constant_for_one_sample_only(rng: np.random.Generator) -> None:
    """Such a file runs one sample at a time, whatever its input says."""
    imported = onnx_models.assert_agrees(one_node("Concat", (2,), float32(rng, 1, 2), axis=1), rng)
    assert imported.batch_fixed == 1
    assert imported.graph.notes == (
        "the file leaves the batch free, but node 'node' takes one sample at a time",
    )
    model = one_node("Concat", (2,), float32(rng, 1, 2), axis=1, fixed_batch=4)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "a constant of shape [1, 2] has no value for each of 4 samples" in text


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ModelFileError, match=r"shapes \[2, 3\], \[2, 4\] \(without batch\) do not"):
        import_onnx(one_node("Concat", (2, 3), (2, 4), axis=1))
    with pytest.raises(ModelFileError, match="axis 3 is out of range for a value of 3 axes"):
        import_onnx(one_node("Concat", (2, 3), (2, 4), axis=3))
