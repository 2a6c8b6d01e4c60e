import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError, UnsupportedModelError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 9, 13, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize(
    ("shape", "weight"),
    [
        ((5,), (5, 6)),
        ((5,), (5,)),
        ((4, 5), (5, 6)),
        ((4, 5), (5,)),
        ((3, 4, 5), (5, 6)),
        ((4, 5), (1, 5, 6)),
        ((3, 4, 5), (1, 1, 5, 2)),
    ],
)
def test_constant_on_the_right(
    opset: int, shape: tuple[int, ...], weight: tuple[int, ...], rng: np.random.Generator
) -> None:
    onnx_models.assert_agrees(one_node("MatMul", shape, float32(rng, *weight), opset=opset), rng)


@pytest.mark.parametrize(
    ("weight", "shape"),
    [((6, 4), (4, 5)), ((4,), (4, 5)), ((6, 4), (3, 4, 5)), ((1, 6, 4), (4, 5))],
)
def test_constant_on_the_left(
    weight: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    onnx_models.assert_agrees(one_node("MatMul", float32(rng, *weight), shape), rng)


def test_two_activations() -> None:
    text = onnx_models.only_problem(one_node("MatMul", (4, 5), (5, 4)), "product-of-activations")
    assert text == (
        "error: matrix product of two activations  [product-of-activations]\n"
        "  where: node 'node' (1 of 1), operator MatMul, opset 17\n"
        "  why:   rates add up at a neuron, they do not multiply\n"
        "  hint:  use a network without attention, or cut the graph"
    )


@pytest.mark.parametrize(
    ("shape", "weight"),
    [
        ((2, 3, 4), (2, 4, 5)),
        ((1, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (1, 2, 4, 5)),
        ((2, 6, 3, 4), (6, 4, 5)),
        ((2, 6, 3, 4), (2, 1, 4, 5)),
        ((2, 1, 3, 4), (2, 6, 4, 5)),
    ],
)
def test_a_stack_of_matrices(
    shape: tuple[int, ...], weight: tuple[int, ...], rng: np.random.Generator
) -> None:
    model = one_node("MatMul", shape, float32(rng, *weight))
    onnx_models.assert_agrees(model, rng)
    turned = (*weight[:-2], weight[-1], weight[-2])
    left = one_node("MatMul", float32(rng, *turned), (*shape[:-2], shape[-1], shape[-2]))
    onnx_models.assert_agrees(left, rng)


def test_a_stack_that_does_not_fit(rng: np.random.Generator) -> None:
    for weight in ((3, 4, 5), (2, 5, 4), (2, 2, 4, 5)):
        with pytest.raises((ModelFileError, UnsupportedModelError), match="a constant of shape"):
            import_onnx(one_node("MatMul", (2, 3, 4), float32(rng, *weight), fixed_batch=2))


def test_the_batch_is_summed_over_or_moved(rng: np.random.Generator) -> None:
    model = one_node("MatMul", float32(rng, 6, 3), (5,), fixed_batch=3)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "MatMul with a constant on the left sums over the batch" in text
    model = one_node("MatMul", (5,), float32(rng, 1, 5, 6), fixed_batch=3)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "a constant of 3 axes moves the batch of its operand" in text
    model = one_node("MatMul", (), float32(rng, 3), fixed_batch=3)
    assert "MatMul sums over the batch" in onnx_models.only_problem(model, "batch-axis")


def test_shapes_that_do_not_fit(rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match=r"constant of shape \[4, 6\] does not fit a value of"):
        import_onnx(one_node("MatMul", (5,), float32(rng, 4, 6)))
    with pytest.raises(ModelFileError, match=r"constant of shape \[6, 5\] does not fit a value of"):
        import_onnx(one_node("MatMul", float32(rng, 6, 5), (4, 5)))
    with pytest.raises(ModelFileError, match="a single number is no matrix"):
        import_onnx(one_node("MatMul", (5,), float32(rng)))
