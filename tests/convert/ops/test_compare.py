import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx_models import make_model, make_node, one_node

from snnconvert.convert.lower import lower


@pytest.mark.parametrize("operator", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
@pytest.mark.parametrize("opset", [12, 16, onnx_models.RUNTIME_OPSET])
def test_a_leaky_rectifier_by_cases(operator: str, opset: int, rng: np.random.Generator) -> None:
    nodes = [
        make_node(operator, ["x", "zero"], ["c"]),
        make_node("Mul", ["x", "tenth"], ["m"]),
        make_node("Where", ["c", "x", "m"], ["y"], name="node"),
    ]
    constants = {"zero": np.float32(0), "tenth": np.float32(0.1)}
    model = make_model(nodes, {"x": ["N", 40]}, constants=constants, opset=opset)
    graph = onnx_models.assert_agrees(model, rng).graph
    assert graph is not None
    lowered = lower(graph)
    assert len(lowered.activations) == 2 and not lowered.approximations
    assert_same_function(graph, lowered)


def test_a_mask_of_truth_values(rng: np.random.Generator) -> None:
    nodes = [
        make_node("Greater", ["x", "zero"], ["c"]),
        make_node("Cast", ["c"], ["m"], to=1),
        make_node("Mul", ["x", "m"], ["y"], name="node"),
    ]
    model = make_model(nodes, {"x": ["N", 40]}, constants={"zero": np.float32(0)})
    graph = onnx_models.assert_agrees(model, rng).graph
    assert graph is not None
    lowered = lower(graph)
    assert len(lowered.activations) == 1 and not lowered.approximations


def test_different_values() -> None:
    text = onnx_models.only_problem(one_node("Greater", (3,), (3,)), "unsupported-operator")
    assert "error: Greater of different values" in text
    assert "why:   it compares activations as truth values; rates are numbers" in text
