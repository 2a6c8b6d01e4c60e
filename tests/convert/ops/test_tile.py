import numpy as np
import onnx_models
import pytest
from onnx_models import int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 13])
@pytest.mark.parametrize("repeats", [(1, 2, 3), (1, 1, 2), (1, 1, 1)])
def test_repeats(opset: int, repeats: tuple[int, ...], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Tile", (3, 4), int64(*repeats), opset=opset), rng)


def test_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Tile", (3,), int64(2, 1)), "batch-axis")
    assert "Tile repeats the batch" in text


def test_repeats_that_do_not_fit() -> None:
    for repeats in ((1,), (1, 0), (1, -1)):
        with pytest.raises(ModelFileError, match="do not fit a value of 2 axes"):
            import_onnx(one_node("Tile", (3,), int64(*repeats)))
    with pytest.raises(ModelFileError, match="elements a sample, the limit"):
        import_onnx(one_node("Tile", (3,), int64(1, 2**40)))
