import numpy as np
import onnx_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Affine
from snnconvert.convert.linear import Convolution
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 11, 17, 22, onnx_models.RUNTIME_OPSET])
def test_bias_and_padding(opset: int, rng: np.random.Generator) -> None:
    model = one_node(
        "Conv", (3, 8, 7), float32(rng, 4, 3, 3, 2), float32(rng, 4), opset=opset, pads=[1, 0, 2, 1]
    )
    imported = onnx_models.assert_agrees(model, rng)
    op = imported.graph["node"].op
    assert isinstance(op, Affine) and isinstance(op.operators[0], Convolution)
    assert op.bias is not None
    assert op.operators[0].weight.dtype == op.bias.dtype == np.float64


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_ranks_and_groups(rank: int, groups: int, rng: np.random.Generator) -> None:
    weight = float32(rng, 8, 4 // groups, *[2] * rank)
    onnx_models.assert_agrees(one_node("Conv", (4, *[5] * rank), weight, group=groups), rng)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_auto_pad(auto_pad: str, stride: int, size: int, rng: np.random.Generator) -> None:
    weight = float32(rng, 2, 1, size, size)
    model = one_node("Conv", (1, 6, 7), weight, auto_pad=auto_pad, strides=[stride, stride])
    onnx_models.assert_agrees(model, rng)


axes = st.tuples(  # extent, kernel, stride, dilation, padding before and behind
    st.integers(5, 9), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2),
    st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(axes, min_size=1, max_size=2), st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_any_geometry(geometry: list[tuple[int, ...]], groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    extents, sizes, strides, dilations, begins, ends = zip(*geometry, strict=True)
    model = one_node(
        *("Conv", (2, *extents), float32(rng, 4, 2 // groups, *sizes), float32(rng, 4)),
        **{"strides": strides, "dilations": dilations, "pads": (*begins, *ends), "group": groups},
    )
    onnx_models.assert_agrees(model, rng)


def test_half_precision(rng: np.random.Generator) -> None:
    weight = float32(rng, 2, 1, 3, 3).astype(np.float16)
    model = one_node("Conv", (1, 5, 5), weight)
    model.graph.input[0].type.tensor_type.elem_type = 10
    onnx_models.assert_agrees(model, rng, tolerance=5e-3)


def test_weights_that_depend_on_the_input() -> None:
    text = onnx_models.only_problem(one_node("Conv", (1, 5, 5), (1, 3, 3)), "dynamic-weights")
    assert text == (
        "error: input 'W' of Conv is not constant  [dynamic-weights]\n"
        "  where: node 'node' (1 of 1), operator Conv, opset 17\n"
        "  why:   a spiking synapse needs fixed weights\n"
        "  hint:  make it an initialiser of the file"
    )


def test_automatic_padding_with_dilation(rng: np.random.Generator) -> None:
    weight = float32(rng, 1, 1, 3)
    model = one_node("Conv", (1, 9), weight, auto_pad="SAME_UPPER", dilations=[2])
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "auto_pad SAME_UPPER with dilations [2]" in text
    assert "hint:  write the padding out as pads" in text


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "message"),
    [
        ((3, 5, 5), (4, 2, 3, 3), {}, "3 channels in 1 groups do not fit weights of shape"),
        ((3, 5, 5), (4, 1, 3, 3), {"group": 3}, "3 channels in 3 groups"),
        ((3, 5, 5), (4, 3, 3, 3), {"group": 0}, "3 channels in 0 groups"),
        ((3, 5), (4, 3, 3, 3), {}, "do not fit an input of shape [3, 5] without batch"),
        ((3, 5, 5), (4, 3, 3, 3), {"kernel_shape": [3, 2]}, "kernel_shape [3, 2] does not fit"),
        ((3, 5, 5), (4, 3, 3, 3), {"strides": [0, 1]}, "strides [0, 1] do not fit a window"),
        ((3, 5, 5), (4, 3, 3, 3), {"strides": [1]}, "strides [1] do not fit a window of 2 axes"),
        ((3, 5, 5), (4, 3, 3, 3), {"dilations": [-1, 1]}, "dilations [-1, 1] do not fit"),
        ((3, 5, 5), (4, 3, 3, 3), {"dilations": [9, 9]}, "window of extent 19 does not fit 5"),
        ((3, 5, 5), (4, 3, 3, 3), {"pads": [1, 1]}, "pads [1, 1] do not fit a window of 2 axes"),
        ((3, 5, 5), (4, 3, 3, 3), {"pads": [-1, 0, 0, 0]}, "pads [-1, 0, 0, 0] do not fit"),
        ((3, 5, 5), (4, 3, 3, 3), {"pads": [2**62, 0, 0, 0]}, "do not fit a window of 2 axes"),
        ((3, 5, 5), (4, 3, 3, 3), {"pads": [2**31 - 1, 0, 0, 0]}, "elements a sample, the limit"),
        ((3, 5, 5), (4, 3, 3, 3), {"auto_pad": "SAME"}, "auto_pad 'SAME' is none of NOTSET, SAME"),
    ],
)
def test_numbers_that_do_not_fit(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    attributes: dict[str, object],
    message: str,
    rng: np.random.Generator,
) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Conv", shape, float32(rng, *weight), **attributes))
    assert message in caught.value.message
    assert caught.value.where == "node 'node' (1 of 1), operator Conv, opset 17"


def test_bias_that_does_not_fit(rng: np.random.Generator) -> None:
    model = one_node("Conv", (3, 5, 5), float32(rng, 4, 3, 3, 3), float32(rng, 3))
    with pytest.raises(ModelFileError, match=r"bias of shape \[3\] does not fit 4 channels"):
        import_onnx(model)
