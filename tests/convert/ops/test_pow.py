from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx import TensorProto
from onnx_models import float32, make_model, make_node, one_node


@pytest.mark.parametrize("opset", [7, 12, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_one_exponent(opset: int, exponent: float, rng: np.random.Generator) -> None:
    for constant in (np.float32(exponent), np.full((3, 4), exponent, np.float32)):
        onnx_models.assert_agrees(one_node("Pow", (3, 4), constant, opset=opset), rng)


def test_a_whole_number_as_exponent(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Pow", (3, 4), onnx_models.int64(2), opset=13), rng)


@pytest.mark.parametrize("exponent", [0.5, -1.5])
def test_of_positive_values(exponent: float, rng: np.random.Generator) -> None:
    nodes = [make_node("Exp", ["x"], ["e"]), make_node("Pow", ["e", "c"], ["y"], name="node")]
    constants = {"c": np.float32(exponent)}
    model = make_model(nodes, {"x": ["N", 4]}, constants=constants)
    onnx_models.assert_agrees(model, rng)


def test_a_constant_to_the_power_of_a_value(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Pow", np.float32(2), (3, 4)), rng)


@pytest.mark.parametrize(
    ("operands", "code", "message"),
    [
        (
            [(3, 4), np.array([1, 2, 3, 4], np.float32)],
            "unsupported-attribute",
            "Pow with constants that differ between elements or repeat its base",
        ),
        ([(4,), (4,)], "product-of-activations", "power of two activations"),
    ],
)
def test_refusals(operands: list[Any], code: str, message: str) -> None:
    text = onnx_models.only_problem(one_node("Pow", *operands), code)
    assert message in text and "where: node 'node' (1 of 1), operator Pow" in text


def test_repeated_by_its_exponents(rng: np.random.Generator) -> None:
    model = one_node("Pow", (1, 4), 2 + 0 * float32(rng, 3, 1))
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "Pow with constants that differ between elements or repeat its base" in text


@pytest.mark.parametrize("exponent", [0.5, -1.0])
def test_whole_numbers_are_cut(exponent: float) -> None:
    model = one_node("Pow", (3,), np.array(exponent, np.float32))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: Pow of whole numbers with exponents that are fractions, negative or not" in text
    assert "hint:  cast to float before" in text


def test_a_whole_base_is_cut_too() -> None:
    model = one_node("Pow", np.array(2, np.int64), (3,))
    assert "why:   ONNX cuts" in onnx_models.only_problem(model, "unsupported-attribute")


def test_squares_of_whole_numbers(rng: np.random.Generator) -> None:
    model = one_node("Pow", (3,), np.array(2, np.float32))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx_models.assert_agrees(model, rng)
