import numpy as np
import onnx_models
import pytest
from graphs import assert_same_function
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.lower import lower


def assert_exact(model: object, rng: np.random.Generator, populations: int) -> None:
    graph = onnx_models.assert_agrees(model, rng).graph
    assert graph is not None
    lowered = lower(graph)
    assert not lowered.approximations
    assert len(lowered.activations) == populations
    assert_same_function(graph, lowered)


@pytest.mark.parametrize("opset", [7, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("alpha", [None, 0.3, 1.0, 2.0, -0.5])
def test_leaky(opset: int, alpha: float | None, rng: np.random.Generator) -> None:
    attributes = {} if alpha is None else {"alpha": alpha}
    assert_exact(one_node("LeakyRelu", (3, 4), opset=opset, **attributes), rng, 2)


def test_without_a_slope_it_is_a_rectifier(rng: np.random.Generator) -> None:
    assert_exact(one_node("LeakyRelu", (3, 4), alpha=0.0), rng, 1)


@pytest.mark.parametrize("opset", [7, 9, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("slope", [(1,), (4,), (3, 1), (3, 4), (1, 3, 4)])
def test_slopes_of_any_shape(opset: int, slope: tuple[int, ...], rng: np.random.Generator) -> None:
    assert_exact(one_node("PRelu", (3, 4), float32(rng, *slope), opset=opset), rng, 2)


def test_slopes_that_do_not_fit() -> None:
    with pytest.raises(ModelFileError) as caught:
        onnx_models.check_onnx(one_node("PRelu", (1, 4), np.ones((3, 1), np.float32)))
    assert caught.value.message == "slopes of shape [3, 1] do not fit [1, 4]"


def test_slopes_that_are_computed() -> None:
    text = onnx_models.only_problem(one_node("PRelu", (4,), (4,)), "dynamic-weights")
    assert "input 'slope' of PRelu is not constant" in text


@pytest.mark.parametrize("opset", [7, onnx_models.RUNTIME_OPSET])
def test_magnitude(opset: int, rng: np.random.Generator) -> None:
    assert_exact(one_node("Abs", (3, 4), opset=opset), rng, 2)
