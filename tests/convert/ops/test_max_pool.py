import numpy as np
import onnx_models
import pytest
from onnx_models import one_node

from snnconvert.convert.graph import MaxPool


@pytest.mark.parametrize("opset", [7, 8, 10, 11, 12, 22, onnx_models.RUNTIME_OPSET])
def test_padding_never_wins(opset: int, rng: np.random.Generator) -> None:
    model = one_node(
        *("MaxPool", (2, 7, 6)),
        **{"opset": opset, "kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]},
    )
    imported = onnx_models.assert_agrees(model, rng)
    assert isinstance(imported.graph["node"].op, MaxPool)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("ceil", [0, 1])
def test_auto_pad(auto_pad: str, ceil: int, rng: np.random.Generator) -> None:
    model = one_node(
        *("MaxPool", (2, 7, 6)),
        **{"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": auto_pad, "ceil_mode": ceil},
    )
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("stride", [2, 3])
def test_a_window_that_reaches_beyond_the_input(
    operator: str, stride: int, rng: np.random.Generator
) -> None:
    """VoVNet on small images: rounding up gives the one window that does not fit."""
    window = {"kernel_shape": [3, 3], "strides": [stride, stride], "ceil_mode": 1}
    onnx_models.assert_agrees(one_node(operator, (2, 2, 4), **window), rng)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_ranks(rank: int, rng: np.random.Generator) -> None:
    model = one_node("MaxPool", (2, *[5] * rank), kernel_shape=[2] * rank, dilations=[2] * rank)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("order", [0, 1])
def test_storage_order_only_concerns_indices(order: int, rng: np.random.Generator) -> None:
    model = one_node("MaxPool", (2, 4, 4), kernel_shape=[2, 2], storage_order=order)
    onnx_models.assert_agrees(model, rng)


def test_a_window_in_the_padding_alone() -> None:
    model = one_node("MaxPool", (1, 2), kernel_shape=[2], dilations=[3], pads=[1, 1])
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "MaxPool with a window that lies in the padding alone" in text
    assert "why:   its maximum is minus infinity, which no rate is" in text


def test_indices() -> None:
    text = onnx_models.only_problem(
        one_node("MaxPool", (2, 4, 4), outputs=2, kernel_shape=[2, 2]), "unsupported-attribute"
    )
    assert text == (
        "error: MaxPool with its output of indices  [unsupported-attribute]\n"
        "  where: node 'node' (1 of 1), operator MaxPool, opset 17\n"
        "  why:   positions of maxima are no rates\n"
        "  hint:  export without return_indices"
    )
