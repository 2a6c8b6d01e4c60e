import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.lower import lower


@pytest.mark.parametrize("opset", [7, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize(
    "attributes", [{}, {"alpha": 1 / 6}, {"alpha": -0.5, "beta": 0.1}, {"alpha": 0.0}]
)
def test_hard_sigmoid(opset: int, attributes: dict[str, float], rng: np.random.Generator) -> None:
    model = one_node("HardSigmoid", (3, 4), opset=opset, **attributes)
    graph = onnx_models.assert_agrees(model, rng, spread=4).graph
    assert graph is not None
    lowered = lower(graph)
    assert len(lowered.activations) == 1 and not lowered.approximations
