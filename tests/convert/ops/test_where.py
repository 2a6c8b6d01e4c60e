import numpy as np
import onnx_models
import pytest
from onnx import TensorProto
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [9, 16])
@pytest.mark.parametrize(
    ("condition", "x", "y"),
    [
        ((4, 5), (4, 5), (4, 5)),
        ((4, 5), (1, 5), (4, 1)),
        ((1, 4, 5), (3, 1, 5), None),
        ((3, 4, 5), (4, 5), None),
        ((5,), None, (4, 5)),
    ],
)
def test_masks(
    opset: int,
    condition: tuple[int, ...],
    x: tuple[int, ...] | None,
    y: tuple[int, ...] | None,
    rng: np.random.Generator,
) -> None:
    """A missing operand is a constant."""
    mask = rng.random(condition) > 0.5
    values = [float32(rng, 4, 1) if v is None else v for v in (x, y)]
    if condition == (3, 4, 5):
        values[0] = (3, 4, 5)
        mask = mask[None]
    onnx_models.assert_agrees(one_node("Where", mask, *values, opset=opset), rng)


def test_the_same_value_twice(rng: np.random.Generator) -> None:
    node = onnx_models.make_node("Where", ["c", "x", "x"], ["y"])
    model = onnx_models.make_model(
        [node], {"x": ["N", 4]}, constants={"c": np.array([True, False, True, True])}
    )
    onnx_models.assert_agrees(model, rng)


def test_a_condition_that_depends_on_the_input() -> None:
    model = one_node("Where", (4,), (4,), (4,))
    model.graph.input[0].type.tensor_type.elem_type = 9
    text = onnx_models.only_problem(model, "unsupported-operator")
    assert "Where with a condition that depends on the input" in text
    assert "hint:  write it with Relu or Clip where it is a bound" in text


def test_no_truth_value(rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match="the condition of Where is no truth value"):
        import_onnx(one_node("Where", float32(rng, 4), (4,), (4,)))


def test_infinity_behind_a_mask() -> None:
    model = one_node("Where", np.array([True, False]), (2,), np.float32(-np.inf))
    text = onnx_models.only_problem(model, "non-finite-weights")
    assert "initialiser 'x2' of node 'node' holds infinity" in text


def test_small_integers_are_chosen_not_added(rng: np.random.Generator) -> None:
    condition = np.array([True, False, True])
    model = one_node("Where", condition, (3,), np.array(7, np.uint8))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx_models.assert_agrees(model, rng)
