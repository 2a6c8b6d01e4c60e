import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("offset", [None, -1, 0, 2, 9, -9])
def test_triangles(upper: int, offset: int | None, rng: np.random.Generator) -> None:
    operands = [] if offset is None else [np.int64(offset)]
    for shape in ((4, 5), (2, 5, 3)):
        onnx_models.assert_agrees(one_node("Trilu", shape, *operands, upper=upper), rng)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_running_sums(axis: int, exclusive: int, reverse: int, rng: np.random.Generator) -> None:
    for opset in (11, 14):
        model = one_node(
            *("CumSum", (3, 4), np.int32(axis)),
            **{"opset": opset, "exclusive": exclusive, "reverse": reverse},
        )
        onnx_models.assert_agrees(model, rng)


def test_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Trilu", (3,)), "batch-axis")
    assert "Trilu of the batch axis" in text
    text = onnx_models.only_problem(one_node("CumSum", (3,), np.int64(0)), "batch-axis")
    assert "CumSum works along the batch axis" in text


def test_an_axis_that_is_no_number() -> None:
    with pytest.raises(ModelFileError, match="input 'axis' is no single number"):
        import_onnx(one_node("CumSum", (3, 4), np.array([1, 2])))
