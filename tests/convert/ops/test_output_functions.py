import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import OutputFunction
from snnconvert.convert.onnx_import import import_onnx

SOFTMAX = ["Softmax", "LogSoftmax"]


@pytest.mark.parametrize("operator", SOFTMAX)
@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2])
@pytest.mark.parametrize("opset", [13, onnx_models.RUNTIME_OPSET])
def test_along_one_axis(operator: str, axis: int, opset: int, rng: np.random.Generator) -> None:
    model = one_node(operator, (3, 4, 5), opset=opset, axis=axis)
    imported = onnx_models.assert_agrees(model, rng)
    assert isinstance(imported.graph["node"].op, OutputFunction)


@pytest.mark.parametrize("operator", SOFTMAX)
@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 1), (3, 1, 1)])
@pytest.mark.parametrize("opset", [7, 11])
def test_over_all_axes_behind(
    operator: str, axis: int, shape: tuple[int, ...], opset: int, rng: np.random.Generator
) -> None:
    onnx_models.assert_agrees(one_node(operator, shape, opset=opset, axis=axis), rng)


@pytest.mark.parametrize("operator", SOFTMAX)
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_default_axis(operator: str, opset: int, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node(operator, (3, 4), opset=opset), rng)
    imported = onnx_models.assert_agrees(one_node(operator, (10,), opset=opset), rng)
    assert len(imported.graph.nodes) == 2


@pytest.mark.parametrize("opset", [7, 11, 12, 13])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_index_of_the_maximum(
    opset: int, axis: int, keepdims: int, rng: np.random.Generator
) -> None:
    model = one_node("ArgMax", (3, 4), opset=opset, axis=axis, keepdims=keepdims)
    onnx_models.assert_agrees(model, rng)


def test_the_last_of_equal_maxima() -> None:
    model = one_node("ArgMax", (3,), axis=1, select_last_index=1)
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: ArgMax with select_last_index" in text
    assert "why:   of equal values the first is taken" in text


@pytest.mark.parametrize("operator", ["Softmax", "ArgMax"])
def test_over_the_batch(operator: str) -> None:
    text = onnx_models.only_problem(one_node(operator, (3,), axis=0), "batch-axis")
    assert f"{operator} works along the batch axis" in text


def test_an_axis_out_of_range() -> None:
    with pytest.raises(ModelFileError, match="axis 2 is out of range for a value of 2 axes"):
        import_onnx(one_node("Softmax", (3,), axis=2))
