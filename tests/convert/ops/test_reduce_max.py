import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx_models import int64, one_node

from snnconvert.convert.graph import MaxPool
from snnconvert.convert.lower import lower

OPERATORS = ["ReduceMax", "ReduceMin"]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("opset", [7, 13, 18])
@pytest.mark.parametrize("axes", [(2, 3), (-1,), (1,), (1, -1), (1, 2, 3)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes(
    operator: str, opset: int, axes: tuple[int, ...], keepdims: int, rng: np.random.Generator
) -> None:
    operands = [(3, 4, 5), int64(*axes)] if opset >= 18 else [(3, 4, 5)]
    attributes = {} if opset >= 18 else {"axes": axes}
    if opset < 11 and min(axes) < 0:
        opset = 11
    model = one_node(operator, *operands, opset=opset, keepdims=keepdims, **attributes)
    graph = onnx_models.assert_agrees(model, rng).graph
    assert any(isinstance(node.op, MaxPool) for node in graph.nodes)
    assert_same_function(graph, lower(graph))


@pytest.mark.parametrize("operator", OPERATORS)
def test_nothing_to_do(operator: str, rng: np.random.Generator) -> None:
    model = one_node(operator, (3, 4), int64(), opset=18, noop_with_empty_axes=1)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_batch(operator: str) -> None:
    text = onnx_models.only_problem(one_node(operator, (3, 4)), "batch-axis")
    assert f"{operator} without axes reduces the batch" in text
    text = onnx_models.only_problem(one_node(operator, (3, 4), int64(0), opset=18), "batch-axis")
    assert f"{operator} works along the batch axis" in text
