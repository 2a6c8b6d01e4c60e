import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError


@pytest.mark.parametrize("opset", [7, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.3}, {"alpha": 2.0}])
def test_elu(opset: int, attributes: dict[str, float], rng: np.random.Generator) -> None:
    model = one_node("Elu", (3, 4), opset=opset, **attributes)
    onnx_models.assert_agrees(model, rng, spread=5)


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.3, "gamma": 2.0}])
def test_selu(attributes: dict[str, float], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Selu", (3, 4), **attributes), rng, spread=5)


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.3}, {"alpha": 2.0}])
def test_celu(attributes: dict[str, float], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Celu", (3, 4), **attributes), rng, spread=5)


def test_celu_divides_by_its_alpha() -> None:
    with pytest.raises(ModelFileError) as caught:
        onnx_models.check_onnx(one_node("Celu", (3,), alpha=0.0))
    assert caught.value.message == "attribute 'alpha' of Celu is 0, by which it divides"
