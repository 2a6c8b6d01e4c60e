import numpy as np
import onnx_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

LAST = 2**63 - 1


@pytest.mark.parametrize("axes", [None, [1, 2], [-2, -1]])
@pytest.mark.parametrize("opset", [7, 9])
def test_attributes(axes: list[int] | None, opset: int, rng: np.random.Generator) -> None:
    batch = [] if axes else [0]
    given_axes = {"axes": axes} if axes else {}
    model = one_node(
        *("Slice", (6, 7)),
        **{"opset": opset, "starts": [*batch, 1, -3], "ends": [*(batch and [LAST]), 5, LAST]},
        **given_axes,
    )
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("opset", [10, 11, 13, onnx_models.RUNTIME_OPSET])
def test_inputs(opset: int, rng: np.random.Generator) -> None:
    operands = (int64(-1, 0), int64(-LAST - 1, LAST), int64(1, 2), int64(-2, 3))
    onnx_models.assert_agrees(one_node("Slice", (6, 7), *operands, opset=opset), rng)
    model = one_node("Slice", (6, 7), int64(1, 2), int64(4, 6), int64(1, 2), opset=opset)
    onnx_models.assert_agrees(model, rng)


bounds = st.integers(-12, 12) | st.sampled_from([LAST, -LAST - 1])
steps = st.integers(-4, 4).filter(bool)


@settings(max_examples=100)
@given(bounds, bounds, steps, st.integers(1, 9))
def test_like_python(start: int, end: int, step: int, extent: int) -> None:
    model = one_node("Slice", (extent,), int64(start), int64(end), int64(1), int64(step))
    low = -extent - 1 if step < 0 else -extent
    if not range(extent)[max(start, low) : max(end, low) : step]:
        with pytest.raises(ModelFileError, match="its output would be empty"):
            import_onnx(model)
    else:
        onnx_models.assert_agrees(model, np.random.default_rng(0))


def test_the_whole(rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(
        one_node("Slice", (6,), int64(0, 0), int64(LAST, 100)), rng
    )
    assert imported.batch_fixed is None


def test_part_of_the_batch() -> None:
    model = one_node("Slice", (6,), int64(1), int64(3), int64(0), fixed_batch=4)
    assert "Slice takes part of the batch" in onnx_models.only_problem(model, "batch-axis")
    model = one_node("Slice", (6,), int64(LAST), int64(-LAST), int64(0), int64(-1), fixed_batch=4)
    assert "Slice takes part of the batch" in onnx_models.only_problem(model, "batch-axis")


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        (((6,), int64(0), int64(3), int64(1), int64(0)), "Slice with a step of 0"),
        (((6,), int64(0), int64(3, 4)), "starts, ends, axes and steps of different lengths"),
        (((6,), int64(0), int64(3), int64(5)), "axis 5 is out of range for a value of 2 axes"),
        (((6,), int64(0, 1), int64(3, 3), int64(1, -1)), "an axis is named twice in [1, -1]"),
        (((6,), np.zeros(1, np.float32), int64(3)), "input 'starts' is no list of integers"),
    ],
)
def test_numbers_that_do_not_fit(operands: tuple[object, ...], message: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Slice", *operands))
    assert message in caught.value.message
