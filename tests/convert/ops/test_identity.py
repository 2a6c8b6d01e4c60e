import numpy as np
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

FLOATS = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16]


@pytest.mark.parametrize("opset", [7, 13, 14, 16, onnx_models.RUNTIME_OPSET])
def test_identity(opset: int, rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(one_node("Identity", (3, 4), opset=opset), rng)
    assert imported.graph.output_names == ("y",)


def test_inside_of_a_network_it_is_no_node(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Dropout", ["b"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"], name="last"),
    ]
    imported = onnx_models.assert_agrees(onnx_models.make_model(nodes, {"x": ["N", 3]}), rng)
    assert [node.name for node in imported.graph.nodes] == ["x", "relu", "last"]
    assert imported.graph["last"].inputs == ("relu",)


@pytest.mark.parametrize("opset", [7, 10])
def test_dropout_with_an_attribute(opset: int, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Dropout", (3, 4), opset=opset, ratio=0.3), rng)


@pytest.mark.parametrize("training", [None, np.array(False)])
@pytest.mark.parametrize("opset", [12, 13, 22])
def test_dropout_with_inputs(
    training: np.ndarray | None, opset: int, rng: np.random.Generator
) -> None:
    operands = ((3, 4), np.array(0.3, np.float32), training)
    onnx_models.assert_agrees(one_node("Dropout", *operands, opset=opset), rng)


def test_dropout_in_training() -> None:
    operands = ((3, 4), np.array(0.3, np.float32), np.array(True))
    text = onnx_models.only_problem(one_node("Dropout", *operands), "unsupported-attribute")
    assert "error: Dropout in training mode" in text
    assert "why:   it draws random numbers" in text
    model = one_node("Dropout", (3,), outputs=2)
    assert "Dropout in training" in onnx_models.only_problem(model, "unsupported-attribute")


@pytest.mark.parametrize("source", [*FLOATS, TensorProto.UINT8, TensorProto.INT32])
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("opset", [7, 9, 13, 19, 25])
def test_cast_to_float(source: int, target: int, opset: int, rng: np.random.Generator) -> None:
    model = one_node("Cast", (3, 4), opset=opset, to=target)
    model.graph.input[0].type.tensor_type.elem_type = source
    half = TensorProto.FLOAT16 in (source, target)
    imported = onnx_models.assert_agrees(model, rng, tolerance=1e-3 if half else 1e-6)
    assert imported.input_dtypes == {"x0": str(helper.tensor_dtype_to_np_dtype(source))}


def test_cast_of_an_index(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["i"], axis=1),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.INT32),
    ]
    onnx_models.assert_agrees(onnx_models.make_model(nodes, {"x": ["N", 5]}), rng)


def test_cast_that_rounds() -> None:
    text = onnx_models.only_problem(
        one_node("Cast", (3,), to=TensorProto.INT64), "unsupported-attribute"
    )
    assert "error: Cast of float32 activations to INT64" in text
    assert "why:   it cuts off fractions, which is no linear map" in text
    text = onnx_models.only_problem(
        one_node("Cast", (3,), to=TensorProto.BOOL), "unsupported-attribute"
    )
    assert "error: Cast of an activation to BOOL" in text


@pytest.mark.parametrize(
    ("source", "target"),
    [("INT64", "INT32"), ("INT32", "UINT8"), ("UINT8", "INT8"), ("INT8", "UINT64")],
)
def test_cast_to_integers_of_another_range(source: str, target: str) -> None:
    model = one_node("Cast", (3,), to=TensorProto.DataType.Value(target))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DataType.Value(source)
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert f"error: Cast of {source.lower()} activations to {target}" in text
    assert "why:   what does not fit its range wraps around" in text
    assert "hint:  cast to float before" in text


@pytest.mark.parametrize(
    ("source", "target"), [("UINT8", "INT32"), ("INT8", "INT64"), ("BOOL", "UINT8")]
)
def test_cast_to_integers_that_hold_all(source: str, target: str, rng: np.random.Generator) -> None:
    model = one_node("Cast", (3,), to=TensorProto.DataType.Value(target))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DataType.Value(source)
    onnx_models.assert_agrees(model, rng)


def test_an_index_that_does_not_fit() -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["i"], axis=1),
        helper.make_node("Cast", ["i"], ["y"], name="node", to=TensorProto.INT8),
    ]
    fitting = onnx_models.make_model(nodes, {"x": ["N", 128]})
    assert import_onnx(fitting).graph is not None
    text = onnx_models.only_problem(
        onnx_models.make_model(nodes, {"x": ["N", 129]}), "unsupported-attribute"
    )
    assert "error: Cast of int64 activations to INT8" in text


def test_cast_to_nothing_known() -> None:
    with pytest.raises(ModelFileError, match="Cast to the unknown element type 99"):
        import_onnx(one_node("Cast", (3,), to=99))
