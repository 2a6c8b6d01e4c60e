import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.linear import Scale, SumPool
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4), (3, 2, 3, 4)])
@pytest.mark.parametrize("opset", [7, 22])
def test_all_of_space(
    operator: str, shape: tuple[int, ...], opset: int, rng: np.random.Generator
) -> None:
    onnx_models.assert_agrees(one_node(operator, shape, opset=opset), rng)


def test_an_average_is_a_sum_and_one_number() -> None:
    pool, scale = onnx_models.graph_of(one_node("GlobalAveragePool", (3, 5, 4)))[
        "node"
    ].op.operators
    assert isinstance(pool, SumPool) and pool.window.size == (5, 4)
    assert isinstance(scale, Scale) and scale.factor.shape == ()


def test_no_space() -> None:
    with pytest.raises(ModelFileError, match="GlobalMaxPool needs axes behind the channels"):
        import_onnx(one_node("GlobalMaxPool", (3,)))
