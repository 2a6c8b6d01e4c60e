import itertools

import numpy as np
import onnx_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Affine
from snnconvert.convert.linear import Convolution, TransposedConvolution
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 11, 22])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_ranks_and_groups(opset: int, rank: int, groups: int, rng: np.random.Generator) -> None:
    weight, bias = float32(rng, 4, 2, *[3] * rank), float32(rng, 2 * groups)
    model = one_node(
        *("ConvTranspose", (4, *[4, 3, 2][:rank]), weight, bias),
        **{"opset": opset, "group": groups, "strides": [2] * rank},
    )
    op = onnx_models.assert_agrees(model, rng).graph["node"].op
    assert isinstance(op, Affine) and isinstance(op.operators[0], TransposedConvolution)


axes = st.tuples(  # extent, kernel, stride, dilation, padding before and behind, output padding
    st.integers(3, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2),
    st.integers(0, 2), st.integers(0, 2), st.integers(0, 2),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(axes, min_size=1, max_size=2), st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_any_geometry(geometry: list[tuple[int, ...]], groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    extents, sizes, strides, dilations, begins, ends, added = zip(*geometry, strict=True)
    added = tuple(a % s for a, s in zip(added, strides, strict=True))
    reached = [(e - 1) * s + d * (k - 1) for e, k, s, d, *_ in geometry]
    if any(b + e > r for r, b, e in zip(reached, begins, ends, strict=True)):
        begins = ends = (0,) * len(extents)
    model = one_node(
        *("ConvTranspose", (2, *extents), float32(rng, 2, 2, *sizes), float32(rng, 2 * groups)),
        **{"strides": strides, "dilations": dilations, "pads": (*begins, *ends)},
        **{"group": groups, "output_padding": added},
    )
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("stride", "size"), [(1, 2), (1, 3), (2, 2), (2, 3), (2, 4), (3, 4)])
def test_automatic_padding(auto_pad: str, stride: int, size: int, rng: np.random.Generator) -> None:
    """With and without output padding, and for output shapes below and above what is reached."""
    reached = 4 * stride + size
    for added, wanted in itertools.product({0, stride - 1}, [None, reached - 1, reached - 2]):
        attributes = {} if wanted is None else {"output_shape": [wanted]}
        model = one_node(
            *("ConvTranspose", (2, 5), float32(rng, 2, 3, size)),
            **{"auto_pad": auto_pad, "strides": [stride], "output_padding": [added], **attributes},
        )
        onnx_models.assert_agrees(model, rng)


def test_an_output_shape_beyond_the_kernels_ends_in_zeros(rng: np.random.Generator) -> None:
    model = one_node("ConvTranspose", (1, 5), float32(rng, 1, 1, 2), strides=[3], output_shape=[15])
    graph = onnx_models.assert_agrees(model, rng).graph
    value = graph.evaluate({"x0": np.ones((1, 1, 5))})["node"]
    assert value.shape == (1, 1, 15) and value[0, 0, -1] == 0


@pytest.mark.parametrize("groups", [1, 3])
def test_without_strides_it_is_a_convolution(groups: int, rng: np.random.Generator) -> None:
    """The turned kernel: a form that every target knows."""
    model = one_node(
        *("ConvTranspose", (3, 5, 4), float32(rng, 3, 2, 3, 2)),
        **{"group": groups, "pads": [1, 0, 2, 1], "dilations": [1, 2]},
    )
    op = onnx_models.assert_agrees(model, rng).graph["node"].op
    assert isinstance(op, Affine) and isinstance(op.operators[0], Convolution)


def test_runtimes_disagree_on_strides_beyond_the_window(rng: np.random.Generator) -> None:
    weight = float32(rng, 2, 3, 1)
    model = one_node("ConvTranspose", (2, 5), weight, strides=[2], auto_pad="SAME_UPPER")
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "auto_pad SAME_UPPER with strides [2] beyond the window [1]" in text
    assert "hint:  write the padding out as pads and output_padding" in text


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "message"),
    [
        ((3, 5, 5), (4, 2, 3, 3), {}, "3 channels in 1 groups do not fit weights of shape"),
        ((4, 5, 5), (4, 2, 3, 3), {"group": 3}, "4 channels in 3 groups do not fit"),
        ((4, 5, 5), (4, 2, 3, 3), {"group": 0}, "4 channels in 0 groups do not fit"),
        ((3, 5), (3, 2, 3, 3), {}, "do not fit an input of shape [3, 5] without batch"),
        ((3, 5), (3, 2, 3), {"kernel_shape": [2]}, "kernel_shape [2] does not fit weights"),
        ((3, 5), (3, 2, 3), {"strides": [0]}, "strides [0] do not fit a window of 1 axes"),
        ((3, 5), (3, 2, 3), {"strides": [2**31 - 1]}, "elements a sample, the limit"),
        ((3, 5), (3, 2, 3), {"pads": [1]}, "pads [1] do not fit a window of 2 numbers"),
        ((3, 5), (3, 2, 3), {"pads": [4, 4]}, "its output would be empty"),
        ((3, 5), (3, 2, 3), {"output_padding": [1]}, "output_padding [1] is not below strides [1]"),
        ((3, 5), (3, 2, 3), {"output_shape": [2**31 - 1]}, "elements a sample, the limit"),
        ((3, 5), (3, 2, 3), {"auto_pad": "SAME"}, "auto_pad 'SAME' is none of NOTSET"),
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
        import_onnx(one_node("ConvTranspose", shape, float32(rng, *weight), **attributes))
    assert message in caught.value.message


def test_bias_that_does_not_fit(rng: np.random.Generator) -> None:
    model = one_node("ConvTranspose", (3, 5), float32(rng, 3, 2, 3), float32(rng, 3))
    with pytest.raises(ModelFileError, match=r"bias of shape \[3\] does not fit 2 channels"):
        import_onnx(model)
