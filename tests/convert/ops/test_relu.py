import numpy as np
import onnx_models
import pytest

from snnconvert.convert.graph import Relu


@pytest.mark.parametrize("opset", [7, 13, 14, onnx_models.RUNTIME_OPSET])
def test_rectifier(opset: int, rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(onnx_models.one_node("Relu", (3, 4), opset=opset), rng)
    assert isinstance(imported.graph["node"].op, Relu)
    assert imported.graph["node"].tensor == "y"
