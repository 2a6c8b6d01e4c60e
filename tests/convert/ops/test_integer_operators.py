"""Operators on integers: the result is an integer tensor, compared exactly with onnxruntime's."""

from typing import Any

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import NodeProto
from onnx_models import Array, make_model, make_node, only_problem

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import check_onnx, import_onnx

MICROSOFT = "com.microsoft"


def quantised_input(name: str) -> NodeProto:
    """Return the node that makes integers `name`_q of an input; see `scales`."""
    node: NodeProto = make_node("QuantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_q"])
    return node


def scales(name: str, scale: Any, zero_point: Any) -> dict[str, Array]:
    return {f"{name}_s": np.asarray(scale, np.float32), f"{name}_z": np.asarray(zero_point)}


def operator_model(
    node: NodeProto,
    shape: tuple[int, ...],
    constants: dict[str, Array],
    *,
    inputs: tuple[str, ...] = ("x",),
) -> onnx.ModelProto:
    """Build inputs -> QuantizeLinear -> node with the output y."""
    quantisers = [quantised_input(name) for name in inputs]
    known: dict[str, Array] = scales("y", 0.17, np.uint8(90))
    for i, name in enumerate(inputs):
        known |= scales(name, 0.0213 + 0.01 * i, np.uint8(100 + 20 * i))
    known |= constants
    used = {name for n in (*quantisers, node) for name in n.input}
    model: onnx.ModelProto = make_model(
        [*quantisers, node],
        {name: ["N", *shape] for name in inputs},
        constants={name: array for name, array in known.items() if name in used},
        domains={MICROSOFT: 1},
    )
    return model


X, Y = ["x_q", "x_s", "x_z"], ["y_s", "y_z"]
W = ["w", "w_s", "w_z"]


def int8(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-127, 128, shape).astype(np.int8)


def test_qlinear_conv(rng: np.random.Generator) -> None:
    node = make_node(
        "QLinearConv", [*X, *W, *Y, "b"], ["y"], name="node", pads=[1, 0, 1, 0], group=2
    )
    constants = {"w": int8(rng, 4, 2, 3, 3), "b": rng.integers(-900, 900, 4).astype(np.int32)}
    constants |= scales("w", rng.uniform(0.003, 0.01, 4), np.zeros(4, np.int8))
    onnx_models.assert_agrees(operator_model(node, (4, 6, 5), constants), rng)


def test_qlinear_conv_without_bias_and_with_one_scale(rng: np.random.Generator) -> None:
    node = make_node("QLinearConv", [*X, *W, *Y], ["y"], name="node", auto_pad="SAME_UPPER")
    weights = rng.integers(0, 255, (4, 2, 2, 2)).astype(np.uint8)
    constants = {"w": weights} | scales("w", 0.01, np.uint8(130))
    onnx_models.assert_agrees(operator_model(node, (2, 6, 5), constants), rng)


def test_qlinear_matmul(rng: np.random.Generator) -> None:
    node = make_node("QLinearMatMul", [*X, *W, *Y], ["y"], name="node")
    constants = {"w": int8(rng, 6, 3)} | scales("w", 0.02, np.int8(5))
    onnx_models.assert_agrees(operator_model(node, (4, 6), constants), rng)


def test_qlinear_matmul_with_a_scale_a_column(rng: np.random.Generator) -> None:
    node = make_node("QLinearMatMul", [*X, *W, *Y], ["y"], name="node")
    constants = {"w": int8(rng, 6, 3)}
    constants |= scales("w", rng.uniform(0.01, 0.02, 3), np.zeros(3, np.int8))
    onnx_models.assert_agrees(operator_model(node, (6,), constants), rng)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("rounded", [True, False])
def test_qgemm(transposed: int, rounded: bool, rng: np.random.Generator) -> None:
    """Its bias of integers, and its output of floats where no scale is given."""
    ends = Y if rounded else []
    node = make_node(
        *("QGemm", [*X, *W, "b", *ends], ["y"]),
        name="node", domain=MICROSOFT, transB=transposed,
    )  # fmt: skip
    weights = int8(rng, 6, 3)
    constants = {"w": weights.T if transposed else weights}
    constants |= scales("w", rng.uniform(0.01, 0.02, 3), np.zeros(3, np.int8))
    constants["b"] = rng.integers(-900, 900, 3).astype(np.int32)
    onnx_models.assert_agrees(operator_model(node, (6,), constants), rng)


@pytest.mark.parametrize("name", ["QLinearAdd", "QLinearMul"])
def test_elementwise_with_a_constant(name: str, rng: np.random.Generator) -> None:
    node = make_node(name, [*X, *W, *Y], ["y"], name="node", domain=MICROSOFT)
    constants = {"w": rng.integers(0, 255, (1, 3, 1, 1)).astype(np.uint8)}
    constants |= scales("w", 0.0171, np.uint8(30))
    onnx_models.assert_agrees(operator_model(node, (3, 4, 4), constants), rng)


def test_sum_of_two(rng: np.random.Generator) -> None:
    node = make_node(
        "QLinearAdd", [*X, "w_q", "w_s", "w_z", *Y], ["y"], name="node", domain=MICROSOFT
    )
    onnx_models.assert_agrees(operator_model(node, (3, 4, 4), {}, inputs=("x", "w")), rng)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("QLinearAveragePool", {"kernel_shape": [3, 2], "pads": [1, 1, 0, 0], "strides": [2, 1]}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "ceil_mode": 1, "count_include_pad": 1}),
        ("QLinearGlobalAveragePool", {}),
        ("QLinearLeakyRelu", {"alpha": 0.1}),
    ],
)
def test_functions_of_one(name: str, attributes: dict[str, Any], rng: np.random.Generator) -> None:
    node = make_node(name, [*X, *Y], ["y"], name="node", domain=MICROSOFT, **attributes)
    onnx_models.assert_agrees(
        operator_model(node, (3, 5, 7), scales("y", 0.0317, np.uint8(90))), rng
    )


def test_concatenation(rng: np.random.Generator) -> None:
    node = make_node(
        *("QLinearConcat", [*Y, *X, "w_q", "w_s", "w_z"], ["y"]),
        name="node", domain=MICROSOFT, axis=1,
    )  # fmt: skip
    onnx_models.assert_agrees(operator_model(node, (3, 4, 4), {}, inputs=("x", "w")), rng)


def test_conv_integer(rng: np.random.Generator) -> None:
    node = make_node("ConvInteger", ["x_q", "w", "x_z", "w_z"], ["y"], name="node", pads=[1] * 4)
    weights = rng.integers(0, 255, (4, 2, 3, 3)).astype(np.uint8)
    constants = {"w": weights, "w_z": np.array(120, np.uint8)}
    onnx_models.assert_agrees(operator_model(node, (2, 5, 5), constants), rng)


@pytest.mark.parametrize("zero_point", [np.int8(3), np.array([1, -2, 7], np.int8)])
def test_matmul_integer(zero_point: Any, rng: np.random.Generator) -> None:
    node = make_node("MatMulInteger", ["x_q", "w", "x_z", "w_z"], ["y"], name="node")
    constants = {"w": int8(rng, 6, 3), "w_z": np.asarray(zero_point)}
    onnx_models.assert_agrees(operator_model(node, (6,), constants), rng)


def test_matmul_integer_without_zero_points(rng: np.random.Generator) -> None:
    node = make_node("MatMulInteger", ["x_q", "w"], ["y"], name="node")
    onnx_models.assert_agrees(operator_model(node, (6,), {"w": int8(rng, 6, 3)}), rng)


def test_no_value_on_the_way_claims_a_tensor_of_the_file(rng: np.random.Generator) -> None:
    node = make_node("QLinearConv", [*X, *W, *Y], ["y"], name="node")
    constants = {"w": int8(rng, 4, 2, 2, 2)} | scales("w", 0.01, np.int8(0))
    graph = onnx_models.graph_of(operator_model(node, (2, 6, 5), constants))
    tensors = {n.name: n.tensor for n in graph.nodes if n.name.startswith("node")}
    assert tensors == {
        "node/operand0": None, "node/Conv": None, "node/levels": None, "node": "y"
    }  # fmt: skip


class TestRefusals:
    def test_channels_last(self) -> None:
        node = make_node(
            *("QLinearGlobalAveragePool", [*X, *Y], ["y"]),
            name="node", domain=MICROSOFT, channels_last=1,
        )  # fmt: skip
        text = only_problem(operator_model(node, (3, 4, 4), {}), "unsupported-attribute")
        assert "pooling of channels in the last axis" in text
        assert "convert the model as its quantiser wrote it" in text

    def test_zero_points_of_rows(self, rng: np.random.Generator) -> None:
        node = make_node("MatMulInteger", ["x_q", "w", "zs"], ["y"], name="node")
        constants = {"w": int8(rng, 6, 3), "zs": np.arange(4, dtype=np.uint8)}
        text = only_problem(operator_model(node, (4, 6), constants), "unsupported-attribute")
        assert "zero points of shape [4]" in text

    def test_inputs_that_are_no_triples(self) -> None:
        node = make_node("QLinearConcat", [*Y, *X, "x_q"], ["y"], domain=MICROSOFT, axis=1)
        with pytest.raises(ModelFileError, match="its 6 inputs are no scale, zero point and"):
            import_onnx(operator_model(node, (3, 4, 4), {}))

    @pytest.mark.parametrize("name", ["QLinearAdd", "QLinearMul"])
    def test_two_constants(self, name: str) -> None:
        nodes = [
            make_node(name, [*W, *W, *Y], ["sum"], name="node", domain=MICROSOFT),
            make_node("DequantizeLinear", ["sum", *Y], ["r"]),
            make_node("Add", ["x", "r"], ["y"]),
        ]
        constants = {"w": np.ones(3, np.int8)} | scales("w", 0.5, np.int8(0))
        constants |= scales("y", 0.5, np.int8(0))
        model = make_model(nodes, {"x": ["N", 3]}, constants=constants, domains={MICROSOFT: 1})
        (problem,) = check_onnx(model).problems
        assert problem.code == "unsupported-operator"
        assert "of the constant" in problem.message
        assert "fold the file's constants before" in problem.hint

    def test_a_missing_input(self) -> None:
        node = make_node("QLinearAdd", X, ["y"], domain=MICROSOFT)
        with pytest.raises(ModelFileError, match="input 'number 4' is missing"):
            import_onnx(operator_model(node, (3, 4, 4), {}))

    def test_a_bias_that_does_not_fit(self, rng: np.random.Generator) -> None:
        node = make_node("QLinearConv", [*X, *W, *Y, "b"], ["y"])
        constants = {"w": int8(rng, 4, 2, 2, 2), "b": np.zeros(3, np.int32)}
        constants |= scales("w", np.ones(4), np.zeros(4, np.int8))
        with pytest.raises(ModelFileError, match=r"a bias of shape \[3\] does not fit 4 scales"):
            import_onnx(operator_model(node, (2, 6, 5), constants))
