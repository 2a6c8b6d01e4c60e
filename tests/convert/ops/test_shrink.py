import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx_models import one_node

from snnconvert.convert.lower import lower


@pytest.mark.parametrize("attributes", [{}, {"bias": 0.5}, {"bias": 1.0, "lambd": 0.3}])
def test_shrink(attributes: dict[str, float], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Shrink", (3, 40), **attributes), rng)


def test_soft_shrinking_is_exact(rng: np.random.Generator) -> None:
    graph = onnx_models.graph_of(one_node("Shrink", (3, 40), bias=0.5, lambd=0.5))
    lowered = lower(graph)
    assert len(lowered.activations) == 2 and not lowered.approximations
    assert_same_function(graph, lowered)


def test_hard_shrinking_is_not() -> None:
    lowered = lower(onnx_models.graph_of(one_node("Shrink", (3, 40))))
    assert [entry.node for entry in lowered.approximations] == ["node"]


@pytest.mark.parametrize("alpha", [None, 0.0, -0.5, 2.0])
def test_thresholded(alpha: float | None, rng: np.random.Generator) -> None:
    attributes = {} if alpha is None else {"alpha": alpha}
    model = one_node("ThresholdedRelu", (3, 40), **attributes)
    graph = onnx_models.assert_agrees(model, rng).graph
    assert graph is not None
    assert bool(lower(graph).approximations) == (alpha != 0.0)
