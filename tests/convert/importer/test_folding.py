"""Constants that a file computes: the same values as onnxruntime computes, within bounds."""

from typing import Any

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import RUNTIME_OPSET, Array, float32, int64, make_model, make_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


def added_to_input(
    operator: str, *operands: Any, opset: int = 17, **attributes: Any
) -> onnx.ModelProto:
    """Build ``y = x + operator(constants)``, where x is one number a sample."""
    names = [f"c{i}" if array is not None else "" for i, array in enumerate(operands)]
    constants = {n: np.asarray(a) for n, a in zip(names, operands, strict=True) if a is not None}
    nodes = [
        make_node(operator, names, ["folded"], **attributes),
        make_node("Cast", ["folded"], ["numbers"], to=TensorProto.FLOAT),
        make_node("Reshape", ["numbers", "flat"], ["row"]),
        make_node("Add", ["x", "row"], ["y"]),
    ]
    constants |= {"flat": int64(1, -1)}
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 1]}, constants=constants, opset=opset)
    return model


A = np.array([[1.5, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)
B = np.array([[2.0], [-3.0]], np.float32)
WHOLE = np.array([7, -5, 3], np.int64)
BOTH = [7, 13, RUNTIME_OPSET]

FOLDED: list[tuple[str, tuple[Any, ...], dict[str, Any], list[int]]] = [
    *((name, (A, B), {}, BOTH) for name in ("Add", "Sub", "Mul", "Div")),
    *((name, (A,), {}, BOTH) for name in ("Neg", "Abs", "Floor", "Ceil", "Exp", "Tanh", "Relu")),
    *((name, (np.abs(A),), {}, BOTH) for name in ("Sqrt", "Log", "Reciprocal")),
    *((name, (A, B), {}, [8, 13]) for name in ("Min", "Max", "Sum", "Mean")),
    *((name, (A, B), {}, [9, 13]) for name in ("Less", "Greater")),
    *((name, (A, B), {}, [12, 16]) for name in ("LessOrEqual", "GreaterOrEqual")),
    *((name, (A > 0, B > 0), {}, [7, 13]) for name in ("And", "Or", "Xor")),
    ("Not", (A > 0,), {}, [7, 13]),
    ("Equal", (WHOLE, int64(3)), {}, [7, 11, 13, 19]),
    ("Pow", (np.abs(A), B), {}, [7, 12, 15]),
    ("Mod", (WHOLE, int64(3)), {}, [10, 13]),
    ("Mod", (A, B), {"fmod": 1}, [10, 13]),
    ("Round", (A,), {}, [11, 22]),
    ("Sign", (A,), {}, [9, 13]),
    ("Erf", (A,), {}, [9, 13]),
    ("Div", (WHOLE, int64(2)), {}, [7, 14]),
    ("Where", (A > 0, A, B), {}, [9, 16]),
    ("Clip", (A,), {"min": -1.0, "max": 2.0}, [7]),
    ("Clip", (A, np.float32(-1), np.float32(2)), {}, [11, 13]),
    ("Cast", (A,), {"to": TensorProto.INT64}, [7, 9, 13, 19, 23]),
    ("Cast", (A,), {"to": TensorProto.BOOL}, [7, 13]),
    ("Cast", (WHOLE,), {"to": TensorProto.FLOAT16}, [7, 13]),
    ("Identity", (A,), {}, [7, 14]),
    ("Dropout", (A,), {}, [7, 13]),
    ("Shape", (A,), {}, BOTH),
    ("Size", (A,), {}, BOTH),
    ("Reshape", (A, int64(3, -1)), {}, BOTH),
    ("Flatten", (A,), {"axis": 0}, BOTH),
    ("Transpose", (A,), {}, BOTH),
    ("Transpose", (A[None],), {"perm": [2, 0, 1]}, BOTH),
    ("Squeeze", (A[None],), {"axes": [0]}, [7, 11]),
    ("Squeeze", (A[None], int64(0)), {}, [13, 21]),
    ("Unsqueeze", (A,), {"axes": [1]}, [7, 11]),
    ("Unsqueeze", (A, int64(-1)), {}, [13, 21]),
    ("Slice", (A,), {"starts": [0, 1], "ends": [1, 3]}, [7, 9]),
    ("Slice", (A, int64(2), int64(-9), int64(1), int64(-2)), {}, [10, 13]),
    ("Gather", (A, int64(2, 0)), {"axis": 1}, BOTH),
    ("Concat", (A, B), {"axis": 1}, BOTH),
    ("Expand", (B, int64(2, 2, 4)), {}, [8, 13]),
    ("Tile", (A, int64(2, 3)), {}, [7, 13]),
    ("Pad", (A,), {"pads": [1, 0, 0, 2], "value": 2.0}, [7]),
    ("Pad", (A, int64(1, 0, 0, 2), np.float32(2)), {}, [11, 18, 21]),
    ("ConstantOfShape", (int64(2, 3),), {}, [9, 20, 21]),
    ("Range", (np.float32(1), np.float32(4.5), np.float32(0.5)), {}, [11]),
    ("Range", (np.int64(9), np.int64(-3), np.int64(-4)), {}, [11]),
    *((name, (A,), {"axes": [1]}, [7, 11]) for name in ("ReduceProd", "ReduceMax", "ReduceMin")),
    *((name, (A, int64(1)), {}, [18]) for name in ("ReduceProd", "ReduceMax", "ReduceMean")),
    ("ReduceSum", (A,), {"axes": [0], "keepdims": 0}, [7]),
    ("ReduceSum", (A, int64(0)), {}, [13]),
    ("ReduceL2", (A,), {"axes": [1]}, [7, 13]),
    ("ReduceSumSquare", (A,), {"axes": [1]}, [7, 13]),
    ("CumSum", (A, np.array(1, np.int64)), {}, [11, 14]),
    ("Trilu", (A,), {}, [14]),
    ("MatMul", (A, A.T.copy()), {}, [7, 9, 13]),
    *((name, (A,), {}, [22]) for name in ("Sin", "Cos", "Softplus", "LeakyRelu", "HardSigmoid")),
    ("Softmax", (A,), {"axis": 1}, [13]),
    ("CastLike", (A, B), {}, [15]),
    ("LayerNormalization", (A, B), {}, [17]),
    ("GatherElements", (A, np.array([[2, 0], [1, 1]])), {"axis": 1}, [11]),
    ("GatherND", (A, np.array([[1, 2], [0, 0]])), {}, [11]),
    ("ScatterElements", (A, np.array([[2], [1]]), A[:, :1].copy()), {"axis": 1}, [11, 18]),
    ("ScatterND", (A, np.array([[1, 2], [0, 0]]), A[0, :2].copy()), {}, [11, 18]),
    ("ReduceL1", (A,), {"axes": [1]}, [11]),
    ("Gemm", (A, A, B), {"transB": 1, "alpha": 0.5}, [7, 11, 13]),
    ("OneHot", (WHOLE, np.int64(8), np.array([0.5, 2], np.float32)), {}, [9, 11]),
]  # fmt: skip
CASES = [
    pytest.param(name, operands, attributes, opset, id=f"{name}-{opset}-{position}")
    for position, (name, operands, attributes, opsets) in enumerate(FOLDED)
    for opset in opsets
]


@pytest.mark.parametrize(("name", "operands", "attributes", "opset"), CASES)
def test_like_onnxruntime(
    name: str,
    operands: tuple[Any, ...],
    attributes: dict[str, Any],
    opset: int,
    rng: np.random.Generator,
) -> None:
    model = added_to_input(name, *operands, opset=opset, **attributes)
    imported = onnx_models.assert_agrees(model, rng)
    assert len(imported.graph.nodes) == 2


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantised_weights(
    opset: int, dtype: type, axis: int | None, rng: np.random.Generator
) -> None:
    """QuantizeLinear and DequantizeLinear between an initialiser and its Conv."""
    if opset < 13:
        axis = None
    channels = 1 if axis is None else (4, 3)[axis]
    shape = () if axis is None else (channels,)
    zero: Array = rng.integers(0, 5, shape).astype(dtype)
    scale = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        make_node("QuantizeLinear", ["w", "scale", "zero"], ["q"], **attributes),
        make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], **attributes),
        make_node("Conv", ["x", "d"], ["y"]),
    ]
    constants = {"w": float32(rng, 4, 3, 2, 2), "scale": scale, "zero": zero}
    model = make_model(nodes, {"x": ["N", 3, 5, 5]}, constants=constants, opset=opset)
    onnx_models.assert_agrees(model, rng)


def test_dequantised_without_a_zero_point(rng: np.random.Generator) -> None:
    nodes = [
        make_node("DequantizeLinear", ["q", "scale"], ["d"]),
        make_node("Gemm", ["x", "d"], ["y"]),
    ]
    constants: dict[str, Array] = {
        "q": rng.integers(-128, 127, (5, 3)).astype(np.int8),
        "scale": np.array(0.05, np.float32),
    }
    model = make_model(nodes, {"x": ["N", 5]}, constants=constants)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize(
    "attributes",
    [
        {"value": onnx.numpy_helper.from_array(np.array([1, 2], np.float32))},
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
        {
            "sparse_value": helper.make_sparse_tensor(
                helper.make_tensor("v", TensorProto.FLOAT, [2], [1.0, 2.0]),
                helper.make_tensor("i", TensorProto.INT64, [2], [1, 5]),
                [2, 3],
            )
        },
        {
            "sparse_value": helper.make_sparse_tensor(
                helper.make_tensor("v", TensorProto.FLOAT, [2], [1.0, 2.0]),
                helper.make_tensor("i", TensorProto.INT64, [2, 2], [0, 1, 1, 2]),
                [2, 3],
            )
        },
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_forms_of_constant(attributes: dict[str, Any], rng: np.random.Generator) -> None:
    opset = 11 if "sparse_value" in attributes else 13
    onnx_models.assert_agrees(added_to_input("Constant", opset=opset, **attributes), rng)


def test_sparse_initialisers(rng: np.random.Generator) -> None:
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.5, -2.0])
    indices = helper.make_tensor("", TensorProto.INT64, [2], [1, 4])
    model = make_model([make_node("MatMul", ["x", "w"], ["y"])], {"x": ["N", 2]})
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 3]))
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize(
    ("indices", "dims", "message"),
    [
        ([1, 6], [2, 3], "has indices outside its shape"),
        ([1, -1], [2, 3], "has indices outside its shape"),
        ([1], [2, 3], "has indices that do not fit its values"),
        ([1, 4], [2**31, 2**31], r"claims the shape \[2147483648, 2147483648\], too large to unf"),
    ],
)
def test_sparse_initialisers_that_make_no_sense(
    indices: list[int], dims: list[int], message: str
) -> None:
    sparse = onnx.SparseTensorProto(
        values=helper.make_tensor("w", TensorProto.FLOAT, [2], [1.5, -2.0]),
        indices=helper.make_tensor("", TensorProto.INT64, [len(indices)], indices),
        dims=dims,
    )
    model = make_model([make_node("MatMul", ["x", "w"], ["y"])], {"x": ["N", 2]})
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelFileError, match=message):
        import_onnx(model)


@pytest.mark.parametrize(
    ("operator", "operands", "message"),
    [
        ("ConstantOfShape", (int64(2**20, 2**20),), "1,099,511,627,776 elements"),
        ("ConstantOfShape", (int64(2**62, 2**62, 2**62),), "elements"),
        ("ConstantOfShape", (int64(-1, 3),), "shape [-1, 3] has a negative extent"),
        ("Expand", (np.ones(1, np.float32), int64(2**40)), "1,099,511,627,776 elements"),
        ("Expand", (np.ones(1, np.float32), int64(2**62, 8)), "do not fit Expand"),
        ("Tile", (np.ones(4, np.float32), int64(2**40)), "4,398,046,511,104 elements"),
        ("Range", (np.float32(0), np.float32(1e30), np.float32(1e-3)), "elements"),
        ("Range", (np.float32(0), np.float32(1), np.float32(0)), "Range has a step of zero"),
        ("Range", (np.float32(0), np.float32(np.nan), np.float32(1)), "a bound that is no number"),
        ("Pad", (np.ones(4, np.float32), int64(2**40, 0)), "elements"),
        ("OneHot", (int64(1, 2), np.int64(2**40), np.zeros(2, np.float32)), "elements"),
        (
            "Gather",
            (np.ones((1, 10**6), np.float32), np.zeros(10**4, np.int64)),
            "10,000,000,000 elements",
        ),
        ("Add", (np.ones((10**5, 1), np.float32), np.ones(10**5, np.float32)), "10,000,000,000 e"),
        ("MatMul", (np.ones((10**5, 1), np.float32), np.ones((1, 10**5), np.float32)), "too many"),
        ("Add", (np.ones(2, np.float32), np.ones(3, np.float32)), "do not fit Add"),
        ("Gather", (np.ones(2, np.float32), int64(5)), "do not fit Gather"),
        ("Reshape", (np.ones(2, np.float32), int64(5)), "do not fit Reshape"),
        ("Cast", (np.ones(2, np.float32),), "text is no weight"),
    ],
)
def test_results_out_of_proportion(operator: str, operands: Any, message: str) -> None:
    attributes = {"to": TensorProto.STRING} if operator == "Cast" else {}
    with pytest.raises(ModelFileError) as caught:
        import_onnx(added_to_input(operator, *operands, **attributes))
    assert message in caught.value.message
    assert "operator " + operator in caught.value.where


def test_many_large_constants() -> None:
    """Each is within bounds, together they are not."""
    nodes = [make_node("ConstantOfShape", ["extent"], [f"c{i}"]) for i in range(40)]
    nodes.append(make_node("Sum", ["x", *(f"c{i}" for i in range(40))], ["y"]))
    model = make_model(nodes, {"x": ["N", 2**24]}, constants={"extent": int64(2**24)})
    with pytest.raises(ModelFileError) as caught:
        import_onnx(model)
    assert "the model's constants unfold to more than 1,073," in caught.value.message
    assert "hint:  store large constants in the file" in caught.value.render()


def test_a_constant_without_a_value() -> None:
    with pytest.raises(ModelFileError, match="a Constant has one value, this one has 0"):
        import_onnx(added_to_input("Constant", opset=13))
