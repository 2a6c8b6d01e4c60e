import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.graph import Clip

OPERATORS = ["Min", "Max"]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("opset", [8, 12, 13, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("constant", [(), (1,), (4,), (3, 1), (1, 3, 4)])
def test_one_constant(
    operator: str, opset: int, constant: tuple[int, ...], rng: np.random.Generator
) -> None:
    limit = float32(rng, *constant) / 4
    onnx_models.assert_agrees(one_node(operator, (3, 4), limit, opset=opset), rng)
    onnx_models.assert_agrees(one_node(operator, limit, (3, 4), opset=opset), rng)


def test_the_same_bound_everywhere_is_one_clip() -> None:
    graph = onnx_models.graph_of(one_node("Min", (3, 4), np.full((3, 4), 0.5, np.float32)))
    assert len(graph.nodes) == 2
    op = graph["node"].op
    assert isinstance(op, Clip) and (op.low, op.high) == (-np.inf, 0.5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_several_constants(operator: str, rng: np.random.Generator) -> None:
    operands = [float32(rng, 4), (3, 4), float32(rng, 3, 1)]
    onnx_models.assert_agrees(one_node(operator, *operands), rng)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_activation_is_repeated(operator: str, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node(operator, (1, 4), float32(rng, 3, 1)), rng)


@pytest.mark.parametrize("operator", OPERATORS)
def test_alone(operator: str, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node(operator, (3, 4)), rng)


def test_infinite_bounds(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Min", (3, 4), np.array(np.inf, np.float32)), rng)
    limits = np.array([0.5, np.inf, 0.5, 0.5], np.float32)
    text = onnx_models.only_problem(one_node("Min", (3, 4), limits), "non-finite-weights")
    assert "the constants of node 'node' give NaN or infinity" in text
    limits = np.array(np.nan, np.float32)
    text = onnx_models.only_problem(one_node("Min", (3, 4), limits), "non-finite-weights")
    assert "a bound of node 'node' is NaN" in text


def test_bounds_that_would_swallow_the_values() -> None:
    limits = np.array([0.5, 1e30, 0.5, 0.5], np.float32)
    text = onnx_models.only_problem(one_node("Min", (3, 4), limits), "unsupported-attribute")
    assert "error: Min with different bounds of up to 1e+30" in text
    assert "hint:  give bounds that no value reaches as one bound for all" in text


def test_two_activations() -> None:
    text = onnx_models.only_problem(one_node("Max", (4,), (4,)), "unsupported-operator")
    assert "Max of 2 activations" in text
    assert "hint:  write max(a, b) as b + Relu(a - b)" in text
