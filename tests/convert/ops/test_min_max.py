from typing import Any

import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx_models import float32, make_model, make_node, one_node

from snnconvert.convert.graph import Clip, Curve
from snnconvert.convert.lower import lower

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
    limits = np.array([0.5, np.inf, 0.5, 0.2], np.float32)
    onnx_models.assert_agrees(one_node("Min", (3, 4), limits), rng)
    onnx_models.assert_agrees(one_node("Max", -limits, (3, 4)), rng)
    onnx_models.assert_agrees(one_node("Max", -limits, (3, 1)), rng)
    text = onnx_models.only_problem(one_node("Max", (3, 4), limits), "non-finite-weights")
    assert "error: Max with infinite bounds that no value is beyond" in text
    assert "why:   the result is infinite there, which no threshold gives" in text
    limits = np.array(np.nan, np.float32)
    text = onnx_models.only_problem(one_node("Min", (3, 4), limits), "non-finite-weights")
    assert "a bound of node 'node' is NaN" in text


def test_bounds_that_would_swallow_the_values() -> None:
    limits = np.array([0.5, 1e30, 0.5, 0.5], np.float32)
    text = onnx_models.only_problem(one_node("Min", (3, 4), limits), "unsupported-attribute")
    assert "error: Min with different bounds of up to 1e+30" in text
    assert "hint:  give bounds that no value reaches as one bound for all" in text


@pytest.mark.parametrize("operator", ["Min", "Max"])
@pytest.mark.parametrize(
    "operands",
    [
        [(4,), (4,)],
        [(3, 1), (1, 4)],
        [(3, 4), (3, 4), (3, 1)],
        [(3, 4), np.float32(0.3), (3, 4)],
        [(3, 4), np.array([0.1, -0.2, 0.3, 9], np.float32), (3, 1), np.float32(-0.5)],
    ],
)
def test_several_activations(operator: str, operands: list[Any], rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(one_node(operator, *operands), rng)
    assert imported.graph is not None
    lowered = lower(imported.graph)
    assert not lowered.approximations
    assert_same_function(imported.graph, lowered)


def test_functions_of_one_value(rng: np.random.Generator) -> None:
    nodes = [
        make_node("Tanh", ["x"], ["t"]),
        make_node("Max", ["t", "x"], ["y"], name="node"),
    ]
    imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3]}), rng)
    assert imported.graph is not None
    op = imported.graph["node"].op
    assert isinstance(op, Curve) and str(op.function) == "maximum(tanh(x), x)"


def test_activations_of_different_ranks() -> None:
    text = onnx_models.only_problem(one_node("Max", (3, 4), (4,)), "batch-axis")
    assert "Max of values with different numbers of axes aligns the batch" in text
