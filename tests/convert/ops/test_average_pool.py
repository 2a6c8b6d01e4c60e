import numpy as np
import onnx_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Affine
from snnconvert.convert.linear import Scale, SumPool
from snnconvert.convert.onnx_import import import_onnx

OPSETS = [7, 10, 11, 19, 22, onnx_models.RUNTIME_OPSET]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("counts", [0, 1])
def test_padding(opset: int, counts: int, rng: np.random.Generator) -> None:
    model = one_node(
        *("AveragePool", (2, 7, 6)),
        **{"opset": opset, "kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]},
        count_include_pad=counts,
    )
    onnx_models.assert_agrees(model, rng)


def test_a_sum_and_one_number(rng: np.random.Generator) -> None:
    model = one_node("AveragePool", (2, 8, 8), kernel_shape=[2, 2], strides=[2, 2])
    op = onnx_models.assert_agrees(model, rng).graph["node"].op
    assert isinstance(op, Affine)
    pool, scale = op.operators
    assert isinstance(pool, SumPool) and isinstance(scale, Scale)
    assert scale.factor.shape == () and float(scale.factor) == 0.25


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_ranks(rank: int, rng: np.random.Generator) -> None:
    model = one_node("AveragePool", (2, *[5] * rank), kernel_shape=[3] * rank, pads=[1] * 2 * rank)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("counts", [0, 1])
@pytest.mark.parametrize("opset", [10, 22])
def test_auto_pad(auto_pad: str, counts: int, opset: int, rng: np.random.Generator) -> None:
    model = one_node(
        *("AveragePool", (2, 7, 6)),
        **{"opset": opset, "kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": auto_pad},
        count_include_pad=counts,
    )
    onnx_models.assert_agrees(model, rng)


@st.composite
def pooling_axes(draw: st.DrawFn) -> tuple[int, ...]:
    """Return extent, window, stride, dilation, padding before and behind, smaller than the window.

    The window fits into the input, so that none lies in the padding alone.
    """
    size = draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 2))
    extent = draw(st.integers(dilation * (size - 1) + 1, 9))
    pads = st.integers(0, size - 1)
    return extent, size, draw(st.integers(1, 4)), dilation, draw(pads), draw(pads)


@settings(max_examples=80)
@given(
    st.lists(pooling_axes(), min_size=1, max_size=2),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["AveragePool", "MaxPool"]),
    st.sampled_from(OPSETS),
    st.integers(0, 2**31),
)
def test_any_geometry(
    axes: list[tuple[int, ...]], ceil: bool, counts: bool, operator: str, opset: int, seed: int
) -> None:
    extents, sizes, strides, dilations, begins, ends = zip(*axes, strict=True)
    attributes: dict[str, object] = {
        "kernel_shape": sizes,
        "strides": strides,
        "pads": (*begins, *ends),
    }
    if max(dilations) > 1:
        attributes["dilations"] = dilations
        opset = max(opset, 19 if operator == "AveragePool" else 10)
    if ceil:
        attributes["ceil_mode"] = 1
        opset = max(opset, 10)
    if counts and operator == "AveragePool":
        attributes["count_include_pad"] = 1
    model = one_node(operator, (2, *extents), opset=opset, **attributes)
    onnx_models.assert_agrees(model, np.random.default_rng(seed))


def test_strides_beyond_the_window() -> None:
    model = one_node("AveragePool", (1, 6), kernel_shape=[1], strides=[3], auto_pad="SAME_UPPER")
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "auto_pad with strides [3] beyond the window [1]" in text
    assert "why:   runtimes disagree on which values are skipped, or refuse it" in text


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"kernel_shape": [0]}, "kernel_shape [0] is no window"),
        ({"kernel_shape": [2**40]}, "kernel_shape [1099511627776] is no window"),
        ({"kernel_shape": [2, 2]}, "a window of 2 axes does not fit an input of shape [1, 6]"),
        ({"kernel_shape": [2], "pads": [2, 0]}, "padding (2,) and (0,) exceeds the window (2,)"),
        ({"kernel_shape": [7]}, "its window of extent 7 does not fit 6 values padded by 0 and 0"),
    ],
)
def test_numbers_that_do_not_fit(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("AveragePool", (1, 6), **attributes))
    assert message in caught.value.message


def test_a_window_in_the_padding_alone() -> None:
    model = one_node(
        "AveragePool", (1, 1), opset=19, kernel_shape=[3], dilations=[2], pads=[2, 2], strides=[1]
    )
    graph = onnx_models.graph_of(model)  # every tap but the middle one lies in the padding
    np.testing.assert_array_equal(graph["node"].op.operators[1].factor, 1)
    model = one_node(
        *("AveragePool", (1, 2)),
        **{"opset": 19, "kernel_shape": [2], "dilations": [3], "pads": [1, 1]},
    )
    with pytest.raises(ModelFileError, match="a window lies in the padding alone"):
        import_onnx(model)
