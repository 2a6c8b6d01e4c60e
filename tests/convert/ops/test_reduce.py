import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx import TensorProto
from onnx_models import int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.lower import lower
from snnconvert.convert.onnx_import import import_onnx

OPERATORS = ["ReduceL1", "ReduceMean", "ReduceSum"]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("opset", [7, 11, 13, 18, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("axes", [(2, 3), (-1,), (1,), (1, -1), (1, 2, 3)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes(
    operator: str, opset: int, axes: tuple[int, ...], keepdims: int, rng: np.random.Generator
) -> None:
    as_input = opset >= (13 if operator == "ReduceSum" else 18)
    operands = [(3, 4, 5), int64(*axes)] if as_input else [(3, 4, 5)]
    attributes = {} if as_input else {"axes": axes}
    model = one_node(operator, *operands, opset=opset, keepdims=keepdims, **attributes)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("operator", OPERATORS)
def test_nothing_to_do(operator: str, rng: np.random.Generator) -> None:
    model = one_node(operator, (3, 4), int64(), opset=18, noop_with_empty_axes=1)
    onnx_models.assert_agrees(model, rng)


def test_magnitudes_are_exact(rng: np.random.Generator) -> None:
    graph = onnx_models.graph_of(one_node("ReduceL1", (3, 4), axes=[1]))
    lowered = lower(graph)
    assert not lowered.approximations
    assert_same_function(graph, lowered)


def test_a_mean_of_whole_numbers_is_cut() -> None:
    model = one_node("ReduceMean", (3, 4), axes=[1])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: ReduceMean of whole numbers" in text
    assert "hint:  cast to float before" in text


@pytest.mark.parametrize("operator", OPERATORS)
def test_sum_over_the_batch(operator: str) -> None:
    text = onnx_models.only_problem(one_node(operator, (3, 4)), "batch-axis")
    assert f"{operator} without axes reduces the batch" in text
    assert "hint:  name the axes: all but the first" in text
    text = onnx_models.only_problem(one_node(operator, (3, 4), int64(0), opset=18), "batch-axis")
    assert f"{operator} works along the batch axis" in text


def test_neither_yes_nor_no() -> None:
    with pytest.raises(ModelFileError, match="attribute 'keepdims' is 2, not 0 or 1"):
        import_onnx(one_node("ReduceMean", (3, 4), axes=[1], keepdims=2))


def test_axes_that_do_not_exist() -> None:
    with pytest.raises(ModelFileError, match="axis 3 is out of range for a value of 3 axes"):
        import_onnx(one_node("ReduceMean", (3, 4), axes=[3]))
    with pytest.raises(ModelFileError, match=r"an axis is named twice in \[1, -2\]"):
        import_onnx(one_node("ReduceMean", (3, 4), axes=[1, -2]))
