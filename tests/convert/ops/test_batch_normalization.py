import numpy as np
import onnx_models
import pytest
from onnx_models import Array, float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.linear import Scale
from snnconvert.convert.onnx_import import import_onnx


def parameters(rng: np.random.Generator, *shape: int) -> list[Array]:
    """Return scale, shift, mean and variance."""
    variance = rng.uniform(0.5, 2, shape).astype(np.float32)
    return [float32(rng, *shape), float32(rng, *shape), float32(rng, *shape), variance]


@pytest.mark.parametrize("opset", [7, 9, 14, 15, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 5, 4), (3, 2, 3, 4)])
def test_each_channel(opset: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    model = one_node(
        "BatchNormalization", shape, *parameters(rng, 3), opset=opset, epsilon=1e-2, momentum=0.8
    )
    op = onnx_models.assert_agrees(model, rng).graph["node"].op
    (scale,) = op.operators
    assert isinstance(scale, Scale)
    assert scale.factor.shape == op.bias.shape == (3, *[1] * (len(shape) - 1))


def test_each_position(rng: np.random.Generator) -> None:
    model = one_node("BatchNormalization", (3, 4), *parameters(rng, 3, 4), opset=7, spatial=0)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize(
    ("opset", "outputs", "attributes"), [(9, 3, {}), (15, 3, {"training_mode": 1})]
)
def test_training(
    opset: int, outputs: int, attributes: dict[str, int], rng: np.random.Generator
) -> None:
    model = one_node(
        *("BatchNormalization", (3, 4), *parameters(rng, 3)),
        opset=opset,
        outputs=outputs,
        **attributes,
    )
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "error: BatchNormalization in training mode" in text
    assert "hint:  export the model in evaluation mode: model.eval()" in text


def test_a_variance_below_zero(rng: np.random.Generator) -> None:
    values = parameters(rng, 3)
    values[3][1] = -1
    model = one_node("BatchNormalization", (3, 4), *values)
    text = onnx_models.only_problem(model, "non-finite-weights")
    assert "the constants of node 'node' give NaN or infinity" in text


def test_parameters_that_do_not_fit(rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match=r"scale of shape \[2\] does not fit an input of sha"):
        import_onnx(one_node("BatchNormalization", (3, 4), *parameters(rng, 2)))
