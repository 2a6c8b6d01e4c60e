import numpy as np
import onnx_models
import pytest
from onnx import helper
from onnx_models import int64, make_model, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("target", [(1, 3, 4), (3, 4), (4,), (1, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("opset", [8, 13])
def test_targets(target: tuple[int, ...], opset: int, rng: np.random.Generator) -> None:
    model = one_node("Expand", (3, 1), int64(*target), opset=opset, fixed_batch=2)
    onnx_models.assert_agrees(model, rng)


def test_to_the_shape_of_another_value(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1]),
        helper.make_node("Expand", ["m", "s"], ["y"]),
    ]
    assert onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3, 4]}), rng).batch_fixed is None


def test_the_batch_is_repeated() -> None:
    model = one_node("Expand", (3,), int64(5, 3), fixed_batch=1)
    assert "Expand repeats the batch" in onnx_models.only_problem(model, "batch-axis")
    model = one_node("Expand", (3,), int64(2, 1, 3), fixed_batch=1)
    assert "Expand adds axes before the batch" in onnx_models.only_problem(model, "batch-axis")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ((4,), "shapes [3] and [4] (without batch) do not broadcast"),
        ((-1,), "shape [-1] is no shape"),
    ],
)
def test_shapes_that_do_not_fit(target: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Expand", (3,), int64(*target)))
    assert message in caught.value.message


def test_a_shape_that_is_too_large() -> None:
    with pytest.raises(ModelFileError, match="the limit is 67,108,864"):
        import_onnx(one_node("Expand", (1,), int64(2**40)))
