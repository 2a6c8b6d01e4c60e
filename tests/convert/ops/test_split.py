import numpy as np
import onnx_models
import pytest
from onnx_models import int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("opset", [7, 11])
def test_extents_as_an_attribute(axis: int, opset: int, rng: np.random.Generator) -> None:
    opset = 11 if axis < 0 else opset
    model = one_node("Split", (6, 6), opset=opset, outputs=3, axis=axis, split=[1, 2, 3])
    imported = onnx_models.assert_agrees(model, rng)
    assert [node.name for node in imported.graph.nodes] == ["x0", "node:0", "node:1", "node:2"]
    assert [node.tensor for node in imported.graph.nodes] == ["x0", "y", "y1", "y2"]


@pytest.mark.parametrize("opset", [13, 18, onnx_models.RUNTIME_OPSET])
def test_extents_as_an_input(opset: int, rng: np.random.Generator) -> None:
    model = one_node("Split", (6, 4), int64(1, 2, 3), opset=opset, outputs=3, axis=1)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("opset", [7, 13])
def test_equal_parts(opset: int, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Split", (6, 4), opset=opset, outputs=3, axis=1), rng)


@pytest.mark.parametrize("extent", [6, 7, 8])
def test_a_number_of_parts(extent: int, rng: np.random.Generator) -> None:
    model = one_node("Split", (extent,), opset=18, outputs=3, axis=1, num_outputs=3)
    onnx_models.assert_agrees(model, rng)


def test_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Split", (4,), outputs=2, fixed_batch=4), "batch-axis")
    assert "Split works along the batch axis" in text


def test_extents_that_do_not_fit() -> None:
    model = one_node("Split", (6,), int64(1, 2), outputs=2, axis=1)
    with pytest.raises(ModelFileError, match=r"split \[1, 2\] does not fit 6 values in 2 parts"):
        import_onnx(model)
    with pytest.raises(ModelFileError, match="7 values do not split into 3 parts"):
        import_onnx(one_node("Split", (7,), outputs=3, axis=1))
    with pytest.raises(ModelFileError, match="num_outputs is not the number of outputs, 2"):
        import_onnx(one_node("Split", (6,), opset=18, outputs=2, axis=1, num_outputs=3))
