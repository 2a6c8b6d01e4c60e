import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("perm", [(0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("opset", [7, 13, onnx_models.RUNTIME_OPSET])
def test_the_batch_stays(perm: tuple[int, ...], opset: int, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Transpose", (3, 4, 5), opset=opset, perm=perm), rng)


@pytest.mark.parametrize("attributes", [{}, {"perm": (1, 0, 2)}])
def test_the_batch_moves(attributes: dict[str, tuple[int, ...]]) -> None:
    text = onnx_models.only_problem(one_node("Transpose", (3, 4), **attributes), "batch-axis")
    assert "error: Transpose moves the batch: perm" in text


def test_no_permutation() -> None:
    with pytest.raises(ModelFileError, match=r"perm \[0, 1, 1\] is no permutation of 3 axes"):
        import_onnx(one_node("Transpose", (3, 4), perm=[0, 1, 1]))
