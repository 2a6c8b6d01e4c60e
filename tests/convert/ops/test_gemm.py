import numpy as np
import onnx_models
import pytest
from onnx import helper
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Add, Affine
from snnconvert.convert.linear import Dense
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 9, 11, 13, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("transposed", [0, 1])
def test_alpha_and_beta(opset: int, transposed: int, rng: np.random.Generator) -> None:
    weight = float32(rng, 6, 5) if transposed else float32(rng, 5, 6)
    model = one_node(
        *("Gemm", (5,), weight, float32(rng, 6)),
        **{"opset": opset, "alpha": 0.5, "beta": -2.0, "transB": transposed},
    )
    imported = onnx_models.assert_agrees(model, rng)
    op = imported.graph["node"].op
    assert isinstance(op, Affine) and isinstance(op.operators[0], Dense)


@pytest.mark.parametrize("shape", [(), (1,), (6,), (1, 1), (1, 6)])
def test_bias_is_broadcast(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    model = one_node("Gemm", (5,), float32(rng, 5, 6), float32(rng, *shape))
    onnx_models.assert_agrees(model, rng)


def test_no_bias(rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Gemm", (5,), float32(rng, 5, 6)), rng)
    model = one_node("Gemm", (5,), float32(rng, 5, 6), float32(rng, 6), beta=0.0)
    imported = onnx_models.assert_agrees(model, rng)
    assert imported.graph["node"].op.bias is None


def test_bias_of_each_row_of_a_fixed_batch(rng: np.random.Generator) -> None:
    rows = np.tile(float32(rng, 1, 6), (4, 1))
    model = one_node("Gemm", (5,), float32(rng, 5, 6), rows, fixed_batch=4)
    assert onnx_models.assert_agrees(model, rng).batch_fixed == 4
    model = one_node("Gemm", (5,), float32(rng, 5, 6), float32(rng, 4, 6), fixed_batch=4)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "a constant of shape [4, 6] differs along the batch" in text


def test_bias_that_is_an_activation(rng: np.random.Generator) -> None:
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], name="node", alpha=2.0, beta=3.0)
    model = onnx_models.make_model(
        [node], {"x": ["N", 5], "c": ["N", 6]}, constants={"w": float32(rng, 5, 6)}
    )
    imported = onnx_models.assert_agrees(model, rng)
    assert isinstance(imported.graph["node"].op, Add)


def test_sum_over_the_batch(rng: np.random.Generator) -> None:
    model = one_node("Gemm", (5,), float32(rng, 3, 6), transA=1, fixed_batch=3)
    text = onnx_models.only_problem(model, "batch-axis")
    assert text.startswith("error: Gemm with transA sums over the batch  [batch-axis]")
    assert "why:   each sample is run through the spiking network on its own" in text
    model = one_node("Gemm", float32(rng, 5, 3), (6,), fixed_batch=3)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "Gemm with a constant on the left sums over the batch" in text


def test_shapes_that_do_not_fit(rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match=r"weights of shape \[6, 4\] \(outputs, inputs\)"):
        import_onnx(one_node("Gemm", (5,), float32(rng, 4, 6)))
    with pytest.raises(ModelFileError, match=r"do not fit an input of shape \[5, 5\]"):
        import_onnx(one_node("Gemm", (5, 5), float32(rng, 5, 6)))
    with pytest.raises(ModelFileError, match=r"shapes \[6\] and \[4\] \(without batch\) do not"):
        import_onnx(one_node("Gemm", (5,), float32(rng, 5, 6), float32(rng, 4)))
