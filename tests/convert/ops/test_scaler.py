from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx_models import make_model, make_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


def scaler(*shape: int, **attributes: Any) -> ModelProto:
    node = make_node("Scaler", ["x"], ["y"], name="node", domain="ai.onnx.ml", **attributes)
    model: ModelProto = make_model([node], {"x": ["N", *shape]}, domains={"ai.onnx.ml": 1})
    return model


@pytest.mark.parametrize(
    ("offset", "scale"), [([0.5, -1.0, 2.0], [2.0, 0.5, -1.0]), ([0.25], [3.0])]
)
def test_features(offset: list[float], scale: list[float], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(scaler(3, offset=offset, scale=scale), rng)


def test_whole_numbers_become_real_ones(rng: np.random.Generator) -> None:
    model = scaler(3, offset=[0.5], scale=[0.25])
    model.graph.node[0].output[0] = "s"
    model.graph.node.append(make_node("Div", ["s", "c"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(3, np.float32), "c"))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx_models.assert_agrees(model, rng)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ModelFileError, match="2 numbers in 'scale' do not fit 3 features"):
        import_onnx(scaler(3, offset=[0.0], scale=[1.0, 2.0]))
    with pytest.raises(ModelFileError, match="0 numbers in 'offset' do not fit 3 features"):
        import_onnx(scaler(3, scale=[1.0]))
    with pytest.raises(ModelFileError, match=r"Scaler of a value of shape \[2, 3\] without batch"):
        import_onnx(scaler(2, 3, offset=[0.0], scale=[1.0]))
