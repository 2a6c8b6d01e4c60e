"""Stored tensors of every element type, packed and as lists of numbers."""

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.importer.tensors import check_tensor, tensor_array, tensor_bytes

# FLOAT8E8M0 is left out: it holds powers of two only, no 0.
REAL = sorted(
    set(helper.get_all_tensor_dtypes())
    - {TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128, TensorProto.FLOAT8E8M0}
)


@pytest.mark.parametrize("kind", REAL, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("raw", [False, True])
def test_element_types(kind: int, raw: bool) -> None:
    """0 and 1 are numbers of all of them; three of them do not fill the last packed byte."""
    numbers = np.array([[1, 0, 1]]).astype(helper.tensor_dtype_to_np_dtype(kind))
    if raw:
        tensor = onnx.numpy_helper.from_array(numbers, "t")
        assert len(tensor.raw_data) == tensor_bytes(tensor)
    else:
        tensor = helper.make_tensor("t", kind, (1, 3), numbers.astype(np.float32).reshape(-1))
    np.testing.assert_array_equal(tensor_array(tensor).astype(np.float64), [[1, 0, 1]])
    tensor.dims[1] = 9
    with pytest.raises(ModelFileError, match=r"initialiser 't' has \d+ (bytes|entries), its shape"):
        check_tensor(tensor)


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT16", "BFLOAT16"])
def test_weights_of_other_precisions(kind: str, rng: np.random.Generator) -> None:
    """Stored in few bits and cast, as exporters of large weights do."""
    dtype = helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(kind))
    nodes = [
        onnx_models.make_node("Cast", ["w"], ["single"], to=TensorProto.FLOAT),
        onnx_models.make_node("Conv", ["x", "single"], ["y"]),
    ]
    weight = onnx_models.float32(rng, 3, 2, 3, 3).astype(dtype)
    model = onnx_models.make_model(nodes, {"x": ["N", 2, 5, 5]}, constants={"w": weight})
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize(("kind", "tolerance"), [("DOUBLE", 1e-12), ("FLOAT16", 5e-3)])
def test_a_network_of_another_precision(
    kind: str, tolerance: float, rng: np.random.Generator
) -> None:
    code = TensorProto.DataType.Value(kind)
    dtype = helper.tensor_dtype_to_np_dtype(code)
    constants = {
        name: onnx_models.float32(rng, *shape).astype(dtype)
        for name, shape in {"w": (4, 3), "m": (3, 5), "s": (5,)}.items()
    }
    nodes = [
        onnx_models.make_node("Gemm", ["x", "w"], ["a"]),
        onnx_models.make_node("MatMul", ["a", "m"], ["b"]),
        onnx_models.make_node("Mul", ["s", "b"], ["d"]),
        onnx_models.make_node("Sub", ["s", "d"], ["e"]),
        onnx_models.make_node("Relu", ["e"], ["y"]),
    ]
    model = onnx_models.make_model(nodes, {"x": ["N", 4]}, constants=constants, dtypes={"x": code})
    onnx_models.assert_agrees(model, rng, tolerance=tolerance)


@pytest.mark.parametrize("kind", [TensorProto.COMPLEX64, TensorProto.COMPLEX128])
def test_complex_numbers(kind: int) -> None:
    tensor = TensorProto(name="t", data_type=kind, dims=[2])
    parts = tensor.float_data if kind == TensorProto.COMPLEX64 else tensor.double_data
    parts.extend([1, 2, 3, 4])
    np.testing.assert_array_equal(tensor_array(tensor), [1 + 2j, 3 + 4j])


def test_text() -> None:
    tensor = TensorProto(name="t", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"])
    assert list(tensor_array(tensor)) == ["a", "b"]
    tensor.string_data[0] = b"\xff"
    with pytest.raises(ModelFileError, match="initialiser 't' cannot be read"):
        tensor_array(tensor)


def test_nothing() -> None:
    empty = tensor_array(helper.make_tensor("t", TensorProto.INT64, (0, 4), []))
    assert empty.shape == (0, 4)
