from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError


@pytest.mark.parametrize("attributes", [{}, {"approximate": "none"}, {"approximate": "tanh"}])
def test_gelu(attributes: dict[str, Any], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Gelu", (3, 4), opset=20, **attributes), rng, spread=3)


def test_gelu_of_another_form() -> None:
    with pytest.raises(ModelFileError) as caught:
        onnx_models.check_onnx(one_node("Gelu", (3,), opset=20, approximate="sigmoid"))
    assert caught.value.message == "attribute 'approximate' is 'sigmoid', not 'none' or 'tanh'"


@pytest.mark.parametrize("attributes", [{}, {"alpha": 1.702}])
def test_swish(attributes: dict[str, Any], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Swish", (3, 4), opset=24, **attributes), rng, spread=3)
