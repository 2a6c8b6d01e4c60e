import numpy as np
import onnx_models
import pytest
from onnx import TensorProto
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Add, Affine
from snnconvert.convert.linear import Scale
from snnconvert.convert.onnx_import import import_onnx

BROADCAST = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 4), ()),
    ((3, 4), (3, 1)),
    ((3, 4), (1, 3, 4)),
    ((3, 4), (1, 1, 4)),
    ((1, 4), (3, 1)),
    ((1, 1), (3, 4)),
    ((), (1,)),
]


@pytest.mark.parametrize("operator", ["Add", "Sub"])
@pytest.mark.parametrize("opset", [7, 13, 14, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize(("shape", "constant"), BROADCAST)
def test_constants(
    operator: str,
    opset: int,
    shape: tuple[int, ...],
    constant: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    weights = float32(rng, *constant)
    onnx_models.assert_agrees(one_node(operator, shape, weights, opset=opset), rng)
    onnx_models.assert_agrees(one_node(operator, weights, shape, opset=opset), rng)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Sum", "Mean"])
@pytest.mark.parametrize("second", [(3, 4), (1, 4), (3, 1), (1, 1)])
def test_two_activations(operator: str, second: tuple[int, ...], rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(one_node(operator, (3, 4), second), rng)
    assert isinstance(imported.graph["node"].op, Add)


def test_residual_addition_needs_no_other_node() -> None:
    graph = onnx_models.graph_of(one_node("Add", (3, 4), (3, 4)))
    assert [node.name for node in graph.nodes] == ["x0", "x1", "node"]
    assert graph["node"].inputs == ("x0", "x1")


@pytest.mark.parametrize("operator", ["Sum", "Mean"])
@pytest.mark.parametrize("opset", [8, 13])
def test_any_number_of_operands(operator: str, opset: int, rng: np.random.Generator) -> None:
    operands = [(3, 4), float32(rng, 4), (1, 4), float32(rng, 3, 1)]
    onnx_models.assert_agrees(one_node(operator, *operands, opset=opset), rng)
    onnx_models.assert_agrees(one_node(operator, (3, 4), opset=opset), rng)


@pytest.mark.parametrize("operator", ["Sum", "Mean"])
def test_before_there_was_broadcasting(operator: str, rng: np.random.Generator) -> None:
    operands = [(3, 4), float32(rng, 1, 3, 4), (3, 4)]
    onnx_models.assert_agrees(one_node(operator, *operands, opset=7), rng, batch=1)


def test_negation(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Neg", (3, 4)), rng)


@pytest.mark.parametrize(("operator", "scale"), [("Add", 2.0), ("Sub", 0.0), ("Mean", 1.0)])
def test_a_value_and_itself(operator: str, scale: float, rng: np.random.Generator) -> None:
    model = one_node(operator, (3, 4), (3, 4))
    model.graph.node[0].input[1] = "x0"
    del model.graph.input[1]
    op = onnx_models.assert_agrees(model, rng).graph["node"].op
    assert isinstance(op, Affine)
    scales = [scale for scale in op.operators if isinstance(scale, Scale)]
    assert [float(op.factor) for op in scales] == [scale] * (scale != 1)


def test_the_batch_against_an_inner_axis() -> None:
    text = onnx_models.only_problem(one_node("Add", (3, 4), (4,), fixed_batch=3), "batch-axis")
    assert text.startswith("error: Add of values with different numbers of axes aligns the batch")


def test_a_constant_with_more_axes(rng: np.random.Generator) -> None:
    model = one_node("Add", (4,), float32(rng, 1, 1, 4), fixed_batch=3)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "a constant of 3 axes meets a value of 2: the batch is axis 0 no more" in text


def test_shapes_that_do_not_fit(rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match=r"shapes \[3, 4\] and \[3, 5\] \(without batch\)"):
        import_onnx(one_node("Add", (3, 4), (3, 5)))
    with pytest.raises(ModelFileError, match=r"shapes \[3, 4\] and \[5\]"):
        import_onnx(one_node("Add", (3, 4), float32(rng, 5)))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_constants_that_are_not_finite(number: float) -> None:
    weights = np.array([1, number], np.float32)
    text = onnx_models.only_problem(one_node("Add", (2,), weights), "non-finite-weights")
    kind = "NaN" if np.isnan(number) else "infinity"
    assert text == (
        f"error: initialiser 'x1' of node 'node' holds {kind}  [non-finite-weights]\n"
        "  where: node 'node' (1 of 1), operator Add, opset 17\n"
        "  why:   no threshold and no spike count can be computed from it\n"
        "  hint:  export the model from a checkpoint whose training did not diverge"
    )


def test_small_integers_have_no_opposite() -> None:
    model = one_node("Neg", (3,))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: Neg of int8 values" in text


def test_a_mean_of_whole_numbers() -> None:
    model = one_node("Mean", (3,), (3,))
    for given in model.graph.input:
        given.type.tensor_type.elem_type = TensorProto.INT32
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: Mean of whole numbers" in text
