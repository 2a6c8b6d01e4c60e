import numpy as np
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import float32, make_model, make_node, one_node

from snnconvert.convert.graph import Curve
from snnconvert.convert.linear import Scale

OPSETS = [7, 13, 14, onnx_models.RUNTIME_OPSET]
SHAPES = [(3, 4), (4,), (), (3, 1), (1, 3, 4), (1, 1, 1)]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("constant", SHAPES)
def test_products(opset: int, constant: tuple[int, ...], rng: np.random.Generator) -> None:
    weights = float32(rng, *constant)
    onnx_models.assert_agrees(one_node("Mul", (3, 4), weights, opset=opset), rng)
    imported = onnx_models.assert_agrees(one_node("Mul", weights, (3, 4), opset=opset), rng)
    assert isinstance(imported.graph["node"].op.operators[0], Scale)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("constant", SHAPES)
def test_quotients(opset: int, constant: tuple[int, ...], rng: np.random.Generator) -> None:
    weights = 2 + np.abs(float32(rng, *constant))
    onnx_models.assert_agrees(one_node("Div", (3, 4), weights, opset=opset), rng)


def test_the_activation_is_repeated(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Mul", (1, 4), float32(rng, 3, 1)), rng)


def test_two_activations() -> None:
    text = onnx_models.only_problem(one_node("Mul", (4,), (4,)), "product-of-activations")
    assert text == (
        "error: product of two activations  [product-of-activations]\n"
        "  where: node 'node' (1 of 1), operator Mul, opset 17\n"
        "  why:   rates add up at a neuron, they do not multiply\n"
        "  hint:  use a network without gates (squeeze-and-excite, attention), or cut the graph"
    )


@pytest.mark.parametrize("numerator", [(), (1,), (4,), (3, 1)])
def test_a_constant_divided_by_an_activation(
    numerator: tuple[int, ...], rng: np.random.Generator
) -> None:
    imported = onnx_models.assert_agrees(one_node("Div", float32(rng, *numerator), (3, 4)), rng)
    assert imported.graph is not None
    curves = [n.op.function for n in imported.graph.nodes if isinstance(n.op, Curve)]
    assert len(curves) == 1 and str(curves[0]).endswith(" / x")


@pytest.mark.parametrize(("operator", "text"), [("Mul", "x * x"), ("Div", "x / x")])
def test_functions_of_one_value(operator: str, text: str, rng: np.random.Generator) -> None:
    nodes = [make_node(operator, ["x", "x"], ["y"], name="node")]
    imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3]}), rng)
    assert imported.graph is not None
    (curve,) = (n for n in imported.graph.nodes if isinstance(n.op, Curve))
    assert (curve.name, curve.tensor) == ("node", "y")
    assert isinstance(curve.op, Curve) and str(curve.op.function) == text


def test_division_by_an_activation() -> None:
    text = onnx_models.only_problem(one_node("Div", (4,), (4,)), "product-of-activations")
    assert text.startswith("error: division by an activation  [product-of-activations]")
    assert "why:   rates add up at a neuron, they do not divide" in text


def test_division_by_zero() -> None:
    zero = np.array([1, 0, 1, 1], np.float32)
    text = onnx_models.only_problem(one_node("Div", (4,), zero), "non-finite-weights")
    assert "the constants of node 'node' give NaN or infinity" in text
    assert "hint:  look for a variance below zero, a division by zero or an overflow" in text


def test_division_of_whole_numbers() -> None:
    model = one_node("Div", (4,), onnx_models.int64(2))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "Div of whole numbers" in text
    assert "why:   ONNX rounds its result, which is no function that neurons compute" in text


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub"])
@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16])
def test_small_integers_wrap(operator: str, kind: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for operands in ([(3,), np.array(2, dtype)], [np.array(2, dtype), (3,)]):
        model = one_node(operator, *operands)
        model.graph.input[0].type.tensor_type.elem_type = kind
        text = onnx_models.only_problem(model, "unsupported-attribute")
        assert f"error: {operator} of {dtype} values" in text
        assert f"why:   what does not fit {8 * dtype.itemsize} bits wraps around" in text
        assert "hint:  cast to float before" in text


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub"])
def test_large_integers(operator: str, rng: np.random.Generator) -> None:
    model = one_node(operator, (3,), np.array(2, np.int32))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx_models.assert_agrees(model, rng)
